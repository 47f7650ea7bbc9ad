package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// trial is a runner at a run that has just been delivered to it. Its connection calls write before each write,
// which is refused, as with a full disk, if write says so.
type trial struct {
	*Runner
	store   *bustest.Store
	request run.Request
	number  run.Number
	hold    *hold
	write   atomic.Pointer[func() (full bool)]
	stop    chan struct{} // closed: the runner is stopping
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	return newTrialWith(t, time.Hour)
}

func newTrialWith(t *testing.T, lease time.Duration) *trial {
	t.Helper()
	tr := &trial{store: bustest.New(t, bus.Topology{Lease: lease}), stop: make(chan struct{})}
	tr.request = bustest.Applied(t, tr.store.Bus)
	tr.number = bustest.Submit(t, tr.store.Bus, tr.request)
	opened, err := bus.Connect(t.Context(), bus.Config{URLs: tr.store.Broker.URL(), Log: zerolog.Nop(), Full: func() bool {
		write := tr.write.Load()
		return write != nil && (*write)()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	if err := opened.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	view, done, err := opened.Tasks.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { <-done })
	if tr.Runner, err = New(Options{Work: opened.Work, Tasks: view, Kinds: builtin.Kinds(), Slots: 1, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	tr.slots, tr.stopping = newSlots(t.Context(), 1), tr.stop
	queue, err := opened.Work.Queue(t.Context(), tr.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	delivery, err := bustest.Next(bounded(t), queue)
	if err != nil {
		t.Fatal(err)
	}
	tr.dispatch(delivery, tr.slots.take, 0, func(h *hold) { tr.hold = h })
	return tr
}

// bounded is a context that ends what hangs.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	t.Cleanup(cancel)
	return ctx
}

// onWrite sets what is done before each write.
func (tr *trial) onWrite(write func() (full bool)) { tr.write.Store(&write) }

// attempt is the attempt that begins when the runner takes the run.
func (tr *trial) attempt(t *testing.T) *attempt {
	t.Helper()
	if verdict, err := tr.hold.take(bounded(t), tr.Runner); err != nil || verdict != taken {
		t.Fatal(verdict, err)
	}
	return newAttempt(tr.Runner, tr.hold, tr.request, zerolog.Nop(), tr.options.Work.Progress(tr.request.Task, tr.number))
}

// claim is the run's claim.
func (tr *trial) claim(t *testing.T) bus.Seen {
	t.Helper()
	seen, found, err := tr.store.Work.FindClaim(t.Context(), tr.request.Task, tr.number)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	return seen
}

// wantHandedBack checks that any runner may take the run at once, and is offered it.
func (tr *trial) wantHandedBack(t *testing.T) {
	t.Helper()
	if state := tr.claim(t).State; !state.HandedBack {
		t.Errorf("the claim is %+v, want it handed back", state)
	}
	queue, err := tr.store.Work.Queue(t.Context(), tr.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	if d, err := bustest.Next(bounded(t), queue); err != nil || d.Number != tr.number {
		t.Errorf("the run is not offered: %v", err)
	}
}

// begin has the runner attempt the run until its attempts return.
func (tr *trial) begin(t *testing.T, ctx context.Context) {
	t.Helper()
	returned := make(chan struct{})
	go func() { defer close(returned); tr.Runner.attempt(ctx, tr.hold) }()
	wantReturn(t, returned)
}

func wantReturn(t *testing.T, returned <-chan struct{}) {
	t.Helper()
	select {
	case <-returned:
	case <-time.After(proctest.Limit):
		t.Fatal("it goes on for ever")
	}
}

// A runner that is stopped while it claims a run, or takes it over, hands it back: the claim may be stored
// whatever becomes of its writer.
func TestAClaimOnItsWayIsHandedBack(t *testing.T) {
	t.Parallel()
	for _, takeover := range []bool{false, true} {
		tr := newTrial(t)
		if takeover {
			state := run.Claim{Owner: "other", Executions: 1, HandedBack: true, StartedOn: time.Now()}
			if _, err := tr.store.Work.Claim(t.Context(), tr.request.Task, tr.number, state); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		writes := 0
		tr.onWrite(func() bool {
			if writes++; writes == 2 || !takeover {
				cancel(errStopping)
			}
			return false
		})
		tr.begin(t, ctx)
		tr.wantHandedBack(t)
	}
}

// A renewal that is on its way when the attempt's time is over, or when the runner stops, does not cost the run
// its end: it is the same holder's.
func TestARenewalOnItsWayCostsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, tr *trial, a *attempt){
		"the end": func(t *testing.T, tr *trial, a *attempt) {
			a.settle(t.Context(), context.Canceled, run.Failf("Stopped by the timeout"))
			status, err := tr.store.Runs.Lookup(t.Context(), tr.request.Task, tr.number)
			if err != nil || !status.Final || status.Document.Message != "Stopped by the timeout" {
				t.Errorf("the run is %+v, %v", status.Document, err)
			}
		},
		"the handing back": func(t *testing.T, tr *trial, a *attempt) {
			a.settle(t.Context(), context.Canceled, errStopping)
			tr.wantHandedBack(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t)
			a := tr.attempt(t)
			tr.hold.renewed = time.Now().Add(-30 * time.Minute)
			ctx, cancel := context.WithCancel(t.Context())
			tr.onWrite(func() bool { cancel(); return false })
			before := tr.claim(t)
			if err := tr.hold.renew(ctx); err != nil || tr.claim(t).SameAs(before) {
				t.Errorf("the renewal was given up: %v", err)
			}
			end(t, tr, a)
		})
	}
}

// The end of the wait for the next attempt and a stop may come at once: then no attempt is begun.
func TestARestedRunIsHandedBackByAStop(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	close(tr.stop)
	if next := a.settle(t.Context(), errRested, nil); next != nil {
		t.Error("another attempt was begun")
	}
	tr.wantHandedBack(t)
}

// A stop while the next attempt cannot be begun, because the store takes no writes, hands the run back.
func TestAStopBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	tr.onWrite(func() bool { cancel(); writes++; return writes == 1 })
	if next := a.settle(ctx, errRested, nil); next != nil {
		t.Error("another attempt was begun")
	}
	tr.wantHandedBack(t)
}

// A claim is watched for half a lease before it counts as one that does not move.
func TestAClaimIsWatchedForHalfALease(t *testing.T) {
	t.Parallel()
	tr := newTrialWith(t, 2*time.Second)
	state := run.Claim{Owner: "other", Executions: 1, StartedOn: time.Now()}
	other, err := tr.store.Work.Claim(t.Context(), tr.request.Task, tr.number, state)
	if err != nil {
		t.Fatal(err)
	}
	seen, began := tr.claim(t), time.Now()
	if still, err := tr.hold.watch(bounded(t), seen, tr.stop); err != nil || !still || time.Since(began) < time.Second {
		t.Errorf("after %s it does not move: %v, %v", time.Since(began), still, err)
	}
	if err := other.Renew(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if still, err := tr.hold.watch(bounded(t), seen, tr.stop); err != nil || still {
		t.Errorf("a claim that moved: %v, %v", still, err)
	}
}

// A run that is taken, taken over or attempted again was so before its claim was written: whoever watches the
// claim may have begun in between.
func TestATakersAgeCountsFromBeforeItsWrite(t *testing.T) {
	t.Parallel()
	tr, took := newTrial(t), newTrial(t)
	if _, err := took.store.Work.Claim(t.Context(), took.request.Task, took.number, run.Claim{Owner: "other", Executions: 1, HandedBack: true, StartedOn: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var meanwhile time.Time
	note := func() bool { meanwhile = time.Now(); return false }
	tr.onWrite(note)
	took.onWrite(note)
	a := tr.attempt(t)
	check := func(what string, h *hold) {
		t.Helper()
		if !h.renewed.Before(meanwhile) {
			t.Errorf("%s: the claim counts as written %s after its write had begun", what, h.renewed.Sub(meanwhile))
		}
	}
	check("taken", tr.hold)
	if next := a.settle(t.Context(), errRested, nil); next == nil {
		t.Fatal("no attempt was begun")
	}
	check("attempted again", tr.hold)
	took.attempt(t)
	check("taken over", took.hold)
}

// A claim of this very runner's that it is not at work with, such as one whose answer was lost, is not watched:
// the watch would be longer than the test.
func TestARunnersOwnClaimIsNotWatched(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	if _, err := tr.store.Work.Claim(t.Context(), tr.request.Task, tr.number, run.Claim{Owner: tr.owner, Executions: 1, StartedOn: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if a := tr.attempt(t); a.begun.Executions != 2 {
		t.Errorf("taken as %+v", a.begun)
	}
}

// The next attempt has a token of its own and knows the one before it, whose chunks it sweeps.
func TestTheNextAttemptKnowsTheTokenBefore(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	former := tr.hold.claim.Token
	ctx, cancel := context.WithCancel(t.Context())
	tr.onWrite(func() bool { cancel(); return false }) // a stop does not end the write
	next := a.settle(ctx, errRested, nil)
	if next == nil {
		t.Fatal("no attempt was begun")
	}
	if token := tr.hold.claim.Token; tr.hold.before != former || token <= former || next.begun.Executions != 2 {
		t.Errorf("execution %d has token %d, and knows %d for the one before, which had %d", next.begun.Executions, token, tr.hold.before, former)
	}
}

// Whoever takes a run over from a holder that never renewed its claim sweeps its chunks too.
func TestATakersTokenBefore(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	former, err := tr.store.Work.Claim(t.Context(), tr.request.Task, tr.number, run.Claim{Owner: "other", Executions: 1, HandedBack: true, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := former.StoreRejected(t.Context(), 1, []byte("{}"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	a := tr.attempt(t)
	if tr.hold.before != former.Token {
		t.Errorf("the token before is %d, want %d", tr.hold.before, former.Token)
	}
	a.sweepRejected(t.Context())
	if _, err := tr.store.Jet().Rows.List(t.Context()); !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Errorf("the chunk of the holder before is there: %v", err)
	}
}

// While the final document cannot be written the queue hears that the run is at work, so that nobody else is
// offered it. It is written as soon as it can be.
func TestAnEndThatWaitsExtendsTheLease(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	nc := bustest.JetStream(t, tr.store.Broker.URL()).Conn()
	heard := make(chan *nats.Msg, 64)
	if _, err := nc.ChanSubscribe("$JS.ACK.RUNS.>", heard); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	tries := 0
	tr.onWrite(func() bool { tries++; return tries <= 3 })
	returned := make(chan struct{})
	go func() { defer close(returned); a.settle(t.Context(), nil, nil) }()
	wantReturn(t, returned)
	var all []string
	for msg := range heard {
		all = append(all, string(msg.Data))
		if len(msg.Data) == 0 { // it has ended
			break
		}
	}
	if !slices.Equal(all, []string{"+WPI", "+WPI", "+WPI", ""}) {
		t.Errorf("the queue heard %q", all)
	}
	if ended, err := tr.store.Work.Ended(t.Context(), tr.request.Task, tr.number); err != nil || !ended {
		t.Errorf("the run has ended: %v, %v", ended, err)
	}
}

// A runner that stops in that moment ends a run whose work is done.
func TestAStopDoesNotCutTheEnd(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.settle(ctx, nil, nil)
	if ended, err := tr.store.Work.Ended(t.Context(), tr.request.Task, tr.number); err != nil || !ended {
		t.Errorf("the run has ended: %v, %v", ended, err)
	}
}

// A claim that could not be renewed for a whole lease may be another's by now: the attempt stops.
func TestAnAttemptOutOfTouchStops(t *testing.T) {
	t.Parallel()
	for age, stops := range map[time.Duration]bool{59 * time.Minute: false, 61 * time.Minute: true} {
		tr := newTrial(t)
		a := tr.attempt(t)
		tr.hold.renewed = time.Now().Add(-age)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		stop := make(chan struct{})
		var once sync.Once
		tr.onWrite(func() bool { once.Do(func() { close(stop) }); return true })
		a.keep(ctx, stop, cancel)
		if stopped := errors.Is(context.Cause(ctx), errOutOfTouch); stopped != stops {
			t.Errorf("with a claim of %s it stops: %v, want %v", age, stopped, stops)
		}
	}
}

// A runner that stops before it can write the final document hands the run back.
func TestAStopBeforeTheEndIsWritten(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	tr.onWrite(func() bool { cancel(); tries++; return tries == 1 })
	a.settle(ctx, nil, nil)
	tr.wantHandedBack(t)
}

// A run that is another's is not ended here, and its end is not tried for ever.
func TestALostEndIsDropped(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	a := tr.attempt(t)
	seen := tr.claim(t)
	if _, err := tr.store.Work.TakeOver(t.Context(), tr.request.Task, tr.number, seen, seen.State.Next("other")); err != nil {
		t.Fatal(err)
	}
	returned := make(chan struct{})
	go func() { defer close(returned); a.settle(t.Context(), nil, nil) }()
	wantReturn(t, returned)
	if tr.claim(t).State.Owner != "other" {
		t.Error("the run is not the other's any more")
	}
}

// From half a lease on another runner may have the run: whatever a runner then does not know, it shows no progress.
func TestAnOldClaimShowsNoProgress(t *testing.T) {
	t.Parallel()
	for age, shown := range map[time.Duration]bool{25 * time.Minute: true, 31 * time.Minute: false} {
		tr := newTrial(t)
		a := tr.attempt(t)
		tr.hold.renewed = time.Now().Add(-age)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		stop, looks := make(chan struct{}), 0
		tr.onWrite(func() bool { // each round of the keeper begins with a renewal, which fails
			if looks++; looks == 3 {
				close(stop)
			}
			return true
		})
		a.keep(ctx, stop, cancel)
		info, err := tr.store.Jet().Progress.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := info.State.Msgs > 0; got != shown || ctx.Err() != nil {
			t.Errorf("with a claim of %s progress is shown: %v, want %v; %v", age, got, shown, context.Cause(ctx))
		}
	}
}
