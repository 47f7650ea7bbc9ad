package bus_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// Each run that ends has an event, and one only, although the leaders of the results and of the events
// change again and again, and those of servers that stop and come back, while slices are made and sealed by
// two processes.
func TestEventsAreCompleteAcrossLeaderChanges(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Slice: 60})
	request := bustest.Applied(t, cluster.Bus)
	ctx := t.Context()
	stop := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	finished := map[run.Number]bool{}
	for i := range 4 {
		process := cluster.Open(t, "process", i%3)
		all.Go(func() {
			for wait.For(ctx, 5*time.Millisecond) { // so that the machine does other things, too
				select {
				case <-stop:
					return
				default:
				}
				if n, ok := oneRun(ctx, process, request); ok {
					mu.Lock()
					finished[n] = true
					mu.Unlock()
				}
			}
		})
	}
	for i := range 2 {
		process := cluster.Open(t, "keeper", i)
		process.Jet().Settled = 0
		all.Go(func() {
			for keeper := process.Unheld.Slices(); wait.For(ctx, 50*time.Millisecond); {
				select {
				case <-stop:
					return
				default:
				}
				_ = keeper.Look(ctx) // while there is no leader it is done later
			}
		})
	}
	for i := range 6 {
		var newest run.Number
		proctest.Until(t, func() (err error) { // RUNS may have no leader yet
			newest, err = cluster.Jet().Next(ctx)
			return err
		})
		for _, stream := range []string{"EVENTS", cluster.Jet().Layout.SliceOf(newest).StreamName()} {
			mu.Lock()
			before := len(finished)
			mu.Unlock()
			cluster.StepDown(t, stream)
			proctest.Until(t, func() error { // runs end again under the new leader
				mu.Lock()
				defer mu.Unlock()
				if len(finished) < before+20 {
					return run.ErrUnavailable
				}
				return nil
			})
		}
		if i%2 == 1 {
			cluster.Restart(t, cluster.Leader(t, "EVENTS"))
		}
	}
	close(stop)
	all.Wait()

	js := bustest.JetStream(t, cluster.URLs)
	sealed := 0
	proctest.Until(t, func() error { // the sourcing of a new leader takes a while to begin
		if err := cluster.KeepSources(ctx); err != nil { // the keepers are over
			return err
		}
		results := uint64(0)
		sealed = 0
		list := js.ListStreams(ctx, jetstream.WithStreamListSubject("$KV.>"))
		for info := range list.Info() {
			if _, isSlice := cluster.Jet().Layout.Named(info.Config.Name); !isSlice {
				continue
			}
			n, err := subjects(ctx, js, info.Config.Name, "$KV.*.final.>")
			if err != nil {
				return err
			}
			results += n
			if _, ok := jet.Sealed(info.Config); ok {
				sealed++
			}
		}
		if err := list.Err(); err != nil {
			return err
		}
		events, err := subjects(ctx, js, "EVENTS", ">")
		if err == nil && events < results {
			err = run.ErrUnavailable
		}
		return err
	})
	var events map[run.Number]int
	proctest.Until(t, func() (err error) {
		events, err = bustest.EventCounts(ctx, cluster.Bus)
		return err
	})
	for n := range finished {
		if events[n] == 0 {
			t.Errorf("run %s has no event", n)
		}
	}
	doubled := map[jet.Slice]int{}
	for n, count := range events {
		if count > 1 {
			doubled[cluster.Jet().Layout.SliceOf(n)]++
		}
	}
	// A leader that changes in the very moment when it is given a source may copy what that has twice.
	if len(doubled) > 1 {
		t.Errorf("there are runs with several events: %v", doubled)
	}
	if sealed == 0 {
		t.Error("no slice was sealed")
	}
	t.Logf("%d runs ended, %d slices were sealed", len(finished), sealed)
}

// A slice becomes a source of the events behind the first moments of a new leader: nats-server may begin with it twice
// there, and copy what it has a second time.
func TestSourceOfANewLeader(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	js := bustest.JetStream(t, cluster.URLs)
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	config := events.CachedInfo().Config
	made := jet.MadeUntil(config)
	delete(config.Metadata, jet.MadeKey) // the events do not know of a slice
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	cluster.StepDown(t, "EVENTS")
	cluster.Leader(t, "EVENTS") // what is asked before is not answered
	proctest.Until(t, func() error { return cluster.KeepSources(t.Context()) })
	if events, err = js.Stream(t.Context(), "EVENTS"); err != nil || jet.MadeUntil(events.CachedInfo().Config) != made {
		t.Fatalf("the events are %+v (%v)", events.CachedInfo().Config, err)
	}
	reply, err := js.Conn().Request("$JS.API.STREAM.INFO.EVENTS", nil, proctest.Limit)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Now     time.Time `json:"ts"`
		Cluster struct {
			Since time.Time `json:"leader_since"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal(reply.Data, &info); err != nil {
		t.Fatal(err)
	}
	if since := info.Now.Sub(info.Cluster.Since); info.Cluster.Since.IsZero() || since < 2*time.Second {
		t.Errorf("the sources were changed %s after the leader took over at the latest", since)
	}
}

// Events outlive the results that they are copied from: an integration that was away for as long as
// results are kept still gets each once, after a restart of the server too.
func TestEventsOutliveResults(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Retention: 2 * time.Second, Slice: 2})
	ctx := t.Context()
	request := bustest.Applied(t, store.Bus)
	js := bustest.JetStream(t, store.Broker.URL())
	const runs = 3
	for range runs {
		if _, ok := oneRun(ctx, store.Bus, request); !ok {
			t.Fatal("a run did not end")
		}
	}
	look(t, store.Unheld.Slices(), "the slices are removed", func() bool {
		return !streams(t, store.Bus, "KV_runs_0") && !streams(t, store.Bus, "KV_runs_1")
	})
	store.Restart()
	proctest.Until(t, func() error {
		_, err := js.Stream(ctx, "EVENTS")
		return err
	})
	consumer, err := js.CreateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	if pending := consumer.CachedInfo().NumPending; pending != runs {
		t.Fatalf("%d events are left of %d runs", pending, runs)
	}
	ids := map[string]bool{}
	for i := range runs {
		msg, err := consumer.Next(jetstream.FetchMaxWait(proctest.Limit))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := msg.Metadata()
		ids[msg.Headers().Get("ce-id")] = true
		if err != nil || meta.Sequence.Stream != uint64(i+1) {
			t.Errorf("event %d is at %+v (%v)", i+1, meta, err)
		}
	}
	for i := range runs { // those of two slices may come in any order
		if id := string(request.Task) + "." + strconv.Itoa(i+1); !ids[id] {
			t.Errorf("there is no event %s: %v", id, ids)
		}
	}
}

// oneRun takes a run to its end, and reports whether it is known to have got there.
func oneRun(ctx context.Context, process *bus.Bus, request run.Request) (run.Number, bool) {
	accepted, err := process.Runs.Submit(ctx, request, "")
	if err != nil {
		return 0, false
	}
	claim, err := process.Work.Claim(ctx, request.Task, accepted.Number, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		return 0, false
	}
	doc := run.QueuedDocument(request, accepted.Number)
	doc.End(run.Success, "", time.Now())
	return accepted.Number, claim.Finish(ctx, doc, run.RejectedSet{}) == nil
}

// subjects counts the messages of a stream under a filter.
func subjects(ctx context.Context, js jetstream.JetStream, name, filter string) (n uint64, err error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return 0, err
	}
	for _, count := range info.State.Subjects {
		n += count
	}
	return n, nil
}
