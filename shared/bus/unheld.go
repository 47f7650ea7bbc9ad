package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Waiting is a request that no runner has acknowledged.
type Waiting struct {
	Number   run.Number
	Request  run.Request
	StoredOn time.Time
}

// Cancel is how this run cancels an earlier one of its task, whose place it takes.
func (w Waiting) Cancel() run.Cancel {
	return run.Cancel{By: run.ByOverlap, On: w.StoredOn, Run: w.Number}
}

// Unacknowledged shows the requests of a task's queue that have not been acknowledged, oldest first and
// behind a number, until show returns false. Those that have ended may be among them, and so may those
// that are under way. All up to the number done have been acknowledged. Where nothing is in the queue it
// costs one look at the queue.
func (u *Unheld) Unacknowledged(ctx context.Context, id task.ID, behind run.Number, show func(Waiting) (more bool, err error)) (done run.Number, err error) {
	info, err := waiting(ctx, u.store, id)
	if err != nil {
		return 0, err
	}
	if info == nil {
		return math.MaxUint64, nil
	}
	done = u.store.Numbers.Of(info.AckFloor.Stream)
	for behind = max(behind, done); ; {
		stored, err := u.store.Runs.Following(ctx, jet.RequestSubject(id), u.store.Numbers.Upto(behind)+1)
		if errors.Is(err, jet.ErrMissing) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		behind = u.store.Numbers.Of(stored.Sequence)
		request, err := run.DecodeRequest(stored.Data, id)
		if err != nil { // the runner ends it
			u.store.Runs.PassOver(stored, err)
			continue
		}
		if more, err := show(Waiting{Number: behind, Request: request, StoredOn: stored.Time}); err != nil || !more {
			return done, err
		}
	}
}

// EndUnclaimed writes the final document of a run that nobody holds: under the fence, so that in one
// step it is claimed and ended. ErrClaimed means that a runner holds the run, or that it has ended.
func (u *Unheld) EndUnclaimed(ctx context.Context, id task.ID, n run.Number, doc run.Document) error {
	err := u.end(ctx, id, n, 0, doc, nil)
	if !errors.Is(err, ErrClaimed) {
		return err
	}
	seen, found, findErr := u.FindClaim(ctx, id, n)
	switch {
	case findErr != nil:
		return findErr
	case found && seen.Foreign:
		return u.EndAbandoned(ctx, id, n, seen, doc)
	}
	return err
}

// EndAbandoned writes the final document of a run whose holder has fallen silent. seen is its claim;
// ErrClaimed means that it has moved since.
func (u *Unheld) EndAbandoned(ctx context.Context, id task.ID, n run.Number, seen Seen, doc run.Document) error {
	return u.end(ctx, id, n, seen.sequence, doc, seen.State.Checkpoint.Rejected)
}

// end writes the final document of a run for who does not hold its claim: in the place of what is stored at a
// sequence, 0 for nothing.
func (c claims) end(ctx context.Context, id task.ID, n run.Number, sequence uint64, doc run.Document, rejected run.RejectedSet) error {
	claim, err := newClaim(ctx, c.store, id, n, sequence)
	if err == nil {
		err = claim.Finish(ctx, doc, rejected)
	}
	if errors.Is(err, ErrLost) || errors.Is(err, ErrClaimed) {
		return ErrClaimed
	}
	if err != nil {
		return fmt.Errorf("end run %s: %w", n, err)
	}
	return nil
}
