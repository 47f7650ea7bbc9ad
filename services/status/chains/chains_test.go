package chains_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status/chains"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// patience is after how long another process finishes what one was about to do.
const patience = 200 * time.Millisecond

func TestMain(m *testing.M) { proctest.Main(m) }

// apply makes a task with lines in its file current.
func apply(t *testing.T, store *bus.Bus, id task.ID, name, lines string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse(fmt.Appendf(nil, "id: %s\nname: %s\nparameters: [{name: State}, {name: Ids, multiple: true}, {name: Rows}]\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n%s\n", id, name, lines), "chain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return def
}

// requestOf is what starts a run of a task.
func requestOf(t *testing.T, def *task.Definition) run.Request {
	t.Helper()
	values, err := def.Resolve([]task.Given{
		{Key: "State", GivenValue: task.GivenValue{Kind: task.GivenString, Text: "TX"}},
		{Key: "Ids", GivenValue: task.GivenValue{Kind: task.GivenArray, Items: []task.GivenValue{{Kind: task.GivenString, Text: "a"}, {Kind: task.GivenString, Text: "b"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Parameters: values, Base: "https://hooks.example.org", Trigger: run.Webhook,
		CorrelationID: "corr-1", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", CreatedOn: time.Now().UTC(),
	}
}

// ends has a run come to its end.
func ends(t *testing.T, store *bus.Bus, request run.Request, outcome run.Outcome, inserted int64) run.Number {
	t.Helper()
	n := bustest.Submit(t, store, request)
	finish(t, store, request, n, outcome, inserted)
	return n
}

func finish(t *testing.T, store *bus.Bus, request run.Request, n run.Number, outcome run.Outcome, inserted int64) {
	t.Helper()
	finishOn(t, store, request, n, outcome, inserted, time.Now())
}

func finishOn(t *testing.T, store *bus.Bus, request run.Request, n run.Number, outcome run.Outcome, inserted int64, on time.Time) {
	t.Helper()
	var claim *bus.Claim
	proctest.Until(t, func() (err error) { // a cluster may have no leader at the moment
		claim, err = store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()})
		return err
	})
	doc := run.QueuedDocument(request, n)
	doc.SetCounts(run.Counts{Total: inserted, Retrieved: inserted, Inserted: inserted})
	doc.End(outcome, "as the test wants", on)
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
}

// awaitEvent waits for the event of a run that has ended.
func awaitEvent(t *testing.T, store *bus.Bus, n run.Number) {
	t.Helper()
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store)
		if err == nil && counts[n] == 0 {
			err = errors.New("its event is not there")
		}
		return err
	})
}

// service is a status service, as far as it starts what follows.
type service struct {
	chains *bus.Chains
	tasks  *bus.TaskView
	kill   func()
}

// start starts a service; reached is called between its writes, and may be nil. What follows a kill is not done any more.
func start(t *testing.T, store *bustest.Store, name string, reached func(ctx context.Context, step string)) *service {
	t.Helper()
	return begin(t, store.Open(name), reached)
}

func begin(t *testing.T, opened *bus.Bus, reached func(ctx context.Context, step string)) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	view, done, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tables, holds := opened.Unheld.Chains(), opened.Tasks.Holds()
	if err := errors.Join(tables.Load(ctx), holds.Load(ctx)); err != nil {
		t.Fatal(err)
	}
	f := chains.New(chains.Options{Runs: opened.Runs, Tasks: view, Chains: tables, Holds: holds, Log: zerolog.Nop()})
	f.SetTakeOver(patience)
	f.OnReached(reached)
	var ran sync.WaitGroup
	ran.Go(func() { tables.Follow(ctx) })
	ran.Go(func() { holds.Follow(ctx) })
	ran.Go(func() { f.Run(ctx) })
	kill := sync.OnceFunc(func() { cancel(); ran.Wait(); <-done })
	t.Cleanup(kill)
	return &service{tables, view, kill}
}

// isDone waits until the end of a run is dealt with, and says what came of it.
func (s *service) isDone(t *testing.T, id task.ID, n run.Number) (came []run.Followed) {
	t.Helper()
	proctest.Until(t, func() error {
		table := s.chains.Of(id)
		came = nil
		for _, one := range table.Recent {
			if one.Run == n {
				came = append(came, one)
			}
		}
		if table.Starting != nil || len(came) == 0 {
			return fmt.Errorf("done is the end of run %s, starting %+v, and not run %s", table.Run, table.Starting, n)
		}
		return nil
	})
	return came
}

// started are the requests of a task, in their order.
func started(t *testing.T, store *bus.Bus, id task.ID) (requests []run.Request) {
	t.Helper()
	for _, one := range bustest.Requests(t, store, id) {
		requests = append(requests, one.Request)
	}
	return requests
}

// wantChildren wants a run of a task for each of some runs, and no other.
func wantChildren(t *testing.T, store *bus.Bus, id task.ID, of ...run.Number) {
	t.Helper()
	var by []run.Number
	for _, r := range started(t, store, id) {
		by = append(by, r.StartedBy)
	}
	slices.Sort(by)
	if !slices.Equal(by, of) {
		t.Errorf("started were runs by %v, want %v", by, of)
	}
}

// family applies a task that starts another one.
func family(t *testing.T, store *bus.Bus, then string) (parent, child *task.Definition) {
	t.Helper()
	child = apply(t, store, task.NewID(), "Child", "")
	return apply(t, store, task.NewID(), "Parent", then), child
}

// The run that follows has the parameters that are computed, the correlation of the run that has ended, and says which
// one that was.
func TestChild(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	parent, child := family(t, store.Bus, `then:
  - task: Child
    when: run.RowsInserted > 10 && run.Parameters.State == "TX"
    parameters: {State: run.Parameters.State + "/" + run.TaskName, Ids: run.Parameters.Ids, Rows: run.RowsInserted}`)
	s := start(t, store, "one", nil)
	none := ends(t, store.Bus, requestOf(t, parent), run.Success, 10)
	n := ends(t, store.Bus, requestOf(t, parent), run.Success, 12)
	came := s.isDone(t, parent.ID, n)
	wantChildren(t, store.Bus, child.ID, n)
	got := started(t, store.Bus, child.ID)[0]
	if got.Trigger != run.Chain || got.StartedBy != n || got.Link != 1 || got.CorrelationID != "corr-1" || got.TraceParent == "" || got.Base != "https://hooks.example.org" || got.Definition != child.Hash {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string][]string{"State": {"TX/Parent"}, "Ids": {"a", "b"}, "Rows": {"12"}} {
		if !slices.Equal(got.Parameters[name].Values, want) || got.Parameters[name].From != task.FromRequest {
			t.Errorf("%s is %+v, want %q", name, got.Parameters[name], want)
		}
	}
	if doc := run.QueuedDocument(got, 7); doc.StartedBy != n || doc.Trigger != run.Chain {
		t.Errorf("%+v", doc)
	}
	if len(came) != 1 || came[0].Child == 0 || came[0].Task != "Child" || came[0].Run == none {
		t.Errorf("came of it: %+v", came)
	}
}

// What is started is decided by the way in which the run has ended. Dry runs start nothing.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	parent, child := family(t, store.Bus, "then: [{task: child}, {task: Fails, on: failed}, {task: Stops, on: [canceled, failed]}, {task: Last, on: [success, failed, canceled]}]")
	others := map[string]*task.Definition{"child": child}
	for _, name := range []string{"Fails", "Stops", "Last"} {
		others[name] = apply(t, store.Bus, task.NewID(), name, "")
	}
	s := start(t, store, "one", nil)
	dry := requestOf(t, parent)
	dry.DryRun = true
	ends(t, store.Bus, dry, run.Success, 1)
	succeeded := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
	failed := ends(t, store.Bus, requestOf(t, parent), run.Failed, 1)
	canceled := ends(t, store.Bus, requestOf(t, parent), run.Canceled, 1)
	s.isDone(t, parent.ID, canceled)
	wantChildren(t, store.Bus, child.ID, succeeded)
	wantChildren(t, store.Bus, others["Fails"].ID, failed)
	wantChildren(t, store.Bus, others["Stops"].ID, failed, canceled)
	wantChildren(t, store.Bus, others["Last"].ID, succeeded, failed, canceled)
}

// One service is killed, or paused, between two of its writes, and stays so for longer than the server knows the ids of
// messages. Another one finishes, and there is one run, also where the paused one goes on later.
func TestPausedAndKilledServices(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"intended", "stored"} {
		for _, way := range []string{"killed", "paused"} {
			t.Run(way+" when "+at, func(t *testing.T) {
				t.Parallel()
				store := bustest.New(t, bus.Topology{IdempotencyWindow: 100 * time.Millisecond})
				parent, child := family(t, store.Bus, "then: [{task: Child}, {task: Child, parameters: {State: '\"second\"'}}]")
				there, goOn := make(chan struct{}), make(chan struct{})
				var armed atomic.Bool
				armed.Store(true)
				first := start(t, store, "first", func(ctx context.Context, step string) {
					if step != at || !armed.CompareAndSwap(true, false) {
						return
					}
					close(there)
					if way == "killed" {
						<-ctx.Done()
						return
					}
					<-goOn
				})
				n := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
				<-there
				if way == "killed" {
					first.kill()
				}
				forgotten := time.NewTimer(500 * time.Millisecond)
				<-forgotten.C
				if at == "stored" { // what has become of the task since does not count
					apply(t, store.Bus, child.ID, "Child", "enabled: false")
				}
				begun := time.Now()
				second := start(t, store, "second", nil)
				for _, came := range second.isDone(t, parent.ID, n) {
					if came.Child == 0 {
						t.Errorf("came of it: %+v", came)
					}
				}
				if waited := time.Since(begun); waited < patience { // the first might still be at it
					t.Errorf("another one finishes after %s", waited)
				}
				if at == "stored" {
					apply(t, store.Bus, child.ID, "Child", "")
					for _, s := range []*service{first, second} {
						if way == "paused" || s == second {
							bustest.AwaitView(t, s.tasks, "the task is enabled again", func() bool { t, _ := s.tasks.Get(child.ID); return t.Enabled })
						}
					}
				}
				wantChildren(t, store.Bus, child.ID, n, n)
				if way == "paused" {
					close(goOn)
					next := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
					first.isDone(t, parent.ID, next)
					wantChildren(t, store.Bus, child.ID, n, n, next, next)
				}
				var states []string
				for _, r := range started(t, store.Bus, child.ID)[:2] {
					states = append(states, strings.Join(r.Parameters["State"].Values, ""))
				}
				slices.Sort(states)
				if !slices.Equal(states, []string{"", "second"}) {
					t.Errorf("the runs have %q", states)
				}
			})
		}
	}
}

// Three services at once, of which two come and go, and a store that is away for a while, start one run for each end.
func TestServicesAtOnce(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	parent, child := family(t, store.Bus, "then: [{task: Child}]")
	s := start(t, store, "stays", nil)
	var all []run.Number
	for round := range 6 {
		var others []*service
		for i := range 2 {
			others = append(others, start(t, store, fmt.Sprint(round, i), nil))
		}
		for range 10 {
			all = append(all, ends(t, store.Bus, requestOf(t, parent), run.Success, 1))
		}
		if round == 3 {
			store.Restart()
			proctest.Until(t, func() error { return store.Ready(t.Context()) })
		}
		for _, other := range others {
			other.kill()
		}
	}
	s.isDone(t, parent.ID, all[len(all)-1])
	wantChildren(t, store.Bus, child.ID, all...)
}

// Ends while no service is there start their runs later, and those before the task had its then, or of runs that were
// accepted without it, start none: the definition that a run was accepted with decides.
func TestDefinitionDecides(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	child := apply(t, store.Bus, task.NewID(), "Child", "")
	id := task.NewID()
	without := apply(t, store.Bus, id, "Parent", "")
	ends(t, store.Bus, requestOf(t, without), run.Success, 1)
	open := bustest.Submit(t, store.Bus, requestOf(t, without))
	with := apply(t, store.Bus, id, "Parent", "then: [{task: Child}]")
	finish(t, store.Bus, requestOf(t, without), open, run.Success, 1)
	later := bustest.Submit(t, store.Bus, requestOf(t, with))
	first := ends(t, store.Bus, requestOf(t, with), run.Success, 1)
	awaitEvent(t, store.Bus, first)
	s := start(t, store, "one", nil)
	s.isDone(t, id, first)
	apply(t, store.Bus, id, "Parent", "")
	finish(t, store.Bus, requestOf(t, with), later, run.Success, 1)
	s.isDone(t, id, later)
	wantChildren(t, store.Bus, child.ID, later, first)
}

// What is not started says why.
func TestWhatIsNotStartedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		then, child, says string
		hold, open        bool
		link              int
	}{
		"when":       {then: "when: number(run.Parameters.State) > 1", says: "when cannot be computed: number, at character 1 of the expression: the text is not a number"},
		"no truth":   {then: "when: '[run.StartedOn][0]'", says: "when gives false"},
		"parameters": {then: "parameters: {Rows: number(run.Message)}", says: "parameters.Rows cannot be computed: number"},
		"a list":     {then: "parameters: {Rows: run.Parameters.Ids}", says: "parameters: Rows takes one value, not an array"},
		"disabled":   {child: "enabled: false", says: "the task is disabled"},
		"held":       {child: "disable_after_failures: 3", says: "the task is held, because its last 3 runs failed", hold: true},
		"reject":     {child: "overlap: reject", says: "has not ended (overlap: reject)", open: true},
		"full":       {child: "max_queued: 1", says: "as many runs of the task wait as may (max_queued)", open: true},
		"too long":   {link: task.MaxChain - 1, says: "the chain has 20 runs, as many as it may"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			child := apply(t, store.Bus, task.NewID(), "Child", one.child)
			line := "then: [{task: Child}]"
			if one.then != "" {
				line = "then: [{task: Child, " + one.then + "}]"
			}
			parent := apply(t, store.Bus, task.NewID(), "Parent", line)
			if one.hold {
				health := run.Health{Counted: 7, Failed: []run.Number{3, 5, 6}, Held: &run.Hold{On: time.Now().UTC(), TaskName: "Child", Failures: 3, Run: 6, Why: "as the test wants", Told: true}}
				data, err := health.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), "$KV.control.health."+string(child.ID), data); err != nil {
					t.Fatal(err)
				}
			}
			had := 0
			if one.open {
				open := requestOf(t, child)
				open.Overlap = child.Overlap
				bustest.Submit(t, store.Bus, open)
				had = 1
			}
			s := start(t, store, "one", nil)
			request := requestOf(t, parent)
			request.Link = one.link
			n := ends(t, store.Bus, request, run.Success, 1)
			if one.says == "when gives false" { // which is as it is wanted, and not kept
				next := requestOf(t, apply(t, store.Bus, parent.ID, "Parent", "then: [{task: Child}]"))
				s.isDone(t, parent.ID, ends(t, store.Bus, next, run.Success, 1))
				wantChildren(t, store.Bus, child.ID, n+1)
				return
			}
			came := s.isDone(t, parent.ID, n)
			if len(came) != 1 || !strings.Contains(came[0].Why, one.says) || came[0].Child != 0 {
				t.Errorf("%+v", came)
			}
			if got := started(t, store.Bus, child.ID); len(got) != had {
				t.Errorf("%d runs: %+v", len(got), got)
			}
		})
	}
}

// Events that were copied again, in another order, and those of a restored store are looked at again. What was started
// is not started again, and what was not is.
func TestEventsThatCameAnew(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(run.Ends) run.Ends{
		"another run at the place": func(e run.Ends) run.Ends { e.Run += 100; return e },
		"behind the last one":      func(e run.Ends) run.Ends { e.Event += 100; return e },
		"another store":            func(e run.Ends) run.Ends { e.Store = "other"; return e },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{IdempotencyWindow: 100 * time.Millisecond})
			parent, child := family(t, store.Bus, "then: [{task: Child}]")
			s := start(t, store, "one", nil)
			first := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
			s.isDone(t, parent.ID, first)
			s.kill()
			lost := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
			awaitEvent(t, store.Bus, lost)
			last, err := s.chains.Events(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			table := wrong(run.Ends{Store: store.StoreID(), Event: last, Run: lost})
			data, err := table.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), "$KV.control.chain."+string(parent.ID), data); err != nil {
				t.Fatal(err)
			}
			forgotten := time.NewTimer(500 * time.Millisecond)
			<-forgotten.C
			again := start(t, store, "two", nil)
			next := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
			again.isDone(t, parent.ID, next)
			wantChildren(t, store.Bus, child.ID, first, lost, next)
		})
	}
}

// Two services on two servers of a cluster start one run for each end, also while its streams get other leaders.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Replicas: 3})
	store := cluster.Open(t, "test", 0)
	parent, child := family(t, store, "then: [{task: Child}]")
	first := begin(t, cluster.Open(t, "first", 1), nil)
	begin(t, cluster.Open(t, "second", 2), nil)
	var all []run.Number
	for _, stream := range []string{"", "KV_control", "RUNS", "EVENTS"} {
		if stream != "" {
			cluster.StepDown(t, stream)
		}
		for range 5 {
			var n run.Number
			proctest.Until(t, func() error { // while there is no leader
				accepted, err := store.Runs.Submit(t.Context(), requestOf(t, parent), "")
				n = accepted.Number
				return err
			})
			finish(t, store, requestOf(t, parent), n, run.Success, 1)
			all = append(all, n)
		}
	}
	first.isDone(t, parent.ID, all[len(all)-1])
	wantChildren(t, store, child.ID, all...)
}

// An event that comes a second time, long after the end, starts nothing. Events that were removed do not keep those that
// follow from starting runs.
func TestSecondAndRemovedEvents(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{IdempotencyWindow: 100 * time.Millisecond})
	parent, child := family(t, store.Bus, "then: [{task: Child}]")
	first := start(t, store, "first", nil)
	n := bustest.Submit(t, store.Bus, requestOf(t, parent))
	finishOn(t, store.Bus, requestOf(t, parent), n, run.Success, 1, time.Now().Add(-time.Minute))
	first.isDone(t, parent.ID, n)
	first.kill()
	js := bustest.JetStream(t, store.Broker.URL())
	data, err := run.Ends{Store: store.StoreID(), Event: first.chains.Of(parent.ID).Event - 1}.Encode() // so that it comes again
	if err == nil {
		_, err = js.Publish(t.Context(), "$KV.control.chain."+string(parent.ID), data)
	}
	if err != nil {
		t.Fatal(err)
	}
	forgotten := time.NewTimer(500 * time.Millisecond)
	<-forgotten.C
	second := start(t, store, "second", nil)
	second.isDone(t, parent.ID, n)
	wantChildren(t, store.Bus, child.ID, n)
	second.kill()
	events, err := js.Stream(t.Context(), "EVENTS")
	if err == nil {
		err = events.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	third := start(t, store, "third", nil)
	next := ends(t, store.Bus, requestOf(t, parent), run.Success, 1)
	third.isDone(t, parent.ID, next)
	wantChildren(t, store.Bus, child.ID, n, next)
}
