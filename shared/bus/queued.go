package bus

import (
	"context"
	"errors"
	"fmt"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// mostFilters is how many tasks a scan tells apart; of more it reads all requests.
const mostFilters = 32

// Queued lists the runs of some tasks that no runner holds and that have not ended, those that runners
// would take next: oldest first, behind a number, and at most limit.
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
		return nil, nil
	}
	if len(filters) > mostFilters {
		filters = []string{jet.Requests}
	}
	var queued []Status
	err := r.store.Runs.Scan(ctx, jet.Range{Subjects: filters, HeadersOnly: true, From: max(from, r.store.Numbers.Upto(behind)+1)}, func(request jet.Record) error {
		id, _ := jet.TaskOfRequest(request.Subject)
		if floor, open := acknowledged[id]; !open || request.Sequence <= floor {
			return nil
		}
		n := r.store.Numbers.Of(request.Sequence)
		wanted, err := listed(ctx, id, n)
		if err != nil || !wanted {
			return err
		}
		status, err := r.Lookup(ctx, id, n)
		if errors.Is(err, run.ErrNoRun) || errors.Is(err, run.ErrRunGone) { // no request that a runner would take
			return nil
		}
		if err != nil {
			return err
		}
		if status.Final { // it has ended in this moment
			return nil
		}
		if queued = append(queued, status); len(queued) == limit {
			return jet.ErrEnough
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: list the runs that have not ended: %w", run.ErrUnavailable, err)
	}
	return queued, nil
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
