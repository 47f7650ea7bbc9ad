package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"runhook/shared/run"
)

// A run that was taken over looks for a request to cancel it before anything else: here the runner's watch tells of
// none, because it was never begun.
func TestATakerLooksForACancelFirst(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	claim, err := tr.store.Work.Claim(t.Context(), tr.request.Task, tr.number, run.Claim{
		Owner: tr.owner, Executions: 1, StartedOn: time.Now(),
		Checkpoint: run.Checkpoint{Row: 7, Counts: run.Counts{Retrieved: 7, Inserted: 7}},
	})
	if err != nil || claim == nil {
		t.Fatal(err)
	}
	if _, err := tr.store.Unheld.AskCancel(t.Context(), tr.request.Task, tr.number, run.Cancel{By: "ann", On: time.Now()}); err != nil {
		t.Fatal(err)
	}
	tr.begin(t, t.Context())
	status, err := tr.store.Runs.Lookup(t.Context(), tr.request.Task, tr.number)
	// Nothing asks a file what a runner that fell silent has put there.
	want := "Canceled by ann after 7 rows. The rows that it had written stay. Warning: The counts are those of the last checkpoint of a runner that fell silent, and the destination may have more"
	if doc := status.Document; err != nil || doc.Outcome() != run.Canceled || doc.Message != want || doc.RowsInserted != 7 || doc.ExecutionCount != 2 {
		t.Errorf("%v, ended as %+v", err, status.Document)
	}
}

// The first who asks is told of, whenever an attempt begins.
func TestTheFirstCancelCounts(t *testing.T) {
	t.Parallel()
	var c canceling
	if c.asked() != nil {
		t.Error("it is to be canceled from the beginning")
	}
	first := run.Cancel{By: "ann", On: time.Now()}
	c.ask(first)
	c.ask(run.Cancel{By: "ben", On: time.Now()})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c.begin(cancel)
	<-ctx.Done()
	if by, ok := errors.AsType[*run.Cancel](context.Cause(ctx)); !ok || by.By != "ann" || c.asked() == nil {
		t.Errorf("canceled by %v", context.Cause(ctx))
	}
}
