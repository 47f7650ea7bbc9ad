package main

import (
	"context"

	"runhook/shared/web"
)

type runnerCommand struct {
	Listen string `default:"127.0.0.1:8083" placeholder:"HOST:PORT" help:"Where health and metrics are answered (${default})."`
	NATSFlags
	ConnectionsFlag
	SlotFlags
}

// Help shows an example.
func (*runnerCommand) Help() string {
	return `Executes runs. Start as many as there is work for, each with the connections that the tasks name.

Example:

    runhook runner --nats nats://127.0.0.1:4222 --connections ./connections.yaml`
}

// Run executes runs until ctx ends.
func (c *runnerCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	store, err := c.open(ctx, "runhook runner", p)
	if err != nil {
		return err
	}
	defer store.Close()
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()
	metrics := newMetrics()
	executing, err := c.runner(store, tasks, connections, "", p, metrics)
	if err != nil {
		return err
	}
	server, err := web.New(web.Options{Listen: c.Listen, Log: p.log}, web.Health(ready(store, tasks)), web.Metrics(metrics))
	if err != nil {
		return err
	}
	p.printf("Runhook's runner executes runs; health and metrics are on %s. Ctrl-C stops it.\n", server.URL())
	return serveAndExecute(ctx, p, server, executing)
}
