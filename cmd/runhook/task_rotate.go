package main

import (
	"context"
	"time"

	"runhook/shared/client"
)

type taskRotateCommand struct {
	TaskArg
	Until moment `default:"30d" placeholder:"WHEN" help:"Until when the current GUID still starts runs: now, a length of time such as 30d or 12h, a date, or a moment (${default})."`
}

// Help says what becomes of the present GUID.
func (*taskRotateCommand) Help() string {
	return `The GUID in the webhook's URL changes, and the file's webhook has both. Until the time given, POSTs to the current one start runs too, and their answers do not show the new one. After that, POSTs get 410, and signed links that were made for it end. If the current GUID has leaked, use --until now. The id of the task stays, so events, subscriptions and the list of runs go on as they are.

` + whereHelp + `

Examples:

    runhook task rotate "Refresh lapsed"
    runhook task rotate "Refresh lapsed" --until now
    runhook task rotate "Refresh lapsed" --until 2031-01-31`
}

// Run gives the webhook a new GUID.
func (c *taskRotateCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		until := c.Until.after(time.Now())
		rotated, err := rotate(ctx, server, found, until)
		if err != nil {
			return err
		}
		p.printf("The webhook of %s has the new GUID %s.\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\n\n", rotated.Name, rotated.WebhookID, rotated.ExecuteURL, rotated.ExecutePollingURL)
		if time.Now().Before(until) {
			p.printf("The former one, %s, starts runs until %s.\n", found.WebhookID, until.Format("2006-01-02 15:04 MST"))
		} else {
			p.printf("The former one, %s, starts no more runs.\n", found.WebhookID)
		}
		return nil
	})
}

// rotate gives the webhook a new GUID, once, as soon as the server can: one whose acknowledgement was lost is not done again.
func rotate(ctx context.Context, server *client.Client, found client.Task, until time.Time) (rotated client.Task, err error) {
	var away error
	err = whileAway(ctx, func() (err error) {
		if away != nil {
			if rotated, err = server.Task(ctx, found.ID); err != nil || rotated.WebhookID != found.WebhookID {
				return err
			}
		}
		rotated, err = server.Rotate(ctx, found.ID, until)
		switch {
		case client.Away(err):
			away = err
		case away != nil && isConflict(err): // the server does not see yet what it has stored
			return away
		}
		return err
	})
	return rotated, err
}
