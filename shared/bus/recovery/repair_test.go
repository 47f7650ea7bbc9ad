package recovery_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// ran is a store with runs that ended, each with its document as a poller gets it.
type ran struct {
	*bustest.Store
	request run.Request
	finals  map[run.Number]string
}

// newRan makes a store in which n runs were accepted, executed and acknowledged.
func newRan(t *testing.T, n int) *ran {
	t.Helper()
	r := &ran{Store: bustest.New(t, bus.Topology{}), finals: map[run.Number]string{}}
	r.request = bustest.Applied(t, r.Store.Bus)
	for range n {
		r.execute(t)
	}
	return r
}

// execute accepts a run and executes the next one of the queue.
func (r *ran) execute(t *testing.T) run.Number {
	t.Helper()
	accepted, err := r.Runs.Submit(t.Context(), r.request, "")
	if err != nil {
		t.Fatal(err)
	}
	queue, err := r.Work.Queue(t.Context(), r.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	for {
		delivery, err := bustest.Next(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		r.end(t, delivery)
		if delivery.Number == accepted.Number {
			return accepted.Number
		}
	}
}

func (r *ran) end(t *testing.T, d *bus.Delivery) {
	t.Helper()
	if done, err := r.Work.Ended(t.Context(), d.Task, d.Number); err != nil {
		t.Fatal(err)
	} else if !done {
		claim, err := r.Work.Claim(t.Context(), d.Task, d.Number, run.Claim{Owner: "test", Executions: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.finish(t, claim, d.Request, d.Number)
	}
	d.Done()
}

func (r *ran) finish(t *testing.T, claim *bus.Claim, request run.Request, n run.Number) {
	t.Helper()
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	status, err := r.Runs.Lookup(t.Context(), request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	r.finals[n] = string(status.Bytes)
}

// events is how many events each run has, once there are as many runs as wanted.
func (r *ran) events(t *testing.T, want int) map[run.Number]int {
	t.Helper()
	var found map[run.Number]int
	proctest.Until(t, func() (err error) {
		found, err = bustest.EventCounts(t.Context(), r.Bus)
		if err == nil && len(found) < want {
			err = fmt.Errorf("%d runs have events, want %d", len(found), want)
		}
		return err
	})
	return found
}

// cut stops the server, takes bytes off the end of a stream's last block, and starts it again. killed
// removes the index files too: a server that was killed has none that fit. stopped is done first while it is stopped.
func (r *ran) cut(t *testing.T, stream string, bytes int64, killed bool, stopped ...func()) {
	t.Helper()
	listen := r.Broker.Addr().String()
	r.Broker.Stop()
	for _, do := range stopped {
		do()
	}
	streams := filepath.Join(r.Dir, "jetstream", "$G", "streams")
	blocks, err := filepath.Glob(filepath.Join(streams, stream, "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	var last string
	var size int64
	for _, block := range blocks { // numbered, without leading zeros
		info, err := os.Stat(block)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 0 && (len(block) > len(last) || len(block) == len(last) && block > last) {
			last, size = block, info.Size()
		}
	}
	if last == "" {
		t.Fatalf("stream %s has no block in %s", stream, streams)
	}
	if err := os.Truncate(last, max(size-bytes, 0)); err != nil {
		t.Fatal(err)
	}
	if killed {
		indexes, err := filepath.Glob(filepath.Join(streams, "*", "msgs", "index.db"))
		if err != nil || len(indexes) == 0 {
			t.Fatal(indexes, err)
		}
		for _, index := range indexes {
			if err := os.Remove(index); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.Start(listen)
	r.awaitReady(t)
	if err := r.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), r.Bus, r.Broker.CutOff, r.Broker.Unsynced); err != nil {
		t.Fatal(err)
	}
}

func (r *ran) awaitReady(t *testing.T) {
	t.Helper()
	proctest.Until(t, func() error { return r.Ready(t.Context()) })
}

func TestRepairOfCutFiles(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		for _, cut := range []struct {
			stream string
			bytes  int64
		}{
			{"KV_runs_0", 10},
			{"KV_runs_0", 3000},
			{"RUNS", 5},
			{"RUNS", 900},
			{"EVENTS", 10},
			{"EVENTS", 1 << 30},
			{"KV_tasks", 3},
			{"OBJ_rows", 3},
		} {
			t.Run(fmt.Sprintf("%s by %d, killed %v", cut.stream, cut.bytes, killed), func(t *testing.T) {
				t.Parallel()
				r := newRan(t, 5)
				if cut.stream == "OBJ_rows" {
					r.reject(t)
					r.execute(t)
				}
				r.events(t, len(r.finals))
				r.cut(t, cut.stream, cut.bytes, killed)
				first := len(r.finals)
				for n, final := range r.finals {
					status, err := r.Runs.Lookup(t.Context(), r.request.Task, n)
					if err != nil || string(status.Bytes) != final {
						t.Errorf("run %s: %v, %s\nwant %s", n, err, status.Bytes, final)
					}
				}
				// What is accepted from now on has numbers of its own, is executed, and has its event.
				for range 3 {
					before := len(r.finals)
					if n := r.execute(t); len(r.finals) != before+1 {
						t.Errorf("run %s did not end anew", n)
					}
				}
				found := r.events(t, first+3)
				for n := range r.finals {
					if found[n] != 1 {
						t.Errorf("run %s has %d events", n, found[n])
					}
				}
				// Nothing is found the next time.
				last := r.execute(t)
				r.cut(t, cut.stream, 0, killed)
				if next := r.execute(t); next != last+1 {
					t.Errorf("after run %s and a restart comes run %s", last, next)
				}
			})
		}
	}
}

func (r *ran) reject(t *testing.T) {
	t.Helper()
	accepted, err := r.Runs.Submit(t.Context(), r.request, "")
	if err != nil {
		t.Fatal(err)
	}
	claim, err := r.Work.Claim(t.Context(), r.request.Task, accepted.Number, run.Claim{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.StoreRejected(t.Context(), 1, []byte(strings.Repeat("x", 100)), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.finish(t, claim, r.request, accepted.Number)
}

// A number that was given out and lost is gone, not unknown, and is nobody else's run later.
func TestRepairOfLostRequests(t *testing.T) {
	t.Parallel()
	r := newRan(t, 3)
	var lost run.Number
	for range 3 { // accepted, and waiting
		accepted, err := r.Runs.Submit(t.Context(), r.request, "")
		if err != nil {
			t.Fatal(err)
		}
		lost = accepted.Number
	}
	r.cut(t, "RUNS", 5, true)
	if _, err := r.Runs.Lookup(t.Context(), r.request.Task, lost); !errors.Is(err, run.ErrRunGone) {
		t.Errorf("the lost run: %v", err)
	}
	if next := r.execute(t); next <= lost {
		t.Errorf("after run %s comes run %s", lost, next)
	}
	for n := range lost { // those before are whole
		if n > 0 && r.finals[n] == "" {
			t.Errorf("run %s was not executed", n)
		}
	}
}

// A run that was acknowledged and has no document left ends once more, as Failed.
func TestRepairEndsForgottenRuns(t *testing.T) {
	t.Parallel()
	r := newRan(t, 3)
	r.events(t, 3)
	r.cut(t, "EVENTS", 0, true) // a restart
	// Both the documents and their copies are lost, at once: EVENTS copies what it lacks as soon as it is up.
	r.cut(t, "KV_runs_0", 1<<30, true, func() {
		if err := os.RemoveAll(filepath.Join(r.Dir, "jetstream", "$G", "streams", "EVENTS", "msgs")); err != nil {
			t.Fatal(err)
		}
	})
	for n := range r.finals {
		status, err := r.Runs.Lookup(t.Context(), r.request.Task, n)
		if err != nil || !status.Final || status.Document.Outcome() != run.Failed || !strings.Contains(status.Document.Message, "damaged") {
			t.Errorf("run %s: %v, %s", n, err, status.Bytes)
		}
	}
	if found := r.events(t, 3); len(found) != 3 {
		t.Errorf("events: %v", found)
	}
	r.execute(t)
}
