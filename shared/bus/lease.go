package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// storedLease is the lease that the store has now, 0 where there is no store yet.
func (b *Bus) storedLease(ctx context.Context) (time.Duration, error) {
	runs, err := b.store.JS.Stream(ctx, jet.RunsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", jet.RunsStream, jet.Explain(err))
	}
	lease, err := time.ParseDuration(runs.CachedInfo().Config.Metadata[jet.LeaseKey])
	if err != nil {
		return 0, nil // it does not say, so every consumer is looked at
	}
	return lease, nil
}

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
