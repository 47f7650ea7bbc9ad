package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The claims of ended runs go, many at once; the claim of a run that has not ended stays, whatever stands
// around it, and its holder notices nothing.
func TestClaimsOfEndedRunsGo(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ctx := t.Context()
	state := run.Claim{Owner: "me", Executions: 1}
	claimed := func(request run.Request) (run.Number, *bus.Claim) {
		t.Helper()
		n := bustest.Submit(t, store.Bus, request)
		claim, err := store.Work.Claim(ctx, request.Task, n, state)
		if err != nil {
			t.Fatal(err)
		}
		return n, claim
	}
	finish := func(request run.Request, n run.Number, claim *bus.Claim) {
		t.Helper()
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "ended", time.Now())
		if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(request run.Request) run.Number {
		t.Helper()
		n, claim := claimed(request)
		finish(request, n, claim)
		return n
	}
	first, second := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	acknowledged := ended(first)
	queue, err := store.Work.Queue(ctx, first.Task)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := bustest.Next(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	delivery.Done()
	js := bustest.JetStream(t, store.Broker.URL())
	proctest.Until(t, func() error {
		consumer, err := js.Consumer(ctx, "RUNS", string(first.Task))
		if err == nil && consumer.CachedInfo().AckFloor.Stream != uint64(acknowledged) {
			err = errors.New("the acknowledgement is not confirmed")
		}
		return err
	})
	before, beforeClaim := claimed(first)
	seen, _, err := store.Work.FindClaim(ctx, first.Task, before)
	if err != nil {
		t.Fatal(err)
	}
	finish(first, before, beforeClaim)
	open, claim := claimed(first)
	behind := ended(first)
	other := ended(second)

	stored := func(request run.Request, n run.Number) bool {
		_, err := store.Jet().Results.LeaderLast(ctx, store.Jet().Results.ClaimSubject(request.Task, n))
		return err == nil
	}
	for _, n := range []run.Number{acknowledged, before, behind} {
		if _, found, err := store.Work.FindClaim(ctx, first.Task, n); found || err != nil {
			t.Errorf("run %d has ended and is claimed: %v", n, err)
		}
	}
	last, err := store.Unheld.RemoveClaims(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if stored(first, acknowledged) || stored(first, before) || stored(second, other) {
		t.Errorf("claims of ended runs are left: %v %v %v", stored(first, acknowledged), stored(first, before), stored(second, other))
	}
	if !stored(first, open) {
		t.Fatal("the claim of a run that has not ended was removed")
	}
	for _, n := range []run.Number{acknowledged, before, behind} { // with a claim or without
		if _, err := store.Work.Claim(ctx, first.Task, n, state); !errors.Is(err, bus.ErrClaimed) {
			t.Errorf("run %d has ended and was claimed: %v", n, err)
		}
		if status, err := store.Runs.Lookup(ctx, first.Task, n); err != nil || !status.Final {
			t.Errorf("run %d: %+v %v", n, status.Document, err)
		}
	}
	if _, err := store.Work.TakeOver(ctx, first.Task, before, seen, state); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("an ended run was taken over by who had seen its claim: %v", err)
	}

	if err := claim.Renew(ctx, state); err != nil { // it stands behind the others now
		t.Fatal(err)
	}
	again, err := store.Unheld.RemoveClaims(ctx, last)
	if err != nil {
		t.Fatal(err)
	}
	if stored(first, behind) || !stored(first, open) {
		t.Errorf("after the open claim was renewed: %v %v, want only its own", stored(first, behind), stored(first, open))
	}
	finish(first, open, claim)
	if _, err := store.Unheld.RemoveClaims(ctx, again); err != nil {
		t.Fatal(err)
	}
	if stored(first, open) {
		t.Error("the last claim is left though its run has ended")
	}
	proctest.Until(t, func() error {
		events, err := bustest.EventCounts(ctx, store.Bus)
		if err == nil && len(events) != 5 {
			err = fmt.Errorf("events of %d runs, want 5: %v", len(events), events)
		}
		return err
	})
}
