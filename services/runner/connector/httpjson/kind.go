package httpjson

import (
	"context"

	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var (
	_ connector.Source      = (*Source)(nil)
	_ connector.Warner      = (*Source)(nil)
	_ connector.Typed       = (*Source)(nil)
	_ connector.Destination = (*Destination)(nil)
)

// SourceKind reads pages of JSON.
type SourceKind struct{}

// Open asks for the job's first page.
func (SourceKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	return open(ctx, job.Connections, source(job), job.Task.ExpressionParams(job.Parameters), usualPatience, job.Preview)
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

func source(job connector.Job) *task.HTTPSource { return job.Task.Source.(*task.HTTPSource) }

func destination(job connector.Job) *task.HTTPDestination {
	return job.Task.Destination.(*task.HTTPDestination)
}
