package bus

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
)

const (
	// lookForMore is how often it is looked for changes by others: what is behind the last one that was seen is read. A
	// change of a task by this process is taken up at once.
	lookForMore = 200 * time.Millisecond
	// lookForBucket is how often it is looked whether the bucket is still the one that was read.
	lookForBucket = 5 * time.Second
)

// following reads what a bucket has under a subject, and what comes there, without a consumer.
type following struct {
	stream  *jet.Stream
	subject string
	// every is how often it is looked for changes by others. Default lookForMore.
	every time.Duration
	// woken returns what has something in it, or is closed, when there is something to read.
	woken func() <-chan struct{}
	// begun is called when everything is read from its beginning on, note with each message, and whole when all that was
	// there has been read.
	begun func()
	note  func(jet.Record)
	whole func()

	// last is the sequence of the last message that was read, and made is when the bucket was made.
	last uint64
	made time.Time
}

// follow reads until ctx ends, and begins with read. After a new connection it reads everything again: the bucket may
// be another one.
func (f *following) follow(ctx context.Context, reconnected <-chan nats.Status, read func(context.Context) error) {
	looks, buckets := time.NewTicker(cmp.Or(f.every, lookForMore)), time.NewTicker(lookForBucket)
	defer looks.Stop()
	defer buckets.Stop()
	for {
		woken := f.woken()
		if read(ctx) == nil { // else the next look tries again
			read = f.readOn
		}
		select {
		case <-ctx.Done():
			return
		case <-reconnected:
			read = f.readAll
		case <-buckets.C:
			if f.isAnother(ctx) {
				read = f.readAll
			}
		case <-woken:
		case <-looks.C:
		}
	}
}

// readAll reads everything.
func (f *following) readAll(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := f.stream.Info(limited)
	if err != nil {
		return jet.Explain(err)
	}
	f.made = info.Created
	f.begun()
	if f.last, err = f.stream.After(ctx, f.subject, 0, f.note); err == nil {
		f.whole()
	}
	return err
}

// readOn reads what came since, which is mostly nothing.
func (f *following) readOn(ctx context.Context) error {
	next, err := f.stream.Following(ctx, f.subject, f.last+1)
	if errors.Is(err, jet.ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	f.note(next)
	f.last, err = f.stream.After(ctx, f.subject, next.Sequence, f.note)
	return err
}

// isAnother reports whether the bucket was made again, or brought back to what it was.
func (f *following) isAnother(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := f.stream.Info(ctx)
	return err == nil && (!info.Created.Equal(f.made) || info.State.LastSeq < f.last)
}
