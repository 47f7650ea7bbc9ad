package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// A server knows the ids of a stream's messages from the moment when it stored them or started, but not
// those of a stream that it has restored (seen with nats-server 2.15.2): a POST that is repeated with its
// key would be another run. So until they have passed the window, Submit knows them itself.

// restoredIDs are the ids of the requests that came with a backup, as they are read by whoever asks first.
type restoredIDs struct {
	mu      sync.Mutex
	reading *restoredReading
}

// restoredReading is one try to read them. What it found may be looked at once done is closed; after an error
// the next who asks tries again.
type restoredReading struct {
	done chan struct{}
	ids  map[string]restoredID
	err  error
}

// restoredID is whose an id is.
type restoredID struct {
	sequence uint64
	until    time.Time
}

// readLimit bounds how long reading them may take: they are headers of a day or so.
const readLimit = time.Minute

// restored returns the sequence of a request that came with the backup of a restored store; ok is false
// where there is none of that id, or where its window has passed. It waits for them no longer than ctx lasts.
func (r *Runs) restored(ctx context.Context, id string) (sequence uint64, ok bool, err error) {
	reading := r.readingRestored()
	select {
	case <-reading.done:
	case <-ctx.Done():
		return 0, false, fmt.Errorf("%w: the idempotency keys of a restored store are still being read", run.ErrUnavailable)
	}
	if reading.err != nil {
		return 0, false, fmt.Errorf("%w: read the idempotency keys of a restored store: %w", run.ErrUnavailable, reading.err)
	}
	found, ok := reading.ids[id]
	return found.sequence, ok && time.Now().Before(found.until), nil
}

// readingRestored begins to read them where nobody has, or where that failed.
func (r *Runs) readingRestored() *restoredReading {
	known := &r.restoredIDs
	known.mu.Lock()
	defer known.mu.Unlock()
	if now := known.reading; now != nil {
		select {
		case <-now.done:
			if now.err == nil {
				return now
			}
		default:
			return now
		}
	}
	begun := &restoredReading{done: make(chan struct{})}
	known.reading = begun
	go func() { // it ends with the connection at the latest
		defer close(begun.done)
		limited, cancel := context.WithTimeout(context.Background(), readLimit)
		defer cancel()
		begun.ids, begun.err = r.readRestored(limited)
	}()
	return begun
}

func (r *Runs) readRestored(ctx context.Context) (map[string]restoredID, error) {
	noted, err := r.store.Control.LeaderLast(ctx, jet.RestoredSubject)
	if errors.Is(err, jet.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, err := strconv.ParseUint(string(noted.Data), 10, 64)
	if err != nil {
		// Which came with the backup is not known. The server knows those that did not, so that it does no
		// harm to take all for such.
		r.store.Control.PassOver(noted, fmt.Errorf("read what was restored: %w", err))
		last = math.MaxUint64
	}
	window := r.store.Runs.CachedInfo().Config.Duplicates
	if time.Since(noted.Time) > window {
		return nil, nil
	}
	since, ids := time.Now().Add(-window), map[string]restoredID{}
	err = r.store.Runs.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.Requests}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}, func(request jet.Record) error {
		if id := request.Header.Get(jetstream.MsgIDHeader); id != "" && request.Sequence <= last {
			ids[id] = restoredID{request.Sequence, request.Time.Add(window)}
		}
		return nil
	})
	return ids, err
}
