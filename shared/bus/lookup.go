package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Lookup returns a run's status: its final document, else its live progress, else its claim, else
// its request. It returns run.ErrNoRun, run.ErrRunGone or run.ErrUnavailable.
//
// An answer that rests on a miss is only given after the final document was looked for once more: a
// run never goes back from done, and a fresh run is never unknown. On a cluster, where replicas lag
// and processes ask different ones, whatever is not final comes from the leader, and from one that is
// in touch with the others: no process tells of a run what another has seen to be over.
func (r *Runs) Lookup(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	results, err := r.store.ResultsOf(ctx, n)
	switch {
	case errors.Is(err, run.ErrRunGone):
		return Status{}, r.gone(ctx, id, n)
	case errors.Is(err, jet.ErrMissing): // there is nothing of the run but its request
		return r.queued(ctx, id, n)
	case err != nil:
		return Status{}, err
	}
	final, err := results.Final(ctx, id, n)
	if err == nil {
		return r.finalStatus(ctx, results, final, id, n)
	}
	if errors.Is(err, run.ErrRunGone) {
		return Status{}, r.gone(ctx, id, n)
	}
	if !errors.Is(err, jet.ErrMissing) {
		return Status{}, err
	}
	unfinished, err := r.unfinished(ctx, results, id, n)
	if err != nil && !errors.Is(err, run.ErrNoRun) && !errors.Is(err, run.ErrRunGone) {
		return Status{}, err
	}
	final, confirmErr := results.ConfirmFinal(ctx, id, n)
	switch {
	case confirmErr == nil:
		return r.finalStatus(ctx, results, final, id, n)
	case !errors.Is(confirmErr, jet.ErrMissing):
		return Status{}, confirmErr
	}
	if vouchErr := results.Vouch(ctx); vouchErr != nil {
		return Status{}, vouchErr
	}
	if err == nil && results.IsSealed() {
		return Status{}, run.ErrRunGone
	}
	return unfinished, err
}

// gone is the error of a run whose results are gone: run.ErrRunGone, or run.ErrNoRun where it is another task's or
// none.
func (r *Runs) gone(ctx context.Context, id task.ID, n run.Number) error {
	if _, err := r.Request(ctx, id, n); err != nil {
		return err
	}
	return run.ErrRunGone
}

// queued is the status of a run whose slice is not made yet.
func (r *Runs) queued(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	request, err := r.Request(ctx, id, n)
	if err != nil {
		return Status{}, err
	}
	if err := r.store.Runs.Vouch(ctx); err != nil {
		return Status{}, err
	}
	return statusOf(run.QueuedDocument(request, n), false)
}

// statusOf is the status that a document tells.
func statusOf(doc run.Document, final bool) (Status, error) {
	data, err := doc.Encode()
	return Status{Document: doc, Bytes: data, Final: final}, err
}

// finalStatus is the status of a run that has a final document. Where something else is in its place the
// run has ended all the same: it may have been executed, and every process says of it the same.
func (r *Runs) finalStatus(ctx context.Context, results *jet.Results, final jet.Record, id task.ID, n run.Number) (Status, error) {
	if time.Since(final.Time) > r.store.Retention() { // it goes with others, or with its slice
		return Status{}, r.gone(ctx, id, n)
	}
	doc, err := run.DecodeFinal(final.Data, id, n)
	if err == nil {
		return Status{Document: doc, Bytes: final.Data, Final: true}, nil
	}
	results.PassOver(final, err)
	request, err := r.Request(ctx, id, n)
	if err != nil {
		return Status{}, err
	}
	return statusOf(run.UnreadableDocument(request, n, final.Time), true)
}

// unfinished is what can be said of a run whose final document was not seen.
func (r *Runs) unfinished(ctx context.Context, results *jet.Results, id task.ID, n run.Number) (Status, error) {
	live, err := r.store.Progress.ConfirmLast(ctx, jet.ProgressSubject(id, n))
	if err == nil || r.store.Replicated && errors.Is(err, jet.ErrMissing) {
		if vouchErr := r.store.Progress.Vouch(ctx); vouchErr != nil {
			return Status{}, vouchErr
		}
	}
	if err == nil {
		doc, decodeErr := run.DecodeLive(live.Data, id, n)
		if decodeErr == nil {
			return Status{Document: doc, Bytes: live.Data}, nil
		}
		r.store.Progress.PassOver(live, decodeErr)
		err = jet.ErrMissing
	}
	// Live progress stands in memory only, and a restarted server may have lost its bucket: the claim
	// tells enough then, and if the server is gone it will say so too. A cluster keeps the bucket, so
	// that there an error only means that more is known than can be read now.
	if r.store.Replicated && !errors.Is(err, jet.ErrMissing) {
		return Status{}, err
	}
	claim, err := results.ConfirmLast(ctx, results.ClaimSubject(id, n))
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return Status{}, err
	}
	claimed := err == nil
	request, err := r.Request(ctx, id, n)
	if err != nil {
		return Status{}, err
	}
	doc := run.QueuedDocument(request, n)
	if claimed {
		state, err := run.DecodeClaim(claim.Data)
		switch {
		case err != nil:
			results.PassOver(claim, err)
		case state.Erased: // its request is about to go
			return Status{}, run.ErrRunGone
		default:
			doc.Resume(state, claim.Time)
		}
	}
	return statusOf(doc, false)
}

// Request reads a run's request. Its errors are those of Lookup: what another program has published in
// the place of a request is no run.
func (r *Runs) Request(ctx context.Context, id task.ID, n run.Number) (run.Request, error) {
	stored, err := r.store.Request(ctx, n)
	if errors.Is(err, jet.ErrMissing) && r.store.Replicated {
		stored, err = r.store.LeaderRequest(ctx, n)
	}
	if errors.Is(err, jet.ErrMissing) {
		limited, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
		defer cancel()
		info, err := r.store.Runs.Info(limited)
		if err == nil {
			err = r.store.Runs.Vouch(ctx)
		}
		switch {
		case err != nil:
			return run.Request{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		case n > r.store.Numbers.Of(info.State.LastSeq):
			return run.Request{}, run.ErrNoRun
		}
		return run.Request{}, run.ErrRunGone
	}
	if err != nil {
		return run.Request{}, err
	}
	if owner, ok := jet.TaskOfRequest(stored.Subject); !ok || owner != id || stored.IsCall() {
		return run.Request{}, run.ErrNoRun
	}
	request, err := run.DecodeRequest(stored.Data, id)
	if err != nil {
		r.store.Runs.PassOver(stored, err)
		return run.Request{}, run.ErrNoRun
	}
	return request, nil
}
