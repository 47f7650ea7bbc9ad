package recovery_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/run"
)

// powerCut stops the server as a power cut does where not every write is synced: records are missing at
// the end of streams' files, and the files look whole.
func (r *ran) powerCut(t *testing.T, lost map[string]int) {
	t.Helper()
	listen := r.Broker.Addr().String()
	r.Broker.Stop()
	streams := filepath.Join(r.Dir, "jetstream", "$G", "streams")
	for stream, n := range lost {
		msgs := filepath.Join(streams, stream, "msgs")
		cutRecords(t, filepath.Join(msgs, "1.blk"), n)
		if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.Dir, ".unsynced"), nil, 0o600); err != nil { // as Stop did not
		t.Fatal(err)
	}
	r.Start(listen)
	r.awaitReady(t)
	if len(r.Broker.CutOff) > 0 {
		t.Fatalf("%v is taken for damage", r.Broker.CutOff)
	}
	if err := r.Init(t.Context(), bus.Topology{Embedded: true}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), r.Bus, nil, r.Broker.Unsynced); err != nil {
		t.Fatal(err)
	}
	r.Broker.Repaired()
}

// Runs that were acknowledged, and whose final documents and events are lost with nothing that tells of
// it, end as Failed; the others answer as before, and each has one event.
func TestPowerCutTakesFinalDocuments(t *testing.T) {
	t.Parallel()
	r := newRan(t, 5)
	r.events(t, 5)
	// A claim and a final document each, the claims of ended runs are still there.
	r.powerCut(t, map[string]int{"KV_runs_0": 4, "EVENTS": 2})
	for n, final := range r.finals {
		status, err := r.Runs.Lookup(t.Context(), r.request.Task, n)
		switch {
		case err != nil:
			t.Errorf("run %s: %v", n, err)
		case n <= 3 && string(status.Bytes) != final:
			t.Errorf("run %s: %s\nwas %s", n, status.Bytes, final)
		case n > 3 && (!status.Final || status.Document.Outcome() != run.Failed):
			t.Errorf("run %s, whose end is lost: %s", n, status.Bytes)
		}
	}
	r.execute(t)
	for n, count := range r.events(t, 6) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
}

// Only the final documents are lost, and the events tell what they were.
func TestPowerCutTakesFinalDocumentsButNotEvents(t *testing.T) {
	t.Parallel()
	r := newRan(t, 5)
	r.events(t, 5)
	r.powerCut(t, map[string]int{"KV_runs_0": 4})
	for n, final := range r.finals {
		if status, err := r.Runs.Lookup(t.Context(), r.request.Task, n); err != nil || string(status.Bytes) != final {
			t.Errorf("run %s: %v, %s\nwas %s", n, err, status.Bytes, final)
		}
	}
	r.execute(t)
	for n, count := range r.events(t, 6) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
}

// No number is given out twice though nothing tells of the requests that are lost, and what callers have
// of them is gone, not unknown. No token either: a destination refuses older ones.
func TestPowerCutTakesRequests(t *testing.T) {
	t.Parallel()
	r := newRan(t, 3)
	claim, err := r.Work.Claim(t.Context(), r.request.Task, 4, run.Claim{Owner: "test", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	var given run.Number
	for range 3 {
		accepted, err := r.Runs.Submit(t.Context(), r.request, "")
		if err != nil {
			t.Fatal(err)
		}
		given = accepted.Number
	}
	r.powerCut(t, map[string]int{"RUNS": 2, "KV_runs_0": 1})
	if _, err := r.Runs.Lookup(t.Context(), r.request.Task, given); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("run %s, which is lost: %v", given, err)
	}
	next := r.execute(t)
	if next <= given {
		t.Errorf("run %s was given to two callers", next)
	}
	again, err := r.Work.Claim(t.Context(), r.request.Task, next+1, run.Claim{Owner: "test", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if again.Token <= claim.Token {
		t.Errorf("the token %d was given out before: %d", again.Token, claim.Token)
	}
}

// The note of a stop that did not happen stays until the store is repaired and the server is stopped.
func TestUnsynced(t *testing.T) {
	t.Parallel()
	r := newRan(t, 1)
	if r.Broker.Unsynced {
		t.Error("a new directory is taken for one whose server was not stopped")
	}
	note := filepath.Join(r.Dir, ".unsynced")
	if _, err := os.Stat(note); err != nil {
		t.Errorf("nothing notes that a server without sync runs: %v", err)
	}
	r.Restart()
	if r.Broker.Unsynced {
		t.Error("a stop is taken for none")
	}
	r.Broker.Stop()
	if _, err := os.Stat(note); err == nil {
		t.Error("the note is still there after a stop")
	}
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what nobody has repaired, such as a backup, stays as it is
		r.Start("127.0.0.1:0")
		if !r.Broker.Unsynced {
			t.Error("that the server was not stopped is forgotten")
		}
		r.Broker.Stop()
	}
	r.Start("127.0.0.1:0")
	r.Broker.Repaired()
	r.Broker.Stop()
	if _, err := os.Stat(note); err == nil {
		t.Error("the note is still there after the repair and a stop")
	}
}
