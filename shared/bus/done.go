package bus

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

// acknowledgements are those which the server has not confirmed.
type acknowledgements struct {
	nc     *nats.Conn
	within time.Duration
	// prefix begins the subjects that confirmations come to; a number follows.
	prefix string

	mu   sync.Mutex
	last uint64
	open map[uint64]acknowledgement
	// timer runs while any is open.
	timer *time.Timer
	// settled is closed when none is open any more; nil while nobody waits for that.
	settled chan struct{}
	closed  bool
}

type acknowledgement struct {
	subject string
	sent    time.Time
	repeats int
}

func newAcknowledgements(nc *nats.Conn, within time.Duration) (*acknowledgements, error) {
	a := &acknowledgements{nc: nc, within: within, prefix: nc.NewInbox() + ".", open: map[uint64]acknowledgement{}}
	if _, err := nc.Subscribe(a.prefix+"*", a.confirmed); err != nil {
		return nil, fmt.Errorf("listen for confirmations: %w", err)
	}
	return a, nil
}

// publish acknowledges the delivery that came with this reply subject.
func (a *acknowledgements) publish(subject string) {
	now := time.Now()
	a.mu.Lock()
	a.last++
	number := a.last
	a.open[number] = acknowledgement{subject: subject, sent: now}
	if len(a.open) == 1 {
		a.wake()
	}
	a.mu.Unlock()
	a.send(number, subject)
}

// send publishes an acknowledgement, which is an empty message. Its error needs no attention: what did
// not leave is not confirmed.
func (a *acknowledgements) send(number uint64, subject string) {
	_ = a.nc.PublishRequest(subject, a.prefix+strconv.FormatUint(number, 36), nil)
}

func (a *acknowledgements) confirmed(msg *nats.Msg) {
	number, err := strconv.ParseUint(msg.Subject[len(a.prefix):], 36, 64)
	if err != nil || msg.Header.Get("Status") != "" { // nobody heard it
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, number)
	a.settle()
}

// settle tells who waits that nothing is open; the caller holds mu.
func (a *acknowledgements) settle() {
	if len(a.open) == 0 && a.settled != nil {
		close(a.settled)
		a.settled = nil
	}
}

// wake sets the timer; the caller holds mu.
func (a *acknowledgements) wake() {
	switch {
	case a.closed:
	case a.timer == nil:
		a.timer = time.AfterFunc(a.within, a.repeat)
	default:
		a.timer.Reset(a.within)
	}
}

// repeat publishes again what should have been confirmed by now.
func (a *acknowledgements) repeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for number, open := range a.open {
		switch {
		case time.Since(open.sent) < a.within:
		case open.repeats == repeats:
			delete(a.open, number)
		default:
			open.repeats++
			open.sent = time.Now()
			a.open[number] = open
			a.send(number, open.subject)
		}
	}
	a.settle()
	if len(a.open) > 0 {
		a.wake()
	}
}

// close waits a moment for what is open to be confirmed.
func (a *acknowledgements) close() {
	a.mu.Lock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	var settled chan struct{}
	if len(a.open) > 0 {
		settled = make(chan struct{})
		a.settled = settled
	}
	a.mu.Unlock()
	if settled == nil {
		return
	}
	select {
	case <-settled:
	case <-time.After(settleWithin):
	}
}
