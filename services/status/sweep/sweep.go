// Package sweep ends the runs that no runner will, and removes what ended runs leave in the store.
package sweep

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// How often the sweep looks, where nothing says when it must.
const (
	again  = 5 * time.Second // after an error
	atMost = time.Hour
	// slicesEvery is how often slices of runs are looked at: a whole empty one lasts longer at thousands of runs a second.
	slicesEvery = 5 * time.Second
	// unqueuedEvery is how often requests that no queue hands out are looked for. There are none but where
	// a program that is not an ingress publishes them, or an ingress that has not heard of a task's end.
	unqueuedEvery = 10 * time.Second
)

// Options says what a sweeper works on.
type Options struct {
	// Unheld is of a store that was checked; it may go away and come back later.
	Unheld *bus.Unheld
	// Tasks tells which queues there are.
	Tasks *bus.TaskView
	// Cancels are of Unheld; whoever makes the sweeper has them followed.
	Cancels *bus.Cancels
	// Erasures are of Unheld; whoever makes the sweeper has them followed. Nil erases nothing.
	Erasures *bus.Erasures
	Log      zerolog.Logger
	// Metrics is where the sweeper's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Sweeper ends runs and removes what they leave. Several processes may sweep one store at once.
type Sweeper struct {
	store   *bus.Unheld
	tasks   *bus.TaskView
	cancels *bus.Cancels
	// erasures is nil where none are done.
	erasures *bus.Erasures
	// now tells the time, another one in tests.
	now   func() time.Time
	log   zerolog.Logger
	swept *prometheus.CounterVec

	overlapped *prometheus.CounterVec
}

// New makes a sweeper; Run has it work.
func New(o Options) *Sweeper {
	return &Sweeper{
		store: o.Unheld, tasks: o.Tasks, cancels: o.Cancels, erasures: o.Erasures, now: time.Now, log: o.Log,
		swept: promauto.With(o.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_swept_total",
			Help: "Runs ended because no runner held them in time, or because they were canceled and none held them any more, by task.",
		}, []string{"task"}),
		overlapped: promauto.With(o.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_overlapped_total",
			Help: "Runs that were skipped, or canceled by a later run while no runner held them, because of their task's overlap, by task.",
		}, []string{"task"}),
	}
}

// Run ends runs that no runner will, until ctx ends: those that no runner took in time (start_within),
// and those that have not ended after half the time that runs are kept. Each run is ended once, by the
// sweeper that is first; whoever delivers it later finds that it has ended. Run also keeps the slices of
// runs, and removes the definitions of tasks that no run can need any more.
//
// It looks at a queue when something in it is due, or could be if it came right now.
func (s *Sweeper) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { s.keepSlices(ctx) })
	beside.Go(func() { s.endUnqueued(ctx) })
	beside.Go(func() { s.settleCancels(ctx) })
	beside.Go(func() { s.settleOverlaps(ctx) })
	beside.Go(func() { s.holdFailing(ctx) })
	beside.Go(func() { s.erase(ctx) })
	beside.Go(func() { s.keep(ctx) })
	beside.Go(func() { s.eraseReturned(ctx) })
	queues := map[task.ID]*queue{}
	var definitions time.Time
	for ctx.Err() == nil {
		changed := s.tasks.Changed()
		if !definitions.After(time.Now()) {
			definitions = s.sweepDefinitions(ctx)
		}
		next := definitions
		present := map[task.ID]bool{}
		for _, found := range s.tasks.Queues() {
			present[found.Task] = true
			q := queues[found.Task]
			if q == nil {
				q = &queue{sweeper: s, id: found.Task, held: map[run.Number]*holding{}}
				queues[found.Task] = q
			}
			if due := q.lookIfDue(ctx, found.StartWithin); due.Before(next) {
				next = due
			}
		}
		maps.DeleteFunc(queues, func(id task.ID, _ *queue) bool { return !present[id] })
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(time.Until(next)):
		}
	}
}

// keepSlices keeps the slices of runs until ctx ends.
func (s *Sweeper) keepSlices(ctx context.Context) {
	ticker := time.NewTicker(slicesEvery)
	defer ticker.Stop()
	slices := s.store.Slices()
	for {
		if err := slices.Look(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug().Err(err).Msg("slices of runs stay as they are for now, trying again")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// endUnqueued ends, again and again until ctx ends, the runs of ids that no task has.
func (s *Sweeper) endUnqueued(ctx context.Context) {
	ticker := time.NewTicker(unqueuedEvery)
	defer ticker.Stop()
	unqueued := s.store.Unqueued()
	for {
		err := unqueued.Each(ctx, func(id task.ID, w bus.Waiting) error {
			doc := run.QueuedDocument(w.Request, w.Number)
			doc.End(run.Failed, "No task has the id of this run, so nothing was executed. The task was deleted or rotated, or never there", time.Now())
			err := s.store.EndUnclaimed(ctx, id, w.Number, doc)
			if errors.Is(err, bus.ErrClaimed) && !errors.Is(err, bus.ErrUnsure) { // another sweeper was faster
				return nil
			}
			if err == nil {
				s.tell(doc)
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.log.Debug().Err(err).Msg("cannot look for runs without a task now, trying again")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tell tells of a run that was ended.
func (s *Sweeper) tell(doc run.Document) {
	s.swept.WithLabelValues(doc.TaskName).Inc()
	s.log.Info().Str("task", doc.TaskName).Stringer("run", doc.ImportID).Str("detail", doc.Message).Msg("ended a run that no runner holds")
}

// sweepDefinitions removes definitions that no run can need any more, and returns when to look again.
func (s *Sweeper) sweepDefinitions(ctx context.Context) time.Time {
	removed, err := s.store.SweepDefinitions(ctx)
	if removed > 0 {
		s.log.Info().Int("definitions", removed).Msg("removed definitions of tasks that no run can need any more")
	}
	if err != nil && ctx.Err() == nil {
		s.log.Debug().Err(err).Msg("cannot look for old definitions now, trying again")
		return time.Now().Add(again)
	}
	return time.Now().Add(min(atMost, s.store.Retention()/4))
}
