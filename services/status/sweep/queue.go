package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// queue is what a sweeper knows of one task's queue.
type queue struct {
	sweeper *Sweeper
	id      task.ID
	// due is when it must be looked at again; the zero time for now.
	due time.Time
	// settled is the number up to which every run has ended or been taken by a runner; held are those
	// of them that have not been seen to end.
	settled run.Number
	held    map[run.Number]*holding
}

// holding is a run that a runner has taken.
type holding struct {
	bus.Waiting
	// seen is its claim, unmoved since that moment of this process's clock.
	seen  bus.Seen
	since time.Time
	// unsure: nobody holds it, maybe; see [bus.ErrUnsure].
	unsure bool
}

// lookIfDue looks at the queue when it is time, and returns when it is again. startWithin is the
// task's, 0 for none.
func (q *queue) lookIfDue(ctx context.Context, startWithin time.Duration) time.Time {
	now := time.Now()
	if startWithin > 0 {
		q.dueBy(now.Add(startWithin)) // the task may have come to have it
	}
	if q.due.After(now) {
		return q.due
	}
	q.due = now.Add(q.sweeper.store.Retention() / 2)
	if startWithin > 0 {
		q.dueBy(now.Add(startWithin))
	}
	if err := q.look(ctx, now, startWithin); err != nil && ctx.Err() == nil {
		q.sweeper.log.Debug().Err(err).Str("task", string(q.id)).Msg("cannot look for overdue runs now, trying again")
		q.dueBy(now.Add(again))
	}
	return q.due
}

func (q *queue) dueBy(at time.Time) {
	if at.Before(q.due) {
		q.due = at
	}
}

// look ends what is overdue in the queue, and learns when something else will be.
func (q *queue) look(ctx context.Context, now time.Time, startWithin time.Duration) error {
	inOrder := true
	done, err := q.sweeper.store.Unacknowledged(ctx, q.id, q.settled, func(w bus.Waiting) (bool, error) {
		due := w.Request.WaitsSince(w.StoredOn).Add(q.sweeper.store.Retention() / 2)
		if start := w.Request.Due(w.StoredOn); !start.IsZero() && start.Before(due) {
			due = start
		}
		if due.After(now) {
			q.dueBy(due)
			inOrder = false
			// Those behind it came later. Only where the task has become less patient, or this one waits for its time, may
			// one be due.
			return !w.Request.RunAt.IsZero() || startWithin > 0 && !w.StoredOn.Add(startWithin).After(now), nil
		}
		if err := q.end(ctx, w, now); err != nil {
			return false, err
		}
		if inOrder {
			q.settled = w.Place
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for n, held := range q.held {
		if held.Place <= done {
			delete(q.held, n)
			continue
		}
		if err := q.watch(ctx, held, now); err != nil {
			return err
		}
	}
	return nil
}

// end ends a run that is due, unless a runner has it or it has ended.
func (q *queue) end(ctx context.Context, w bus.Waiting, now time.Time) error {
	if q.held[w.Number] != nil {
		return nil
	}
	doc := q.unclaimedDocument(w, now)
	err := q.sweeper.store.EndUnclaimed(ctx, q.id, w.Number, doc)
	switch {
	case err == nil:
		q.sweeper.tell(doc)
		return nil
	case !errors.Is(err, bus.ErrClaimed):
		return err
	}
	unsure := errors.Is(err, bus.ErrUnsure)
	ended, err := q.sweeper.store.Ended(ctx, q.id, w.Number)
	if err == nil && !ended {
		q.held[w.Number] = &holding{Waiting: w, unsure: unsure}
	}
	return err
}

// unclaimedDocument is the final document of a run that was never started.
func (q *queue) unclaimedDocument(w bus.Waiting, now time.Time) run.Document {
	if w.Request.Overdue(w.StoredOn, now) {
		return run.OverdueDocument(w.Request, w.Number, now)
	}
	doc := run.QueuedDocument(w.Request, w.Number)
	doc.End(run.Failed, q.tooOld("no runner took it"), now)
	return doc
}

func (q *queue) tooOld(because string) string {
	return fmt.Sprintf("The run has not ended within %s, half the time for which runs are kept: %s. It was ended so that its result can still be read; POST again where it is still wanted",
		q.sweeper.store.Retention()/2, because)
}

// watch ends a run that is too old and whose claim has not moved for half a lease. A runner that is at
// work on it ends it itself.
func (q *queue) watch(ctx context.Context, h *holding, now time.Time) error {
	if h.unsure {
		delete(q.held, h.Number)
		err := q.end(ctx, h.Waiting, now)
		if again := q.held[h.Number]; again != nil && again.unsure {
			q.dueBy(now.Add(q.sweeper.store.Lease() / 2))
		}
		return err
	}
	if old := h.Request.WaitsSince(h.StoredOn).Add(q.sweeper.store.Retention() / 2); old.After(now) {
		q.dueBy(old)
		return nil
	}
	seen, found, err := q.sweeper.store.FindClaim(ctx, q.id, h.Number)
	if err != nil {
		return err
	}
	doc := q.unclaimedDocument(h.Waiting, now)
	switch {
	case !found, seen.Foreign: // it has ended, or its claim has expired or is none
		err = q.sweeper.store.EndUnclaimed(ctx, q.id, h.Number, doc)
	case !seen.State.HandedBack && (h.since.IsZero() || !seen.SameAs(h.seen)):
		h.seen, h.since = seen, now
		q.dueBy(now.Add(q.sweeper.store.Lease() / 2))
		return nil
	case !seen.State.HandedBack && now.Sub(h.since) < q.sweeper.store.Lease()/2:
		q.dueBy(h.since.Add(q.sweeper.store.Lease() / 2))
		return nil
	default:
		doc = run.QueuedDocument(h.Request, h.Number)
		doc.Resume(seen.State, now)
		doc.End(run.Failed, q.tooOld("the runner that had it is gone, and no other took it over"), now)
		err = q.sweeper.store.EndAbandoned(ctx, q.id, h.Number, seen, doc)
	}
	switch {
	case err == nil:
		q.sweeper.tell(doc)
	case !errors.Is(err, bus.ErrClaimed):
		return err
	case found: // its claim moved in this moment
		h.since = time.Time{}
		q.dueBy(now.Add(q.sweeper.store.Lease() / 2))
		return nil
	}
	delete(q.held, h.Number)
	return nil
}
