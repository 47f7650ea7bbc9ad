package httpjson

import (
	"context"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var (
	_ connector.Source      = (*Source)(nil)
	_ connector.Destination = (*Destination)(nil)
)

// SourceKind reads pages of JSON.
type SourceKind struct{}

// Open asks for the job's first page.
func (SourceKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	return Open(ctx, job.Connections, source(job), job.Task.ExpressionParams(job.Parameters))
}

// Check asks for the first page, unless a parameter that it requires has no value.
func (SourceKind) Check(ctx context.Context, job connector.Job, found *check.Report) (connector.Looked, error) {
	for i, parameter := range job.Task.Parameters {
		if key := job.Task.Key(i); parameter.Required && len(job.Parameters[key].Values) == 0 {
			found.Warnf(check.At("source", "http", "path"), "the first page was not asked for, and its columns are not known: the parameter %s is required and has no value here; give one with -p %[1]s=VALUE", key)
			return connector.Unseen(), nil
		}
	}
	return CheckSource(ctx, job.Connections, source(job), job.Task.ExpressionParams(job.Parameters), found)
}

// DestinationKind sends rows as JSON.
type DestinationKind struct{}

// Open prepares to send the job's rows.
func (DestinationKind) Open(_ context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	to, names := destination(job), connector.Names(columns)
	if job.DryRun {
		return Try(job.Connections, to, names)
	}
	return OpenDestination(job.Connections, to, job.Run, names)
}

// Check asks whether the service is there. What it takes shows in a run.
func (DestinationKind) Check(ctx context.Context, job connector.Job, _ []check.Column, found *check.Report) (check.Takes, error) {
	return nil, Check(ctx, job.Connections, destination(job), found)
}

func source(job connector.Job) *task.HTTPSource { return job.Task.Source.(*task.HTTPSource) }

func destination(job connector.Job) *task.HTTPDestination {
	return job.Task.Destination.(*task.HTTPDestination)
}
