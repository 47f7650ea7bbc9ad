package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/schollz/progressbar/v3"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/zone"
)

type runCommand struct {
	ServerFlags
	ConnectionsFlag
	JSONFlag
	Task           string   `arg:"" help:"The task's id, or a unique part of its name."`
	Param          []string `short:"p" sep:"none" placeholder:"NAME=VALUE" help:"A parameter's value. Several of one name make a list."`
	File           string   `placeholder:"FILE" help:"Read this file: the value of the parameter in the path of the task's csv source, as in path: '{params.File}'. It is in the folder of the task's connection."`
	Wait           bool     `short:"w" help:"Wait for the end, showing progress."`
	FailOnRejected bool     `help:"With --wait: exit with 4 if the run succeeded and rows of it failed."`
	At             *string  `placeholder:"MOMENT" help:"Start the run at that moment, as '2026-12-01 06:00 Europe/Berlin' or 2026-12-01T06:00:00+01:00, and not now."`
	Full           bool     `help:"Read from the start, whatever earlier runs have read (since of the task's source)."`
	DryRun         bool     `help:"Do everything but write, and show what would have been written."`
}

// Help shows examples and the exit codes.
func (*runCommand) Help() string {
	return `Examples:

    runhook run "Refresh lapsed" -p FirstName=Ann --wait
    runhook run 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
    runhook run "Refresh lapsed" --dry-run --wait
    runhook run members --file corrected.csv --wait
    runhook run "Refresh lapsed" --at '2026-12-01 06:00 Europe/Berlin'
    runhook run members --full --wait

A dry run is executed on the runner. It reads the source, maps every row, and tries the rows on the destination in transactions that are rolled back. The counts are those of a real run, except that a row whose key came in an earlier batch counts as if it came first.

A run that starts later waits until then in no queue. "runhook runs list" lists it, and "runhook runs cancel" cancels it.

With --wait the exit code is the result: 0 success, 1 failed (or its end was not seen), 2 could not be started, 3 canceled, 4 succeeded with failed rows (only with --fail-on-rejected). Ctrl-C ends the waiting, not the run.`
}

// Run starts the run, and with --wait follows it.
func (c *runCommand) Run(ctx context.Context, p *program) error {
	values, err := parseParameters(c.Param)
	if err != nil {
		return err
	}
	if c.FailOnRejected && !c.Wait {
		return errors.New("--fail-on-rejected needs --wait: how many rows fail is known when the run has ended")
	}
	at, err := c.startsAt()
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	id, err := find(ctx, server, c.Task)
	if err != nil {
		return &exit{exitNoStart, err}
	}
	found, err := taskOf(ctx, server, id) // who may not see it starts the run all the same
	if err == nil {
		id = cmp.Or(found.WebhookID, id)
	}
	if c.File != "" {
		name, value, err := c.fileParameter(ctx, server, id)
		if err != nil {
			return &exit{exitNoStart, err}
		}
		if _, given := values[name]; given {
			return fmt.Errorf("--file and -p %s are the same parameter; pass one of them", name)
		}
		values[name] = []string{value}
	}
	start := server.Start
	switch {
	case c.Full:
		start = func(ctx context.Context, id task.ID, values map[string][]string) (client.Started, error) {
			return server.Full(ctx, id, values, c.DryRun, at)
		}
	case c.DryRun:
		start = server.Try
	case !at.IsZero():
		start = func(ctx context.Context, id task.ID, values map[string][]string) (client.Started, error) {
			return server.StartAt(ctx, id, values, at)
		}
	}
	started, err := start(ctx, id, values)
	if problem, ok := errors.AsType[*client.Problem](err); ok && problem.Status == http.StatusBadRequest && at.IsZero() {
		err = fmt.Errorf("%w Pass parameters as -p NAME=VALUE", err)
	}
	if err != nil {
		return &exit{exitNoStart, err}
	}
	p.noteFault(found)
	if !c.Wait {
		if c.JSON {
			return p.printJSON(started.Document)
		}
		if !at.IsZero() {
			p.printf("Run %s of %q is accepted, and starts at %s (%s). To cancel it: runhook runs cancel %[1]s\n",
				started.Number, started.Document.TaskName, at.UTC().Format(time.RFC3339), at.Format("Mon 15:04 -07:00"))
			return nil
		}
		p.printf("Run %s of %q is accepted. How it goes: runhook runs show %[1]s, or GET %[3]s\n",
			started.Number, started.Document.TaskName, server.URL(run.StatusPath(started.Task, started.Number)+started.Query))
		return nil
	}
	starts := ""
	if !at.IsZero() {
		starts = ", and starts at " + at.UTC().Format(time.RFC3339)
	}
	p.notef("Run %s of %q is accepted%s.\n", started.Number, started.Document.TaskName, starts)
	doc, err := p.follow(ctx, server, started)
	if err != nil {
		return err
	}
	if err := p.report(ctx, server, doc, values, c.JSON); err != nil {
		return err
	}
	if c.FailOnRejected && doc.RowsFailed > 0 {
		return &exit{exitRejected, fmt.Errorf("run %s succeeded, but %s failed", doc.ImportID, plural(doc.RowsFailed, "row"))}
	}
	return nil
}

// startsAt is the moment that --at names, the zero time for none.
func (c *runCommand) startsAt() (at time.Time, err error) {
	switch {
	case c.At == nil:
		return at, nil
	case c.DryRun:
		return at, errors.New("--at and --dry-run do not go together: a dry run starts at once")
	}
	if at, err = zone.ParseMoment(*c.At); err != nil {
		return at, fmt.Errorf("--at: %w", err)
	}
	if now := time.Now(); at.Before(now) {
		return at, fmt.Errorf("--at: %s has passed (it is %s); write a moment to come, or leave --at out to start the run now", at.Format(time.RFC3339), now.In(at.Location()).Format(time.RFC3339))
	}
	return at, nil
}

// follow shows the progress of a run until it has ended.
func (p *program) follow(ctx context.Context, server *client.Client, started client.Started) (run.Document, error) {
	show, done := p.lines(), func() {}
	every := 2 * time.Second
	if isTerminal(p.stderr) {
		show, done = p.bar()
		every = time.Second
	}
	away := func(err error) {
		p.notef("Still waiting: %v\n", err)
	}
	doc, err := server.Wait(ctx, started, every, show, away)
	done()
	switch {
	case err == nil:
		return doc, nil
	case errors.Is(err, context.Canceled):
		return doc, &exit{exitFailed, fmt.Errorf("stopped waiting; run %s goes on: `runhook runs show %[1]s` tells how it went", started.Number)}
	}
	return doc, &exit{exitFailed, fmt.Errorf("run %s was started, and its end was not seen: %w", started.Number, err)}
}

// bar shows progress on a terminal.
func (p *program) bar() (show func(run.Document), done func()) {
	bar := progressbar.NewOptions(100,
		progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(false))
	show = func(doc run.Document) {
		if doc.Status == run.Done {
			return // what is shown then is the result
		}
		bar.Describe(inertText(doc.StatusDescription + ": " + doc.Message))
		_ = bar.Set(int(doc.PercentComplete)) // a terminal that went away does not end the wait
	}
	return show, func() { _ = bar.Clear() }
}

// progress shows on a terminal how many of some things are done. step counts one, and done takes it away; step is safe for
// concurrent use.
func (p *program) progress(what string, of int) (step, done func()) {
	if of <= fewRuns || !isTerminal(p.stderr) {
		return func() {}, func() {}
	}
	bar := progressbar.NewOptions(of,
		progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(20), progressbar.OptionClearOnFinish(),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
	return func() { _ = bar.Add(1) }, func() { _ = bar.Clear() } // a terminal that went away ends nothing
}

// lines shows each step of the progress on a line of its own.
func (p *program) lines() func(run.Document) {
	var last string
	return func(doc run.Document) {
		line := fmt.Sprintf("%s, %.1f %%, %d rows: %s", doc.StatusDescription, math.Floor(doc.PercentComplete*10)/10, doc.RowsRetrieved, doc.Message)
		if doc.Status != run.Done && line != last {
			p.notef("%s\n", line)
		}
		last = line
	}
}

// report says how a run ended, in words or JSON and by the exit code. values are those that the caller has passed.
func (p *program) report(ctx context.Context, server *client.Client, doc run.Document, values map[string][]string, asJSON bool) error {
	if asJSON {
		if err := p.printJSON(doc); err != nil {
			return err
		}
	} else {
		if doc.Trigger == run.DryRun {
			p.printf("Dry run, nothing was written.\n")
		}
		p.printf("%s\n", client.Summary(doc))
		if doc.Outcome() == run.Success { // another's message follows as an error
			p.printWarnings(doc.Warnings())
		}
		p.printErrors(ctx, server, doc)
	}
	switch doc.Outcome() {
	case run.Success:
		return nil
	case run.Canceled:
		return &exit{exitCanceled, fmt.Errorf("run %s was canceled: %s", doc.ImportID, doc.Message)}
	}
	return &exit{exitFailed, fmt.Errorf("run %s failed: %s%s", doc.ImportID, doc.Message, named(doc.Message, values))}
}
