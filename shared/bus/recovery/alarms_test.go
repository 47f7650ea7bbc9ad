package recovery_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// later has a run wait for a time to come, as a runner does.
func (r *ran) later(t *testing.T) run.Number {
	t.Helper()
	request := r.request
	request.RunAt = time.Now().Add(time.Hour)
	n := bustest.Submit(t, r.Bus, request)
	queue, err := r.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	proctest.Until(t, func() error {
		d, err := bustest.Next(t.Context(), queue)
		if err != nil {
			return err
		}
		defer d.Done()
		return r.Work.SetAside(t.Context(), d)
	})
	return n
}

// waits are the runs that wait for their time in a store, in their order.
func waits(t *testing.T, store *bus.Bus, want int) (numbers []run.Number) {
	t.Helper()
	view := store.Runs.Alarms()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); view.Follow(ctx) }()
	defer func() { cancel(); <-done }()
	proctest.Eventually(t, "the runs that wait", func() bool {
		numbers = nil
		for _, a := range view.All() {
			numbers = append(numbers, a.Number)
		}
		return len(numbers) == want
	})
	slices.Sort(numbers)
	return numbers
}

// A restored store starts the runs that waited for their time, also one whose time came while the backup was made, so
// that its alarm was gone when that was read, and whose end is not in it.
func TestRunsThatWaitAreRestored(t *testing.T) {
	t.Parallel()
	r := newRan(t, 2)
	first, second := r.later(t), r.later(t)
	r.execute(t)
	js := bustest.JetStream(t, r.Broker.URL())
	m := &made{begun: func(stream string) {
		if stream != "OBJ_rows" { // which is read before the alarms, and after the final documents
			return
		}
		control, err := js.Stream(t.Context(), "KV_control")
		if err != nil {
			t.Fatal(err)
		}
		gone, err := control.GetLastMsgForSubject(t.Context(), "$KV.control.alarm."+string(r.request.Task)+"."+second.String())
		if err == nil {
			err = control.DeleteMsg(t.Context(), gone.Sequence)
		}
		if err != nil {
			t.Fatal(err)
		}
	}}
	if err := recovery.Backup(t.Context(), r.Bus, m); err != nil {
		t.Fatal(err)
	}
	other := r.restored(t, m.parts)
	if got := waits(t, other.Bus, 2); got[0] != first || got[1] != second {
		t.Errorf("runs %v wait, want %s and %s", got, first, second)
	}
	status, err := other.Runs.Lookup(t.Context(), r.request.Task, first)
	if err != nil || status.Final || status.Document.Waiting == nil || status.Document.Waiting.Kind != run.ForTime {
		t.Errorf("%+v, %v", status.Document, err)
	}
}
