package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsCommand struct {
	List runsListCommand `cmd:"" help:"List the newest runs."`
	Show runsShowCommand `cmd:"" help:"Show how a run stands, or how it ended."`
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
		return printJSON(p.stdout, docs)
	}
	if len(docs) == 0 {
		_, err := fmt.Fprintln(p.stdout, "There are no runs.")
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tTASK\tSTATUS\tSTARTED BY\tCREATED\tTOOK\tROWS\tFAILED ROWS")
	for _, doc := range docs {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", doc.ImportID, doc.TaskName, standing(doc), doc.Trigger,
			clock(doc.CreatedOn), took(doc), doc.RowsProcessed, doc.RowsFailed)
	}
	return table.Flush()
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
		return printJSON(p.stdout, doc)
	}
	return printRun(p.stdout, doc)
}

func printRun(w io.Writer, doc run.Document) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	line("Run", doc.ImportID)
	line("Task", fmt.Sprintf("%s (%s)", doc.TaskName, doc.ExecuteID))
	line("Status", standing(doc))
	if doc.Message != "" {
		line("Message", doc.Message)
	}
	line("Result", client.Summary(doc))
	line("Created", clock(doc.CreatedOn))
	if doc.StartedOn != nil {
		line("Started", clock(*doc.StartedOn))
	}
	if doc.CompletedOn != nil {
		line("Completed", clock(*doc.CompletedOn))
	}
	line("Times started", doc.ExecutionCount)
	for _, name := range slices.Sorted(maps.Keys(doc.Parameters)) {
		line("Parameter "+name, "from the "+string(doc.Parameters[name].From))
	}
	if doc.CorrelationID != "" {
		line("Correlation id", doc.CorrelationID)
	}
	line("Status URL", doc.PollingURL)
	if err := table.Flush(); err != nil {
		return err
	}
	printErrors(w, doc)
	return nil
}

// printErrors lists the rows that failed.
func printErrors(w io.Writer, doc run.Document) {
	for _, fault := range doc.Errors {
		column := fault.Column
		if column != "" {
			column = " " + column
		}
		fmt.Fprintf(w, "  row %d%s: %s\n", fault.Row, column, fault.Message)
	}
	if more := doc.TotalErrorCount - int64(len(doc.Errors)); more > 0 && len(doc.Errors) > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}
