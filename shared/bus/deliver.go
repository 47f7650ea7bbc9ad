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

// Queue is one puller's end of a task's queue of requests, which all runners share. It is for one
// goroutine.
//
// It pulls by itself instead of through the client library's Next, which loses a request that
// arrives while its context ends: it would come back only when its lease has run out.
type Queue struct {
	bus      *Bus
	task     task.ID
	inbox    *nats.Subscription // nil until the first pull, and after one was given up
	arriving chan *nats.Msg
}

// pullFor is how long one pull stays open at the server; pullLost is how much later it is given up
// as lost with its server.
const (
	pullFor  = 30 * time.Second
	pullLost = 5 * time.Second
)

// Queue opens a task's queue. ErrNoConsumer means that the task was never applied to this store.
func (b *Bus) Queue(ctx context.Context, id task.ID) (*Queue, error) {
	_, err := b.runs.Consumer(ctx, string(id))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, ErrNoConsumer
	}
	if err != nil {
		return nil, fmt.Errorf("%w: open the queue of task %s: %w", ErrUnavailable, id, err)
	}
	return &Queue{bus: b, task: id}, nil
}

// Close gives the queue up. A request that was just arriving goes back to the others.
func (q *Queue) Close() {
	if msg := q.giveUp(); msg != nil {
		_ = msg.Nak() // if it is not heard, the lease runs out
	}
}

// Next leases the next request of the queue. When ctx ends no request stays leased to this call: one
// that was already on its way is returned, with no error. It returns ErrIdle when none came within
// half a minute or so, ErrNoConsumer when the queue has gone, ErrUnavailable when NATS has.
func (q *Queue) Next(ctx context.Context) (*Delivery, error) {
	if err := q.ask(); err != nil {
		return nil, err
	}
	lost := time.NewTimer(pullFor + pullLost)
	defer lost.Stop()
	for {
		var msg *nats.Msg
		select {
		case msg = <-q.arriving:
		case <-ctx.Done():
			if msg = q.giveUp(); msg == nil {
				return nil, ctx.Err()
			}
			return q.delivery(msg)
		case <-lost.C:
			return nil, q.abandon(fmt.Errorf("%w: a pull was not answered", ErrUnavailable))
		}
		status := msg.Header.Get("Status")
		switch {
		case msg.Reply != "" && status == "":
			return q.delivery(msg)
		case status == "100": // an idle server's heartbeat
		case status == "404", status == "408":
			return nil, ErrIdle
		case status == "503":
			return nil, q.abandon(ErrNoConsumer)
		default:
			return nil, q.abandon(fmt.Errorf("%w: the pull ended: %s %s", ErrUnavailable, status, msg.Header.Get("Description")))
		}
	}
}

// ask sends one pull request. Its answer is one message: a request, or a status that ends the pull.
func (q *Queue) ask() error {
	if q.inbox == nil {
		q.arriving = make(chan *nats.Msg, 8)
		inbox, err := q.bus.nc.ChanSubscribe(q.bus.nc.NewInbox(), q.arriving)
		if err != nil {
			return fmt.Errorf("%w: pull: %w", ErrUnavailable, err)
		}
		q.inbox = inbox
	}
	pull, err := json.Marshal(map[string]any{"batch": 1, "expires": pullFor.Nanoseconds()})
	if err != nil {
		return fmt.Errorf("encode a pull: %w", err)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + runsStream + "." + string(q.task)
	if err := q.bus.nc.PublishRequest(subject, q.inbox.Subject, pull); err != nil {
		return q.abandon(fmt.Errorf("%w: pull: %w", ErrUnavailable, err))
	}
	return nil
}

// giveUp ends an open pull so that nothing is leased to it any more, and returns the request that
// arrived meanwhile, if one did. The server ends a pull whose inbox nobody listens to; what it sent
// before it heard so has arrived when the flush returns.
func (q *Queue) giveUp() *nats.Msg {
	if q.inbox == nil {
		return nil
	}
	inbox, arriving := q.inbox, q.arriving
	q.inbox, q.arriving = nil, nil
	defer func() { _ = inbox.Unsubscribe() }() // drained already, or gone with the connection
	if inbox.Drain() != nil || q.bus.nc.FlushTimeout(readTimeout) != nil {
		return nil
	}
	for {
		select {
		case msg := <-arriving:
			if msg.Reply != "" && msg.Header.Get("Status") == "" {
				return msg
			}
		default:
			return nil
		}
	}
}

// abandon drops the inbox with whatever pull is open, and returns err.
func (q *Queue) abandon(err error) error {
	if q.inbox != nil {
		_ = q.inbox.Unsubscribe()
		q.inbox, q.arriving = nil, nil
	}
	return err
}

func (q *Queue) delivery(msg *nats.Msg) (*Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("%w: a delivery without metadata: %w", ErrUnavailable, err)
	}
	d := &Delivery{
		Task: q.task, Number: run.Number(meta.Sequence.Stream),
		Redelivered: meta.NumDelivered > 1, Stored: meta.Timestamp, bus: q.bus, msg: msg,
	}
	d.Malformed = json.Unmarshal(msg.Data, &d.Request)
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

	bus *Bus
	msg *nats.Msg
}

// Extend renews the lease. An error means that NATS could not be told; the lease may run out.
func (d *Delivery) Extend() error { return d.msg.InProgress() }

// Done tells the queue that the run has ended, and waits for nothing: the queue confirms that it has
// heard, and is told again while it does not. The final document is written before: a Done that is
// lost for all that only brings the run back to somebody who finds that document.
func (d *Delivery) Done() { d.bus.acknowledged.publish(d.msg.Reply) }

// Retry hands the delivery back, to be delivered again after delay.
func (d *Delivery) Retry(delay time.Duration) error {
	if delay == 0 {
		return d.msg.Nak()
	}
	return d.msg.NakWithDelay(delay)
}
