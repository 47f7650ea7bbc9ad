package runner

import (
	"context"
	"errors"
	"time"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/shared/bus"
	"runhook/shared/task"
)

// kept is where a run's checkpoint stands at its destination.
type kept struct {
	at    *task.SQLDestination
	fence *connector.Fence
}

// guard has the pipeline write only while the run is this attempt's. A database refuses the writes of
// an attempt that was overtaken; elsewhere the claim is looked at before each batch.
func (a *attempt) guard(job *pipeline.Job) {
	to := job.Task.Destination
	job.Confirm = func(ctx context.Context) error { return a.confirm(ctx, false) }
	if to.SQL == nil {
		mark := !to.Restartable()
		job.BeforeWrite = func(ctx context.Context, _ int64) error { return a.confirm(ctx, mark) }
		return
	}
	job.Fence = &connector.Fence{
		Store: a.Bus.StoreID(), Task: a.request.Task, Number: a.number,
		Token: a.claim.Token, Takeover: a.begun.Executions > 1,
	}
	a.kept = kept{to.SQL, job.Fence}
}

// confirm returns when it is certain that at this moment nobody else may have taken the run over: the
// claim was renewed, by this process's monotonic clock, more recently than anybody else would have had
// to watch it. mark makes durable, before, that rows may have been written. It returns errLostClaim when
// the run is another runner's.
func (a *attempt) confirm(ctx context.Context, mark bool) error {
	pause := newBackoff(50*time.Millisecond, time.Second)
	for {
		certain, err := a.confirmNow(ctx, mark)
		switch {
		case certain:
			return nil
		case errors.Is(err, bus.ErrLost):
			return errLostClaim
		case err != nil && !pause.wait(ctx):
			return ctx.Err()
		}
	}
}

// confirmNow reports whether it is certain, and otherwise renews the claim.
func (a *attempt) confirmNow(ctx context.Context, mark bool) (certain bool, err error) {
	a.writing.Lock()
	defer a.writing.Unlock()
	// A taker watches for half a lease; see watch.
	if time.Since(a.renewed) < a.Bus.Lease()*2/5 && (a.state.Checkpoint.Writing || !mark) {
		return true, nil
	}
	next := a.state
	next.Checkpoint.Writing = next.Checkpoint.Writing || mark
	return false, a.renew(ctx, next)
}

// forget removes the checkpoint that the destination keeps of a run that has ended.
func (a *attempt) forget(ctx context.Context) {
	if a.kept.fence == nil {
		return
	}
	if err := sqldb.Forget(ctx, a.Connections, a.kept.at, a.kept.fence); err != nil {
		a.log.Debug().Err(err).Msg("the checkpoint of an ended run stays in its database, where it means nothing any more")
	}
}
