package pipeline

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/connector/httpjson"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// Check looks, here and now, at what a run of the job would meet: connections, the source and its
// columns, expressions, and the destination with its columns, rights and rules. It reports all that
// it finds, and changes nothing. Parameters may lack values that the task requires. The error is ctx's,
// or a [*Panic].
func Check(ctx context.Context, job connector.Job) (found []check.Finding, err error) {
	defer catchPanic(&err)
	var report check.Report
	from, err := checkSource(ctx, job, &report)
	if err != nil {
		return nil, err
	}
	// Of a source whose columns are not known the rest can still be seen.
	rows := compileAll(job, from.Columns, &report)
	takes, err := checkDestination(ctx, job, mappedColumns(job, from, rows, &report), &report)
	if err != nil {
		return nil, err
	}
	if (rows.where != nil || job.Task.Where == "") && len(rows.columns) == len(job.Task.Mapping) {
		checkRows(job, from.First, rows, takes, &report)
	}
	return report.Findings, nil
}

// checkSource looks at the source, as far as it is to be seen.
func checkSource(ctx context.Context, job connector.Job, found *check.Report) (s connector.Looked, err error) {
	s.Columns.Unknown = true
	params := job.Task.ExpressionParams(job.Parameters)
	switch from := job.Task.Source; {
	case from.CSV != nil:
		root, err := job.Connections.Files(from.CSV.Connection)
		if err != nil {
			found.Fail(check.At("source", "csv", "connection"), err)
			return s, nil
		}
		root.Close()
		file, err := openSource(ctx, job)
		if err != nil {
			found.Fail(check.At("source", "csv", "path"), err)
			return s, ctx.Err()
		}
		defer file.Close()
		s.Columns = file.Columns()
		s.First = check.First(ctx, len(s.Columns.Names), file.Next)
	case from.SQL != nil:
		s.Columns, s.Types, s.First, err = sqldb.CheckSource(ctx, job.Connections, from.SQL, params, found)
	case from.HTTP != nil:
		if missing := withoutValue(job); missing != "" {
			found.Warnf(check.At("source", "http", "path"), "the first page was not asked for, and its columns are not known: the parameter %s is required and has no value here; give one with -p %[1]s=VALUE", missing)
			return s, nil
		}
		s.Columns, s.First, err = httpjson.CheckSource(ctx, job.Connections, from.HTTP, params, found)
	case from.IMIS != nil:
		s.Columns, s.Types, s.First, err = imis.CheckSource(ctx, job.Connections, job.Task, job.Parameters, found)
	}
	return s, err
}

// withoutValue names a required parameter that has no value.
func withoutValue(job connector.Job) string {
	for i, parameter := range job.Task.Parameters {
		if key := job.Task.Key(i); parameter.Required && len(job.Parameters[key].Values) == 0 {
			return key
		}
	}
	return ""
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
// where it takes what it gets.
func checkRows(job connector.Job, first []check.Cells, rows *mapper, takes check.Takes, found *check.Report) {
	var faults check.Tally
	for i, cells := range first {
		number := int64(i + 1)
		if cells.Fault != nil {
			faults.Add(number, cells.Fault)
			continue
		}
		clear(rows.scope.Row)
		copy(rows.scope.Row, cells.Values)
		read := row.Row{Number: number, Values: make([]any, len(rows.columns))}
		rows.apply(&read)
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
}

// checkDestination looks at the destination, and returns what it takes, where that can be told.
func checkDestination(ctx context.Context, job connector.Job, mapped []check.Column, found *check.Report) (check.Takes, error) {
	names := make([]string, len(mapped))
	for i, c := range mapped {
		names[i] = c.Name
	}
	switch to := job.Task.Destination; {
	case to.SQL != nil:
		return sqldb.Check(ctx, job.Connections, to.SQL, mapped, found)
	case to.IMIS != nil:
		return imis.Check(ctx, job.Connections, to.IMIS, mapped, found)
	case to.CSV != nil:
		csvfile.Check(job.Connections, to.CSV, names, found)
	case to.HTTP != nil:
		return nil, httpjson.Check(ctx, job.Connections, to.HTTP, found)
	case to.NATS != nil:
		found.Notef(check.At("destination", "nats", "subject"), "whether a stream keeps what is published to %s shows in a run, for no server is asked here", to.NATS.Subject)
	}
	return nil, nil
}
