package sqldb

import (
	"context"

	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var (
	_ connector.Source     = (*Source)(nil)
	_ connector.Typed      = (*Source)(nil)
	_ connector.Ledger     = (*Destination)(nil)
	_ connector.LedgerKind = DestinationKind{}
	_ connector.Sized      = (*Destination)(nil)
	_ connector.Warner     = (*Destination)(nil)
)

// SourceKind reads the rows of queries.
type SourceKind struct{}

// Open connects to the job's database.
func (SourceKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	s, err := OpenSource(ctx, job.Connections, source(job), job.Task.ExpressionParams(job.Parameters))
	if err != nil {
		return nil, err
	}
	s.brief = job.Preview
	return s, nil
}

// DestinationKind writes rows to tables, and keeps each run's checkpoint beside them.
type DestinationKind struct{}

// Open connects to the job's database.
func (DestinationKind) Open(ctx context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	open := Open
	if job.DryRun {
		open = Try
	}
	d, err := open(ctx, job.Connections, destination(job), columns)
	if err != nil {
		return nil, err
	}
	if err := d.table.bounded(job.Task.Expect); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func source(job connector.Job) *task.SQLSource { return job.Task.Source.(*task.SQLSource) }

func destination(job connector.Job) *task.SQLDestination {
	return job.Task.Destination.(*task.SQLDestination)
}
