package main

import (
	"context"

	"runhook/shared/client"
)

type connectionsResumeCommand struct{ ConnectionArg }

// Help shows an example.
func (*connectionsResumeCommand) Help() string {
	return `The runs that wait for the connection go on within a second.

Example:

    runhook connections resume imis-prod`
}

// Run resumes the connection.
func (c *connectionsResumeCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	var changed bool
	var now client.Connection
	err = whileAway(ctx, func() (err error) {
		changed, now, err = server.ResumeConnection(ctx, c.Name)
		return err
	})
	if err != nil {
		return err
	}
	if !changed {
		p.printf("Connection %s is not paused.\n", shown(c.Name))
		return nil
	}
	p.printf("Connection %s is resumed; the runs of %s go on.\n", shown(c.Name), plural(len(now.Tasks), "task"))
	return nil
}
