package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rivo/uniseg"

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
	Before page   `placeholder:"NUMBER" help:"Only lines with a lower number: the next page."`
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
	q := audit.Query{Since: since, Until: until, Who: c.Who, What: c.What, Named: c.Task, Before: uint64(c.Before)}
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
	if err := p.printAudit(all.Lines, c.zone(), time.Now()); err != nil {
		return err
	}
	if all.Next > 0 {
		p.notef("There are more: --before %d lists the next.\n", all.Next)
	}
	return nil
}

// auditRoom is how many columns a terminal has at least for what a line of the audit is of.
const auditRoom = 20

// printAudit prints lines of the audit, each on one line. On a terminal they fit the screen: what a line is of goes on below it.
func (p *program) printAudit(lines []audit.Line, zone *time.Location, now time.Time) error {
	rows := [][]string{{"TIME", "BY", "WHAT", "FROM", "OF"}}
	if !isTerminal(p.stdout) {
		for _, line := range lines {
			rows = append(rows, []string{line.On.In(zone).Format(time.DateTime), shown(line.By), line.What, shown(from(line)), auditOf(line)})
		}
		return p.printTable(rows)
	}
	room := p.width()
	for _, line := range lines {
		rows = append(rows, []string{shortClock(run.Time(line.On), zone, now), shown(line.By), line.What, shown(from(line)), ""})
	}
	for i := range len(rows[0]) - 1 {
		widest := 0
		for _, row := range rows {
			widest = max(widest, uniseg.StringWidth(row[i]))
		}
		room -= widest + columnGap
	}
	fitting := rows[:1:1]
	for i, line := range lines {
		for n, part := range strings.Split(strings.TrimSuffix(wrapped(auditOf(line), 0, max(room, auditRoom)), "\n"), "\n") {
			row := []string{"", "", "", "", ""}
			if n == 0 {
				row = rows[i+1]
			}
			row[len(row)-1] = part
			fitting = append(fitting, row)
		}
	}
	return p.printTable(fitting)
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
