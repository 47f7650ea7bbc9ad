package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Cancels are the runs that are to be canceled, as a process sees them: it reads those of all runs together. They are safe
// for concurrent use.
type Cancels struct {
	store *jet.Store

	// settles: it also has the requests that are over, as long as they are stored.
	settles bool

	mu      sync.Mutex
	runs    map[runKey]Canceling
	changed chan struct{} // closed and replaced at every change
}

// Canceling is a request to cancel a run, as it is stored.
type Canceling struct {
	Task   task.ID
	Number run.Number
	run.Cancel

	view     *Cancels
	sequence uint64
	// over: the run has ended, and this only says so. seen is when it was heard of.
	over bool
	seen time.Time
}

type runKey struct {
	id     task.ID
	number run.Number
}

// Cancels returns a view of the runs that are to be canceled, which is empty until Follow.
func (w *Work) Cancels() *Cancels { return newCancels(w.store, false) }

// Cancels returns a view for [Unheld.SettleCancel], which is empty until Follow.
func (u *Unheld) Cancels() *Cancels { return newCancels(u.store, true) }

func newCancels(s *jet.Store, settles bool) *Cancels {
	return &Cancels{store: s, settles: settles, runs: map[runKey]Canceling{}, changed: make(chan struct{})}
}

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Cancels) Follow(ctx context.Context) {
	var seen map[runKey]bool
	f := following{
		stream: v.store.Control, subject: jet.Cancels, woken: v.store.Canceled.Next,
		begun: func() { seen = map[runKey]bool{} },
		note: func(record jet.Record) {
			if key, ok := v.note(record); ok {
				seen[key] = true
			}
		},
		whole: func() { v.keep(seen) },
	}
	reconnected := v.store.NC.StatusChanged(nats.CONNECTED)
	defer v.store.NC.RemoveStatusListener(reconnected)
	f.follow(ctx, reconnected, f.readAll)
}

// note takes one change into the view.
func (v *Cancels) note(record jet.Record) (key runKey, ok bool) {
	id, n, ok := jet.CanceledRun(record.Subject)
	if !ok {
		v.store.Control.PassOver(record, errors.New("the key of a request to cancel is that of a run"))
		return key, false
	}
	next := Canceling{Task: id, Number: n, view: v, sequence: record.Sequence, over: len(record.Data) == 0, seen: time.Now()}
	if !next.over {
		var err error
		if next.Cancel, err = run.DecodeCancel(record.Data); err != nil {
			v.store.Control.PassOver(record, err)
			return key, false
		}
	}
	key = runKey{id, n}
	v.mu.Lock()
	defer v.mu.Unlock()
	if before, known := v.runs[key]; known && before.sequence == next.sequence { // told anew
		return key, true
	}
	if next.over && !v.settles {
		delete(v.runs, key)
		v.tell()
		return key, true
	}
	v.runs[key] = next
	v.tell()
	return key, true
}

// keep forgets what a whole reading did not show.
func (v *Cancels) keep(seen map[runKey]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.runs, func(key runKey, _ Canceling) bool { return !seen[key] })
	v.tell()
}

// forget drops a request that is not stored any more.
func (v *Cancels) forget(c Canceling) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if key := (runKey{c.Task, c.Number}); v.runs[key].sequence == c.sequence {
		delete(v.runs, key)
	}
}

// tell wakes those who wait for a change; the caller holds mu.
func (v *Cancels) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Of returns the request to cancel a run; ok is false if there is none.
func (v *Cancels) Of(id task.ID, n run.Number) (c run.Cancel, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.runs[runKey{id, n}]
	return found.Cancel, ok && !found.over
}

// Any reports whether any run of a task is to be canceled.
func (v *Cancels) Any(id task.ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, c := range v.runs {
		if key.id == id && !c.over {
			return true
		}
	}
	return false
}

// All returns the requests that are stored, those that are over too, for [Unheld.SettleCancel].
func (v *Cancels) All() []Canceling {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Values(v.runs))
}

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Cancels) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}
