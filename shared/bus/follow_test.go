package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// answer is what Await returned.
type answer struct {
	status bus.Status
	err    error
}

// follow has a waiter await the end of a run, and returns when it listens.
func follow(t *testing.T, waiter *bus.Bus, request run.Request, n run.Number) <-chan answer {
	t.Helper()
	before := waiter.Runs.Awaiting(request.Task, n)
	answers := make(chan answer, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
		defer cancel()
		status, err := waiter.Runs.Await(ctx, request.Task, n)
		answers <- answer{status, err}
	}()
	proctest.Eventually(t, "nobody follows the run", func() bool { return waiter.Runs.Awaiting(request.Task, n) > before })
	return answers
}

// begun is a new run that is under way, and the claim that ends it.
func begun(t *testing.T, store *bustest.Store, request run.Request) (run.Number, *bus.Claim) {
	t.Helper()
	n := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return n, claim
}

// finish ends a run and returns its final document.
func finish(t *testing.T, claim *bus.Claim, request run.Request, n run.Number) []byte {
	t.Helper()
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Error(err)
	}
	data, err := doc.Encode()
	if err != nil {
		t.Error(err)
	}
	return data
}

// However many await a run, one subscription follows it until the last of them has left; those who stay hear
// of the end.
func TestManyAwaitARunWithOneSubscription(t *testing.T) {
	defer bus.SetLookAgain(time.Hour)()
	store := bustest.New(t, bus.Topology{})
	waiter := store.Open("waiter")
	request := bustest.Applied(t, store.Bus)
	n, claim := begun(t, store, request)
	other, _ := begun(t, store, request)
	following := func(want int) {
		t.Helper()
		proctest.Until(t, func() error {
			now, err := store.Following()
			if err != nil {
				return err
			}
			if now != want {
				return fmt.Errorf("%d subscriptions, want %d", now, want)
			}
			return nil
		})
	}
	const waiting = 50
	await := func(ctx context.Context, number run.Number) <-chan answer {
		answers := make(chan answer, waiting)
		for range waiting {
			go func() {
				status, err := waiter.Runs.Await(ctx, request.Task, number)
				answers <- answer{status, err}
			}()
		}
		return answers
	}
	impatient, cancel := context.WithCancel(t.Context())
	defer cancel()
	left, stayed, others := await(impatient, n), await(t.Context(), n), await(impatient, other)
	proctest.Eventually(t, "not all await the runs", func() bool {
		return waiter.Runs.Awaiting(request.Task, n) == 2*waiting && waiter.Runs.Awaiting(request.Task, other) == waiting
	})
	following(2)
	cancel()
	for range waiting {
		for _, answers := range []<-chan answer{left, others} {
			if got := <-answers; got.err != nil || got.status.Final || got.status.Bytes == nil {
				t.Errorf("who left was told %+v, %v", got.status.Document, got.err)
			}
		}
	}
	following(1)
	final := finish(t, claim, request, n)
	for range waiting {
		if got := <-stayed; got.err != nil || !got.status.Final || !bytes.Equal(got.status.Bytes, final) {
			t.Errorf("who stayed was told %s, %v", got.status.Bytes, got.err)
		}
	}
	following(0)
}

// Whoever begins to await a run in the moment when it ends is told of the end.
func TestAwaitMissesNoEnd(t *testing.T) {
	defer bus.SetLookAgain(time.Hour)()
	store := bustest.New(t, bus.Topology{})
	waiter := store.Open("waiter")
	request := bustest.Applied(t, store.Bus)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	for round := range 40 {
		n, claim := begun(t, store, request)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range i { // so that they join one after the other, before the end and after it
					if _, err := waiter.Runs.Lookup(ctx, request.Task, n); err != nil {
						t.Error(err)
					}
				}
				if got, err := waiter.Runs.Await(ctx, request.Task, n); err != nil || !got.Final {
					t.Errorf("round %d: %+v, %v", round, got.Document, err)
				}
			})
		}
		finish(t, claim, request, n)
		all.Wait()
	}
}

// An answer of the store that is older than what came meanwhile does not replace it, unless it is the end.
func TestLookDoesNotGoBack(t *testing.T) {
	t.Parallel()
	old, later, final := bus.Status{Bytes: []byte("old")}, bus.Status{Bytes: []byte("later")}, bus.Status{Bytes: []byte("final"), Final: true}
	for _, c := range []struct {
		looked bus.Status
		told   []bus.Status
		want   bus.Status
	}{
		{old, nil, old},
		{old, []bus.Status{later}, later},
		{old, []bus.Status{old, later}, later},
		{old, []bus.Status{later, final}, final},
		{final, []bus.Status{later}, final},
	} {
		if got := bus.Follow(c.looked, c.told...); string(got.Bytes) != string(c.want.Bytes) {
			t.Errorf("a look said %q, and %d documents came meanwhile: %q is taken for the last, not %q", c.looked.Bytes, len(c.told), got.Bytes, c.want.Bytes)
		}
	}
}

// Nobody waits for what cannot be told: a store that goes away ends the wait of all, and who comes later
// hears of the end again.
func TestAwaitEndsWithTheStore(t *testing.T) {
	defer bus.SetLookAgain(50 * time.Millisecond)()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n, claim := begun(t, store, request)
	first, second := follow(t, store.Bus, request, n), follow(t, store.Bus, request, n)
	listen := store.Broker.Addr().String()
	store.Broker.Stop()
	for _, answers := range []<-chan answer{first, second} {
		if got := <-answers; !errors.Is(got.err, run.ErrUnavailable) {
			t.Errorf("await: %+v, %v", got.status.Document, got.err)
		}
	}
	store.Start(listen)
	if _, err := retryUnavailable(t.Context(), func() (bus.Status, error) { return store.Runs.Lookup(t.Context(), request.Task, n) }); err != nil {
		t.Fatal(err)
	}
	again := follow(t, store.Bus, request, n)
	finish(t, claim, request, n)
	if got := <-again; got.err != nil || !got.status.Final {
		t.Errorf("await: %+v, %v", got.status.Document, got.err)
	}
}

// It hears of the end, and does not only find it when it looks again.
func TestAwaitReturnsWhenTheRunEnds(t *testing.T) {
	defer bus.SetLookAgain(time.Hour)()
	store := bustest.New(t, bus.Topology{})
	waiter := store.Open("waiter") // over a socket, as another process would
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	n := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	answers := follow(t, waiter, request, n)
	doc := run.QueuedDocument(request, n)
	doc.End(run.Failed, "no", time.Now())
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	got := <-answers
	if got.err != nil || !got.status.Final || got.status.Document.Outcome() != run.Failed {
		t.Errorf("await: %+v, %v", got.status.Document, got.err)
	}

	open := bustest.Submit(t, store.Bus, request)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if status, err := waiter.Runs.Await(short, request.Task, open); err != nil || status.Document.Status != run.Queued {
		t.Errorf("await that ran out of time: %+v, %v", status.Document, err)
	}
}

// An end of which the message is lost is found all the same.
func TestAwaitFindsAnEndThatNobodyTellsOf(t *testing.T) {
	defer bus.SetLookAgain(50 * time.Millisecond)()
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	stream, err := js.Stream(t.Context(), "KV_runs_0")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.RePublish = nil
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	answers := follow(t, store.Bus, request, n)
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got.err != nil || !got.status.Final {
		t.Errorf("await: %+v, %v", got.status.Document, got.err)
	}
}
