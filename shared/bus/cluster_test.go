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
)

// On a cluster a read may come from a replica that lags, and a duplicate may be refused while its
// original is being agreed upon. Neither may show.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	ctx := t.Context()
	def := bustest.Definition(t, "Replicated", 1)
	if _, err := cluster.Tasks.Apply(ctx, def, false); err != nil {
		t.Fatal(err)
	}
	request := run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, RetryAfter: 30,
		CreatedOn: time.Now().UTC(), ParameterHash: "h",
	}
	var processes [3]*bus.Bus
	for i := range processes {
		processes[i] = cluster.Open(t, fmt.Sprint("process ", i), i)
	}

	t.Run("concurrent duplicates are one run", func(t *testing.T) {
		for round := range 20 {
			var mu sync.Mutex
			var all sync.WaitGroup
			numbers, fresh := map[run.Number]bool{}, 0
			for i := range 12 {
				all.Go(func() {
					accepted, err := processes[i%3].Runs.Submit(ctx, request, fmt.Sprint("key ", round))
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
					numbers[accepted.Number] = true
					if !accepted.Replayed {
						fresh++
					}
				})
			}
			all.Wait()
			if len(numbers) != 1 || fresh != 1 {
				t.Fatalf("round %d: numbers %v, %d of them fresh", round, numbers, fresh)
			}
		}
	})

	t.Run("progress is seen as it was written", func(t *testing.T) {
		accepted, err := processes[0].Runs.Submit(ctx, request, "")
		if err != nil {
			t.Fatal(err)
		}
		progress, doc := processes[0].Work.Progress(request.Task, accepted.Number), run.QueuedDocument(request, accepted.Number)
		doc.Begin(time.Now(), time.Now(), 1)
		for i := range 300 {
			doc.PercentComplete = float64(i) / 4
			if err := progress.Write(ctx, doc); err != nil {
				t.Fatal(err)
			}
			for _, process := range processes {
				seen, err := process.Runs.Lookup(ctx, request.Task, accepted.Number)
				if err != nil || seen.Document.PercentComplete != doc.PercentComplete {
					t.Fatalf("after %v%% was written, %v%% is seen (%v)", doc.PercentComplete, seen.Document.PercentComplete, err)
				}
			}
		}
	})

	// Under load, because an idle replica hardly lags.
	t.Run("a status never goes back", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 60 {
					statusNeverGoesBack(t, request, processes[i%3], processes[(i+1)%3], processes[(i+2)%3])
				}
			})
		}
		all.Wait()
	})
}

// statusNeverGoesBack runs a run through three processes, each of which reads from a replica of its own.
func statusNeverGoesBack(t *testing.T, request run.Request, ingress, runner, status *bus.Bus) {
	ctx := t.Context()
	accepted, err := ingress.Runs.Submit(ctx, request, "")
	if err != nil {
		t.Error(err)
		return
	}
	n := accepted.Number
	lookup := func(process *bus.Bus) (bus.Status, error) { // one that cannot tell now tells nothing old
		return retryUnavailable(ctx, func() (bus.Status, error) { return process.Runs.Lookup(ctx, request.Task, n) })
	}
	if seen, err := lookup(status); err != nil || seen.Document.Status != run.Queued {
		t.Errorf("run %s right after its POST: %v, %v", n, seen.Document.Status, err)
	}
	claim, err := runner.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Error(err)
		return
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Error(err)
		return
	}
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Errorf("run %s ended again after a lost acknowledgement: %v", n, err)
	}
	for _, process := range []*bus.Bus{status, ingress, runner} {
		if seen, err := lookup(process); err != nil || !seen.Final {
			t.Errorf("run %s right after its end: %v, %v", n, seen.Document.Status, err)
		}
	}
	if _, err := ingress.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "other"}); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("an ended run was claimed: %v", err)
	}
}
