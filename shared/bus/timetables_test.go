package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// scheduled is a request that a schedule has due.
func scheduled(t *testing.T, store *bustest.Store) run.Request {
	t.Helper()
	request := bustest.Applied(t, store.Bus)
	request.Trigger, request.ScheduledFor = run.Schedule, time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	return request
}

// only wants one request of a time, and says which it is.
func only(t *testing.T, store *bustest.Store, id task.ID) (n run.Number) {
	t.Helper()
	for behind := run.Number(0); ; {
		next, ok, err := store.Unheld.Next(t.Context(), id, behind)
		switch {
		case err != nil:
			t.Fatal(err)
		case !ok:
			return n
		case next.Request.Trigger == run.Schedule && n > 0:
			t.Errorf("runs %s and %s are of the same time", n, next.Number)
		case next.Request.Trigger == run.Schedule:
			n = next.Number
		}
		behind = next.Number
	}
}

// A process that is paused between its look and its write, for so long that the server has forgotten all ids, starts no
// second run; nor does one that is refused because other requests came.
func TestPausedBeforeAScheduledRun(t *testing.T) {
	t.Parallel()
	for _, overlap := range []task.Overlap{"", task.SkipOverlap, task.RejectOverlap, task.LatestOverlap} {
		t.Run("overlap "+string(overlap), func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			js := bustest.JetStream(t, store.Broker.URL())
			forgetIDs(t, js) // and all that come, a moment later
			request := scheduled(t, store)
			request.Overlap = overlap
			paused, other := store.Open("paused"), store.Open("other")
			behind, err := paused.Runs.End(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first, looks := bus.Accepted{}, 0
			paused.Runs.OnLooked(func() {
				if looks++; looks > 1 {
					return
				}
				if first, err = other.Runs.SubmitScheduled(t.Context(), request, 0, behind, false); err != nil {
					t.Error(err)
				}
				forgetIDs(t, js)
			})
			accepted, err := paused.Runs.SubmitScheduled(t.Context(), request, 0, behind, true)
			if err != nil || accepted.Number != first.Number || !accepted.Replayed {
				t.Errorf("%+v, %v; the other has %+v", accepted, err, first)
			}
			if n := only(t, store, request.Task); n != first.Number || looks != 1 {
				t.Errorf("run %s, after %d looks", n, looks)
			}
		})
	}
}

// Requests of the task that come between the look and the write are looked at, and hold up nothing. What is due at
// another time, or by another entry, is another run.
func TestScheduledAmongOthers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	forgetIDs(t, bustest.JetStream(t, store.Broker.URL())) // and all that come, a moment later
	request, looks := scheduled(t, store), 0
	webhook := request
	webhook.Trigger, webhook.ScheduledFor = run.Webhook, time.Time{}
	store.Runs.OnLooked(func() {
		if looks++; looks < 4 {
			bustest.Submit(t, store.Bus, webhook)
		}
	})
	accepted, err := store.Runs.SubmitScheduled(t.Context(), request, 0, 0, true)
	if err != nil || accepted.Replayed || looks != 4 {
		t.Errorf("%+v, %v", accepted, err)
	}
	forgetIDs(t, bustest.JetStream(t, store.Broker.URL()))
	again, err := store.Runs.SubmitScheduled(t.Context(), request, 0, 0, false)
	if err != nil || again.Number != accepted.Number || !again.Replayed || !again.Request.ScheduledFor.Equal(request.ScheduledFor) {
		t.Errorf("%+v, %v", again, err)
	}
	for _, other := range []struct {
		at    time.Time
		entry int
	}{{request.ScheduledFor, 1}, {request.ScheduledFor.Add(time.Second), 0}} {
		request := request
		request.ScheduledFor = other.at
		if got, err := store.Runs.SubmitScheduled(t.Context(), request, other.entry, 0, false); err != nil || got.Number <= accepted.Number || got.Replayed {
			t.Errorf("%+v: %+v, %v", other, got, err)
		}
	}
}

// A task with overlap: reject starts no run beside one that is open, and names it.
func TestScheduledBesideAnOpenRun(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := scheduled(t, store)
	request.Overlap = task.RejectOverlap
	n := bustest.Submit(t, store.Bus, request)
	request.ScheduledFor = request.ScheduledFor.Add(time.Hour)
	_, err := store.Runs.SubmitScheduled(t.Context(), request, 0, 0, true)
	if open, ok := errors.AsType[*bus.OpenRuns](err); !ok || fmt.Sprint(open.Runs) != fmt.Sprint([]run.Number{n}) {
		t.Errorf("%v", err)
	}
}

// A run is found that has ended and whose request has left RUNS for a bundle.
func TestScheduledAndBundled(t *testing.T) {
	t.Parallel()
	store := sliced(t, bus.Topology{Slice: 40})
	forgetIDs(t, bustest.JetStream(t, store.Broker.URL())) // and all that come, a moment later
	request := scheduled(t, store)
	accepted, err := store.Runs.SubmitScheduled(t.Context(), request, 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	webhook := request
	webhook.Trigger, webhook.ScheduledFor = run.Webhook, time.Time{}
	end(t, store.Bus, request, accepted.Number)
	for last := run.Number(0); last < 45; {
		if last = bustest.Submit(t, store.Bus, webhook); last < 40 {
			end(t, store.Bus, webhook, last)
		}
	}
	look(t, store.Unheld.Slices(), "bundled", func() bool {
		return isBundled(t, store.Bus, "KV_runs_0") && stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq == 40
	})
	forgetIDs(t, bustest.JetStream(t, store.Broker.URL()))
	again, err := store.Runs.SubmitScheduled(t.Context(), request, 0, 0, false)
	if err != nil || again.Number != accepted.Number || !again.Replayed {
		t.Errorf("%+v, %v", again, err)
	}
}

// A timetable is written in the place of the one that was read, and what is none gives its place.
func TestTimetables(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	id, view := bustest.Applied(t, store.Bus).Task, store.Unheld.Timetables()
	if none, err := view.Read(t.Context(), id); err != nil || none.Revision != 0 {
		t.Fatal(none, err)
	}
	at := time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	table := run.Timetable{Definition: "x", Done: at}
	written, err := view.Write(t.Context(), id, table, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.Write(t.Context(), id, table, 0); !errors.Is(err, bus.ErrChanged) {
		t.Errorf("in the place of none: %v", err)
	}
	table = written.Past(at.Add(time.Hour), 1, run.Dealt{Due: at.Add(time.Hour), Run: 7})
	if written, err = view.Write(t.Context(), id, table, written.Revision); err != nil {
		t.Fatal(err)
	}
	read, err := store.Open("another").Unheld.Timetables().Read(t.Context(), id)
	if err != nil || read.Revision != written.Revision || !read.Done.Equal(table.Done) || read.Entries != 1 || len(read.Recent) != 1 || read.Recent[0].Run != 7 {
		t.Errorf("%+v, %v", read, err)
	}
	publish(t, store, "$KV.control.schedule."+string(id), "forged")
	forged, err := view.Read(t.Context(), id)
	if err != nil || forged.Revision <= read.Revision || !forged.Done.IsZero() {
		t.Errorf("%+v, %v", forged, err)
	}
	if _, err := view.Write(t.Context(), id, table, forged.Revision); err != nil {
		t.Error(err)
	}
}
