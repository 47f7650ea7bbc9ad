package main

import (
	"context"
	"time"
)

type consoleCommand struct{ ServerFlags }

// Help shows examples.
func (*consoleCommand) Help() string {
	return `Prints a link that opens the server's page and signs in there with the rights of the admin token that is used, once, within 10 minutes. The session lasts until it was not used for 12 hours, at most 7 days, and ends at once when its token is taken out of the server's file.

Examples:

    runhook console
    runhook console --server https://hooks.example.org --token-file admin.token
    xdg-open "$(runhook console)"`
}

// Run prints the link, and beside it as whom it signs in.
func (c *consoleCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	link, err := server.SignInLink(ctx)
	if err != nil {
		return err
	}
	rights := ""
	if link.ReadOnly {
		rights = ", to read only"
	}
	p.printf("%s\n", server.URL(link.Path))
	p.notef("It signs in as %s%s, once, until %s.\n", link.Name, rights, link.ExpiresOn.Local().Format(time.TimeOnly))
	return nil
}
