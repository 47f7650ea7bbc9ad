package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/wait"
)

const (
	// recopyWindow is how many of the last sequences of the bucket are looked at; a run takes two.
	recopyWindow = 50_000
	// recopySettle is how long a final may be seen without its event before that counts as lost.
	recopySettle = 2 * time.Second
	// recopyAgain is the wait after an error.
	recopyAgain = 5 * time.Second
)

// uncopied is a final document that has no event.
type uncopied struct {
	subject  string
	sequence uint64
}

// KeepEvents has final documents copied again that the server has passed over: when a copy cannot be
// stored, because the disk is full, it may take it for copied after the next start (seen with
// nats-server 2.15.2). It looks now, and whenever recovered tells that there is room again, until ctx
// ends. It is for a store on a single server.
func KeepEvents(ctx context.Context, b *bus.Bus, recovered <-chan struct{}) {
	s := storeOf(b)
	for {
		copied, err := s.recopy(ctx)
		if copied > 0 {
			s.Log.Warn().Int("events_copied_again", copied).Msg("the server had passed over final documents; their events are stored now")
		}
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.Log.Debug().Err(err).Msg("cannot compare events and final documents now, trying again")
			again = time.After(recopyAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-recovered:
		case <-again:
		}
	}
}

// recopy writes final documents that have no event again, byte for byte, so that the server copies them.
// Runs may end meanwhile.
func (s store) recopy(ctx context.Context) (copied int, err error) {
	info, err := s.Results.Info(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	if info.State.Msgs == 0 {
		return 0, nil
	}
	if err := s.awaitCopies(ctx); err != nil {
		return 0, err
	}
	missing, err := s.uncopied(ctx, info.State.FirstSeq, info.State.LastSeq)
	if err != nil || len(missing) == 0 {
		return 0, err
	}
	if !wait.For(ctx, recopySettle) { // a copy may be on its way
		return 0, ctx.Err()
	}
	still, err := s.uncopied(ctx, info.State.FirstSeq, info.State.LastSeq)
	if err != nil {
		return 0, err
	}
	for n, final := range still {
		if missing[n] != final {
			continue
		}
		stored, err := s.Results.LeaderLast(ctx, final.subject)
		if err == nil {
			err = s.writeFinal(ctx, final.subject, final.sequence, stored.Header, stored.Data)
		}
		switch {
		case err == nil:
			copied++
		case !errors.Is(err, jet.ErrMissing) && !jet.Refused(err):
			return copied, fmt.Errorf("write the final document of run %s again: %w", n, err)
		}
	}
	return copied, nil
}

// uncopied returns the final documents between two sequences, as far as they are among the latest, that
// have no event.
func (s store) uncopied(ctx context.Context, first, last uint64) (map[run.Number]uncopied, error) {
	found := map[run.Number]uncopied{}
	err := s.Results.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.Finals}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: latest(first, last),
	}, func(final jet.Record) error {
		if final.Sequence <= last {
			found[jet.NumberOf(final.Subject)] = uncopied{final.Subject, final.Sequence}
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	events, err := s.Events.Info(ctx)
	if err != nil {
		return nil, jet.Explain(err)
	}
	state := events.State
	if state.Msgs == 0 {
		return found, nil
	}
	// They stand in the order of their final documents, one for each: as many cover the same runs and more.
	err = s.Events.Scan(ctx, jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: latest(state.FirstSeq, state.LastSeq),
	}, func(event jet.Record) error {
		delete(found, jet.NumberOf("."+event.Header.Get("ce-subject")))
		return nil
	})
	return found, err
}

// latest is where the latest sequences begin.
func latest(first, last uint64) uint64 {
	if last > recopyWindow {
		first = max(first, last-recopyWindow)
	}
	return max(first, 1)
}
