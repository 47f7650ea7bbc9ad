package main

import "context"

type taskEnableCommand struct{ TaskArg }

// Help says what is changed.
func (*taskEnableCommand) Help() string {
	return `A task that too many failed runs hold (disable_after_failures) is let go; its failures count from now on.

` + whereHelp + `

Example:

    runhook task enable "Refresh lapsed"`
}

// Run enables the task.
func (c *taskEnableCommand) Run(ctx context.Context, p *program) error {
	return c.enable(ctx, p, true, "enabled")
}
