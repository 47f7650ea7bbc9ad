package main

import (
	"context"
	"slices"
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

// enabled is whether a task starts runs, in a word.
func enabled(t client.Task) string {
	if t.Held != nil {
		return "held"
	}
	return yesNo(t.Enabled)
}

// noteHold says of a task that it is held, and why.
func (p *program) noteHold(t client.Task) {
	if t.Held != nil {
		p.notef("%q is held: %s failed in a row, the last was run %s: %s\nIt takes no POST until `runhook task enable`.\n",
			t.Name, plural(int64(t.Held.Failures), "run"), t.Held.Run, t.Held.Why)
	}
}

// lastDue is what came of the last time at which a task was due, in short.
func lastDue(t client.Task) string {
	if len(t.Recent) == 0 {
		return ""
	}
	last := t.Recent[0]
	if last.Run == 0 {
		return utcText(last.Due) + ", no run"
	}
	return utcText(last.Due) + ", run " + last.Run.String()
}

// nextDue is when a task is due next.
func nextDue(t client.Task) string {
	if len(t.Next) == 0 {
		return ""
	}
	return utcText(t.Next[0].Due)
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
	scheduled := slices.ContainsFunc(tasks, func(t client.Task) bool { return len(t.Next) > 0 || len(t.Recent) > 0 })
	if scheduled {
		rows[0] = append(rows[0], "LAST DUE", "NEXT RUN")
	}
	for _, t := range tasks {
		names := make([]string, len(t.Parameters))
		for i, parameter := range t.Parameters {
			names[i] = parameter.Name
			if parameter.Prompt == "required" {
				names[i] += " (required)"
			}
		}
		row := []string{t.Name, enabled(t), strings.Join(names, ", "), string(t.ID)}
		if scheduled {
			row = append(row, lastDue(t), nextDue(t))
		}
		rows = append(rows, row)
	}
	if err := p.printTable(rows); err != nil {
		return err
	}
	for _, t := range tasks {
		p.noteFault(t)
		p.noteHold(t)
	}
	return nil
}
