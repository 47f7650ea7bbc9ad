package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func isBundled(t testing.TB, store *bus.Bus, name string) bool {
	t.Helper()
	found := stream(t, store, name)
	return found != nil && jet.IsBundled(found.CachedInfo().Config)
}

// polled is what a poll of a run answers that has ended.
func polled(t testing.TB, store *bus.Bus, request run.Request, n run.Number) string {
	t.Helper()
	status, err := retryUnavailable(t.Context(), func() (bus.Status, error) { return store.Runs.Lookup(t.Context(), request.Task, n) })
	if err != nil || !status.Final {
		t.Fatalf("run %s: final %t, %v", n, status.Final, err)
	}
	return string(status.Bytes)
}

// opened is another process, for which writes count as on disk at once, too.
func opened(t testing.TB, store *bustest.Store) *bus.Bus {
	t.Helper()
	process := store.Open("process")
	process.Jet().Settled = 0
	return process
}

// told is what processes tell of the runs of some tasks.
type told struct {
	polls, requests map[run.Number]string
	lists           map[string][]run.Number
	tasks           map[run.Number]task.ID
}

// tell asks a process for all that it can tell of some runs.
func tell(t testing.TB, store *bus.Bus, of map[run.Number]run.Request) told {
	t.Helper()
	all := told{map[run.Number]string{}, map[run.Number]string{}, map[string][]run.Number{}, map[run.Number]task.ID{}}
	ids := map[task.ID]bool{}
	for n, request := range of {
		ids[request.Task] = true
		all.polls[n] = polled(t, store, request, n)
		found, err := retryUnavailable(t.Context(), func() (run.Request, error) { return store.Runs.Request(t.Context(), request.Task, n) })
		all.requests[n] = fmt.Sprintf("%+v, %v", found, err)
		all.tasks[n], err = retryUnavailable(t.Context(), func() (task.ID, error) { return store.Runs.Find(t.Context(), n) })
		if err != nil {
			t.Errorf("run %s: %v", n, err)
		}
		if _, err := retryUnavailable(t.Context(), func() (bus.Status, error) { return store.Runs.Lookup(t.Context(), task.NewID(), n) }); !errors.Is(err, run.ErrNoRun) {
			t.Errorf("run %s of another task: %v", n, err)
		}
		if ended, err := retryUnavailable(t.Context(), func() (bool, error) { return store.Work.Ended(t.Context(), request.Task, n) }); !ended || err != nil {
			t.Errorf("run %s has ended: %t, %v", n, ended, err)
		}
	}
	list := func(name string, limit int, of ...task.ID) {
		listed, err := retryUnavailable(t.Context(), func() ([]bus.Status, error) { return store.Runs.List(t.Context(), limit, of...) })
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range listed {
			all.lists[name] = append(all.lists[name], status.Document.ImportID)
		}
	}
	for id := range ids {
		list(string(id), 1000, id)
		list("short "+string(id), 3, id)
	}
	list("all", 1000)
	list("some", 70)
	return all
}

// same checks that a process tells what was told before.
func (before told) same(t testing.TB, store *bus.Bus, of map[run.Number]run.Request) {
	t.Helper()
	now := tell(t, store, of)
	for n := range of {
		if now.polls[n] != before.polls[n] || now.requests[n] != before.requests[n] || now.tasks[n] != before.tasks[n] {
			t.Errorf("run %s:\n%s\n%s, task %s\nbefore:\n%s\n%s, task %s", n, now.polls[n], now.requests[n], now.tasks[n], before.polls[n], before.requests[n], before.tasks[n])
		}
	}
	for name, list := range before.lists {
		if !slices.Equal(now.lists[name], list) {
			t.Errorf("the list %s is %v, and was %v", name, now.lists[name], list)
		}
	}
}

// polling polls runs from several processes until stop, and reports any answer but the ones of before.
func polling(t testing.TB, before told, of map[run.Number]run.Request, processes ...*bus.Bus) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var polls sync.WaitGroup
	for _, process := range processes {
		polls.Go(func() {
			for ctx.Err() == nil {
				for n, request := range of {
					status, err := process.Runs.Lookup(ctx, request.Task, n)
					if ctx.Err() == nil && !errors.Is(err, run.ErrUnavailable) && (err != nil || !status.Final || string(status.Bytes) != before.polls[n]) {
						t.Errorf("run %s meanwhile: %s, %v", n, status.Bytes, err)
						return
					}
					time.Sleep(5 * time.Millisecond) // pacing, not synchronising
				}
			}
		})
	}
	return func() { cancel(); polls.Wait() }
}

// several ends runs of two tasks: all sorts.
func several(t *testing.T, store *bustest.Store, runs int) map[run.Number]run.Request {
	t.Helper()
	of := map[run.Number]run.Request{}
	often, seldom := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	js := store.Jet().JS
	for n := run.Number(1); n <= run.Number(runs); n++ {
		request, message := often, "done"
		switch n % 50 {
		case 7:
			request = seldom
		case 8:
			request.TaskName = strings.Repeat("large ", 1000)
		case 9:
			message = strings.Repeat("large ", 3000)
		}
		if got := bustest.Submit(t, store.Bus, request); got != n {
			t.Fatalf("run %s is %s", n, got)
		}
		of[n] = request
		claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
		if err != nil {
			t.Fatal(err)
		}
		var rejected run.RejectedSet
		if n%50 == 10 {
			data, err := run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{n.String()}}}}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if err := claim.StoreRejected(t.Context(), 1, data, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			rejected = rejected.With(claim.Token, 1, 1, 1)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, message, time.Now())
		if err := claim.Finish(t.Context(), doc, rejected); err != nil {
			t.Fatal(err)
		}
		if of := map[run.Number]task.ID{11: request.Task, 12: seldom.Task}[n%50]; of != "" { // another program's
			if _, err := js.Publish(t.Context(), fmt.Sprintf("$KV.runs_%d.final.%s.%s", n/store.Jet().Layout.Width, of, n), []byte("no JSON")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return of
}

// The runs of a sealed slice are put into bundles, and what those were made of goes, in the slice and in RUNS. Every
// process tells the same of them before, meanwhile and after, whether it has used the slice or not.
func TestBundledRunsAnswerAsBefore(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 70})
	of := several(t, store, 145)
	reader := opened(t, store)
	before := tell(t, reader, of)
	runner := opened(t, store)
	ended := func(when string) {
		if ended, err := runner.Work.Ended(t.Context(), of[1].Task, 1); !ended || err != nil {
			t.Errorf("%s: to a process that asks for nothing else, run 1 has ended: %t, %v", when, ended, err)
		}
	}
	ended("open")
	stop := polling(t, before, of, store.Bus, reader)
	keeper := store.Unheld.Slices()
	look(t, keeper, "they are bundled", func() bool {
		return isBundled(t, store.Bus, "KV_runs_0") && isBundled(t, store.Bus, "KV_runs_1") &&
			stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 140
	})
	stop()
	for k, wanted := range []int{2 + 2 + 6, 2 + 2 + 3} { // bundles, one index a task, large ones
		if info := stream(t, store.Bus, fmt.Sprintf("KV_runs_%d", k)).CachedInfo(); int(info.State.Msgs) != wanted {
			t.Errorf("a bundled slice has %d messages, not %d", info.State.Msgs, wanted)
		}
	}
	ended("bundled")
	for _, process := range []*bus.Bus{store.Bus, reader, runner, opened(t, store)} {
		before.same(t, process, of)
	}
	for n, request := range of {
		rejected, err := reader.Runs.RejectedRows(t.Context(), request.Task, n)
		if err != nil || (rejected.Chunks() > 0) != (n%50 == 10) {
			t.Fatalf("run %s: %v", n, err)
		}
		if other, err := reader.Runs.RejectedRows(t.Context(), task.NewID(), n); !errors.Is(err, run.ErrNoRun) {
			t.Fatalf("run %s gives another task %+v, %v", n, other, err)
		}
		if rejected.Chunks() > 0 {
			if chunk, err := rejected.Chunk(t.Context(), 1); err != nil || chunk.Rows[0].Cells[0] != n.String() {
				t.Errorf("run %s: %+v, %v", n, chunk, err)
			}
		}
	}
	store.Restart()
	proctest.Until(t, func() error { return reader.Ready(t.Context()) })
	before.same(t, reader, of)
	if n := bustest.Submit(t, store.Bus, of[1]); n != 146 {
		t.Errorf("the next run is %s", n)
	}
}

// Whoever is killed while a slice is bundled leaves something that the next one goes on with, whatever the step.
func TestKilledWhileASliceIsBundled(t *testing.T) {
	t.Parallel()
	const name = "KV_runs_0"
	for step, kill := range map[string]func(t *testing.T, store *bustest.Store, look func(what string, done func() bool)){
		"it is sealed": func(t *testing.T, store *bustest.Store, look func(string, func() bool)) {
			look("sealed", func() bool { return isSealed(t, store.Bus, name) })
		},
		"some bundles are stored": func(t *testing.T, store *bustest.Store, look func(string, func() bool)) {
			look("stored", func() bool { return stored(t, store, name, "$KV.runs_0.bundle.*") > 0 })
			for _, lost := range []string{"$KV.runs_0.bundle.1", "$KV.runs_0.index.*", "$KV.runs_0.apart.9.*"} {
				purge(t, store, name, lost)
			}
		},
		"a bundle lacks runs": func(t *testing.T, store *bustest.Store, look func(string, func() bool)) {
			look("stored", func() bool { return stored(t, store, name, "$KV.runs_0.bundle.*") > 0 })
			data, err := jet.Pack(jet.Bundle{})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, store, "$KV.runs_0.bundle.0", string(data))
			publish(t, store, "$KV.runs_0.bundle.1", "no bundle")
		},
		"some of the messages are gone": func(t *testing.T, store *bustest.Store, look func(string, func() bool)) {
			look("stored", func() bool { return stored(t, store, name, "$KV.runs_0.bundle.*") > 0 })
			purge(t, store, name, "$KV.runs_0.claim.*.*")
			if err := stream(t, store.Bus, name).Purge(t.Context(), jetstream.WithPurgeSequence(60)); err != nil {
				t.Fatal(err)
			}
		},
		"all of the messages are gone, and requests": func(t *testing.T, store *bustest.Store, look func(string, func() bool)) {
			look("stored", func() bool { return stored(t, store, name, "$KV.runs_0.bundle.*") > 0 })
			purge(t, store, name, "$KV.runs_0.claim.*.*")
			purge(t, store, name, "$KV.runs_0.final.*.*")
			if err := stream(t, store.Bus, "RUNS").Purge(t.Context(), jetstream.WithPurgeSequence(60)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			store := sliced(t, bus.Topology{Slice: 70})
			of := several(t, store, 72)
			before := tell(t, store.Bus, of)
			first := opened(t, store)
			keeper := first.Unheld.Slices()
			kill(t, store, func(what string, done func() bool) { look(t, keeper, what, done) })
			first.Close()
			store.Restart()
			next := opened(t, store)
			proctest.Until(t, func() error { return store.Ready(t.Context()) })
			stop := polling(t, before, of, store.Bus, next)
			look(t, next.Unheld.Slices(), "bundled", func() bool {
				return isBundled(t, next, name) && stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 70
			})
			stop()
			if left := stored(t, store, name, "$KV.runs_0.final.*.*") + stored(t, store, name, "$KV.runs_0.claim.*.*"); left > 0 {
				t.Errorf("%d messages are left", left)
			}
			before.same(t, store.Bus, of)
			before.same(t, opened(t, store), of)
		})
	}
}

// stored is how many messages a stream has of some subjects.
func stored(t testing.TB, store *bustest.Store, name, subjects string) int {
	t.Helper()
	info, err := stream(t, store.Bus, name).Info(t.Context(), jetstream.WithSubjectFilter(subjects))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

func purge(t testing.TB, store *bustest.Store, name, subjects string) {
	t.Helper()
	if err := stream(t, store.Bus, name).Purge(t.Context(), jetstream.WithPurgeSubject(subjects)); err != nil {
		t.Fatal(err)
	}
}

// Several processes bundle the same slices at once.
func TestSlicesAreBundledByManyAtOnce(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	of := several(t, store, 62)
	before := tell(t, store.Bus, of)
	stop := polling(t, before, of, store.Bus)
	var keepers sync.WaitGroup
	for range 4 {
		process := opened(t, store)
		keepers.Go(func() {
			look(t, process.Unheld.Slices(), "bundled", func() bool {
				return isBundled(t, process, "KV_runs_0") && isBundled(t, process, "KV_runs_1") && isBundled(t, process, "KV_runs_2")
			})
		})
	}
	keepers.Wait()
	stop()
	before.same(t, store.Bus, of)
	before.same(t, opened(t, store), of)
}

// A runner that was paused while its run ended, and its slice was sealed and bundled, cannot take the run, go on with
// it or end it. Nor does a bundle go that another process stores late.
func TestLateClaimOfABundledRun(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	for range 25 {
		bustest.Submit(t, store.Bus, request)
	}
	paused, holder := opened(t, store), opened(t, store)
	claim, err := holder.Work.Claim(t.Context(), request.Task, 7, run.Claim{Owner: "holder", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	seen, found, err := paused.Work.FindClaim(t.Context(), request.Task, 7)
	if err != nil || !found {
		t.Fatalf("the claim is there: %t, %v", found, err)
	}
	taken, err := store.Work.TakeOver(t.Context(), request.Task, 7, seen, run.Claim{Owner: "me", Executions: 2})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, 7)
	doc.End(run.Success, "done", time.Now())
	if err := taken.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	for n := run.Number(1); n <= 19; n++ {
		if n != 7 {
			end(t, store.Bus, request, n)
		}
	}
	before := polled(t, store.Bus, request, 7)
	refused := func(when string) {
		for name, attempt := range map[string]func() error{
			"claim": func() error {
				_, err := paused.Work.Claim(t.Context(), request.Task, 5, run.Claim{Owner: "paused"})
				return err
			},
			"take over": func() error {
				_, err := paused.Work.TakeOver(t.Context(), request.Task, 7, seen, run.Claim{Owner: "paused"})
				return err
			},
			"renew":   func() error { return claim.Renew(t.Context(), run.Claim{Owner: "holder"}) },
			"finish":  func() error { return claim.Finish(t.Context(), doc, nil) },
			"end":     func() error { return paused.Unheld.EndUnclaimed(t.Context(), request.Task, 5, doc) },
			"abandon": func() error { return paused.Unheld.EndAbandoned(t.Context(), request.Task, 7, seen, doc) },
		} {
			if err := attempt(); !errors.Is(err, bus.ErrClaimed) && !errors.Is(err, bus.ErrLost) {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
		if now := polled(t, paused, request, 7); now != before {
			t.Errorf("%s: %s, was %s", when, now, before)
		}
	}
	refused("open")
	keeper := store.Unheld.Slices()
	look(t, keeper, "sealed", func() bool { return isSealed(t, store.Bus, "KV_runs_0") })
	if subjects := stream(t, store.Bus, "KV_runs_0").CachedInfo().Config.Subjects; len(subjects) != 3 {
		t.Errorf("the sealed slice takes %s", subjects)
	}
	refused("sealed")
	look(t, keeper, "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	refused("bundled")
	if err := paused.Unheld.BundleLate(t.Context(), 7); err != nil {
		t.Error(err)
	}
	refused("bundled by two, of whom one was paused")
	if left := stored(t, store, "KV_runs_0", ">"); left != 2 {
		t.Errorf("the slice has %d messages", left)
	}
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// A bundle that is damaged, or lost, is named, and its runs are gone. All others live.
func TestDamagedBundle(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 200})
	of := several(t, store, 205)
	look(t, store.Unheld.Slices(), "bundled", func() bool {
		return isBundled(t, store.Bus, "KV_runs_0") && stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 200
	})
	publish(t, store, "$KV.runs_0.bundle.1", "no bundle")
	purge(t, store, "KV_runs_0", "$KV.runs_0.bundle.2")
	purge(t, store, "KV_runs_0", "$KV.runs_0.apart.8.request")
	publish(t, store, "$KV.runs_0.index."+string(of[7].Task), "no index")
	reader, log := logging(t, store.Broker.URL(), "")
	for n, request := range of {
		status, err := reader.Runs.Lookup(t.Context(), request.Task, n)
		if lost := n >= 64 && n < 192; lost != errors.Is(err, run.ErrRunGone) || !lost && !status.Final {
			t.Errorf("run %s: %v", n, err)
		}
		if ended, err := reader.Work.Ended(t.Context(), request.Task, n); !ended || err != nil {
			t.Errorf("run %s has ended: %t, %v", n, ended, err)
		}
	}
	if _, err := reader.Runs.Request(t.Context(), of[8].Task, 8); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("a request that is lost: %v", err)
	}
	if listed, err := reader.Runs.List(t.Context(), 500); err != nil || len(listed) != len(of)-128 {
		t.Errorf("%d runs are listed, %v", len(listed), err)
	}
	if listed, err := reader.Runs.List(t.Context(), 500, of[7].Task); err != nil || len(listed) != 2 {
		t.Errorf("%d runs of a task are listed, %v", len(listed), err)
	}
	for _, name := range []string{"$KV.runs_0.bundle.1", "the runs 64 to 127", "$KV.runs_0.index."} {
		if log.count(name) != 1 {
			t.Errorf("the log names %s %d times: %s", name, log.count(name), log.text.String())
		}
	}
}

// A key leads to its run whose request is in a bundle, also where the process of its first POST was killed before it
// noted the number.
func TestKeysOfBundledRuns(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 100})
	js := store.Jet().JS
	request, rotated := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	rotated.CalledAs = task.NewID()
	whole := resubmitted(t, store.Bus, request, "whole")
	noted(t, store.Bus, request.Task, "whole", whole.Number)
	store.Runs.EnterKey(t, request, "killed")
	killed := storedUnder(t, store.Bus, js, request, "killed")
	store.Runs.EnterKey(t, rotated, "rotated")
	former := storedUnder(t, store.Bus, js, rotated, "rotated")
	if _, err := js.Publish(t.Context(), bus.EntrySubject(request.Task, "killed, no entry"), []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	foreign := storedUnder(t, store.Bus, js, request, "killed, no entry")
	store.Runs.EnterKey(t, request, "nothing")
	for n := run.Number(1); n < 105; n++ {
		switch n {
		case former:
			end(t, store.Bus, rotated, n)
		default:
			if n > foreign {
				bustest.Submit(t, store.Bus, request)
			}
			end(t, store.Bus, request, n)
		}
	}
	forgetIDs(t, js)
	look(t, store.Unheld.Slices(), "bundled", func() bool { return stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 100 })
	for _, c := range []struct {
		key     string
		request run.Request
		number  run.Number
	}{{"whole", request, whole.Number}, {"killed", request, killed}, {"rotated", rotated, former}, {"killed, no entry", request, foreign}} {
		process := opened(t, store)
		if found, ok := keyed(t, process, c.request.Called(), c.key); !ok || found.Number != c.number {
			t.Errorf("%s: %t, %+v", c.key, ok, found)
		}
		if again := resubmitted(t, process, c.request, c.key); again.Number != c.number || !again.Replayed {
			t.Errorf("%s: %+v", c.key, again)
		}
		noted(t, process, c.request.Called(), c.key, c.number)
	}
	if anew := resubmitted(t, store.Bus, request, "nothing"); anew.Replayed {
		t.Errorf("a key that has started nothing: %+v", anew)
	}
}

// A search for the request of a key that breaks off before the bundles, and has gone through RUNS, hides nothing that
// is in bundles from the next one.
func TestBundledKeyAfterABrokenSearch(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("ingress", "$JS.API.STREAM.INFO.KV_runs_0"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{Slice: 20}); err != nil {
		t.Fatal(err)
	}
	request, js := bustest.Applied(t, admin), admin.Jet().JS
	admin.Runs.EnterKey(t, request, "key")
	first := storedUnder(t, admin, js, request, "key")
	for n := run.Number(1); n <= 25; n++ {
		if n > first {
			bustest.Submit(t, admin, request)
		}
		end(t, admin, request, n)
	}
	forgetIDs(t, js)
	admin.Jet().Settled = 0
	look(t, admin.Unheld.Slices(), "bundled", func() bool { return stream(t, admin, "RUNS").CachedInfo().State.FirstSeq == 20 })
	ingress, _ := as(t, broker, "ingress")
	if accepted, err := ingress.Runs.Submit(t.Context(), request, "key"); !errors.Is(err, run.ErrUnavailable) {
		t.Fatalf("without the right to look for the run: %+v, %v", accepted, err)
	}
	proctest.Eventually(t, "it is noted up to where it was looked for", func() bool {
		_, searched := admin.Runs.NotedRun(t.Context(), request.Task, "key")
		return searched == 25
	})
	if again := resubmitted(t, admin, request, "key"); again.Number != first || !again.Replayed {
		t.Errorf("%+v, not run %s", again, first)
	}
}

// A slice that was sealed before there were bundles is bundled, too, and so is one to which another program has
// written where bundles are to be.
func TestASliceThatIsSealedAlready(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 70})
	publish(t, store, "$KV.runs_0.index.nobody", "no index")
	of := several(t, store, 72)
	publish(t, store, "$KV.runs_0.bundle.1", "no bundle")
	before := tell(t, store.Bus, of)
	purge(t, store, "KV_runs_0", "$KV.runs_0.claim.*.*")
	config := stream(t, store.Bus, "KV_runs_0").CachedInfo().Config
	config.Metadata = map[string]string{jet.SealedKey: time.Now().UTC().Format(time.RFC3339)}
	if _, err := store.Jet().JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	process := opened(t, store)
	look(t, process.Unheld.Slices(), "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	if subjects := stream(t, store.Bus, "KV_runs_0").CachedInfo().Config.Subjects; slices.Contains(subjects, "$KV.runs_0.>") {
		t.Errorf("it takes %s", subjects)
	}
	if left := stored(t, store, "KV_runs_0", "$KV.runs_0.final.*.*"); left > 0 {
		t.Errorf("%d final documents are left", left)
	}
	before.same(t, store.Bus, of)
	before.same(t, process, of)
	// Neither of those that look after the settings of streams changes it back.
	if err := store.Init(t.Context(), bus.Topology{Embedded: true}); err != nil {
		t.Fatal(err)
	}
	if subjects := stream(t, store.Bus, "KV_runs_0").CachedInfo().Config.Subjects; len(subjects) != 3 {
		t.Errorf("after Init it takes %s", subjects)
	}
}

// On a cluster, too, no process tells anything else of a run while its slice is sealed and bundled, by two at once and
// with leaders that change.
func TestBundlesOnACluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Slice: 70})
	request := bustest.Applied(t, cluster.Bus)
	of := map[run.Number]run.Request{}
	for n := run.Number(1); n <= 75; n++ {
		bustest.Submit(t, cluster.Bus, request)
		end(t, cluster.Bus, request, n)
		of[n] = request
	}
	var processes []*bus.Bus
	for place := range cluster.Servers {
		process := cluster.Open(t, "process", place)
		process.Jet().Settled = time.Second
		processes = append(processes, process)
	}
	before := told{polls: map[run.Number]string{}}
	proctest.Until(t, func() error {
		for n := range of {
			status, err := processes[0].Runs.Lookup(t.Context(), request.Task, n)
			if err != nil {
				return err
			}
			before.polls[n] = string(status.Bytes)
		}
		return nil
	})
	stop := polling(t, before, of, processes...)
	// A stream has no leader now and then.
	config := func(process *bus.Bus, name string) (jetstream.StreamConfig, uint64) {
		found, err := process.Jet().JS.Stream(t.Context(), name)
		if err != nil {
			return jetstream.StreamConfig{}, 0
		}
		return found.CachedInfo().Config, found.CachedInfo().State.FirstSeq
	}
	var keepers sync.WaitGroup
	for _, process := range processes[:2] {
		keepers.Go(func() {
			look(t, process.Unheld.Slices(), "bundled", func() bool {
				slice, _ := config(process, "KV_runs_0")
				_, first := config(process, "RUNS")
				return jet.IsBundled(slice) && first == 70
			})
		})
	}
	proctest.Eventually(t, "it is sealed", func() bool {
		slice, _ := config(cluster.Bus, "KV_runs_0")
		_, sealed := jet.Sealed(slice)
		return sealed
	})
	cluster.StepDown(t, "KV_runs_0")
	keepers.Wait()
	cluster.StepDown(t, "KV_runs_0")
	cluster.StepDown(t, "RUNS")
	stop()
	for _, process := range processes {
		proctest.Until(t, func() error {
			for n := range of {
				status, err := process.Runs.Lookup(t.Context(), request.Task, n)
				if err == nil && string(status.Bytes) != before.polls[n] {
					t.Fatalf("run %s: %s", n, status.Bytes)
				}
				if err == nil {
					_, err = process.Runs.Request(t.Context(), request.Task, n)
				}
				if err != nil {
					return err
				}
			}
			listed, err := process.Runs.List(t.Context(), 100, request.Task)
			if err == nil && len(listed) != len(of) {
				err = fmt.Errorf("%d runs are listed", len(listed))
			}
			return err
		})
	}
}

// What else rests on the requests of runs finds those that are bundled: which definitions are named, and how many
// runs a shorter retention would take away.
func TestBundledRequestsCount(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 70})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 75; n++ {
		request.Definition = "early"
		if n > 66 {
			request.Definition = "late"
		}
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	look(t, store.Unheld.Slices(), "bundled", func() bool { return stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 70 })
	named, err := opened(t, store).Unheld.NamedDefinitions(t.Context(), request.Task)
	if err != nil || !named["early"] || !named["late"] || len(named) != 2 {
		t.Errorf("definitions %v, %v", named, err)
	}
	takes, err := store.Connect("init").Takes(t.Context(), bus.Topology{Retention: time.Millisecond})
	if err != nil || !slices.ContainsFunc(takes, func(take string) bool { return strings.HasPrefix(take, "runs that are older than 0s: 75") }) {
		t.Errorf("it takes %q, %v", takes, err)
	}
}

// Without the right to store bundles runs stay as they are, and everything else goes on.
func TestWithoutTheRightToBundle(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("status", "$KV.runs_0.bundle.*"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{Slice: 20}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	for n := run.Number(1); n <= 25; n++ {
		end(t, admin, request, bustest.Submit(t, admin, request))
	}
	status, log := as(t, broker, "status")
	status.Jet().Settled = 0
	keeper := status.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); !errors.Is(err, run.ErrDenied) {
			return fmt.Errorf("not denied: %w", err)
		}
		return nil
	})
	if log.count(`lacks a right: publish to \"$KV.runs_0.bundle.>\"`) == 0 {
		t.Errorf("the log: %s", log.text.String())
	}
	if err := status.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	polled(t, status, request, 5)
	admin.Jet().Settled = 0
	look(t, admin.Unheld.Slices(), "bundled", func() bool { return isBundled(t, admin, "KV_runs_0") })
	polled(t, status, request, 5)
}

// What bundles were made of stays until they are on the disks of all servers.
func TestBundlesSettleFirst(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 25; n++ {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	const finals = "$KV.runs_0.final.*.*"
	look(t, store.Unheld.Slices(), "stored", func() bool { return stored(t, store, "KV_runs_0", "$KV.runs_0.bundle.*") > 0 })
	another := opened(t, store)
	another.Jet().Settled = time.Hour
	keeper := another.Unheld.Slices()
	for range 3 {
		if err := keeper.Look(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if left := stored(t, store, "KV_runs_0", finals); left != 19 {
		t.Errorf("%d final documents are left", left)
	}
	// Nor does anything go after a look at a replica that lags.
	for _, lag := range []struct {
		messages uint64
		finals   int
	}{{}, {1, 0}, {0, 1}} {
		more, err := another.Unheld.MoreToBundle(t.Context(), 1, lag.messages, lag.finals)
		if lags := lag.messages > 0 || lag.finals > 0; more != lags || err != nil {
			t.Errorf("a replica that lacks %+v: to be compared once more: %t, %v", lag, more, err)
		}
	}
	another.Jet().Settled = 0
	look(t, keeper, "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	if left := stored(t, store, "KV_runs_0", finals); left != 0 {
		t.Errorf("%d final documents are left", left)
	}
}

// When each request is bundled RUNS keeps the last one, which tells the number of the next run to a server that was
// killed, too.
func TestLastRequestStays(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 39; n++ {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	look(t, store.Unheld.Slices(), "all are bundled", func() bool { return stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq >= 39 })
	if state := stream(t, store.Bus, "RUNS").CachedInfo().State; state.Msgs != 1 || state.LastSeq != 39 {
		t.Errorf("RUNS has %+v", state)
	}
	listed, err := store.Runs.List(t.Context(), 100)
	if err != nil || len(listed) != 39 || listed[0].Document.ImportID != 39 || listed[38].Document.ImportID != 1 {
		t.Errorf("%d runs are listed, %v", len(listed), err)
	}
	store.Restart()
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	if n := bustest.Submit(t, store.Bus, request); n != 40 {
		t.Errorf("the next run is %s", n)
	}
}
