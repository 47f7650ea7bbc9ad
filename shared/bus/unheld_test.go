package bus_test

import (
	"errors"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// A run whose holder has fallen silent is ended by its claim as it was seen: not if that has moved since,
// and with the rejected rows that it names.
func TestEndAbandoned(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	state := run.Claim{Owner: "silent", Executions: 1, StartedOn: time.Now()}
	claim, err := store.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range 2 {
		if err := claim.StoreRejected(t.Context(), chunk+1, []byte(`{}`), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	find := func() bus.Seen {
		t.Helper()
		seen, found, err := store.Unheld.FindClaim(t.Context(), request.Task, n)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return seen
	}
	before := find()
	state.Checkpoint.Rejected = run.RejectedSet{{Token: claim.Token, From: 1, To: 2}}
	if err := claim.Renew(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Failed, "its runner is gone", time.Now())
	if err := store.Unheld.EndAbandoned(t.Context(), request.Task, n, before, doc); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("a claim that has moved: %v", err)
	}
	if err := store.Unheld.EndUnclaimed(t.Context(), request.Task, n, doc); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("a run that has a claim: %v", err)
	}
	if err := claim.Renew(t.Context(), state); err != nil {
		t.Errorf("its holder, who is at work: %v", err)
	}
	if err := store.Unheld.EndAbandoned(t.Context(), request.Task, n, find(), doc); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Runs.RejectedRows(t.Context(), request.Task, n)
	if err != nil || rows.Chunks() != 2 {
		t.Errorf("%d chunks of rejected rows, %v", rows.Chunks(), err)
	}
	if err := claim.Renew(t.Context(), state); !errors.Is(err, bus.ErrLost) {
		t.Errorf("its holder afterwards: %v", err)
	}
}
