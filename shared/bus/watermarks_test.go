package bus_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// claimed is a run that somebody has claimed.
func claimed(t *testing.T, store *bus.Bus, request run.Request) (run.Number, *bus.Claim) {
	t.Helper()
	n := bustest.Submit(t, store, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "a", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return n, claim
}

// taken is the claim of whoever takes a run over.
func taken(t *testing.T, store *bus.Bus, id task.ID, n run.Number) *bus.Claim {
	t.Helper()
	seen, found, err := store.Work.FindClaim(t.Context(), id, n)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	claim, err := store.Work.TakeOver(t.Context(), id, n, seen, seen.State.Next("b"))
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// final is the final document of a run.
func final(request run.Request, n run.Number, outcome run.Outcome) run.Document {
	doc := run.QueuedDocument(request, n)
	doc.End(outcome, "ended", time.Now())
	return doc
}

// move says what a claim's run has seen.
func move(t *testing.T, store *bus.Bus, claim *bus.Claim, value string) *bus.Moving {
	t.Helper()
	moving, err := store.Work.Watermarks().Move(t.Context(), claim, "id", value, 0)
	if err != nil {
		t.Fatal(err)
	}
	return moving
}

// wantMark wants the watermark to be something, whoever reads it, and to stay that once it is settled.
func wantMark(t *testing.T, store *bus.Bus, id task.ID, want string) {
	t.Helper()
	for range 2 {
		now, err := store.Tasks.Watermarks().Read(t.Context(), id)
		if err != nil || now.Of("id") != want {
			t.Errorf("the watermark is %q, %v; want %q", now.Of("id"), err, want)
		}
		if _, err := store.Work.Watermarks().Settle(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// Whoever dies between any two steps of a run's end leaves a watermark that is right: it has moved if, and only if, the
// run has succeeded.
func TestWatermarkBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	for name, c := range map[string]struct {
		// end is what becomes of the run that is said to move it to 7.
		end  func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, moving *bus.Moving)
		want string
	}{
		"died before the final document": {func(*testing.T, run.Request, run.Number, *bus.Claim, *bus.Moving) {}, ""},
		"died behind it": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, _ *bus.Moving) {
			if err := claim.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
		}, "7"},
		"all steps": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, moving *bus.Moving) {
			if err := claim.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
			if err := moving.Done(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
		}, "7"},
		"failed after all": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, _ *bus.Moving) {
			if err := claim.Finish(t.Context(), final(request, n, run.Failed), nil); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"canceled after all": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, _ *bus.Moving) {
			if err := claim.Finish(t.Context(), final(request, n, run.Canceled), nil); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"taken over, and the taker has seen less": {func(t *testing.T, request run.Request, n run.Number, _ *bus.Claim, _ *bus.Moving) {
			taker := taken(t, store.Bus, request.Task, n)
			moving := move(t, store.Bus, taker, "5")
			if err := taker.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
			if err := moving.Done(t.Context(), taker); err != nil {
				t.Fatal(err)
			}
		}, "5"},
		"taken over, and the taker has seen nothing": {func(t *testing.T, request run.Request, n run.Number, _ *bus.Claim, _ *bus.Moving) {
			taker := taken(t, store.Bus, request.Task, n)
			if err := taker.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"stood still, and wakes when the taker has ended the run": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, _ *bus.Moving) {
			taker := taken(t, store.Bus, request.Task, n)
			moving := move(t, store.Bus, taker, "5")
			if err := taker.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
			if err := moving.Done(t.Context(), taker); err != nil {
				t.Fatal(err)
			}
			move(t, store.Bus, claim, "9")
			if err := claim.Finish(t.Context(), final(request, n, run.Success), nil); !errors.Is(err, bus.ErrLost) {
				t.Errorf("the run ends twice: %v", err)
			}
		}, "5"},
		"an operator sets it meanwhile": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, moving *bus.Moving) {
			if _, err := store.Tasks.Watermarks().Set(t.Context(), request.Task, "id", "2", "ann"); err != nil {
				t.Fatal(err)
			}
			if err := claim.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
			if err := moving.Done(t.Context(), claim); !errors.Is(err, bus.ErrChanged) {
				t.Errorf("what was set is written over: %v", err)
			}
		}, "2"},
		"an operator resets it before": {func(t *testing.T, request run.Request, n run.Number, claim *bus.Claim, _ *bus.Moving) {
			if _, err := store.Tasks.Watermarks().Set(t.Context(), request.Task, "id", "", "ann"); err != nil {
				t.Fatal(err)
			}
			if again := move(t, store.Bus, claim, "7"); again != nil {
				t.Error("a run that began before moves it")
			}
			if err := claim.Finish(t.Context(), final(request, n, run.Success), nil); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := bustest.Applied(t, store.Bus)
			n, claim := claimed(t, store.Bus, request)
			c.end(t, request, n, claim, move(t, store.Bus, claim, "7"))
			wantMark(t, store.Bus, request.Task, c.want)
		})
	}
}

// Runs of one task that end at once move it to the highest of what those have seen that succeed, never back and never
// beyond.
func TestWatermarkOfRunsAtOnce(t *testing.T) {
	t.Parallel()
	const runs = 24
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	var all sync.WaitGroup
	for i := range runs {
		n, claim := claimed(t, store.Bus, request)
		all.Go(func() {
			moving, err := store.Work.Watermarks().Move(t.Context(), claim, "id", fmt.Sprint(i+1), 0)
			if err != nil {
				t.Error(err)
				return
			}
			outcome := run.Success
			switch {
			case i%4 == 3:
				outcome = run.Failed
			case i%4 == 2: // its process dies
				return
			}
			if err := claim.Finish(t.Context(), final(request, n, outcome), nil); err != nil {
				t.Error(err)
			}
			if moving != nil && i%4 == 0 {
				if err := moving.Done(t.Context(), claim); err != nil && !errors.Is(err, bus.ErrChanged) {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			if _, err := store.Tasks.Watermarks().Read(t.Context(), request.Task); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantMark(t, store.Bus, request.Task, fmt.Sprint(runs-2))
}

// What another program has put in the place of a watermark stops the task's runs, instead of having them read all, until
// somebody sets it.
func TestForeignWatermark(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	_, claim := claimed(t, store.Bus, request)
	move(t, store.Bus, claim, "7")
	js := bustest.JetStream(t, store.Broker.URL())
	if _, err := js.Publish(t.Context(), "$KV.control.since."+string(request.Task), []byte(`{"Column":"id","Value":"junk"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.Watermarks().Settle(t.Context(), request.Task); !errors.Is(err, bus.ErrForeignWatermark) {
		t.Errorf("it is read: %v", err)
	}
	if moving := move(t, store.Bus, claim, "9"); moving != nil {
		t.Error("it is moved")
	}
	if _, err := store.Tasks.Watermarks().Set(t.Context(), request.Task, "id", "3", "ann"); err != nil {
		t.Fatal(err)
	}
	if moving := move(t, store.Bus, claim, "9"); moving != nil {
		t.Error("a run that began before it was set moves it")
	}
	wantMark(t, store.Bus, request.Task, "3")
}

// A task that is deleted takes its watermark with it.
func TestDeletedWatermark(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	if _, err := store.Tasks.Watermarks().Set(t.Context(), request.Task, "id", "3", "ann"); err != nil {
		t.Fatal(err)
	}
	view, done, err := store.Tasks.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { <-done })
	found, _ := view.Get(request.Task)
	if deleted, err := store.Tasks.Delete(t.Context(), found); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	wantMark(t, store.Bus, request.Task, "")
}
