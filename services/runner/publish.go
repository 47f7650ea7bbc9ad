package runner

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// publishTries is how often a batch is published that NATS did not take or acknowledge. While NATS is
// away for longer, the claim is lost before they are used up.
const publishTries = 10

// publish is what a run's nats destination publishes with.
func (a *attempt) publish(ctx context.Context, subject string, ids []string, messages [][]byte) (tooLarge map[int]string, err error) {
	pause := wait.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for try := 1; ; try++ {
		tooLarge, err = a.runner.options.Work.Publish(ctx, subject, ids, messages)
		switch {
		case err == nil:
			return tooLarge, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, run.ErrUnavailable) && try < publishTries:
			if !pause.Wait(ctx) {
				return nil, ctx.Err()
			}
			if err := a.hold.confirm(ctx, false); err != nil {
				return nil, err
			}
			continue
		}
		a.log.Error().Err(err).Str("subject", subject).Msg("rows cannot be published")
		if errors.Is(err, bus.ErrRefused) {
			return nil, run.Failf("The rows cannot be published to the task's subject: a permission, or the stream that listens there, refuses them; the runner's log says more")
		}
		return nil, run.Passingf("The rows cannot be published to the task's subject: NATS does not take or acknowledge them; the runner's log says more")
	}
}
