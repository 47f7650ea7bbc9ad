package pipeline

import (
	"context"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/connector/httpjson"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/connector/subject"
	"runhook/services/runner/connector/xlsxfile"
	"runhook/shared/run"
	"runhook/shared/task"
)

func openSource(ctx context.Context, job connector.Job) (connector.Source, error) {
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

func openDestination(ctx context.Context, job connector.Job, rows *mapper) (connector.Destination, error) {
	names := make([]string, len(rows.columns))
	for i, c := range rows.columns {
		names[i] = c.name
	}
	switch to := job.Task.Destination; {
	case to.SQL != nil:
		columns := make([]connector.Column, len(rows.columns))
		for i, c := range rows.columns {
			columns[i] = connector.Column{Name: c.name, Kind: c.value.Kind()}
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
