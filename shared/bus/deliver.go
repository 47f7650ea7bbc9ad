package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// ErrIdle: no request came within one pull; pull again.
var ErrIdle = errors.New("no request came")

// Queue is the queue of one task's requests, shared by all runners.
type Queue struct {
	consumer jetstream.Consumer
	task     task.ID
}

// Queue opens a task's queue. ErrNoConsumer means that the task was never applied to this store.
func (b *Bus) Queue(ctx context.Context, id task.ID) (*Queue, error) {
	consumer, err := b.runs.Consumer(ctx, string(id))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, ErrNoConsumer
	}
	if err != nil {
		return nil, fmt.Errorf("%w: open the queue of task %s: %w", ErrUnavailable, id, err)
	}
	return &Queue{consumer: consumer, task: id}, nil
}

// Next leases the next request of the queue. When ctx ends no request is left leased to this call.
// It returns ErrIdle when none came within half a minute or so, ErrNoConsumer when the queue has
// gone, ErrUnavailable when NATS has.
func (q *Queue) Next(ctx context.Context) (*Delivery, error) {
	msg, err := q.consumer.Next(jetstream.FetchContext(ctx))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, nats.ErrTimeout):
		return nil, ErrIdle
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound),
		errors.Is(err, jetstream.ErrConsumerDoesNotExist):
		return nil, ErrNoConsumer
	default:
		return nil, fmt.Errorf("%w: pull: %w", ErrUnavailable, err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("%w: a delivery without metadata: %w", ErrUnavailable, err)
	}
	d := &Delivery{
		Task: q.task, Number: run.Number(meta.Sequence.Stream),
		Redelivered: meta.NumDelivered > 1, Stored: meta.Timestamp, msg: msg,
	}
	d.Malformed = json.Unmarshal(msg.Data(), &d.Request)
	return d, nil
}

// Delivery is one request leased to this process. It goes to another runner when it is neither
// extended nor done for the length of the lease.
type Delivery struct {
	Task    task.ID
	Number  run.Number
	Request run.Request
	// Malformed is set when the message is not a run request: somebody else published it.
	Malformed error
	// Redelivered: another delivery of the same run was made before.
	Redelivered bool
	// Stored is when the request became durable.
	Stored time.Time

	msg jetstream.Msg
}

// Extend renews the lease. An error means that NATS could not be told; the lease may run out.
func (d *Delivery) Extend() error { return d.msg.InProgress() }

// Done tells the queue that the run has ended, and waits until it has heard. The final document is
// written before: a lost Done only brings the run back to somebody who finds that document.
func (d *Delivery) Done(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return d.msg.DoubleAck(ctx)
}

// Retry hands the delivery back, to be delivered again after delay.
func (d *Delivery) Retry(delay time.Duration) error {
	if delay == 0 {
		return d.msg.Nak()
	}
	return d.msg.NakWithDelay(delay)
}
