package bus

import (
	"context"
	"errors"
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
// The server looks at its leases again when their length changes, so the length is changed, and back. If
// this process is killed in between, the next call puts it back, or Keep.
func (w *Work) Redeliver(ctx context.Context) (err error) {
	consumers := w.store.Runs.ListConsumers(ctx)
	var leased, others []jetstream.ConsumerConfig
	for info := range consumers.Info() {
		switch {
		case info.Config.Durable == "":
		case info.NumAckPending > 0:
			leased = append(leased, info.Config)
		case info.Config.AckWait != w.store.Lease:
			others = append(others, info.Config)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	defer func() {
		for _, config := range append(others, leased...) {
			config.AckWait = w.store.Lease
			if _, failed := w.store.Runs.UpdateConsumer(context.WithoutCancel(ctx), config); failed != nil {
				err = errors.Join(err, fmt.Errorf("restore the lease of task %s: %w", config.Durable, jet.Explain(failed)))
			}
		}
	}()
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
	return ctx.Err()
}
