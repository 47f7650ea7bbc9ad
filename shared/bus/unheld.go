package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Waiting is a request that no runner has acknowledged.
type Waiting struct {
	Number  run.Number
	Request run.Request
	// StoredOn is when it came into the queue, and Place the number of the message that has put it there: Number, unless
	// the run has waited for its time.
	StoredOn time.Time
	Place    run.Number
}

// waitsForTime reports whether the message that was read is not what puts the run into the queue: a call will be.
func (w Waiting) waitsForTime() bool { return !w.Request.RunAt.IsZero() && w.Number == w.Place }

// waitingAt is the run of a message among a task's requests; ok is false if it has none, or none any more.
func waitingAt(ctx context.Context, s *jet.Store, id task.ID, stored jet.Record) (w Waiting, ok bool, err error) {
	place := s.Numbers.Of(stored.Sequence)
	w = Waiting{Number: place, StoredOn: stored.Time, Place: place}
	if n, called := jet.Called(stored.Header); called {
		w.Number = n
		if w.Request, err = (&Runs{store: s}).Request(ctx, id, n); errors.Is(err, run.ErrNoRun) || errors.Is(err, run.ErrRunGone) {
			return w, false, nil
		}
		return w, err == nil, err
	}
	if w.Request, err = run.DecodeRequest(stored.Data, id); err != nil { // the runner ends it
		s.Runs.PassOver(stored, err)
		return w, false, nil
	}
	return w, true, nil
}

// Cancel is how this run cancels an earlier one of its task, whose place it takes.
func (w Waiting) Cancel() run.Cancel {
	return run.Cancel{By: run.ByOverlap, On: w.StoredOn, Run: w.Number}
}

// followsSoon is how long a run that is the next to start may take until it does.
const followsSoon = time.Second

// MayFollow reports whether a run that came beside no open run may start before this one, which is to be the latest that
// waits: it came a moment ago. Else a task might start none while they come fast.
func (w Waiting) MayFollow(now time.Time) bool {
	return w.Request.Overlap == task.LatestOverlap && now.Sub(w.StoredOn) < followsSoon
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
		w, ok, err := waitingAt(ctx, u.store, id, stored)
		if err != nil {
			return done, err
		}
		if !ok {
			continue
		}
		if more, err := show(w); err != nil || !more {
			return done, err
		}
	}
}

// ErrUnsure is an ErrClaimed that may pass: another program's message has taken the place of the claim, and a runner
// that holds the run would write its claim again.
var ErrUnsure = fmt.Errorf("%w, or not: its claim is another program's message", ErrClaimed)

// EndUnclaimed writes the final document of a run that nobody holds: under the fence, so that in one
// step it is claimed and ended. ErrClaimed means that a runner holds the run, or that it has ended, and ErrUnsure that
// this is to be tried again after half a lease.
func (u *Unheld) EndUnclaimed(ctx context.Context, id task.ID, n run.Number, doc run.Document) error {
	return u.endUnclaimed(ctx, id, n, doc, u.isLeft)
}

// endUnclaimed is EndUnclaimed. isLeft reports whether nobody holds a run with another program's message in the place
// of its claim.
func (c claims) endUnclaimed(ctx context.Context, id task.ID, n run.Number, doc run.Document, isLeft func(task.ID, run.Number, Seen) bool) error {
	err := c.end(ctx, id, n, 0, doc, nil)
	if !errors.Is(err, ErrClaimed) {
		return err
	}
	seen, found, findErr := c.FindClaim(ctx, id, n)
	switch {
	case findErr != nil:
		return findErr
	case found && seen.Foreign && !isLeft(id, n, seen):
		return ErrUnsure
	case found && seen.Foreign:
		return c.end(ctx, id, n, seen.sequence, doc, nil)
	}
	return err
}

// endDelivered is endUnclaimed for who has the run's delivery: its holder has not extended that.
func (w *Work) endDelivered(ctx context.Context, d *Delivery, doc run.Document) error {
	return w.endUnclaimed(ctx, d.Task, d.Number, doc, func(task.ID, run.Number, Seen) bool { return true })
}

// sightings are the messages of other programs that stand in the place of claims, and since when they were seen there.
type sightings struct {
	mu    sync.Mutex
	first map[string]sighting
}

type sighting struct {
	seen  Seen
	since time.Time
}

// isLeft reports whether another program's message has stood in the place of a run's claim for half a lease of our own
// clock: a runner that holds the run writes its claim again within two fifths of one.
func (u *Unheld) isLeft(id task.ID, n run.Number, seen Seen) bool {
	now, key := time.Now(), string(id)+"."+n.String()
	u.foreign.mu.Lock()
	defer u.foreign.mu.Unlock()
	maps.DeleteFunc(u.foreign.first, func(_ string, s sighting) bool { return now.Sub(s.since) > 10*u.Lease() })
	before, known := u.foreign.first[key]
	if !known || !before.seen.SameAs(seen) {
		if u.foreign.first == nil {
			u.foreign.first = map[string]sighting{}
		}
		u.foreign.first[key] = sighting{seen, now}
		return false
	}
	return now.Sub(before.since) >= u.Lease()/2
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
