package main

import (
	"context"
	"errors"
	"fmt"

	"runhook/shared/bus"
)

type initCommand struct {
	NATSFlags
	Replicas     *int      `placeholder:"N" help:"Copies of everything: 1 for a single server, 3 or 5 for a cluster. Default: as the store has it, 1 in a new one."`
	Durability   string    `enum:",always,interval" default:"" help:"How the server is configured; this flag does not configure it. always: its sync_interval is always, and services group their writes to a single server. interval: any other sync_interval. Default: as the store has it, interval in a new one."`
	MaxBytes     *capacity `placeholder:"SIZE" help:"How much all streams together may hold, in each copy, such as 10GiB. POSTs get 503 when it is full. Default: as the store has it, no bound in a new one."`
	MaxConsumers *int      `placeholder:"N" help:"How many tasks there may be, and programs that read RUNS. Default: as the store has it, 100000 or what the account allows in a new one."`
	RetentionFlags
}

const leastBytes = 16 << 20

// Help shows an example.
func (*initCommand) Help() string {
	return `Creates the streams and buckets, or changes them to fit the flags. What is left out stays as it is. It needs an administrator's credentials. It is safe to run again. The services only check the streams and buckets.

Example:

    runhook init --nats nats://a:4222,nats://b:4222,nats://c:4222 --replicas 3 --credentials admin.creds`
}

// Run makes the store.
func (c *initCommand) Run(ctx context.Context, p *program) error {
	if c.MaxBytes != nil && *c.MaxBytes < leastBytes {
		return fmt.Errorf("--max-bytes must be at least 16MiB, not %d bytes, because each stream gets a part of it", *c.MaxBytes)
	}
	if c.MaxConsumers != nil && *c.MaxConsumers < 1 {
		return fmt.Errorf("--max-consumers must be at least 1, not %d", *c.MaxConsumers)
	}
	if err := errors.Join(checkReplicas(c.Replicas), c.checkRetention()); err != nil {
		return err
	}
	process, err := open(ctx, p, c.connect("runhook init"))
	if err != nil {
		return err
	}
	defer process.close()
	topology, err := c.wanted(ctx, process.store)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, process.store, topology); err != nil {
		return err
	}
	p.printf("The store %s is ready. Start the services: runhook ingress, runhook runner, runhook status.\n", process.store.StoreID())
	return nil
}

// wanted is the topology that the flags ask for, of a store that may be there.
func (c *initCommand) wanted(ctx context.Context, store *bus.Bus) (bus.Topology, error) {
	topology := c.topology()
	topology.Replicas, topology.MaxBytes, topology.MaxConsumers = given(c.Replicas), int64(given(c.MaxBytes)), given(c.MaxConsumers)
	topology.Synced = c.Durability == "always"
	if c.Durability == "" {
		has, err := store.Stored(ctx)
		if err != nil {
			return bus.Topology{}, err
		}
		topology.Synced = has.Synced
	}
	return topology, nil
}
