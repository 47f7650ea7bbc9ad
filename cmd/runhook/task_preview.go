package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/row"
	"runhook/shared/run"
)

type taskPreviewCommand struct {
	ConnectionsFlag
	JSONFlag
	File  string   `arg:"" help:"The task file."`
	Param []string `short:"p" sep:"none" placeholder:"NAME=VALUE" help:"A parameter's value. Several of one name make a list."`
	Rows  int      `default:"10" help:"How many mapped rows to show (${default})."`
}

// Help says what it does not do.
func (*taskPreviewCommand) Help() string {
	return `Reads the source on this machine, applies where and mapping, and prints the first rows that would be written, and rows that failed before them. Nothing is written, the destination is not opened, and no server is needed. ` + "`runhook run TASK --dry-run`" + ` tries the rows on the destination.

Example:

    runhook task preview tasks/lapsed.yaml -p State=CA --rows 5 --connections connections.yaml`
}

// Run prints the sample.
func (c *taskPreviewCommand) Run(ctx context.Context, p *program) error {
	if c.Rows < 1 {
		return fmt.Errorf("--rows must be at least 1, not %d", c.Rows)
	}
	given, err := parseParameters(c.Param)
	if err != nil {
		return err
	}
	defs, err := readTasks([]string{c.File})
	if err != nil {
		return err
	}
	if len(defs) != 1 {
		return fmt.Errorf("%s holds %d tasks; name the file of one", c.File, len(defs))
	}
	def := defs[0]
	values, err := def.Resolve(givenValues(given))
	if err != nil {
		return fmt.Errorf("%w; give a value with -p NAME=VALUE", err)
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	sample, err := pipeline.Preview(ctx, builtin.Kinds(), connector.Job{Task: def, Parameters: values, Connections: connections}, c.Rows)
	if _, failed := errors.AsType[*run.Failure](err); failed {
		if connections == nil {
			err = fmt.Errorf("%w; --connections names the file", err)
		}
		return &exit{exitFailed, err}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return c.printJSON(p, sample)
	}
	return c.print(p, sample)
}

func (c *taskPreviewCommand) print(p *program, sample *pipeline.Sample) error {
	if len(sample.Rows) > 0 {
		header := []string{"ROW"}
		for _, name := range sample.Columns {
			header = append(header, shown(name))
		}
		table := [][]string{header}
		for _, r := range sample.Rows {
			line := []string{strconv.FormatInt(r.Number, 10)}
			for _, value := range r.Values {
				line = append(line, shownValue(value))
			}
			table = append(table, line)
		}
		if err := p.printTable(table); err != nil {
			return err
		}
		p.printf("\n")
	}
	counts := sample.Counts
	read := "the first " + plural(counts.Retrieved, "row")
	if sample.End {
		read = "all " + plural(counts.Retrieved, "row") + " of the source"
	}
	p.printf("Read %s: %d to write, %d skipped by where, %d failed. Nothing was written.\n", read, len(sample.Rows), counts.Skipped, counts.Failed)
	p.printReasons(reasonsOf(sample.Errors), counts.Failed)
	p.printWarnings(sample.Warnings)
	return nil
}

// shownValue is a value for a terminal: null can be told from an empty text.
func shownValue(value any) string {
	if value == nil {
		return "null"
	}
	text, problem := row.Text(value)
	if problem != "" {
		object, fault := row.AppendObject(nil, []string{""}, []any{value})
		if fault != nil {
			return "(" + fault.Message + ")"
		}
		text = strings.TrimSuffix(strings.TrimPrefix(string(object), `{"":`), "}")
	}
	return shown(text)
}

func (c *taskPreviewCommand) printJSON(p *program, sample *pipeline.Sample) error {
	type sampleRow struct {
		Row    int64
		Values json.RawMessage
	}
	out := struct {
		Rows                                   []sampleRow
		RowsRetrieved, RowsSkipped, RowsFailed int64
		// End says that the source has no more rows.
		End      bool
		Errors   []run.RowError
		Warnings []string
	}{
		Rows: []sampleRow{}, Errors: append([]run.RowError{}, sample.Errors...), Warnings: append([]string{}, sample.Warnings...), End: sample.End,
		RowsRetrieved: sample.Counts.Retrieved, RowsSkipped: sample.Counts.Skipped, RowsFailed: sample.Counts.Failed,
	}
	for _, r := range sample.Rows {
		object, fault := row.AppendObject(nil, sample.Columns, r.Values)
		if fault != nil {
			return &exit{exitFailed, fmt.Errorf("row %d: %w", r.Number, fault)}
		}
		out.Rows = append(out.Rows, sampleRow{r.Number, object})
	}
	return p.printJSON(out)
}
