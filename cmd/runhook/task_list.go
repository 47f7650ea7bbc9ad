package main

import (
	"context"
	"strings"

	"runhook/shared/client"
)

type taskListCommand struct {
	ServerFlags
	JSONFlag
}

// noteFault says of a task that its file is not used.
func (p *program) noteFault(t client.Task) {
	if t.FileFault != "" {
		p.notef("%q is as it was before, because its file has a mistake:\n%s\n", t.Name, t.FileFault)
	}
}

// Run lists the tasks.
func (c *taskListCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	tasks, err := server.Tasks(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(tasks)
	}
	if len(tasks) == 0 {
		p.printf("There are no tasks; `runhook task new` makes a file to start from.\n")
		return nil
	}
	rows := [][]string{{"NAME", "ENABLED", "PARAMETERS", "ID"}}
	for _, t := range tasks {
		names := make([]string, len(t.Parameters))
		for i, parameter := range t.Parameters {
			names[i] = parameter.Name
			if parameter.Prompt == "required" {
				names[i] += " (required)"
			}
		}
		rows = append(rows, []string{t.Name, yesNo(t.Enabled), strings.Join(names, ", "), string(t.ID)})
	}
	if err := p.printTable(rows); err != nil {
		return err
	}
	for _, t := range tasks {
		p.noteFault(t)
	}
	return nil
}
