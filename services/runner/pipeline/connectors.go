package pipeline

import (
	"context"

	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/connector/httpjson"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/connector/subject"
	"runhook/services/runner/connector/xlsxfile"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// source is what rows are read from. A connector for another kind implements it in a package of its
// own and is opened in openSource. One goroutine uses it.
type source interface {
	// Columns are those of every row.
	Columns() mapping.Columns
	// Next reads the next row into cells, and returns about how much memory it holds. io.EOF is the
	// end. After a *row.Fault, which is that row's own, it can go on; any other error ends the run,
	// and is a *run.Failure or ctx's. ctx is the same in every call, and ends when the run does.
	Next(ctx context.Context, cells []any) (size int, err error)
	// Progress is the part that has been read, 0 to 1, and the number of all rows; 0 of either means
	// that it is not known. It is called after every row.
	Progress() (part float64, total int64)
	// Version tells whether the source is what it was when it had another one, as far as can be told
	// without reading it; it is asked for before Next.
	Version() (string, error)
	// Skip passes over that many rows from the first on, before Next is called. io.EOF says that there
	// are not so many, if it is known by then; other errors are those of Next. What it skips is the same
	// only where the task's source is ordered.
	Skip(ctx context.Context, rows int64) error
	Close() error
}

// recorder is a source that keeps a row whole for less than its cells would take, such as a line of
// text. From any other source the cells themselves are kept.
type recorder interface {
	// Use says which columns the task names; the cells of the others need not be filled in.
	Use(used []bool)
	// Record is the row that Next came to last, also when that was a fault.
	Record() row.Record
}

// rowsAtHand is a source that may have all its rows in memory from the beginning: nothing is gained by
// reading them beside the writing.
type rowsAtHand interface{ AtHand() bool }

// destination is what rows are written to. One goroutine uses it.
type destination interface {
	// Write writes the batch's pending rows as one unit, and sets the outcome of each. It calls
	// before when nothing is left to do but to make the batch last. After any error, which is a
	// *run.Failure, ctx's or before's, nothing of the batch is in the destination; where that cannot
	// be had (task.Destination.AtLeastOnce) some of it may be, uncounted.
	Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error
	// Finish is called once, after the last batch of a run that succeeds.
	Finish(ctx context.Context) error
	// Close releases everything. kept is false where the rows written so far went with it, because
	// there was no Finish.
	Close() (kept bool)
}

func openSource(ctx context.Context, job Job) (source, error) {
	params := job.Task.ExpressionParams(job.Parameters)
	switch from := job.Task.Source; {
	case from.CSV != nil && from.CSV.IsWorkbook():
		return xlsxfile.Open(job.Connections, from.CSV)
	case from.CSV != nil:
		return csvfile.Open(job.Connections, from.CSV)
	case from.SQL != nil:
		return sqldb.OpenSource(ctx, job.Connections, from.SQL, params)
	case from.HTTP != nil:
		return httpjson.Open(ctx, job.Connections, from.HTTP, params)
	case from.IMIS != nil:
		return imis.Open(ctx, job.Connections, job.Task, job.Parameters)
	}
	return nil, run.Failf("the task's source is of a kind that this runner does not know; a newer one may")
}

func openDestination(ctx context.Context, job Job, rows *mapper) (destination, error) {
	names := make([]string, len(rows.columns))
	for i, c := range rows.columns {
		names[i] = c.name
	}
	switch to := job.Task.Destination; {
	case to.SQL != nil:
		columns := make([]sqldb.Column, len(rows.columns))
		for i, c := range rows.columns {
			columns[i] = sqldb.Column{Name: c.name, Kind: c.value.Kind()}
		}
		if job.DryRun {
			return sqldb.Try(ctx, job.Connections, to.SQL, columns)
		}
		return sqldb.Open(ctx, job.Connections, to.SQL, columns)
	case to.CSV != nil:
		if job.DryRun {
			return csvfile.Try(job.Connections, to.CSV, names)
		}
		return csvfile.Create(job.Connections, to.CSV, names)
	case to.HTTP != nil:
		if job.DryRun {
			return httpjson.Try(job.Connections, to.HTTP, names)
		}
		return httpjson.OpenDestination(job.Connections, to.HTTP, job.Run, names)
	case to.NATS != nil:
		if job.DryRun {
			return subject.Try(to.NATS, names)
		}
		return subject.Open(to.NATS, job.Publish, job.Run, names)
	case to.IMIS != nil:
		if job.DryRun {
			return imis.Try(ctx, job.Connections, to.IMIS, names)
		}
		return imis.OpenDestination(ctx, job.Connections, to.IMIS, names)
	}
	return nil, run.Failf("the task's destination is of a kind that this runner does not know; a newer one may")
}

// destinationName is how progress messages name the destination.
func destinationName(t *task.Definition) string {
	switch to := t.Destination; {
	case to.SQL != nil:
		return "the table " + to.SQL.Table
	case to.HTTP != nil:
		return "the web service of connection " + to.HTTP.Connection
	case to.NATS != nil:
		return "the subject " + to.NATS.Subject
	case to.IMIS != nil:
		return "the entity " + to.IMIS.Entity + " of connection " + to.IMIS.Connection
	}
	return "the file " + t.Destination.CSV.Path
}
