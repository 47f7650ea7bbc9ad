package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// DeleteRequest removes a stored request, as the retention does.
func (b *Bus) DeleteRequest(ctx context.Context, n run.Number) error {
	return b.runs.DeleteMsg(ctx, uint64(n))
}

// DeleteStore removes the stream of requests.
func (b *Bus) DeleteStore(ctx context.Context) error { return b.js.DeleteStream(ctx, runsStream) }

// Stored reads a run's request.
func (b *Bus) Stored(ctx context.Context, id task.ID, n run.Number) (run.Request, error) {
	return b.request(ctx, id, n)
}

// Batches is how many batches were begun, of requests and of results.
func (b *Bus) Batches() (requests, results uint64) {
	count := func(g *group) uint64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.batches
	}
	return count(b.requests), count(b.results)
}

// Gather makes the next n writes wait for each other, whatever else is under way, so that they are
// there to go together.
func (b *Bus) Gather(n int, results bool) {
	g := b.requests
	if results {
		g = b.results
	}
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
func (b *Bus) TellLeft() int {
	g := newGroup(b.nc, runsStream)
	g.tell([]*member{{left: true, turn: make(chan turn, 1)}}, 0, errNotStored)
	return g.single
}

// StoredClaim is a run's claim, whether or not the run has ended.
func (b *Bus) StoredClaim(ctx context.Context, id task.ID, n run.Number) (Seen, bool) {
	stored, err := b.leaderLast(ctx, runsBucket, claimSubject(id, n))
	return Seen{sequence: stored.sequence}, err == nil
}

// Acknowledging is the connection's own acknowledging, which takes confirmations to be late after
// within.
func (b *Bus) Acknowledging(t testing.TB, within time.Duration) (publish func(subject string), open func() int) {
	t.Helper()
	a, err := newAcknowledgements(b.nc, within)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a.publish, a.unconfirmed
}

// Unconfirmed is how many deliveries are done of which the server has not confirmed that it knows.
func (b *Bus) Unconfirmed() int { return b.done.unconfirmed() }

func (a *acknowledgements) unconfirmed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

// EventCounts is how many completion events each run has.
func (b *Bus) EventCounts(ctx context.Context) (map[run.Number]int, error) {
	events, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		return nil, err
	}
	counts := map[run.Number]int{}
	err = b.scan(ctx, events, jetstream.OrderedConsumerConfig{HeadersOnly: true}, func(msg jetstream.Msg) error {
		counts[run.Number(numberOf("."+msg.Headers().Get("ce-subject")))]++
		return nil
	})
	return counts, err
}

// Lagging says which stream has a replica that lacks something.
func (b *Bus) Lagging(ctx context.Context) string {
	for _, name := range backedUp {
		stream, err := b.js.Stream(ctx, name)
		if err != nil {
			return err.Error()
		}
		if behind := lagging(stream.CachedInfo()); behind != "" {
			return name + ": " + behind
		}
	}
	return ""
}

// Prepare stores a definition that is about to become current.
func (b *Bus) Prepare(ctx context.Context, def *task.Definition) error { return b.prepare(ctx, def) }
