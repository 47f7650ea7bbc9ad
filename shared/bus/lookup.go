package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

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
	final, err := r.store.Results.Last(ctx, jet.FinalSubject(id, n))
	if err == nil {
		return finalStatus(final.Data)
	}
	if !errors.Is(err, jet.ErrMissing) {
		return Status{}, err
	}
	unfinished, err := r.unfinished(ctx, id, n)
	if err != nil && !errors.Is(err, run.ErrNoRun) && !errors.Is(err, run.ErrRunGone) {
		return Status{}, err
	}
	final, confirmErr := r.store.Results.ConfirmLast(ctx, jet.FinalSubject(id, n))
	switch {
	case confirmErr == nil:
		return finalStatus(final.Data)
	case !errors.Is(confirmErr, jet.ErrMissing):
		return Status{}, confirmErr
	}
	if vouchErr := r.store.Results.Vouch(ctx); vouchErr != nil {
		return Status{}, vouchErr
	}
	return unfinished, err
}

func finalStatus(data []byte) (Status, error) {
	doc, err := run.DecodeDocument(data)
	return Status{Document: doc, Bytes: data, Final: true}, err
}

// unfinished is what can be said of a run whose final document was not seen.
func (r *Runs) unfinished(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	live, err := r.store.Progress.ConfirmLast(ctx, jet.ProgressSubject(id, n))
	if err == nil || r.store.Replicated && errors.Is(err, jet.ErrMissing) {
		if vouchErr := r.store.Progress.Vouch(ctx); vouchErr != nil {
			return Status{}, vouchErr
		}
	}
	if err == nil {
		doc, err := run.DecodeDocument(live.Data)
		return Status{Document: doc, Bytes: live.Data}, err
	}
	// Live progress stands in memory only, and a restarted server may have lost its bucket: the claim
	// tells enough then, and if the server is gone it will say so too. A cluster keeps the bucket, so
	// that there an error only means that more is known than can be read now.
	if r.store.Replicated && !errors.Is(err, jet.ErrMissing) {
		return Status{}, err
	}
	claim, err := r.store.Results.ConfirmLast(ctx, jet.ClaimSubject(id, n))
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
		var state run.Claim
		if err := json.Unmarshal(claim.Data, &state); err != nil {
			return Status{}, fmt.Errorf("decode the claim of run %s: %w", n, err)
		}
		doc.Resume(state, claim.Time)
	}
	data, err := doc.Encode()
	return Status{Document: doc, Bytes: data}, err
}

// Request reads a run's request. Its errors are those of Lookup.
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
	var request run.Request
	if owner, ok := jet.TaskOfRequest(stored.Subject); !ok || owner != id {
		return request, run.ErrNoRun
	}
	if err := json.Unmarshal(stored.Data, &request); err != nil {
		return request, fmt.Errorf("decode run request %s: %w", n, err)
	}
	return request, nil
}

// lookAgain is how often Await looks itself: republished documents are core messages, which a
// reconnect or a slow route can lose.
var lookAgain = 2 * time.Second // longer in a test

// Await is Lookup that waits until the run has ended. When ctx ends first it returns the last
// status seen and no error.
func (r *Runs) Await(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	updates := make(chan *nats.Msg, 64)
	follow, err := r.store.NC.ChanSubscribe(jet.FollowSubject(id, n), updates)
	if err != nil {
		return Status{}, fmt.Errorf("%w: follow run %s: %w", run.ErrUnavailable, n, err)
	}
	defer func() { _ = follow.Unsubscribe() }() // fails only with the connection
	again := time.NewTicker(lookAgain)
	defer again.Stop()

	var latest Status
	for look := true; ; {
		if look {
			// The subscription travels ahead of this read on the same connection, so nothing that
			// happens after it can be missed.
			status, err := r.Lookup(context.WithoutCancel(ctx), id, n)
			if err != nil {
				return Status{}, err
			}
			latest = status
		}
		if latest.Final || ctx.Err() != nil {
			return latest, nil
		}
		select {
		case <-ctx.Done():
			return latest, nil
		case <-again.C:
			look = true
		case msg := <-updates:
			look = false
			doc, err := run.DecodeDocument(msg.Data)
			if err != nil {
				return Status{}, err
			}
			latest = Status{Document: doc, Bytes: msg.Data, Final: doc.Status == run.Done}
		}
	}
}
