package jet

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Over is the stream as seen through another one.
func (s *Stream) Over(seen jetstream.Stream) *Stream {
	return &Stream{Stream: seen, name: s.name, store: s.store}
}

// Batches is how many batches were begun.
func (s *Stream) Batches() uint64 {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return s.group.batches
}

// Waiting is how many writes wait for their turn.
func (s *Stream) Waiting() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return len(s.group.waiting)
}

// Gather makes the next n writes wait for each other, whatever else is under way, so that they are
// there to go together.
func (s *Stream) Gather(n int) {
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batch, g.expected = true, n
	g.committing.Go(func() {
		<-g.full
		g.commit()
	})
}

// TellLeft refuses a batch whose only member has left, and returns how many writes then count as
// under way.
func (s *Stream) TellLeft() int {
	g := newGroup(s.store, s.name)
	g.tell([]*member{{left: true, turn: make(chan turn, 1)}}, 0, errNotStored)
	return g.single
}

// NewDeliveries are others of the same connection, which take confirmations to be late after within.
func (s *Store) NewDeliveries(t testing.TB, within time.Duration) *Deliveries {
	t.Helper()
	d, err := newDeliveries(s.NC, within)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// Unconfirmed is how many deliveries are done of which the server has not confirmed that it knows.
func (d *Deliveries) Unconfirmed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// Close closes deliveries of which some are open, and confirms those if confirm says so.
func Close(open int, confirm bool) {
	d := &Deliveries{within: confirmWithin, open: map[uint64]done{}}
	for n := range open {
		d.open[uint64(n)] = done{}
	}
	var closing sync.WaitGroup
	closing.Go(d.close)
	synctest.Wait()
	for n := range open {
		if confirm {
			d.confirmed(&nats.Msg{Subject: strconv.Itoa(n)})
		}
	}
	closing.Wait()
}

// Committed reads the answer to a batch: whether it says that all is stored, or that nothing is.
func Committed(answer []byte, id string, n int) (stored, notStored bool) {
	_, err := committed(answer, "RUNS", id, n)
	return err == nil, errors.Is(err, errNotStored)
}

// SetDoubtFor sets how long a write that failed tells of the next ones, until restore.
func SetDoubtFor(d time.Duration) (restore func()) {
	was := doubtFor
	doubtFor = d
	return func() { doubtFor = was }
}
