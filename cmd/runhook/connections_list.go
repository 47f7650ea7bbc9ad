package main

import (
	"context"
	"strings"
	"time"
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
	rows := [][]string{{"NAME", "PAUSED", "TASKS"}}
	for _, one := range all {
		paused := "no"
		if one.Paused {
			paused = "by " + shown(one.By)
			if one.Since != nil {
				paused += " since " + one.Since.In(c.zone()).Format(time.DateTime)
			}
			if one.Why != "" {
				paused += ": " + shown(one.Why)
			}
		}
		rows = append(rows, []string{shown(one.Name), paused, shown(strings.Join(one.Tasks, ", "))})
	}
	return p.printTable(rows)
}
