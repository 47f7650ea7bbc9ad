package runner

import (
	"context"
	"errors"
	"strings"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
)

// verdict is what became of the attempt to claim a delivered run.
type verdict int

const (
	taken         verdict = iota + 1 // it is ours
	ended                            // it has its final document: only acknowledge
	heldElsewhere                    // somebody else is at work on it
)

// takeClaim claims the run: a fresh one at once; one that somebody holds when its holder handed it
// back, is this runner or a dead one of the same home, or has not moved while we watched.
func (a *attempt) takeClaim(ctx context.Context) (verdict, error) {
	id := a.request.Task
	fresh := run.Claim{Owner: a.owner, Executions: 1, StartedOn: time.Now().UTC()}
	for ctx.Err() == nil {
		began := time.Now()
		claim, err := a.Bus.Claim(ctx, id, a.number, fresh)
		if err == nil {
			return a.hold(claim, fresh, began), nil
		}
		if !errors.Is(err, bus.ErrClaimed) {
			return 0, err
		}
		done, err := a.Bus.Ended(ctx, id, a.number)
		if err != nil {
			return 0, err
		}
		if done {
			return ended, nil
		}
		seen, found, err := a.Bus.FindClaim(ctx, id, a.number)
		if err != nil {
			return 0, err
		}
		if !found {
			continue // it ended or was removed between the two looks
		}
		if !seen.State.HandedBack && !a.orphaned(seen.State.Owner) {
			still, err := a.watch(ctx, seen)
			if err != nil {
				return 0, err
			}
			if !still {
				return heldElsewhere, nil
			}
		}
		next := seen.State.Next(a.owner)
		began = time.Now()
		claim, err = a.Bus.TakeOver(ctx, id, a.number, seen, next)
		if errors.Is(err, bus.ErrClaimed) {
			return heldElsewhere, nil
		}
		if err != nil {
			return 0, err
		}
		a.log.Info().Str("from", seen.State.Owner).Int("execution", next.Executions).Msg("run taken over")
		a.earlier = seen.State
		return a.hold(claim, next, began), nil
	}
	return 0, ctx.Err()
}

// hold takes note of a claim, which was written at that moment or later.
func (a *attempt) hold(claim *bus.Claim, state run.Claim, written time.Time) verdict {
	a.claim, a.begun, a.state, a.renewed = claim, state, state, written
	a.meter.Begin(state.Checkpoint)
	return taken
}

// orphaned reports whether a claim's owner is known to be gone without watching: it is this very
// runner, which would know if it were still at work, or an earlier process of the same home.
func (a *attempt) orphaned(owner string) bool {
	return owner == a.owner || a.Home != "" && strings.HasPrefix(owner, a.Home+"/")
}

// watch watches a claim for half a lease of our own clock; no timestamps are compared. It reports
// whether the claim did not move, so that it may be taken.
func (a *attempt) watch(ctx context.Context, seen bus.Seen) (still bool, err error) {
	timer := time.NewTimer(a.Bus.Lease() / 2)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-a.stopping:
		return false, errStopping
	case <-timer.C:
	}
	a.extend()
	again, found, err := a.Bus.FindClaim(ctx, a.request.Task, a.number)
	return found && again.SameAs(seen), err
}
