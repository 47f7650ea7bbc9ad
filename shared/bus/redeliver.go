package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/wait"
)

// Redeliver makes every request that is leased to somebody available at once, instead of when its
// lease runs out. It is for a process that knows the former holders to be gone, such as `serve` after
// a restart; a holder that lives keeps its claim and only sees its run offered to others.
//
// The server looks at its leases again when their length changes, so the length is changed, and back.
func (w *Work) Redeliver(ctx context.Context) error {
	consumers := w.store.Runs.ListConsumers(ctx)
	var leased []jetstream.ConsumerConfig
	for info := range consumers.Info() {
		if info.NumAckPending > 0 {
			leased = append(leased, info.Config)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	if len(leased) == 0 {
		return nil
	}
	for _, config := range leased {
		config.AckWait = time.Millisecond
		if _, err := w.store.Runs.UpdateConsumer(ctx, config); err != nil {
			return fmt.Errorf("end the leases of task %s: %w", config.Durable, jet.Explain(err))
		}
	}
	// The server looks 100 ms after the change, and nothing tells that it has. Where a busy machine has its
	// timer come late, these come late too.
	for range 5 {
		wait.For(ctx, 100*time.Millisecond)
	}
	for _, config := range leased {
		config.AckWait = w.store.Lease
		if _, err := w.store.Runs.UpdateConsumer(context.WithoutCancel(ctx), config); err != nil {
			return fmt.Errorf("restore the leases of task %s: %w", config.Durable, jet.Explain(err))
		}
	}
	return ctx.Err()
}
