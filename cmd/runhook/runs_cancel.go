package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsCancelCommand struct {
	ServerFlags
	JSONFlag
	Runs   []string `arg:"" optional:"" name:"run" help:"The runs' numbers."`
	Task   string   `placeholder:"TASK" help:"All runs of this task that have not ended, instead of numbers: its id, or a unique part of its name."`
	Queued bool     `help:"All runs that no runner has, instead of numbers; with --task only those of that task."`
	Why    string   `placeholder:"TEXT" help:"The reason, for the messages of the runs: one line of at most 200 characters."`
}

// Help shows examples.
func (*runsCancelCommand) Help() string {
	return `Ends runs: they are Canceled. A queued run is not started; a run in progress stops where it is, and what it has written stays.

Examples:

    runhook runs cancel 41 42 --why "wrong file"
    runhook runs cancel --task "Refresh lapsed"
    runhook runs cancel --queued`
}

func (c *runsCancelCommand) check() error {
	switch {
	case len(c.Runs) == 0 && !c.Queued && c.Task == "":
		return errors.New("name the runs to cancel, or pass --task TASK for all of a task, or --queued for all that no runner has")
	case len(c.Runs) > 0 && (c.Queued || c.Task != ""):
		return errors.New("--task and --queued cancel all runs that they name: leave them out, or the numbers")
	}
	if err := run.CheckWhy(c.Why); err != nil {
		return fmt.Errorf("--why: %w", err)
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
	docs, refused, err := c.named(ctx, server)
	if err != nil {
		return err
	}
	// All are asked to end before any is waited for.
	var asked []run.Document
	taken := 0
	for _, doc := range docs {
		now, err := server.Cancel(ctx, doc.ExecuteID, doc.ImportID, c.Why, c.Queued)
		problem, isProblem := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			asked = append(asked, now)
		case isProblem && problem.Status == http.StatusConflict && c.Queued:
			taken++
		case isProblem && (problem.Status == http.StatusConflict || len(c.Runs) > 0): // the others may be canceled for all that
			refused = append(refused, err)
		default:
			return fmt.Errorf("run %s was not canceled, after %s had been: %w", doc.ImportID, plural(len(asked), "run"), err)
		}
	}
	ended, late := c.await(ctx, p, server, asked)
	refused = append(refused, late...)
	switch {
	case c.JSON:
		if err := p.printJSON(ended); err != nil {
			return err
		}
	case len(docs) == 0 && len(refused) == 0:
		p.printf("There is no run to cancel.\n")
	case taken > 0:
		p.printf("Canceled %d of %s. Runners took %s in between.\n", len(ended)-len(late), plural(len(docs), "run"), plural(taken, "run"))
	case max(len(docs), len(c.Runs)) > 1:
		p.printf("Canceled %d of %s.\n", len(ended)-len(late), plural(max(len(docs), len(c.Runs)), "run"))
	}
	if len(refused) > 0 {
		return &exit{exitFailed, errors.Join(refused...)}
	}
	return nil
}

// named are the runs that the command line names, and why some of them are not there.
func (c *runsCancelCommand) named(ctx context.Context, server *client.Client) (docs []run.Document, refused []error, err error) {
	if len(c.Runs) == 0 {
		var id task.ID
		if c.Task != "" {
			if id, err = server.Find(ctx, c.Task); err != nil {
				return nil, nil, err
			}
		}
		which := client.Open
		if c.Queued {
			which = client.Queued
		}
		listed, _, err := unended(ctx, server, which, id, math.MaxInt32)
		for _, one := range listed {
			docs = append(docs, run.Document{ExecuteID: one.ExecuteID, ImportID: one.ImportID, TaskName: one.TaskName})
		}
		return docs, nil, err
	}
	for _, text := range c.Runs {
		number, err := parseRun(text)
		if err != nil {
			return nil, nil, err
		}
		doc, err := server.Run(ctx, number)
		if _, isProblem := errors.AsType[*client.Problem](err); isProblem {
			refused = append(refused, err)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		docs = append(docs, doc)
	}
	return docs, refused, nil
}

// cancelLimit is how long a run may take to end that a runner was asked to cancel: its runner may be gone.
const cancelLimit = 10 * time.Second

// await waits for the runs that were asked to end, says what became of each, and returns their documents and why
// some of them are not canceled.
func (c *runsCancelCommand) await(ctx context.Context, p *program, server *client.Client, asked []run.Document) (docs []run.Document, late []error) {
	limited, cancel := context.WithTimeout(ctx, cancelLimit)
	defer cancel()
	docs = make([]run.Document, 0, len(asked))
	for _, doc := range asked {
		if doc.Status != run.Done {
			started := client.Started{Task: doc.ExecuteID, Number: doc.ImportID}
			now, err := server.Wait(limited, started, cancelLimit, nil, nil)
			if err != nil { // another one took all of the time
				now, _, err = server.Status(ctx, started, 0)
			}
			if err == nil {
				doc = now
			}
		}
		docs = append(docs, doc)
		switch {
		case doc.Outcome() == run.Canceled:
			if !c.JSON {
				p.printf("Run %s of %q: %s.\n", doc.ImportID, doc.TaskName, doc.Message)
			}
		case doc.Status == run.Done:
			late = append(late, fmt.Errorf("run %s of %q ended before its runner heard of the cancel: %s", doc.ImportID, doc.TaskName, doc.StatusDescription))
		default:
			late = append(late, fmt.Errorf("run %s of %q was asked to end and has not within %s, so its runner may be gone; it ends as soon as another takes it over: `runhook runs show %[1]s` tells", doc.ImportID, doc.TaskName, cancelLimit))
		}
	}
	return docs, late
}
