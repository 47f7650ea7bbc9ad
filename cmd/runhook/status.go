package main

import (
	"context"
	"errors"
	"sync"

	"runhook/shared/openapi"
)

type statusCommand struct {
	Listen string `default:"127.0.0.1:8082" placeholder:"HOST:PORT" help:"Where polls are answered (${default}). Beyond loopback it needs --admin-token-file."`
	NATSFlags
	EdgeFlags
	AdminFlag
}

// Help shows an example.
func (*statusCommand) Help() string {
	return `Answers polls, and the admin routes /api that ` + "`runhook task` and `runhook runs`" + ` use.

Example:

    runhook status --nats nats://127.0.0.1:4222 --run-key-file run.key --admin-token-file admin.token`
}

// Run answers polls until ctx ends.
func (c *statusCommand) Run(ctx context.Context, p *program) error {
	if err := errors.Join(c.check(), c.checkListen(c.Listen)); err != nil {
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
	store, err := c.open(ctx, "runhook status", p)
	if err != nil {
		return err
	}
	defer store.Close()
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()
	answers, err := edge.status(store, tasks, c.AdminTokenFile, nil)
	if err != nil {
		return err
	}
	server, err := edge.listen(c.Listen, store, tasks, answers.Routes(), openapi.Routes())
	if err != nil {
		return err
	}
	p.printf("Runhook's status service listens on %s. Ctrl-C stops it.\n", server.URL())
	var swept sync.WaitGroup
	defer swept.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sweeper := edge.sweeper(store, tasks)
	swept.Go(func() { sweeper.Run(ctx) })
	return failedServing(server.Run(ctx))
}
