package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
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

	t.Run("a link signs in once, and a sign-out is seen at once", func(t *testing.T) {
		operator := session.Operator{Name: "ann", Token: [32]byte{1}}
		var keepers [3]*session.Keeper
		for i, process := range processes {
			keepers[i] = session.New([][]byte{make([]byte, 32)}, process.StoreID(), process.Sessions)
		}
		for round := range 5 {
			code, _, err := keepers[round%3].Link(ctx, operator)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var all sync.WaitGroup
			var begun []session.Session
			for i := range 30 {
				all.Go(func() {
					s, err := keepers[i%3].Redeem(ctx, code, []session.Operator{operator}, true)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						begun = append(begun, s)
					} else if !errors.Is(err, session.ErrNone) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if len(begun) != 1 {
				t.Fatalf("%d came in by one link", len(begun))
			}
			if err := keepers[round%3].End(ctx, begun[0]); err != nil {
				t.Fatal(err)
			}
			for i, keeper := range keepers {
				if err := keeper.Check(ctx, begun[0]); !errors.Is(err, session.ErrOver) {
					t.Errorf("process %d: %v", i, err)
				}
			}
		}
	})
	t.Run("concurrent duplicates are one run", func(t *testing.T) {
		for round := range 20 {
			var mu sync.Mutex
			var all sync.WaitGroup
			numbers, fresh, unsure := map[run.Number]bool{}, 0, false
			for i, process := range processes {
				all.Go(func() { // it may come to be known while somebody asks
					_, err := answered(t, func() (bool, error) {
						_, known, err := process.Runs.Keyed(ctx, request.Task, fmt.Sprint("key ", round))
						return known, err
					})
					if err != nil {
						t.Errorf("process %d looks for the key: %v", i, err)
					}
				})
			}
			for i := range 12 {
				all.Go(func() {
					again := false
					accepted, err := answered(t, func() (bus.Accepted, error) {
						accepted, err := processes[i%3].Runs.Submit(ctx, request, fmt.Sprint("key ", round))
						if again = again || err != nil; errors.Is(err, run.ErrMaybeStored) {
							err = fmt.Errorf("%w: %w", run.ErrUnavailable, err)
						}
						return accepted, err
					})
					mu.Lock()
					defer mu.Unlock()
					unsure = unsure || again
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
			if len(numbers) != 1 || fresh > 1 || fresh == 0 && !unsure {
				t.Fatalf("round %d: numbers %v, %d of them fresh", round, numbers, fresh)
			}
			for i, process := range processes {
				ok := false
				found, err := answered(t, func() (found bus.Accepted, err error) {
					found, ok, err = process.Runs.Keyed(ctx, request.Task, fmt.Sprint("key ", round))
					return found, err
				})
				if err != nil || !ok || !numbers[found.Number] {
					t.Fatalf("process %d finds %+v, %v %v by the key of %v", i, found, ok, err, numbers)
				}
			}
			known, err := answered(t, func() (bool, error) {
				_, known, err := processes[round%3].Runs.Keyed(ctx, request.Task, "unknown")
				return known, err
			})
			if err != nil || known {
				t.Fatalf("%v %v by a key that nobody sent", known, err)
			}
		}
	})

	// In each round the leader of the requests is another one.
	for _, overlap := range []task.Overlap{task.RejectOverlap, task.SkipOverlap} {
		t.Run("one run is let in with overlap "+string(overlap), func(t *testing.T) {
			alone := bustest.Definition(t, "Alone", 1)
			if _, err := cluster.Tasks.Apply(ctx, alone, false); err != nil {
				t.Fatal(err)
			}
			request := request
			request.Task, request.Definition, request.Overlap = alone.ID, alone.Hash, overlap
			for round := range 4 {
				var mu sync.Mutex
				var all sync.WaitGroup
				let, skipped := map[run.Number]bool{}, map[run.Number]run.Number{}
				for i := range 30 {
					all.Go(func() {
						accepted, err := processes[i%3].Runs.Submit(ctx, request, "")
						mu.Lock()
						defer mu.Unlock()
						refusal, refused := errors.AsType[*bus.OpenRuns](err)
						switch {
						case refused: // it names the one that was let in, also if the answer of that was lost
							let[refusal.Runs[0]] = true
						case err == nil && accepted.Request.SkippedFor == 0:
							let[accepted.Number] = true
						case err == nil:
							skipped[accepted.Number] = accepted.Request.SkippedFor
						case !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrMaybeStored): // while another one begins to lead
							t.Error(err)
						}
					})
				}
				if round > 0 {
					cluster.StepDown(t, "RUNS")
				}
				all.Wait()
				// One whose answer was lost is let in, too, and the others name it.
				for n, open := range skipped {
					if len(let) > 0 && !let[open] {
						t.Errorf("run %s was skipped for run %s, and let in are %v", n, open, let)
					}
					let[open] = true
				}
				if len(let) > 1 {
					t.Fatalf("round %d: let in are %v", round, let)
				}
				for n := range let {
					claim, err := processes[round%3].Work.Claim(ctx, request.Task, n, run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()})
					if err != nil {
						t.Fatal(err)
					}
					doc := run.QueuedDocument(request, n)
					doc.End(run.Success, "done", time.Now())
					if err := claim.Finish(ctx, doc, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}

	t.Run("progress is seen as it was written", func(t *testing.T) {
		var accepted bus.Accepted
		proctest.Until(t, func() (err error) { // another one has just begun to lead
			accepted, err = processes[0].Runs.Submit(ctx, request, "")
			return err
		})
		progress, doc := processes[0].Work.Progress(request.Task, accepted.Number), run.QueuedDocument(request, accepted.Number)
		doc.Begin(time.Now(), time.Now(), 1)
		refused := 0
		for i := range 60 {
			doc.PercentComplete = float64(i)
			err := progress.Write(ctx, doc)
			for ; errors.Is(err, bus.ErrLost); err = progress.Write(ctx, doc) { // the holder looks at its claim, which it has, and writes again
				if refused++; refused > 3 {
					break
				}
			}
			if err != nil {
				t.Fatalf("write %d, refused %d times: %v", i, refused, err)
			}
			for _, process := range processes {
				var seen bus.Status
				proctest.Until(t, func() (err error) {
					seen, err = process.Runs.Lookup(ctx, request.Task, accepted.Number)
					return err
				})
				if seen.Document.PercentComplete != doc.PercentComplete {
					t.Fatalf("after %v%% was written, %v%% is seen", doc.PercentComplete, seen.Document.PercentComplete)
				}
			}
		}
	})

	// Under load, because an idle replica hardly lags.
	t.Run("a status never goes back", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 30 {
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
	finish := func() error {
		_, err := retryUnavailable(ctx, func() (any, error) { return nil, claim.Finish(ctx, doc, run.RejectedSet{}) })
		return err
	}
	if err := finish(); err != nil {
		t.Error(err)
		return
	}
	if err := finish(); err != nil {
		t.Errorf("run %s ended again after a lost acknowledgement: %v", n, err)
	}
	for _, process := range []*bus.Bus{status, ingress, runner} {
		if seen, err := lookup(process); err != nil || !seen.Final {
			t.Errorf("run %s right after its end: %v, %v", n, seen.Document.Status, err)
		}
	}
	if _, err := retryUnavailable(ctx, func() (*bus.Claim, error) {
		return ingress.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "other"})
	}); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("an ended run was claimed: %v", err)
	}
}

// On a cluster the server that hands requests out hears late that a pull is not wanted any more. What it
// hands into the pull until then is given back at once, not lost until its lease has run out.
func TestPullGivenUpInAClusterLosesNoRequest(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Lease: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	request := bustest.Applied(t, cluster.Bus)
	near, far := cluster.Leader(t, "RUNS"), -1
	js := bustest.JetStream(t, cluster.Servers[near].ClientURL())
	queue := func() *jetstream.ConsumerInfo {
		t.Helper()
		consumer, err := js.Consumer(ctx, "RUNS", string(request.Task))
		if err != nil {
			t.Fatal(err)
		}
		return consumer.CachedInfo()
	}
	leaders := []string{queue().Cluster.Leader, fmt.Sprint("s", near)}
	for i := range cluster.Servers {
		if !slices.Contains(leaders, fmt.Sprint("s", i)) {
			far = i
		}
	}
	pulls, err := cluster.Open(t, "far", far).Work.Queue(ctx, request.Task)
	if err != nil {
		t.Fatal(err)
	}
	others := cluster.Open(t, "near", near)
	for round := range 2 { // a pull whose context ends, and one that is used again
		pull, giveUp := context.WithCancel(ctx)
		var pulling sync.WaitGroup
		pulling.Go(func() {
			if err := pulls.Pull(pull, 1, func(*bus.Delivery) { t.Error("a request came before there was one") }); !errors.Is(err, context.Canceled) {
				t.Errorf("the pull ended with %v", err)
			}
		})
		proctest.Eventually(t, "the pull is open", func() bool { return queue().NumWaiting == 1 })
		cluster.Silence(far, true)
		giveUp()
		pulling.Wait()
		n := bustest.Submit(t, others, request)
		proctest.Eventually(t, "the request was handed into the pull", func() bool { return queue().NumAckPending == 1 })
		cluster.Silence(far, false)
		from, err := others.Work.Queue(ctx, request.Task)
		if err != nil {
			t.Fatal(err)
		}
		d, err := bustest.Next(ctx, from)
		if err != nil || d.Number != n {
			t.Fatalf("round %d: the request is leased to a pull that has gone: %v", round, err)
		}
		d.Done()
		from.Close()
	}
	pulls.Close()
}

// A pull that is open is taken up again, and not only once the server has ended it.
func TestOpenPullIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if left := bus.StayLeft(3); left != 3 || time.Since(began) != 0 {
			t.Errorf("after %s the pull may bring %d requests, not 3", time.Since(began), left)
		}
	})
}
