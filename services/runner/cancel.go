package runner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// canceling is whether a run is to be canceled, and what interrupts the attempt at it that is under way. It is safe
// for concurrent use.
type canceling struct {
	mu        sync.Mutex
	by        *run.Cancel
	interrupt context.CancelCauseFunc
}

// ask interrupts the attempt under way, and all later ones. The first who asks is told of.
func (c *canceling) ask(by run.Cancel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = &by
		c.apply()
	}
}

// begin says what interrupts the attempt that begins.
func (c *canceling) begin(interrupt context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt = interrupt
	c.apply()
}

// apply interrupts what there is to be interrupted; the caller holds mu.
func (c *canceling) apply() {
	if c.by != nil && c.interrupt != nil {
		c.interrupt(c.by)
	}
}

// asked is when the run's cancel was asked for, nil if it was not.
func (c *canceling) asked() *run.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		return nil
	}
	return new(run.Time(c.by.On))
}

// followCancels interrupts the runs under way here that are to be canceled, as the one watch of this runner tells of
// them, until ctx ends.
func (r *Runner) followCancels(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { r.cancels.Follow(ctx) })
	for {
		changed := r.cancels.Changed()
		r.mu.Lock()
		holds := slices.Collect(maps.Values(r.running))
		r.mu.Unlock()
		for _, h := range holds {
			r.heed(h)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// heed interrupts a run that is to be canceled.
func (r *Runner) heed(h *hold) {
	if c, ok := r.cancels.Of(h.task, h.number); ok {
		h.canceling.ask(c)
	}
}

// heedEarlier looks whether a run that was taken over is to be canceled, before anything of it is done: its former
// holder may have fallen silent because of that, and the watch of this runner may be behind. The error is ctx's.
func (a *attempt) heedEarlier(ctx context.Context) error {
	if !a.hold.overtook {
		return ctx.Err()
	}
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		c, found, err := a.runner.options.Work.FindCancel(ctx, a.hold.task, a.hold.number)
		if found {
			a.hold.canceling.ask(c)
		}
		if err == nil || !pause.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// cancel ends the run where it is, because somebody has asked for it.
func (a *attempt) cancel(parent context.Context, c run.Cancel) {
	note, ok := a.count(parent)
	if !ok {
		return
	}
	doc, warnings := a.last()
	doc.EndCanceled(c, time.Now())
	doc.Message = a.message(run.WithWarnings(doc.Message, append(warnings, note...)))
	a.runner.metrics.canceling.Observe(max(0, time.Since(c.On).Seconds()))
	a.conclude(parent, doc)
}

// count has the counts be those of what is at the destination, of a run that ends before this attempt has written
// anything; see overtake. note is the warning where that cannot be had. ok is false where the attempt has let go of the
// run instead.
func (a *attempt) count(parent context.Context) (note []string, ok bool) {
	if !a.hold.silent || a.hold.raised.Load() || a.request.DryRun {
		return nil, true
	}
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	stopKeeper := a.startKeeper(ctx, stop)
	behind, err := a.overtake(ctx)
	stopKeeper()
	switch {
	case errors.Is(err, errLostClaim), errors.Is(err, connector.ErrLost):
		a.log.Warn().Err(err).Msg("attempt abandoned; the run is another runner's")
		return nil, false
	case errors.Is(context.Cause(ctx), errStopping):
		a.handBack(context.WithoutCancel(parent))
		return nil, false
	case ctx.Err() != nil:
		a.log.Warn().Err(context.Cause(ctx)).Msg("attempt abandoned; the run will be delivered again")
		a.hold.retry(abandoned)
		return nil, false
	}
	if behind != "" {
		note = []string{behind}
	}
	return note, true
}

// overtake makes sure that nobody else writes to the destination of a run that was taken over and ends before this
// attempt has written anything, and what is there is counted. note says so if neither can be had.
func (a *attempt) overtake(ctx context.Context) (note string, err error) {
	def, err := a.accepted(ctx)
	if err != nil {
		return "", ctx.Err() // without its definition the run has nothing more to do
	}
	const behind = "The counts are those of the last checkpoint of a runner that fell silent, and the destination may have more"
	job := a.job(def)
	kind, _ := job.Kinds.Destination(def.Destination)
	ledger, ok := kind.(connector.LedgerKind)
	if !ok {
		if a.meter.Snapshot().Confirmed.Row > a.begun.Checkpoint.Row { // behind that all is this attempt's
			return "", nil
		}
		return behind, nil
	}
	at, found, err := ledger.Overtake(ctx, job.Job)
	switch {
	case errors.Is(err, connector.ErrLost), ctx.Err() != nil:
		return "", err
	case err != nil:
		a.log.Warn().Err(err).Msg("what a run has written that was taken over cannot be looked at")
		return behind, nil
	case found:
		a.meter.Begin(at)
	}
	return "", a.hold.confirm(ctx, false)
}
