package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/wait"
)

const (
	// turnFor is how long a turn lasts at most: who is killed in one holds up the next for so long.
	turnFor = 10 * time.Second
	// turnMargin is for a request that the server gets late.
	turnMargin = 2 * time.Second
	// turnAsked is how often it is asked whether the turn of another process is over.
	turnAsked = 50 * time.Millisecond
)

// InTurn runs change while no other process is in its turn: the server updates a stream as it is told, whatever the
// stream has become since it was read, so two who add something to it at once undo what the other has done.
// change returns the server's own error where it cannot know whether its request will be carried out: the turn then
// lasts as long as one can.
func (s *Store) InTurn(ctx context.Context, change func(ctx context.Context) error) error {
	turn, err := s.awaitTurn(ctx)
	if err != nil {
		return fmt.Errorf("wait for the turn to change the store: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, turnFor-turnMargin)
	defer cancel()
	if err = change(limited); errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	_, _ = s.setTurn(context.WithoutCancel(ctx), nil, turn) // else it is over after turnFor
	return err
}

// awaitTurn takes a turn, and returns the sequence of what says so. No clock is compared with another: a turn is over
// for whoever has seen it unchanged for turnFor.
func (s *Store) awaitTurn(ctx context.Context) (uint64, error) {
	var seen uint64
	var since time.Time
	for {
		last, err := s.Control.LeaderLast(ctx, TurnSubject)
		if err != nil && !errors.Is(err, ErrMissing) {
			return 0, err
		}
		if since.IsZero() || last.Sequence != seen {
			seen, since = last.Sequence, time.Now()
		}
		if len(last.Data) == 0 || time.Since(since) >= turnFor {
			if turn, err := s.setTurn(ctx, []byte("taken"), seen); !Refused(err) {
				return turn, err
			}
			continue // another process was faster
		}
		if !wait.For(ctx, turnAsked) {
			return 0, fmt.Errorf("%w: another process changes it: %w", run.ErrUnavailable, ctx.Err())
		}
	}
}

// setTurn says that a turn is taken, or with no data that it is over, if nobody has said anything since.
func (s *Store) setTurn(ctx context.Context, data []byte, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	ack, err := s.JS.Publish(ctx, TurnSubject, data, jetstream.WithExpectLastSequencePerSubject(last))
	if err != nil {
		return 0, Explain(err)
	}
	return ack.Sequence, nil
}
