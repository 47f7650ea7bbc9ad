package scheduler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// setAside has a task's runs start at some times, as a runner does with their requests.
func setAside(t *testing.T, store *bustest.Store, def *task.Definition, at ...time.Time) (numbers []run.Number) {
	t.Helper()
	queue, err := store.Work.Queue(t.Context(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	for _, at := range at {
		n := bustest.Submit(t, store.Bus, run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, CreatedOn: time.Now(), RunAt: at})
		numbers = append(numbers, n)
		proctest.Until(t, func() error {
			d, err := bustest.Next(t.Context(), queue)
			if err != nil {
				return err
			}
			defer d.Done()
			return store.Work.SetAside(t.Context(), d)
		})
	}
	return numbers
}

// queued are the runs that were put into a task's queue, in their order.
func queued(t *testing.T, store *bustest.Store, id task.ID) (numbers []run.Number) {
	t.Helper()
	for _, one := range bustest.Requests(t, store.Bus, id) {
		numbers = append(numbers, one.Number)
	}
	return numbers
}

// Runs that are to start at a time start then, each once, by whichever of three services, also when the store was away at
// the moment, and when a clock is set forward and back.
func TestRunsStartAtTheirTimes(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	def := apply(t, store, task.NewID(), "concurrency: 100")
	from := c.now()
	var at []time.Time
	for i := range 20 {
		at = append(at, from.Add(time.Duration(1+i/2)*time.Minute)) // two at once
	}
	numbers := setAside(t, store, def, at...)
	for i := range 3 {
		start(t, store, c, fmt.Sprint(i), nil)
	}
	c.set(from.Add(59 * time.Second))
	if got := queued(t, store, def.ID); len(got) > 0 {
		t.Errorf("%v started before their times", got)
	}
	await := func(n int) {
		t.Helper()
		proctest.Until(t, func() error {
			c.set(c.now()) // for those that try again
			got := queued(t, store, def.ID)
			if len(got) != n {
				c.set(c.now().Add(100 * time.Millisecond))
				return fmt.Errorf("%d runs started, want %d: %v", len(got), n, got)
			}
			return nil
		})
	}
	c.set(from.Add(time.Minute))
	await(2)
	c.set(from.Add(2 * time.Minute))
	await(4)
	c.set(from) // back
	store.Restart()
	c.set(from.Add(5 * time.Minute)) // forward
	await(10)
	for i := 6; i <= 10; i++ {
		c.set(from.Add(time.Duration(i) * time.Minute))
	}
	await(20)
	seen := map[run.Number]bool{}
	for _, n := range queued(t, store, def.ID) {
		seen[n] = true
	}
	for _, n := range numbers {
		if !seen[n] {
			t.Errorf("run %s did not start", n)
		}
	}
}

// What a service has begun that is killed then, another one finishes after a while.
func TestKilledWhileARunIsCalled(t *testing.T) {
	t.Parallel()
	store, c := bustest.New(t, bus.Topology{}), newClock()
	def := apply(t, store, task.NewID(), "")
	at := c.now().Add(time.Minute)
	n := setAside(t, store, def, at)[0]
	begun := fmt.Sprintf(`{"RunAt":%q,"Behind":1}`, at.Format(time.RFC3339))
	if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), fmt.Sprintf("$KV.control.alarm.%s.%s", def.ID, n), []byte(begun)); err != nil {
		t.Fatal(err)
	}
	start(t, store, c, "another", nil)
	c.set(at)
	proctest.Until(t, func() error {
		c.set(c.now().Add(500 * time.Millisecond))
		if got := queued(t, store, def.ID); len(got) != 1 || got[0] != n {
			return errors.New("it is not called")
		}
		return nil
	})
	if passed := c.now().Sub(at); passed < 3*time.Second {
		t.Errorf("it is called after %s", passed)
	}
}
