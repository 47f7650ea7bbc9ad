package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// fitLeases gives the consumers that there are the store's lease.
func (b *Bus) fitLeases(ctx context.Context) error {
	consumers := b.store.Runs.ListConsumers(ctx)
	var others []jetstream.ConsumerConfig
	for info := range consumers.Info() {
		if info.Config.Durable != "" && info.Config.AckWait != b.store.Lease {
			others = append(others, info.Config)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	for _, config := range others {
		config.AckWait = b.store.Lease
		if _, err := b.store.Runs.UpdateConsumer(ctx, config); err != nil {
			return fmt.Errorf("change the lease of task %s: %w", config.Durable, jet.Explain(err))
		}
	}
	return nil
}
