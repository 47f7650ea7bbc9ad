// Package chains starts the runs that follow the ends of others: each once, by however many processes.
package chains

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

const (
	// takeOver is after how long another process finishes what one was about to do.
	takeOver = 3 * time.Second
	// again is how long the next try waits after an error.
	again = time.Second
	// lookAnyway is how often it is looked for ends that nobody has told of.
	lookAnyway = 5 * time.Second
	// An event comes a moment after the end that was heard of: it is waited for, longer each time.
	firstWait = 500 * time.Microsecond
	lastWait  = 250 * time.Millisecond
	waitAtAll = 2 * time.Second
	// atOnce is how many tasks are dealt with at the same time.
	atOnce = 64
)

// never is a moment that nobody waits for.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Options says what a follower works on.
type Options struct {
	// Runs is of a store that was checked; it may go away and come back later.
	Runs *bus.Runs
	// Tasks are those that are started.
	Tasks *bus.TaskView
	// Chains say how far the ends of runs are dealt with; whoever makes the follower has them followed.
	Chains *bus.Chains
	// Holds are the tasks that are held; nil holds none.
	Holds *bus.Holds
	// Paces say when pollers ask first; nil knows of no run that has ended.
	Paces *bus.Paces
	Log   zerolog.Logger
	// Metrics is where the follower's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Follower starts what follows the ends of runs. Several processes may do so on one store at once.
type Follower struct {
	options Options
	// name is this process's own.
	name string
	// takeOver is that of the package, another in tests.
	takeOver time.Duration
	// reached is called between the writes, in tests; nil elsewhere.
	reached func(ctx context.Context, step string)
	// accepted is the last number of a run that this process has started.
	accepted atomic.Uint64
	ends     *prometheus.CounterVec
	delay    prometheus.Histogram
}

// New makes a follower; Run has it work.
func New(o Options) *Follower {
	factory := promauto.With(o.Metrics)
	return &Follower{
		options: o, name: string(task.NewID()), takeOver: takeOver,
		ends: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_chained_total",
			Help: "Entries of `then` at the ends of runs, by the task that has ended and by what came of them: run, or none (the expression failed, disabled, held, overlap, queue full, too long a chain).",
		}, []string{"task", "came"}),
		delay: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "runhook_chain_delay_seconds", Help: "How long after the end of a run the run that follows it was stored.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 60},
		}),
	}
}

// state is what a follower knows of one task.
type state struct {
	id    task.ID
	table bus.Chained
	// seen is the last event that was looked at and starts nothing, which is not written down each time.
	seen uint64
	// unsure: the chain is to be read anew, and unsettled: it may not fit the events.
	unsure    bool
	unsettled atomic.Bool
	// starting is the revision of a chain with what another process is about to start, and since when it stands.
	starting uint64
	since    time.Time
	// former are definitions of runs that have ended.
	former map[string]*task.Definition
	// failed is how often in a row something could not be done.
	failed int

	// rung: there may be something to deal with.
	rung atomic.Bool
	// awaited are the runs whose ends were heard of and whose events have not come, with when they were heard of: 0 is any,
	// whose end may have been missed. wait is how long is waited for them next.
	mu      sync.Mutex
	awaited map[run.Number]time.Time
	wait    time.Duration

	// stop ends the hearing.
	stop func()
	// busy: it is being dealt with. next is when it is looked at again.
	busy bool
	next time.Time
}

// Run starts what follows, until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	var working sync.WaitGroup
	var mu sync.Mutex // of all states
	states := map[task.ID]*state{}
	defer func() {
		working.Wait()
		for _, of := range states {
			of.stop()
		}
	}()
	reconnected, stop := f.options.Chains.Reconnected()
	defer stop()
	done, heard, slots := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, atOnce)
	var tasks, chains <-chan struct{}
	anyway := time.NewTicker(lookAnyway)
	defer anyway.Stop()
	// One look at a time; events is the last event that it has seen.
	anywayC, looked, events := anyway.C, make(chan struct{}, 1), uint64(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		mu.Lock()
		if isOver(tasks) || isOver(chains) {
			tasks, chains = f.options.Tasks.Changed(), f.options.Chains.Changed()
			f.takeUp(states, heard)
		}
		now, next := time.Now(), never
		for _, of := range states {
			if of.busy {
				continue
			}
			if !of.rung.Load() && of.next.After(now) {
				if of.next.Before(next) {
					next = of.next
				}
				continue
			}
			select {
			case slots <- struct{}{}:
			default:
				continue // until one is free
			}
			of.busy = true
			of.rung.Store(false)
			working.Go(func() {
				next := f.look(ctx, of)
				mu.Lock()
				of.busy, of.next = false, next
				mu.Unlock()
				<-slots
				wake(done)
			})
		}
		mu.Unlock()
		timer.Reset(next.Sub(now))
		select {
		case <-ctx.Done():
			return
		case <-tasks:
		case <-chains:
		case <-done:
		case <-heard:
		case <-timer.C:
		case <-anywayC:
			working.Go(func() {
				last, err := f.options.Chains.Events(ctx)
				if before := events; err == nil && last != before {
					events = last
					mu.Lock()
					f.lookAtAll(states, last < before)
					mu.Unlock()
					wake(heard)
				}
				looked <- struct{}{}
			})
			anywayC = nil
		case <-looked:
			anywayC = anyway.C
		case <-reconnected:
			mu.Lock()
			f.lookAtAll(states, true)
			mu.Unlock()
		}
	}
}

// wake has a loop look again that waits for a channel with room for one.
func wake(waiting chan<- struct{}) {
	select {
	case waiting <- struct{}{}:
	default: // it is in there
	}
}

// isOver reports whether a channel is nil or closed.
func isOver(of <-chan struct{}) bool {
	if of == nil {
		return true
	}
	select {
	case <-of:
		return true
	default:
		return false
	}
}

// takeUp takes up which tasks have chains, and has what has changed looked at.
func (f *Follower) takeUp(states map[task.ID]*state, heard chan<- struct{}) {
	ids := map[task.ID]bool{}
	for _, id := range f.options.Chains.IDs() {
		ids[id] = true
	}
	for _, t := range f.options.Tasks.All() {
		if len(t.Then) > 0 {
			ids[t.ID] = true
		}
	}
	for id := range ids {
		of := states[id]
		if of == nil {
			of = &state{id: id, former: map[string]*task.Definition{}, awaited: map[run.Number]time.Time{}}
			of.unsettled.Store(true)
			of.await(0) // the event of an end that came just before
			stop, err := f.options.Chains.Hear(id, func(n run.Number) { of.await(n); wake(heard) })
			if err != nil { // it is looked anyway
				stop = func() {}
			}
			of.stop = stop
			states[id] = of
		}
		if !of.busy && f.options.Chains.Of(id).Revision > of.table.Revision {
			of.next = time.Time{}
		}
	}
}

// lookAtAll has all tasks looked at, also for events that are other ones than before.
func (f *Follower) lookAtAll(states map[task.ID]*state, unsettled bool) {
	for _, of := range states {
		if unsettled {
			of.unsettled.Store(true)
			of.await(0)
		}
		of.rung.Store(true)
	}
}

// await has the event of a run's end awaited.
func (of *state) await(n run.Number) {
	of.mu.Lock()
	of.awaited[n], of.wait = time.Now(), firstWait
	of.mu.Unlock()
	of.rung.Store(true)
}

// came has the events of runs not awaited any more.
func (of *state) came(all ...run.Number) {
	of.mu.Lock()
	for _, n := range all {
		delete(of.awaited, n)
	}
	of.mu.Unlock()
}

// pause is how long the events that are awaited are waited for next, 0 if none are.
func (of *state) pause() (pause time.Duration) {
	table := of.table.Ends
	var dealt []run.Number
	if table.Run > 0 {
		dealt = append(dealt, table.Run)
	}
	for _, one := range table.Recent {
		dealt = append(dealt, one.Run)
	}
	of.came(dealt...)
	of.mu.Lock()
	defer of.mu.Unlock()
	maps.DeleteFunc(of.awaited, func(_ run.Number, since time.Time) bool { return time.Since(since) > waitAtAll })
	if len(of.awaited) == 0 {
		return 0
	}
	pause = of.wait
	of.wait = min(2*pause, lastWait)
	return pause
}
