package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// opensQueue opens the queue of a request's task.
func opensQueue(t *testing.T, store *bus.Bus, request run.Request) *bus.Queue {
	t.Helper()
	queue, err := store.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queue.Close)
	return queue
}

// deliver waits for the next delivery of a queue.
func deliver(t *testing.T, queue *bus.Queue) *bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	for {
		if d, err := bustest.Next(ctx, queue); err == nil {
			return d
		} else if !errors.Is(err, bus.ErrIdle) {
			t.Fatal(err)
		}
	}
}

// later stores a request whose run is to start at a time, and has it set aside.
func later(t *testing.T, store *bus.Bus, request run.Request, at time.Time) run.Number {
	t.Helper()
	request.RunAt = at
	n := bustest.Submit(t, store, request)
	d := deliver(t, opensQueue(t, store, request))
	if d.Number != n || !d.WaitsForTime() {
		t.Fatalf("run %s is delivered, and waits for its time: %t; want %s", d.Number, d.WaitsForTime(), n)
	}
	if err := store.Work.SetAside(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	d.Done()
	return n
}

// alarmsOf follows the runs that wait for their time.
func alarmsOf(t *testing.T, store *bus.Bus) *bus.Alarms {
	t.Helper()
	view := store.Runs.Alarms()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); view.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return view
}

// alarm waits for that of a run.
func alarm(t *testing.T, view *bus.Alarms, n run.Number, right func(bus.Alarm) bool) (found bus.Alarm) {
	t.Helper()
	proctest.Eventually(t, "the alarm of run "+n.String(), func() bool {
		for _, a := range view.All() {
			if a.Number == n && (right == nil || right(a)) {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

func numbers(list []bus.Status) (all []run.Number) {
	for _, s := range list {
		all = append(all, s.Document.ImportID)
	}
	return all
}

// A run that is to start at a time is in no queue until then, is listed, and keeps its task from being deleted. Its call
// puts it into the queue behind what came before, and nothing of it is left in the end.
func TestARunWaitsForItsTime(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, view := bustest.Applied(t, store.Bus), alarmsOf(t, store.Bus)
	n := later(t, store.Bus, request, time.Now().Add(time.Hour))
	a := alarm(t, view, n, nil)
	now := bustest.Submit(t, store.Bus, request)
	for name, list := range map[string]func(context.Context, run.Number, int, ...task.ID) ([]bus.Status, error){"queued": store.Runs.Queued, "open": store.Runs.Open} {
		all, err := list(t.Context(), 0, 10, request.Task)
		if err != nil || fmt.Sprint(numbers(all)) != fmt.Sprint([]run.Number{n, now}) || all[0].Document.Waiting.Kind != run.ForTime {
			t.Errorf("%s: %v, %v", name, numbers(all), err)
		}
		if first, err := list(t.Context(), 0, 1, request.Task); err != nil || len(first) != 1 || first[0].Document.ImportID != n {
			t.Errorf("%s: the first is %v, %v", name, numbers(first), err)
		}
		if rest, err := list(t.Context(), n, 10, request.Task); err != nil || len(rest) != 1 || rest[0].Document.ImportID != now {
			t.Errorf("%s: behind it are %v, %v", name, numbers(rest), err)
		}
	}
	queue := opensQueue(t, store.Bus, request)
	first := deliver(t, queue)
	if first.Number != now || first.WaitsForTime() {
		t.Fatalf("run %s is delivered", first.Number)
	}
	end(t, store.Bus, request, now)
	first.Done()
	if _, err := store.Tasks.Delete(t.Context(), bus.Task{Definition: &task.Definition{ID: request.Task}}); err == nil || !strings.Contains(err.Error(), "run "+n.String()+" has not ended") {
		t.Errorf("the task is deleted while a run of it waits: %v", err)
	}
	if _, err := view.Call(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	d := deliver(t, queue)
	if d.Number != n || d.WaitsForTime() {
		t.Fatalf("run %s is delivered, want %s", d.Number, n)
	}
	recalled, err := store.Work.Recall(t.Context(), d)
	if err != nil || recalled.TaskName != request.TaskName || recalled.Definition != request.Definition {
		t.Errorf("%+v, %v", recalled, err)
	}
	called := alarm(t, view, n, bus.Alarm.IsCalled)
	if err := view.Settle(t.Context(), request.Task, []bus.Alarm{called}); err != nil {
		t.Fatal(err)
	}
	alarm(t, view, n, bus.Alarm.IsCalled) // until its call is acknowledged
	end(t, store.Bus, request, n)
	d.Done()
	proctest.Until(t, func() error {
		if err := view.Settle(t.Context(), request.Task, []bus.Alarm{called}); err != nil {
			return err
		}
		if all := view.All(); len(all) > 0 {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	if state := stream(t, store.Bus, "RUNS").CachedInfo().State; state.Msgs != 2 {
		t.Errorf("RUNS has %d messages", state.Msgs)
	}
	if again := alarmsOf(t, store.Open("another")); len(again.All()) > 0 {
		t.Errorf("%+v", again.All())
	}
	if all, err := store.Runs.List(t.Context(), 10); err != nil || fmt.Sprint(numbers(all)) != fmt.Sprint([]run.Number{now, n}) {
		t.Errorf("listed are %v, %v", numbers(all), err)
	}
	if _, err := store.Runs.Find(t.Context(), now+1); !errors.Is(err, run.ErrNoRun) {
		t.Errorf("the number of the call: %v", err)
	}
}

// A process that dies before it has stored a call, or after that, leaves it to another one; one that stands still for so
// long that the server has forgotten all ids stores a second call, and the run starts once.
func TestCalledOnce(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"dies before", "dies after", "stands still"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request := bustest.Applied(t, store.Bus)
			n := later(t, store.Bus, request, time.Now())
			first, second := store.Open("first"), store.Open("second")
			mine, others := alarmsOf(t, first), alarmsOf(t, second)
			a := alarm(t, mine, n, nil)
			call := func() {
				if _, err := others.Call(t.Context(), alarm(t, others, n, bus.Alarm.IsBegun)); err != nil {
					t.Error(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls := 1
			switch way {
			case "dies before":
				first.Runs.OnLooked(cancel)
			case "stands still":
				first.Runs.OnLooked(func() { call(); forgetIDs(t, bustest.JetStream(t, store.Broker.URL())) })
				calls = 2
			}
			_, err := mine.Call(ctx, a)
			switch {
			case way == "dies before" && err == nil:
				t.Fatal("it is called")
			case way == "dies before":
				call()
			case way == "stands still" && !errors.Is(err, bus.ErrChanged), way == "dies after" && err != nil:
				t.Fatal(err)
			}
			if _, err := others.Call(t.Context(), a); !errors.Is(err, bus.ErrChanged) {
				t.Errorf("called again: %v", err)
			}
			queue := opensQueue(t, store.Bus, request)
			for i := range calls {
				d := deliver(t, queue)
				if d.Number != n {
					t.Fatalf("run %s is delivered", d.Number)
				}
				ended, err := store.Work.Ended(t.Context(), d.Task, d.Number)
				if err != nil || ended != (i > 0) {
					t.Errorf("call %d: ended %t, %v", i, ended, err)
				}
				if i == 0 {
					end(t, store.Bus, request, n)
				}
				d.Done()
			}
			if drained, err := bustest.Next(shortly(t), queue); drained != nil {
				t.Errorf("run %s is delivered once more, %v", drained.Number, err)
			}
		})
	}
}

// A call that is stored, whose process has died before it could say so, is found, also after the server has forgotten its
// id: there is no second one.
func TestStoredCallIsFound(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, js := bustest.Applied(t, store.Bus), bustest.JetStream(t, store.Broker.URL())
	n := later(t, store.Bus, request, time.Now())
	first := alarmsOf(t, store.Open("first"))
	if _, err := first.Call(t.Context(), alarm(t, first, n, nil)); err != nil {
		t.Fatal(err)
	}
	begun := fmt.Sprintf(`{"RunAt":%q,"Behind":1}`, time.Now().UTC().Format(time.RFC3339))
	if _, err := js.Publish(t.Context(), fmt.Sprintf("$KV.control.alarm.%s.%s", request.Task, n), []byte(begun)); err != nil {
		t.Fatal(err)
	}
	forgetIDs(t, js)
	second := alarmsOf(t, store.Open("second"))
	if _, err := second.Call(t.Context(), alarm(t, second, n, bus.Alarm.IsBegun)); err != nil {
		t.Fatal(err)
	}
	alarm(t, second, n, bus.Alarm.IsCalled)
	queue := opensQueue(t, store.Bus, request)
	d := deliver(t, queue)
	end(t, store.Bus, request, n)
	d.Done()
	if more, err := bustest.Next(shortly(t), queue); more != nil {
		t.Errorf("run %s is delivered once more, %v", more.Number, err)
	}
}

// A run that has ended before its time, and whose alarm could not be removed then, is not called: its alarm goes.
func TestEndedRunIsNotCalled(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := later(t, store.Bus, request, time.Now())
	end(t, store.Bus, request, n)
	view := alarmsOf(t, store.Open("view"))
	if _, err := view.Call(t.Context(), alarm(t, view, n, nil)); err != nil {
		t.Fatal(err)
	}
	if left := view.All(); len(left) > 0 {
		t.Errorf("left are %+v", left)
	}
	if called, err := bustest.Next(shortly(t), opensQueue(t, store.Bus, request)); called != nil {
		t.Errorf("run %s is called, %v", called.Number, err)
	}
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A run that waits for its time is not open for the overlap of its task. When the time has come it is: beside an open run
// it ends if one runs alone, and else it takes the place of those that wait.
func TestOverlapOfARunThatWaits(t *testing.T) {
	t.Parallel()
	for _, overlap := range []task.Overlap{task.RejectOverlap, task.SkipOverlap, task.LatestOverlap} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request, view := bustest.Applied(t, store.Bus), alarmsOf(t, store.Bus)
			request.Overlap = overlap
			n := later(t, store.Bus, request, time.Now().Add(time.Hour))
			free := later(t, store.Bus, request, time.Now().Add(time.Hour))
			accepted, err := store.Runs.Submit(t.Context(), request, "")
			if err != nil || accepted.Request.SkippedFor > 0 {
				t.Fatalf("beside a run that waits: %+v, %v", accepted, err)
			}
			open := accepted.Number
			queue := opensQueue(t, store.Bus, request)
			d := deliver(t, queue)
			if d.Number != open {
				t.Fatalf("run %s is delivered", d.Number)
			}
			if next, ok, err := store.Work.Successor(t.Context(), d); ok || err != nil {
				t.Errorf("run %s takes the place before its time, %v", next.Number, err)
			}
			doc, err := view.Call(t.Context(), alarm(t, view, n, nil))
			if err != nil {
				t.Fatal(err)
			}
			if !overlap.Alone() {
				next, ok, err := store.Work.Successor(t.Context(), d)
				if !ok || err != nil || next.Number != n || doc != nil {
					t.Errorf("run %s takes the place, %t, %v; %+v", next.Number, ok, err, doc)
				}
				return
			}
			want := fmt.Sprintf("Not started, because run %s of the task had not ended at the time at which this one was to start (overlap: %s)", open, overlap)
			status, err := store.Runs.Lookup(t.Context(), request.Task, n)
			if err != nil || doc == nil || status.Document.Outcome() != run.Canceled || status.Document.Message != want {
				t.Errorf("%+v, %v", status.Document, err)
			}
			end(t, store.Bus, request, open)
			d.Done()
			if doc, err := view.Call(t.Context(), alarm(t, view, free, nil)); doc != nil || err != nil {
				t.Errorf("%+v, %v", doc, err)
			}
			refused, err := store.Runs.Submit(t.Context(), request, "")
			if openRuns, ok := errors.AsType[*bus.OpenRuns](err); ok && openRuns.Runs[0] == free || err == nil && refused.Request.SkippedFor == free {
				return
			}
			t.Errorf("beside run %s, which was called: %+v, %v", free, refused, err)
		})
	}
}

// A slice is sealed and bundled once the runs that have waited for their time have ended.
func TestASliceWithCallsIsBundled(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 40})
	request, view := bustest.Applied(t, store.Bus), alarmsOf(t, store.Bus)
	n := later(t, store.Bus, request, time.Now())
	if _, err := view.Call(t.Context(), alarm(t, view, n, nil)); err != nil {
		t.Fatal(err)
	}
	end(t, store.Bus, request, n)
	for last := run.Number(0); last < 45; {
		if last = bustest.Submit(t, store.Bus, request); last < 40 {
			end(t, store.Bus, request, last)
		}
	}
	look(t, store.Unheld.Slices(), "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	if status, err := store.Runs.Lookup(t.Context(), request.Task, n); err != nil || !status.Final {
		t.Errorf("%+v, %v", status, err)
	}
	if _, err := store.Runs.Lookup(t.Context(), request.Task, n+1); !errors.Is(err, run.ErrNoRun) && !errors.Is(err, run.ErrRunGone) {
		t.Errorf("the number of the call: %v", err)
	}
}

// What another program writes in the place of an alarm, or as that of a run that never waited, starts and stops nothing.
func TestForgedAlarms(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, view := bustest.Applied(t, store.Bus), alarmsOf(t, store.Bus)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	n := later(t, store.Bus, request, at)
	plain := bustest.Submit(t, store.Bus, request)
	subject := func(n run.Number) string { return "$KV.control.alarm." + string(request.Task) + "." + n.String() }
	publish(t, store, subject(n), "forged")
	publish(t, store, subject(plain), `{"RunAt":"2020-01-01T00:00:00Z"}`)
	forged := alarm(t, view, n, func(a bus.Alarm) bool { return a.RunAt.IsZero() })
	if _, err := view.Call(t.Context(), forged); !errors.Is(err, bus.ErrChanged) {
		t.Errorf("%v", err)
	}
	if _, err := view.Call(t.Context(), alarm(t, view, plain, nil)); err != nil {
		t.Error(err)
	}
	alarm(t, view, n, func(a bus.Alarm) bool { return a.RunAt.Equal(at) })
	if all := view.All(); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	publish(t, store, subject(n), fmt.Sprintf(`{"RunAt":%q,"Call":1}`, at.Format(time.RFC3339)))
	called := alarm(t, view, n, bus.Alarm.IsCalled)
	if err := view.Settle(t.Context(), request.Task, []bus.Alarm{called}); err != nil {
		t.Error(err)
	}
	mended := alarm(t, view, n, func(a bus.Alarm) bool { return !a.IsCalled() })
	if _, err := view.Call(t.Context(), mended); err != nil {
		t.Fatal(err)
	}
	queue := opensQueue(t, store.Bus, request)
	first := deliver(t, queue)
	if first.Number != plain {
		t.Fatalf("run %s is delivered", first.Number)
	}
	end(t, store.Bus, request, plain)
	first.Done()
	if d := deliver(t, queue); d.Number != n {
		t.Errorf("run %s is delivered", d.Number)
	}
}
