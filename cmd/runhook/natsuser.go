package main

import (
	"context"
	"fmt"
	"regexp"

	"runhook/shared/bus/rights"
)

type natsUserCommand struct {
	Name string `arg:"" help:"init, ingress, runner, status, or the name of an integration."`
}

// Help shows an example.
func (*natsUserCommand) Help() string {
	return `Prints what a user of a NATS server may do, as its configuration has it: a service's user, or an integration's, which follows runs and reads events. deploy/nats/runhook.conf has all services and one integration.

Example:

    runhook nats-user crm`
}

// integrationName is what a user, an account and a consumer can be called.
var integrationName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Run prints the user's rights.
func (c *natsUserCommand) Run(_ context.Context, p *program) error {
	if !integrationName.MatchString(c.Name) {
		return fmt.Errorf("%q cannot be the name of a user: use letters, digits, _ and -", c.Name)
	}
	p.printf("%s", rights.OfUser(c.Name))
	return nil
}
