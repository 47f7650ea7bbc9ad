package runner

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
)

// endOverlapped ends a delivered run that is never to be started, because of another run of its task. Mostly the
// status service has ended it long before, and thousands of them may wait before the next one: that is looked at first.
func (r *Runner) endOverlapped(ctx context.Context, h *hold) (over bool) {
	d := h.delivery.Load()
	if !r.mayBeOverlapped(d) {
		return false
	}
	if ended, err := r.options.Work.Ended(ctx, d.Task, d.Number); ended && err == nil {
		r.settleEnded(ctx, h)
		return true
	}
	doc, over, err := r.overlapped(ctx, d)
	if err == nil && !over {
		return false
	}
	if err == nil {
		err = r.options.Work.EndUnstarted(context.WithoutCancel(ctx), d, doc)
	}
	switch {
	case errors.Is(err, bus.ErrClaimed): // it has begun, or has ended
		return false
	case err != nil && r.isStopping():
		h.retry(0)
	case err != nil:
		h.log.Warn().Err(err).Msg("whether another run has taken the place of this one cannot be told now; it will be delivered again")
		h.retry(time.Second)
	default:
		r.metrics.count(doc)
		h.log.Info().Str("detail", doc.Message).Msg("run not started")
		h.done()
	}
	return true
}

// mayBeOverlapped reports whether another run of its task may keep a run from being started. Of one that was accepted
// before its task came to supersede runs, the task as it is now tells.
func (r *Runner) mayBeOverlapped(d *bus.Delivery) bool {
	if d.Request.SkippedFor > 0 || d.Request.Overlap.Supersedes() {
		return true
	}
	of, ok := r.options.Tasks.Of(d.Task)
	return ok && of.Definition != nil && of.Overlap.Supersedes()
}

// overlapped is the final document of a run that is never to be started; over is false for another one.
func (r *Runner) overlapped(ctx context.Context, d *bus.Delivery) (doc run.Document, over bool, err error) {
	if d.Request.SkippedFor > 0 {
		return run.SkippedDocument(d.Request, d.Number, time.Now()), true, nil
	}
	next, over, err := r.options.Work.Successor(ctx, d)
	if err != nil || !over || next.MayFollow(time.Now()) {
		return doc, false, err
	}
	return run.CanceledDocument(d.Request, d.Number, nil, next.Cancel(), time.Now()), true, nil
}
