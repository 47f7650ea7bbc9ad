package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// How often the sweep looks, where nothing says when it must.
const (
	sweepAgain  = 5 * time.Second // after an error
	sweepAtMost = time.Hour
	// sweepClaims is how often ended runs' claims are removed: at thousands of runs a second they are
	// still few then, and the store is not held up for long.
	sweepClaims = 5 * time.Second
)

// Sweep ends runs that no runner will: those that no runner took in time (start_within), and those that
// have not ended after half the time that runs are kept. It returns when ctx ends. Several processes may
// sweep at once: each run is ended once, by whoever is first, and whoever delivers it later finds that it
// has ended. It also removes the definitions of tasks that no run can need any more.
//
// It looks at a queue when something in it is due, or could be if it came right now. Beside that it
// removes the claims of runs that have ended.
func (s *Service) Sweep(ctx context.Context) {
	if s.Tasks == nil {
		return
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { s.removeClaims(ctx) })
	sweeps := map[task.ID]*queueSweep{}
	var definitions time.Time
	for ctx.Err() == nil {
		changed := s.Tasks.Changed()
		if !definitions.After(time.Now()) {
			definitions = s.sweepDefinitions(ctx)
		}
		next := definitions
		present := map[task.ID]bool{}
		for _, queue := range s.Tasks.Queues() {
			present[queue.Task] = true
			sweep := sweeps[queue.Task]
			if sweep == nil {
				sweep = &queueSweep{Service: s, id: queue.Task, held: map[run.Number]*holding{}}
				sweeps[queue.Task] = sweep
			}
			if due := sweep.lookIfDue(ctx, queue.StartWithin); due.Before(next) {
				next = due
			}
		}
		for id := range sweeps {
			if !present[id] {
				delete(sweeps, id)
			}
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// removeClaims removes the claims of ended runs again and again until ctx ends.
func (s *Service) removeClaims(ctx context.Context) {
	again := time.NewTicker(sweepClaims)
	defer again.Stop()
	var last uint64
	for {
		var err error
		if last, err = s.Bus.RemoveClaims(ctx, last); err != nil && ctx.Err() == nil {
			s.Log.Debug().Err(err).Msg("claims of ended runs stay for now")
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// sweepDefinitions removes definitions that no run can need any more, and returns when to look again.
func (s *Service) sweepDefinitions(ctx context.Context) time.Time {
	removed, err := s.Bus.SweepDefinitions(ctx)
	if removed > 0 {
		s.Log.Info().Int("definitions", removed).Msg("removed definitions of tasks that no run can need any more")
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Debug().Err(err).Msg("cannot look for old definitions now, trying again")
		return time.Now().Add(sweepAgain)
	}
	return time.Now().Add(min(sweepAtMost, s.Bus.Retention()/4))
}

// queueSweep is what the sweep knows of one task's queue.
type queueSweep struct {
	*Service
	id task.ID
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
}

// lookIfDue looks at the queue when it is time, and returns when it is again. startWithin is the
// task's, 0 for none.
func (q *queueSweep) lookIfDue(ctx context.Context, startWithin time.Duration) time.Time {
	now := time.Now()
	if startWithin > 0 {
		q.dueBy(now.Add(startWithin)) // the task may have come to have it
	}
	if q.due.After(now) {
		return q.due
	}
	q.due = now.Add(q.Bus.Retention() / 2)
	if startWithin > 0 {
		q.dueBy(now.Add(startWithin))
	}
	if err := q.look(ctx, now, startWithin); err != nil && ctx.Err() == nil {
		q.Log.Debug().Err(err).Str("task", string(q.id)).Msg("cannot look for overdue runs now, trying again")
		q.dueBy(now.Add(sweepAgain))
	}
	return q.due
}

func (q *queueSweep) dueBy(at time.Time) {
	if at.Before(q.due) {
		q.due = at
	}
}

// look ends what is overdue in the queue, and learns when something else will be.
func (q *queueSweep) look(ctx context.Context, now time.Time, startWithin time.Duration) error {
	inOrder := true
	done, err := q.Bus.Unacknowledged(ctx, q.id, q.settled, func(w bus.Waiting) (bool, error) {
		due := w.StoredOn.Add(q.Bus.Retention() / 2)
		if start := w.Request.Due(w.StoredOn); !start.IsZero() && start.Before(due) {
			due = start
		}
		if due.After(now) {
			q.dueBy(due)
			inOrder = false
			// Those behind it came later. Only where the task has become less patient may one be due.
			return startWithin > 0 && !w.StoredOn.Add(startWithin).After(now), nil
		}
		if err := q.end(ctx, w, now); err != nil {
			return false, err
		}
		if inOrder {
			q.settled = w.Number
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for n, held := range q.held {
		if n <= done {
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
func (q *queueSweep) end(ctx context.Context, w bus.Waiting, now time.Time) error {
	if q.held[w.Number] != nil {
		return nil
	}
	doc := q.unclaimedDocument(w, now)
	err := q.Bus.EndUnclaimed(ctx, q.id, w.Number, doc)
	switch {
	case err == nil:
		q.tell(doc)
		return nil
	case !errors.Is(err, bus.ErrClaimed):
		return err
	}
	ended, err := q.Bus.Ended(ctx, q.id, w.Number)
	if err == nil && !ended {
		q.held[w.Number] = &holding{Waiting: w}
	}
	return err
}

// unclaimedDocument is the final document of a run that was never started.
func (q *queueSweep) unclaimedDocument(w bus.Waiting, now time.Time) run.Document {
	if w.Request.Overdue(w.StoredOn, now) {
		return run.OverdueDocument(w.Request, w.Number, now)
	}
	doc := run.QueuedDocument(w.Request, w.Number)
	doc.End(run.Failed, q.tooOld("no runner took it"), now)
	return doc
}

func (q *queueSweep) tooOld(because string) string {
	return fmt.Sprintf("The run has not ended within %s, half the time for which runs are kept: %s. It was ended so that its result can still be read; POST again where it is still wanted",
		q.Bus.Retention()/2, because)
}

// watch ends a run that is too old and whose claim has not moved for half a lease. A runner that is at
// work on it ends it itself.
func (q *queueSweep) watch(ctx context.Context, h *holding, now time.Time) error {
	if old := h.StoredOn.Add(q.Bus.Retention() / 2); old.After(now) {
		q.dueBy(old)
		return nil
	}
	seen, found, err := q.Bus.FindClaim(ctx, q.id, h.Number)
	if err != nil {
		return err
	}
	doc := q.unclaimedDocument(h.Waiting, now)
	switch {
	case !found: // it has ended, or its claim has expired
		err = q.Bus.EndUnclaimed(ctx, q.id, h.Number, doc)
	case !seen.State.HandedBack && (h.since.IsZero() || !seen.SameAs(h.seen)):
		h.seen, h.since = seen, now
		q.dueBy(now.Add(q.Bus.Lease() / 2))
		return nil
	case !seen.State.HandedBack && now.Sub(h.since) < q.Bus.Lease()/2:
		q.dueBy(h.since.Add(q.Bus.Lease() / 2))
		return nil
	default:
		doc = run.QueuedDocument(h.Request, h.Number)
		doc.Resume(seen.State, now)
		doc.End(run.Failed, q.tooOld("the runner that had it is gone, and no other took it over"), now)
		err = q.Bus.EndAbandoned(ctx, q.id, h.Number, seen, doc)
	}
	switch {
	case err == nil:
		q.tell(doc)
	case !errors.Is(err, bus.ErrClaimed):
		return err
	case found: // its claim moved in this moment
		h.since = time.Time{}
		q.dueBy(now.Add(q.Bus.Lease() / 2))
		return nil
	}
	delete(q.held, h.Number)
	return nil
}

func (q *queueSweep) tell(doc run.Document) {
	q.swept.WithLabelValues(doc.TaskName).Inc()
	q.Log.Info().Str("task", doc.TaskName).Stringer("run", doc.ImportID).Str("detail", doc.Message).Msg("ended a run that no runner holds")
}
