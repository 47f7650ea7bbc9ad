package bus

import (
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
)

// leaving gives back what comes of a pull that nobody waits for any more, until the pull has ended.
//
// In a cluster a pull cannot be ended. A server forgets a pull whose inbox nobody listens to, but the one
// that leads the consumer hears of that late, and until then it hands requests into the pull. They would
// be nobody's until their leases have run out.
type leaving struct {
	stop, stopped chan struct{}
}

// pullLate is how long after the end of a pull what it brought may still be on its way.
const pullLate = time.Second

// leave lets go of the pull that is open, if one is: what has arrived is passed to take, and what comes
// is given back.
func (q *Queue) leave(take func(*Delivery)) {
	if q.left == 0 {
		return
	}
	if q.alone {
		q.end(take)
		return
	}
	for len(q.arriving) > 0 && q.left > 0 {
		q.receive(<-q.arriving, take)
	}
	l := &leaving{stop: make(chan struct{}), stopped: make(chan struct{})}
	q.leaving = l
	go func() {
		defer close(l.stopped)
		over := time.NewTimer(time.Until(q.ends.Add(pullLate)))
		defer over.Stop()
		for q.left > 0 {
			select {
			case msg := <-q.arriving:
				q.receive(msg, q.giveBack)
			case <-over.C:
				q.drop()
			case <-l.stop:
				return
			}
		}
	}()
}

// stay takes the open pull up again.
func (q *Queue) stay() {
	if q.leaving != nil {
		close(q.leaving.stop)
		q.await()
	}
}

// await waits until no more is given back, which without stay is the end of the pull.
func (q *Queue) await() {
	if q.leaving != nil {
		<-q.leaving.stopped
		q.leaving = nil
	}
}

// end ends the open pull at the only server that there is. It forgets a pull whose inbox nobody listens
// to; what it sent before it heard so has arrived when the flush returns.
func (q *Queue) end(take func(*Delivery)) {
	if q.inbox.Drain() == nil {
		_ = q.store.NC.FlushTimeout(jet.ReadTimeout) // if that fails, what has arrived by now is all there is
	}
	for len(q.arriving) > 0 {
		if msg := <-q.arriving; isRequest(msg) {
			q.pass(msg, take)
		}
	}
	q.drop()
}

// receive takes what a pull brought that is being left.
func (q *Queue) receive(msg *nats.Msg, take func(*Delivery)) {
	if isRequest(msg) {
		q.left--
		q.pass(msg, take)
		return
	}
	_ = q.status(msg) // it has ended, which is what is waited for
}

func (q *Queue) giveBack(d *Delivery) {
	if err := d.Retry(0); err != nil {
		q.store.Log.Debug().Err(err).Stringer("run", d.Number).Msg("a request could not be handed back; its lease will run out")
	}
}
