package main

import (
	"context"
	"fmt"
	"time"

	"runhook/shared/bus"
)

// NATSFlags say how to reach an existing NATS.
type NATSFlags struct {
	NATS        string `name:"nats" required:"" placeholder:"URL,…" help:"NATS servers, such as nats://a:4222,nats://b:4222."`
	Credentials string `placeholder:"FILE" help:"A NATS .creds file, or a file with one line user:password."`
}

// connect connects without looking at what the store holds.
func (f *NATSFlags) connect(ctx context.Context, name string, p *program) (*bus.Bus, error) {
	return bus.Connect(ctx, bus.Config{URLs: f.NATS, Credentials: f.Credentials, Name: name, Log: p.log})
}

// open connects to a store that `runhook init` has made.
func (f *NATSFlags) open(ctx context.Context, name string, p *program) (*bus.Bus, error) {
	store, err := f.connect(ctx, name, p)
	if err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil {
		store.Close()
		return nil, err
	}
	return store, nil
}

// watchTasks starts the process's view of the tasks. It goes on when ctx ends, for what is still
// under way, until stop is called.
func watchTasks(ctx context.Context, store *bus.Bus) (tasks *bus.TaskView, stop func(), err error) {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	loaded := context.AfterFunc(ctx, cancel)
	tasks, ended, err := store.WatchTasks(watching)
	if !loaded() && err == nil {
		<-ended
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return tasks, func() { cancel(); <-ended }, nil
}

// RetentionFlags say how long a store keeps what, and how long it waits for a runner.
type RetentionFlags struct {
	Retention         span `default:"365d" placeholder:"TIME" help:"How long runs, results and events are kept (${default})."`
	IdempotencyWindow span `default:"24h" placeholder:"TIME" help:"How long an Idempotency-Key is remembered (${default})."`

	Lease time.Duration `default:"30s" placeholder:"TIME" help:"How long a runner may be silent before its runs are given to another (${default}). Runners take a change at their next start."`
}

func (f *RetentionFlags) checkLease() error {
	const least = 2 * time.Second
	if f.Lease < least {
		return fmt.Errorf("--lease %s: at least %s, or runners that are only slow would lose their runs", f.Lease, least)
	}
	return nil
}

func (f *RetentionFlags) topology(replicas int) bus.Topology {
	return bus.Topology{
		Replicas: replicas, Retention: time.Duration(f.Retention), IdempotencyWindow: time.Duration(f.IdempotencyWindow),
		Lease: f.Lease,
	}
}

type initCommand struct {
	NATSFlags
	Replicas   int    `default:"1" help:"Copies of everything: 1 for a single server (the default), 3 or 5 for a cluster."`
	Durability string `enum:"always,interval" default:"interval" help:"What the server is set to. always: sync_interval is always, and services group what they write at the same time to a single server. interval: anything else (the default). It sets nothing at the server."`
	RetentionFlags
}

// Help shows an example.
func (*initCommand) Help() string {
	return `Makes the streams and buckets, or changes them to fit the flags. It needs an administrator's credentials and is safe to run again; the services themselves only check what it made.

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
	store, err := c.connect(ctx, "runhook init", p)
	if err != nil {
		return err
	}
	defer store.Close()
	topology := c.topology(c.Replicas)
	topology.Synced = c.Durability == "always"
	if err := store.Init(ctx, topology); err != nil {
		return err
	}
	p.printf("The store %s is ready. Start the services: runhook ingress, runhook runner, runhook status.\n", store.StoreID())
	return nil
}
