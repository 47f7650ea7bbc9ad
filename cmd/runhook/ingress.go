package main

import (
	"context"

	"runhook/shared/openapi"
)

type ingressCommand struct {
	Listen string `default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Where webhooks are accepted (${default})."`
	NATSFlags
	EdgeFlags
}

// Help shows an example.
func (*ingressCommand) Help() string {
	return `Accepts webhooks: POST /task/execute/TASK and POST /task/executepolling/TASK. Put a reverse proxy in front of it and ` +
		"`runhook status`" + `; deploy/nginx has one.

Example:

    runhook ingress --nats nats://127.0.0.1:4222 --run-key-file run.key --trusted-proxies 127.0.0.1`
}

// Run accepts webhooks until ctx ends.
func (c *ingressCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	keys, err := c.sharedKeys()
	if err != nil {
		return err
	}
	metrics := newMetrics()
	edge, err := newEdge(c.EdgeFlags, keys, p, metrics)
	if err != nil {
		return err
	}
	store, err := c.open(ctx, "runhook ingress", p)
	if err != nil {
		return err
	}
	defer store.Close()
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()
	webhooks, err := edge.ingress(store, tasks)
	if err != nil {
		return err
	}
	server, err := edge.listen(c.Listen, store, tasks, webhooks, openapi.Routes())
	if err != nil {
		return err
	}
	p.printf("Runhook's ingress listens on %s. Ctrl-C stops it.\n", server.URL())
	return failedServing(server.Run(ctx))
}
