package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// secret is what a run is about in these tests, wherever a person may have written something.
const secret = "Zaphod Beeblebrox"

// personal ends a run that holds the secret wherever a run can: in its parameters, its failed rows, its message, its live
// document, and in why somebody canceled it. key is its idempotency key.
func personal(t testing.TB, store *bus.Bus, request run.Request, key string) run.Number {
	t.Helper()
	request.Parameters = task.Values{"Name": {Values: []string{secret}, From: task.FromRequest}}
	request.CorrelationID = secret
	accepted, err := store.Runs.Submit(t.Context(), request, key)
	if err != nil {
		t.Fatal(err)
	}
	n := accepted.Number
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.StoreRejected(t.Context(), 1, secretRows(t), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.Status, doc.StatusDescription, doc.Message = run.InProgress, "In progress", secret
	if live, err := doc.Encode(); err != nil {
		t.Fatal(err)
	} else if _, err := store.Jet().JS.Publish(t.Context(), fmt.Sprintf("$KV.progress.%s.%s", request.Task, n), live); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Unheld.AskCancel(t.Context(), request.Task, n, run.Cancel{By: "ann", On: time.Now().UTC(), Why: secret}); err != nil {
		t.Fatal(err)
	}
	doc.End(run.Success, secret, time.Now())
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}.With(claim.Token, 1, 1, 1)); err != nil {
		t.Fatal(err)
	}
	return n
}

// secretRows are failed rows with the secret, as they are stored: compressed.
func secretRows(t testing.TB) []byte {
	t.Helper()
	data, err := run.RejectedChunk{Columns: []string{"Name"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{secret}}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// awaitEvents waits until each of some runs has its event.
func awaitEvents(t testing.TB, store *bus.Bus, runs ...run.Number) {
	t.Helper()
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store)
		for _, n := range runs {
			if err == nil && counts[n] != 1 {
				err = fmt.Errorf("run %s has %d events", n, counts[n])
			}
		}
		return err
	})
}

// following has a process follow the erasures until the end of the test, or until stop.
func following(t testing.TB, process *bus.Bus) (view *bus.Erasures, stop func()) {
	t.Helper()
	view = process.Unheld.Erasures()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); view.Follow(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return view, stop
}

// erasing goes on with the erasures of a view until there is none to do, and returns the last.
func erasing(t testing.TB, process *bus.Bus, view *bus.Erasures, id task.ID) (last run.Erasure) {
	t.Helper()
	proctest.Until(t, func() error {
		for _, of := range view.All() {
			if of.Task != id {
				continue
			}
			if of.DoneOn != nil {
				last = of.Erasure
				continue
			}
			if e, done, err := process.Unheld.Erase(t.Context(), view, of); err != nil {
				return err
			} else if done {
				last = e
			}
			return errors.New("an erasure is under way")
		}
		if last.DoneOn == nil {
			return errors.New("there is no erasure")
		}
		return nil
	})
	return last
}

// one is the erasure of a run.
func one(request run.Request, n run.Number) run.Erasure {
	return run.Erasure{Task: request.Task, TaskName: request.TaskName, First: n, Last: n, By: "ann", On: time.Now().UTC(), Overwritten: true}
}

// holding are the files below a folder that hold the secret.
func holding(t testing.TB, dir string) (files []string) {
	t.Helper()
	rows := secretRows(t)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it went in between
		}
		data, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(data, []byte(secret)) || bytes.Contains(data, rows)) {
			files = append(files, strings.TrimPrefix(path, dir))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// answered asks the store, and again while a leader is chosen.
func answered[T any](t testing.TB, ask func() (T, error)) (answer T, err error) {
	t.Helper()
	proctest.Until(t, func() error {
		if answer, err = ask(); errors.Is(err, run.ErrUnavailable) {
			return err
		}
		return nil
	})
	return answer, err
}

// gone checks that nothing tells of a run any more, that nobody can take it, and that its key starts no other one.
func gone(t testing.TB, store *bus.Bus, request run.Request, n run.Number, key string) {
	t.Helper()
	if status, err := answered(t, func() (bus.Status, error) { return store.Runs.Lookup(t.Context(), request.Task, n) }); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("run %s: %s, %v", n, status.Bytes, err)
	}
	if found, err := answered(t, func() (run.Request, error) { return store.Runs.Request(t.Context(), request.Task, n) }); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("the request of run %s: %+v, %v", n, found, err)
	}
	if rows, err := answered(t, func() (*bus.RejectedRows, error) { return store.Runs.RejectedRows(t.Context(), request.Task, n) }); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("the failed rows of run %s: %+v, %v", n, rows, err)
	}
	if claim, err := answered(t, func() (*bus.Claim, error) {
		return store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "late", Executions: 1})
	}); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("run %s is claimed: %+v, %v", n, claim, err)
	}
	if found, err := answered(t, func() (bool, error) {
		_, found, err := store.Work.FindClaim(t.Context(), request.Task, n)
		return found, err
	}); found || err != nil {
		t.Errorf("somebody holds run %s: %t, %v", n, found, err)
	}
	if ended, err := answered(t, func() (bool, error) { return store.Work.Ended(t.Context(), request.Task, n) }); !ended || err != nil {
		t.Errorf("run %s has ended: %t, %v", n, ended, err)
	}
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store)
		if counts[n] > 0 {
			t.Errorf("run %s has %d events", n, counts[n])
		}
		return err // while a leader is chosen
	})
	objects, err := store.Jet().RowObjects(t.Context())
	if names := objects[fmt.Sprintf("%s.%s", request.Task, n)]; err != nil || len(names) > 0 {
		t.Errorf("run %s has the objects %v, %v", n, names, err)
	}
	listed, err := store.Runs.List(t.Context(), 1000, request.Task)
	for _, status := range listed {
		if status.Document.ImportID == n {
			t.Errorf("run %s is listed", n)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if key != "" {
		if again, err := answered(t, func() (bus.Accepted, error) { return store.Runs.Submit(t.Context(), request, key) }); !errors.Is(err, run.ErrErased) {
			t.Errorf("a POST with the key of run %s: run %s, %v", n, again.Number, err)
		}
	}
}

// An erasure removes all that a run has, in every file of the store, and nothing of the runs around it. The receipt counts
// it. Nothing comes back after a restart, or when the events are made again from the final documents.
func TestAnErasedRunIsInNoFile(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	before := bustest.Submit(t, store.Bus, request)
	end(t, store.Bus, request, before)
	n := personal(t, store.Bus, request, "key")
	after := bustest.Submit(t, store.Bus, request)
	end(t, store.Bus, request, after)
	awaitEvents(t, store.Bus, before, n, after)
	proctest.Until(t, func() error {
		if files := holding(t, store.Dir); len(files) < 5 {
			return fmt.Errorf("only %v hold the secret before it is erased", files)
		}
		return nil
	})
	polls := map[run.Number]string{before: polled(t, store.Bus, request, before), after: polled(t, store.Bus, request, after)}

	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	receipt := erasing(t, store.Bus, view, request.Task)
	if want := (run.Removed{Runs: 1, Requests: 1, FinalDocuments: 1, Events: 1, RejectedChunks: 1}); receipt.Removed != want {
		t.Errorf("removed %+v, want %+v", receipt.Removed, want)
	}
	check := func(when string) {
		t.Helper()
		gone(t, store.Bus, request, n, "key")
		if files := holding(t, store.Dir); len(files) > 0 {
			t.Errorf("%s: %v hold the secret", when, files)
		}
		for n, was := range polls {
			if now := polled(t, store.Bus, request, n); now != was {
				t.Errorf("%s: run %s is %s, was %s", when, n, now, was)
			}
		}
		awaitEvents(t, store.Bus, before, after)
	}
	check("erased")
	// The server goes through each of these after a crash.
	for name, most := range map[string]int{"RUNS": 1, "EVENTS": 1, "KV_runs_0": 4} { // 2 are the claims of ended runs
		if deleted := stream(t, store.Bus, name).CachedInfo().State.NumDeleted; deleted > most {
			t.Errorf("stream %s lacks %d messages between others", name, deleted)
		}
	}
	store.Restart()
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	check("after a restart")
	// The events are purged, and copied again from the beginning of their source.
	js := store.Jet().JS
	events := stream(t, store.Bus, "EVENTS")
	config := events.CachedInfo().Config
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	for _, source := range config.Sources {
		source.OptStartSeq = 1
	}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	check("after the events were made again")
	if err := store.Unheld.SettleErasures(t.Context(), view); err != nil {
		t.Error(err)
	}
	if left := view.All(); len(left) > 0 {
		t.Errorf("%+v are left to do", left)
	}
	var receipts []run.Erasure
	if err := store.Unheld.Receipts(t.Context(), time.Now().Add(-time.Hour), func(e run.Erasure) { receipts = append(receipts, e) }); err != nil || len(receipts) != 1 || receipts[0].Removed != receipt.Removed {
		t.Errorf("the receipts are %+v, %v", receipts, err)
	}
}

// errStopped is how the process ends that does an erasure.
var errStopped = errors.New("the process has ended")

// Whoever ends between any two steps of an erasure, another process goes on from there: of a run in a slice that takes
// runs, and of one in a bundle.
func TestAnErasureIsGoneOnWithFromEachStep(t *testing.T) {
	t.Parallel()
	for name, bundled := range map[string]bool{"open": false, "bundled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := sliced(t, bus.Topology{Slice: 70})
			request := bustest.Applied(t, store.Bus)
			const most = 14 // more than there are steps
			of := map[run.Number]run.Request{}
			for n := run.Number(1); n <= 75; n++ {
				if n%5 == 0 && n < 5*most {
					personal(t, store.Bus, request, "key "+n.String())
					continue
				}
				bustest.Submit(t, store.Bus, request)
				end(t, store.Bus, request, n)
				of[n] = request
			}
			first := opened(t, store)
			if bundled {
				look(t, first.Unheld.Slices(), "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
			} else {
				awaitEvents(t, store.Bus, 5, 74)
			}
			polls := map[run.Number]string{}
			for n, request := range of {
				polls[n] = polled(t, store.Bus, request, n)
			}
			view, _ := following(t, store.Bus)
			steps := map[string]bool{}
			for at := 1; at < most; at++ {
				n := run.Number(5 * at)
				var mu sync.Mutex
				done, ended := 0, ""
				first.Jet().Interrupt = func(step string) error {
					mu.Lock()
					defer mu.Unlock()
					if done++; done >= at {
						ended = step
						return errStopped
					}
					return nil
				}
				firstView, stop := following(t, first)
				if _, err := first.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
					t.Fatal(err)
				}
				proctest.Until(t, func() error {
					for _, of := range firstView.All() {
						if of.First == n && of.DoneOn == nil {
							_, done, err := first.Unheld.Erase(t.Context(), firstView, of)
							if done || errors.Is(err, errStopped) {
								return nil
							}
							return fmt.Errorf("%t, %w", done, err)
						}
						if of.First == n {
							return nil
						}
					}
					return errors.New("it is not seen yet")
				})
				stop()
				steps[ended] = true
				proctest.Until(t, func() error {
					if _, ok := view.Of(request.Task, n, n); !ok {
						return errors.New("it is not heard of yet")
					}
					return nil
				})
				want := run.Removed{Runs: 1, Requests: 1, FinalDocuments: 1, Events: 1, RejectedChunks: 1}
				if e := erasing(t, store.Bus, view, request.Task); e.DoneOn == nil || e.Removed != want {
					t.Errorf("stopped before %q: %+v", ended, e)
				}
				gone(t, store.Bus, request, n, "key "+n.String())
				proctest.Until(t, func() error { return store.Unheld.SettleErasures(t.Context(), view) }) // NATS may be busy
			}
			wanted := []string{"rows", "progress", "event", "claim", "fence", "final", "key", "request", "receipt", "done"}
			if bundled {
				wanted = []string{"rows", "progress", "event", "bundle", "receipt", "done"}
			}
			for _, step := range wanted {
				if !steps[step] {
					t.Errorf("nothing was stopped before the step %q: %v", step, steps)
				}
			}
			if files := holding(t, store.Dir); !bundled && len(files) > 0 {
				t.Errorf("%v hold the secret", files)
			}
			for n, request := range of {
				if now := polled(t, store.Bus, request, n); now != polls[n] {
					t.Errorf("run %s is %s, was %s", n, now, polls[n])
				}
			}
			for name, times := range receipts(t, store.Bus) {
				if times != 1 {
					t.Errorf("the erasure %s has %d receipts", name, times)
				}
			}
			awaitEvents(t, store.Bus, run.Number(1), run.Number(74))
			another := opened(t, store)
			for n, request := range of {
				if now := polled(t, another, request, n); now != polls[n] {
					t.Errorf("to another process, run %s is %s, was %s", n, now, polls[n])
				}
			}
			// What follows goes on: the slice that takes runs is sealed and bundled in its time.
			if !bundled {
				look(t, store.Unheld.Slices(), "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
				gone(t, store.Bus, request, 5, "key 5")
				for n := range of {
					if now := polled(t, another, request, n); now != polls[n] {
						t.Errorf("bundled, run %s is %s, was %s", n, now, polls[n])
					}
				}
			}
		})
	}
}

// The receipt of many runs counts each once, although one process after the other ends in the middle of them: in bundles, and
// in a slice that takes runs.
func TestTheReceiptCountsWhatEndedProcessesErased(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 70})
	request := bustest.Applied(t, store.Bus)
	const all, steps = 130, 250 // more than a bundle takes
	for n := run.Number(1); n <= all; n++ {
		bustest.Submit(t, store.Bus, request)
		end(t, store.Bus, request, n)
	}
	look(t, store.Unheld.Slices(), "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	awaitEvents(t, store.Bus, 1, all)
	e, _, err := store.Unheld.Erasable(t.Context(), request.Task, 0, time.Now(), false)
	if err != nil || e.First != 1 || e.Last != all {
		t.Fatalf("%+v, %v", e, err)
	}
	e.TaskName, e.By, e.On = "Test", "ann", time.Now()
	if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var receipt run.Erasure
	processes := 0
	for receipt.DoneOn == nil {
		process := store.Open(fmt.Sprint("process ", processes))
		processes++
		var done atomic.Int64
		process.Jet().Interrupt = func(string) error {
			if done.Add(1) > steps {
				return errStopped
			}
			return nil
		}
		view, stop := following(t, process)
		proctest.Until(t, func() error {
			for _, of := range view.All() {
				if of.DoneOn != nil {
					receipt = of.Erasure
					return nil
				}
				if _, _, err := process.Unheld.Erase(t.Context(), view, of); errors.Is(err, errStopped) {
					return nil
				} else if err != nil {
					return err
				}
			}
			return errors.New("it goes on")
		})
		stop()
	}
	if want := (run.Removed{Runs: all, Requests: all, FinalDocuments: all, Events: all}); receipt.Removed != want || processes < 4 {
		t.Errorf("removed %+v by %d processes, want %+v", receipt.Removed, processes, want)
	}
	for name, times := range receipts(t, store.Bus) {
		if times != 1 {
			t.Errorf("the erasure %s has %d receipts", name, times)
		}
	}
}

// The runs of a task that were accepted before a moment go together, but for those that have not ended, and those of
// another task.
func TestOldRunsOfATaskGoTogether(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 70})
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	kept, of := map[run.Number]bool{3: true, 80: true}, map[run.Number]run.Request{}
	for n := run.Number(1); n <= 90; n++ {
		now := request
		if n%3 == 2 {
			now, kept[n] = other, true
		}
		bustest.Submit(t, store.Bus, now)
		of[n] = now
		if n != 3 && n != 80 {
			end(t, store.Bus, now, n)
		}
	}
	moment := time.Now()
	for n := run.Number(91); n <= 95; n++ {
		bustest.Submit(t, store.Bus, request)
		end(t, store.Bus, request, n)
		of[n], kept[n] = request, true
	}
	awaitEvents(t, store.Bus, 1, 2, 95)
	e, rest, err := store.Unheld.Erasable(t.Context(), request.Task, 0, moment, false)
	if err != nil || e.First != 1 || e.Last != 90 || rest != 3 || len(e.Left) != 1 || e.Left[0] != 3 || !e.Overwritten {
		t.Fatalf("%+v, %s stays, %v", e, rest, err)
	}
	e.TaskName, e.By, e.On = "Test", "ann", time.Now()
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	receipt := erasing(t, store.Bus, view, request.Task)
	went := len(of) - len(kept)
	if receipt.Removed.Runs != went || receipt.Removed.Events != went || receipt.Removed.FinalDocuments != went {
		t.Errorf("removed %+v, and %d runs were to go", receipt.Removed, went)
	}
	view, _ = following(t, store.Bus)
	for _, n := range []run.Number{1, 2, 3, 80, 90, 91, 96} { // both slices take runs
		if of, ok, err := store.Unheld.ErasureOf(t.Context(), view, n); err != nil || ok != (n == 1 || n == 90) || ok && of.Last != 90 {
			t.Errorf("the erasure of run %s: %+v, %t, %v", n, of, ok, err)
		}
	}
	for n, request := range of {
		status, err := store.Runs.Lookup(t.Context(), request.Task, n)
		if kept[n] && err != nil || !kept[n] && !errors.Is(err, run.ErrRunGone) {
			t.Errorf("run %s: %s, %v", n, status.Bytes, err)
		}
	}
	if e, rest, err := store.Unheld.Erasable(t.Context(), request.Task, 0, moment, false); err != nil || e.First != 0 || rest != 3 {
		t.Errorf("there is more to erase: %+v, %s, %v", e, rest, err)
	}
	end(t, store.Bus, request, 3)
	// With keep the end counts: run 3 has ended a moment ago.
	if e, _, err := store.Unheld.Erasable(t.Context(), request.Task, 0, moment, true); err != nil || e.First != 0 {
		t.Errorf("what has ended after the moment goes: %+v, %v", e, err)
	}
	if e, rest, err := store.Unheld.Erasable(t.Context(), request.Task, 0, time.Now().Add(time.Hour), true); err != nil || e.First != 3 || e.Last != 95 || e.Overwritten || rest != 96 {
		t.Errorf("with keep: %+v, %s, %v", e, rest, err)
	}
}

// The receipt names the runs that stay because they had not ended, also those below and above all that go. Of keep it
// names none but those between.
func TestTheReceiptNamesAllRunsThatStay(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 7; n++ {
		bustest.Submit(t, store.Bus, request)
		if n == 2 || n == 5 {
			end(t, store.Bus, request, n)
		}
	}
	moment := time.Now()
	bustest.Submit(t, store.Bus, request)
	awaitEvents(t, store.Bus, 2, 5)
	for keep, want := range map[bool][]run.Number{false: {1, 3, 4, 6, 7}, true: {3, 4}} {
		e, rest, err := store.Unheld.Erasable(t.Context(), request.Task, 0, moment, keep)
		if err != nil || e.First != 2 || e.Last != 5 || rest != 1 || !slices.Equal(e.Left, want) || e.MoreLeft != 0 {
			t.Errorf("with keep %t: %+v, %s stays, %v", keep, e, rest, err)
		}
	}
	e, _, err := store.Unheld.Erasable(t.Context(), request.Task, 0, moment, false)
	if err != nil {
		t.Fatal(err)
	}
	e.TaskName, e.By, e.On = "Test", "ann", time.Now()
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if receipt := erasing(t, store.Bus, view, request.Task); receipt.Removed.Runs != 2 || len(receipt.Left) != 5 {
		t.Errorf("%+v", receipt)
	}
	for _, n := range []run.Number{1, 3, 4, 6, 7, 8} {
		if status, err := store.Runs.Lookup(t.Context(), request.Task, n); err != nil || status.Final {
			t.Errorf("run %s: %s, %v", n, status.Bytes, err)
		}
	}
}

// Of a number it is known that its run was erased if somebody has named it, or if an erasure has removed as many runs as
// it has numbers.
func TestTheErasureOfARun(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	now := time.Now().UTC()
	for _, e := range []run.Erasure{
		{First: 10, Last: 12, Left: []run.Number{1, 11, 30}, Before: &now, Removed: run.Removed{Runs: 2}},
		{First: 20, Last: 22, Before: &now, Removed: run.Removed{Runs: 2}},
		{First: 30, Last: 30},
	} {
		e.Task, e.TaskName, e.By, e.On, e.DoneOn = request.Task, "Test", "ann", now, &now
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		publish(t, store, "run.deleted."+string(request.Task), string(data))
	}
	view := store.Unheld.Erasures()
	for n, want := range map[run.Number]run.Number{1: 0, 9: 0, 10: 10, 11: 0, 12: 10, 13: 0, 20: 0, 22: 0, 30: 30} {
		if of, ok, err := store.Unheld.ErasureOf(t.Context(), view, n); err != nil || ok != (want > 0) || ok && of.First != want {
			t.Errorf("the erasure of run %s: %+v, %t, %v", n, of, ok, err)
		}
	}
	// A receipt counts before what a process has heard last.
	late, _ := following(t, store.Bus)
	asked := run.Erasure{Task: request.Task, First: 30, Last: 30, TaskName: "Test", By: "ann", On: now}
	if _, err := store.Unheld.AskErase(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if heard := heardOf(t, late, 30); heard.DoneOn != nil {
		t.Fatalf("%+v", heard)
	}
	if of, ok, err := store.Unheld.ErasureOf(t.Context(), late, 30); err != nil || !ok || of.DoneOn == nil {
		t.Errorf("the erasure that has its receipt: %+v, %t, %v", of, ok, err)
	}
}

// A request whose acknowledgement is lost is delivered again, and nobody executes the run that was erased meanwhile.
func TestAnErasedRunIsNotExecutedAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Second})
	request, queue := queued(t, store, 2)
	n := bustest.Submit(t, store.Bus, request)
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	end(t, store.Bus, request, n)
	awaitEvents(t, store.Bus, n)
	view, _ := following(t, store.Bus)
	// The process ends between the final document and the request.
	store.Jet().Interrupt = func(step string) error {
		if step == "request" {
			return errStopped
		}
		return nil
	}
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		for _, of := range view.All() {
			if _, _, err := store.Unheld.Erase(t.Context(), view, of); errors.Is(err, errStopped) {
				return nil
			}
		}
		return errors.New("it has not come to the request")
	})
	_ = delivery
	again, err := bustest.Next(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	if again.Number != n {
		t.Fatalf("run %s is delivered again", again.Number)
	}
	if claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "late", Executions: 1}); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("it is claimed: %+v, %v", claim, err)
	}
	if ended, err := store.Work.Ended(t.Context(), request.Task, n); !ended || err != nil {
		t.Errorf("it has ended: %t, %v", ended, err)
	}
	if status, err := store.Runs.Lookup(t.Context(), request.Task, n); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("its status: %s, %v", status.Bytes, err)
	}
	store.Jet().Interrupt = nil
	erasing(t, store.Bus, view, request.Task)
	gone(t, store.Bus, request, n, "")
}

// On a cluster, an erasure goes on while the leaders of the streams change between its steps, and no replica tells of the
// run afterwards.
func TestAnErasureOnACluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	request := bustest.Applied(t, cluster.Bus)
	n := personal(t, cluster.Bus, request, "key")
	other := bustest.Submit(t, cluster.Bus, request)
	end(t, cluster.Bus, request, other)
	awaitEvents(t, cluster.Bus, n, other)
	view, _ := following(t, cluster.Bus)
	moved := map[string]bool{}
	var mu sync.Mutex
	cluster.Jet().Interrupt = func(step string) error {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range map[string][]string{"event": {"EVENTS", "OBJ_rows"}, "final": {"KV_runs_0"}, "request": {"RUNS", "KV_control"}}[step] {
			if !moved[name] {
				moved[name] = true
				cluster.StepDown(t, name)
			}
		}
		return nil
	}
	if _, err := cluster.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		for _, of := range view.All() {
			if of.DoneOn != nil {
				return nil
			}
			if _, _, err := cluster.Unheld.Erase(t.Context(), view, of); err != nil {
				return err
			}
		}
		return errors.New("it goes on")
	})
	if len(moved) != 5 {
		t.Errorf("only the leaders of %v were changed", maps.Keys(moved))
	}
	proctest.Until(t, func() error {
		if behind := bustest.Lagging(t.Context(), cluster.Jet().JS); behind != "" {
			return errors.New(behind)
		}
		return nil
	})
	for place := range cluster.Servers {
		gone(t, cluster.Open(t, fmt.Sprint("server ", place), place), request, n, "key")
	}
	// The Raft logs have it until the servers cut them, some minutes later.
	for _, of := range view.All() {
		if !of.Replicated || !strings.Contains(of.Text(), "Raft logs") {
			t.Errorf("the receipt does not say so: %+v", of.Erasure)
		}
	}
	held := 0
	for place, dir := range cluster.Dirs {
		for _, file := range holding(t, dir) {
			if held++; !strings.Contains(file, "/_js_/") {
				t.Errorf("server %d: %s holds the secret", place, file)
			}
		}
	}
	if held == 0 {
		t.Error("no Raft log holds the secret: what the receipt says of them is wrong")
	}
	cluster.Restart(t, cluster.Leader(t, "KV_runs_0"))
	proctest.Until(t, func() error { return cluster.Ready(t.Context()) })
	gone(t, cluster.Bus, request, n, "key")
	awaitEvents(t, cluster.Bus, other)
}

// Whoever asks for an erasure and gets no acknowledgement is told that it stands, if it does.
func TestAnErasureWhoseAcknowledgementIsLost(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	_, address, _ := strings.Cut(store.Broker.URL(), "//")
	wire := bustest.NewWire(t, "127.0.0.1:0", address)
	process, _ := logging(t, "nats://"+wire.Address(), "")
	view, _ := following(t, store.Bus)
	wire.Silence(true, bustest.Back)
	var asking sync.WaitGroup
	asked := one(request, 1)
	asking.Go(func() {
		if stands, err := process.Unheld.AskErase(t.Context(), asked); err != nil || !stands.On.Equal(asked.On) {
			t.Errorf("%+v, %v", stands, err)
		}
	})
	proctest.Eventually(t, "it is written down", func() bool {
		_, ok := view.Of(request.Task, 1, 1)
		return ok
	})
	wire.Drop()
	wire.Silence(false, bustest.Back)
	asking.Wait()
}

// receipts counts the receipts that are stored, by the erasure.
func receipts(t testing.TB, store *bus.Bus) map[string]int {
	t.Helper()
	times := map[string]int{}
	if err := store.Unheld.Receipts(t.Context(), time.Unix(0, 0), func(e run.Erasure) {
		times[fmt.Sprintf("%s-%s %s", e.First, e.Last, e.On)]++
	}); err != nil {
		t.Fatal(err)
	}
	return times
}

// An erasure is done again where the server that was killed has its beginning back: it has its receipt, and gets no other
// one. The next erasure of the same runs has its own.
func TestAnErasureHasOneReceipt(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 3; n++ {
		bustest.Submit(t, store.Bus, request)
		end(t, store.Bus, request, n)
	}
	awaitEvents(t, store.Bus, 1, 2, 3)
	many, _, err := store.Unheld.Erasable(t.Context(), request.Task, 2, time.Now(), false)
	if err != nil || many.First != 2 || many.Last != 3 {
		t.Fatalf("%+v, %v", many, err)
	}
	many.TaskName, many.By, many.On = "Test", "ann", time.Now().UTC()
	view, _ := following(t, store.Bus)
	settled := func() {
		t.Helper()
		if err := store.Unheld.SettleErasures(t.Context(), view); err != nil || len(view.All()) > 0 {
			t.Fatalf("it is not settled: %+v, %v", view.All(), err)
		}
	}
	want := map[string]int{}
	for _, e := range []run.Erasure{one(request, 1), many} {
		var told [2]run.Erasure
		for again := range told {
			if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			proctest.Until(t, func() error {
				if _, ok := view.Of(e.Task, e.First, e.Last); !ok {
					return errors.New("it is not heard of yet")
				}
				return nil
			})
			told[again] = erasing(t, store.Bus, view, request.Task)
			settled()
		}
		if told[0].Removed != told[1].Removed || !told[0].DoneOn.Equal(*told[1].DoneOn) || told[0].Removed.Runs == 0 {
			t.Errorf("the receipt is %+v, and then %+v", told[0], told[1])
		}
		want[fmt.Sprintf("%s-%s %s", e.First, e.Last, e.On)] = 1
		if all := receipts(t, store.Bus); !maps.Equal(all, want) {
			t.Errorf("the receipts are %v", all)
		}
		e.On = e.On.Add(time.Second)
		if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		erasing(t, store.Bus, view, request.Task)
		settled()
		want[fmt.Sprintf("%s-%s %s", e.First, e.Last, e.On)] = 1
		if all := receipts(t, store.Bus); !maps.Equal(all, want) {
			t.Errorf("the receipts are %v", all)
		}
	}
}

// What comes back of a run that was erased, as after a power cut, is erased again.
func TestWhatComesBackIsErasedAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := personal(t, store.Bus, request, "")
	awaitEvents(t, store.Bus, n)
	final, err := stream(t, store.Bus, "KV_runs_0").GetLastMsgForSubject(t.Context(), "$KV.runs_0.final.*.*")
	if err != nil {
		t.Fatal(err)
	}
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	erasing(t, store.Bus, view, request.Task)
	header := final.Header
	header.Del(jetstream.ExpectedLastSubjSeqHeader)
	header.Del(jetstream.ExpectedLastSubjSeqSubjHeader)
	if _, err := store.Jet().JS.PublishMsg(t.Context(), &nats.Msg{Subject: final.Subject, Header: header, Data: final.Data}); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		if err := store.Unheld.SettleErasures(t.Context(), view); err != nil {
			return err
		}
		if len(view.All()) > 0 {
			return errors.New("it is looked at again")
		}
		return nil
	})
	gone(t, store.Bus, request, n, "")
}

// A run that was erased is erased again where somebody has brought streams back to what they were, and so is its event. A
// later run of the same number, of a store that was made anew, stays.
func TestAnErasedRunThatIsBackIsErasedAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := personal(t, store.Bus, request, "")
	kept := bustest.Submit(t, store.Bus, request)
	end(t, store.Bus, request, kept)
	awaitEvents(t, store.Bus, n, kept)
	copied := t.TempDir()
	streams := filepath.Join(store.Dir, "jetstream", "$G", "streams")
	listen := store.Broker.Addr().String()
	store.Broker.Stop()
	for _, name := range []string{"KV_runs_0", "EVENTS"} {
		if err := os.CopyFS(filepath.Join(copied, name), os.DirFS(filepath.Join(streams, name))); err != nil {
			t.Fatal(err)
		}
	}
	store.Start(listen)
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	view, stop := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	erasing(t, store.Bus, view, request.Task)
	store.Jet().Settled = 0
	if err := store.Unheld.SettleErasures(t.Context(), view); err != nil || len(view.All()) > 0 {
		t.Fatalf("it is not settled: %+v, %v", view.All(), err)
	}
	stop()
	if again, err := store.Unheld.Returned(t.Context()); err != nil || len(again) > 0 {
		t.Fatalf("%+v is back, %v", again, err)
	}
	store.Broker.Stop()
	for _, name := range []string{"KV_runs_0", "EVENTS"} {
		if err := os.RemoveAll(filepath.Join(streams, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(streams, name), os.DirFS(filepath.Join(copied, name))); err != nil {
			t.Fatal(err)
		}
	}
	store.Start(listen)
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	if status, err := store.Runs.Lookup(t.Context(), request.Task, n); err != nil || !status.Final {
		t.Fatalf("it is not back: %s, %v", status.Bytes, err)
	}
	again, err := store.Unheld.Returned(t.Context())
	if err != nil || len(again) != 1 || again[0].First != n {
		t.Fatalf("%+v is back, %v", again, err)
	}
	view, _ = following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), again[0]); err != nil {
		t.Fatal(err)
	}
	erasing(t, store.Bus, view, request.Task)
	gone(t, store.Bus, request, n, "")
	awaitEvents(t, store.Bus, kept)
	if files := holding(t, store.Dir); len(files) > 0 {
		t.Errorf("%v hold the secret", files)
	}
	// A receipt of before a run was accepted is not of that run.
	later := one(request, kept)
	later.On = time.Now().Add(-time.Hour)
	done := later.On
	later.DoneOn = &done
	data, err := later.Encode()
	if err != nil {
		t.Fatal(err)
	}
	publish(t, store, "run.deleted."+string(request.Task), string(data))
	if again, err := store.Unheld.Returned(t.Context()); err != nil || len(again) > 0 {
		t.Errorf("%+v is back, %v", again, err)
	}
}

// What is erased without being overwritten, as by keep, stays in the store's files as bytes until the server writes a file
// anew of which less than half counts: then it goes. Nothing else does.
func TestWhatIsNotOverwrittenGoesWithACompaction(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	const runs, old = 800, 600 // a file has about 650
	of := func(n run.Number) string { return fmt.Sprintf("%s %d.", secret, n) }
	for n := run.Number(1); n <= runs; n++ {
		about := request
		about.Parameters = task.Values{"Name": {Values: []string{of(n) + strings.Repeat(" ", 12<<10)}, From: task.FromRequest}}
		bustest.Submit(t, store.Bus, about)
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "done", time.Now())
		if err := store.Unheld.EndUnclaimed(t.Context(), request.Task, n, doc); err != nil {
			t.Fatal(err)
		}
	}
	awaitEvents(t, store.Bus, 1, runs)
	there := func() (left int) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(store.Dir, "jetstream", "$G", "streams", "RUNS", "msgs", "*.blk"))
		if err != nil || len(files) < 2 {
			t.Fatalf("%v, %v", files, err)
		}
		var all []byte
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				all = append(all, data...)
			}
		}
		for n := run.Number(1); n <= old; n++ {
			if bytes.Contains(all, []byte(of(n))) {
				left++
			}
		}
		return left
	}
	if left := there(); left != old {
		t.Fatalf("%d of %d runs are in the files at first", left, old)
	}
	e, _, err := store.Unheld.Erasable(t.Context(), request.Task, 0, time.Now(), true)
	if err != nil || e.Overwritten || e.Last != runs {
		t.Fatalf("%+v, %v", e, err)
	}
	e.Last, e.TaskName, e.By, e.On = old, "Test", run.ByKeep, time.Now()
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	receipt := erasing(t, store.Bus, view, request.Task)
	if receipt.Removed.Runs != old || !strings.Contains(receipt.Text(), "until the NATS server writes the file anew") {
		t.Errorf("%+v: %s", receipt.Removed, receipt.Text())
	}
	if left := there(); left > old/4 {
		t.Errorf("%d of %d runs are in the files after their compaction", left, old)
	} else {
		t.Logf("%d of %d runs are in the files as bytes, whose compaction is to come", left, old)
	}
	for _, n := range []run.Number{old + 1, runs} {
		if found, err := store.Runs.Request(t.Context(), request.Task, n); err != nil || !strings.HasPrefix(found.Parameters["Name"].Values[0], of(n)) {
			t.Errorf("run %s: %v", n, err)
		}
		polled(t, store.Bus, request, n)
	}
}
