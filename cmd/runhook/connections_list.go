package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

type connectionsListCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
}

// Run lists the connections.
func (c *connectionsListCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	all, err := server.Connections(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(all)
	}
	if len(all) == 0 {
		p.printf("No task uses a connection.\n")
		return nil
	}
	return p.printConnections(all, c.zone(), time.Now())
}

// printConnections prints connections in lines that fit the screen. Why one is paused stands whole below its line.
func (p *program) printConnections(all []client.Connection, zone *time.Location, now time.Time) error {
	rows := [][]string{{"NAME", "TASKS", "PAUSED"}}
	for _, one := range all {
		tasks := inertText(strings.Join(one.Tasks, ", "))
		if len(one.Tasks) > 1 {
			tasks = plural(len(one.Tasks), "task") + ": " + tasks
		}
		rows = append(rows, []string{shown(one.Name), tasks, yesNo(one.Paused)})
	}
	width := p.width()
	lines := strings.SplitAfter(fitted(rows, make([]string, len(rows)), 2, width), "\n")
	for i, one := range all {
		if !one.Paused {
			continue
		}
		since := "paused by " + inertText(one.By)
		if one.Since != nil {
			since += " since " + shortClock(run.Time(*one.Since), zone, now)
		}
		if one.Why != "" {
			since += ": " + inertText(one.Why)
		}
		lines[i+1] += wrapped(since, columnGap, width)
	}
	_, err := fmt.Fprint(p.stdout, strings.Join(lines, ""))
	return err
}
