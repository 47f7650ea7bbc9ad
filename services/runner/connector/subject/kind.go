package subject

import (
	"context"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var _ connector.Destination = (*Destination)(nil)

// DestinationKind publishes rows.
type DestinationKind struct{}

// Open prepares to publish the job's rows.
func (DestinationKind) Open(_ context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	to, names := destination(job), connector.Names(columns)
	if job.DryRun {
		return Try(to, names)
	}
	return Open(to, job.Publish, job.Run, names)
}

// Check asks no server.
func (DestinationKind) Check(_ context.Context, job connector.Job, _ []check.Column, found *check.Report) (check.Takes, error) {
	found.Notef(check.At("destination", "nats", "subject"), "no server is asked here; a run shows whether a stream keeps the messages to %s", destination(job).Subject)
	return nil, nil
}

func destination(job connector.Job) *task.NATSDestination {
	return job.Task.Destination.(*task.NATSDestination)
}
