package jet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

func TestMain(m *testing.M) { proctest.Main(m, proctest.Role{Name: "broker", Play: runAsBroker}) }

// together starts n writes that are stored as batches, as far as they can, and waits for them.
func together(t *testing.T, stream *jet.Stream, n int, write func(i int)) {
	t.Helper()
	before := stream.Batches()
	stream.Gather(n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { write(i) })
	}
	all.Wait()
	if stream.Batches() == before {
		t.Fatal("nothing went as a batch")
	}
}

// numbered is a request that can be told from others.
func numbered(request run.Request, i int) run.Request {
	request.CorrelationID = fmt.Sprint("caller ", i)
	return request
}

func TestGroupedRequestsGetTheirOwnNumbers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	before := bustest.Submit(t, store.Bus, request)
	const callers = 64
	var numbers [callers]run.Number
	together(t, store.Jet().Runs, callers, func(i int) {
		numbers[i] = bustest.Submit(t, store.Bus, numbered(request, i))
	})
	seen := map[run.Number]bool{}
	for i, n := range numbers {
		if n <= before || n > before+callers || seen[n] {
			t.Errorf("caller %d got %d, a second time or none of the %d after %d", i, n, callers, before)
		}
		seen[n] = true
		stored, err := store.Runs.Request(t.Context(), request.Task, n)
		if err != nil || stored.CorrelationID != numbered(request, i).CorrelationID {
			t.Errorf("caller %d got the number of %s: %v", i, stored.CorrelationID, err)
		}
	}
	if requests := store.Jet().Runs.Batches(); requests != 1 {
		t.Errorf("%d batches, want one", requests)
	}
}

// A lone write, a server that does not sync and replicas have nothing to gain.
func TestOnlyWhatWaitsIsGrouped(t *testing.T) {
	t.Parallel()
	for name, topology := range map[string]bus.Topology{"alone": {Synced: true}, "not synced": {}} {
		store := bustest.New(t, topology)
		request := bustest.Applied(t, store.Bus)
		callers := 1
		if !topology.Synced {
			callers = 64
		}
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range 5 {
					bustest.Submit(t, store.Bus, request)
				}
			})
		}
		all.Wait()
		if requests := store.Jet().Runs.Batches(); requests != 0 {
			t.Errorf("%s: %d batches", name, requests)
		}
	}
}

// A batch that is refused because of some of its members harms none of the others.
func TestRefusedMembersHarmNobody(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	const callers = 60
	var numbers [callers]run.Number
	together(t, store.Jet().Runs, callers, func(i int) {
		key := ""
		if i%6 == 3 {
			key = "new"
		}
		accepted, err := store.Runs.Submit(ctx, numbered(request, i), key)
		if err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
		numbers[i] = accepted.Number
	})
	owners := map[run.Number]int{}
	for i, n := range numbers {
		owners[n]++
		if i%6 == 3 {
			if n != numbers[3] {
				t.Errorf("one key got the numbers %d and %d", n, numbers[3])
			}
			continue
		}
		stored, err := store.Runs.Request(ctx, request.Task, n)
		if err != nil || stored.CorrelationID != numbered(request, i).CorrelationID || owners[n] > 1 {
			t.Errorf("caller %d got number %d of %s: %v", i, n, stored.CorrelationID, err)
		}
	}
}

// A key that came with a batch is known, also to a server that was restarted.
func TestKeysOfABatchAreKnown(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	const callers = 20
	var numbers [callers]run.Number
	key := func(i int) string { return fmt.Sprint("key-", i) }
	together(t, store.Jet().Runs, callers, func(i int) {
		accepted, err := store.Runs.Submit(t.Context(), request, key(i))
		if err != nil || accepted.Replayed {
			t.Errorf("%+v %v", accepted, err)
		}
		numbers[i] = accepted.Number
	})
	store.Restart()
	again := store.Open("again")
	for i, n := range numbers {
		accepted, err := again.Runs.Submit(t.Context(), request, key(i))
		if err != nil || !accepted.Replayed || accepted.Number != n {
			t.Errorf("the key of run %d: %+v %v", n, accepted, err)
		}
	}
}

// Forty runs with six contenders each, whose claims all wait for the same batch.
func TestFenceHoldsWithinABatch(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	const runs, contenders = 40, 6
	numbers := make([]run.Number, runs)
	for i := range numbers {
		if err := answered(ctx, func() error {
			accepted, err := store.Runs.Submit(ctx, request, "")
			numbers[i] = accepted.Number
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var claims [runs * contenders]*bus.Claim
	var unsure [runs]atomic.Bool // a claim of the run was not answered, and may be stored
	together(t, results(t, store).Stream, len(claims), func(i int) {
		claim, err := store.Work.Claim(ctx, request.Task, numbers[i/contenders], run.Claim{Owner: fmt.Sprint(i), Executions: 1})
		if errors.Is(err, run.ErrUnavailable) {
			unsure[i/contenders].Store(true)
		} else if err != nil && !errors.Is(err, bus.ErrClaimed) {
			t.Error(err)
		}
		claims[i] = claim
	})
	var holders []*bus.Claim
	for i := range numbers {
		var held []*bus.Claim
		for _, claim := range claims[i*contenders : (i+1)*contenders] {
			if claim != nil {
				held = append(held, claim)
			}
		}
		if len(held) == 0 && unsure[i].Load() {
			holders = append(holders, takenFrom(ctx, t, store, request, numbers[i]))
			continue
		}
		if len(held) != 1 {
			t.Fatalf("run %d has %d holders", numbers[i], len(held))
		}
		var seen bus.Seen
		if err := answered(ctx, func() (err error) {
			seen, _, err = store.Work.FindClaim(ctx, request.Task, numbers[i])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if seen.State.Owner != fmt.Sprint(i*contenders+slices.Index(claims[i*contenders:], held[0])) {
			t.Errorf("run %d is held by %s", numbers[i], seen.State.Owner)
		}
		holders = append(holders, held[0])
	}

	// Half of the runs are taken over; all holders, former and present, end theirs at the same time.
	ending := make([]*bus.Claim, runs, runs+runs/2)
	copy(ending, holders)
	for i := range runs / 2 {
		ending = append(ending, takenFrom(ctx, t, store, request, numbers[i]))
	}
	together(t, results(t, store).Stream, len(ending), func(i int) {
		doc := run.QueuedDocument(request, numbers[i%runs])
		doc.End(run.Success, fmt.Sprint(i), time.Now())
		err := answered(ctx, func() error { return ending[i].Finish(ctx, doc, run.RejectedSet{}) })
		if lost := i < runs/2; lost != errors.Is(err, bus.ErrLost) || !lost && err != nil {
			t.Errorf("claim %d of run %d: %v", i, numbers[i%runs], err)
		}
	})
	for i, n := range numbers {
		want := i
		if i < runs/2 {
			want += runs
		}
		var status bus.Status
		err := answered(ctx, func() (err error) {
			status, err = store.Runs.Lookup(ctx, request.Task, n)
			return err
		})
		if err != nil || !status.Final || status.Document.Message != fmt.Sprint(want) {
			t.Errorf("run %d ended as %q, want %d: %v", n, status.Document.Message, want, err)
		}
	}
}

// answered repeats what a disk that stands still has left without an answer.
func answered(ctx context.Context, do func() error) error {
	for {
		err := do()
		if ctx.Err() != nil || !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrMaybeStored) {
			return err
		}
	}
}

// takenFrom takes a run from whoever holds it.
func takenFrom(ctx context.Context, t *testing.T, store *bustest.Store, request run.Request, n run.Number) (holder *bus.Claim) {
	t.Helper()
	proctest.Until(t, func() error {
		seen, held, err := store.Work.FindClaim(ctx, request.Task, n)
		switch {
		case err != nil:
		case held:
			holder, err = store.Work.TakeOver(ctx, request.Task, n, seen, seen.State.Next("taker"))
		default:
			holder, err = store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "taker", Executions: 1})
		}
		return err
	})
	return holder
}

// Whoever leaves the queue of a batch leaves it usable.
func TestCallerThatGivesUpWasNotStored(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	before := bustest.Submit(t, store.Bus, request)
	store.Jet().Runs.Gather(20)
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := store.Runs.Submit(impatient, request, "")
	if !errors.Is(err, run.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want %v", err, run.ErrUnavailable)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { bustest.Submit(t, store.Bus, request) })
	}
	all.Wait()
	if n := bustest.Submit(t, store.Bus, request); n != before+21 {
		t.Errorf("run %d, want %d", n, before+21)
	}
	if left := store.Jet().Runs.TellLeft(); left != 0 {
		t.Errorf("%d writes count for ever as under way", left)
	}
}

const folderVariable, listenVariable = "RUNHOOK_TEST_FOLDER", "RUNHOOK_TEST_LISTEN"

// Whoever gives up while its batch is under way cannot know that it was not stored.
func TestCallerThatGivesUpItsBatchMayBeStored(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
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
	const callers = 20
	requests := ingress.Jet().Runs
	before := requests.Batches()
	requests.Gather(callers)
	wire.Silence(true)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := ingress.Runs.Submit(ctx, request, ""); !errors.Is(err, run.ErrMaybeStored) || errors.Is(err, run.ErrUnavailable) {
				t.Errorf("given up while the batch is under way: %v", err)
			}
		})
	}
	proctest.Until(t, func() error {
		if requests.Batches() == before {
			return errors.New("no batch has begun")
		}
		return nil
	})
	giveUp()
	all.Wait()
	wire.Silence(false)
	proctest.Until(t, func() error {
		info, err := store.Jet().Runs.Info(t.Context())
		if err == nil && info.State.Msgs != callers {
			err = fmt.Errorf("%d requests are stored", info.State.Msgs)
		}
		return err
	})
}

// publishing is a connection over a wire to a store that groups, with a way to publish on it that returns how
// many of n writes at once were acknowledged.
func publishing(t *testing.T) (wire *bustest.Wire, requests *jet.Stream, publish func(ctx context.Context, n int) (stored int)) {
	t.Helper()
	store := bustest.New(t, bus.Topology{Synced: true})
	request := bustest.Applied(t, store.Bus)
	wire = bustest.NewWire(t, "127.0.0.1:0", store.Broker.Addr().String())
	ingress, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + wire.Address(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ingress.Close)
	if err := ingress.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests = ingress.Jet().Runs
	return wire, requests, func(ctx context.Context, n int) int {
		var all sync.WaitGroup
		var stored atomic.Int64
		for range n {
			all.Go(func() {
				msg := &nats.Msg{Subject: jet.RequestSubject(request.Task), Data: []byte("{}"), Header: nats.Header{}}
				if _, err := requests.Publish(ctx, jet.Entry{Msg: msg}); err == nil {
					stored.Add(1)
				}
			})
		}
		all.Wait()
		return int(stored.Load())
	}
}

// A batch whose answer does not come may be stored: its members are not sent again.
func TestBatchWithoutAnAnswerIsSentOnce(t *testing.T) {
	t.Parallel()
	wire, requests, publish := publishing(t)
	const callers = 20
	requests.Gather(callers)
	wire.Silence(true)
	ctx, cancel := context.WithTimeout(t.Context(), jet.WriteTimeout+3*time.Second)
	defer cancel()
	if stored := publish(ctx, callers); stored != 0 {
		t.Errorf("%d writes were acknowledged on a silent wire", stored)
	}
	wire.Silence(false)
	if stored := publish(t.Context(), 1); stored != 1 {
		t.Error("the next write was not acknowledged")
	}
	info, err := requests.Info(t.Context())
	if err != nil || info.State.Msgs != callers+1 {
		t.Errorf("%d writes are stored, want %d: %v", info.State.Msgs, callers+1, err)
	}
}

// Those that wait behind single writes, too few for a batch, follow when those are done.
func TestTooFewForABatchFollowSingly(t *testing.T) {
	t.Parallel()
	wire, requests, publish := publishing(t)
	wire.Silence(true)
	const callers = 8 + 3
	result := make(chan int, 1)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	go func() { result <- publish(ctx, callers) }()
	proctest.Eventually(t, "three wait", func() bool { return requests.Waiting() == 3 })
	wire.Silence(false)
	if stored := <-result; stored != callers {
		t.Errorf("%d of %d writes were acknowledged", stored, callers)
	}
}

// results is the slice of the first runs.
func results(t *testing.T, store *bustest.Store) *jet.Results {
	t.Helper()
	results, err := store.Jet().ResultsOf(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// A write that another stream has taken is not taken for one of the stream's own, alone and in a batch.
func TestAWriteToAnotherStreamIsNone(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	msg := &nats.Msg{Subject: jet.RequestSubject(request.Task), Data: []byte("{}"), Header: nats.Header{}}
	if _, err := results(t, store).Publish(t.Context(), jet.Entry{Msg: msg}); err == nil {
		t.Error("a request was taken for a result")
	}
	if stored, notStored := jet.Committed([]byte(`{"stream":"KV_runs","seq":7,"batch":"mine","count":2}`), "mine", 2); stored || notStored {
		t.Error("a batch in another stream was taken for one of the stream's own, or for none")
	}
}

// Only an error that comes before anything is stored says that nothing was.
func TestRefusalsOfBatches(t *testing.T) {
	for answer, refused := range map[string]bool{
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"RUNS","seq":0}`:             true,
		`{"error":{"code":400,"err_code":10201,"description":"atomic publish duplicate message"},"stream":"RUNS","seq":0}`:   true,
		`{"error":{"code":503,"err_code":10077,"description":"no space left on device"},"stream":"RUNS","seq":0}`:            false,
		`{"error":{"code":500,"err_code":99999,"description":"something that a later server says"},"stream":"RUNS","seq":0}`: false,
		`{"stream":"RUNS","seq":7,"batch":"other","count":2}`:                                                                false,
		`{"stream":"RUNS","seq":7,"batch":"mine","count":1}`:                                                                 false,
		`{"stream":"RUNS","seq":7}`: false,
		`nonsense`:                  false,
	} {
		stored, notStored := jet.Committed([]byte(answer), "mine", 2)
		if stored || notStored != refused {
			t.Errorf("%s: stored %v, certainly not stored %v", answer, stored, notStored)
		}
	}
	if stored, _ := jet.Committed([]byte(`{"stream":"RUNS","seq":7,"batch":"mine","count":2}`), "mine", 2); !stored {
		t.Error("a batch that is stored")
	}
}

// runAsBroker is a synced NATS server.
func runAsBroker() error {
	b, err := broker.Start(context.Background(), broker.Options{Dir: os.Getenv(folderVariable), Listen: os.Getenv(listenVariable), Durable: true, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	fmt.Println(b.URL())
	select {}
}

// startBroker starts a server as a process of its own.
func startBroker(t *testing.T, dir, listen string) (url string, server *proctest.Process) {
	t.Helper()
	server = proctest.Start(t, proctest.Self("broker", folderVariable+"="+dir, listenVariable+"="+listen))
	return server.Await(`nats://\S+`)[0], server
}

// The server is killed while batches are under way: whoever has a number has its own, and whoever has
// none was told that it may have been stored, or that it was not.
func TestServerKilledAmongBatches(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, server := startBroker(t, dir, "127.0.0.1:0")
	connect := func() *bus.Bus {
		b, err := bus.Connect(t.Context(), bus.Config{URLs: url, Name: "test", Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	b := connect()
	if err := b.Init(t.Context(), bus.Topology{Synced: true}); err != nil {
		t.Fatal(err)
	}
	def := bustest.Definition(t, "Test", 1)
	if _, err := b.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	request := run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, CreatedOn: time.Now().UTC()}
	const callers, enough = 64, 500
	owners := map[run.Number]int{}
	for round := range 2 {
		var mu sync.Mutex
		var all sync.WaitGroup
		got := 0
		killed := make(chan struct{})
		for c := range callers {
			all.Go(func() {
				for i := 0; ; i++ {
					me := (round*callers+c)*1_000_000 + i
					accepted, err := b.Runs.Submit(t.Context(), numbered(request, me), "")
					if err != nil {
						if !errors.Is(err, run.ErrMaybeStored) && !errors.Is(err, run.ErrUnavailable) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					if former, taken := owners[accepted.Number]; taken {
						t.Errorf("callers %d and %d have number %d", former, me, accepted.Number)
					}
					owners[accepted.Number] = me
					if got++; got == enough {
						close(killed)
					}
					mu.Unlock()
				}
			})
		}
		<-killed
		server.Kill()
		all.Wait()
		if requests := b.Jet().Runs.Batches(); requests == 0 {
			t.Fatal("nothing went as a batch")
		}
		url, server = startBroker(t, dir, strings.TrimPrefix(url, "nats://"))
		b = connect()
		if err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n, me := range owners {
		stored, err := b.Runs.Request(t.Context(), request.Task, n)
		if err != nil || stored.CorrelationID != numbered(request, me).CorrelationID {
			t.Errorf("caller %d was given number %d, which is of %q: %v", me, n, stored.CorrelationID, err)
		}
	}
}
