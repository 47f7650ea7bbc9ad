package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/pipeline"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// checkpointInterval is how often a claim is renewed at most because its checkpoint moved.
const checkpointInterval = time.Second

// hold is a runner's hold on one run: the lease of its delivery, and its claim with the checkpoint in it.
// It lasts over all attempts that this runner makes at the run. It is safe for concurrent use.
type hold struct {
	work   *bus.Work
	task   task.ID
	number run.Number
	log    zerolog.Logger
	// delivery is replaced when the run is delivered to this runner again.
	delivery atomic.Pointer[bus.Delivery]
	// left tells the runner that the hold ends, so that it adopts no delivery any more.
	left func()
	// canceling is whether the run is to be canceled.
	canceling canceling
	// overtook: the run was taken from another holder. silent: that one has not handed it back, and may still write to
	// the destination, until raised: the destination's fence is this holder's.
	overtook, silent bool
	raised           atomic.Bool

	// stands is how long the run stood still because a connection was paused.
	stands standstill

	// mu guards what follows: the keeper renews the claim while the pipeline may mark it.
	mu sync.Mutex
	// claim gets another token between two attempts only; before is the token of the attempt before.
	claim  *bus.Claim
	before uint64
	// state is the claim as it was written last, at renewed or later.
	state   run.Claim
	renewed time.Time
	// extended is when the lease was.
	extended time.Time
	// meter counts the present attempt; the checkpoint is read from it.
	meter *pipeline.Meter
}

func newHold(w *bus.Work, d *bus.Delivery, log zerolog.Logger) *hold {
	with := log.With().Str("task", d.Request.TaskName).Stringer("run", d.Number)
	if d.Request.CorrelationID != "" {
		with = with.Str("correlation_id", d.Request.CorrelationID)
	}
	h := &hold{work: w, task: d.Task, number: d.Number, log: with.Logger(), left: func() {}}
	h.delivery.Store(d)
	return h
}

// verdict is what became of the attempt to claim a delivered run.
type verdict int

const (
	taken         verdict = iota + 1 // it is ours
	ended                            // it has its final document: only acknowledge
	heldElsewhere                    // somebody else is at work on it
)

// take claims the run: a fresh one at once; one that somebody holds when its holder handed it back, is
// this runner or a dead one of the same home, or has not moved while we watched. What it writes does not
// end with ctx: a claim that is given up may be stored all the same, and nobody would hand it back.
func (h *hold) take(ctx context.Context, r *Runner) (verdict, error) {
	fresh, whole := run.Claim{Owner: r.owner, Executions: 1, StartedOn: time.Now().UTC()}, context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		began := time.Now()
		claim, err := h.work.Claim(whole, h.task, h.number, fresh)
		if err == nil {
			h.begin(claim, fresh, 0, began)
			return taken, nil
		}
		if !errors.Is(err, bus.ErrClaimed) {
			return 0, err
		}
		done, err := h.work.Ended(ctx, h.task, h.number)
		if err != nil {
			return 0, err
		}
		if done {
			return ended, nil
		}
		seen, found, err := h.work.FindClaim(ctx, h.task, h.number)
		if err != nil {
			return 0, err
		}
		if !found {
			continue // it ended or was removed between the two looks
		}
		next := seen.State.Next(r.owner)
		if seen.Foreign {
			next = fresh
		} else if !seen.State.HandedBack && !r.outlives(seen.State.Owner) {
			still, err := h.watch(ctx, seen, r.stopping)
			if err != nil {
				return 0, err
			}
			if !still {
				return heldElsewhere, nil
			}
		}
		began = time.Now()
		claim, err = h.work.TakeOver(whole, h.task, h.number, seen, next)
		if errors.Is(err, bus.ErrClaimed) {
			return heldElsewhere, nil
		}
		if err != nil {
			return 0, err
		}
		h.log.Info().Str("from", seen.State.Owner).Int("execution", next.Executions).Msg("run taken over")
		h.overtook, h.silent = true, !seen.Foreign && !seen.State.HandedBack
		h.begin(claim, next, seen.State.Token, began)
		return taken, nil
	}
	return 0, ctx.Err()
}

// watch watches a claim for half a lease of our own clock; no timestamps are compared. It reports
// whether the claim did not move, so that it may be taken.
func (h *hold) watch(ctx context.Context, seen bus.Seen, stopping <-chan struct{}) (still bool, err error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-stopping:
		return false, errStopping
	case <-time.After(h.lease() / 2):
	}
	h.extend()
	again, found, err := h.work.FindClaim(ctx, h.task, h.number)
	return found && again.SameAs(seen), err
}

// again takes the run for this runner's next attempt, by the same way as one that takes it over: with a
// claim whose token is newer than whatever of this attempt may still be on its way. The error is
// [bus.ErrClaimed] when the run is another runner's.
func (h *hold) again(ctx context.Context) error {
	h.mu.Lock()
	state := h.present(h.state).Again()
	h.mu.Unlock()
	before, began := h.claim.Token, time.Now()
	err := h.claim.Again(context.WithoutCancel(ctx), state)
	if err == nil {
		h.begin(h.claim, state, before, began)
	}
	return err
}

// begin takes note of the claim of a new attempt, which was written at that moment or later.
func (h *hold) begin(claim *bus.Claim, state run.Claim, before uint64, written time.Time) {
	meter := &pipeline.Meter{}
	meter.Continue(state)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claim, h.before, h.state, h.meter = claim, before, state, meter
	h.renewed, h.extended = written, written
	h.stands.continues(state.Stood)
}

// renew extends the lease when that is due, three times in its length, and renews the claim then and when
// its checkpoint moved.
func (h *hold) renew(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	third := h.lease() / 3
	if time.Since(h.extended) >= third {
		h.extend()
		h.extended = time.Now()
	}
	moved := h.meter.Snapshot().Confirmed.Row != h.state.Checkpoint.Row
	if since := time.Since(h.renewed); since < third && (!moved || since < checkpointInterval) {
		return nil
	}
	return h.write(ctx, h.state)
}

// confirm returns when it is certain that at this moment nobody else may have taken the run over: the
// claim was renewed, by this process's monotonic clock, more recently than anybody else would have had
// to watch it. mark makes durable, before, that rows may have been written. It returns errLostClaim when
// the run is another runner's.
func (h *hold) confirm(ctx context.Context, mark bool) error {
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		certain, err := h.confirmNow(ctx, mark)
		switch {
		case certain:
			return nil
		case errors.Is(err, bus.ErrLost):
			return errLostClaim
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			pause.Wait(ctx)
		}
	}
}

// confirmNow reports whether it is certain, and otherwise renews the claim.
func (h *hold) confirmNow(ctx context.Context, mark bool) (certain bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// A taker watches for half a lease; see watch.
	if time.Since(h.renewed) < h.lease()*2/5 && (h.state.Checkpoint.Writing || !mark) {
		return true, nil
	}
	next := h.state
	next.Checkpoint.Writing = next.Checkpoint.Writing || mark
	return false, h.write(ctx, next)
}

// pause writes that the run waits, so that whoever takes it over waits on instead of trying at once. What
// cannot be written now the next renewal writes.
func (h *hold) pause(ctx context.Context, pause run.Pause) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.state.Rest(pause)
	if err := h.write(ctx, next); err != nil {
		h.state = next
		h.due()
	}
}

// handBack writes that another runner may take the run at once, and returns the row that it got to.
func (h *hold) handBack(ctx context.Context) (row int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.state
	next.HandedBack = true
	if err := h.write(ctx, next); err != nil {
		return 0, err
	}
	return h.state.Checkpoint.Row, nil
}

// finish writes the final document once; the errors are those of [bus.Claim.Finish].
func (h *hold) finish(ctx context.Context, doc run.Document) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claim.Finish(ctx, doc, h.meter.Snapshot().Confirmed.Rejected)
}

// write renews the claim as next with the present checkpoint; the caller holds mu. It does not end with
// ctx: a write that is given up may be stored all the same, and the next one, such as the handing back of
// a run that is stopped, would take it for another runner's.
func (h *hold) write(ctx context.Context, next run.Claim) error {
	began := time.Now()
	next = h.present(next)
	if err := h.claim.Renew(context.WithoutCancel(ctx), next); err != nil {
		return err
	}
	h.state, h.renewed = next, began
	return nil
}

// present is a claim's state with the present checkpoint; the caller holds mu.
func (h *hold) present(state run.Claim) run.Claim {
	now := h.meter.Snapshot()
	state.Token = h.claim.Token
	state.EarlierErrors, state.Stood = now.Dropped, h.stands.sum()
	writing := state.Checkpoint.Writing
	state.Checkpoint = now.Confirmed
	state.Checkpoint.Writing = writing || now.Confirmed.Writing
	state.Checkpoint.Percent = max(now.Confirmed.Percent, h.state.Checkpoint.Percent)
	return state
}

// doubt makes the next renewal write the claim, whatever its age.
func (h *hold) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.due()
}

// due makes the claim old enough to be renewed; the caller holds mu.
func (h *hold) due() { h.renewed = h.renewed.Add(-h.lease() / 3) }

// last is the claim as it was written last.
func (h *hold) last() run.Claim {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

// age is how long ago the claim was written, at most.
func (h *hold) age() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.renewed)
}

func (h *hold) lease() time.Duration { return h.work.Lease() }

// written reports whether the destination may have rows of the run.
func (h *hold) written() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.present(h.state).Checkpoint
	return now.Writing || now.Row > 0
}

// extend tells the queue that the run is still at work.
func (h *hold) extend() {
	if err := h.delivery.Load().Extend(); err != nil {
		h.log.Debug().Err(err).Msg("the lease could not be extended now")
	}
}

// done tells the queue that the run has ended. It ends the hold, and so does retry.
func (h *hold) done() {
	h.left()
	h.delivery.Load().Done()
}

// retry gives the delivery back, to come again after delay. The hold has ended before it may come.
func (h *hold) retry(delay time.Duration) {
	h.left()
	if err := h.delivery.Load().Retry(delay); err != nil {
		h.log.Debug().Err(err).Msg("the request could not be handed back; its lease will run out")
	}
}
