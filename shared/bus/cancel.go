package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// Cancel ends a run that no runner holds: in one step it is claimed and ended, as its request to cancel says. It
// returns the final document. ErrClaimed means that a runner holds the run, or that it has ended; run.ErrNoRun and
// run.ErrRunGone are those of [Runs.Request].
func (u *Unheld) Cancel(ctx context.Context, id task.ID, n run.Number, c run.Cancel) (run.Document, error) {
	request, err := (&Runs{store: u.store}).Request(ctx, id, n)
	if err != nil {
		return run.Document{}, err
	}
	seen, claimed, err := u.FindClaim(ctx, id, n)
	if err != nil {
		return run.Document{}, err
	}
	doc := run.CanceledDocument(request, n, nil, c, time.Now())
	switch {
	case !claimed:
		if err = u.EndUnclaimed(ctx, id, n, doc); err == nil && !request.RunAt.IsZero() {
			dropAlarm(ctx, u.store, id, n)
		}
	case seen.Foreign && !u.isLeft(id, n, seen):
		err = ErrUnsure
	case seen.Foreign:
		err = u.EndAbandoned(ctx, id, n, seen, doc)
	case seen.State.HandedBack:
		doc = run.CanceledDocument(request, n, &seen.State, c, time.Now())
		err = u.EndAbandoned(ctx, id, n, seen, doc)
	default:
		err = ErrClaimed
	}
	return doc, err
}

// IsHeld reports whether a runner holds a run, as the leader has it: one that has fallen silent, too, and one whose
// claim may be below another program's message.
func (u *Unheld) IsHeld(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	seen, claimed, err := u.FindClaim(ctx, id, n)
	return claimed && !(seen.Foreign && u.isLeft(id, n, seen)) && !seen.State.HandedBack, err
}

// AskCancel asks the runner that holds a run to cancel it, and returns the request that stands: the first one. It
// stays until [Unheld.SettleCancel] finds that the run has ended.
func (u *Unheld) AskCancel(ctx context.Context, id task.ID, n run.Number, c run.Cancel) (stands run.Cancel, err error) {
	data, err := c.Encode()
	if err != nil {
		return c, fmt.Errorf("encode the request to cancel run %s: %w", n, err)
	}
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	subject := jet.CancelSubject(id, n)
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 500 * time.Millisecond}
	for last := uint64(0); ; {
		if err := u.store.Writable(); err != nil {
			return c, err
		}
		_, err := u.store.JS.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(last))
		if err == nil {
			u.store.Canceled.Ring()
			return c, nil
		}
		if jet.Refused(err) {
			var stored jet.Record
			if stored, err = u.store.Control.LeaderLast(ctx, subject); err == nil {
				stands, decodeErr := run.DecodeCancel(stored.Data)
				if decodeErr == nil {
					return stands, nil
				}
				last = stored.Sequence // the end of an earlier one, or another program's: it gives its place
				continue
			}
			if errors.Is(err, jet.ErrMissing) { // removed in this moment
				last = 0
				continue
			}
		}
		if !pause.Wait(ctx) {
			return c, fmt.Errorf("%w: ask to cancel run %s: %w", run.ErrUnavailable, n, jet.Explain(err))
		}
	}
}

// FindCancel returns the request to cancel a run, as the leader has it; ok is false if there is none.
func (c claims) FindCancel(ctx context.Context, id task.ID, n run.Number) (found run.Cancel, ok bool, err error) {
	stored, err := c.store.Control.LeaderLast(ctx, jet.CancelSubject(id, n))
	if errors.Is(err, jet.ErrMissing) || err == nil && len(stored.Data) == 0 {
		return found, false, nil
	}
	if err != nil {
		return found, false, err
	}
	if found, err = run.DecodeCancel(stored.Data); err != nil {
		c.store.Control.PassOver(stored, err)
		return run.Cancel{}, false, nil
	}
	return found, true, nil
}

// SettleCancel sees to a request to cancel: it ends the run if nobody holds it, and removes the request once the run
// has ended. canceled reports whether this call has ended the run, with doc.
//
// The request is removed in two steps, so that those who watch hear of it: a message without data takes its place,
// and is removed by a later call.
func (u *Unheld) SettleCancel(ctx context.Context, c Canceling) (doc run.Document, canceled bool, err error) {
	if c.over {
		return doc, false, u.dropCancel(ctx, c)
	}
	doc, err = u.Cancel(ctx, c.Task, c.Number, c.Cancel)
	switch {
	case err == nil:
		canceled = true
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
	case errors.Is(err, ErrClaimed):
		if ended, err := u.Ended(ctx, c.Task, c.Number); err != nil || !ended {
			return run.Document{}, false, err
		}
	default:
		return run.Document{}, false, err
	}
	if err = u.store.Writable(); err == nil {
		_, err = u.store.JS.Publish(ctx, jet.CancelSubject(c.Task, c.Number), nil, jetstream.WithExpectLastSequencePerSubject(c.sequence))
	}
	if jet.Refused(err) { // another process was faster
		err = nil
	}
	return doc, canceled, jet.Explain(err)
}

// dropCancel removes what tells that a request to cancel is over, a while after it has told so.
func (u *Unheld) dropCancel(ctx context.Context, c Canceling) error {
	if time.Since(c.seen) < cancelTold {
		return nil
	}
	err := u.store.Control.DeleteMsg(ctx, c.sequence)
	if err != nil { // another process may have been faster
		stored, readErr := u.store.Control.LeaderLast(ctx, jet.CancelSubject(c.Task, c.Number))
		if !errors.Is(readErr, jet.ErrMissing) && (readErr != nil || stored.Sequence == c.sequence) {
			return jet.Explain(err)
		}
	}
	c.view.forget(c)
	return nil
}

// cancelTold is how long all who watch have to hear that a request to cancel is over.
const cancelTold = 10 * time.Second
