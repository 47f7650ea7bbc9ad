package pipeline

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"runhook/shared/task"
	"runhook/shared/wait"
)

// brake holds a source to a task's rate.
type brake struct {
	limiter *rate.Limiter
}

// newBrake returns nil where there is no rate.
func newBrake(r task.Rate) *brake {
	if r.Count == 0 {
		return nil
	}
	limit := rate.Limit(float64(r.Count) / r.Per.Seconds())
	// What one wait was too long may be made up for, up to a twentieth of a second: timers are coarse.
	burst := max(1, int(limit/20))
	b := &brake{limiter: rate.NewLimiter(limit, burst)}
	b.limiter.AllowN(time.Now(), burst-1)
	return b
}

// wait returns when the next row may go on, or ctx's error.
func (b *brake) wait(ctx context.Context) error {
	if delay := b.limiter.Reserve().Delay(); delay > 0 && !wait.For(ctx, delay) {
		return ctx.Err()
	}
	return nil
}
