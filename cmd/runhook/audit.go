package main

import (
	"context"
	"fmt"
	"time"

	"runhook/shared/audit"
	"runhook/shared/client"
	"runhook/shared/run"
)

type auditCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
	Since  string `placeholder:"WHEN" help:"Only what was done then or later: 3h or 7d ago, today, yesterday, a date, or a moment like 2031-01-31T12:00."`
	Until  string `placeholder:"WHEN" help:"Only what was done before then. A day is in it to its end."`
	Who    string `placeholder:"NAME" help:"Only what the holder of this admin token did; link is whoever has a run's CancelUrl, keep and failures a task's own keep and disable_after_failures, folder the files of --tasks."`
	What   string `placeholder:"WORD" help:"Only this: task, or task-apply, task-enable, task-disable, task-rotate, task-delete, task-held; runs, or runs-again, runs-cancel, runs-delete, runs-deleted; connection, sign, link, tokens."`
	Task   string `placeholder:"TASK" help:"Only what was done to this task and its runs: its id, or a part of its name at that time. Those that are deleted count too."`
	Limit  int    `default:"50" help:"How many (${default})."`
	Before uint64 `placeholder:"NUMBER" help:"Only lines with a lower number: the next page."`
}

// Help shows examples.
func (*auditCommand) Help() string {
	return `Lists who did what, the newest first. It is kept as long as runs, and holds no secret and no value of a parameter.

Examples:

    runhook audit --since yesterday
    runhook audit --who ann --what task
    runhook audit --task "Refresh lapsed" --what runs-cancel
    runhook audit --what runs-deleted --json`
}

// auditPage is how many lines the server lists at once at most.
const auditPage = 500

// Run lists the lines.
func (c *auditCommand) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit must be at least 1, not %d", c.Limit)
	}
	if c.What != "" {
		if err := audit.CheckWhat(c.What); err != nil {
			return fmt.Errorf("--what %w", err)
		}
	}
	since, until, err := between(c.Since, c.Until, time.Now().In(c.zone()))
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	q := audit.Query{Since: since, Until: until, Who: c.Who, What: c.What, Named: c.Task, Before: c.Before}
	all := client.Audit{Lines: []audit.Line{}}
	for {
		page, err := server.Audit(ctx, q, min(c.Limit-len(all.Lines), auditPage))
		if err != nil {
			return err
		}
		all.Lines, all.Next, all.Broken = append(all.Lines, page.Lines...), page.Next, append(all.Broken, page.Broken...)
		if q.Before = page.Next; page.Next == 0 || len(all.Lines) >= c.Limit {
			break
		}
	}
	for _, n := range all.Broken {
		p.notef("Before line %d something was changed or removed in the store.\n", n)
	}
	if c.JSON {
		return p.printJSON(all.Lines)
	}
	if len(all.Lines) == 0 {
		p.printf("There are no such lines.\n")
		return nil
	}
	rows := [][]string{{"TIME", "BY", "WHAT", "OF", "FROM"}}
	for _, line := range all.Lines {
		rows = append(rows, []string{line.On.In(c.zone()).Format("2006-01-02 15:04:05"), shown(line.By), line.What, auditOf(line), shown(from(line))})
	}
	if err := p.printTable(rows); err != nil {
		return err
	}
	if all.Next > 0 {
		p.notef("There are more: --before %d lists the next.\n", all.Next)
	}
	return nil
}

// auditOf says of what a line is.
func auditOf(line audit.Line) string {
	text := shown(line.Task)
	add := func(more string) {
		if text != "" && more != "" {
			text += ", "
		}
		text += more
	}
	if line.Run > 0 {
		add(runsOf(line.Run, line.Last))
	}
	add(shown(line.Detail))
	if line.Removed != nil {
		add(removedText(*line.Removed))
	}
	if line.Why != "" {
		text += ": " + inertText(line.Why)
	}
	return text
}

func runsOf(first, last run.Number) string {
	if last > first {
		return "runs " + first.String() + " to " + last.String()
	}
	return "run " + first.String()
}

// from is where the request of a line came from.
func from(line audit.Line) string {
	if line.Via != "" {
		return line.Via + " " + line.Address
	}
	return line.Address
}
