package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"runhook/shared/client"
	"runhook/shared/task"
)

type runsCancelCommand struct {
	ServerFlags
	Runs   []string `arg:"" optional:"" name:"run" help:"The runs' numbers."`
	Queued bool     `help:"All runs that no runner has and that have not ended, instead of numbers."`
	Task   string   `placeholder:"TASK" help:"With --queued: only the runs of this task: its id, or a unique part of its name."`
}

// Help shows examples.
func (*runsCancelCommand) Help() string {
	return `Ends runs that no runner has: they are Canceled without being executed. A run in progress cannot be canceled yet.

Examples:

    runhook runs cancel 41 42
    runhook runs cancel --queued --task "Refresh lapsed"
    runhook runs cancel --queued`
}

func (c *runsCancelCommand) check() error {
	switch {
	case len(c.Runs) == 0 && !c.Queued:
		return errors.New("name the runs to cancel, or pass --queued for all that no runner has")
	case len(c.Runs) > 0 && c.Queued:
		return errors.New("--queued cancels all queued runs: leave it out, or the numbers")
	case c.Task != "" && !c.Queued:
		return errors.New("--task goes with --queued; a number needs no task")
	}
	return nil
}

// Run cancels the runs.
func (c *runsCancelCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Queued {
		return c.cancelQueued(ctx, p, server)
	}
	var refused error
	for _, text := range c.Runs {
		number, err := parseRun(text)
		if err != nil {
			return err
		}
		doc, err := server.Run(ctx, number)
		if err == nil {
			doc, err = server.Cancel(ctx, doc.ExecuteID, number)
		}
		if _, isProblem := errors.AsType[*client.Problem](err); isProblem { // the others may be canceled for all that
			refused = errors.Join(refused, err)
			continue
		}
		if err != nil {
			return err
		}
		p.printf("Run %s of %q is canceled.\n", doc.ImportID, doc.TaskName)
	}
	if refused != nil {
		return &exit{exitFailed, refused}
	}
	return nil
}

// cancelQueued cancels what waits now. What a runner takes meanwhile goes on.
func (c *runsCancelCommand) cancelQueued(ctx context.Context, p *program, server *client.Client) (err error) {
	var id task.ID
	if c.Task != "" {
		if id, err = server.Find(ctx, c.Task); err != nil {
			return err
		}
	}
	docs, _, err := queued(ctx, server, id, math.MaxInt32)
	if err != nil {
		return err
	}
	var canceled, taken int
	for _, doc := range docs {
		_, err := server.Cancel(ctx, doc.ExecuteID, doc.ImportID)
		problem, isProblem := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			canceled++
		case isProblem && problem.Status == http.StatusConflict:
			taken++
		default:
			return fmt.Errorf("run %s was not canceled, after %s had been: %w", doc.ImportID, plural(canceled, "run"), err)
		}
	}
	switch {
	case len(docs) == 0:
		p.printf("No run waits for a runner.\n")
	case taken > 0:
		p.printf("Canceled %s. Runners took %s in between.\n", plural(canceled, "queued run"), plural(taken, "run"))
	default:
		p.printf("Canceled %s.\n", plural(canceled, "queued run"))
	}
	return nil
}
