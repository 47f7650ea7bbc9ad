package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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
	Why    string   `placeholder:"TEXT" help:"The reason, for the messages of the runs and the audit, which outlives the runs: one line of at most 200 characters."`
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
	asked, left, notAsked, stopped := c.ask(ctx, p, server, docs)
	ended, late := c.await(ctx, p, server, asked)
	refused = slices.Concat(refused, notAsked, late)
	switch {
	case c.JSON:
		if err := p.printJSON(ended); err != nil {
			return err
		}
	case len(docs) == 0 && len(refused) == 0:
		p.printf("There is no run to cancel.\n")
	case stopped != nil: // which says how many
	case left != (missedRuns{}):
		p.printf("Canceled %d of %s.%s\n", len(ended)-len(late), plural(len(docs), "run"), left)
	case max(len(docs), len(c.Runs)) > 1:
		p.printf("Canceled %d of %s.\n", len(ended)-len(late), plural(max(len(docs), len(c.Runs)), "run"))
	}
	switch {
	case errors.Is(stopped, context.Canceled):
		refused = append(refused, fmt.Errorf("interrupted: canceled %d of %s, and the others go on; the same command cancels the rest", len(ended)-len(late), plural(len(docs), "run")))
	case stopped != nil:
		refused = append(refused, fmt.Errorf("canceled %d of %s, and then stopped: %w", len(ended)-len(late), plural(len(docs), "run"), stopped))
	}
	if len(refused) > 0 {
		return &exit{exitFailed, errors.Join(refused...)}
	}
	return nil
}

// cancelAtOnce is how many runs are asked to end at the same time.
const cancelAtOnce = 32

// fewRuns is how many runs are told of one by one.
const fewRuns = 20

// ask asks the runs to end, the first ones first, until ctx ends or the server does not do it; stopped is why not all of
// them were asked then. asked have the documents of those that were, left is how many of all runs of a kind were not as
// they had been listed, and refused is why others were not canceled. A request under way is always waited for: what was asked is
// counted.
func (c *runsCancelCommand) ask(ctx context.Context, p *program, server *client.Client, docs []run.Document) (asked []run.Document, left missedRuns, refused []error, stopped error) {
	step, done := p.progress("Canceling", len(docs))
	defer done()
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results := eachAtOnce(asking, docs, func(doc run.Document) result {
		var now run.Document
		err := whileAway(asking, func() (err error) {
			now, err = server.Cancel(context.WithoutCancel(ctx), doc.ExecuteID, doc.ImportID, c.Why, c.Queued)
			return err
		})
		if _, isProblem := errors.AsType[*client.Problem](err); err != nil && !(isProblem && (isConflict(err) || len(c.Runs) > 0)) {
			stop(fmt.Errorf("run %s: %w", doc.ImportID, err))
		}
		step()
		return result{doc: now, err: err, done: true}
	})
	stopped = context.Cause(asking)
	if errors.Is(stopped, context.Canceled) && !slices.ContainsFunc(results, func(of result) bool { return !of.done }) {
		stopped = nil
	}
	for _, of := range results {
		_, isProblem := errors.AsType[*client.Problem](of.err)
		switch {
		case !of.done:
		case of.err == nil:
			asked = append(asked, of.doc)
		case isConflict(of.err) && len(c.Runs) == 0 && isEnded(of.err):
			left.ended++
		case isConflict(of.err) && c.Queued:
			left.taken++
		case isConflict(of.err), isProblem && len(c.Runs) > 0: // the others may be canceled for all that
			refused = append(refused, of.err)
		}
	}
	return asked, left, refused, stopped
}

// missedRuns are the runs that others saw to between the list and the request: runners took them, or they ended, because of
// another who cancels, for example.
type missedRuns struct{ taken, ended int }

// String says so behind a sentence.
func (m missedRuns) String() (text string) {
	if m.taken > 0 {
		text += " Runners took " + plural(m.taken, "run") + " in between."
	}
	if m.ended > 0 {
		text += " " + plural(m.ended, "run") + " ended in between."
	}
	return text
}

// isEnded reports whether a run was not canceled because it has ended.
func isEnded(err error) bool {
	problem, ok := errors.AsType[*client.Problem](err)
	return ok && problem.Type == "urn:runhook:problem:run-ended"
}

// result is what became of one run; done is false where it was not begun.
type result struct {
	doc  run.Document
	err  error
	done bool
}

// isConflict reports whether a run was not canceled because it has ended, or because a runner has it.
func isConflict(err error) bool {
	problem, ok := errors.AsType[*client.Problem](err)
	return ok && problem.Status == http.StatusConflict
}

// eachAtOnce does something with each run, with some of them at the same time, the first ones first. When ctx ends it
// begins no more. The results are in the order of the runs.
func eachAtOnce(ctx context.Context, docs []run.Document, do func(run.Document) result) []result {
	results := make([]result, len(docs))
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(cancelAtOnce, len(docs)) {
		working.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(docs) {
					return
				}
				results[i] = do(docs[i])
			}
		})
	}
	working.Wait()
	return results
}

// named are the runs that the command line names, and why some of them are not there.
func (c *runsCancelCommand) named(ctx context.Context, server *client.Client) (docs []run.Document, refused []error, err error) {
	if len(c.Runs) == 0 {
		var id task.ID
		if c.Task != "" {
			if id, err = find(ctx, server, c.Task); err != nil {
				return nil, nil, err
			}
		}
		which := client.Open
		if c.Queued {
			which = client.Queued
		}
		listed, _, err := unended(ctx, server, which, id, 0, math.MaxInt32)
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
		var doc run.Document
		err = whileAway(ctx, func() error {
			doc, err = server.Run(ctx, number)
			return err
		})
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
	results := eachAtOnce(context.WithoutCancel(ctx), asked, func(doc run.Document) result {
		if doc.Status == run.Done {
			return result{doc: doc}
		}
		started := client.Started{Task: doc.ExecuteID, Number: doc.ImportID}
		now, err := server.Wait(limited, started, cancelLimit, nil, nil)
		if err != nil { // the time is over
			now, _, err = server.Status(context.WithoutCancel(ctx), started, 0)
		}
		if err == nil {
			doc = now
		}
		return result{doc: doc}
	})
	docs = make([]run.Document, 0, len(asked))
	for _, of := range results {
		doc := of.doc
		docs = append(docs, doc)
		switch {
		case doc.Outcome() == run.Canceled:
			if !c.JSON && len(asked) <= fewRuns {
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
