package jet

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// An acknowledgement that is lost, perhaps while a cluster changes the leader of a consumer, would
// hold the place of a run that has ended for the length of a lease: a task with one place at a time
// would stand still. So each is confirmed by the server, to one subscription and in the background,
// and is published again while it is not.

const (
	// confirmWithin is how long a confirmation may take before the acknowledgement is repeated.
	confirmWithin = 3 * time.Second
	// repeats is how often it is repeated. By then the queue has gone, or every lease has run out and
	// somebody has found the final document.
	repeats = 20
	// settleWithin bounds how long a connection that is closed waits for confirmations.
	settleWithin = time.Second
)

// Deliveries are those whose runs have ended and of which the server has not confirmed that it knows.
type Deliveries struct {
	nc     *nats.Conn
	within time.Duration
	// prefix begins the subjects that confirmations come to; a number follows.
	prefix string

	mu   sync.Mutex
	last uint64
	open map[uint64]done
	// timer runs while any is open.
	timer *time.Timer
	// settled is closed when none is open any more; nil while nobody waits for that.
	settled chan struct{}
	closed  bool
}

// done is one delivery as the server was told.
type done struct {
	subject string
	sent    time.Time
	repeats int
}

func newDeliveries(nc *nats.Conn, within time.Duration) (*Deliveries, error) {
	d := &Deliveries{nc: nc, within: within, prefix: nc.NewInbox() + ".", open: map[uint64]done{}}
	if _, err := nc.Subscribe(d.prefix+"*", d.confirmed); err != nil {
		return nil, fmt.Errorf("listen for confirmations: %w", err)
	}
	return d, nil
}

// Done acknowledges the delivery that came with this reply subject, and waits for nothing: the server
// is told again while it does not confirm.
func (d *Deliveries) Done(subject string) {
	now := time.Now()
	d.mu.Lock()
	d.last++
	number := d.last
	d.open[number] = done{subject: subject, sent: now}
	if len(d.open) == 1 {
		d.wake()
	}
	d.mu.Unlock()
	d.send(number, subject)
}

// send publishes an acknowledgement, which is an empty message. Its error needs no attention: what did
// not leave is not confirmed.
func (d *Deliveries) send(number uint64, subject string) {
	_ = d.nc.PublishRequest(subject, d.prefix+strconv.FormatUint(number, 36), nil)
}

func (d *Deliveries) confirmed(msg *nats.Msg) {
	number, err := strconv.ParseUint(msg.Subject[len(d.prefix):], 36, 64)
	if err != nil || msg.Header.Get("Status") != "" { // nobody heard it
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, number)
	d.settle()
}

// settle tells who waits that nothing is open; the caller holds mu.
func (d *Deliveries) settle() {
	if len(d.open) == 0 && d.settled != nil {
		close(d.settled)
		d.settled = nil
	}
}

// wake sets the timer; the caller holds mu.
func (d *Deliveries) wake() {
	switch {
	case d.closed:
	case d.timer == nil:
		d.timer = time.AfterFunc(d.within, d.repeat)
	default:
		d.timer.Reset(d.within)
	}
}

// repeat publishes again what should have been confirmed by now.
func (d *Deliveries) repeat() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for number, open := range d.open {
		switch {
		case time.Since(open.sent) < d.within:
		case open.repeats == repeats:
			delete(d.open, number)
		default:
			open.repeats++
			open.sent = time.Now()
			d.open[number] = open
			d.send(number, open.subject)
		}
	}
	d.settle()
	if len(d.open) > 0 {
		d.wake()
	}
}

// close waits a moment for what is open to be confirmed.
func (d *Deliveries) close() {
	d.mu.Lock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	var settled chan struct{}
	if len(d.open) > 0 {
		settled = make(chan struct{})
		d.settled = settled
	}
	d.mu.Unlock()
	if settled == nil {
		return
	}
	select {
	case <-settled:
	case <-time.After(settleWithin):
	}
}
