package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

type runsWatchCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
	Number string `arg:"" optional:"" name:"run" help:"The run's number."`
	Task   string `placeholder:"TASK" help:"Follow the runs of this task, from now on, instead of one run: its id, or a unique part of its name."`
}

// Help shows examples.
func (*runsWatchCommand) Help() string {
	return `Of one run, the exit code is the result, as of runhook run --wait. Of a task, it goes on until Ctrl-C: as a table that changes on a terminal, and elsewhere as a line for each change.

Examples:

    runhook runs watch 41
    runhook runs watch --task "Refresh lapsed"`
}

// Run follows what was asked for.
func (c *runsWatchCommand) Run(ctx context.Context, p *program) error {
	switch {
	case c.Number == "" && c.Task == "":
		return errors.New("name the run to watch, or pass --task TASK for the runs of a task")
	case c.Number != "" && c.Task != "":
		return errors.New("--task follows all runs of a task: leave it out, or the number")
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Task != "" {
		id, err := server.Find(ctx, c.Task)
		if err != nil {
			return err
		}
		return c.watchTask(ctx, p, server, id)
	}
	number, err := parseRun(c.Number)
	if err != nil {
		return err
	}
	doc, err := server.Run(ctx, number)
	if err != nil {
		return err
	}
	if doc.Status != run.Done {
		p.notef("Run %s of %q: %s\n", number, doc.TaskName, standing(doc))
		if doc, err = p.follow(ctx, server, client.Started{Task: doc.ExecuteID, Number: number, Document: doc}); err != nil {
			return err
		}
	}
	return p.report(ctx, server, doc, nil, c.JSON)
}

const (
	// watchEvery is how often a task's runs are asked for, and watched how many.
	watchEvery = time.Second
	watched    = 50
)

// watchTask follows the runs of a task until ctx ends.
func (c *runsWatchCommand) watchTask(ctx context.Context, p *program, server *client.Client, id task.ID) error {
	show := c.changes(p)
	if isTerminal(p.stdout) && !c.JSON {
		show = c.table(p)
	}
	for away := false; ; {
		list, err := server.Runs(ctx, client.Filter{Task: id}, watched)
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case err == nil:
			away = false
			if err := show(list.Runs); err != nil {
				return err
			}
		default:
			unreachable, again := later(err)
			if !again {
				return err
			}
			if !away {
				p.notef("Still waiting: %v\n", err)
			}
			away = true
			wait.For(ctx, unreachable)
		}
		if !wait.For(ctx, watchEvery) {
			return nil
		}
	}
}

// later says whether a request that failed may be repeated, and not before which time.
func later(err error) (least time.Duration, again bool) {
	if problem, ok := errors.AsType[*client.Problem](err); ok {
		return problem.RetryAfter, problem.Status >= 500 || problem.Status == 429
	}
	_, away := errors.AsType[*client.Unreachable](err)
	return 0, away
}

// changes prints a line for each change of a run. What had ended before is passed over.
func (c *runsWatchCommand) changes(p *program) func([]run.Listed) error {
	last := map[run.Number]string{}
	first := true
	return func(runs []run.Listed) error {
		defer func() { first = false }()
		now := map[run.Number]string{}
		for i := len(runs) - 1; i >= 0; i-- {
			l := runs[i]
			line := fmt.Sprintf("run %s: %s", l.ImportID, standingOf(l))
			if l.Message != "" {
				line += ": " + inertText(l.Message)
			}
			now[l.ImportID] = line
			if last[l.ImportID] == line || first && l.Status == run.Done {
				continue
			}
			if c.JSON {
				if err := p.printJSON(l); err != nil {
					return err
				}
				continue
			}
			p.printf("%s %s\n", time.Now().In(c.zone()).Format(time.DateTime), line)
		}
		last = now
		return nil
	}
}

func standingOf(l run.Listed) string {
	return standing(run.Document{Status: l.Status, StatusDescription: l.StatusDescription, PercentComplete: l.PercentComplete, RowsFailed: l.RowsFailed})
}

// table shows the newest runs in place, as many as there is room for.
func (c *runsWatchCommand) table(p *program) func([]run.Listed) error {
	drawn := 0
	return func(runs []run.Listed) error {
		if drawn > 0 {
			if _, err := fmt.Fprintf(p.stdout, "\x1b[%dA\x1b[J", drawn); err != nil { // up to its begin, and empty from there on
				return err
			}
		}
		if room := height(p) - 3; len(runs) > room {
			runs = runs[:room]
		}
		if len(runs) == 0 {
			drawn = 1
			p.printf("The task has no runs yet.\n")
			return nil
		}
		drawn = 1 + len(runs)
		return p.printRuns(runs, c.zone(), time.Now())
	}
}

// height is how many lines the terminal has.
func height(p *program) int {
	const usual, least = 24, 6
	if file, ok := p.stdout.(*os.File); ok {
		if _, lines, err := term.GetSize(int(file.Fd())); err == nil && lines > 0 {
			return max(lines, least)
		}
	}
	return usual
}
