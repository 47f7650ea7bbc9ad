package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Two that write the same bytes are still two: one of them has the run, and the other hears so.
func TestEqualClaimsAreTwo(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	first, err := store.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.Claim(t.Context(), request.Task, n, state); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("claimed twice: %v", err)
	}
	seen := findClaim(t, store.Bus, request.Task, n)
	second, err := store.Work.TakeOver(t.Context(), request.Task, n, seen, state)
	if err != nil || second.Token <= first.Token {
		t.Fatalf("token %d after %d: %v", second.Token, first.Token, err)
	}
	if _, err := store.Work.TakeOver(t.Context(), request.Task, n, seen, state); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("taken over twice: %v", err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Failed, "too late", time.Now())
	seen = findClaim(t, store.Bus, request.Task, n)
	if err := store.Unheld.EndAbandoned(t.Context(), request.Task, n, seen, doc); err != nil {
		t.Fatal(err)
	}
	if err := store.Unheld.EndAbandoned(t.Context(), request.Task, n, seen, doc); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("ended twice: %v", err)
	}
	if err := second.Finish(t.Context(), doc, nil); !errors.Is(err, bus.ErrLost) {
		t.Errorf("ended a third time: %v", err)
	}
}

// A write whose answer does not come may arrive late. Whatever the holder writes next goes behind it: it is
// its own.
func TestAHoldersOwnLateWriteIsNotAnothers(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(ctx context.Context, claim *bus.Claim, state run.Claim, doc run.Document) error{
		"a renewal with the same bytes": func(ctx context.Context, claim *bus.Claim, state run.Claim, _ run.Document) error {
			return claim.Renew(ctx, state)
		},
		"the handing back": func(ctx context.Context, claim *bus.Claim, state run.Claim, _ run.Document) error {
			state.HandedBack = true
			return claim.Renew(ctx, state)
		},
		"the next attempt": func(ctx context.Context, claim *bus.Claim, state run.Claim, _ run.Document) error {
			before := claim.Token
			if err := claim.Again(ctx, state.Again()); err != nil {
				return err
			}
			if claim.Token <= before+1 {
				return errors.New("it has the token of the write before it")
			}
			return claim.Renew(ctx, state)
		},
		"the final document": func(ctx context.Context, claim *bus.Claim, _ run.Claim, doc run.Document) error {
			return claim.Finish(ctx, doc, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request := bustest.Applied(t, store.Bus)
			n := bustest.Submit(t, store.Bus, request)
			wire, runner := wired(t, store)
			state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
			claim, err := runner.Work.Claim(t.Context(), request.Task, n, state)
			if err != nil {
				t.Fatal(err)
			}
			before := findClaim(t, store.Bus, request.Task, n)

			wire.Silence(true)
			short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := claim.Renew(short, state); !errors.Is(err, run.ErrUnavailable) {
				t.Fatalf("on a silent wire: %v", err)
			}
			wire.Silence(false)
			doc := run.QueuedDocument(request, n)
			doc.End(run.Success, "done", time.Now())
			if err := next(t.Context(), claim, state, doc); err != nil {
				t.Fatalf("after it: %v", err)
			}
			records := 0
			if results, err := store.Jet().ResultsOf(t.Context(), n); err == nil {
				if info, err := results.Info(t.Context()); err == nil {
					records = int(info.State.LastSeq)
				}
			}
			if records < 3 {
				t.Errorf("%d writes, so that the late one counts for the one after it", records)
			}
			if _, err := store.Work.TakeOver(t.Context(), request.Task, n, before, state.Next("other")); !errors.Is(err, bus.ErrClaimed) {
				t.Errorf("whoever watches the claim does not see that it moved: %v", err)
			}
		})
	}
}

// What another program publishes where claims stand takes the run from nobody. A runner that took the run over
// below it has it.
func TestAForeignMessageTakesNoRunAway(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]string{"over the claim": "$KV.runs_0.claim.", "beside it": "$KV.runs_0.note."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request := bustest.Applied(t, store.Bus)
			n := bustest.Submit(t, store.Bus, request)
			state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
			former, err := store.Work.Claim(t.Context(), request.Task, n, state)
			if err != nil {
				t.Fatal(err)
			}
			publish := func() {
				t.Helper()
				if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), subject+string(request.Task)+"."+n.String(), []byte("what is this")); err != nil {
					t.Fatal(err)
				}
			}
			publish()
			if err := former.Renew(t.Context(), state); err != nil {
				t.Errorf("the renewal behind it: %v", err)
			}
			seen := findClaim(t, store.Bus, request.Task, n)
			holder, err := store.Work.TakeOver(t.Context(), request.Task, n, seen, state.Next("other"))
			if err != nil {
				t.Fatal(err)
			}
			if subject != "$KV.runs_0.claim." {
				publish()
				if err := former.Renew(t.Context(), state); !errors.Is(err, bus.ErrLost) {
					t.Errorf("the renewal behind another holder's claim: %v", err)
				}
			}
			publish()
			doc := run.QueuedDocument(request, n)
			doc.End(run.Success, "done", time.Now())
			if err := holder.Finish(t.Context(), doc, nil); err != nil {
				t.Errorf("the end behind it: %v", err)
			}
			if _, err := store.Work.Claim(t.Context(), request.Task, n, state); !errors.Is(err, bus.ErrClaimed) {
				t.Errorf("an ended run was claimed: %v", err)
			}
		})
	}
}

// While the servers of a cluster have not agreed on a write, they refuse the ones behind it. That says nothing
// of who has the run: a holder that writes again has it still, and one that takes it waits for the answer.
func TestAWriteInProcessIsNotAnothers(t *testing.T) {
	t.Parallel()
	cluster, request := clusterRequest(t)
	const leader = 0
	cluster.Promote(t, leader)
	runner := cluster.Open(t, "runner", leader)
	n, fresh := bustest.Submit(t, runner, request), bustest.Submit(t, runner, request)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	claim, err := runner.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	cluster.Silence(leader, true)
	defer cluster.Silence(leader, false)
	short := func(write func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return write(ctx)
	}
	for range 3 {
		if err := short(func(ctx context.Context) error { return claim.Renew(ctx, state) }); !errors.Is(err, run.ErrUnavailable) {
			t.Errorf("a renewal behind one that is in process: %v", err)
		}
		if err := short(func(ctx context.Context) error {
			_, err := runner.Work.Claim(ctx, request.Task, fresh, state)
			return err
		}); !errors.Is(err, run.ErrUnavailable) {
			t.Errorf("a claim behind one that is in process: %v", err)
		}
	}
	cluster.Silence(leader, false)
	proctest.Until(t, func() error {
		err := claim.Renew(t.Context(), state)
		if errors.Is(err, bus.ErrLost) {
			t.Fatal(err)
		}
		return err
	})
}

// A final document that arrives late is its writer's own too, and is the only one.
func TestALateFinalDocumentIsItsWritersOwn(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	wire, runner := wired(t, store)
	claim, err := runner.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "done", time.Now())
	wire.Silence(true)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := claim.Finish(short, doc, nil); !errors.Is(err, run.ErrUnavailable) {
		t.Fatalf("on a silent wire: %v", err)
	}
	wire.Silence(false)
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Errorf("after it: %v", err)
	}
	doc.Message = "done otherwise"
	if err := claim.Finish(t.Context(), doc, nil); !errors.Is(err, bus.ErrLost) {
		t.Errorf("another document: %v", err)
	}
}

// wired is a connection to the store over a wire.
func wired(t *testing.T, store *bustest.Store) (*bustest.Wire, *bus.Bus) {
	t.Helper()
	wire := bustest.NewWire(t, "127.0.0.1:0", store.Broker.Addr().String())
	opened, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + wire.Address(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	if err := opened.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return wire, opened
}

func findClaim(t *testing.T, store *bus.Bus, id task.ID, n run.Number) bus.Seen {
	t.Helper()
	seen, found, err := store.Work.FindClaim(t.Context(), id, n)
	if err != nil || !found {
		t.Fatalf("the claim of run %s: %v, %v", n, found, err)
	}
	return seen
}
