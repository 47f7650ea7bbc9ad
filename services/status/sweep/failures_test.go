package sweep_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// ends ends the next run of a task as a runner does that has ended it.
func ends(t *testing.T, store *bustest.Store, request run.Request, outcome run.Outcome) run.Number {
	t.Helper()
	n := bustest.Submit(t, store.Bus, request)
	claim := begin(t, store, request.Task, n)
	doc := run.QueuedDocument(request, n)
	doc.Begin(time.Now(), time.Now(), 1)
	doc.End(outcome, "as the test wants", time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	return n
}

// following is a view of the tasks that are held, as a service has one.
func following(t *testing.T, store *bustest.Store) *bus.Holds {
	t.Helper()
	holds := store.Open("a service").Tasks.Holds()
	if err := holds.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); holds.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return holds
}

// held waits until a view shows whether a task is held.
func held(t *testing.T, holds *bus.Holds, id task.ID, want bool) (hold run.Hold) {
	t.Helper()
	for over := time.After(proctest.Limit); ; {
		changed := holds.Changed()
		hold, is := holds.Of(id)
		if is == want {
			return hold
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("the task is held: %t", is)
		}
	}
}

// settled waits until what has ended so far is counted, and returns the count as it is stored. The last of it is to
// have been counted.
func settled(t *testing.T, store *bustest.Store, id task.ID, want ...run.Number) {
	t.Helper()
	proctest.Eventually(t, "the failures are counted", func() bool {
		stored, err := store.Jet().Control.LeaderLast(t.Context(), "$KV.control.health."+string(id))
		if err != nil {
			t.Fatal(err)
		}
		health, err := run.DecodeHealth(stored.Data)
		if err != nil || len(health.Failed) != len(want) {
			return false
		}
		for i, n := range want {
			if health.Failed[i] != n {
				return false
			}
		}
		return true
	})
}

// told waits for the event of a task that is held.
func told(t *testing.T, store *bustest.Store, id task.ID, last run.Number) {
	t.Helper()
	var event bus.Record
	proctest.Eventually(t, "the event is there", func() (there bool) {
		var err error
		event, err = store.Jet().Audit.LeaderLast(t.Context(), "run.held."+string(id))
		return err == nil
	})
	var says run.HeldEvent
	if err := json.Unmarshal(event.Data, &says); err != nil || says.ExecuteID != id || says.TaskName != "Late" || says.Failures != 3 || says.ImportID != last || says.Message != "as the test wants" {
		t.Errorf("the event says %s: %v", event.Data, err)
	}
	for name, want := range map[string]string{"ce-type": "runhook.task.held", "ce-id": string(id) + ".held." + last.String(), "ce-subject": last.String(), "ce-source": "/" + store.StoreID() + "/task/" + string(id)} {
		if got := event.Header.Get(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// Who holds a task may die before anybody is told. Another process tells then.
func TestAHoldIsTold(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "disable_after_failures: 3", 0, 0)
	held := run.Health{Counted: 7, Failed: []run.Number{3, 5, 6}, Held: &run.Hold{On: time.Now().UTC(), TaskName: "Late", Failures: 3, Run: 6, Why: "as the test wants"}}
	data, err := held.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), "$KV.control.health."+string(request.Task), data); err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "one")
	told(t, store, request.Task, 6)
	proctest.Eventually(t, "it is noted that it was told", func() bool {
		stored, err := store.Jet().Control.LeaderLast(t.Context(), "$KV.control.health."+string(request.Task))
		if err != nil {
			t.Fatal(err)
		}
		health, err := run.DecodeHealth(stored.Data)
		return err == nil && health.Held != nil && health.Held.Told
	})
}

// Three failed runs in a row hold a task, whoever counts, however often the counting begins anew, and also if runs end
// while nobody counts. Enabled, the task begins to count anew.
func TestFailedRunsHoldTheirTask(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	if err := store.KeepSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, _ := queue(t, store, "concurrency: 9\ndisable_after_failures: 3", 0, 0)
	other, _ := queue(t, store, "concurrency: 9", 0, 0)
	id := request.Task
	// Nobody counts yet.
	ends(t, store, request, run.Failed)
	ends(t, store, request, run.Success)
	first := ends(t, store, request, run.Failed)
	stop := sweeping(t, store, "one")
	sweeping(t, store, "two")
	holds := following(t, store)
	settled(t, store, id, first)
	dry := request
	dry.DryRun = true
	ends(t, store, dry, run.Failed)
	ends(t, store, request, run.Canceled)
	for range 3 {
		ends(t, store, other, run.Failed) // which is never held
	}
	second := ends(t, store, request, run.Failed)
	settled(t, store, id, first, second)
	if _, is := holds.Of(id); is {
		t.Error("the task is held after two failures")
	}
	stop()
	third := ends(t, store, request, run.Failed)
	got := held(t, holds, id, true)
	if got.Failures != 3 || got.Run != third || got.Why != "as the test wants" || time.Since(got.On) > proctest.Limit {
		t.Errorf("held: %+v", got)
	}
	told(t, store, id, third)
	ends(t, store, request, run.Success) // what was queued ends; the task stays held
	sweeping(t, store, "three")
	late := store.Open("later").Tasks.Holds()
	if err := late.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, is := late.Of(id); !is {
		t.Error("who begins later does not know that the task is held")
	}

	was, err := store.Tasks.Release(t.Context(), id)
	if err != nil || was == nil || was.Run != third {
		t.Fatal(was, err)
	}
	held(t, holds, id, false)
	if again, err := store.Tasks.Release(t.Context(), id); again != nil || err != nil {
		t.Errorf("let go twice: %+v, %v", again, err)
	}
	var numbers []run.Number
	for range 2 {
		numbers = append(numbers, ends(t, store, request, run.Failed))
	}
	settled(t, store, id, numbers...)
	ends(t, store, request, run.Failed)
	held(t, holds, id, true)
	if _, is := holds.Of(other.Task); is {
		t.Error("a task is held that allows any number of failures")
	}
}

// An event that comes while it is counted is counted, once; where the events were made anew and end before what was
// counted, those to come count.
func TestEventsThatComeMeanwhile(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "concurrency: 9\ndisable_after_failures: 3", 0, 0)
	failures := store.Unheld.Failures(request.Task)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	var before uint64
	for i := range 3 {
		ends(t, store, request, run.Failed)
		oneMore := before
		proctest.Eventually(t, "the event is there", func() bool {
			if err := store.KeepSources(ctx); err != nil {
				t.Fatal(err)
			}
			last, err := store.Unheld.Events(ctx)
			oneMore = last
			return err == nil && last > before
		})
		if held, err := failures.Count(ctx, before, 3); err != nil || (held != nil) != (i == 2) { // which is up to the event before
			t.Fatalf("after %d failures: %+v, %v", i+1, held, err)
		}
		before = oneMore
	}
	data, err := run.Health{Counted: before + 1000}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(ctx, "$KV.control.health."+string(request.Task), data); err != nil {
		t.Fatal(err)
	}
	failures = store.Unheld.Failures(request.Task)
	if held, err := failures.Count(ctx, before, 1); held != nil || err != nil {
		t.Fatal(held, err)
	}
	ends(t, store, request, run.Failed)
	proctest.Eventually(t, "the next failure counts", func() bool {
		last, err := store.Unheld.Events(ctx)
		if err != nil {
			t.Fatal(err)
		}
		held, err := failures.Count(ctx, last, 1)
		if err != nil {
			t.Fatal(err)
		}
		return held != nil
	})
}

// A process that is late, and has counted before others have held the task and somebody has let it go, begins anew with
// them: neither what it had counted nor what ended while the task was held holds it again.
func TestWhoCountsLateBeginsAnewToo(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "concurrency: 9\ndisable_after_failures: 2", 0, 0)
	one, late, last := store.Unheld.Failures(request.Task), store.Open("late").Unheld.Failures(request.Task), uint64(0)
	fails := func() {
		t.Helper()
		before := last
		ends(t, store, request, run.Failed)
		proctest.Eventually(t, "the event is there", func() bool {
			err := store.KeepSources(t.Context())
			if err == nil {
				last, err = store.Unheld.Events(t.Context())
			}
			return err == nil && last > before
		})
	}
	counts := func(by *bus.Failures, holds bool) {
		t.Helper()
		if held, err := by.Count(t.Context(), last, 2); err != nil || (held != nil) != holds {
			t.Fatalf("counted up to %d: %+v, %v", last, held, err)
		}
	}
	fails()
	counts(one, false)
	counts(late, false)
	fails()
	counts(one, true)
	fails() // one that was queued
	if was, err := store.Tasks.Release(t.Context(), request.Task); err != nil || was == nil {
		t.Fatal(was, err)
	}
	counts(late, false)
	fails()
	counts(late, false)
	fails()
	counts(late, true)
}
