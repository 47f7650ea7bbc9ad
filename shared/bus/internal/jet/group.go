package jet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// A single server that syncs every write spends one sync on each message, one after the other. An
// atomic batch is synced as a whole, so messages that wait at the same time go as one: while one is
// under way the next gathers. Their callers need not know: a batch that the server refuses, be it
// because of one member, stored nothing, and its members are published one by one as if there had
// been none.

const (
	// fewest is how many messages make a batch worth its fixed cost, which is that of nearly as many
	// single ones: the server stages a batch in files of its own, which it syncs, too. Fewer go
	// singly, and no more than alongside at a time.
	fewest    = 12
	alongside = 8
	// most is how many entries a batch has at most; the server takes 1,000.
	most = 500
	// longestHold bounds how long a batch waits to be full.
	longestHold = 10 * time.Millisecond
)

// Entry is what is to be published.
type Entry struct {
	// Msg has all headers but those for a batch.
	Msg *nats.Msg
	// Fence is the subject whose last sequence Msg expects; empty for none. The server looks at the
	// fences of a whole batch before it stores any of it, so two entries behind one fence must not
	// meet in a batch: both would pass.
	Fence string
}

// Receipt is the answer to an entry that is stored.
type Receipt struct {
	Sequence uint64
	// Duplicate: the message's id was known, and Sequence is the original's.
	Duplicate bool
}

var (
	// ErrNotSent: the context ended while the Entry still waited for its turn.
	ErrNotSent = errors.New("the message was not sent in time")
	// errUnacknowledged: the Entry went with a batch, and whether that was stored is not known.
	errUnacknowledged = errors.New("the batch was not acknowledged")
	// errNotStored: nothing of a batch was stored; its members go alone.
	errNotStored = errors.New("the batch was not stored")
)

// group publishes to one stream. It is safe for concurrent use.
type group struct {
	store  *Store
	stream string
	// prefix begins the ids of this group's batches; no other group has the same.
	prefix string

	committing sync.WaitGroup

	mu      sync.Mutex
	on      bool // else every entry goes singly, at once
	single  int  // entries that are under way on their own
	batch   bool // a batch is under way, or about to be
	batches uint64
	waiting []*member
	// expected is how many must wait for the next batch to be full, 0 while nobody asks; full tells.
	expected int
	full     chan struct{}
}

// member is an entry that waits for its turn.
type member struct {
	Entry
	turn chan turn // has room for one, so that nobody waits to fill it
	left bool      // nobody waits any more
}

// turn is what comes of waiting: the outcome of a batch, or leave to go alone.
type turn struct {
	alone   bool
	receipt Receipt
	err     error
}

func newGroup(s *Store, stream string) *group {
	return &group{store: s, stream: stream, prefix: rand.Text()[:12], full: make(chan struct{}, 1)}
}

// enable turns grouping on or off.
func (g *group) enable(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on = on
}

// close waits for what is under way; the connection is closed before.
func (g *group) close() { g.committing.Wait() }

// Publish stores an entry, together with others that wait at the same time. Its errors are those of
// jetstream's PublishMsg, ErrNotSent, which means that the entry never left, and others after which it
// may be stored.
func (s *Stream) Publish(ctx context.Context, e Entry) (Receipt, error) {
	receipt, err := s.group.publish(ctx, e)
	if err != nil {
		err = s.gone(ctx, e.Msg.Subject, err)
	}
	s.doubt.note(err)
	return receipt, err
}

func (g *group) publish(ctx context.Context, e Entry) (Receipt, error) {
	m := &member{Entry: e, turn: make(chan turn, 1)}
	if g.mayGo(m) {
		return g.alone(ctx, m)
	}
	select {
	case t := <-m.turn:
		return g.take(ctx, m, t)
	case <-ctx.Done():
		return g.leave(ctx, m)
	}
}

// mayGo lets an entry go at once while little is under way, and else makes it wait for its turn.
func (g *group) mayGo(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on || !g.batch && len(g.waiting) == 0 && g.single < alongside {
		g.single++
		return true
	}
	g.waiting = append(g.waiting, m)
	if len(g.waiting) == g.expected {
		g.expected = 0
		g.full <- struct{}{}
	}
	return false
}

func (g *group) take(ctx context.Context, m *member, t turn) (Receipt, error) {
	if t.alone {
		return g.alone(ctx, m)
	}
	return t.receipt, t.err
}

// alone publishes one Entry that counts among the single ones.
func (g *group) alone(ctx context.Context, m *member) (Receipt, error) {
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.single--
		g.next()
	}()
	return publishAcknowledged(ctx, g.store, g.stream, m.Msg)
}

// leave ends the wait of an entry whose context has ended.
func (g *group) leave(ctx context.Context, m *member) (Receipt, error) {
	g.mu.Lock()
	m.left = true
	waiting := slices.Index(g.waiting, m)
	if waiting >= 0 {
		g.waiting = slices.Delete(g.waiting, waiting, waiting+1)
	}
	g.mu.Unlock()
	if waiting >= 0 {
		return Receipt{}, fmt.Errorf("%w: %w", ErrNotSent, ctx.Err())
	}
	select {
	case t := <-m.turn: // it came in the same moment
		return g.take(ctx, m, t)
	default: // it is in the batch that is under way
		return Receipt{}, fmt.Errorf("%w: %w", errUnacknowledged, ctx.Err())
	}
}

// next gives those who wait their turn, as far as something may start; the caller holds mu.
func (g *group) next() {
	switch {
	case g.batch:
	case len(g.waiting) >= fewest:
		g.batch = true
		g.committing.Go(g.commit)
	default:
		for len(g.waiting) > 0 && g.single < alongside {
			g.single++
			g.waiting[0].turn <- turn{alone: true}
			g.waiting = g.waiting[1:]
		}
	}
}

// commit stores batches for as long as enough entries wait for one.
func (g *group) commit() {
	for {
		g.mu.Lock()
		if len(g.waiting) < fewest {
			g.batch = false
			g.next()
			g.mu.Unlock()
			return
		}
		g.batches++
		id, members := g.prefix+strconv.FormatUint(g.batches, 36), g.gather()
		g.mu.Unlock()
		began := time.Now()
		last, err := g.send(id, members)
		took := time.Since(began)
		g.tell(members, last, err)
		if err == nil {
			g.hold(len(members), min(took/2, longestHold))
		}
	}
}

// gather takes the members of the next batch out of those that wait, in their order, one of each
// fence; the caller holds mu.
func (g *group) gather() []*member {
	var members, rest []*member
	fences := map[string]bool{}
	for _, m := range g.waiting {
		if len(members) == most || m.Fence != "" && fences[m.Fence] {
			rest = append(rest, m)
			continue
		}
		fences[m.Fence] = true
		members = append(members, m)
	}
	g.waiting = rest
	return members
}

// tell tells the members of a batch what became of them; last is the sequence of its last message.
func (g *group) tell(members []*member, last uint64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range slices.Backward(members) {
		sequence := last
		last-- // a batch is stored without a gap
		switch {
		case m.left:
		case errors.Is(err, errNotStored):
			g.single++
			m.turn <- turn{alone: true}
		case err != nil:
			m.turn <- turn{err: err}
		default:
			m.turn <- turn{receipt: Receipt{Sequence: sequence}}
		}
	}
}

// hold waits a little for the callers of the batch before, who mostly come back with their next
// entry: without it they and those who came meanwhile would take turns, in batches of half the size.
func (g *group) hold(former int, limit time.Duration) {
	g.mu.Lock()
	select { // what came when an earlier hold had just ended
	case <-g.full:
	default:
	}
	g.expected = min(len(g.waiting)+former, most)
	g.mu.Unlock()
	select {
	case <-g.full:
	case <-time.After(limit):
		g.mu.Lock()
		defer g.mu.Unlock()
		g.expected = 0
	}
}

// DuplicateInProcess is a cluster's answer to a duplicate whose original is not yet agreed upon.
const DuplicateInProcess = jetstream.ErrorCode(10158)

// The headers that make messages an atomic batch.
const (
	headerBatch         = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// send publishes a batch and returns the sequence of its last message. errNotStored means that
// nothing of it was stored, errUnacknowledged that any of it may have been.
func (g *group) send(id string, members []*member) (last uint64, err error) {
	var answer *nats.Msg
	for i, m := range members {
		// The members' own messages stay as they are, for who may have to go alone.
		msg := &nats.Msg{Subject: m.Msg.Subject, Data: m.Msg.Data, Header: maps.Clone(m.Msg.Header)}
		msg.Header.Set(headerBatch, id)
		msg.Header.Set(headerBatchSequence, strconv.Itoa(i+1))
		if i == len(members)-1 {
			msg.Header.Set(headerBatchCommit, "1")
			limited, cancel := context.WithTimeout(context.Background(), WriteTimeout) // whoever waits may leave
			answer, err = g.store.request(limited, msg)
			cancel()
		} else if err = g.store.NC.PublishMsg(msg); err != nil {
			return 0, fmt.Errorf("%w: %w", errNotStored, err) // without its commit a batch is dropped
		}
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, run.ErrDenied):
		return 0, fmt.Errorf("%w: %w", errNotStored, err)
	case err != nil:
		return 0, fmt.Errorf("%w: %s", errUnacknowledged, err.Error())
	}
	return committed(answer.Data, g.stream, id, len(members))
}

// committed reads the answer to a batch of n messages to a stream.
func committed(answer []byte, stream, id string, n int) (last uint64, err error) {
	switch ack, err := readAck(answer); {
	case err != nil:
		return 0, fmt.Errorf("%w: %s", errUnacknowledged, err.Error())
	case ack.Error != nil && refusesAll(ack.Error.ErrorCode):
		return 0, fmt.Errorf("%w: %s", errNotStored, ack.Error.Error())
	case ack.Error != nil:
		return 0, fmt.Errorf("%w: %s", errUnacknowledged, ack.Error.Error())
	case ack.Stream != stream || ack.Batch != id || ack.Count != n || ack.Sequence < uint64(n):
		return 0, fmt.Errorf("%w: the answer to batch %s of %d messages is %s", errUnacknowledged, id, n, answer)
	default:
		return ack.Sequence, nil
	}
}

// refusesAll reports whether an error of the server's refuses a batch before any of it is stored.
// Others, of a store that fails, may come in the middle.
func refusesAll(code jetstream.ErrorCode) bool {
	switch code {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant,
		DuplicateInProcess,
		10174, // atomic publish is disabled
		10175, // a message lacks its place in the batch
		10176, // the batch is incomplete: it took too long, could not be staged, or part of it was lost
		10177, // it has a header that a batch may not have
		10179, // its id is invalid
		10199, // it is too large
		10200, // its commit is invalid
		10201, // it has a message whose id is known
		10210: // too many batches are under way
		return true
	}
	return false
}
