package jet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// doubtFor is how long a write that failed tells of the next ones; then one is tried.
var doubtFor = 10 * time.Second // shorter in tests

// doubt remembers a write that failed, until one succeeds.
type doubt struct {
	mu     sync.Mutex
	failed time.Time
	why    error
}

// note takes in how a write ended. What the server refuses for its own sake tells nothing of the next.
func (d *doubt) note(err error) {
	api, answered := errors.AsType[*jetstream.APIError](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, run.ErrDenied), answered && api.Code < 500:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed, d.why = time.Now(), err
}

// last is when the newest write failed, and why; no error if it did not.
func (d *doubt) last() (failed time.Time, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed, d.why
}

// Ready reports why the store cannot take runs or results right now, nil when it can: it is not reached, its
// disk is full, this program lacks a right, a stream is gone, has no leader or no majority of its replicas, or
// the last write failed.
func (s *Store) Ready(ctx context.Context) error {
	err := s.usable(ctx)
	if lacking := s.lacking(ctx); lacking != nil {
		return lacking
	}
	return err
}

// usable is Ready but for rights.
func (s *Store) usable(ctx context.Context) error {
	if !s.NC.IsConnected() {
		return fmt.Errorf("%w: not connected", run.ErrUnavailable)
	}
	if err := s.Writable(); err != nil {
		return err
	}
	if err := s.takes(ctx, s.Runs, SkippedRequests); err != nil {
		return err
	}
	if err := s.takes(ctx, s.Keys, SkippedKeys); err != nil {
		return err
	}
	if err := s.Room(ctx); err != nil {
		return err
	}
	next, err := s.Next(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", RunsStream, As(run.ErrUnavailable, Explain(err)))
	}
	results, err := s.ResultsOf(ctx, next)
	if err != nil {
		return As(run.ErrUnavailable, err)
	}
	return s.takes(ctx, results.Stream, results.Skipped())
}

// takes reports why a stream takes no writes, nil when it does.
func (s *Store) takes(ctx context.Context, stream *Stream, probe string) error {
	if _, err := s.JS.Stream(ctx, stream.name); err != nil {
		return fmt.Errorf("stream %s: %w", stream.name, As(run.ErrUnavailable, Explain(err)))
	}
	if err := stream.Vouch(ctx); err != nil {
		return err
	}
	if err := stream.writes(ctx, probe); err != nil {
		return fmt.Errorf("stream %s takes no writes: %w", stream.name, As(run.ErrUnavailable, Explain(err)))
	}
	return nil
}

// writes reports why the stream takes no writes as far as the last one tells. A while after one that failed it
// writes a message of no meaning, since nobody else might try.
func (s *Stream) writes(ctx context.Context, probe string) error {
	failed, why := s.doubt.last()
	if why == nil || time.Since(failed) < doubtFor {
		return why
	}
	_, err := s.Publish(ctx, Entry{Msg: nats.NewMsg(probe)})
	return err
}
