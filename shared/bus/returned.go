package bus

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// Returned are the erasures that were done and of which something is back, as after somebody has restored a stream of an
// earlier time: each as it is to be asked for again. Those of a task's own keep are not among them, because what is back
// is past its keep too.
func (u *Unheld) Returned(ctx context.Context) (again []run.Erasure, err error) {
	var done []run.Erasure
	err = u.Receipts(ctx, time.Unix(0, 0), func(e run.Erasure) {
		if e.By != run.ByKeep && e.DoneOn != nil {
			done = append(done, e)
		}
	})
	for i := 0; i < len(done) && err == nil; i++ {
		var is bool
		if is, err = u.hasReturned(ctx, done[i]); is {
			e := done[i]
			e.Removed, e.DoneOn = run.Removed{}, nil
			again = append(again, e)
		}
	}
	return again, err
}

// hasReturned reports whether a run of an erasure is there. One that is younger than the erasure is another one: its number
// was given out again by a store that was made anew.
func (u *Unheld) hasReturned(ctx context.Context, e run.Erasure) (bool, error) {
	if !e.IsOne() {
		all, err := requestsOf(ctx, u.store, e.Task, e.First, e.Last)
		for _, request := range all {
			if e.Has(request.number) && request.at.Before(e.On) {
				return true, err
			}
		}
		return false, err
	}
	w := erasing{Unheld: u, Erasing: Erasing{Erasure: e}}
	request, err := w.requestInRuns(ctx, e.First)
	if err != nil || request.Sequence > 0 {
		return request.Time.Before(e.On), err
	}
	results, err := u.store.ResultsOf(ctx, e.First)
	var final jet.Record
	if err == nil {
		final, err = results.LeaderFinal(ctx, e.Task, e.First)
	}
	if errors.Is(err, jet.ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return false, nil
	}
	return err == nil && final.Time.Before(e.On), err
}
