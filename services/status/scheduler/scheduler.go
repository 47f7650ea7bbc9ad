// Package scheduler starts the runs that tasks have due by themselves: each time once, by however many processes.
package scheduler

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/task"
)

const (
	// late is how long after its time a run is started as if it came in time; what is later was missed.
	late = time.Minute
	// takeOver is after how long another process finishes what one was about to do.
	takeOver = 3 * time.Second
	// again is how long the next try waits after an error.
	again = time.Second
	// atMost is how long nothing is looked at: a machine's clock may be set, or stand still.
	atMost = time.Second
	// atOnce is how many tasks are dealt with at the same time: many, because the runs that start meanwhile write too.
	atOnce = 256
)

// never is a moment that nobody waits for.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Options says what a scheduler works on.
type Options struct {
	// Runs is of a store that was checked; it may go away and come back later.
	Runs *bus.Runs
	// Tasks tells which tasks have schedules.
	Tasks *bus.TaskView
	// Timetables say how far their times are dealt with; whoever makes the scheduler has them followed.
	Timetables *bus.Timetables
	// Holds are the tasks that are held; nil holds none.
	Holds *bus.Holds
	// Paces say when pollers ask first; nil knows of no run that has ended.
	Paces *bus.Paces
	// Base begins the status addresses of the runs (--public-url); empty makes them relative.
	Base string
	Log  zerolog.Logger
	// Metrics is where the scheduler's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Scheduler starts runs when they are due. Several processes may do so on one store at once.
type Scheduler struct {
	options Options
	// name is this process's own.
	name string
	// now is the wall clock, and after a timer, others in tests.
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
	// reached is called between the writes, in tests; nil elsewhere.
	reached func(ctx context.Context, step string)
	times   *prometheus.CounterVec
	delay   prometheus.Histogram
}

// New makes a scheduler; Run has it work.
func New(o Options) *Scheduler {
	factory := promauto.With(o.Metrics)
	return &Scheduler{
		options: o, name: string(task.NewID()),
		now:   func() time.Time { return time.Now().Round(0) }, // without the monotonic clock, which nobody sets
		after: time.After,
		times: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_scheduled_total",
			Help: "Times at which tasks were due by their schedules, by task and by what came of them: run, or none (held, disabled, overlap, queue full, missed).",
		}, []string{"task", "came"}),
		delay: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "runhook_schedule_delay_seconds", Help: "How long after it was due a run of a schedule was stored.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 60},
		}),
	}
}

// state is what a scheduler knows of one task.
type state struct {
	task  bus.Task
	table bus.Timed
	// unsure: the timetable is to be read anew.
	unsure bool
	// firing is the revision of a timetable with what another process is about to do, and since when it stands.
	firing uint64
	since  time.Time
	// behind is since when the timetable is of a later definition than the one that this process knows.
	behind time.Time
	// former is the definition that the timetable is of, where that is not the task's any more.
	former *task.Definition
	// failed is how often in a row something could not be done.
	failed int

	// busy: it is being dealt with. coming is the task as it is by then, and gone says that it is none any more.
	busy, gone bool
	coming     *bus.Task
	next       time.Time
}

// Run starts what is due, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { s.startAlarms(ctx) })
	var mu sync.Mutex // of all states
	states := map[task.ID]*state{}
	done, slots := make(chan struct{}, 1), make(chan struct{}, atOnce)
	var changed <-chan struct{}
	for {
		mu.Lock()
		if isOver(changed) {
			changed = s.options.Tasks.Changed()
			s.takeUp(states)
		}
		now, next := s.now(), never
		for id, of := range states {
			if of.busy {
				continue
			}
			if of.gone {
				delete(states, id)
				continue
			}
			if of.next.After(now) {
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
			working.Go(func() {
				next := s.look(ctx, of)
				mu.Lock()
				if of.busy, of.next = false, next; of.coming != nil {
					of.task, of.coming, of.next = *of.coming, nil, time.Time{}
				}
				mu.Unlock()
				<-slots
				select {
				case done <- struct{}{}:
				default:
				}
			})
		}
		mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-done:
		case <-s.after(min(atMost, next.Sub(now))):
		}
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

// takeUp takes up which tasks there are.
func (s *Scheduler) takeUp(states map[task.ID]*state) {
	present := map[task.ID]bool{}
	for _, t := range s.options.Tasks.All() {
		of := states[t.ID]
		if of == nil && len(t.Schedules) == 0 && s.options.Timetables.Of(t.ID).Revision == 0 {
			continue
		}
		present[t.ID] = true
		switch {
		case of == nil:
			states[t.ID] = &state{task: t}
		case of.busy:
			of.coming = &t
		case of.task.Revision != t.Revision:
			of.task, of.next = t, time.Time{}
		}
	}
	for id, of := range states {
		of.gone = !present[id]
	}
}
