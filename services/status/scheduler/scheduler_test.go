package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status/scheduler"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// clock is a wall clock that only goes on where a test says so.
type clock struct {
	mu     sync.Mutex
	at     time.Time
	timers map[chan time.Time]time.Time
}

// newClock begins a little after now, at a whole ten minutes: a task that is applied now was applied before.
func newClock() *clock {
	return &clock{at: time.Now().UTC().Truncate(10 * time.Minute).Add(20 * time.Minute), timers: map[chan time.Time]time.Time{}}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := make(chan time.Time, 1)
	c.timers[timer] = c.at.Add(d)
	c.ring()
	return timer
}

// set moves the clock.
func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	back := at.Before(c.at)
	c.at = at
	if back { // timers do not follow the wall clock
		for timer := range c.timers {
			c.timers[timer] = at
		}
	}
	c.ring()
}

func (c *clock) ring() {
	for timer, at := range c.timers {
		if !at.After(c.at) {
			timer <- c.at
			delete(c.timers, timer)
		}
	}
}

// apply applies a task with a schedule. lines are further ones of its file.
func apply(t *testing.T, store *bustest.Store, id task.ID, lines string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse([]byte(fmt.Sprintf("id: %s\nname: Due\nparameters: [{name: Name}]\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n%s\n", id, lines)), "due.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return def
}

// service is a status service, as far as it starts what is due.
type service struct {
	tasks  *bus.TaskView
	tables *bus.Timetables
	kill   func()
}

// start starts a service with a clock; reached is called between its writes, and may be nil. What follows a kill is
// not done any more.
func start(t *testing.T, store *bustest.Store, c *clock, name string, reached func(ctx context.Context, step string)) *service {
	t.Helper()
	opened := store.Open(name)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	view, done, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tables, holds := opened.Unheld.Timetables(), opened.Tasks.Holds()
	if err := errors.Join(tables.Load(ctx), holds.Load(ctx)); err != nil {
		t.Fatal(err)
	}
	s := scheduler.New(scheduler.Options{Runs: opened.Runs, Tasks: view, Timetables: tables, Holds: holds, Log: zerolog.Nop()})
	s.SetClock(c.now, c.after)
	s.OnReached(reached)
	var ran sync.WaitGroup
	ran.Go(func() { tables.Follow(ctx) })
	ran.Go(func() { holds.Follow(ctx) })
	ran.Go(func() { s.Run(ctx) })
	kill := sync.OnceFunc(func() { cancel(); ran.Wait(); <-done })
	t.Cleanup(kill)
	return &service{view, tables, kill}
}

// begun waits until the timetable of a task is there.
func (s *service) begun(t *testing.T, id task.ID) {
	t.Helper()
	proctest.Eventually(t, "the timetable is there", func() bool { return s.tables.Of(id).Revision > 0 })
}

// isDone waits until all is dealt with that was due at a moment.
func (s *service) isDone(t *testing.T, id task.ID, upTo time.Time) run.Timetable {
	t.Helper()
	var table run.Timetable
	proctest.Until(t, func() error {
		table = s.tables.Of(id).Timetable
		if table.Firing != nil || table.Done.Before(upTo) {
			return fmt.Errorf("done is what was due at %s, firing %+v, and not at %s", table.Done, table.Firing, upTo)
		}
		return nil
	})
	return table
}

// started are the requests of a task, in their order.
func started(t *testing.T, store *bustest.Store, id task.ID) (requests []run.Request) {
	t.Helper()
	for _, one := range bustest.Requests(t, store.Bus, id) {
		requests = append(requests, one.Request)
	}
	return requests
}

// times are when they were due.
func times(requests []run.Request) (due []string) {
	for _, r := range requests {
		due = append(due, r.ScheduledFor.UTC().Format("15:04:05"))
	}
	return due
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("started are the runs of %v, want %v", got, want)
	}
}

// Three services with one store make one run for each second of a minute.
func TestEachSecondHasOneRun(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	def := apply(t, store, task.NewID(), "schedule: [{cron: '* * * * * *', parameters: {name: x}}]")
	from := c.now()
	var services []*service
	for i := range 3 {
		services = append(services, start(t, store, c, fmt.Sprint(i), nil))
	}
	services[0].begun(t, def.ID)
	services[0].isDone(t, def.ID, from)
	before := len(started(t, store, def.ID))
	for i := 1; i <= 60; i++ {
		c.set(from.Add(time.Duration(i) * time.Second))
	}
	for _, s := range services {
		s.isDone(t, def.ID, from.Add(time.Minute))
	}
	requests := started(t, store, def.ID)[before:]
	var wanted []string
	for i := 1; i <= 60; i++ {
		wanted = append(wanted, from.Add(time.Duration(i)*time.Second).Format("15:04:05"))
	}
	want(t, times(requests), wanted...)
	for _, r := range requests {
		if r.Trigger != run.Schedule || r.Definition != def.Hash || r.Base != "" || !slices.Equal(r.Parameters["Name"].Values, []string{"x"}) || r.Parameters["Name"].From != task.FromRequest {
			t.Fatalf("%+v", r)
		}
	}
}

// One service is paused and one is killed in the moment in which a task is due, each before the run is started, or after
// that, for longer than the server knows the ids of messages. The third one finishes, and there is one run, also where the
// paused one goes on later.
func TestPausedAndKilledServices(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"intended", "stored"} {
		for _, way := range []string{"killed", "paused"} {
			t.Run(way+" when "+at, func(t *testing.T) {
				t.Parallel()
				store, c := bustest.New(t, bus.Topology{IdempotencyWindow: 100 * time.Millisecond}), newClock()
				def := apply(t, store, task.NewID(), "schedule: [{cron: '*/5 * * * *'}]")
				there, goOn := make(chan struct{}), make(chan struct{})
				var armed atomic.Bool
				first := start(t, store, c, "first", func(ctx context.Context, step string) {
					if step != at || !armed.CompareAndSwap(true, false) {
						return
					}
					close(there)
					if way == "killed" {
						<-ctx.Done()
						return
					}
					<-goOn
				})
				first.isDone(t, def.ID, c.now())
				before := len(started(t, store, def.ID))
				armed.Store(true)
				due := c.now().Add(5 * time.Minute)
				c.set(due)
				<-there
				if way == "killed" {
					first.kill()
				}
				forgotten := time.NewTimer(500 * time.Millisecond)
				<-forgotten.C
				second := start(t, store, c, "second", nil)
				proctest.Until(t, func() error {
					c.set(c.now().Add(500 * time.Millisecond)) // its patience passes
					if table := second.tables.Of(def.ID); table.Done.Before(due) {
						return errors.New("nobody has finished")
					}
					return nil
				})
				if passed := c.now().Sub(due); passed < 3*time.Second { // the first might still be at it
					t.Errorf("another one finishes after %s", passed)
				}
				wanted := []string{due.Format("15:04:05")}
				want(t, times(started(t, store, def.ID))[before:], wanted...)
				if way == "paused" {
					close(goOn)
					next := due.Add(5 * time.Minute)
					c.set(next)
					first.isDone(t, def.ID, next)
					wanted = append(wanted, next.Format("15:04:05"))
					want(t, times(started(t, store, def.ID))[before:], wanted...)
				}
			})
		}
	}
}

// Whether a run may be started counts when it is: the service that finishes another one's work finds the run that fills the
// queue, and says that the time has made it.
func TestFinishedWhenTheQueueIsFull(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{IdempotencyWindow: 100 * time.Millisecond}), newClock()
	def := apply(t, store, task.NewID(), "max_queued: 1\nschedule: [{cron: '*/5 * * * *'}]")
	due, there := c.now(), make(chan struct{})
	first := start(t, store, c, "first", func(ctx context.Context, step string) {
		if step == "stored" {
			close(there)
			<-ctx.Done()
		}
	})
	<-there
	first.kill()
	proctest.Eventually(t, "the queue is full", func() bool { return store.Runs.IsFullNow(t.Context(), def.ID, 1) })
	second := start(t, store, c, "second", nil)
	proctest.Until(t, func() error {
		if table := second.tables.Of(def.ID); table.Done.Before(due) || table.Firing != nil {
			c.set(c.now().Add(500 * time.Millisecond))
			return errors.New("nobody has finished")
		}
		return nil
	})
	recent := second.tables.Of(def.ID).Recent
	if came := recent[len(recent)-1]; came.Run == 0 || !came.Due.Equal(due) {
		t.Errorf("came of it: %+v", came)
	}
	want(t, times(started(t, store, def.ID)), due.Format("15:04:05"))
}

// After a standstill missed decides.
func TestMissedTimes(t *testing.T) {
	t.Parallel()
	for missed, wanted := range map[string]int{"once": 1, "skip": 0, "all": 100} {
		t.Run(missed, func(t *testing.T) {
			t.Parallel()
			store, c := bustest.New(t, bus.Topology{}), newClock()
			def := apply(t, store, task.NewID(), "schedule: [{cron: '* * * * *', missed: "+missed+"}]")
			first := start(t, store, c, "first", nil)
			first.begun(t, def.ID)
			begun := c.now().Truncate(time.Minute)
			first.isDone(t, def.ID, begun)
			first.kill()
			before := len(started(t, store, def.ID))
			c.set(begun.Add(5*time.Hour + 30*time.Second + time.Minute))
			last := begun.Add(5*time.Hour + time.Minute)
			second := start(t, store, c, "second", nil)
			table := second.isDone(t, def.ID, last)
			got := times(started(t, store, def.ID)[before:])
			if missed == "skip" { // that of half a minute ago was not missed
				wanted++
			}
			if len(got) != wanted || got[len(got)-1] != last.Format("15:04:05") {
				t.Errorf("%d runs: %v", len(got), got)
			}
			if len(got) == 100 && got[0] != last.Add(-99*time.Minute).Format("15:04:05") {
				t.Errorf("the first is of %s", got[0])
			}
			if says := fmt.Sprint(table.Recent); missed != "all" && !strings.Contains(says, "(missed: "+missed+")") {
				t.Errorf("recent is %s", says)
			}
		})
	}
}

// A time is missed when it is more than a minute ago.
func TestLateIsNotMissed(t *testing.T) {
	t.Parallel()
	for after, wanted := range map[time.Duration]int{60 * time.Second: 1, 61 * time.Second: 0} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			store, c := bustest.New(t, bus.Topology{}), newClock()
			def := apply(t, store, task.NewID(), "schedule: [{cron: '*/10 * * * *', missed: skip}]")
			first := start(t, store, c, "first", nil)
			first.begun(t, def.ID)
			first.isDone(t, def.ID, c.now())
			first.kill()
			before, due := len(started(t, store, def.ID)), c.now().Add(10*time.Minute)
			c.set(due.Add(after))
			second := start(t, store, c, "second", nil)
			table := second.isDone(t, def.ID, due)
			if got := times(started(t, store, def.ID)[before:]); len(got) != wanted {
				t.Errorf("started are the runs of %v", got)
			}
			if came := table.Recent[len(table.Recent)-1]; !came.Due.Equal(due) || wanted == 0 && came.Why != "missed (missed: skip)" {
				t.Errorf("came of it: %+v", came)
			}
		})
	}
}

// A clock that is set forward and back fires nothing twice.
func TestSetClock(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	def := apply(t, store, task.NewID(), "schedule: [{cron: '*/10 * * * *', missed: all}]")
	s := start(t, store, c, "one", nil)
	s.begun(t, def.ID)
	from := c.now()
	s.isDone(t, def.ID, from)
	before := len(started(t, store, def.ID))
	c.set(from.Add(time.Hour))
	s.isDone(t, def.ID, from.Add(time.Hour))
	c.set(from)
	for i := range 61 {
		c.set(from.Add(time.Duration(i) * time.Minute))
	}
	c.set(from.Add(70 * time.Minute))
	s.isDone(t, def.ID, from.Add(70*time.Minute))
	var wanted []string
	for i := 1; i <= 7; i++ {
		wanted = append(wanted, from.Add(time.Duration(i)*10*time.Minute).Format("15:04:05"))
	}
	want(t, times(started(t, store, def.ID)[before:]), wanted...)
}

// What makes no run says why: a disabled task, one that is held, one whose run is open, and one whose queue is full.
func TestWhatMakesNoRunSaysWhy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		lines, says string
		hold        bool
	}{
		"disabled": {lines: "enabled: false", says: "the task was disabled"},
		"held":     {lines: "disable_after_failures: 3", says: "the task was held, because its last 3 runs failed; run 6: as the test wants", hold: true},
		"reject":   {lines: "overlap: reject", says: "(overlap: reject)"},
		"full":     {lines: "max_queued: 1", says: "as many runs of the task waited as may (max_queued)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, c := bustest.New(t, bus.Topology{}), newClock()
			def := apply(t, store, task.NewID(), one.lines+"\nschedule: [{cron: '*/10 * * * *'}]")
			if one.hold {
				health := run.Health{Counted: 7, Failed: []run.Number{3, 5, 6}, Held: &run.Hold{On: time.Now().UTC(), TaskName: "Due", Failures: 3, Run: 6, Why: "as the test wants", Told: true}}
				data, err := health.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), "$KV.control.health."+string(def.ID), data); err != nil {
					t.Fatal(err)
				}
			}
			open := run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, CreatedOn: time.Now(), Overlap: def.Overlap}
			n := bustest.Submit(t, store.Bus, open)
			if name == "full" { // the server counts a request some time after it was stored
				proctest.Eventually(t, "the queue is full", func() bool { return store.Runs.IsFullNow(t.Context(), def.ID, 1) })
			}
			s := start(t, store, c, "one", nil)
			table := s.isDone(t, def.ID, c.now())
			if got := started(t, store, def.ID); len(got) != 1 {
				t.Errorf("started are %v", times(got))
			}
			came := table.Recent[len(table.Recent)-1]
			if !strings.Contains(came.Why, one.says) || came.Run != 0 || name == "reject" && !strings.Contains(came.Why, "run "+n.String()) {
				t.Errorf("%+v", came)
			}
		})
	}
}

// With overlap: skip a run is made that says which one was open.
func TestSkippedRun(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	def := apply(t, store, task.NewID(), "overlap: skip\nschedule: [{cron: '*/10 * * * *'}]")
	n := bustest.Submit(t, store.Bus, run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, CreatedOn: time.Now(), Overlap: def.Overlap})
	s := start(t, store, c, "one", nil)
	s.isDone(t, def.ID, c.now())
	if got := started(t, store, def.ID); len(got) != 2 || got[1].SkippedFor != n {
		t.Errorf("%+v", got)
	}
}

// Two entries with other values make a run each at the same time, and one run where the values are the same.
func TestEntriesAtTheSameTime(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	at := c.now()
	def := apply(t, store, task.NewID(), "schedule: [{cron: '0,10,20,30,40,50 * * * *', parameters: {Name: a}}, {cron: '*/10 * * * *', parameters: {Name: b}}, {cron: '*/10 0-23 * * *', parameters: {Name: a}}, {at: '"+at.Format(time.RFC3339)+"', parameters: {Name: c}}]")
	s := start(t, store, c, "one", nil)
	s.isDone(t, def.ID, at)
	var names []string
	proctest.Until(t, func() error {
		names = nil
		for _, r := range started(t, store, def.ID) {
			if r.ScheduledFor.Equal(at) {
				names = append(names, r.Parameters["Name"].Values[0])
			}
		}
		if len(names) < 3 {
			return fmt.Errorf("%v", names)
		}
		return nil
	})
	s.kill()
	want(t, names, "a", "b", "c")
}

// A changed file moves nothing that was due before, and what it says counts from then on.
func TestChangedFile(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	applied := time.Now()
	c.set(applied.UTC())
	def := apply(t, store, task.NewID(), "schedule: [{cron: '* * * * * *', parameters: {Name: old}}]")
	first := start(t, store, c, "first", nil)
	first.begun(t, def.ID)
	first.kill()
	// A second passes for the machine while no service is there, and then the file is changed.
	deadline := time.NewTimer(1100 * time.Millisecond)
	<-deadline.C
	changed := apply(t, store, def.ID, "schedule: [{cron: '0 0 * * * *', parameters: {Name: new}}]")
	view, _ := watch(t, store, def.ID)
	second := start(t, store, c, "second", nil)
	later := time.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	c.set(view.AppliedOn.Add(time.Second))
	proctest.Eventually(t, "the new file counts", func() bool { return second.tables.Of(def.ID).Definition == changed.Hash })
	old := started(t, store, def.ID)
	if len(old) == 0 {
		t.Fatal("what was due before the change has no run")
	}
	for _, r := range old {
		if r.Definition != def.Hash || !r.ScheduledFor.Before(view.AppliedOn) {
			t.Errorf("%+v, and the file was changed at %s", r, view.AppliedOn)
		}
	}
	c.set(later)
	second.isDone(t, def.ID, later)
	all := started(t, store, def.ID)
	if len(all) != len(old)+1 || all[len(all)-1].Definition != changed.Hash || !all[len(all)-1].ScheduledFor.Equal(later) {
		t.Errorf("%v", times(all))
	}
}

// Nothing is due before a file says so: neither the first file of a task with a schedule, nor one that has another than
// before.
func TestNothingIsDueBeforeItsFile(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"first": "", "changed": "schedule: [{cron: '0 0 1 1 *'}]"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, c := bustest.New(t, bus.Topology{}), newClock()
			c.set(time.Now().UTC())
			id := task.NewID()
			s := start(t, store, c, "one", nil)
			if before != "" {
				apply(t, store, id, before)
				s.begun(t, id)
			}
			passed := time.NewTimer(2100 * time.Millisecond) // so that there are times before the change
			<-passed.C
			c.set(time.Now().UTC().Add(10 * time.Second)) // by a clock behind the file's, what is due before that was still to come
			def := apply(t, store, id, "schedule: [{cron: '* * * * * *', missed: all}]")
			view, _ := watch(t, store, id)
			proctest.Eventually(t, "the file counts", func() bool { return s.tables.Of(id).Definition == def.Hash })
			s.isDone(t, id, view.AppliedOn.Add(time.Second))
			requests := started(t, store, id)
			if len(requests) == 0 {
				t.Error("nothing was due after it")
			}
			for _, r := range requests {
				if r.ScheduledFor.Before(view.AppliedOn) {
					t.Errorf("a run is of %s, and the file of %s", r.ScheduledFor, view.AppliedOn)
				}
			}
		})
	}
}

// watch is the task as the store has it.
func watch(t *testing.T, store *bustest.Store, id task.ID) (bus.Task, bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	view, done, err := store.Open("watch").Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); <-done }()
	return view.Get(id)
}

// Three services whose clocks differ by two seconds, with a store that goes away for a while, make one run for each
// second.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def := apply(t, store, task.NewID(), "schedule: [{cron: '* * * * * *', missed: all}]")
	clocks := []*clock{newClock(), newClock(), newClock()}
	from := clocks[0].now()
	var services []*service
	for i, c := range clocks {
		c.set(from.Add(time.Duration(2-2*i) * time.Second)) // ahead, right, behind
		services = append(services, start(t, store, c, fmt.Sprint(i), nil))
		services[0].isDone(t, def.ID, from.Add(2*time.Second)) // by the first alone: no clock goes on here
	}
	before := len(started(t, store, def.ID))
	for i := 1; i <= 30; i++ {
		if i == 10 {
			store.Restart()
		}
		for k, c := range clocks {
			c.set(from.Add(time.Duration(i+2-2*k) * time.Second))
		}
	}
	last := from.Add(32 * time.Second)
	proctest.Until(t, func() error {
		if table := services[0].tables.Of(def.ID); table.Firing != nil || table.Done.Before(last) {
			for _, c := range clocks { // time passes, for those that try again or wait for another one
				c.set(c.now().Add(500 * time.Millisecond))
			}
			return fmt.Errorf("done at %s", table.Done)
		}
		return nil
	})
	var due []time.Time
	for _, r := range started(t, store, def.ID)[before:] {
		due = append(due, r.ScheduledFor)
	}
	for i, at := range due {
		if want := from.Add(time.Duration(3+i) * time.Second); !at.Equal(want) {
			t.Errorf("run %d is of %s, want %s", i, at, want)
		}
	}
	if len(due) < 30 {
		t.Errorf("%d runs", len(due))
	}
}
