package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsListCommand struct {
	ServerFlags
	JSONFlag
	Task  string `placeholder:"TASK" help:"Only the runs of this task: its id, or a unique part of its name."`
	Limit int    `default:"20" help:"How many (${default})."`

	Queued bool `help:"Only the runs that no runner has and that have not ended, oldest first: those that runners would take next."`
}

// Run lists the runs, newest first, or those that wait, oldest first.
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
	var docs []run.Document
	more := false
	if c.Queued {
		docs, more, err = queued(ctx, server, id, c.Limit)
	} else {
		docs, err = server.Runs(ctx, id, c.Limit)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(docs)
	}
	if len(docs) == 0 {
		if c.Queued {
			p.printf("No run waits for a runner.\n")
		} else {
			p.printf("There are no runs.\n")
		}
		return nil
	}
	rows := [][]string{{"RUN", "TASK", "STATUS", "STARTED BY", "CREATED", "TOOK", "ROWS", "FAILED ROWS"}}
	for _, doc := range docs {
		rows = append(rows, []string{
			doc.ImportID.String(), doc.TaskName, standing(doc), string(doc.Trigger), clock(doc.CreatedOn), took(doc),
			strconv.FormatInt(doc.RowsProcessed, 10), strconv.FormatInt(doc.RowsFailed, 10),
		})
	}
	if err := p.printTable(rows); err != nil || !more {
		return err
	}
	p.printf("More wait: --limit N lists N of them.\n")
	return nil
}

// runsPage is how many runs the server lists at once at most.
const runsPage = 500

// queued lists the runs that wait, the oldest first and at most limit, and reports whether there are more.
func queued(ctx context.Context, server *client.Client, id task.ID, limit int) (docs []run.Document, more bool, err error) {
	var behind run.Number
	for {
		page, err := server.Queued(ctx, id, behind, min(limit-len(docs)+1, runsPage))
		if err != nil || len(page) == 0 {
			return docs, false, err
		}
		docs, behind = append(docs, page...), page[len(page)-1].ImportID
		if len(docs) > limit {
			return docs[:limit], true, nil
		}
	}
}

func took(doc run.Document) string {
	if doc.StartedOn == nil {
		return "-"
	}
	return (time.Duration(doc.DurationMs) * time.Millisecond).String()
}
