package main

import (
	"context"
	"time"

	"runhook/shared/client"
)

type taskRotateCommand struct {
	TaskArg
	Until moment `default:"30d" placeholder:"WHEN" help:"Until when the current id still starts runs: now, a length of time such as 30d or 12h, a date, or a moment (${default})."`
}

// Help says what becomes of the present id.
func (*taskRotateCommand) Help() string {
	return `The current id goes into the file's former_ids. Until the time given, POSTs to it start runs of the new id, and their answers show the new id: if the current id has leaked, use --until now. After that, POSTs get 410. The URLs of earlier runs keep working.

` + whereHelp + `

Examples:

    runhook task rotate "Refresh lapsed"
    runhook task rotate "Refresh lapsed" --until now
    runhook task rotate "Refresh lapsed" --until 2031-01-31`
}

// Run gives the task a new id.
func (c *taskRotateCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		until := c.Until.after(time.Now())
		rotated, err := server.Rotate(ctx, found.ID, until)
		if err != nil {
			return err
		}
		p.printf("%s has the new id %s.\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\n\n", rotated.Name, rotated.ID, rotated.ExecuteURL, rotated.ExecutePollingURL)
		if time.Now().Before(until) {
			p.printf("The former id %s starts runs until %s.\n", found.ID, until.Format("2006-01-02 15:04 MST"))
		} else {
			p.printf("The former id %s starts no more runs.\n", found.ID)
		}
		return nil
	})
}
