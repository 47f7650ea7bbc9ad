package sweep_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/services/status/sweep"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestMain(m *testing.M) {
	sweep.SetKeepLook(100 * time.Millisecond)
	proctest.Main(m)
}

// sweeping runs a sweeper on a connection of its own until the end of the test.
func sweeping(t *testing.T, store *bustest.Store, name string) (stop func()) {
	t.Helper()
	opened := store.Open(name)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	view, done, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancels := opened.Unheld.Cancels()
	sweeper := sweep.New(sweep.Options{Unheld: opened.Unheld, Tasks: view, Cancels: cancels, Log: zerolog.Nop()})
	var ran sync.WaitGroup
	ran.Go(func() { cancels.Follow(ctx) })
	ran.Go(func() { sweeper.Run(ctx) })
	stop = func() { cancel(); ran.Wait(); <-done }
	t.Cleanup(stop)
	return stop
}

// queue applies a task, with a line more, and submits runs of it that may wait that many seconds.
func queue(t *testing.T, store *bustest.Store, line string, startWithin, runs int) (run.Request, []run.Number) {
	t.Helper()
	def, err := taskfile.Parse([]byte(fmt.Sprintf("id: %s\nname: Late\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n%s\n", task.NewID(), line)), "late.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	request := run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook,
		RetryAfter: 30, StartWithin: startWithin, CreatedOn: time.Now().UTC(),
	}
	var numbers []run.Number
	for range runs {
		accepted, err := store.Runs.Submit(t.Context(), request, "")
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, accepted.Number)
	}
	return request, numbers
}

func awaitFinal(t *testing.T, store *bustest.Store, id task.ID, n run.Number) run.Document {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	status, err := store.Runs.Await(ctx, id, n)
	if err != nil || !status.Final {
		t.Fatalf("run %s has not ended: %+v, %v", n, status.Document, err)
	}
	return status.Document
}

func events(t *testing.T, store *bustest.Store) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// Two processes sweep at once. Runs that nobody took in time end once each; one that a runner has, and
// one that still has time, go on.
func TestRunsThatNobodyTookInTimeEnd(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "start_within: 2s", 2, 20)
	taken := numbers[3]
	claim, err := store.Work.Claim(t.Context(), request.Task, taken, run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	patient := request
	patient.StartWithin = 3600
	waits, err := store.Runs.Submit(t.Context(), patient, "")
	if err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "one")
	sweeping(t, store, "two")
	for _, n := range numbers {
		if n == taken {
			continue
		}
		doc := awaitFinal(t, store, request.Task, n)
		if doc.Outcome() != run.Failed || doc.ExecutionCount != 0 || doc.StartedOn != nil || !strings.HasPrefix(doc.Message, "No runner took the run within 2s, as start_within asks") {
			t.Errorf("run %s ended as %+v", n, doc)
		}
		if waited := time.Time(*doc.CompletedOn).Sub(time.Time(doc.CreatedOn)); waited < 2*time.Second-5*time.Millisecond {
			t.Errorf("run %s was ended after %s", n, waited)
		}
	}
	for _, n := range []run.Number{taken, waits.Number} {
		if status, err := store.Runs.Lookup(t.Context(), request.Task, n); err != nil || status.Final {
			t.Errorf("run %s: %+v, %v", n, status.Document, err)
		}
	}
	doc := run.QueuedDocument(request, taken)
	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Errorf("the runner's own result is refused: %v", err)
	}
	stream := events(t, store)
	proctest.Eventually(t, "20 runs have their events", func() bool {
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs > 20 {
			t.Fatalf("%d events of 20 runs", info.State.Msgs)
		}
		return info.State.Msgs == 20
	})
}

// A task that comes to have start_within while the sweep goes on.
func TestTheSweepFollowsTheTask(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "", 0, 1)
	sweeping(t, store, "sweep")
	def, err := store.Work.Definition(t.Context(), request.Task, request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	next, err := taskfile.Parse([]byte(string(def.Text)+"start_within: 1s\n"), "late.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(t.Context(), next, false); err != nil {
		t.Fatal(err)
	}
	request.Definition, request.StartWithin = next.Hash, 1
	accepted, err := store.Runs.Submit(t.Context(), request, "")
	if err != nil {
		t.Fatal(err)
	}
	if doc := awaitFinal(t, store, request.Task, accepted.Number); doc.Outcome() != run.Failed {
		t.Errorf("ended as %+v", doc)
	}
}

// After half the time that runs are kept, what nobody is at work on ends; a runner that is, goes on.
func TestOldRunsEnd(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 12 * time.Second, Lease: 2 * time.Second})
	request, numbers := queue(t, store, "", 0, 3)
	queued, abandoned, working := numbers[0], numbers[1], numbers[2]
	state := run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now(), Checkpoint: run.Checkpoint{Row: 7, Counts: run.Counts{Retrieved: 7, Inserted: 7}}}
	gone, err := store.Work.Claim(t.Context(), request.Task, abandoned, state)
	if err != nil {
		t.Fatal(err)
	}
	claim, err := store.Work.Claim(t.Context(), request.Task, working, state)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	renewed := make(chan struct{}, 1000)
	keeper.Go(func() {
		for ticker := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; <-ticker.C {
			renewed <- struct{}{}
			if err := claim.Renew(ctx, state); err != nil && ctx.Err() == nil {
				t.Errorf("the runner that is at work lost its claim: %v", err)
			}
		}
	})
	sweeping(t, store, "sweep")
	for range 10 {
		<-renewed
	}
	later, err := store.Runs.Submit(t.Context(), request, "")
	if err != nil {
		t.Fatal(err)
	}
	if doc := awaitFinal(t, store, request.Task, queued); doc.Outcome() != run.Failed || !strings.HasPrefix(doc.Message, "The run has not ended within 6s, half the time for which runs are kept: no runner took it") {
		t.Errorf("ended as %+v", doc)
	}
	if doc := awaitFinal(t, store, request.Task, abandoned); doc.Outcome() != run.Failed || doc.ExecutionCount != 1 || doc.RowsInserted != 7 || !strings.Contains(doc.Message, "the runner that had it is gone") {
		t.Errorf("ended as %+v", doc)
	}
	if err := gone.Renew(t.Context(), state); err == nil {
		t.Error("the runner that was gone renewed its claim after the run had ended")
	}
	awaitFinal(t, store, request.Task, later.Number) // by then the sweep has seen the others' claims twice
	if status, err := store.Runs.Lookup(t.Context(), request.Task, working); err != nil || status.Final {
		t.Errorf("the run that a runner is at work on: %+v, %v", status.Document, err)
	}
}

// The sweep costs next to nothing: idle queues are not looked at, and what was ended is not looked at
// again, though no runner acknowledges it.
func TestTheSweepIsCheap(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	var idle []string
	for range 50 {
		request, _ := queue(t, store, "", 0, 1)
		idle = append(idle, string(request.Task))
	}
	request, ended := queue(t, store, "start_within: 1s", 1, 200)
	first, err := store.Jet().NC.SubscribeSync("$JS.API.DIRECT.GET.RUNS")
	if err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "the sweep")
	awaitFinal(t, store, request.Task, ended[len(ended)-1])
	for left := slices.Clone(idle); len(left) > 0; { // each queue is looked at once, with this as the last step
		look, err := first.NextMsg(proctest.Limit)
		if err != nil {
			t.Fatal(err)
		}
		left = slices.DeleteFunc(left, func(id string) bool { return strings.Contains(string(look.Data), id) })
	}

	// How often it looks depends on the time that the next run takes. What it looks at does not.
	looks, err := store.Jet().NC.SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := looks.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	accepted, err := store.Runs.Submit(t.Context(), request, "")
	if err != nil {
		t.Fatal(err)
	}
	awaitFinal(t, store, request.Task, accepted.Number)
	if err := store.Jet().NC.Flush(); err != nil {
		t.Fatal(err)
	}
	seen, named := 0, regexp.MustCompile(`(?:`+string(request.Task)+`\.|GET\.RUNS .*"seq":)(\d+)`) // a run's number is its sequence here
	for n, _, _ := looks.Pending(); n > 0; n-- {
		look, err := looks.NextMsg(proctest.Limit)
		if err != nil {
			t.Fatal(err)
		}
		text := look.Subject + " " + string(look.Data)
		if slices.ContainsFunc(idle, func(id string) bool { return strings.Contains(text, id) }) {
			t.Errorf("an idle queue was looked at: %s", text)
		}
		for _, run := range named.FindAllStringSubmatch(text, -1) {
			seen++
			if n, err := strconv.Atoi(run[1]); err != nil || n < int(accepted.Number) {
				t.Errorf("a run that has ended was looked at: %s", text)
			}
		}
	}
	if seen == 0 {
		t.Error("nothing shows that the new run was looked at")
	}
}

// What no run can need any more of a task's definitions goes by itself.
func TestSweepRemovesOldDefinitions(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 2 * time.Second})
	request, _ := queue(t, store, "description: before", 0, 0)
	now, err := taskfile.Parse([]byte(fmt.Sprintf("id: %s\nname: Late\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n", request.Task)), "late.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(t.Context(), now, false); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.Definition(t.Context(), request.Task, request.Definition); err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "sweep")
	proctest.Eventually(t, "the old definition is gone", func() bool {
		_, err := store.Work.Definition(t.Context(), request.Task, request.Definition)
		return err != nil
	})
	if _, err := store.Work.Definition(t.Context(), now.ID, now.Hash); err != nil {
		t.Error(err)
	}
}

// A run that is too old is not taken from a runner whose claim was only seen unmoved for less than half a
// lease, however often its queue is looked at meanwhile.
func TestTheSweepWatchesForHalfALease(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 10 * time.Second, Lease: 10 * time.Minute})
	request, numbers := queue(t, store, "", 0, 1)
	state := run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()}
	claim, err := store.Work.Claim(t.Context(), request.Task, numbers[0], state)
	if err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "sweep")
	var last run.Number
	for ticker, looks := time.NewTicker(200*time.Millisecond), 0; looks < 5; looks++ { // each is due on its own
		<-ticker.C
		last = bustest.Submit(t, store.Bus, request)
	}
	awaitFinal(t, store, request.Task, last)
	if err := claim.Renew(t.Context(), state); err != nil {
		t.Errorf("the runner that is at work lost its claim: %v", err)
	}
}

// A run that was begun in time and handed back is not ended because start_within is over. Who has a run is
// asked once, however often its queue is looked at because of one before it that still has time.
func TestABegunRunIsNotOverdue(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "start_within: 1s", 1, 0)
	patient := request
	patient.StartWithin = 3600
	bustest.Submit(t, store.Bus, patient)
	begun := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, begun, run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now(), HandedBack: true})
	if err != nil {
		t.Fatal(err)
	}
	nc := bustest.JetStream(t, store.Broker.URL()).Conn()
	ends, err := nc.SubscribeSync(fmt.Sprintf("$KV.*.final.%s.%s", request.Task, begun))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "sweep")
	for range 3 { // each time the sweep has looked at the begun one too
		awaitFinal(t, store, request.Task, bustest.Submit(t, store.Bus, request))
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := ends.Pending(); n != 1 || err != nil {
		t.Errorf("the sweep has tried %d times to end the begun run, %v", n, err)
	}
	if err := claim.Renew(t.Context(), run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()}); err != nil {
		t.Errorf("the run that was begun in time: %v", err)
	}
}
