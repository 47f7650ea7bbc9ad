package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connector"
	"runhook/services/runner/pipeline"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// attempt is one execution of a run by this process, from the claim that it begins with to its verdict.
type attempt struct {
	runner  *Runner
	hold    *hold
	request run.Request
	log     zerolog.Logger
	live    *bus.Progress
	// begun is the claim as this attempt took it.
	begun run.Claim
	meter *pipeline.Meter
	// forget removes the checkpoint that the destination keeps; nil if it keeps none.
	forget func(ctx context.Context) error
	// increment is nil for a task that reads all rows.
	increment *increment
	// waits are what it waits for at the moment.
	waits waits
	// chunks is how many chunks of rejected rows were stored under this claim's token.
	chunks int
}

// The causes with which an attempt's own context is canceled, besides errStopping.
var (
	errLostClaim  = errors.New("another runner has taken the run over")
	errOutOfTouch = errors.New("the claim could not be renewed for the length of the lease")
)

// abandoned is the wait before a run whose claim could not be kept is delivered again.
const abandoned = time.Second

// errOverdue: the run was taken too late to be started.
var errOverdue = errors.New("the run is overdue")

// attempt takes a delivered request through its life: claim, execute, finish, acknowledge.
func (r *Runner) attempt(ctx context.Context, h *hold) {
	defer h.left()
	if h.delivery.Load().Malformed != nil {
		r.endForeign(ctx, h)
		return
	}
	if !h.delivery.Load().IsPlain() && r.setAside(ctx, h) {
		return
	}
	d, log := h.delivery.Load(), h.log
	if r.endOverlapped(ctx, h) {
		return
	}

	verdict, err := h.take(ctx, r)
	switch {
	case err != nil && r.isStopping():
		h.retry(0)
	case err != nil:
		log.Warn().Err(err).Msg("the run could not be claimed now; it will be delivered again")
		h.retry(time.Second)
	case verdict == ended:
		r.settleEnded(ctx, h)
	case verdict == heldElsewhere:
		h.retry(h.lease())
	case verdict == taken:
		a := newAttempt(r, h, d.Request, log, r.options.Work.Progress(d.Task, d.Number))
		for a != nil {
			a = a.execute(ctx)
		}
	}
}

// setAside has a run wait for the time at which it is to start, in no queue; or, when that has come, reads its request. It
// reports whether there is nothing to start now.
func (r *Runner) setAside(ctx context.Context, h *hold) (over bool) {
	d := h.delivery.Load()
	request, err := r.options.Work.Recall(ctx, d)
	if err == nil {
		r.mu.Lock() // another delivery of the run may come, with no request either
		d = h.delivery.Load()
		d.Request = request
		r.mu.Unlock()
	}
	switch {
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone): // it was erased
		h.done()
		return true
	case err == nil && !d.WaitsForTime():
		return false
	case err == nil:
		err = r.options.Work.SetAside(context.WithoutCancel(ctx), d)
	}
	switch {
	case err == nil:
		h.log.Debug().Time("run_at", d.Request.RunAt).Msg("run waits for its time")
		h.done()
	case r.isStopping():
		h.retry(0)
	default:
		h.log.Warn().Err(err).Msg("a run that is to start at a time cannot be set aside, or taken up, now; it will be delivered again")
		h.retry(time.Second)
	}
	return true
}

// settleEnded acknowledges a run that has ended.
func (r *Runner) settleEnded(ctx context.Context, h *hold) {
	d := h.delivery.Load()
	if err := r.options.Work.Settle(ctx, d.Request, d.Number); err != nil {
		h.log.Debug().Err(err).Msg("the final document of the run stays as another program has left it")
	}
	r.settleWatermark(ctx, h.task)
	h.done()
}

// endForeign ends a message on the task's queue that is no run request, under the name of the task.
func (r *Runner) endForeign(ctx context.Context, h *hold) {
	d, name := h.delivery.Load(), "Unknown task"
	if of, ok := r.options.Tasks.Of(h.task); ok && of.Definition != nil {
		name = of.Name
	}
	doc := run.ForeignDocument(h.task, name, h.number, d.Stored)
	err := r.options.Work.EndForeign(ctx, d, doc)
	switch {
	case err == nil:
		r.metrics.count(doc)
		h.done()
	case errors.Is(err, bus.ErrClaimed):
		h.done()
	default:
		h.log.Warn().Err(err).Msg("a message that is no run request cannot be ended now; it will be delivered again")
		h.retry(time.Second)
	}
}

// newAttempt returns the attempt that has just begun with the claim of h.
func newAttempt(r *Runner, h *hold, request run.Request, log zerolog.Logger, live *bus.Progress) *attempt {
	return &attempt{runner: r, hold: h, request: request, log: log, live: live, begun: h.last(), meter: h.meter}
}

// execute sees to the claimed run while the keeper keeps the claim and the lease, and ends it or lets go
// of it. It returns the attempt that follows this one, nil when there is none here.
func (a *attempt) execute(parent context.Context) (next *attempt) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	a.hold.canceling.begin(cancel)
	a.runner.heed(a.hold) // somebody may have asked before the run was taken
	stopKeeper := a.startKeeper(ctx, cancel)
	err := a.perform(ctx, cancel)
	stopKeeper()
	return a.settle(parent, err, context.Cause(ctx))
}

// settle ends the run, or lets go of it, as an attempt went that returned err; cause is why its context
// ended, nil if it did not. It returns the attempt that follows.
func (a *attempt) settle(parent context.Context, err, cause error) (next *attempt) {
	timeout, over := errors.AsType[*run.Failure](cause)
	canceled, isCanceled := errors.AsType[*run.Cancel](cause)
	switch {
	case errors.Is(err, errLostClaim), errors.Is(err, connector.ErrLost):
		a.log.Warn().Err(err).Msg("attempt abandoned; the run is another runner's")
	case errors.Is(err, errRested) && !a.runner.isStopping():
		return a.again(parent)
	case errors.Is(err, errOverdue):
		a.conclude(parent, run.OverdueDocument(a.request, a.hold.number, time.Now()))
	case errors.Is(err, errStopping), errors.Is(err, errRested):
		a.handBack(context.WithoutCancel(parent))
	case err == nil || !errors.Is(err, context.Canceled):
		a.finish(parent, err)
	case over:
		a.finish(parent, timeout)
	case isCanceled:
		a.cancel(parent, *canceled)
	case errors.Is(cause, errStopping):
		a.handBack(context.WithoutCancel(parent))
	default:
		a.log.Warn().Err(cause).Msg("attempt abandoned; the run will be delivered again")
		a.hold.retry(abandoned) // soon, not when the lease of the delivery has run out: the claim says who may go on
	}
	return nil
}

// perform makes the attempt, or waits for the next one where the run was taken over in such a wait.
func (a *attempt) perform(ctx context.Context, cancel context.CancelCauseFunc) error {
	if err := a.heedEarlier(ctx); err != nil {
		return err
	}
	if reason := a.refuse(); reason != nil {
		return reason
	}
	def, err := a.accepted(ctx)
	if err != nil {
		return err
	}
	stop, err := a.limit(def, cancel)
	if err != nil {
		return err
	}
	defer stop()
	if pause := a.begun.Pause; pause != nil {
		return a.await(ctx, *pause)
	}
	if err := a.readSince(ctx, def); err != nil {
		return err
	}
	if a.begun.Executions == 1 {
		a.runner.metrics.wait.of(a.request.TaskName).Observe(time.Since(a.request.CreatedOn).Seconds())
	}
	a.runner.metrics.started.of(a.request.TaskName).Inc()
	a.log.Info().Int("execution", a.begun.Executions).Msg("run started")
	return a.rest(ctx, def, a.work(ctx, def))
}

// refuse ends a run whose task was deleted before it came, one that comes too late, and one that keeps
// stopping its runner.
func (a *attempt) refuse() error {
	if a.request.Overdue(a.hold.delivery.Load().Stored, a.begun.StartedOn) {
		return errOverdue
	}
	if of, ok := a.runner.options.Tasks.Of(a.request.Task); ok && of.Deleted {
		return run.Failf("The task was deleted, and this run came too late to be executed.")
	}
	if a.begun.Idle < run.MaxIdle {
		return nil
	}
	return run.Failf(
		"Given up after %d interrupted attempts that got no further than row %d. The run may be stopping its runner: look at the runners' logs before you POST again.",
		a.begun.Executions-1, a.begun.Furthest)
}

// accepted is the accepted definition, for which it waits while NATS is away.
func (a *attempt) accepted(ctx context.Context) (*task.Definition, error) {
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		def, err := a.runner.definition(ctx, a.request)
		switch {
		case err == nil:
			return def, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, run.ErrUnavailable):
			return nil, run.Failf("%s", err)
		case !pause.Wait(ctx):
			return nil, ctx.Err()
		}
	}
}

// limit cancels the attempt when the run's time is over, with the failure as the cause. The time
// counts from the first start, whoever made it, without the times in which a connection was paused. A run whose time is over already fails at once. stop
// ends the watch.
func (a *attempt) limit(def *task.Definition, cancel context.CancelCauseFunc) (stop func(), err error) {
	if def.Timeout <= 0 {
		return func() {}, nil
	}
	over := func(doing string) error {
		return run.Failf("Stopped by the timeout of %s. What it was doing: %s. A task that needs longer says so in timeout", run.Span(def.Timeout), doing)
	}
	left := time.Until(a.begun.StartedOn.Add(def.Timeout + a.begun.Stood))
	if left <= 0 {
		return nil, over("Starting again after an interruption")
	}
	return a.hold.stands.after(left, func() { cancel(over(a.document().Message)) }), nil
}

// work executes the definition. A panic fails the run, not the runner.
func (a *attempt) work(ctx context.Context, def *task.Definition) error {
	err := pipeline.Run(ctx, a.job(def), a.meter)
	if panicked, ok := errors.AsType[*pipeline.Panic](err); ok {
		a.log.Error().Bytes("stack", panicked.Stack).Msg("the task panicked")
	}
	return err
}

// job is what the definition has the attempt do.
func (a *attempt) job(def *task.Definition) pipeline.Job {
	def, kinds := a.corrected(def)
	rejected := a.rejectedRows(def)
	job := pipeline.Job{Kinds: kinds, Reject: rejected.add, Stored: rejected.stored}
	job.Job = connector.Job{
		Task: def, Parameters: a.parameters(), Connections: a.runner.options.Connections.For(a), DryRun: a.request.DryRun,
		Run: string(a.request.Task) + "." + a.hold.number.String(), Publish: a.publish,
	}
	if !job.DryRun {
		a.guard(&job)
	}
	return job
}

// guard has the pipeline write only while the run is this attempt's. A destination that keeps the
// checkpoint refuses the writes of an attempt that was overtaken; elsewhere the claim is looked at before
// each batch.
func (a *attempt) guard(job *pipeline.Job) {
	job.Confirm = func(ctx context.Context) error {
		a.hold.raised.Store(true)
		return a.hold.confirm(ctx, false)
	}
	kind, _ := job.Kinds.Destination(job.Task.Destination) // the pipeline fails without one
	ledger, ok := kind.(connector.LedgerKind)
	if !ok {
		mark := !job.Task.Destination.Traits().Restartable
		job.BeforeWrite = func(ctx context.Context, _ int64) error { return a.hold.confirm(ctx, mark) }
		return
	}
	job.Fence = &connector.Fence{
		Store: a.runner.options.Work.StoreID(), Task: a.request.Task, Number: a.hold.number,
		Token: a.hold.claim.Token, Takeover: a.begun.Executions > 1,
	}
	kept := job.Job
	a.forget = func(ctx context.Context) error { return ledger.Forget(ctx, kept) }
}

// finish ends the run. err is why it failed, nil when it succeeded.
func (a *attempt) finish(ctx context.Context, err error) {
	note, ok := a.count(ctx)
	if !ok {
		return
	}
	doc, warnings := a.last()
	warnings = append(warnings, note...)
	switch failure, ok := errors.AsType[*run.Failure](err); {
	case err == nil:
		notes, ok := a.move(ctx)
		if !ok {
			return
		}
		doc.End(run.Success, a.message(run.WithWarnings(summary(doc), append(warnings, notes...))), time.Now())
	case ok:
		doc.End(run.Failed, a.message(run.WithWarnings(failure.Message, warnings)), time.Now())
	default:
		a.log.Error().Err(err).Msg("the run failed with an unexpected error")
		doc.End(run.Failed, "An unexpected error; the runner's log has the details.", time.Now())
	}
	a.conclude(ctx, doc)
}

// last is the document of the run as it is at its end, and the warnings that its message is to have.
func (a *attempt) last() (doc run.Document, warnings []string) {
	now := a.meter.Snapshot()
	warnings = slices.Clip(now.Warnings)
	if left := notKept(now); left > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of the failed rows are counted and not kept, because the run keeps no more of them than rejected_rows.max", left))
	}
	doc = a.document()
	doc.NameRejected(now.Confirmed.Rejected)
	return doc, warnings
}

// conclude writes the final document, for as long as it takes, and then clears away.
func (a *attempt) conclude(ctx context.Context, doc run.Document) {
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 5 * time.Second}
	for {
		err := a.hold.finish(context.WithoutCancel(ctx), doc)
		if err == nil {
			break
		}
		if errors.Is(err, bus.ErrLost) {
			a.log.Warn().Msg("the run has been taken over or has ended elsewhere; this result is dropped")
			return
		}
		if pause.First() {
			a.log.Warn().Err(err).Msg("the final document cannot be written now, trying again")
		}
		a.hold.extend()
		if !pause.Wait(ctx) {
			a.log.Warn().Msg("stopped before the final document could be written; the run is handed back")
			a.handBack(context.WithoutCancel(ctx))
			return
		}
	}
	a.moved(context.WithoutCancel(ctx))
	a.runner.metrics.count(doc)
	a.runner.paces.add(doc)
	a.log.Info().Str("outcome", string(doc.Outcome())).Int64("rows", doc.RowsProcessed).Int64("rows_failed", doc.RowsFailed).
		Int64("ms", doc.DurationMs).Str("detail", doc.Message).Msg("run ended")

	clean := context.WithoutCancel(ctx)
	a.hold.done()
	// What is left nobody waits for; mostly there is nothing.
	if err := a.live.Remove(clean); err != nil {
		a.log.Debug().Err(err).Msg("the live document of an ended run stays until it expires")
	}
	a.sweepRejected(clean)
	if a.forget == nil {
		return
	}
	if err := a.forget(clean); err != nil {
		a.log.Debug().Err(err).Msg("the checkpoint of an ended run stays in its database, where it means nothing any more")
	}
}

// handBack gives a run that was stopped in an orderly way to another runner, at once.
func (a *attempt) handBack(ctx context.Context) {
	row, err := a.hold.handBack(ctx)
	if err != nil {
		a.log.Warn().Err(err).Msg("the run could not be handed back; another runner takes it when the lease ends")
		return
	}
	a.log.Info().Int64("row", row).Msg("run handed back")
	a.showHandedBack(ctx)
	a.hold.retry(0)
}

// showHandedBack has the live document say that the run waits for a runner.
func (a *attempt) showHandedBack(ctx context.Context) {
	doc := a.document()
	doc.WaitFor(run.Waiting{Kind: run.ForSlot, Pool: a.runner.options.Pool, Since: new(run.Time(time.Now()))})
	if err := a.live.Write(ctx, doc); err != nil {
		a.log.Debug().Err(err).Msg("the live document of a run that was handed back cannot be written")
	}
}

// message is a final document's.
func (a *attempt) message(text string) string {
	if a.request.DryRun {
		return "Dry run, nothing was written: " + text
	}
	return text
}

// summary is the message of a successful run.
func summary(doc run.Document) string {
	text := strconv.FormatInt(doc.RowsProcessed, 10) + " rows processed"
	if doc.RowsSkipped > 0 {
		text += ", " + strconv.FormatInt(doc.RowsSkipped, 10) + " skipped"
	}
	if doc.RowsFailed > 0 {
		text += ", " + strconv.FormatInt(doc.RowsFailed, 10) + " failed"
	}
	return text
}
