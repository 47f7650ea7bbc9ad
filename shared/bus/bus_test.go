package bus_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// TestMain has more tests run at once than there are processors: most of them wait, for an election, or for an answer
// that never comes. Under the race detector they would slow each other down beyond the limits of requests.
func TestMain(m *testing.M) {
	flag.Parse()
	if !proctest.Raced {
		_ = flag.Set("test.parallel", "12")
	}
	bus.SetLeftTo(100 * time.Millisecond)
	bus.SetAuditLooked(2000)
	bus.SetKeptFor(proctest.Limit)
	proctest.Main(m)
}

func TestRunGoesThroughItsPhases(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	n := bustest.Submit(t, store.Bus, request)

	expect := func(phase run.Phase, percent float64) bus.Status {
		t.Helper()
		status, err := store.Runs.Lookup(ctx, request.Task, n)
		if err != nil {
			t.Fatal(err)
		}
		if status.Document.Status != phase || status.Document.PercentComplete != percent {
			t.Fatalf("got %s at %v%%, want %s at %v%%", status.Document.Status, status.Document.PercentComplete, phase, percent)
		}
		return status
	}
	queued := expect(run.Queued, 0)
	wantURL := "https://hooks.example.org/task/executepolling/" + string(request.Task) + "/" + n.String() + "/status"
	if queued.Document.PollingURL != wantURL {
		t.Errorf("PollingUrl %s, want %s", queued.Document.PollingURL, wantURL)
	}

	queue, err := store.Work.Queue(ctx, request.Task)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := bustest.Next(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	if delivery.Number != n || delivery.Request.Definition != request.Definition {
		t.Fatalf("delivered %s %+v", delivery.Number, delivery.Request)
	}
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now().UTC(), Checkpoint: run.Checkpoint{Percent: 7}}
	claim, err := store.Work.Claim(ctx, request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	expect(run.InProgress, 7) // from the claim alone

	doc := run.QueuedDocument(request, n)
	doc.Begin(state.StartedOn, time.Now(), 1)
	doc.PercentComplete = 42.5
	progress := store.Work.Progress(request.Task, n)
	if err := progress.Write(ctx, doc); err != nil {
		t.Fatal(err)
	}
	expect(run.InProgress, 42.5)

	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	final := expect(run.Done, 100)
	delivery.Done()
	if err := progress.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if again := expect(run.Done, 100); string(again.Bytes) != string(final.Bytes) || !again.Final {
		t.Errorf("the final document changed:\n%s\n%s", final.Bytes, again.Bytes)
	}
	if _, found, err := store.Work.FindClaim(ctx, request.Task, n); found || err != nil {
		t.Errorf("the claim is still there: %v %v", found, err)
	}
}

func TestLookupOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	for name, test := range map[string]struct {
		id   task.ID
		n    run.Number
		want error
	}{
		"a number above the last":   {request.Task, n + 1, run.ErrNoRun},
		"another task's number":     {other.Task, n, run.ErrNoRun},
		"a task that never existed": {task.NewID(), n, run.ErrNoRun},
	} {
		if _, err := store.Runs.Lookup(t.Context(), test.id, test.n); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if err := store.Jet().Runs.DeleteMsg(t.Context(), uint64(n)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Runs.Lookup(t.Context(), request.Task, n); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("a deleted run: got %v, want %v", err, run.ErrRunGone)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	first, otherTask := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	ctx := t.Context()
	original, err := store.Runs.Submit(ctx, first, "key-1")
	if err != nil || original.Replayed {
		t.Fatalf("first: %+v, %v", original, err)
	}

	again := first
	again.CreatedOn = first.CreatedOn.Add(time.Hour)
	store.Restart() // the window lives in the stream, not in memory
	replay, err := retryUnavailable(ctx, func() (bus.Accepted, error) { return store.Runs.Submit(ctx, again, "key-1") })
	if err != nil {
		t.Fatal(err)
	}
	if !replay.Replayed || replay.Number != original.Number || !replay.Request.CreatedOn.Equal(first.CreatedOn) {
		t.Errorf("replay: %+v, want the original %+v", replay, original)
	}

	changed := first
	changed.ParameterHash = "h2"
	if _, err := store.Runs.Submit(ctx, changed, "key-1"); !errors.Is(err, run.ErrKeyReused) {
		t.Errorf("other parameters: got %v, want %v", err, run.ErrKeyReused)
	}
	if elsewhere, err := store.Runs.Submit(ctx, otherTask, "key-1"); err != nil || elsewhere.Replayed {
		t.Errorf("the same key at another task: %+v, %v", elsewhere, err)
	}
}

// A request whose acknowledgement does not come may be stored: it is not said to be unavailable, after which
// a caller might POST again, and it is sent once.
func TestSubmitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	wire := bustest.NewWire(t, "127.0.0.1:0", store.Broker.Addr().String())
	ingress, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + wire.Address(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ingress.Close)
	if err := ingress.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	wire.Silence(true)
	impatient, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := ingress.Runs.Submit(impatient, request, ""); !errors.Is(err, run.ErrMaybeStored) || errors.Is(err, run.ErrUnavailable) {
		t.Errorf("without an answer: %v", err)
	}
	wire.Silence(false)
	next, err := ingress.Runs.Submit(t.Context(), request, "") // behind what was on its way
	if err != nil || next.Number != 2 {
		t.Errorf("the next is run %s, want 2: %v", next.Number, err)
	}
}

// retryUnavailable repeats what may fail while a connection comes back.
func retryUnavailable[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for {
		result, err := do()
		if !errors.Is(err, run.ErrUnavailable) || ctx.Err() != nil {
			return result, err
		}
		time.Sleep(5 * time.Millisecond) // pacing, not synchronising: the loop ends with the event
	}
}

func TestOneOfManyContendersEndsARun(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	const runs, contenders = 20, 6
	var finals [runs]int
	for i := range finals {
		n := bustest.Submit(t, store.Bus, request)
		var mu sync.Mutex
		var all sync.WaitGroup
		for c := range contenders {
			all.Go(func() {
				state := run.Claim{Owner: fmt.Sprint(c), Executions: 1, StartedOn: time.Now()}
				claim, err := store.Work.Claim(ctx, request.Task, n, state)
				if err != nil {
					if !errors.Is(err, bus.ErrClaimed) {
						t.Error(err)
					}
					return
				}
				doc := run.QueuedDocument(request, n)
				doc.End(run.Success, fmt.Sprint(c), time.Now())
				if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				finals[i]++
			})
		}
		all.Wait()
	}
	for i, count := range finals {
		if count != 1 {
			t.Errorf("run %d ended %d times", i, count)
		}
	}
}

func TestTakeoverFencesTheFormerHolder(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	n := bustest.Submit(t, store.Bus, request)
	state := run.Claim{Owner: "first", Executions: 1, StartedOn: time.Now()}
	former, err := store.Work.Claim(ctx, request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	stale, _, err := store.Work.FindClaim(ctx, request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := former.Renew(ctx, state); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.TakeOver(ctx, request.Task, n, stale, state.Next("second")); !errors.Is(err, bus.ErrClaimed) {
		t.Fatalf("a claim that moved was taken over: %v", err)
	}
	seen, _, err := store.Work.FindClaim(ctx, request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	holder, err := store.Work.TakeOver(ctx, request.Task, n, seen, state.Next("second"))
	if err != nil {
		t.Fatal(err)
	}
	if holder.Token <= former.Token {
		t.Errorf("token %d after %d", holder.Token, former.Token)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "from the former holder", time.Now())
	for name, err := range map[string]error{"renew": former.Renew(ctx, state), "finish": former.Finish(ctx, doc, run.RejectedSet{})} {
		if !errors.Is(err, bus.ErrLost) {
			t.Errorf("the former holder's %s: got %v, want %v", name, err, bus.ErrLost)
		}
	}
	doc.Message = "from the holder"
	if err := holder.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.Claim(ctx, request.Task, n, state); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("an ended run was claimed: %v", err)
	}
	if err := holder.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Errorf("finishing again after a lost acknowledgement: %v", err)
	}
}

// A store that is known to be full is asked for nothing, and whoever is refused knows why.
func TestFullStoreTakesNothing(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	var full atomic.Bool
	filling, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Full: full.Load, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(filling.Close)
	if err := filling.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, def := bustest.Applied(t, filling), bustest.Definition(t, "Late", 1)
	n := bustest.Submit(t, filling, request)
	claim, err := filling.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "", time.Now())
	full.Store(true)
	_, submitted := filling.Runs.Submit(t.Context(), request, "")
	_, applied := filling.Tasks.Apply(t.Context(), def, false)
	for what, err := range map[string]error{
		"submit": submitted, "apply": applied, "renew": claim.Renew(t.Context(), run.Claim{}),
		"finish": claim.Finish(t.Context(), doc, nil), "reject": claim.StoreRejected(t.Context(), 1, []byte("rows"), time.Now().Add(time.Hour)),
	} {
		if !errors.Is(err, run.ErrFull) || !errors.Is(err, run.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	full.Store(false)
	if next := bustest.Submit(t, filling, request); next != n+1 {
		t.Errorf("run %s comes after run %s", next, n)
	}
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Error(err)
	}
}

func TestViewFollowsTheTasks(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ctx, cancel := context.WithCancel(t.Context())
	view, done, err := store.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		bustest.AwaitView(t, view, what, holds)
	}
	def := bustest.Definition(t, "Followed", 1)
	if changed, err := store.Tasks.Apply(ctx, def, true); err != nil || !changed {
		t.Fatalf("apply: %v, %v", changed, err)
	}
	until("the task appears", func() bool { got, ok := view.Get(def.ID); return ok && got.Enabled && got.FromFolder })
	if changed, err := store.Tasks.Apply(ctx, def, true); err != nil || changed {
		t.Errorf("applying the same again: changed %v, %v", changed, err)
	}

	edited, err := taskfile.Parse([]byte(strings.Replace(string(def.Text), "Followed", "Renamed", 1)), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(ctx, edited, true); err != nil {
		t.Fatal(err)
	}
	until("the new name appears", func() bool { got, _ := view.Get(def.ID); return got.Name == "Renamed" })
	if accepted, err := store.Work.Definition(ctx, def.ID, def.Hash); err != nil || accepted.Name != "Followed" {
		t.Errorf("the accepted definition: %v, %v", accepted, err)
	}

	if _, err := store.Tasks.Remove(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	until("the task is disabled", func() bool { got, ok := view.Get(def.ID); return ok && !got.Enabled })
	if _, err := store.Tasks.Apply(ctx, edited, true); err != nil {
		t.Fatal(err)
	}
	until("the task is back", func() bool { got, _ := view.Get(def.ID); return got.Enabled })
	cancel()
	<-done
}

func TestViewSeesChangesSoonAfterAnOutage(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ctx, cancel := context.WithCancel(t.Context())
	view, done, err := store.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	store.Restart()
	def := bustest.Definition(t, "After", 1)
	if _, err := retryUnavailable(ctx, func() (bool, error) { return store.Tasks.Apply(ctx, def, false) }); err != nil {
		t.Fatal(err)
	}
	bustest.AwaitView(t, view, "the new task", func() bool { _, known := view.Get(def.ID); return known })
	cancel()
	<-done
}

func TestRedeliverDoesNotWaitForTheLease(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Hour})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	next := func() *bus.Delivery {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
		defer cancel()
		queue, err := store.Work.Queue(ctx, request.Task)
		if err != nil {
			t.Fatal(err)
		}
		defer queue.Close()
		delivery, err := bustest.Next(ctx, queue)
		if err != nil || delivery.Number != n {
			t.Fatalf("delivered %v, %v", delivery, err)
		}
		return delivery
	}
	next()
	store.Restart()
	if _, err := retryUnavailable(t.Context(), func() (struct{}, error) { return struct{}{}, store.Work.Redeliver(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	if again := next(); !again.Redelivered {
		t.Error("the second delivery does not say so")
	}
	consumer, err := bustest.JetStream(t, store.Broker.URL()).Consumer(t.Context(), "RUNS", string(request.Task))
	if err != nil {
		t.Fatal(err)
	}
	if lease := consumer.CachedInfo().Config.AckWait; lease != time.Hour {
		t.Errorf("the lease is %s then", lease)
	}
}

func TestQueueKeepsRunsOfATaskApart(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	first, second := bustest.Submit(t, store.Bus, request), bustest.Submit(t, store.Bus, request)
	queue, err := store.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil || delivery.Number != first {
		t.Fatalf("first delivery: %v, %v", delivery, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if early, err := bustest.Next(short, queue); early != nil {
		t.Fatalf("a second run was delivered while the first is open: %v, %v", early, err)
	}
	delivery.Done()
	if delivery, err = bustest.Next(t.Context(), queue); err != nil || delivery.Number != second {
		t.Fatalf("second delivery: %v, %v", delivery, err)
	}
}

// A pull that is given up while requests are on their way must not leave any leased to nobody: it would
// come back only after the lease.
func TestPullGivenUpLosesNoRequest(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	if !store.Jet().Alone() {
		t.Error("a single server is taken for several, so that a stop waits for the end of each pull")
	}
	request, queue := queued(t, store, 1000)
	leased := map[run.Number]bool{}
	take := func(d *bus.Delivery) {
		if leased[d.Number] {
			t.Errorf("%s came twice", d.Number)
		}
		leased[d.Number] = true
	}
	for range 200 {
		pull, cancel := context.WithCancel(t.Context())
		var submitting sync.WaitGroup
		for i := range 4 {
			submitting.Go(func() {
				bustest.Submit(t, store.Bus, request)
				if i == 0 {
					cancel()
				}
			})
		}
		for {
			if err := queue.Pull(pull, 8, take); err != nil {
				break
			}
		}
		submitting.Wait()
		cancel()
	}
	queue.Close()
	// The server may have found nobody there for one of them: it offers that again, at once.
	var err error
	if queue, err = store.Work.Queue(t.Context(), request.Task); err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	soon, cancel := context.WithTimeout(t.Context(), proctest.Limit) // the lease is longer
	defer cancel()
	for len(leased) < 800 && queue.Pull(soon, 1, take) == nil {
	}
	if len(leased) != 800 {
		t.Errorf("%d of 800 requests came before a lease has run out", len(leased))
	}
}

// queued is a task with the queue of its requests, of which so many may be leased at once.
func queued(t *testing.T, store *bustest.Store, concurrency int) (run.Request, *bus.Queue) {
	t.Helper()
	def := bustest.Definition(t, "Busy", concurrency)
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	request.Task = def.ID
	queue, err := store.Work.Queue(t.Context(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	return request, queue
}

// One pull brings as many requests as it asked for, each as soon as it comes, and no more.
func TestPullBringsWhatItAsksFor(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, queue := queued(t, store, 1000)
	numbers := []run.Number{bustest.Submit(t, store.Bus, request), bustest.Submit(t, store.Bus, request)}
	var taken []*bus.Delivery
	err := queue.Pull(t.Context(), 4, func(d *bus.Delivery) {
		taken = append(taken, d)
		if len(taken) >= 2 && len(numbers) < 5 { // the pull is open, and waits for two more
			numbers = append(numbers, bustest.Submit(t, store.Bus, request))
		}
	})
	if err != nil || len(taken) != 4 {
		t.Fatalf("%d came, %v", len(taken), err)
	}
	for i, d := range taken {
		if d.Number != numbers[i] {
			t.Errorf("run %s came in place %d, before %s", d.Number, i, numbers[i])
		}
	}
	consumer, err := bustest.JetStream(t, store.Broker.URL()).Consumer(t.Context(), "RUNS", string(request.Task))
	if err != nil {
		t.Fatal(err)
	}
	if info := consumer.CachedInfo(); info.NumAckPending != 4 || info.NumPending != 1 || info.NumWaiting != 0 {
		t.Errorf("%d are leased, %d wait, %d pulls are open", info.NumAckPending, info.NumPending, info.NumWaiting)
	}
	// What goes back comes again at once, although its pull has ended.
	queue.Close()
	for _, d := range taken {
		if err := d.Retry(0); err != nil {
			t.Fatal(err)
		}
	}
	if queue, err = store.Work.Queue(t.Context(), request.Task); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	again := map[run.Number]bool{}
	if err := queue.Pull(ctx, 5, func(d *bus.Delivery) { again[d.Number] = true }); err != nil || len(again) != 5 {
		t.Errorf("%d runs came again, %v", len(again), err)
	}
	queue.Close()
}

// A fetch brings what waits and ends by itself, and leaves no pull behind that a later request would go into.
func TestFetchBringsWhatWaits(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, queue := queued(t, store, 3)
	defer queue.Close()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	fetch := func(ctx context.Context, n, want int, end error) []*bus.Delivery {
		t.Helper()
		var taken []*bus.Delivery
		err := queue.Fetch(ctx, n, func(d *bus.Delivery) { taken = append(taken, d) })
		if !errors.Is(err, end) || len(taken) != want {
			t.Fatalf("%d came, want %d, and the fetch ended with %v", len(taken), want, err)
		}
		return taken
	}
	for range 1 + proctest.Limit/(30*time.Second) { // a pull that waits would be open for 30 s each time
		fetch(ctx, 2, 0, bus.ErrIdle)
	}
	for range 4 {
		bustest.Submit(t, store.Bus, request)
	}
	held := append(fetch(ctx, 1, 1, nil), fetch(ctx, 2, 2, nil)...)
	// The task has as many runs as it may have: the fetch waits for the end of one.
	full, giveUp := context.WithCancel(ctx)
	go func() {
		proctest.Eventually(t, "a fetch waits", func() bool { return waiting(t, store, request.Task) == 1 })
		giveUp()
	}()
	fetch(full, 1, 0, context.Canceled)
	for _, d := range held {
		d.Done()
	}
	fetch(ctx, 3, 1, bus.ErrIdle)
	if n := waiting(t, store, request.Task); n != 0 {
		t.Errorf("%d pulls are open after the fetch", n)
	}
}

// waiting is how many pulls of a task's queue are open at the server.
func waiting(t *testing.T, store *bustest.Store, id task.ID) int {
	t.Helper()
	consumer, err := bustest.JetStream(t, store.Broker.URL()).Consumer(t.Context(), "RUNS", string(id))
	if err != nil {
		t.Error(err)
		return 0
	}
	return consumer.CachedInfo().NumWaiting
}

func TestRunsListsTheNewestFirst(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	quiet, busy := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	old := bustest.Submit(t, store.Bus, quiet)
	var last run.Number
	for range 300 { // more than one window away from the end
		last = bustest.Submit(t, store.Bus, busy)
	}
	all, err := store.Runs.List(t.Context(), 3)
	if err != nil || len(all) != 3 || all[0].Document.ImportID != last || all[2].Document.ImportID != last-2 {
		t.Errorf("all: %d runs, %v", len(all), err)
	}
	one, err := store.Runs.List(t.Context(), 3, quiet.Task)
	if err != nil || len(one) != 1 || one[0].Document.ImportID != old {
		t.Errorf("one task's: %d runs, %v", len(one), err)
	}
}

func TestCheckSaysWhatToRun(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	if err := store.Jet().JS.DeleteStream(t.Context(), jet.RunsStream); err != nil {
		t.Fatal(err)
	}
	err := store.Connect("late").Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "runhook init") {
		t.Errorf("got %v, want a word about `runhook init`", err)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	store.Broker.Stop()
	if _, err := store.Runs.Submit(t.Context(), request, ""); !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrMaybeStored) {
		t.Errorf("submit: %v", err)
	}
	if _, err := store.Runs.Lookup(t.Context(), request.Task, n); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("lookup: %v", err)
	}
	if err := store.Ready(t.Context()); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
}
