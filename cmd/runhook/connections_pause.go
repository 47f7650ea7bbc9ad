package main

import (
	"context"
	"fmt"

	"runhook/shared/client"
	"runhook/shared/run"
)

type connectionsPauseCommand struct {
	ConnectionArg
	Why string `placeholder:"TEXT" help:"The reason, which the runs that wait show: one line of at most 200 characters."`
}

// Help says what is changed.
func (*connectionsPauseCommand) Help() string {
	return `Queued runs of tasks that use the connection are not started, and runs in progress stop before their next page or batch. None of them fails, and their timeouts stand still. Cancel ends them as ever.

Example:

    runhook connections pause imis-prod --why "maintenance until 14:00"`
}

// Run pauses the connection.
func (c *connectionsPauseCommand) Run(ctx context.Context, p *program) error {
	if err := run.CheckWhy(c.Why); err != nil {
		return fmt.Errorf("--why: %w", err)
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	var changed bool
	var now client.Connection
	err = whileAway(ctx, func() (err error) {
		changed, now, err = server.PauseConnection(ctx, c.Name, c.Why)
		return err
	})
	if err != nil {
		return err
	}
	if !changed {
		p.printf("Connection %s is paused already.\n", shown(c.Name))
		return nil
	}
	p.printf("Connection %s is paused; the runs of %s wait. `runhook connections resume %[1]s` lets them go on.\n", shown(c.Name), plural(len(now.Tasks), "task"))
	return nil
}
