package bus

import (
	"context"
	"errors"
	"fmt"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// List lists the newest runs first, of the ids given or, without any, of all tasks; at most limit.
func (r *Runs) List(ctx context.Context, limit int, ids ...task.ID) ([]Status, error) {
	return r.ListBefore(ctx, 0, limit, ids...)
}

// ListBefore is List of the runs with a lower number than before; 0 is all.
func (r *Runs) ListBefore(ctx context.Context, before run.Number, limit int, ids ...task.ID) ([]Status, error) {
	info, err := r.store.Runs.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	last := info.State.LastSeq
	if before > 0 {
		last = min(last, r.store.Numbers.Upto(before-1))
	}
	requests, err := r.newest(ctx, ids, limit, info.State.FirstSeq, last)
	if err == nil && len(requests) < limit {
		requests, err = r.addBundled(ctx, ids, limit, last, requests)
	}
	if err != nil {
		return nil, err
	}
	statuses := make([]Status, 0, len(requests))
	for _, request := range requests {
		status, err := r.Lookup(ctx, request.task, request.number)
		if errors.Is(err, run.ErrRunGone) || errors.Is(err, run.ErrNoRun) {
			continue // expired between the two reads
		}
		if err != nil {
			return nil, err
		}
		statuses = append(statuses, status)
	}
	return statuses, nil
}

// Find returns the task of a run number, for callers who only have the number.
func (r *Runs) Find(ctx context.Context, n run.Number) (task.ID, error) {
	stored, err := r.store.LeaderRequest(ctx, n)
	if errors.Is(err, jet.ErrMissing) {
		return "", run.ErrNoRun
	}
	if err != nil {
		return "", err
	}
	id, ok := jet.TaskOfRequest(stored.Subject)
	if !ok || stored.IsCall() {
		return "", run.ErrNoRun
	}
	return id, nil
}

type listed struct {
	task   task.ID
	number run.Number
}

// newest reads the stream backwards in windows that double: a stream can only be read forwards, and
// the newest runs of a task may lie close to the end or far away.
func (r *Runs) newest(ctx context.Context, ids []task.ID, limit int, first, last uint64) ([]listed, error) {
	filters := []string{jet.Requests}
	if len(ids) > 0 {
		filters = nil
		for _, id := range ids {
			filters = append(filters, jet.RequestSubject(id))
		}
	}
	var found []listed // newest first
	window := uint64(max(64, 2*limit))
	for upper := last + 1; upper > first && len(found) < limit; window *= 2 {
		lower := first
		if upper-first > window {
			lower = upper - window
		}
		page, err := between(ctx, r.store, filters, lower, upper)
		if err != nil {
			return nil, err
		}
		for i := len(page) - 1; i >= 0 && len(found) < limit; i-- {
			found = append(found, page[i])
		}
		upper = lower
	}
	return found, nil
}

// addBundled adds those to the newest runs whose requests are not in RUNS any more, and are not behind last.
func (r *Runs) addBundled(ctx context.Context, ids []task.ID, limit int, last uint64, found []listed) ([]listed, error) {
	info, err := r.store.Runs.Info(ctx) // some may have gone since
	if err != nil {
		return nil, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	below := min(info.State.FirstSeq, last+1)
	if len(found) > 0 {
		below = min(below, r.store.Numbers.Sequence(found[len(found)-1].number))
	}
	err = r.store.Requests(ctx, 1, below, ids, func(request jet.Record) error {
		if id, ok := jet.TaskOfRequest(request.Subject); ok {
			found = append(found, listed{id, r.store.Numbers.Of(request.Sequence)})
		}
		if len(found) >= limit {
			return jet.ErrEnough
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return found, nil
}

// between reads the requests with lower <= sequence < upper, oldest first.
func between(ctx context.Context, s *jet.Store, filters []string, lower, upper uint64) (page []listed, err error) {
	err = s.Runs.Scan(ctx, jet.Range{Subjects: filters, HeadersOnly: true, From: lower}, func(request jet.Record) error {
		if request.Sequence >= upper {
			return jet.ErrEnough
		}
		if id, ok := jet.TaskOfRequest(request.Subject); ok && !request.IsCall() {
			page = append(page, listed{id, s.Numbers.Of(request.Sequence)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: list runs: %w", run.ErrUnavailable, err)
	}
	return page, nil
}
