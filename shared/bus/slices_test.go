package bus_test

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// stream is a stream of a store, nil if it is not there.
func stream(t testing.TB, store *bus.Bus, name string) jetstream.Stream {
	t.Helper()
	found, err := store.Jet().JS.Stream(t.Context(), name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func streams(t testing.TB, store *bus.Bus, name string) bool {
	t.Helper()
	return stream(t, store, name) != nil
}

func isSealed(t testing.TB, store *bus.Bus, name string) bool {
	t.Helper()
	found := stream(t, store, name)
	if found == nil {
		return false
	}
	_, sealed := jet.Sealed(found.CachedInfo().Config)
	return sealed
}

// end claims a run and ends it.
func end(t testing.TB, store *bus.Bus, request run.Request, n run.Number) {
	t.Helper()
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatalf("run %s: %v", n, err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatalf("run %s: %v", n, err)
	}
}

// sliced is a store with small slices, whose writes count as on disk at once.
func sliced(t testing.TB, topology bus.Topology) *bustest.Store {
	t.Helper()
	store := bustest.New(t, topology)
	store.Jet().Settled = 0
	return store
}

// look has a keeper look until it has done what is due.
func look(t testing.TB, keeper *bus.SliceKeeper, what string, done func() bool) {
	t.Helper()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		if !done() {
			return fmt.Errorf("%s: not yet; the keeper waits for %s", what, keeper.Waits())
		}
		return nil
	})
}

// A run's results are in the slice of its number. A full slice whose runs have ended is sealed, when the events
// have them all: its claims go, and nothing else. It answers as before, and goes whole after the retention.
func TestSlicesAreMadeSealedAndRemoved(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	keeper := store.Unheld.Slices()
	for n := run.Number(1); n <= 70; n++ {
		if got := bustest.Submit(t, store.Bus, request); got != n {
			t.Fatalf("run %s is %s", n, got)
		}
		if n != 30 {
			end(t, store.Bus, request, n)
		}
	}
	for k, wanted := range []int{19, 20, 20, 11} {
		info := stream(t, store.Bus, fmt.Sprintf("KV_runs_%d", k)).CachedInfo()
		if k == 1 {
			wanted-- // run 30
		}
		if info.State.Msgs != uint64(2*wanted) || info.Config.MaxAge != 0 {
			t.Errorf("slice %d has %d messages of %d runs, and is %+v", k, info.State.Msgs, wanted, info.Config)
		}
	}
	store.Jet().Settled = time.Hour
	if err := keeper.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if isSealed(t, store.Bus, "KV_runs_0") {
		t.Error("a slice is sealed to which something was just written")
	}
	store.Jet().Settled = 0
	// As many final documents as requests do not tell that each run has its own.
	foreign := nats.NewMsg("$KV.runs_1.final." + string(bustest.Applied(t, store.Bus).Task) + ".30")
	foreign.Header.Set("ce-subject", "1000")
	if _, err := store.Jet().JS.PublishMsg(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	look(t, keeper, "the slices without an open run are sealed", func() bool {
		return isSealed(t, store.Bus, "KV_runs_0") && isSealed(t, store.Bus, "KV_runs_2")
	})
	if isSealed(t, store.Bus, "KV_runs_1") || isSealed(t, store.Bus, "KV_runs_3") {
		t.Error("a slice with an open run, or with room, is sealed")
	}
	look(t, keeper, "they are bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") && isBundled(t, store.Bus, "KV_runs_2") })
	if info := stream(t, store.Bus, "KV_runs_0").CachedInfo(); info.State.Msgs != 2 {
		t.Errorf("a bundled slice of 19 runs of a task has %d messages, besides a bundle and an index", info.State.Msgs-2)
	}
	if info := stream(t, store.Bus, "KV_runs_1").CachedInfo(); info.State.Msgs != 39 {
		t.Errorf("the claims of an open slice were removed: it has %d messages", info.State.Msgs)
	}
	proctest.Eventually(t, "the events copy the open slices only", func() bool {
		if err := keeper.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		sources := stream(t, store.Bus, "EVENTS").CachedInfo().Config.Sources
		return len(sources) == 2 && sources[0].Name == "KV_runs_1" && sources[1].Name == "KV_runs_3"
	})
	for n := run.Number(1); n <= 70; n++ {
		status, err := store.Runs.Lookup(t.Context(), request.Task, n)
		if err != nil || status.Final != (n != 30) {
			t.Errorf("run %s: final %t, %v", n, status.Final, err)
		}
	}
	end(t, store.Bus, request, 30)
	look(t, keeper, "the last one is sealed", func() bool { return isSealed(t, store.Bus, "KV_runs_1") })
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		if err != nil {
			return err
		}
		for n := run.Number(1); n <= 70; n++ {
			if counts[n] != 1 {
				return fmt.Errorf("run %s has %d events", n, counts[n])
			}
		}
		return nil
	})

	if err := store.Init(t.Context(), bus.Topology{Retention: time.Second, Embedded: true}); err != nil {
		t.Fatal(err)
	}
	fresh := store.Open("fresh")
	look(t, fresh.Unheld.Slices(), "they are removed", func() bool {
		return !streams(t, store.Bus, "KV_runs_0") && !streams(t, store.Bus, "KV_runs_1") && !streams(t, store.Bus, "KV_runs_2")
	})
	for _, process := range []*bus.Bus{store.Bus, fresh} {
		proctest.Until(t, func() error { // the bundle that was read last counts for a second
			if _, err := process.Runs.Lookup(t.Context(), request.Task, 5); !errors.Is(err, run.ErrRunGone) {
				return fmt.Errorf("a run of a removed slice: %w", cmp.Or(err, errors.New("it is found")))
			}
			return nil
		})
		if _, err := process.Runs.Lookup(t.Context(), request.Task, 71); !errors.Is(err, run.ErrNoRun) {
			t.Errorf("a run that there never was: %v", err)
		}
	}
	look(t, fresh.Unheld.Slices(), "what is past its retention goes from the slice with room", func() bool {
		info := stream(t, store.Bus, "KV_runs_3").CachedInfo()
		return info.State.Msgs == 0 && info.State.LastSeq == 22
	})
	n := bustest.Submit(t, fresh, request)
	end(t, fresh, request, n)
	if n != 71 || !streams(t, store.Bus, "KV_runs_3") {
		t.Errorf("run %s, and its slice is there: %t", n, streams(t, store.Bus, "KV_runs_3"))
	}
}

// A slice stays open until the events have copied all of its final documents.
func TestASliceIsSealedBehindItsEvents(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 10})
	request := bustest.Applied(t, store.Bus)
	events := stream(t, store.Bus, "EVENTS").CachedInfo().Config
	bound := func(messages int64) {
		t.Helper()
		events.MaxMsgs, events.Discard = messages, jetstream.DiscardNew
		if _, err := store.Jet().JS.UpdateStream(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	bound(4)
	for range 10 {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	proctest.Until(t, func() error {
		if n := stream(t, store.Bus, "EVENTS").CachedInfo().State.Msgs; n != 4 {
			return fmt.Errorf("%d events are copied", n)
		}
		return nil
	})
	for range 3 {
		if err := store.Unheld.Slices().Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if isSealed(t, store.Bus, "KV_runs_0") {
		t.Error("a slice is sealed of which the events lack final documents")
	}
	bound(-1)
	look(t, store.Unheld.Slices(), "it is sealed", func() bool { return isSealed(t, store.Bus, "KV_runs_0") })
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		if err == nil && len(counts) != 10 {
			err = fmt.Errorf("%d runs have events", len(counts))
		}
		return err
	})
}

// Several processes that find a slice missing at once make it once, and each run goes through all of them.
func TestSlicesAreMadeByManyAtOnce(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Slice: 10})
	request := bustest.Applied(t, store.Bus)
	var processes []*bus.Bus
	for range 4 {
		processes = append(processes, store.Open("process"))
	}
	var all sync.WaitGroup
	const runs = 40
	for _, process := range processes {
		all.Go(func() {
			for range runs {
				accepted, err := process.Runs.Submit(t.Context(), request, "")
				// The others have used up what was made, or a server that is busy has not answered.
				for errors.Is(err, run.ErrUnavailable) || errors.Is(err, run.ErrMaybeStored) {
					accepted, err = process.Runs.Submit(t.Context(), request, "")
				}
				if err != nil {
					t.Error(err)
					return
				}
				claim, err := process.Work.Claim(t.Context(), request.Task, accepted.Number, run.Claim{Owner: "me", Executions: 1})
				if err != nil {
					t.Errorf("run %s: %v", accepted.Number, err)
					return
				}
				doc := run.QueuedDocument(request, accepted.Number)
				doc.End(run.Success, "", time.Now())
				if err := claim.Finish(t.Context(), doc, nil); err != nil {
					t.Errorf("run %s: %v", accepted.Number, err)
				}
			}
		})
	}
	all.Wait()
	proctest.Until(t, func() error {
		if err := store.Unheld.Slices().Look(t.Context()); err != nil {
			return err
		}
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		if err == nil && len(counts) != len(processes)*runs {
			err = fmt.Errorf("%d runs have events", len(counts))
		}
		for n, count := range counts {
			if count != 1 {
				err = fmt.Errorf("run %s has %d events", n, count)
			}
		}
		return err
	})
	last := run.Number(len(processes) * runs)
	for k := run.Number(0); k <= last/10+1; k++ {
		if !streams(t, store.Bus, fmt.Sprintf("KV_runs_%d", k)) {
			t.Errorf("there is no slice %d", k)
		}
	}
}

// The runs of a slice that somebody has removed are gone, for who had used it and for others. Nothing else
// stops, and the slice stays removed.
func TestARemovedSliceIsGone(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 25; n++ {
		bustest.Submit(t, store.Bus, request)
	}
	for _, n := range []run.Number{5, 21} {
		end(t, store.Bus, request, n)
	}
	claim, err := store.Work.Claim(t.Context(), request.Task, 6, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Jet().JS.DeleteStream(t.Context(), "KV_runs_0"); err != nil {
		t.Fatal(err)
	}
	if err := claim.Renew(t.Context(), run.Claim{Owner: "me", Executions: 1}); !errors.Is(err, bus.ErrLost) {
		t.Errorf("who holds a run of it: %v", err)
	}
	fresh, log := logging(t, store.Broker.URL(), "")
	for name, process := range map[string]*bus.Bus{"had used it": store.Bus, "another": fresh} {
		for n := run.Number(5); n <= 7; n++ { // one that has ended, one that was under way, one that waits
			if _, err := process.Runs.Lookup(t.Context(), request.Task, n); !errors.Is(err, run.ErrRunGone) {
				t.Errorf("%s: run %s: %v", name, n, err)
			}
			if _, err := process.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1}); !errors.Is(err, bus.ErrClaimed) {
				t.Errorf("%s: run %s is claimed: %v", name, n, err)
			}
			if ended, err := process.Work.Ended(t.Context(), request.Task, n); err != nil || !ended {
				t.Errorf("%s: run %s is not over: %v", name, n, err)
			}
			doc := run.QueuedDocument(request, n)
			if err := process.Unheld.EndUnclaimed(t.Context(), request.Task, n, doc); !errors.Is(err, bus.ErrClaimed) {
				t.Errorf("%s: run %s is ended: %v", name, n, err)
			}
		}
		if status, err := process.Runs.Lookup(t.Context(), request.Task, 21); err != nil || !status.Final {
			t.Errorf("%s: a run of another slice: %v", name, err)
		}
		if _, err := process.Runs.Lookup(t.Context(), bustest.Definition(t, "Other", 1).ID, 5); !errors.Is(err, run.ErrNoRun) {
			t.Errorf("%s: another task's run: %v", name, err)
		}
		if statuses, err := process.Runs.List(t.Context(), 100); err != nil || len(statuses) != 6 {
			t.Errorf("%s: %d runs are listed, %v", name, len(statuses), err)
		}
	}
	if log.count("an accepted run is not executed") != 3 {
		t.Errorf("the log: %s", log.text.String())
	}
	end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	if err := fresh.Unheld.Slices().Look(t.Context()); err != nil {
		t.Error(err)
	}

	// Of the slice that takes new runs the numbers are passed over.
	if err := store.Jet().JS.DeleteStream(t.Context(), "KV_runs_1"); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Unheld.Slices().Look(t.Context()); err != nil {
		t.Error(err)
	}
	n := bustest.Submit(t, fresh, request)
	if end(t, fresh, request, n); n < 40 {
		t.Errorf("the next run is %s", n)
	}
	if err := fresh.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if streams(t, store.Bus, "KV_runs_0") || streams(t, store.Bus, "KV_runs_1") {
		t.Error("a slice that was removed is there again")
	}
}

// Who may not make slices accepts runs while there is room, and says then which right is lacking.
func TestWithoutTheRightToMakeSlices(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("ingress", "$JS.API.STREAM.CREATE.>"), without("runner", "$JS.API.STREAM.CREATE.>"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{Slice: 10}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	ingress, log := as(t, broker, "ingress")
	for n := run.Number(1); n <= 19; n++ {
		if got := bustest.Submit(t, ingress, request); got != n {
			t.Fatalf("run %s is %s", n, got)
		}
		if n == 18 {
			ready(t, ingress)
		}
	}
	const lacking = `lacks a right: publish to "$JS.API.STREAM.CREATE.KV_runs_2"`
	if _, err := ingress.Runs.Submit(t.Context(), request, ""); !errors.Is(err, run.ErrUnavailable) || !strings.Contains(err.Error(), lacking) {
		t.Errorf("without room: %v", err)
	}
	unready(t, ingress, lacking)
	if log.count("the next slice of runs cannot be made") == 0 || log.count("STREAM.CREATE.KV_runs_2") == 0 {
		t.Errorf("the log: %s", log.text.String())
	}
	// A run whose slice is not there waits, whoever accepted it.
	publish := bustest.JetStream(t, strings.Replace(broker.ClientURL(), "//", "//admin:admin@", 1))
	body, err := request.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Publish(t.Context(), "run.request."+string(request.Task), body); err != nil {
		t.Fatal(err)
	}
	runner, _ := as(t, broker, "runner")
	if _, err := runner.Work.Claim(t.Context(), request.Task, 20, run.Claim{Owner: "me"}); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("it is claimed: %v", err)
	}
	if status, err := ingress.Runs.Lookup(t.Context(), request.Task, 20); err != nil || status.Final {
		t.Errorf("its status: %v", err)
	}
	if queued, err := ingress.Runs.Queued(t.Context(), 19, 10, request.Task); err != nil || len(queued) != 1 {
		t.Errorf("%d runs wait, %v", len(queued), err)
	}

	grant(t, broker, without("ingress", "nothing"), without("runner", "$JS.API.STREAM.CREATE.>"))
	proctest.Until(t, func() error {
		_, err := ingress.Runs.Submit(t.Context(), request, "")
		return err
	})
	ready(t, ingress)
	end(t, runner, request, 20)
}

// While NATS does not answer, nobody can tell whether a slice is lacking: the log does not say so.
func TestSlicesWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	_, address, _ := strings.Cut(store.Broker.URL(), "//")
	wire := bustest.NewWire(t, "127.0.0.1:0", address)
	process, log := logging(t, "nats://"+wire.Address(), "")
	wire.Silence(true)
	if err := process.Jet().Ahead(t.Context()); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("it does not answer: %v", err)
	}
	wire.Cut(true)
	wire.Silence(false)
	proctest.Eventually(t, "the connection is lost", func() bool { return !process.Jet().NC.IsConnected() })
	if err := process.Jet().Ahead(t.Context()); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("it is out of reach: %v", err)
	}
	if log.count(`"level":"error"`) > 0 {
		t.Errorf("the log: %s", log.text.String())
	}
}

// The events copy only slices that have final documents, so that the server looks for the last event of none in
// vain; where there is no such slice, the last one that is sealed.
func TestEventsCopyWhatHasFinalDocuments(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 10})
	request := bustest.Applied(t, store.Bus)
	keeper := store.Unheld.Slices()
	copies := func(name string) func() bool {
		return func() bool {
			sources := stream(t, store.Bus, "EVENTS").CachedInfo().Config.Sources
			return len(sources) == 1 && sources[0].Name == name
		}
	}
	look(t, keeper, "the first slice, of the two that there are", copies("KV_runs_0"))
	for range 9 {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	look(t, keeper, "the slice is sealed", func() bool { return isSealed(t, store.Bus, "KV_runs_0") })
	look(t, keeper, "it is the only one still", copies("KV_runs_0"))
	claim, err := store.Work.Claim(t.Context(), request.Task, bustest.Submit(t, store.Bus, request), run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Look(t.Context()); err != nil || !copies("KV_runs_0")() {
		t.Errorf("a slice that has a claim alone is copied, %v", err)
	}
	doc := run.QueuedDocument(request, 10)
	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	look(t, keeper, "the next slice alone", copies("KV_runs_1"))
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		for n := run.Number(1); n <= 10; n++ {
			if counts[n] != 1 {
				err = fmt.Errorf("run %s has %d events: %v", n, counts[n], err)
			}
		}
		return err
	})
	if last := stream(t, store.Bus, "EVENTS").CachedInfo().State.LastSeq; last != 10 {
		t.Errorf("%d events were made of 10 runs", last)
	}
}

// Events that are past their retention do not come again when the server starts and has no copy of a slice left:
// neither those of a full slice with an open run, nor those of the slice that takes runs.
func TestEventsThatAreGoneStayGone(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	js := store.Jet().JS
	config := stream(t, store.Bus, "EVENTS").CachedInfo().Config
	config.MaxAge, config.Duplicates = 2*time.Second, time.Second
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for n := run.Number(1); n <= 25; n++ {
		bustest.Submit(t, store.Bus, request)
		if n != 7 {
			end(t, store.Bus, request, n)
		}
	}
	keeper := store.Unheld.Slices()
	look(t, keeper, "the events are gone, and where to begin is behind them", func() bool {
		info := stream(t, store.Bus, "EVENTS").CachedInfo()
		sources := info.Config.Sources
		return info.State.Msgs == 0 && info.State.LastSeq == 24 && len(sources) == 2 &&
			sources[0].OptStartSeq == 36+1 && sources[1].OptStartSeq == 12+1
	})
	store.Restart()
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	end(t, store.Bus, request, 7)
	end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	proctest.Until(t, func() error {
		if last := stream(t, store.Bus, "EVENTS").CachedInfo().State.LastSeq; last < 26 {
			return fmt.Errorf("the last event is %d", last)
		}
		return nil
	})
	copied, err := store.Jet().Copied(t.Context())
	if last := stream(t, store.Bus, "EVENTS").CachedInfo().State.LastSeq; err != nil || last != 26 || copied.Until("KV_runs_0") != 38 || copied.Until("KV_runs_1") != 14 {
		t.Errorf("%d events were made of 26 runs, of %v: %v", last, copied, err)
	}
}

// Whoever is killed while a slice is made, sealed or removed leaves something that the next one goes on with.
func TestKilledWhileASliceIsMadeOrSealed(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	js := store.Jet().JS
	for range 25 {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	// Made, and the events do not know of it.
	config := stream(t, store.Bus, "KV_runs_1").CachedInfo().Config
	config.Name, config.Subjects = "KV_runs_2", []string{"$KV.runs_2.>"}
	config.RePublish.Source = "$KV.runs_2.final.*.*"
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	// The claims are gone, and the slice does not say that it is sealed.
	half := stream(t, store.Bus, "KV_runs_0")
	if err := half.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.runs_0.claim.>")); err != nil {
		t.Fatal(err)
	}
	store.Restart()
	next := store.Open("next")
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	next.Jet().Settled = 0
	look(t, next.Unheld.Slices(), "the slice is sealed, and the other one noted", func() bool {
		config := stream(t, store.Bus, "EVENTS").CachedInfo().Config
		return isSealed(t, store.Bus, "KV_runs_0") && len(config.Sources) == 1 && jet.MadeUntil(config) == 60
	})

	// It is sealed, and the events still copy it.
	for range 20 {
		end(t, next, request, bustest.Submit(t, next, request))
	}
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		if err == nil && len(counts) < 45 {
			err = fmt.Errorf("there are events of %d runs", len(counts))
		}
		return errors.Join(err, store.KeepSources(t.Context()))
	})
	config = stream(t, store.Bus, "KV_runs_1").CachedInfo().Config
	config.Metadata = map[string]string{jet.SealedKey: time.Now().UTC().Format(time.RFC3339)}
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	look(t, store.Open("another").Unheld.Slices(), "the events copy it no more", func() bool {
		sources := stream(t, store.Bus, "EVENTS").CachedInfo().Config.Sources
		return len(sources) == 1 && sources[0].Name == "KV_runs_2"
	})
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		for n := run.Number(1); n <= 45; n++ {
			if counts[n] != 1 {
				err = fmt.Errorf("run %s has %d events", n, counts[n])
			}
		}
		return err
	})
	for n := run.Number(1); n <= 45; n++ {
		if status, err := next.Runs.Lookup(t.Context(), request.Task, n); err != nil || !status.Final {
			t.Errorf("run %s: %v", n, err)
		}
	}
}

// Who accepts runs makes the slice of the next one where nobody has, and leaves the spare one behind it to who keeps
// the slices: only that needs the right to make streams.
func TestSpareSliceIsLeftToItsKeeper(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Slice: 4})
	request := bustest.Applied(t, store.Bus)
	for bustest.Submit(t, store.Bus, request) < 8 {
	}
	there := func(stream string) bool {
		_, err := store.Jet().JS.Stream(t.Context(), stream)
		return err == nil
	}
	if !there("KV_runs_2") || there("KV_runs_3") {
		t.Errorf("the slice of run 8: %t, the one behind it: %t", there("KV_runs_2"), there("KV_runs_3"))
	}
	if err := store.Unheld.Slices().Look(t.Context()); err != nil || !there("KV_runs_3") {
		t.Errorf("the keeper has not made the spare one: %v", err)
	}
}

// A slice whose runs have ended counts as such while requests expire, and while others come.
func TestEndedRunsAreCountedWhileRequestsComeAndGo(t *testing.T) {
	t.Parallel()
	const width, all = 100, 250
	store := sliced(t, bus.Topology{Slice: width})
	request := bustest.Applied(t, store.Bus)
	for range all {
		bustest.Submit(t, store.Bus, request)
	}
	requests, keeper := stream(t, store.Bus, jet.RunsStream), store.Unheld.Slices()
	expire := func(below uint64) {
		proctest.Until(t, func() error { return requests.Purge(t.Context(), jetstream.WithPurgeSequence(below)) })
	}
	expire(width - 1)
	end(t, store.Bus, request, width-1)
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for below := uint64(width + 3); below < all; below += 4 { // more than have ended expire at once
			expire(below)
			proctest.Until(t, func() error { _, err := store.Runs.Submit(t.Context(), request, ""); return err })
		}
	}()
	for ended := false; !ended; {
		select {
		case <-changed:
			ended = true
		default:
		}
		proctest.Until(t, func() error {
			may, err := keeper.MayHaveEnded(t.Context(), 1)
			if err == nil && !may {
				t.Error("the only run of the slice has ended, and the count says that it has not")
			}
			return err
		})
	}
}
