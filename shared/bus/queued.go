package bus

import (
	"context"
	"errors"
	"fmt"
	"math"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// mostFilters is how many tasks a scan tells apart; of more it reads all requests.
const mostFilters = 32

// Queued lists the runs of some tasks that no runner holds and that have not ended, those that runners
// would take next: oldest first, behind a number, and at most limit. Where ctx ends before, it lists the runs that were
// found, if there are any: there are no more only where a list is empty.
func (r *Runs) Queued(ctx context.Context, behind run.Number, limit int, ids ...task.ID) ([]Status, error) {
	return r.unended(ctx, behind, limit, ids, r.free)
}

// Open lists the runs of some tasks that have not ended, as Queued does: those that runners hold, too.
func (r *Runs) Open(ctx context.Context, behind run.Number, limit int, ids ...task.ID) ([]Status, error) {
	return r.unended(ctx, behind, limit, ids, func(ctx context.Context, id task.ID, n run.Number) (bool, error) {
		ended, err := r.store.Ended(ctx, id, n)
		return !ended, err
	})
}

// unended lists those of the runs that may not have ended that listed lets in.
func (r *Runs) unended(ctx context.Context, behind run.Number, limit int, ids []task.ID, listed func(context.Context, task.ID, run.Number) (bool, error)) ([]Status, error) {
	list := unendedList{runs: r, limit: limit, listed: listed}
	// Before the queues: what begins to wait for its time meanwhile is in its queue still.
	alarms, err := alarms(ctx, r.store, ids...)
	if err != nil {
		return nil, err
	}
	for _, a := range alarms {
		if a.Number > behind {
			list.waits = append(list.waits, a)
		}
	}
	acknowledged := map[task.ID]uint64{} // everything up to here
	from, filters := uint64(0), []string(nil)
	for _, id := range ids {
		info, err := waiting(ctx, r.store, id)
		if err != nil {
			return nil, err
		}
		if info == nil {
			continue
		}
		acknowledged[id] = info.AckFloor.Stream
		filters = append(filters, jet.RequestSubject(id))
		if first := info.AckFloor.Stream + 1; from == 0 || first < from {
			from = first
		}
	}
	if from == 0 {
		err = list.upTo(ctx, math.MaxUint64)
	} else {
		if len(filters) > mostFilters {
			filters = []string{jet.Requests}
		}
		err = r.store.Runs.Scan(ctx, jet.Range{Subjects: filters, HeadersOnly: true, From: max(from, r.store.Numbers.Upto(behind)+1)}, func(request jet.Record) error {
			id, _ := jet.TaskOfRequest(request.Subject)
			if floor, open := acknowledged[id]; !open || request.Sequence <= floor || request.IsCall() { // whose run has an alarm
				return nil
			}
			n := r.store.Numbers.Of(request.Sequence)
			if err := list.upTo(ctx, n); err != nil {
				return err
			}
			return list.add(ctx, id, n)
		})
		if err == nil {
			err = list.upTo(ctx, math.MaxUint64)
		}
	}
	late := ctx.Err() != nil && len(list.found) > 0
	if err != nil && !errors.Is(err, jet.ErrEnough) && !late {
		return nil, fmt.Errorf("%w: list the runs that have not ended: %w", run.ErrUnavailable, err)
	}
	return list.found, nil
}

// unendedList is a list of runs that is being made, oldest first.
type unendedList struct {
	runs   *Runs
	limit  int
	listed func(context.Context, task.ID, run.Number) (bool, error)
	found  []Status
	// waits are the runs that have waited, or wait, for their time and are not in the list yet, oldest first.
	waits []Alarm
}

// upTo adds the runs that wait for their time up to a number.
func (l *unendedList) upTo(ctx context.Context, n run.Number) error {
	for len(l.waits) > 0 && l.waits[0].Number <= n {
		a := l.waits[0]
		l.waits = l.waits[1:]
		if a.Number == n { // it is in its queue, too
			continue
		}
		if err := l.add(ctx, a.Task, a.Number); err != nil {
			return err
		}
	}
	return nil
}

// add adds a run if it is to be listed; jet.ErrEnough means that the list is full.
func (l *unendedList) add(ctx context.Context, id task.ID, n run.Number) error {
	wanted, err := l.listed(ctx, id, n)
	if err != nil || !wanted {
		return err
	}
	status, err := l.runs.Lookup(ctx, id, n)
	switch {
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone): // no request that a runner would take
		return nil
	case err != nil:
		return err
	case status.Final: // it has ended in this moment
		return nil
	}
	if l.found = append(l.found, status); len(l.found) == l.limit {
		return jet.ErrEnough
	}
	return nil
}

// free reports whether nobody holds a run, and it has not ended, as the leader has it.
func (r *Runs) free(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	seen, claimed, err := claims{r.store}.FindClaim(ctx, id, n)
	if err != nil || claimed {
		return seen.Foreign || seen.State.HandedBack, err
	}
	ended, err := r.store.Ended(ctx, id, n)
	return !ended, err
}
