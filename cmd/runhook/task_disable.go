package main

import "context"

type taskDisableCommand struct{ TaskArg }

// Help says what is changed.
func (*taskDisableCommand) Help() string {
	return `Callers then get 409. ` + whereHelp + `

Example:

    runhook task disable "Refresh lapsed"`
}

// Run disables the task.
func (c *taskDisableCommand) Run(ctx context.Context, p *program) error {
	return c.enable(ctx, p, false, "disabled")
}
