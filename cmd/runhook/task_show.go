package main

import (
	"context"

	"runhook/shared/client"
)

type taskShowCommand struct {
	TaskArg
	JSONFlag
}

// Run shows the task.
func (c *taskShowCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(_ *client.Client, found client.Task) error {
		if c.JSON {
			return p.printJSON(found)
		}
		p.noteFault(found)
		p.noteHold(found)
		schedule, err := scheduleText(found)
		if err != nil {
			return err
		}
		p.printf("%s (enabled: %s, applied %s)\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\nBody:                   %s\n\n%s%s",
			found.Name, enabled(found), found.AppliedOn.Format("2006-01-02 15:04:05 MST"),
			found.ExecuteURL, found.ExecutePollingURL, found.Template, schedule, found.Text)
		return nil
	})
}
