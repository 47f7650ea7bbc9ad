package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

type runsListCommand struct {
	ServerFlags
	JSONFlag
	Task  string `placeholder:"TASK" help:"Only the runs of this task: its id, or a unique part of its name."`
	Limit int    `default:"20" help:"How many (${default})."`
}

// Run lists the runs, newest first.
func (c *runsListCommand) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit must be at least 1, not %d", c.Limit)
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	var id task.ID
	if c.Task != "" {
		if id, err = server.Find(ctx, c.Task); err != nil {
			return err
		}
	}
	docs, err := server.Runs(ctx, id, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(docs)
	}
	if len(docs) == 0 {
		p.printf("There are no runs.\n")
		return nil
	}
	rows := [][]string{{"RUN", "TASK", "STATUS", "STARTED BY", "CREATED", "TOOK", "ROWS", "FAILED ROWS"}}
	for _, doc := range docs {
		rows = append(rows, []string{
			doc.ImportID.String(), doc.TaskName, standing(doc), string(doc.Trigger), clock(doc.CreatedOn), took(doc),
			strconv.FormatInt(doc.RowsProcessed, 10), strconv.FormatInt(doc.RowsFailed, 10),
		})
	}
	return p.printTable(rows)
}

func took(doc run.Document) string {
	if doc.StartedOn == nil {
		return "-"
	}
	return (time.Duration(doc.DurationMs) * time.Millisecond).String()
}
