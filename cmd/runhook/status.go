package main

import (
	"context"

	"runhook/shared/openapi"
)

type statusCommand struct {
	Listen string `default:"127.0.0.1:8082" placeholder:"HOST:PORT" help:"Where polls are answered (${default})."`
	NATSFlags
	EdgeFlags
	AdminFlag
	Cache string `placeholder:"DIR" help:"Where the history is kept: an index of all runs, for runs list. It is made from the store. off: keep none. Default: a temporary folder, so that it is made again at each start."`
}

// Help shows an example.
func (*statusCommand) Help() string {
	return `Answers polls, and the admin routes /api that ` + "`runhook task` and `runhook runs`" + ` use, and shows the page /console/.

Example:

    runhook status --nats nats://127.0.0.1:4222 --run-key-file run.key --admin-token-file admin.token`
}

// Run answers polls until ctx ends.
func (c *statusCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	edge, err := c.sharedEdge(c.Listen, p.log)
	if err != nil {
		return err
	}
	if err := c.given(); err != nil {
		return err
	}
	guard := func(_ context.Context, p *process) error { return edge.guard(p, c.AdminTokenFile) }
	process, err := open(ctx, p, append(append([]step{guard, listen(edge.http, openapi.Routes())}, c.store("status")...), patiently(watchHolds), patiently(watchTimetables), patiently(watchChains), patiently(answerIntegrations))...)
	if err != nil {
		return err
	}
	defer process.close()
	process.onHangup(edge.secrets.Reload)
	if err := process.answer(edge.status(ctx, process, nil, c.Cache)); err != nil {
		return err
	}
	p.printf("Runhook's status service listens on %s. Ctrl-C stops it.\n", process.server.URL())
	edge.announcePage(ctx, p, process.server)
	process.beside(ctx, process.toCancel().Follow)
	process.beside(ctx, process.toPace().Follow)
	process.beside(ctx, process.paused().Follow)
	process.beside(ctx, process.toErase().Follow)
	process.beside(ctx, process.sweeper().Run)
	process.beside(ctx, process.scheduler(edge).Run)
	process.beside(ctx, process.follower().Run)
	process.beside(ctx, process.keep)
	return process.serve()
}
