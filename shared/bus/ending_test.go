package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// watch opens a view of the store's tasks, and a function that waits until the view is as it should be.
func watch(t testing.TB, store *bustest.Store) (*bus.TaskView, func(what string, right func() bool)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	view, done, err := store.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); <-done })
	return view, func(what string, right func() bool) {
		t.Helper()
		bustest.AwaitView(t, view, what, right)
	}
}

// put applies a definition and returns it as the view has it.
func put(t testing.TB, store *bustest.Store, def *task.Definition) {
	t.Helper()
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
}

// rotated is a definition under a new id.
func rotated(t testing.TB, def *task.Definition) *task.Definition {
	t.Helper()
	next, err := taskfile.Parse(bustest.Renamed(def.Text, def.ID, task.NewID(), time.Now().Add(time.Hour)), "rotated.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func queueOf(view *bus.TaskView, id task.ID) (bus.TaskQueue, bool) {
	queues := view.Queues()
	i := slices.IndexFunc(queues, func(q bus.TaskQueue) bool { return q.Task == id })
	if i < 0 {
		return bus.TaskQueue{}, false
	}
	return queues[i], true
}

// The ids of a task's webhook lead to the task, as long as its definition has them.
func TestWebhookIDs(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	view, await := watch(t, store)
	def, other := bustest.Definition(t, "Refresh", 1), bustest.Definition(t, "Other", 1)
	put(t, store, def)
	put(t, store, other)
	rotate := func(def *task.Definition, to task.ID) *task.Definition {
		t.Helper()
		text, err := taskfile.Rotate(def.Text, to, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		next, err := taskfile.Parse(text, "rotated.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	leads := func(id task.ID) bool { of, ok := view.Of(id); return ok && of.ID == def.ID }
	a, b := task.NewID(), task.NewID()
	once := rotate(def, a)
	put(t, store, once)
	await("the webhook's id", func() bool { return leads(a) && leads(def.ID) && len(view.All()) == 2 })
	put(t, store, rotate(once, b))
	await("both", func() bool { return leads(a) && leads(b) && leads(def.ID) })
	if id, found := view.Named("{" + strings.ToUpper(string(b)) + "}"); id != b || found.ID != def.ID {
		t.Errorf("it is %s of %s", id, found.ID)
	}
	if ids := view.IDs(def.ID); len(ids) != 1 {
		t.Errorf("runs are stored under %v", ids)
	}
	for name, clashing := range map[string]*task.Definition{"the webhook's": rotate(other, b), "a former one": rotate(other, a), "the task's": rotate(other, def.ID)} {
		if id, with, clashes := view.Clash(clashing, nil); !clashes || with.ID != def.ID || id != clashing.WebhookID() {
			t.Errorf("%s: %s of %s, %v", name, id, with.Name, clashes)
		}
	}
	if id, _, clashes := view.Clash(rotate(once, b), nil); clashes {
		t.Errorf("its own %s is another's", id)
	}
	if _, with, clashes := view.Clash(rotate(other, b), func(id task.ID) bool { return id == def.ID }); clashes {
		t.Errorf("%s is not passed over", with.Name)
	}
	// Two that contradict each other are told apart the same way everywhere, and whose alone is left has it.
	thief := rotate(other, b)
	put(t, store, thief)
	await("the thief", func() bool { now, _ := view.Get(other.ID); return now.Hash == thief.Hash })
	if of, _ := view.Of(b); of.ID != min(def.ID, other.ID) {
		t.Errorf("it leads to %s", of.Name)
	}
	put(t, store, other)
	await("the owner", func() bool { return leads(b) })
	was, _ := view.Get(def.ID)
	if _, err := store.Tasks.Delete(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	await("the deletion", func() bool { of, ok := view.Of(b); return ok && of.Deleted })
	if _, _, clashes := view.Clash(rotate(other, b), nil); clashes {
		t.Error("the id of a deleted task is taken")
	}
	put(t, store, def) // without a webhook of its own
	await("that it is gone", func() bool { _, ok := view.Of(b); return !ok && leads(def.ID) })
}

func TestRotation(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ctx := t.Context()
	view, await := watch(t, store)
	first := bustest.Definition(t, "Refresh", 1)
	put(t, store, first)
	await("the task", func() bool { _, ok := view.Get(first.ID); return ok })
	old := bustest.Submit(t, store.Bus, run.Request{Task: first.ID, TaskName: "Refresh", Definition: first.Hash, CreatedOn: time.Now()})

	second := rotated(t, first)
	put(t, store, second)
	await("the new id alone", func() bool {
		all := view.All()
		return len(all) == 1 && all[0].ID == second.ID
	})
	third := rotated(t, second)
	put(t, store, third)
	await("what both former ids lead to", func() bool {
		a, okA := view.Of(first.ID)
		b, okB := view.Of(second.ID)
		return okA && okB && a.ID == third.ID && b.ID == third.ID
	})
	ids := view.IDs(third.ID)
	slices.Sort(ids[1:])
	if want := []task.ID{min(first.ID, second.ID), max(first.ID, second.ID)}; ids[0] != third.ID || !slices.Equal(ids[1:], want) {
		t.Errorf("ids %v", ids)
	}

	// The run of the first id is found under it, and listed with the task.
	if _, err := store.Runs.Lookup(ctx, first.ID, old); err != nil {
		t.Error(err)
	}
	if runs, err := store.Runs.List(ctx, 10, ids...); err != nil || len(runs) != 1 || runs[0].Document.ImportID != old {
		t.Errorf("listed: %v %v", runs, err)
	}
	// Its queue stays, ended, and comes before the present one.
	queue, _ := queueOf(view, first.ID)
	if next, ok := queueOf(view, third.ID); !queue.Ended || !ok || next.Ended || !slices.Contains(next.After, first.ID) {
		t.Errorf("queues %+v and %+v", queue, next)
	}
	if drained, err := store.Work.Drained(ctx, first.ID); err != nil || drained {
		t.Errorf("drained with a request in it: %v %v", drained, err)
	}
	if gone, err := store.Work.Retire(ctx, first.ID, 0); err != nil || gone {
		t.Errorf("retired with a request in it: %v %v", gone, err)
	}
	if gone, err := store.Work.Retire(ctx, second.ID, time.Hour); err != nil || gone {
		t.Errorf("retired too early: %v %v", gone, err)
	}
	if gone, err := store.Work.Retire(ctx, third.ID, 0); err != nil || gone {
		t.Errorf("a task that has not ended was retired: %v %v", gone, err)
	}
	if gone, err := store.Work.Retire(ctx, second.ID, 0); err != nil || !gone {
		t.Errorf("an empty queue was not retired: %v %v", gone, err)
	}
	await("that the queue is gone", func() bool { _, ok := queueOf(view, second.ID); return !ok })
	if _, err := store.Work.Queue(ctx, second.ID); !errors.Is(err, bus.ErrNoConsumer) {
		t.Errorf("the retired queue is there: %v", err)
	}

	// The file from before does not undo it, but for a folder's.
	if _, err := store.Tasks.Apply(ctx, first, false); !errors.Is(err, bus.ErrRotated) || !strings.Contains(err.Error(), string(third.ID)) {
		t.Errorf("the file from before: %v", err)
	}
	if _, err := store.Tasks.Apply(ctx, first, true); err != nil {
		t.Error(err)
	}
	await("the folder's task", func() bool { back, ok := view.Get(first.ID); return ok && back.Enabled })
}

// A definition that lists former ids is applied to a store that never had them.
func TestFormerIDsOfAnotherStore(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	view, await := watch(t, store)
	first := bustest.Definition(t, "Refresh", 1)
	second := rotated(t, first)
	put(t, store, second)
	await("the former id", func() bool { of, ok := view.Of(first.ID); return ok && of.ID == second.ID })
	if _, ok := queueOf(view, first.ID); ok {
		t.Error("an id that never had a consumer is pulled from")
	}
	if changed, err := store.Tasks.Apply(t.Context(), second, false); err != nil || changed {
		t.Errorf("applied again: %v %v", changed, err)
	}
}

func TestReviseKeepsWhatSomebodyElseChanged(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	view, await := watch(t, store)
	def := bustest.Definition(t, "Refresh", 1)
	put(t, store, def)
	await("the task", func() bool { _, ok := view.Get(def.ID); return ok })
	was, _ := view.Get(def.ID)
	disabled, err := taskfile.SetEnabled(def.Text, false)
	if err != nil {
		t.Fatal(err)
	}
	next, err := taskfile.Parse(disabled, "disabled.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Tasks.Revise(t.Context(), was, next); err != nil {
		t.Fatal(err)
	}
	await("the change", func() bool { now, _ := view.Get(def.ID); return !now.Enabled })
	if err := store.Tasks.Revise(t.Context(), was, def); !errors.Is(err, bus.ErrChanged) {
		t.Errorf("what was read before was revised: %v", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ctx := t.Context()
	view, await := watch(t, store)
	def := bustest.Definition(t, "Refresh", 1)
	put(t, store, def)
	await("the task", func() bool { _, ok := view.Get(def.ID); return ok })
	request := run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, CreatedOn: time.Now()}
	ended, open := bustest.Submit(t, store.Bus, request), bustest.Submit(t, store.Bus, request)
	end := func(n run.Number) {
		t.Helper()
		claim, err := store.Work.Claim(ctx, def.ID, n, run.Claim{Owner: "test", Executions: 1})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "done", time.Now())
		if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
			t.Fatal(err)
		}
	}
	end(ended) // and not acknowledged
	was, _ := view.Get(def.ID)
	deleted, err := store.Tasks.Delete(ctx, was)
	if refused, ok := errors.AsType[*bus.OpenRuns](err); deleted || !ok || !slices.Equal(refused.Runs, []run.Number{open}) || refused.More {
		t.Fatalf("with an open run: %v %v", deleted, err)
	}
	if want := fmt.Sprintf("run %s has not ended", open); err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	for range 11 {
		bustest.Submit(t, store.Bus, request)
	}
	if _, err := store.Tasks.Delete(ctx, was); err == nil || !strings.HasPrefix(err.Error(), "runs 2, 3, ") || !strings.HasSuffix(err.Error(), "11 and more have not ended") {
		t.Errorf("with many open runs: %v", err)
	}
	for n := open; n <= open+11; n++ {
		end(n)
	}
	if deleted, err := store.Tasks.Delete(ctx, was); err != nil || !deleted {
		t.Fatalf("without open runs: %v %v", deleted, err)
	}
	await("that it is gone", func() bool { _, ok := view.Get(def.ID); return !ok })
	if of, ok := view.Of(def.ID); !ok || !of.Deleted || of.Name != "Refresh" || of.Enabled || len(view.All()) != 0 {
		t.Errorf("the tombstone is %+v", of)
	}
	if _, err := store.Runs.Lookup(ctx, def.ID, ended); err != nil {
		t.Errorf("its run does not answer: %v", err)
	}
	if changed, err := store.Tasks.Remove(ctx, def.ID); err != nil || changed {
		t.Errorf("a deleted task was removed: %v %v", changed, err)
	}
	if again, err := store.Tasks.Delete(ctx, was); err != nil || again {
		t.Errorf("deleted twice: %v %v", again, err)
	}
	put(t, store, def)
	await("that it is back", func() bool { back, ok := view.Get(def.ID); return ok && back.Enabled })
}

// A POST repeated with its key after a rotation finds its run, by the id that the caller uses.
func TestIdempotencyKeyOfAFormerID(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	first := bustest.Definition(t, "Refresh", 1)
	put(t, store, first)
	second := rotated(t, first)
	put(t, store, second)
	submit := func(request run.Request) bus.Accepted {
		t.Helper()
		accepted, err := store.Runs.Submit(t.Context(), request, "key")
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	of := func(def *task.Definition, calledAs task.ID) run.Request {
		return run.Request{Task: def.ID, CalledAs: calledAs, TaskName: def.Name, Definition: def.Hash, ParameterHash: "h", CreatedOn: time.Now()}
	}
	before := submit(of(first, ""))
	after := submit(of(second, first.ID))
	if !after.Replayed || after.Number != before.Number || after.Request.Task != first.ID {
		t.Errorf("%+v is no replay of %+v", after, before)
	}
	if other := submit(of(second, "")); other.Replayed {
		t.Error("the key of a caller of the former id was taken for another caller's")
	}
}
