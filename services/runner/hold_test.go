package runner

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/pipeline"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// A hold is certain of its run as long as nobody can have taken it over, by its own clock. Then it
// asks, and what it hears counts.
func TestConfirm(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Minute})
	id := task.NewID()
	state := run.Claim{Owner: "me", Executions: 1}
	claim, err := store.Work.Claim(t.Context(), id, 1, state)
	if err != nil {
		t.Fatal(err)
	}
	h := newHold(store.Work, &bus.Delivery{Task: id, Number: 1}, zerolog.Nop())
	h.begin(claim, state, 0, time.Now())
	find := func() bus.Seen {
		seen, found, err := store.Work.FindClaim(t.Context(), id, 1)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return seen
	}

	before := find()
	if err := h.confirm(bounded(t), false); err != nil || !find().SameAs(before) {
		t.Errorf("a claim that was just written: %v, written again %v", err, !find().SameAs(before))
	}
	if err := h.confirm(bounded(t), true); err != nil || !find().State.Checkpoint.Writing {
		t.Errorf("it is not durable that rows may be written: %v, %+v", err, find().State)
	}
	before = find()
	old := time.Now().Add(-25 * time.Second) // a taker would have to watch for half a minute
	h.renewed = old
	if err := h.confirm(bounded(t), true); err != nil || find().SameAs(before) || h.renewed.Equal(old) {
		t.Errorf("an old claim was not renewed: %v", err)
	}

	// Somebody takes the run over while this process stands still.
	if _, err := store.Work.TakeOver(t.Context(), id, 1, find(), find().State.Next("other")); err != nil {
		t.Fatal(err)
	}
	h.renewed = time.Now().Add(-25 * time.Second)
	if err := h.confirm(bounded(t), true); !errors.Is(err, errLostClaim) {
		t.Errorf("a claim that is another's: %v", err)
	}

	// As long as nobody can be asked there is no answer.
	h.renewed = time.Now().Add(-25 * time.Second)
	store.Broker.Stop()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.confirm(short, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while NATS is away: %v", err)
	}
}

// A claim is written when its checkpoint moved, at most once a second, and three times in a lease, and its
// percentage never goes back; what could not be written when the run began to wait is with the next renewal.
func TestRenew(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Hour})
	var full atomic.Bool
	filling, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Full: full.Load, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(filling.Close)
	if err := filling.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := task.NewID()
	state := run.Claim{Owner: "me", Executions: 1, Checkpoint: run.Checkpoint{Percent: 40}}
	claim, err := filling.Work.Claim(t.Context(), id, 1, state)
	if err != nil {
		t.Fatal(err)
	}
	h := newHold(filling.Work, &bus.Delivery{Task: id, Number: 1}, zerolog.Nop())
	h.begin(claim, state, 0, time.Now())
	// renewal is the claim after a renewal when the last one was so long ago.
	renewal := func(age time.Duration) (state run.Claim, written bool) {
		t.Helper()
		before, _, err := store.Work.FindClaim(t.Context(), id, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.renewed = time.Now().Add(-age)
		if err := h.renew(bounded(t)); err != nil {
			t.Fatal(err)
		}
		after, _, err := store.Work.FindClaim(t.Context(), id, 1)
		if err != nil {
			t.Fatal(err)
		}
		return after.State, !after.SameAs(before)
	}

	if _, written := renewal(10 * time.Minute); written {
		t.Error("it is written again though nothing moved")
	}
	// The attempt has started over.
	h.meter.Continue(run.Claim{EarlierErrors: 2, Checkpoint: run.Checkpoint{Row: 7, Percent: 30}})
	if _, written := renewal(-time.Hour); written {
		t.Error("it is written again though the last time is no second ago")
	}
	if state, written := renewal(time.Second); !written || state.Checkpoint.Row != 7 || state.Checkpoint.Percent != 40 || state.Token != claim.Token || state.EarlierErrors != 2 {
		t.Errorf("its checkpoint moved a second ago: written %v, %+v", written, state)
	}
	if _, written := renewal(20 * time.Minute); !written {
		t.Error("a third of the lease is over, and it is not written")
	}

	full.Store(true)
	h.pause(t.Context(), run.Pause{Until: time.Now(), Length: time.Minute, Why: "away", Attempts: 3})
	full.Store(false)
	if err := h.renew(bounded(t)); err != nil {
		t.Fatal(err)
	}
	seen, _, err := store.Work.FindClaim(t.Context(), id, 1)
	if pause := seen.State.Pause; err != nil || pause == nil || pause.Why != "away" || seen.State.Tried != 1 || seen.State.Checkpoint.Row != 7 {
		t.Errorf("the wait is not in the claim: %+v, %v", seen.State, err)
	}
	if _, err := h.handBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen, _, err := store.Work.FindClaim(t.Context(), id, 1); err != nil || !seen.State.HandedBack || seen.State.Pause == nil {
		t.Errorf("handed back as %+v, %v", seen.State, err)
	}
}

// A claim is as old as the moment before it was written: a write may take as long as it likes, and whoever
// watches the claim may have begun in between.
func TestAClaimsAgeCountsFromBeforeItsWrite(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Hour})
	writing, goOn := make(chan struct{}, 1), make(chan struct{})
	slow, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Log: zerolog.Nop(), Full: func() bool {
		writing <- struct{}{}
		<-goOn
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	if err := slow.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := task.NewID()
	h := newHold(slow.Work, &bus.Delivery{Task: id, Number: 1}, zerolog.Nop())
	claimed, state := make(chan *bus.Claim, 1), run.Claim{Owner: "me", Executions: 1}
	go func() {
		claim, err := slow.Work.Claim(t.Context(), id, 1, state)
		if err != nil {
			t.Error(err)
		}
		claimed <- claim
	}()
	<-writing
	goOn <- struct{}{}
	h.begin(<-claimed, state, 0, time.Now().Add(-25*time.Minute))

	confirmed := make(chan error, 1)
	go func() { confirmed <- h.confirm(bounded(t), true) }()
	<-writing
	meanwhile := time.Now()
	goOn <- struct{}{}
	if err := <-confirmed; err != nil {
		t.Fatal(err)
	}
	if !h.renewed.Before(meanwhile) {
		t.Errorf("the claim counts as written %s after its write had begun", h.renewed.Sub(meanwhile))
	}
}

// Whatever the destination, an attempt writes and finishes only while the run is its own: where rows must not
// come twice it is durable before that they may be written, and where the database keeps the checkpoint the
// fence says whether somebody else may still be at work there.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		destination   string
		marks, fenced bool
	}{
		"a file that is appended to":   {"csv: {connection: drop, path: out.csv, action: append}", true, false},
		"a file that is replaced":      {"csv: {connection: drop, path: out.csv, action: replace}", false, false},
		"a table that is inserted to":  {"sql: {connection: db, table: people, action: insert}", false, true},
		"a table that is upserted":     {"sql: {connection: db, table: people, key: [id], action: upsert}", false, true},
		"a service that is posted to":  {"http: {connection: partner, path: /people}", false, false},
		"a subject that is told again": {"nats: {subject: members.changed}", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{Lease: time.Minute})
			id := task.NewID()
			def, err := taskfile.Parse([]byte("id: "+string(id)+"\nname: Guarded\nsource: {csv: {connection: drop, path: in.csv}}\nmapping: {id: id}\ndestination: {"+c.destination+"}\n"), "guarded.yaml")
			if err != nil {
				t.Fatal(err)
			}
			state := run.Claim{Owner: "me", Executions: 2}
			claim, err := store.Work.Claim(t.Context(), id, 1, state)
			if err != nil {
				t.Fatal(err)
			}
			h := newHold(store.Work, &bus.Delivery{Task: id, Number: 1}, zerolog.Nop())
			h.begin(claim, state, 0, time.Now())
			a := newAttempt(&Runner{options: Options{Work: store.Work}}, h, run.Request{Task: id}, zerolog.Nop(), nil)
			job := pipeline.Job{Kinds: builtin.Kinds()}
			job.Job = connector.Job{Task: def}
			a.guard(&job)

			if fenced := job.Fence != nil; fenced != c.fenced || fenced && (!job.Fence.Takeover || job.Fence.Token != claim.Token || a.forget == nil) {
				t.Errorf("the fence is %+v", job.Fence)
			}
			if !c.fenced {
				if err := job.BeforeWrite(bounded(t), 1); err != nil || h.last().Checkpoint.Writing != c.marks {
					t.Errorf("it is durable that rows may be written: %v, want %v: %v", h.last().Checkpoint.Writing, c.marks, err)
				}
			}
			seen, _, err := store.Work.FindClaim(t.Context(), id, 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Work.TakeOver(t.Context(), id, 1, seen, seen.State.Next("other")); err != nil {
				t.Fatal(err)
			}
			h.renewed = time.Now().Add(-25 * time.Second)
			if err := job.Confirm(bounded(t)); !errors.Is(err, errLostClaim) {
				t.Errorf("finishing a run that is another's: %v", err)
			}
			if !c.fenced {
				if err := job.BeforeWrite(bounded(t), 2); !errors.Is(err, errLostClaim) {
					t.Errorf("writing in a run that is another's: %v", err)
				}
			}
		})
	}
}

// The queue hears that the run is at work three times in a lease, so that nobody else is offered it.
func TestTheLeaseIsExtended(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: time.Hour})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	queue, err := store.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	state := run.Claim{Owner: "me", Executions: 1}
	claim, err := store.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	nc := bustest.JetStream(t, store.Broker.URL()).Conn()
	heard := make(chan *nats.Msg, 8)
	if _, err := nc.ChanSubscribe("$JS.ACK.RUNS.>", heard); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	h := newHold(store.Work, delivery, zerolog.Nop())
	h.begin(claim, state, 0, time.Now())
	for _, age := range []time.Duration{time.Minute, 19 * time.Minute, 21 * time.Minute, time.Minute} {
		if age > time.Minute {
			h.extended = time.Now().Add(-age)
		}
		if err := h.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.done() // the last that is heard
	var all []string
	for msg := range heard {
		all = append(all, string(msg.Data))
		if len(msg.Data) == 0 {
			break
		}
	}
	if !slices.Equal(all, []string{"+WPI", ""}) {
		t.Errorf("the queue heard %q", all)
	}
}
