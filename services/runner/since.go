package runner

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
	"runhook/shared/watermark"
)

// increment is what an attempt has to do with the watermark of its task, which reads incrementally.
type increment struct {
	def   *task.Definition
	marks *bus.Watermarks
	// from is from where the run reads.
	from run.Since
	// moving is that the run has said what it moves the watermark to; nil before, and if it does not.
	moving *bus.Moving
}

// readSince decides from where the run reads, if its task reads incrementally: at its first attempt, for all of them.
func (a *attempt) readSince(ctx context.Context, def *task.Definition) error {
	if def.Since() == nil {
		return nil
	}
	a.increment = &increment{def: def, marks: a.runner.options.Work.Watermarks()}
	if a.begun.Since != nil {
		a.increment.from = *a.begun.Since
		return nil
	}
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		now, err := a.increment.marks.Settle(ctx, def.ID)
		if err == nil {
			a.increment.from = beginning(def.Since(), now, a.request.Full)
			err = a.hold.reads(ctx, a.increment.from)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bus.ErrForeignWatermark):
			return run.Failf("%s", err)
		case errors.Is(err, bus.ErrLost):
			return errLostClaim
		case ctx.Err() != nil || !pause.Wait(ctx):
			return ctx.Err()
		}
	}
}

// beginning is from where a run reads.
func beginning(since *task.Since, now bus.Watermarked, full bool) run.Since {
	from := run.Since{Value: since.Start, Set: now.Set}
	if value, err := watermark.Parse(now.Of(since.Column)); err == nil && !full {
		from.Value = value.Before(since.Overlap, since.OverlapCount).String()
	}
	return from
}

// reads writes into the claim from where the run reads.
func (h *hold) reads(ctx context.Context, from run.Since) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.state
	next.Since = &from
	return h.write(ctx, next)
}

// parameters are the run's, with the one from which it reads.
func (a *attempt) parameters() task.Values {
	if a.increment == nil {
		return a.request.Parameters
	}
	return a.request.Parameters.WithSince(a.increment.from.Value)
}

// move says, before a run succeeds, what it has seen, for as long as it takes. ok is false if the run is given up
// meanwhile. notes go into its message.
func (a *attempt) move(ctx context.Context) (notes []string, ok bool) {
	now := a.meter.Snapshot()
	if a.increment == nil || a.request.DryRun || now.Highest == "" || a.isPart() {
		return nil, true
	}
	if notKept(now) > 0 && a.increment.def.Destination.Traits().Restartable {
		return []string{"the watermark stays where it was, because failed rows were not kept: the next run reads the same rows again"}, true
	}
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 5 * time.Second}
	for {
		moving, err := a.increment.marks.Move(context.WithoutCancel(ctx), a.hold.claim, a.increment.def.Since().Column, now.Highest, a.increment.from.Set)
		if err == nil {
			a.increment.moving = moving
			return nil, true
		}
		if pause.First() {
			a.log.Warn().Err(err).Msg("the watermark of the task cannot be written now, trying again")
		}
		a.hold.extend()
		if !pause.Wait(ctx) {
			a.log.Warn().Msg("stopped before the watermark of the task could be written; the run is handed back")
			a.handBack(context.WithoutCancel(ctx))
			return nil, false
		}
	}
}

// isPart reports whether the run may have read a part of the rows alone, because it was given values for parameters.
func (a *attempt) isPart() bool {
	for _, value := range a.request.Parameters {
		if value.From == task.FromRequest {
			return true
		}
	}
	return false
}

// moved says that the run has succeeded. Whoever reads the watermark next finds that out without.
func (a *attempt) moved(ctx context.Context) {
	if a.increment == nil || a.increment.moving == nil {
		return
	}
	if err := a.increment.moving.Done(ctx, a.hold.claim); err != nil {
		a.log.Debug().Err(err).Msg("that the run has moved the watermark of its task is left to the next one to see")
	}
}

// settleWatermark stores what an ended run has moved the watermark of its task to, if its runner died before.
func (r *Runner) settleWatermark(ctx context.Context, id task.ID) {
	of, ok := r.options.Tasks.Of(id)
	if !ok || of.Definition == nil || of.Since() == nil {
		return
	}
	if _, err := r.options.Work.Watermarks().Settle(ctx, id); err != nil {
		r.options.Log.Debug().Err(err).Msg("the watermark of a task is left to its next run to settle")
	}
}
