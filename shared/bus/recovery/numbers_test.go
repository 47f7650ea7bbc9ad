package recovery_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// exact is below what every reader of JSON has as it was written.
const exact = 1 << 53

// madeOn makes a store of a backup of that age.
func (r *ran) madeOn(t *testing.T, madeOn time.Time, after func()) *ran {
	t.Helper()
	parts := r.parts(t)
	if after != nil {
		after()
	}
	other := &ran{Store: bustest.Empty(t, false), request: r.request, finals: map[run.Number]string{}}
	if err := restore(t.Context(), other.Bus, 0, parts, madeOn); err != nil {
		t.Fatal(err)
	}
	return other
}

// moveOn has RUNS give out so many sequences for messages of no meaning.
func (r *ran) moveOn(t *testing.T, n int) {
	t.Helper()
	for sent := range n {
		if sent%500 < 499 { // a stream's queue takes a thousand
			if err := r.Jet().NC.Publish("run.skipped", nil); err != nil {
				t.Fatal(err)
			}
		} else if _, err := r.Jet().JS.Publish(t.Context(), "run.skipped", nil); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *ran) parts(t *testing.T) []part {
	t.Helper()
	var made made
	if err := recovery.Backup(t.Context(), r.Bus, &made); err != nil {
		t.Fatal(err)
	}
	return made.parts
}

// However many runs were accepted after a backup, and however often the store is restored, none of their
// numbers is another run's, and all of them are exact in JSON. What was restored keeps its own.
func TestNumbersAfterARestore(t *testing.T) {
	t.Parallel()
	r := newRan(t, 3)
	waiting, err := r.Runs.Submit(t.Context(), r.request, "a key")
	if err != nil {
		t.Fatal(err)
	}
	var late run.Number
	once := r.madeOn(t, time.Now(), func() {
		r.moveOn(t, 2500) // more than any gap of sequences was
		late = bustest.Submit(t, r.Bus, r.request)
	})
	if _, err := once.Runs.Lookup(t.Context(), r.request.Task, late); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("run %s, accepted after the backup: %v", late, err)
	}
	fresh := bustest.Submit(t, once.Bus, r.request)
	if fresh <= late {
		t.Errorf("run %s is another one's after %s", fresh, late)
	}
	if _, err := once.Runs.Lookup(t.Context(), r.request.Task, late); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("run %s, accepted after the backup: %v", late, err)
	}
	if _, err := once.Runs.Find(t.Context(), late); !errors.Is(err, run.ErrNoRun) {
		t.Errorf("find run %s, accepted after the backup: %v", late, err)
	}
	for n, final := range r.finals {
		if status, err := once.Runs.Lookup(t.Context(), r.request.Task, n); err != nil || string(status.Bytes) != final {
			t.Errorf("run %s: %v\n%s\nwas\n%s", n, err, status.Bytes, final)
		}
	}
	if again, err := once.Runs.Submit(t.Context(), r.request, "a key"); err != nil || again.Number != waiting.Number || !again.Replayed {
		t.Errorf("the POST of run %s, repeated: %+v, %v", waiting.Number, again, err)
	}
	keyed, err := once.Runs.Submit(t.Context(), r.request, "another key")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := once.Runs.Submit(t.Context(), r.request, "another key"); err != nil || again.Number != keyed.Number || !again.Replayed {
		t.Errorf("the POST of run %s, repeated: %+v, %v", keyed.Number, again, err)
	}
	once.wantListed(t, keyed.Number, fresh, waiting.Number, waiting.Number-1)
	if err := once.Init(t.Context(), bus.Topology{Embedded: true}); err != nil { // as every start does
		t.Fatal(err)
	}
	if next := bustest.Submit(t, once.Bus, r.request); next <= keyed.Number || next > keyed.Number+10 {
		t.Errorf("after run %s comes %s", keyed.Number, next)
	}
	last := once.execute(t) // and all before it
	if status, err := once.Runs.Lookup(t.Context(), r.request.Task, waiting.Number); err != nil || !status.Final {
		t.Errorf("the run that waited: %+v, %v", status.Document, err)
	}
	var open []run.Number
	_, err = once.Unheld.Unacknowledged(t.Context(), r.request.Task, 0, func(w bus.Waiting) (bool, error) {
		open = append(open, w.Number)
		return true, nil
	})
	if err != nil || len(open) > 0 && !slices.Equal(open, []run.Number{last}) {
		t.Errorf("after all have ended there are %v, %v", open, err)
	}

	const years = 10
	twice := once.madeOn(t, time.Now().AddDate(-years, 0, 0), nil)
	sixth := bustest.Submit(t, twice.Bus, r.request)
	if most := run.Number(years * 365 * 24 * 3600 * 100_000); sixth < last+most || sixth > exact {
		t.Errorf("run %s, %d years after run %s: another one may have it, or it is not exact", sixth, years, last)
	}
	for n, final := range once.finals {
		if status, err := twice.Runs.Lookup(t.Context(), r.request.Task, n); err != nil || string(status.Bytes) != final {
			t.Errorf("run %s: %v\n%s\nwas\n%s", n, err, status.Bytes, final)
		}
	}
	if err := recovery.Repair(t.Context(), twice.Bus, nil, false); err != nil {
		t.Fatal(err)
	}
	if next := bustest.Submit(t, twice.Bus, r.request); next != sixth+1 {
		t.Errorf("after run %s and a look for damage comes %s", sixth, next)
	}
}

// wantListed wants the newest runs to be these.
func (r *ran) wantListed(t *testing.T, want ...run.Number) {
	t.Helper()
	statuses, err := r.Runs.List(t.Context(), len(want), r.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	var listed []run.Number
	for _, status := range statuses {
		listed = append(listed, status.Document.ImportID)
	}
	if !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
}

// A clock that is wrong by centuries must not use the numbers up.
func TestRestoreWithoutNumbersLeft(t *testing.T) {
	t.Parallel()
	r := newRan(t, 1)
	runs, err := r.Jet().JS.Stream(t.Context(), "RUNS")
	if err != nil {
		t.Fatal(err)
	}
	config := runs.CachedInfo().Config
	config.Metadata["runhook-numbers"] = fmt.Sprintf("%d+%d", runs.CachedInfo().State.LastSeq, uint64(exact)*3/8)
	if _, err := r.Jet().JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	once := r.madeOn(t, time.Time{}, nil)
	if n := bustest.Submit(t, once.Bus, r.request); n <= exact*3/8 || n > exact {
		t.Errorf("run %s is not exact", n)
	}
	next := bustest.Empty(t, false)
	if err := restore(t.Context(), next.Bus, 0, once.parts(t), time.Time{}); err == nil || !strings.Contains(err.Error(), "set the clock right") {
		t.Errorf("the second restore: %v", err)
	}
	if _, err := recovery.StoreID(t.Context(), next.Bus); err == nil {
		t.Error("a store was left")
	}
}

// Somebody overwrites the note of what was restored: keys of before the backup start nothing all the same.
func TestKeysAfterARestoreWhoseNoteIsForeign(t *testing.T) {
	t.Parallel()
	r := newRan(t, 1)
	before, err := r.Runs.Submit(t.Context(), r.request, "a key")
	if err != nil {
		t.Fatal(err)
	}
	restored := r.madeOn(t, time.Now(), nil)
	if _, err := bustest.JetStream(t, restored.Broker.URL()).Publish(t.Context(), "$KV.control.restored", []byte("no number")); err != nil {
		t.Fatal(err)
	}
	if again, err := restored.Runs.Submit(t.Context(), r.request, "a key"); err != nil || again.Number != before.Number || !again.Replayed {
		t.Errorf("the POST of run %s, repeated: %+v, %v", before.Number, again, err)
	}
}
