package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"runhook/shared/client"
)

type taskDeleteCommand struct {
	TaskArg
	Yes bool `short:"y" help:"Do not ask."`
}

// Help says what stays.
func (*taskDeleteCommand) Help() string {
	return `The task's webhooks then answer 404. If the server follows a folder (--tasks), the task's file is removed. Its runs stay readable. A task with runs that have not ended is not deleted.

Example:

    runhook task delete "Refresh lapsed" --yes`
}

// Run deletes the task.
func (c *taskDeleteCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		if !c.Yes {
			answer, err := p.ask(ctx, fmt.Sprintf("Delete %s (%s)? Type yes: ", found.Name, found.ID))
			if errors.Is(err, errNoTerminal) {
				return fmt.Errorf("this would delete %s (%s): add --yes", found.Name, found.ID)
			}
			if err != nil {
				return err
			}
			if answer != "yes" {
				return errors.New("nothing was deleted")
			}
		}
		asked := false
		err := whileAway(ctx, func() error {
			err := server.Delete(ctx, found.ID)
			problem, ok := errors.AsType[*client.Problem](err)
			if ok && problem.Status == http.StatusNotFound && asked { // the acknowledgement was lost
				return nil
			}
			asked = true
			return err
		})
		if err != nil {
			return err
		}
		p.printf("%s (%s) is deleted.\n", found.Name, found.ID)
		return nil
	})
}
