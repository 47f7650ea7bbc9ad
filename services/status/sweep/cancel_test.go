package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A run that is to be canceled and that its runner has handed back ends where it is; one that a runner holds goes on.
// Requests of runs that have ended, or were never there, are removed, and so is what tells of that.
func TestRequestsToCancelAreSettled(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "concurrency: 9", 0, 4)
	left, held, ended, never := numbers[0], numbers[1], numbers[2], numbers[3]+1000
	state := run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now(), Checkpoint: run.Checkpoint{Row: 7, Counts: run.Counts{Retrieved: 7, Inserted: 7}}}
	for _, n := range numbers[:3] {
		claim, err := store.Work.Claim(t.Context(), request.Task, n, state)
		if err != nil {
			t.Fatal(err)
		}
		asked := run.Cancel{By: "ann", On: time.Now(), Why: n.String()}
		if stands, err := store.Unheld.AskCancel(t.Context(), request.Task, n, asked); err != nil || stands.Why != n.String() {
			t.Fatal(stands, err)
		}
		if stands, err := store.Unheld.AskCancel(t.Context(), request.Task, n, run.Cancel{By: "ben", On: time.Now()}); err != nil || stands.By != "ann" {
			t.Errorf("asked again: %+v, %v", stands, err)
		}
		switch n {
		case left:
			handed := state
			handed.HandedBack = true
			err = claim.Renew(t.Context(), handed)
		case ended:
			doc := run.QueuedDocument(request, n)
			doc.End(run.Success, "done", time.Now())
			err = claim.Finish(t.Context(), doc, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Unheld.AskCancel(t.Context(), request.Task, never, run.Cancel{By: "ann", On: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Jet().JS.Publish(t.Context(), fmt.Sprintf("$KV.control.cancel.%s.%s", request.Task, numbers[3]), []byte("forged")); err != nil {
		t.Fatal(err)
	}
	view := store.Work.Cancels()
	following := make(chan struct{})
	go func() { defer close(following); view.Follow(t.Context()) }()
	t.Cleanup(func() { <-following })
	proctest.Eventually(t, "the request is seen", func() bool { _, ok := view.Of(request.Task, held); return ok })
	if _, ok := view.Of(request.Task, numbers[3]); ok {
		t.Error("a forged message is a request")
	}

	sweeping(t, store, "one")
	sweeping(t, store, "two")
	if doc := awaitFinal(t, store, request.Task, left); doc.Outcome() != run.Canceled || doc.RowsInserted != 7 || !strings.HasPrefix(doc.Message, "Canceled by ann after 7 rows, while no runner had it: ") {
		t.Errorf("ended as %+v", doc)
	}
	for _, n := range []run.Number{left, ended, never} {
		proctest.Eventually(t, "who watches hears that the request is over", func() bool { _, ok := view.Of(request.Task, n); return !ok })
	}
	control, err := bustest.JetStream(t, store.Broker.URL()).Stream(t.Context(), "KV_control")
	if err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		info, err := control.Info(t.Context(), jetstream.WithSubjectFilter("$KV.control.cancel.>"))
		if err == nil && len(info.State.Subjects) != 2 { // that of the run that goes on, and the forged one
			err = fmt.Errorf("stored are %v", info.State.Subjects)
		}
		return err
	})
	if _, ok, err := store.Work.FindCancel(t.Context(), request.Task, held); !ok || err != nil {
		t.Errorf("the request of a run that goes on: %v", err)
	}
	if status, err := store.Runs.Lookup(t.Context(), request.Task, held); err != nil || status.Final {
		t.Errorf("the run that a runner holds: %+v, %v", status.Document, err)
	}
	if status, err := store.Runs.Lookup(t.Context(), request.Task, ended); err != nil || status.Document.Outcome() != run.Success {
		t.Errorf("the run that had ended: %+v, %v", status.Document, err)
	}
	if _, err := store.Runs.Lookup(t.Context(), request.Task, never); !errors.Is(err, run.ErrNoRun) {
		t.Errorf("the run that never was: %v", err)
	}
}
