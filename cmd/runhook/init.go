package main

import (
	"context"
	"fmt"
)

type initCommand struct {
	NATSFlags
	Replicas   int    `default:"1" help:"Copies of everything: 1 for a single server (the default), 3 or 5 for a cluster."`
	Durability string `enum:"always,interval" default:"interval" help:"How the server is configured; this flag does not configure it. always: its sync_interval is always, and services group their writes to a single server. interval: any other sync_interval (the default)."`
	RetentionFlags
}

// Help shows an example.
func (*initCommand) Help() string {
	return `Creates the streams and buckets, or changes them to fit the flags. It needs an administrator's credentials. It is safe to run again. The services only check the streams and buckets.

Example:

    runhook init --nats nats://a:4222,nats://b:4222,nats://c:4222 --replicas 3 --credentials admin.creds`
}

// Run makes the store.
func (c *initCommand) Run(ctx context.Context, p *program) error {
	if c.Replicas < 1 || c.Replicas > 5 {
		return fmt.Errorf("--replicas %d: 1 to 5, and not more than the cluster has servers", c.Replicas)
	}
	if err := c.checkLease(); err != nil {
		return err
	}
	process, err := open(ctx, p, c.connect("runhook init"))
	if err != nil {
		return err
	}
	defer process.close()
	topology := c.topology(c.Replicas)
	topology.Synced = c.Durability == "always"
	if err := process.store.Init(ctx, topology); err != nil {
		return err
	}
	p.printf("The store %s is ready. Start the services: runhook ingress, runhook runner, runhook status.\n", process.store.StoreID())
	return nil
}
