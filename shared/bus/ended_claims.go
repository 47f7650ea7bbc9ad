package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// RemoveClaims takes away the claims of runs that have ended. They mean nothing any more, since whoever
// asks for a claim looks for the final document, and only take room: so nobody waits for it, and it is
// done for many at once, which costs the store one write for each task instead of one for each run.
//
// since is what the call before returned, 0 at first: where nothing was written in between, this is one
// look. Several processes may do it at once. After an error some of the claims are still there.
func (u *Unheld) RemoveClaims(ctx context.Context, since uint64) (last uint64, err error) {
	info, err := u.store.Results.Info(ctx)
	if err != nil {
		return since, jet.Explain(err)
	}
	if last = info.State.LastSeq; last == since {
		return last, nil
	}
	tasks := map[task.ID]*taskClaims{}
	err = u.store.Results.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{u.store.Results.Claims()}, HeadersOnly: true,
	}, func(claim jet.Record) error {
		if claim.Sequence > last { // those of runs that were started meanwhile
			return jet.ErrEnough
		}
		id, n, ok := u.store.Results.ClaimedRun(claim.Subject)
		if !ok {
			u.store.Results.PassOver(claim, errors.New("it is the claim of no run"))
			return nil
		}
		claims := tasks[id]
		if claims == nil {
			claims = &taskClaims{}
			queue, err := queueOf(ctx, u.store, id)
			if err != nil {
				return err
			}
			if queue != nil {
				claims.acknowledged = u.store.Numbers.Of(queue.AckFloor.Stream)
			}
			tasks[id] = claims
		}
		if claims.open {
			return nil
		}
		ended := n <= claims.acknowledged
		if !ended {
			if ended, err = u.over(ctx, id, n); err != nil {
				return err
			}
		}
		if claims.open = !ended; ended {
			claims.below = claim.Sequence + 1
		}
		return nil
	})
	if err != nil {
		return since, err
	}
	for id, claims := range tasks {
		if claims.below == 0 {
			continue
		}
		err := u.store.Results.Purge(ctx, jetstream.WithPurgeSubject(u.store.Results.ClaimsOf(id)), jetstream.WithPurgeSequence(claims.below))
		if err != nil {
			return since, fmt.Errorf("remove the claims of ended runs: %w", jet.Explain(err))
		}
	}
	return last, nil
}

// over reports whether a run has ended, or is none: what another program has published as its claim must
// not keep those behind it.
func (u *Unheld) over(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	if ended, err := u.store.Ended(ctx, id, n); ended || err != nil {
		return ended, err
	}
	request, err := u.store.LeaderRequest(ctx, n)
	if errors.Is(err, jet.ErrMissing) {
		return true, nil
	}
	return request.Subject != jet.RequestSubject(id), err
}

// taskClaims is what a scan has seen of a task's claims, in the order in which they were written. Nothing
// is removed that it has not seen: the claim of a run that has not ended, and all behind it, stay. It is
// written again before long, and stands behind the others then.
type taskClaims struct {
	// acknowledged is the number up to which all runs of the task have ended, 0 where that is not known.
	acknowledged run.Number
	// below is the sequence before which all claims are of ended runs; open says that at it one is not.
	below uint64
	open  bool
}
