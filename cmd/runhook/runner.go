package main

import (
	"context"

	"runhook/shared/web"
)

type runnerCommand struct {
	Listen string `default:"127.0.0.1:8083" placeholder:"HOST:PORT" help:"Where health and metrics are served (${default})."`
	HTTPFlags
	NATSFlags
	ConnectionsFlag
	SlotFlags
}

// Help shows an example.
func (*runnerCommand) Help() string {
	return `Executes runs. Start as many runners as you need, each with the connections that tasks name.

Example:

    runhook runner --nats nats://127.0.0.1:4222 --connections ./connections.yaml`
}

// Run executes runs until ctx ends.
func (c *runnerCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	connections, err := c.follow(p.log)
	if err != nil {
		return err
	}
	hosts, err := web.NewHosts(c.Hosts, c.Listen, "")
	if err != nil {
		return err
	}
	certificate, err := c.certificate(p.log)
	if err != nil {
		return err
	}
	process, err := open(ctx, p, append([]step{c.hold, listen(web.Options{Listen: c.Listen, Hosts: hosts, TLS: certificate})}, c.store("runner")...)...)
	if err != nil {
		return err
	}
	defer process.close()
	executing, err := process.runner(c.SlotFlags, connections, "")
	if err != nil {
		return err
	}
	if err := process.answer(); err != nil {
		return err
	}
	p.printf("Runhook's runner executes runs; health and metrics are on %s. Ctrl-C stops it.\n", process.server.URL())
	c.announce(p)
	process.beside(ctx, connections.Look)
	return process.execute(ctx, executing)
}
