// Package runner executes runs: it pulls requests while it has a free slot, claims each run, keeps
// the lease alive, runs the task's pipeline, and writes the one final document.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/turn"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Options says how a runner works.
type Options struct {
	Work  *bus.Work
	Tasks *bus.TaskView
	// Kinds are the kinds of source and destination that tasks may have.
	Kinds connector.Kinds
	// Connections are the databases and folders that tasks name; nil is a set without any.
	Connections *connection.Set
	// Pool is the pool of the runner: it takes the runs of tasks that name it. Default task.DefaultPool.
	Pool string
	// Slots is how many runs are under way at once, at least 1.
	Slots int
	// Grace is how long running work may go on after a stop was asked for, before it is handed
	// back; 0 is none.
	Grace time.Duration
	// Home names the place that this process alone works from, such as a locked data directory: a
	// claim from the same home belongs to a process that is gone. Empty when there is no such place.
	Home string
	// Hold: no run is taken, and what is queued stays so.
	Hold bool
	Log  zerolog.Logger
	// Metrics is where the runner's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Runner is one process's executor.
type Runner struct {
	options Options
	owner   string
	slots   *slots
	metrics *metrics
	// definitions holds parsed accepted definitions by hash: most runs of a task share one.
	definitions *lru.Cache[string, *task.Definition]
	// cancels are the runs that are to be canceled, wherever they are.
	cancels *bus.Cancels
	// paces are how long runs took that have ended here.
	paces *paces
	// pauses are the connections that are paused.
	pauses *bus.Pauses

	// stopping is closed when no new work is taken any more.
	stopping <-chan struct{}

	mu      sync.Mutex
	running map[run.Number]*hold
}

const cachedDefinitions = 256

// New makes a runner; Run starts it.
func New(o Options) (*Runner, error) {
	if o.Slots < 1 {
		return nil, fmt.Errorf("--slots must be at least 1, not %d", o.Slots)
	}
	if o.Grace < 0 {
		return nil, fmt.Errorf("--grace must be at least 0s, not %s", o.Grace)
	}
	o.Pool = cmp.Or(o.Pool, task.DefaultPool)
	if err := task.CheckPool(o.Pool); err != nil {
		return nil, fmt.Errorf("--pool: %w", err)
	}
	if o.Connections == nil {
		o.Connections = &connection.Set{}
	}
	definitions, err := lru.New[string, *task.Definition](cachedDefinitions)
	if err != nil {
		return nil, fmt.Errorf("make the cache of definitions: %w", err)
	}
	owner := uuid.NewString()
	if o.Home != "" {
		owner = o.Home + "/" + owner
	}
	return &Runner{
		options: o, owner: owner, definitions: definitions, metrics: newMetrics(o.Metrics),
		cancels: o.Work.Cancels(), pauses: o.Work.Pauses(), paces: newPaces(), running: map[run.Number]*hold{},
	}, nil
}

// errStopping is the cause with which work is canceled when the grace is over.
var errStopping = errors.New("the runner is stopping")

// stopLimit is how long work that was told to stop may take to do so.
var stopLimit = 10 * time.Second // shorter in tests

// Run executes runs until ctx ends, or, with Hold, waits for that. Then it takes no new work, gives running
// work the grace, hands back what is left, and returns when every attempt has ended. One that does not end,
// in a statement of a database perhaps, is left behind, and Run returns an error: its run goes on elsewhere
// when its lease has run out.
func (r *Runner) Run(ctx context.Context) error {
	there, err := r.options.Work.Serve(r.options.Pool, r.options.Hold)
	if err != nil {
		return fmt.Errorf("answer that the runner is up: %w", err)
	}
	defer context.AfterFunc(ctx, there)()
	if r.options.Hold {
		<-ctx.Done()
		return nil
	}
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(nil)
	r.slots, r.stopping = newSlots(work, r.options.Slots), ctx.Done()

	var beside sync.WaitGroup
	defer beside.Wait()
	heeding, stopHeeding := context.WithCancel(context.WithoutCancel(ctx)) // as long as anything is under way
	defer stopHeeding()
	beside.Go(func() { r.followCancels(heeding) })
	beside.Go(func() { r.paces.store(heeding, r) })
	beside.Go(func() { r.pauses.Follow(heeding) })
	sites := r.options.Work.Sites()
	defer sites.Close()
	turns := turn.New(sites, r.owner, r.outlives, r.options.Log)
	defer turns.Close()
	r.options.Connections.Turns(turns)

	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-r.pauses.Loaded():
		case <-ctx.Done():
			return
		}
		attempts := newHands()
		r.follow(ctx, func(h *hold, ended func()) {
			attempts.do(func() {
				defer r.slots.release(1)
				defer ended()
				r.attempt(work, h)
			})
		})
		attempts.end()
	}()
	<-ctx.Done()
	select {
	case <-finished:
		return nil
	case <-time.After(r.options.Grace):
	}
	stopWork(errStopping)
	select {
	case <-finished:
		return nil
	case <-time.After(stopLimit):
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("stop the runner: %d of its runs did not stop; they go on elsewhere when their leases have run out", len(r.running))
}

// hands are goroutines that do one thing after the other, as many as there ever were things to do at once. One that is
// made for each thing has to grow its stack each time.
type hands struct {
	all  sync.WaitGroup
	next chan func()
}

func newHands() *hands { return &hands{next: make(chan func())} }

// do has one that is free do it, and does not wait for it.
func (h *hands) do(work func()) {
	select {
	case h.next <- work:
		return
	default:
	}
	h.all.Go(func() {
		work()
		for work := range h.next {
			work()
		}
	})
}

// end returns when all is done. Nothing more may be given to do.
func (h *hands) end() {
	close(h.next)
	h.all.Wait()
}

// admit gives a delivery to the hold of its run if this runner has one, and otherwise makes one if there is a
// slot. Both are one step: a run may be delivered twice at once, and begins once.
func (r *Runner) admit(d *bus.Delivery, slot func() bool) (h *hold, adopted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if under := r.running[d.Number]; under != nil {
		d.Request = under.delivery.Load().Request // a call has none
		under.delivery.Store(d)
		return nil, true
	}
	if r.isStopping() || !slot() {
		return nil, false
	}
	if d.Request.TaskName == "" {
		if of, ok := r.options.Tasks.Of(d.Task); ok && of.Definition != nil { // a call has no request yet
			d.Request.TaskName = of.Name
		}
	}
	h = newHold(r.options.Work, d, r.options.Log)
	h.left = func() { r.leave(h) }
	r.running[d.Number] = h
	r.metrics.running.Inc()
	return h, false
}

// leave ends a hold: a later delivery of its run is a new one's.
func (r *Runner) leave(h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[h.number] == h {
		delete(r.running, h.number)
		r.metrics.running.Dec()
	}
}

func (r *Runner) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// outlives reports whether a claim's owner is known to be gone without watching: it is this very
// runner, which would know if it were still at work, or an earlier process of the same home.
func (r *Runner) outlives(owner string) bool {
	return owner == r.owner || r.options.Home != "" && strings.HasPrefix(owner, r.options.Home+"/")
}

// definition returns the definition that was accepted with a request, whatever is current now.
func (r *Runner) definition(ctx context.Context, request run.Request) (*task.Definition, error) {
	if def, ok := r.definitions.Get(request.Definition); ok {
		return def, nil
	}
	def, err := r.options.Work.Definition(ctx, request.Task, request.Definition)
	if err != nil {
		return nil, err
	}
	r.definitions.Add(request.Definition, def)
	return def, nil
}
