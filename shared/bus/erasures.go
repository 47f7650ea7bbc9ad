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

// Erasures are the erasures that are under way, or were done a moment ago, as a process sees them. They are safe for
// concurrent use.
type Erasures struct {
	store *jet.Store

	mu      sync.Mutex
	all     map[string]Erasing // by subject
	heard   []func(run.Erasure)
	changed chan struct{} // closed and replaced at every change
}

// Erasing is an erasure as it is stored.
type Erasing struct {
	run.Erasure

	sequence uint64
	// seen is when it was last heard of that it has moved.
	seen time.Time
}

// Erasures returns a view of the erasures, which is empty until Follow.
func (u *Unheld) Erasures() *Erasures {
	return &Erasures{store: u.store, all: map[string]Erasing{}, changed: make(chan struct{})}
}

// OnErased has heard called, before Follow, with each erasure that begins or ends from then on and, when the process
// begins, with each receipt that there is: whoever keeps something of runs drops it.
func (v *Erasures) OnErased(heard func(run.Erasure)) { v.heard = append(v.heard, heard) }

const (
	// erasuresEvery and receiptsEvery are how often it is looked for what other processes have written.
	erasuresEvery = time.Second
	receiptsEvery = 5 * time.Second
)

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Erasures) Follow(ctx context.Context) {
	var seen map[string]bool
	under := following{
		stream: v.store.Control, subject: jet.Erasures, woken: v.store.Erasing.Next, every: erasuresEvery,
		begun: func() { seen = map[string]bool{} },
		note: func(record jet.Record) {
			seen[record.Subject] = true
			v.note(record)
		},
		whole: func() { v.keep(seen) },
	}
	done := following{
		stream: v.store.Audit, subject: jet.Receipts, woken: func() <-chan struct{} { return nil }, every: receiptsEvery,
		begun: func() {}, note: v.receipt, whole: func() {},
	}
	var both sync.WaitGroup
	defer both.Wait()
	for _, f := range []*following{&under, &done} {
		both.Go(func() {
			reconnected := v.store.NC.StatusChanged(nats.CONNECTED)
			defer v.store.NC.RemoveStatusListener(reconnected)
			f.follow(ctx, reconnected, f.readAll)
		})
	}
}

// note takes one change into the view.
func (v *Erasures) note(record jet.Record) {
	if !jet.IsErasure(record.Subject) {
		v.store.Control.PassOver(record, errors.New("the key of an erasure is that of runs of a task"))
		return
	}
	now, err := run.DecodeErasure(record.Data)
	if err == nil && jet.ErasureSubject(now.Task, now.First, now.Last) != record.Subject {
		err = errors.New("the erasure is of other runs")
	}
	if err != nil {
		v.store.Control.PassOver(record, err)
		return
	}
	v.mu.Lock()
	before, known := v.all[record.Subject]
	if known && before.sequence == record.Sequence { // told anew
		v.mu.Unlock()
		return
	}
	v.all[record.Subject] = Erasing{now, record.Sequence, time.Now()}
	v.tell()
	v.mu.Unlock()
	if !known && now.IsOne() || now.DoneOn != nil {
		v.hear(now)
	}
}

// receipt tells of an erasure that was done, maybe while the process did not run.
func (v *Erasures) receipt(record jet.Record) {
	done, err := run.DecodeErasure(record.Data)
	if err != nil {
		v.store.Audit.PassOver(record, err)
		return
	}
	v.hear(done)
}

func (v *Erasures) hear(e run.Erasure) {
	for _, heard := range v.heard {
		heard(e)
	}
}

// keep forgets what a whole reading did not show.
func (v *Erasures) keep(seen map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.all, func(subject string, _ Erasing) bool { return !seen[subject] })
	v.tell()
}

// forget drops an erasure that is not stored any more.
func (v *Erasures) forget(e Erasing) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if subject := jet.ErasureSubject(e.Task, e.First, e.Last); v.all[subject].sequence <= e.sequence {
		delete(v.all, subject)
	}
}

// tell wakes those who wait for a change; the caller holds mu.
func (v *Erasures) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Has reports whether a run is being erased, or was a moment ago, that somebody has named: it is gone for everybody.
func (v *Erasures) Has(n run.Number) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.all { // there are few
		if e.IsOne() && e.First == n {
			return true
		}
	}
	return false
}

// Of returns the erasure of a task's runs between two numbers; ok is false if there is none.
func (v *Erasures) Of(id task.ID, first, last run.Number) (e run.Erasure, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.all[jet.ErasureSubject(id, first, last)]
	return found.Erasure, ok
}

// All returns the erasures that are stored, the oldest first.
func (v *Erasures) All() []Erasing {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedFunc(maps.Values(v.all), func(a, b Erasing) int { return a.On.Compare(b.On) })
}

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Erasures) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}
