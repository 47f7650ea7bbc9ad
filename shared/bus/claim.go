package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// Claim is the right to execute a run and to write its final document, held by one runner at a
// time. Every write of the claim or of the final carries the sequence of the claim's last write,
// and the store checks it against both, in one step: whoever lost the claim can write neither.
// It is for one goroutine at a time.
type Claim struct {
	store *jet.Store
	// results is the slice of the run.
	results  *jet.Results
	task     task.ID
	number   run.Number
	sequence uint64
	// hold is in everything that this holder writes, and in nothing that another one does.
	hold string
	// unsure: an earlier write may have been stored, or may still be.
	unsure bool
	// Token is the claim's sequence when it was taken: it grows with every taker of the run, so a
	// destination can refuse the writes of an earlier one (a fencing token).
	Token uint64
}

// newClaim is a claim that takes the place of what is stored at a sequence, 0 for nothing. A run whose slice is
// gone is over: ErrClaimed.
func newClaim(ctx context.Context, s *jet.Store, id task.ID, n run.Number, sequence uint64) (*Claim, error) {
	results, err := s.ResultsFor(ctx, n)
	if err == nil && results.IsSealed() && sequence == 0 {
		return nil, ErrClaimed
	}
	if errors.Is(err, run.ErrRunGone) {
		return nil, fmt.Errorf("%w: %w", ErrClaimed, err)
	}
	if err != nil {
		return nil, err
	}
	return &Claim{store: s, results: results, task: id, number: n, sequence: sequence, hold: rand.Text()[:16]}, nil
}

// Seen is somebody's claim as it was read.
type Seen struct {
	State run.Claim
	// Foreign: it is no claim, so that nobody holds the run. State is empty.
	Foreign  bool
	sequence uint64
}

// SameAs reports whether nobody has written the claim between two looks.
func (s Seen) SameAs(other Seen) bool { return s.sequence == other.sequence }

// Claim takes a run that nobody holds and that has not ended; otherwise ErrClaimed.
func (w *Work) Claim(ctx context.Context, id task.ID, n run.Number, state run.Claim) (*Claim, error) {
	claim, err := take(ctx, w.store, id, n, 0, state)
	if errors.Is(err, run.ErrRunGone) {
		w.store.Log.Error().Str("task", string(id)).Stringer("run", n).
			Msg("an accepted run is not executed: its slice was removed, and nobody can tell whether it has ended")
	}
	return claim, err
}

// TakeOver takes a run from the holder that seen shows, unless the claim has moved since: then
// ErrClaimed.
func (w *Work) TakeOver(ctx context.Context, id task.ID, n run.Number, seen Seen, state run.Claim) (*Claim, error) {
	return take(ctx, w.store, id, n, seen.sequence, state)
}

func take(ctx context.Context, s *jet.Store, id task.ID, n run.Number, expected uint64, state run.Claim) (*Claim, error) {
	claim, err := newClaim(ctx, s, id, n, expected)
	if err == nil {
		err = claim.Again(ctx, state)
	}
	if err != nil {
		return nil, err
	}
	return claim, nil
}

// Again writes the claim for another attempt by its holder, which gets a token of its own. ErrClaimed
// means that another runner has the run. After run.ErrUnavailable it may be tried again.
func (c *Claim) Again(ctx context.Context, state run.Claim) error {
	err := c.Renew(ctx, state)
	if errors.Is(err, ErrLost) {
		return ErrClaimed
	}
	if err == nil {
		c.Token = c.sequence
	}
	return err
}

// claims tells who holds a run.
type claims struct{ store *jet.Store }

// Lease is how long a delivery may go without an extension before it is delivered again.
func (c claims) Lease() time.Duration { return c.store.Lease }

// FindClaim returns the claim of a run that has not ended, as the leader has it; ok is false when there
// is none.
func (c claims) FindClaim(ctx context.Context, id task.ID, n run.Number) (seen Seen, ok bool, err error) {
	results, err := c.store.ResultsOf(ctx, n)
	var stored jet.Record
	if err == nil {
		stored, err = results.LeaderLast(ctx, results.FenceSubject(id, n))
	}
	if errors.Is(err, jet.ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return Seen{}, false, nil
	}
	if err != nil {
		return Seen{}, false, err
	}
	seen.sequence = stored.Sequence
	switch stored.Subject {
	case results.ClaimSubject(id, n):
	case results.FinalSubject(id, n): // the claim before it is of no use any more
		return Seen{}, false, nil
	default: // it stands behind the fence, and the claim below it
		results.PassOver(stored, errors.New("it is neither a claim nor a final document"))
		stored, err = results.LeaderLast(ctx, results.ClaimSubject(id, n))
		if errors.Is(err, jet.ErrMissing) {
			seen.Foreign = true
			return seen, true, nil
		}
		if err != nil {
			return Seen{}, false, err
		}
	}
	if seen.State, err = run.DecodeClaim(stored.Data); err != nil {
		results.PassOver(stored, err)
		seen.State, seen.Foreign = run.Claim{}, true
	}
	if seen.State.Erased { // it has ended
		return Seen{}, false, nil
	}
	if seen.State.Token == 0 {
		seen.State.Token = stored.Sequence // the write that took the run made its token
	}
	return seen, true, nil
}

// Ended reports whether the run has its final document, as the leader has it.
func (c claims) Ended(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	return c.store.Ended(ctx, id, n)
}

// Renew writes the claim again with a new state. ErrLost means that another runner has the run:
// stop, and write nothing more. run.ErrUnavailable means that it could not be written now; the claim may
// still be held.
func (c *Claim) Renew(ctx context.Context, state run.Claim) error {
	state.Hold = c.hold
	data, err := state.Encode()
	if err != nil {
		return fmt.Errorf("encode the claim of run %s: %w", c.number, err)
	}
	subject := c.results.ClaimSubject(c.task, c.number)
	stored, err := c.write(ctx, jet.Entry{Msg: &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}})
	if err != nil {
		return err
	}
	c.sequence = stored.Sequence
	return nil
}

// Finish writes the final document, which is also the completion event: the store copies it, with
// its CloudEvents headers, to those who subscribed. It happens once for a run, whoever tries, and
// names in the same write the rejected rows that belong to it. Errors are those of Renew.
func (c *Claim) Finish(ctx context.Context, doc run.Document, rejected run.RejectedSet) error {
	data, err := doc.Encode()
	if err != nil {
		return err
	}
	header := eventHeaders(c.store.ID, doc)
	header.Set(jet.HeaderHold, c.mark())
	if len(rejected) > 0 {
		header.Set(jet.HeaderRejected, formatRejected(rejected))
	}
	_, err = c.write(ctx, jet.Entry{
		Msg: &nats.Msg{Subject: c.results.FinalSubject(c.task, c.number), Data: data, Header: header},
	})
	return err
}

// write publishes under the fence. When the acknowledgement does not come, or says that the fence
// has moved, it reads back before it decides: the write that moved it may be this one, or an earlier one
// of the same holder that arrived late. Behind an earlier one it writes again, because somebody who
// watches the claim may have begun when that was stored. Only a newer message tells that the claim is lost:
// a server that was cut off from a cluster takes itself for the leader and knows older ones.
func (c *Claim) write(ctx context.Context, e jet.Entry) (jet.Receipt, error) {
	if err := c.store.Writable(); err != nil {
		return jet.Receipt{}, err
	}
	limited, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	pause := wait.Backoff{Least: 2 * time.Millisecond, Most: 250 * time.Millisecond}
	for {
		e.Fence = c.expect(e.Msg, c.sequence)
		written, err := c.results.Publish(limited, e)
		if err == nil {
			c.unsure = false
			return written, nil
		}
		if errors.Is(err, run.ErrRunGone) {
			return jet.Receipt{}, ErrLost
		}
		stored, readErr := c.results.LeaderLast(ctx, e.Fence)
		read, refused := readErr == nil || errors.Is(readErr, jet.ErrMissing), jet.Refused(err)
		switch {
		case read && c.wrote(stored) && c.isThis(e.Msg, stored):
			c.unsure = false
			return jet.Receipt{Sequence: stored.Sequence}, nil
		case errors.Is(err, jet.ErrSealed):
			return jet.Receipt{}, ErrLost
		case read && c.wrote(stored) && stored.Subject == c.results.ClaimSubject(c.task, c.number):
			c.sequence, c.unsure = stored.Sequence, false
		case read && refused && stored.Sequence == c.sequence: // a cluster has not agreed on an earlier write yet
		case read && refused && c.isPassedOver(ctx, stored):
			c.sequence = stored.Sequence
		case read && refused && (stored.Sequence > c.sequence || !c.store.Replicated):
			return jet.Receipt{}, ErrLost
		default:
			c.unsure = true
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		}
		if !pause.Wait(limited) {
			c.unsure = true
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		}
	}
}

// mark is as much of the hold as tells two holders' final documents apart that are the same otherwise: each is
// stored twice.
func (c *Claim) mark() string { return c.hold[:6] }

// wrote reports whether this holder has written a message since the write that it knows of.
func (c *Claim) wrote(stored jet.Record) bool {
	if stored.Sequence <= c.sequence {
		return false
	}
	if stored.Subject == c.results.FinalSubject(c.task, c.number) {
		return stored.Header.Get(jet.HeaderHold) == c.mark()
	}
	state, err := run.DecodeClaim(stored.Data)
	return err == nil && state.Hold == c.hold
}

// isPassedOver reports whether a message behind the fence is another program's and no claim of another
// runner's stands below it, so that the run is still this holder's.
func (c *Claim) isPassedOver(ctx context.Context, stored jet.Record) bool {
	seen, found, err := claims{c.store}.FindClaim(ctx, c.task, c.number)
	if err != nil || !found || seen.sequence != stored.Sequence {
		return false
	}
	return seen.State.Hold == c.hold || seen.Foreign && c.Token != 0
}

// isThis reports whether a message of this holder's is certainly the one that it was just writing. There
// is one final document, and no claim with the same bytes as long as no earlier write is unsettled.
func (c *Claim) isThis(msg *nats.Msg, stored jet.Record) bool {
	final := stored.Subject == c.results.FinalSubject(c.task, c.number)
	return bytes.Equal(stored.Data, msg.Data) && (final || !c.unsure)
}

// expect makes a message depend on the last sequence behind the run's fence.
func (c *Claim) expect(msg *nats.Msg, sequence uint64) (fence string) {
	fence = c.results.FenceSubject(c.task, c.number)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(sequence, 10))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, fence)
	return fence
}

// eventKinds end the types of completion events.
var eventKinds = map[run.Outcome]string{run.Success: "success", run.Failed: "failed", run.Canceled: "canceled"}

// eventHeaders are the CloudEvents 1.0 attributes in binary mode
// (github.com/cloudevents/spec, NATS protocol binding: attributes as ce- headers).
func eventHeaders(storeID string, doc run.Document) nats.Header {
	number := doc.ImportID.String()
	header := make(nats.Header, 12) // with what the stream and the fence add
	header.Set("ce-specversion", "1.0")
	header.Set("ce-id", string(doc.ExecuteID)+"."+number)
	header.Set("ce-source", "/"+storeID+"/task/"+string(doc.ExecuteID))
	header.Set("ce-type", "runhook.run."+eventKinds[doc.Outcome()])
	header.Set("ce-subject", number)
	header.Set("ce-time", time.Time(doc.UpdatedOn).UTC().Format(time.RFC3339Nano))
	if doc.Trigger == run.DryRun {
		header.Set("ce-dryrun", "true") // so that who acts on completions can pass it over
	}
	header.Set("content-type", "application/json")
	return header
}
