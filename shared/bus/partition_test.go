package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// clusterRequest makes a cluster with one task, and a request of it.
func clusterRequest(t *testing.T) (*bustest.Cluster, run.Request) {
	t.Helper()
	cluster := bustest.NewCluster(t, bus.Topology{})
	def := bustest.Definition(t, "Replicated", 1)
	if _, err := cluster.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return cluster, run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, RetryAfter: 30,
		CreatedOn: time.Now().UTC(), ParameterHash: "h",
	}
}

// A process that reads from a server which lags behind tells nothing older than what others have told.
func TestLaggingReplicaTellsNothingOld(t *testing.T) {
	t.Parallel()
	cluster, request := clusterRequest(t)
	ctx := t.Context()
	// Reads go to the nearest replica: that of the server which the process is connected to.
	const lagging = 0
	cluster.Relieve(t, lagging)
	others := cluster.Open(t, "others", (lagging+1)%3)
	status := cluster.Open(t, "status", lagging)

	// One run that is under way, with its progress, before the server falls behind.
	n := bustest.Submit(t, others, request)
	claim, err := others.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	progress, doc := others.Work.Progress(request.Task, n), run.QueuedDocument(request, n)
	doc.Begin(time.Now(), time.Now(), 1)
	doc.PercentComplete = 10
	if err := progress.Write(ctx, doc); err != nil {
		t.Fatal(err)
	}
	for seen := (bus.Status{}); seen.Document.PercentComplete != 10; {
		if seen, err = status.Runs.Lookup(ctx, request.Task, n); err != nil {
			t.Fatal(err)
		}
	}

	cluster.Silence(lagging, true)
	defer cluster.Silence(lagging, false)
	doc.PercentComplete = 60
	if err := progress.Write(ctx, doc); err != nil {
		t.Fatal(err)
	}
	if seen, err := status.Runs.Lookup(ctx, request.Task, n); err == nil && seen.Document.PercentComplete != 60 {
		t.Errorf("it went back to %v%%", seen.Document.PercentComplete)
	}
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	if seen, err := status.Runs.Lookup(ctx, request.Task, n); err == nil && !seen.Final || err != nil && !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("of a run that has ended it told %s, %v", seen.Document.Status, err)
	}
	fresh := bustest.Submit(t, others, request)
	if seen, err := status.Runs.Lookup(ctx, request.Task, fresh); err != nil && !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("of a fresh run it told %s, %v", seen.Document.Status, err)
	}

	cluster.Silence(lagging, false)
	proctest.Until(t, func() error {
		if seen, err := status.Runs.Lookup(ctx, request.Task, n); err != nil || !seen.Final {
			return fmt.Errorf("%v, final %v", err, seen.Final)
		}
		_, err := status.Runs.Lookup(ctx, request.Task, fresh)
		return err
	})
}

// A leader that is cut off goes on answering for a while, though the others have elected another.
func TestLeaderThatIsCutOffTellsNothingOld(t *testing.T) {
	t.Parallel()
	cluster, request := clusterRequest(t)
	ctx := t.Context()
	const alone = 0
	cluster.Promote(t, alone)
	status := cluster.Open(t, "status", alone)
	others := cluster.Open(t, "others", (alone+1)%3)
	n := bustest.Submit(t, others, request)
	if _, err := status.Runs.Lookup(ctx, request.Task, n); err != nil {
		t.Fatal(err)
	}

	cluster.Silence(alone, true)
	defer cluster.Silence(alone, false)
	var claim *bus.Claim
	proctest.Until(t, func() (err error) { // the others elect a leader first
		claim, err = others.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
		if errors.Is(err, bus.ErrClaimed) { // an acknowledgement was lost on the way
			seen, _, findErr := others.Work.FindClaim(ctx, request.Task, n)
			if findErr != nil {
				return findErr
			}
			claim, err = others.Work.TakeOver(ctx, request.Task, n, seen, seen.State.Next("me"))
		}
		return err
	})
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "", time.Now())
	proctest.Until(t, func() error { return claim.Finish(ctx, doc, run.RejectedSet{}) })
	var fresh run.Number
	proctest.Until(t, func() error {
		accepted, err := others.Runs.Submit(ctx, request, "")
		fresh = accepted.Number
		return err
	})
	if seen, err := status.Runs.Lookup(ctx, request.Task, n); err == nil && !seen.Final || err != nil && !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("of a run that has ended it told %s, %v", seen.Document.Status, err)
	}
	if seen, err := status.Runs.Lookup(ctx, request.Task, fresh); err != nil && !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("of a fresh run it told %s, %v", seen.Document.Status, err)
	}

	cluster.Silence(alone, false)
	proctest.Until(t, func() error {
		if seen, err := status.Runs.Lookup(ctx, request.Task, n); err != nil || !seen.Final {
			return fmt.Errorf("%v, final %v", err, seen.Final)
		}
		_, err := status.Runs.Lookup(ctx, request.Task, fresh)
		return err
	})
}

// A server that is cut off and takes itself for the leader knows older claims only, and refuses a newer one's
// renewal. That does not cost its holder the run.
func TestLeaderThatIsCutOffTakesNoRunAway(t *testing.T) {
	t.Parallel()
	cluster, request := clusterRequest(t)
	ctx := t.Context()
	const alone = 0
	cluster.Promote(t, alone)
	n := bustest.Submit(t, cluster.Bus, request)
	to := func(server int) *bustest.Wire {
		return bustest.NewWire(t, "127.0.0.1:0", cluster.Servers[server].Addr().String())
	}
	near, far := to(alone), to((alone+1)%3)
	near.Cut(true)
	runner, err := bus.Connect(ctx, bus.Config{URLs: "nats://" + near.Address() + ",nats://" + far.Address(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runner.Close)
	if err := runner.Check(ctx); err != nil {
		t.Fatal(err)
	}

	cluster.Silence(alone, true)
	defer cluster.Silence(alone, false)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	var claim *bus.Claim
	proctest.Until(t, func() (err error) { // the others elect a leader first
		claim, err = runner.Work.Claim(ctx, request.Task, n, state)
		if errors.Is(err, bus.ErrClaimed) { // an earlier try was stored
			seen, _, findErr := runner.Work.FindClaim(ctx, request.Task, n)
			if findErr != nil {
				return findErr
			}
			claim, err = runner.Work.TakeOver(ctx, request.Task, n, seen, state)
		}
		return err
	})
	near.Cut(false)
	far.Cut(true)
	proctest.Eventually(t, "it is connected to the server that is cut off", func() bool {
		return runner.Jet().NC.IsConnected() && runner.Jet().NC.ConnectedServerId() == cluster.Servers[alone].ID()
	})
	if err := claim.Renew(ctx, state); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("refused by a server that knows nothing of the claim: %v", err)
	}
	cluster.Silence(alone, false)
	proctest.Until(t, func() error {
		err := claim.Renew(ctx, state)
		if errors.Is(err, bus.ErrLost) {
			t.Fatal(err)
		}
		return err
	})
}
