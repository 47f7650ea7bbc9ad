package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
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
	store    *jet.Store
	task     task.ID
	inbox    *nats.Subscription // nil until the first pull, and after one has failed
	arriving chan *nats.Msg     // has room for whatever one pull brings
	// left is how many requests the open pull may still bring, 0 if none is open; ends is when the server
	// ends it, and alone reports whether that can be done before. They are leaving's while that is not nil.
	left    int
	ends    time.Time
	alone   bool
	leaving *leaving
	// denied tells that the open pull was denied, until undenied.
	denied   chan error
	undenied func()
}

const (
	// pullFor is how long one pull stays open at the server; pullLost is how much later it is given up
	// as lost with its server.
	pullFor  = 30 * time.Second
	pullLost = 5 * time.Second
	// pullForInCluster is short, because a pull in a cluster cannot be ended before (leaving).
	pullForInCluster = 5 * time.Second
	// mostPulled is how many requests one pull asks for at most.
	mostPulled = 64
)

// Queue opens a task's queue. ErrNoConsumer means that the task was never applied to this store.
func (w *Work) Queue(ctx context.Context, id task.ID) (*Queue, error) {
	begun := time.Now()
	_, err := w.store.Runs.Consumer(ctx, string(id))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, ErrNoConsumer
	}
	if err != nil {
		return nil, fmt.Errorf("%w: open the queue of task %s: %w", run.ErrUnavailable, id, w.store.Denials.Explain(begun, err))
	}
	return &Queue{store: w.store, task: id}, nil
}

// Close gives the queue up. In a cluster it waits for the end of a pull that is still open, which takes
// a few seconds at most.
func (q *Queue) Close() {
	q.await()
	q.drop()
}

// Pull leases up to n requests of the queue and passes each to take when it comes. It returns nil when
// n have come. When ctx ends no request stays leased to this call: those that were already on their way
// are passed to take before it returns, or given back. It returns ErrIdle when the server ended the pull
// before n had come, ErrNoConsumer when the queue has gone, run.ErrUnavailable when NATS has.
func (q *Queue) Pull(ctx context.Context, n int, take func(*Delivery)) error {
	return q.pull(ctx, n, false, take)
}

// Fetch is Pull for the requests that wait at this moment: it returns ErrIdle once they are leased, if they
// are fewer than n. While the task has as many runs as it may have at once, it waits for the end of one.
func (q *Queue) Fetch(ctx context.Context, n int, take func(*Delivery)) error {
	return q.pull(ctx, n, true, take)
}

func (q *Queue) pull(ctx context.Context, n int, now bool, take func(*Delivery)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.stay()
	if now && q.left > 0 { // a pull that could not be ended: what waits has been handed into it
		defer q.leave(take)
		return q.arrived(n, take)
	}
	if q.left == 0 {
		if err := q.ask(max(1, min(n, mostPulled)), now); err != nil {
			return err
		}
	}
	defer q.leave(take)
	lost := time.NewTimer(time.Until(q.ends.Add(pullLost)))
	defer lost.Stop()
	for n = min(n, q.left); n > 0; {
		select {
		case msg := <-q.arriving:
			if isRequest(msg) {
				n--
				q.left--
				q.pass(msg, take)
			} else if err := q.status(msg); err != nil {
				return err
			}
		case denied := <-q.denied:
			return q.abandon(fmt.Errorf("%w: pull: %w", run.ErrUnavailable, denied))
		case <-ctx.Done():
			return ctx.Err()
		case <-lost.C:
			return q.abandon(fmt.Errorf("%w: a pull was not answered", run.ErrUnavailable))
		}
	}
	return nil
}

// arrived takes up to n requests that the open pull has brought.
func (q *Queue) arrived(n int, take func(*Delivery)) error {
	for ; n > 0 && len(q.arriving) > 0; n-- {
		q.receive(<-q.arriving, take)
	}
	if n > 0 {
		return ErrIdle
	}
	return nil
}

// ask sends one pull request. Its answer is up to n requests, and a status that ends the pull where
// they are fewer: after a while, or now, when no more wait.
func (q *Queue) ask(n int, now bool) error {
	if q.inbox == nil {
		q.arriving = make(chan *nats.Msg, mostPulled+8)
		inbox, err := q.store.NC.ChanSubscribe(q.store.NC.NewInbox(), q.arriving)
		if err != nil {
			return fmt.Errorf("%w: pull: %w", run.ErrUnavailable, err)
		}
		q.inbox = inbox
	}
	expires := pullFor
	if q.alone = q.store.Alone(); !q.alone {
		expires = pullForInCluster
	}
	pull := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, n, expires.Nanoseconds())
	if now {
		// Without expires: with it the server would wait for a request before it ends the pull.
		pull = fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, n)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + jet.RunsStream + "." + string(q.task)
	q.endWatch()
	denied := make(chan error, 1)
	q.denied, q.undenied = denied, q.store.Denials.Await(subject, func(err error) { denied <- err })
	if err := q.store.NC.PublishRequest(subject, q.inbox.Subject, pull); err != nil {
		return q.abandon(fmt.Errorf("%w: pull: %w", run.ErrUnavailable, err))
	}
	q.left, q.ends = n, time.Now().Add(expires)
	return nil
}

// isRequest tells a request from a status of the server, which nobody acknowledges. A request may have any header.
func isRequest(msg *nats.Msg) bool { return strings.HasPrefix(msg.Reply, "$JS.ACK.") }

// status is why the pull has ended, nil when it has not.
func (q *Queue) status(msg *nats.Msg) error {
	switch status := msg.Header.Get("Status"); status {
	case "100": // an idle server's heartbeat
		return nil
	case "404", "408":
		q.left = 0
		return ErrIdle
	case "503":
		return q.abandon(ErrNoConsumer)
	default:
		return q.abandon(fmt.Errorf("%w: the pull ended: %s %s", run.ErrUnavailable, status, msg.Header.Get("Description")))
	}
}

// abandon drops the inbox with whatever pull is open, and returns err.
func (q *Queue) abandon(err error) error {
	q.drop()
	return err
}

// endWatch forgets a pull that may be denied.
func (q *Queue) endWatch() {
	if q.undenied != nil {
		q.undenied()
	}
	q.denied, q.undenied = nil, nil
}

func (q *Queue) drop() {
	q.endWatch()
	if q.inbox != nil {
		_ = q.inbox.Unsubscribe() // drained already, or gone with the connection
	}
	q.inbox, q.arriving, q.left = nil, nil, 0
}

// pass passes a request on.
func (q *Queue) pass(msg *nats.Msg, take func(*Delivery)) {
	meta, err := msg.Metadata()
	if err != nil { // nothing that the server sends
		q.store.Log.Error().Err(err).Str("task", string(q.task)).Msg("a message without metadata came to a pull")
		return
	}
	d := &Delivery{
		Task: q.task, Number: q.store.Numbers.Of(meta.Sequence.Stream),
		Redelivered: meta.NumDelivered > 1, Stored: meta.Timestamp, store: q.store, reply: msg.Reply,
	}
	d.place = d.Number
	if n, ok := jet.Called(msg.Header); ok {
		d.Number, d.called = n, true
		take(d)
		return
	}
	data := msg.Data
	if jet.IsAnswer(msg.Header) { // as in every other read
		data = nil
	}
	if d.Request, d.Malformed = run.DecodeRequest(data, q.task); d.Malformed != nil {
		q.store.PassOver(jet.RunsStream, msg.Subject, meta.Sequence.Stream, d.Malformed)
	}
	take(d)
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

	store *jet.Store
	reply string // the subject of what the queue is told
	// place is the number of the message, and called reports whether that is a call: then Recall reads Request.
	place  run.Number
	called bool
}

// The replies that a delivery sends to its queue.
var (
	inProgress = []byte("+WPI")
	handBack   = []byte("-NAK")
)

// Extend renews the lease. An error means that NATS could not be told; the lease may run out.
func (d *Delivery) Extend() error { return d.store.NC.Publish(d.reply, inProgress) }

// Done tells the queue that the run has ended, and waits for nothing: the queue confirms that it has
// heard, and is told again while it does not. The final document is written before: a Done that is
// lost for all that only brings the run back to somebody who finds that document.
func (d *Delivery) Done() { d.store.Deliveries.Done(d.reply) }

// Retry hands the delivery back, to be delivered again after delay.
func (d *Delivery) Retry(delay time.Duration) error {
	if delay == 0 {
		return d.store.NC.Publish(d.reply, handBack)
	}
	return d.store.NC.Publish(d.reply, fmt.Appendf(nil, `%s {"delay": %d}`, handBack, delay.Nanoseconds()))
}
