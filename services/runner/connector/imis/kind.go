package imis

import (
	"context"

	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var (
	_ connector.Source      = (*Source)(nil)
	_ connector.Named       = (*Source)(nil)
	_ connector.Warner      = (*Source)(nil)
	_ connector.Destination = (*Destination)(nil)
	_ connector.Sized       = (*Destination)(nil)
)

// SourceKind reads the rows of IQAs.
type SourceKind struct{}

// Open signs in, and reads the first page of the job's IQA.
func (SourceKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	return Open(ctx, job)
}

// DestinationKind writes records.
type DestinationKind struct{}

// Open signs in, and holds the mapping against the job's entity.
func (DestinationKind) Open(ctx context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	to, names := destination(job), connector.Names(columns)
	if job.DryRun {
		return Try(ctx, job.Connections, to, names)
	}
	d, err := OpenDestination(ctx, job.Connections, to, names)
	if err != nil {
		return nil, err
	}
	if job.Allow != nil {
		d.allow = job.Allow
	}
	return d, nil
}

func destination(job connector.Job) *task.IMISDestination {
	return job.Task.Destination.(*task.IMISDestination)
}

func iqa(def *task.Definition) *task.IMISSource { return def.Source.(*task.IMISSource) }
