package main

import (
	"context"

	"runhook/shared/openapi"
)

type ingressCommand struct {
	Listen string `default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Where webhooks are accepted (${default})."`
	NATSFlags
	EdgeFlags
	AdminTokenFile string `placeholder:"FILE" help:"Admin tokens, with which runhook run starts tasks that have auth. Without it no operator does."`
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
	edge, err := c.sharedEdge(c.Listen, p.log)
	if err != nil {
		return err
	}
	guard := func(_ context.Context, p *process) error {
		if c.AdminTokenFile == "" {
			return nil
		}
		return edge.guard(p, c.AdminTokenFile)
	}
	process, err := open(ctx, p, append(append([]step{guard, listen(edge.http, openapi.Routes())}, c.store("ingress")...), patiently(watchHolds))...)
	if err != nil {
		return err
	}
	defer process.close()
	process.onHangup(edge.secrets.Reload)
	if err := process.answer(edge.ingress(process)); err != nil {
		return err
	}
	process.beside(ctx, process.toPace().Follow)
	p.printf("Runhook's ingress listens on %s. Ctrl-C stops it.\n", process.server.URL())
	return process.serve()
}
