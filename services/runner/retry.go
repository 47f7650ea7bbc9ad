package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// mostBackoff is the longest wait between two attempts, unless the other side asks for a longer one.
const mostBackoff = time.Hour

// errRested is how an attempt ends whose run has waited long enough for the next one.
var errRested = errors.New("the next attempt is due")

// rest waits for the next attempt where err is a fault that may pass and the task allows one: the run
// keeps its claim, and its place before the later runs of the task. It returns errRested when the wait
// is over, errStopping when the runner stops meanwhile, and otherwise why the run ends.
func (a *attempt) rest(ctx context.Context, def *task.Definition, err error) error {
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok || !failure.Passing {
		return err
	}
	tried := a.begun.Tried + 1
	if tried >= def.Retry.Attempts {
		if tried > 1 {
			failure.Message += fmt.Sprintf("; given up after %d attempts", tried)
		}
		return err
	}
	if a.hold.written() && !def.Continues() && !def.Destination.Traits().Restartable {
		failure.Message += "; it is not tried again, because rows were written, and starting over would write them twice"
		return err
	}
	length := max(backoffOf(def.Retry, tried), failure.RetryAfter)
	if left := def.Timeout + a.hold.stands.sum() - time.Since(a.begun.StartedOn); def.Timeout > 0 && length >= left {
		failure.Message += fmt.Sprintf("; the next attempt would begin in %s, after the timeout of %s", run.Span(length), run.Span(def.Timeout))
		return err
	}
	pause := run.Pause{Until: time.Now().UTC().Add(length), Length: length, Why: failure.Message, Attempts: def.Retry.Attempts}
	a.log.Warn().Int("attempt", tried).Int("of", def.Retry.Attempts).Dur("wait", length).Str("detail", failure.Message).
		Msg("attempt failed; the run waits for the next")
	a.hold.pause(ctx, pause)
	return a.await(ctx, pause)
}

// await waits until a pause is over.
func (a *attempt) await(ctx context.Context, pause run.Pause) error {
	select {
	case <-time.After(pause.Left(time.Now())):
		return errRested
	case <-a.runner.stopping:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again begins the next attempt at the run. It returns nil when the run is another runner's or may be by
// now, and when the runner stops: then the run is handed back.
func (a *attempt) again(ctx context.Context) *attempt {
	began := time.Now()
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		err := a.hold.again(ctx)
		switch {
		case err == nil:
			return newAttempt(a.runner, a.hold, a.request, a.log, a.live)
		case errors.Is(err, bus.ErrClaimed):
			a.log.Warn().Msg("the run has been taken over while it waited for its next attempt")
			return nil
		case time.Since(began) >= a.hold.lease():
			a.log.Warn().Err(err).Msg("the next attempt cannot be begun now; the run will be delivered again")
			a.hold.retry(abandoned)
			return nil
		case !pause.Wait(ctx):
			a.handBack(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// backoffOf is the wait after so many tries: it doubles, and is up to a quarter longer, so that what
// failed at the same moment does not come back at the same moment.
func backoffOf(r task.Retry, tried int) time.Duration {
	length := wait.Doubled(r.Backoff, mostBackoff, tried)
	return length + rand.N(length/4+1)
}
