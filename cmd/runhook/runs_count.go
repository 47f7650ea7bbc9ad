package main

import (
	"context"
	"strconv"
	"time"

	"runhook/shared/client"
)

type runsCountCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
	Task  string `placeholder:"TASK" help:"Only the runs of this task: its id, or a unique part of its name."`
	Since string `default:"7d" placeholder:"WHEN" help:"Only the runs accepted then or later (${default}): as of runs list."`
	Until string `placeholder:"WHEN" help:"Only the runs accepted before then. A day is in it to its end."`
}

// Help shows examples.
func (*runsCountCommand) Help() string {
	return `Examples:

    runhook runs count
    runhook runs count --task "Refresh lapsed" --since 2026-01-01 --utc

Days are those of this machine's time zone, or of UTC with --utc.`
}

// Run prints how many runs each task had on each day, and how they ended.
func (c *runsCountCommand) Run(ctx context.Context, p *program) (err error) {
	var filter client.Filter
	if filter.Since, filter.Until, err = between(c.Since, c.Until, time.Now().In(c.zone())); err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Task != "" {
		if filter.Task, err = server.Find(ctx, c.Task); err != nil {
			return err
		}
	}
	days, history, err := server.Counts(ctx, filter, zoneName(c.zone()))
	if err != nil {
		return err
	}
	p.noteHistory(history)
	if c.JSON {
		if days == nil {
			days = []client.Day{}
		}
		return p.printJSON(days)
	}
	if len(days) == 0 {
		p.printf("No run fits.\n")
		return nil
	}
	rows := [][]string{{"DAY", "TASK", "RUNS", "SUCCESS", "FAILED", "CANCELED", "OPEN"}}
	for _, day := range days {
		row := []string{day.Day, inertText(day.TaskName)}
		for _, n := range []int64{day.Runs, day.Success, day.Failed, day.Canceled, day.Open} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	return p.printFitted(rows, nil, 2)
}

// zoneName is the IANA name of a zone, empty for UTC and where this machine's has none.
func zoneName(zone *time.Location) string {
	if zone == time.UTC {
		return ""
	}
	return localZone()
}
