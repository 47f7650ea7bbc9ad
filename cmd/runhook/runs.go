package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

type runsCommand struct {
	List runsListCommand `cmd:"" help:"List the newest runs."`
	Show runsShowCommand `cmd:"" help:"Show how a run stands, or how it ended."`

	Rejected runsRejectedCommand `cmd:"" help:"Download the rows that failed, with the reasons."`
}

type runsListCommand struct {
	ServerFlags
	JSONFlag
	Task  string `placeholder:"TASK" help:"Only the runs of this task: its id, or a unique part of its name."`
	Limit int    `default:"20" help:"How many (${default})."`
}

// Run lists the runs, newest first.
func (c *runsListCommand) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit %d: at least 1", c.Limit)
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

// standing is a run's status in a word, with the percentage while that says something.
func standing(doc run.Document) string {
	if doc.Status == run.InProgress {
		return fmt.Sprintf("%s %.0f %%", doc.StatusDescription, doc.PercentComplete)
	}
	return doc.StatusDescription
}

func clock(t run.Time) string { return time.Time(t).Local().Format(time.DateTime) }

func took(doc run.Document) string {
	if doc.StartedOn == nil {
		return "-"
	}
	return (time.Duration(doc.DurationMs) * time.Millisecond).String()
}

type runsShowCommand struct {
	ServerFlags
	JSONFlag
	Number string `arg:"" name:"run" help:"The run's number."`
}

// Run shows the run.
func (c *runsShowCommand) Run(ctx context.Context, p *program) error {
	number, err := run.ParseNumber(c.Number)
	if err != nil {
		return fmt.Errorf("%w; `runhook runs list` shows the newest", err)
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	doc, err := server.Run(ctx, number)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(doc)
	}
	return p.printRun(doc)
}

// printErrors lists the rows that failed.
func (p *program) printErrors(doc run.Document) {
	p.printRowErrors(doc.Errors, doc.TotalErrorCount)
	if doc.Status == run.Done && doc.RowsFailed > 0 {
		p.printf("`runhook runs rejected %s` prints these rows whole, with the reasons.\n", doc.ImportID)
	}
}

// printRowErrors lists row errors and says how many of all there are more.
func (p *program) printRowErrors(faults []run.RowError, all int64) {
	for _, fault := range faults {
		column := fault.Column
		if column != "" {
			column = ", " + column
		}
		p.printf("  row %d%s: %s\n", fault.Row, column, fault.Message)
	}
	if more := all - int64(len(faults)); more > 0 && len(faults) > 0 {
		p.printf("  and %d more\n", more)
	}
}
