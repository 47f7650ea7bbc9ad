package main

import (
	"cmp"
	"time"

	"runhook/shared/taskfile"
	"runhook/shared/zone"
)

type scheduleNextCommand struct {
	File  string  `arg:"" name:"file" help:"Task file."`
	After *string `placeholder:"MOMENT" help:"Say what is due after that moment, as 2026-03-07T17:00:00Z, instead of now."`
	JSONFlag
}

// Help shows an example.
func (*scheduleNextCommand) Help() string {
	return `Says the next ten times of each schedule, in its zone and in UTC. It asks no server, and applies nothing.

Example:

    runhook schedule next tasks/nightly.yaml --after 2026-03-07T17:00:00Z`
}

// comingShown is how many times are said of each schedule.
const comingShown = 10

// Run says when the task is due.
func (c *scheduleNextCommand) Run(p *program) error {
	after := time.Now()
	if c.After != nil {
		moment, err := time.Parse(time.RFC3339, *c.After)
		if err != nil {
			return wrongAfter(*c.After)
		}
		after = moment
	}
	defs, err := readTasks([]string{c.File})
	if err != nil {
		return err
	}
	type scheduleDocument struct {
		Schedule string
		Line     int
		Next     any
	}
	documents := []scheduleDocument{}
	var passed error // which keeps nobody from seeing the other entries: a task that has it already keeps it
	for _, def := range defs {
		if err := taskfile.CheckMoments(def, nil, c.File, earlier(after, time.Now())); err != nil {
			passed = err
		}
		if len(def.Schedules) == 0 && !c.JSON {
			p.printf("%s has no schedule: it runs when its webhook is called.\n", def.Name)
		}
		for _, s := range def.Schedules {
			one := *def
			one.Schedules = one.Schedules[:0:0]
			one.Schedules = append(one.Schedules, s)
			coming := shownDue(one.Coming(after, comingShown))
			if c.JSON {
				documents = append(documents, scheduleDocument{s.String(), s.Line, coming})
				continue
			}
			p.printf("%s, line %d: %s\n\n", def.Name, s.Line, s)
			if len(coming) == 0 {
				p.printf("Not due after %s.\n\n", utcText(after))
				continue
			}
			rows := dueRows(coming)
			for i := range rows {
				rows[i] = rows[i][:2]
			}
			if err := p.printTable(rows); err != nil {
				return err
			}
			p.printf("\n")
		}
	}
	if c.JSON {
		return cmp.Or(p.printJSON(documents), passed)
	}
	p.printf("Time zones: tzdata %s, %s.\n", zone.Newest().Version, zone.Newest().From)
	return passed
}

// earlier is the first of two moments.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

type wrongAfter string

// Error says what to write.
func (w wrongAfter) Error() string {
	return "--after must be a moment with its offset, like 2026-03-07T17:00:00Z, not " + quoted(string(w))
}
