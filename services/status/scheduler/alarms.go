package scheduler

import (
	"context"
	"errors"
	"sync"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

const (
	// settleEvery is how often it is looked for runs that were started, and need no alarm any more.
	settleEvery = 2 * time.Second
	// together is how long changes are gathered: each has all alarms looked at.
	together = 10 * time.Millisecond
)

// alarmKey is a run that waits for its time.
type alarmKey struct {
	task task.ID
	run  run.Number
}

// alarmState is what a scheduler knows of one.
type alarmState struct {
	// busy: it is being started. next is when it is to be tried again, after it was due.
	busy bool
	next time.Time
	// begun is the alarm as another process has begun it, and since when it stands so.
	begun bus.Alarm
	since time.Time
	// failed is how often in a row it could not be started.
	failed int
}

// alarms starts the runs that are to start at a time.
type alarms struct {
	*Scheduler
	view  *bus.Alarms
	slots chan struct{}

	mu     sync.Mutex
	states map[alarmKey]*alarmState
	// tried is closed and replaced whenever one was tried.
	tried chan struct{}
}

// startAlarms starts the runs whose time has come, until ctx ends.
func (s *Scheduler) startAlarms(ctx context.Context) {
	a := &alarms{Scheduler: s, view: s.options.Runs.Alarms(), slots: make(chan struct{}, atOnce), states: map[alarmKey]*alarmState{}, tried: make(chan struct{})}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { a.view.Follow(ctx) })
	beside.Go(func() { a.settle(ctx) })
	for ctx.Err() == nil {
		changed, tried := a.view.Changed(), a.next()
		next := a.look(ctx, &beside)
		select {
		case <-ctx.Done():
		case <-changed:
			wait.For(ctx, together)
		case <-tried:
			wait.For(ctx, together)
		case <-s.after(min(atMost, next.Sub(s.now()))):
		}
	}
}

func (a *alarms) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tried
}

// look starts those that are due, and returns when the next one is.
func (a *alarms) look(ctx context.Context, beside *sync.WaitGroup) (next time.Time) {
	now, present := a.now(), map[alarmKey]bool{}
	next = never
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, alarm := range a.view.All() {
		if alarm.IsCalled() {
			continue
		}
		key := alarmKey{alarm.Task, alarm.Number}
		of := a.states[key]
		due := alarm.RunAt
		if of != nil && of.next.After(due) {
			due = of.next
		}
		if of != nil && of.busy {
			present[key] = true
			continue
		}
		if due.After(now) {
			if present[key] = of != nil; due.Before(next) {
				next = due
			}
			continue
		}
		if of == nil {
			of = &alarmState{}
			a.states[key] = of
		}
		present[key], of.busy = true, true
		beside.Go(func() {
			a.slots <- struct{}{}
			defer func() { <-a.slots }()
			again := a.start(ctx, of, alarm)
			a.mu.Lock()
			defer a.mu.Unlock()
			of.busy, of.next = false, again
			close(a.tried)
			a.tried = make(chan struct{})
		})
	}
	for key, of := range a.states {
		if !present[key] && !of.busy {
			delete(a.states, key)
		}
	}
	return next
}

// start starts a run whose time has come, and returns when to try again.
func (a *alarms) start(ctx context.Context, of *alarmState, alarm bus.Alarm) (again time.Time) {
	now := a.now()
	if alarm.IsBegun() { // by another process, or by this one before it has failed
		if !of.begun.SameAs(alarm) || now.Before(of.since) {
			of.begun, of.since = alarm, now
		}
		if left := takeOver - now.Sub(of.since); left > 0 && of.failed == 0 {
			return now.Add(left)
		}
	}
	doc, err := a.view.Call(ctx, alarm)
	switch {
	case err == nil:
		of.failed = 0
		a.tellAlarm(alarm, doc)
		return time.Time{}
	case errors.Is(err, bus.ErrChanged): // another process is at it
		of.failed = 0
		return time.Time{}
	case ctx.Err() == nil:
		if of.failed++; of.failed == 1 {
			a.options.Log.Warn().Err(err).Stringer("run", alarm.Number).Msg("a run whose time has come cannot be started now, trying again")
		}
	}
	return now.Add(time.Second)
}

// tellAlarm tells that a run whose time has come is in its task's queue, or how it has ended instead.
func (a *alarms) tellAlarm(alarm bus.Alarm, doc *run.Document) {
	late := a.now().Sub(alarm.RunAt)
	if doc != nil {
		a.options.Log.Info().Str("task", doc.TaskName).Stringer("run", alarm.Number).Str("detail", doc.Message).Msg("a run whose time has come was not started")
		return
	}
	a.options.Log.Debug().Stringer("run", alarm.Number).Dur("late", late).Msg("the time of a run has come")
}

// settle has those go that were started, until ctx ends.
func (a *alarms) settle(ctx context.Context) {
	for wait.For(ctx, settleEvery) {
		called := map[task.ID][]bus.Alarm{}
		for _, alarm := range a.view.All() {
			if alarm.IsCalled() {
				called[alarm.Task] = append(called[alarm.Task], alarm)
			}
		}
		for id, all := range called {
			if err := a.view.Settle(ctx, id, all); err != nil && !errors.Is(err, bus.ErrChanged) && ctx.Err() == nil {
				a.options.Log.Debug().Err(err).Msg("the alarms of runs that were started stay for now")
			}
		}
	}
}
