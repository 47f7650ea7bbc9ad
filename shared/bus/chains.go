package bus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Any number of processes start the runs that follow the ends of others, and each end starts its runs once. How far a
// task's ends are dealt with is one record, its chain, which is only ever written in the place of the one that was read;
// it is what a durable consumer would be, of this task's events alone. Before runs are started the chain says so, with
// the place where RUNS ended then, and SubmitChained stores each as SubmitScheduled does: after a look behind that place,
// and on the condition that no other request of its task has come since. So the server's own memory of message ids, which
// is two minutes long, is not needed for that.
//
// A server that was killed may have lost the last events, and copies them again, perhaps in another order; a restored
// store has those of its backup. What may have been dealt with before is looked at again then, behind the number of the
// run that has ended, which is lower than those that its end has started.

const (
	// anew is how many events before and behind one may be in another order when they were copied again.
	anew = 20_000
	// backedUpFor is how long a backup may take: what came since its begin is partly in it.
	backedUpFor = time.Hour
)

// Chained is a task's chain as it is stored. Revision is 0 if there is none.
type Chained struct {
	run.Ends
	Revision uint64
}

// Chains are those of all tasks, as a process sees them. They are safe for concurrent use.
type Chains struct {
	store *jet.Store
	tasks *records[task.ID, Chained]
}

// Chains returns a view of the chains, which is empty until Load or Follow.
func (u *Unheld) Chains() *Chains {
	return &Chains{u.store, newRecords(u.store, jet.Chains, 0, u.store.Chained.Next, readChained)}
}

func readChained(record jet.Record) (id task.ID, chained Chained, is bool, err error) {
	id, ok := jet.TaskOfChain(record.Subject)
	if !ok {
		return id, chained, false, errors.New("the key of a task's chain is the task's id")
	}
	chained.Revision = record.Sequence
	chained.Ends, err = run.DecodeEnds(record.Data)
	return id, chained, err == nil, err
}

// Load reads all chains. It is for before Follow.
func (c *Chains) Load(ctx context.Context) error { return c.tasks.load(ctx) }

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (c *Chains) Follow(ctx context.Context) { c.tasks.follow(ctx) }

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (c *Chains) Changed() <-chan struct{} { return c.tasks.next() }

// Of returns the chain of a task; Revision is 0 if there is none, as in a nil view.
func (c *Chains) Of(id task.ID) Chained {
	if c == nil {
		return Chained{}
	}
	chained, _ := c.tasks.of(id)
	return chained
}

// IDs are the tasks that have a chain: those whose files have, or had, a then.
func (c *Chains) IDs() (ids []task.ID) {
	c.tasks.mu.RLock()
	defer c.tasks.mu.RUnlock()
	for id := range c.tasks.all {
		ids = append(ids, id)
	}
	return ids
}

// Read returns the chain of a task as the leader has it. One that cannot be read gives its place.
func (c *Chains) Read(ctx context.Context, id task.ID) (Chained, error) {
	return readChain(ctx, c.store, id)
}

func readChain(ctx context.Context, s *jet.Store, id task.ID) (Chained, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	stored, err := s.Control.LeaderLast(ctx, jet.ChainSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return Chained{}, s.Control.Vouch(ctx)
	}
	if err != nil {
		return Chained{}, err
	}
	_, chained, _, err := readChained(stored)
	if err != nil {
		s.Control.PassOver(stored, err)
		chained = Chained{Revision: stored.Sequence}
	}
	return chained, nil
}

// Write stores a chain in the place of the one with a revision, 0 for none. ErrChanged means that there is another one
// by now.
func (c *Chains) Write(ctx context.Context, id task.ID, chain run.Ends, inPlaceOf uint64) (Chained, error) {
	written, err := writeChain(ctx, c.store, id, chain, inPlaceOf)
	if err == nil {
		c.tasks.set(id, written, true)
	}
	return written, err
}

func writeChain(ctx context.Context, s *jet.Store, id task.ID, chain run.Ends, inPlaceOf uint64) (Chained, error) {
	chain.Store = s.ID
	revision, err := writeRecord(ctx, s, "the chain of a task", jet.ChainSubject(id), chain.Encode, inPlaceOf)
	if err != nil {
		return Chained{}, err
	}
	s.Chained.Ring()
	return Chained{chain, revision}, nil
}

// Begin makes the chain of a task in the place of one that cannot be read, or of none, with revision 0: it begins with
// the events to come.
func (c *Chains) Begin(ctx context.Context, id task.ID, inPlaceOf uint64) (Chained, error) {
	last, err := lastEvent(ctx, c.store)
	if err != nil {
		return Chained{}, err
	}
	return c.Write(ctx, id, run.Ends{Event: last}, inPlaceOf)
}

// beginChain has the chain of a task begin with the events to come, unless it has begun.
func (s *Tasks) beginChain(ctx context.Context, id task.ID) error {
	chained, err := readChain(ctx, s.store, id)
	if err != nil || chained.Revision > 0 {
		return err
	}
	last, err := lastEvent(ctx, s.store)
	if err == nil {
		_, err = writeChain(ctx, s.store, id, run.Ends{Event: last}, 0)
	}
	if errors.Is(err, ErrChanged) {
		err = nil
	}
	return err
}

// Settled is a chain that fits the events that there are. It is another one than that which was given if those that the
// chain knows were copied again, or are of another store.
func (c *Chains) Settled(ctx context.Context, id task.ID, known run.Ends) (settled run.Ends, err error) {
	limited, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := c.store.Events.Info(limited)
	if err != nil {
		return known, jet.Explain(err)
	}
	last := info.State.LastSeq
	settled = known
	switch {
	case known.Store != c.store.ID:
		settled.Run, settled.Doubtful = 0, max(last, known.Event)
		first, err := c.store.Events.LeaderSince(ctx, jet.EventSubject(id), info.State.LastTime.Add(-backedUpFor))
		if err == nil {
			settled.Event = min(known.Event, first.Sequence-1)
		} else if !errors.Is(err, jet.ErrMissing) {
			return known, err
		}
		settled.Event = min(settled.Event, last)
	case last < known.Event: // and some of those that there are may have come since
		settled.Event, settled.Run, settled.Doubtful = last-min(last, anew), 0, known.Event+anew
	case known.Run > 0:
		event, err := c.store.Events.LeaderAt(ctx, known.Event)
		if errors.Is(err, jet.ErrMissing) { // it was removed since
			return known, nil
		}
		if err != nil {
			return known, err
		}
		doc, err := run.DecodeDocument(event.Data)
		if err == nil && doc.ImportID == known.Run && event.Subject == jet.EventSubject(id) {
			return known, nil
		}
		settled.Event, settled.Run, settled.Doubtful = known.Event-min(known.Event, anew), 0, known.Event+anew
	}
	return settled, nil
}

// End is an event that tells of the end of a run.
type End struct {
	// Event is its sequence.
	Event uint64
	// StoredOn is when the event was stored, which may be long after the end, or a second time.
	StoredOn time.Time
	// Document is the final one.
	Document run.Document
}

// Next is the first event of a task behind one, as the leader has it; ok is false if there is none.
func (c *Chains) Next(ctx context.Context, id task.ID, after uint64) (end End, ok bool, err error) {
	for {
		event, err := c.store.Events.LeaderFollowing(ctx, jet.EventSubject(id), after+1)
		if errors.Is(err, jet.ErrMissing) {
			return End{}, false, nil
		}
		if err != nil {
			return End{}, false, err
		}
		after = event.Sequence
		doc, err := run.DecodeDocument(event.Data)
		if err == nil && doc.ExecuteID == id && doc.Outcome() != "" {
			return End{event.Sequence, event.Time, doc}, true, nil
		}
		c.store.Events.PassOver(event, cmp.Or(err, errNotFinal))
	}
}

// Events is the sequence of the last event, as the leader has it.
func (c *Chains) Events(ctx context.Context) (uint64, error) { return lastEvent(ctx, c.store) }

// Hear has a function called when a run of a task has ended. Its event comes a moment later; an end may be missed, and
// one may be told that is none. The function must not wait for anything. stop ends that.
func (c *Chains) Hear(id task.ID, ended func(run.Number)) (stop func(), err error) {
	subscription, err := c.store.NC.Subscribe(jet.FollowedOf(id), func(msg *nats.Msg) {
		if !bytes.Contains(msg.Data, []byte(`"Status":"D"`)) {
			return
		}
		if n, err := run.ParseNumber(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]); err == nil {
			ended(n)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: hear of the runs of a task: %w", run.ErrUnavailable, err)
	}
	return func() { _ = subscription.Unsubscribe() }, nil // fails only with the connection
}

// Reconnected has something in it after each new connection to NATS, until stop.
func (c *Chains) Reconnected() (again <-chan nats.Status, stop func()) {
	reconnected := c.store.NC.StatusChanged(nats.CONNECTED)
	return reconnected, func() { c.store.NC.RemoveStatusListener(reconnected) }
}

// SubmitChained makes the run durable that an entry of then, counted from 0, starts at the end of the run
// request.StartedBy of a task, unless there is one behind a number, which it returns, Replayed. isNew and the errors are
// those of SubmitScheduled.
func (r *Runs) SubmitChained(ctx context.Context, after task.ID, request run.Request, entry int, behind run.Number, isNew bool) (Accepted, error) {
	return r.submitOnce(ctx, request, jet.ChainedMessage(after, request.StartedBy, entry), behind, isNew)
}

// ChainedRun is the run of a task that an entry of then, counted from 0, has started behind a number at the end of a run
// of another one; ok is false if there is none.
func (r *Runs) ChainedRun(ctx context.Context, after task.ID, ended run.Number, entry int, of task.ID, behind run.Number) (n run.Number, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	last, err := r.store.Runs.LeaderLast(ctx, jet.RequestSubject(of))
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return 0, false, err
	}
	found, err := r.named(ctx, of, jet.ChainedMessage(after, ended, entry), behind, last.Sequence, false)
	if errors.Is(err, jet.ErrMissing) {
		return 0, false, r.store.Runs.Vouch(ctx)
	}
	return found.Number, err == nil, err
}
