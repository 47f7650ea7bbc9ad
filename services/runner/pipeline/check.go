package pipeline

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// Check looks, here and now, at what a run of the job would meet: connections, the source and its
// columns, expressions, and the destination with its columns, rights and rules. It reports all that
// it finds, and changes nothing. Parameters may lack values that the task requires. The error is ctx's,
// a [*run.Failure] where kinds lacks one of the task's, or a [*Panic].
func Check(ctx context.Context, kinds connector.Kinds, job connector.Job) (found []check.Finding, err error) {
	defer catchPanic(&err)
	var report check.Report
	source, err := kinds.Source(job.Task.Source)
	if err != nil {
		return nil, err
	}
	destination, err := kinds.Destination(job.Task.Destination)
	if err != nil {
		return nil, err
	}
	from, err := source.Check(ctx, job, &report)
	if err != nil {
		return nil, err
	}
	if since := job.Task.Since(); since != nil && len(from.Columns.Names) > 0 {
		if _, err := sinceColumn(job.Task, from.Columns); err != nil {
			report.Fail(check.At("source", string(job.Task.Source.Name()), "since", "column"), err)
		}
	}
	for _, warning := range from.Warnings {
		report.Warnf(check.At("source"), "%s", warning)
	}
	// Of a source whose columns are not known the rest can still be seen.
	rows := compileAll(job, from.Columns, &report)
	takes, err := destination.Check(ctx, job, mappedColumns(job, from, rows, &report), &report)
	if err != nil {
		return nil, err
	}
	if (rows.where != nil || job.Task.Where == "") && len(rows.columns) == len(job.Task.Mapping) {
		err = checkRows(ctx, job, from.First, rows, takes, &report)
	}
	return report.Findings, err
}

// mappedColumns are the mapping's columns with what is known of their values.
func mappedColumns(job connector.Job, from connector.Looked, rows *mapper, found *check.Report) []check.Column {
	columns, types := from.Columns, from.Types
	for i, used := range rows.scope.Used() {
		if used && i < len(types) && types[i].Unseen {
			found.Warnf(fieldThatUses(job.Task, rows, columns.Names[i]), "no row that was looked at has the column %s, though the source names it; a run fails where none of its first rows has it", columns.Names[i])
		}
	}
	mapped := make([]check.Column, len(job.Task.Mapping))
	for i, c := range job.Task.Mapping {
		mapped[i] = check.Column{Name: c.Name}
		at := slices.IndexFunc(rows.columns, func(compiled mappedColumn) bool { return compiled.name == c.Name })
		if at < 0 {
			continue // reported
		}
		value := rows.columns[at].value
		mapped[i].Kind = kindOf(value.Kind())
		if name, ok := value.Column(); ok {
			mapped[i].From = name
			if from := slices.Index(columns.Names, name); from < len(types) {
				mapped[i].Kind, mapped[i].Length = types[from].Kind, types[from].Length
				mapped[i].Stored, mapped[i].Declared = types[from].Stored, types[from].Declared
			}
		}
	}
	return mapped
}

// fieldThatUses is the first column of the mapping that passes the source's column, or the mapping.
func fieldThatUses(def *task.Definition, rows *mapper, column string) check.Field {
	for _, c := range rows.columns {
		if name, ok := c.value.Column(); ok && name == column {
			return check.At("mapping", c.name)
		}
	}
	if len(def.Mapping) == 0 {
		return check.At("where")
	}
	return check.At("mapping")
}

// kindOf is what a compiled expression tells of its values. That of a text is left open: it may be
// made for the column that it goes to.
func kindOf(kind reflect.Kind) check.Kind {
	switch kind {
	case reflect.Bool:
		return check.Boolean
	case reflect.Int:
		return check.Whole
	case reflect.Float64:
		return check.Number
	case reflect.Struct: // the only one is a moment
		return check.Moment
	}
	return check.Unknown
}

// checkRows maps the source's first rows, and reports those that would fail. takes is the destination's, nil
// where it takes what it gets. The error is ctx's.
func checkRows(ctx context.Context, job connector.Job, first []check.Cells, rows *mapper, takes check.Takes, found *check.Report) error {
	var faults check.Tally
	for i, cells := range first {
		number := int64(i + 1)
		if cells.Fault != nil {
			faults.Add(number, cells.Fault)
		}
		if cells.Fault != nil || cells.Blank {
			continue
		}
		clear(rows.scope.Row)
		copy(rows.scope.Row, cells.Values)
		read := row.Row{Number: number, Values: make([]any, len(rows.columns))}
		if _, err := rows.apply(ctx, &read); err != nil {
			return err
		}
		switch {
		case read.Outcome == row.Failed:
			faults.Add(number, read.Fault)
		case read.Outcome == row.Ready && takes != nil:
			if fault := takes(read.Values); fault != nil {
				faults.Add(number, fault)
			}
		}
	}
	faults.Report(len(first), func(column string) check.Field {
		switch {
		case slices.ContainsFunc(job.Task.Mapping, func(c task.Column) bool { return strings.EqualFold(c.Name, column) }):
			return check.At("mapping", column)
		case column == "where":
			return check.At("where")
		}
		return check.At("source")
	}, found)
	return nil
}
