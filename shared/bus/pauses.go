package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// Pauses are the connections that are paused, as a process sees them. They are safe for concurrent use; a nil one has
// none.
type Pauses struct {
	store *jet.Store

	mu sync.Mutex
	// loaded is closed when all was read once.
	loaded  chan struct{}
	paused  map[string]run.PausedConnection
	changed chan struct{} // closed and replaced at every change
}

// lookForPauses is how often it is looked for connections that others have paused or resumed.
const lookForPauses = 400 * time.Millisecond

// Pauses returns a view of the connections that are paused, which is empty until Follow.
func (w *Work) Pauses() *Pauses { return newPauses(w.store) }

// Pauses returns a view of the connections that are paused, which is empty until Follow.
func (u *Unheld) Pauses() *Pauses { return newPauses(u.store) }

func newPauses(s *jet.Store) *Pauses {
	return &Pauses{store: s, loaded: make(chan struct{}), paused: map[string]run.PausedConnection{}, changed: make(chan struct{})}
}

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Pauses) Follow(ctx context.Context) {
	var seen map[string]bool
	f := following{
		stream: v.store.Control, subject: jet.Paused, woken: v.store.Paused.Next, every: lookForPauses,
		begun: func() { seen = map[string]bool{} },
		note: func(record jet.Record) {
			if name, ok := v.note(record); ok {
				seen[name] = true
			}
		},
		whole: func() { v.keep(seen) },
	}
	reconnected := v.store.NC.StatusChanged(nats.CONNECTED)
	defer v.store.NC.RemoveStatusListener(reconnected)
	f.follow(ctx, reconnected, f.readAll)
}

// note takes one change into the view.
func (v *Pauses) note(record jet.Record) (name string, ok bool) {
	name, ok = jet.PausedConnection(record.Subject)
	if !ok {
		v.store.Control.PassOver(record, errors.New("the key of a paused connection is its name"))
		return name, false
	}
	if len(record.Data) == 0 {
		v.set(name, nil)
		return name, false
	}
	paused, err := run.DecodePausedConnection(record.Data, name)
	if err != nil {
		v.store.Control.PassOver(record, err)
		return name, false
	}
	v.set(name, &paused)
	return name, true
}

// set takes a paused connection into the view, or out of it.
func (v *Pauses) set(name string, paused *run.PausedConnection) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if paused == nil {
		delete(v.paused, name)
	} else {
		v.paused[name] = *paused
	}
	v.tell()
}

// keep forgets what a whole reading did not show.
func (v *Pauses) keep(seen map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.paused, func(name string, _ run.PausedConnection) bool { return !seen[name] })
	select {
	case <-v.loaded:
	default:
		close(v.loaded)
	}
	v.tell()
}

// tell wakes those who wait for a change; the caller holds mu.
func (v *Pauses) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Of returns how a connection is paused; ok is false if it is not.
func (v *Pauses) Of(name string) (paused run.PausedConnection, ok bool) {
	if v == nil {
		return paused, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	paused, ok = v.paused[name]
	return paused, ok
}

// All returns the connections that are paused, by name.
func (v *Pauses) All() []run.PausedConnection {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedFunc(maps.Values(v.paused), func(a, b run.PausedConnection) int { return strings.Compare(a.Name, b.Name) })
}

// Loaded is closed once the view has all that are paused.
func (v *Pauses) Loaded() <-chan struct{} { return v.loaded }

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Pauses) Changed() <-chan struct{} {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// PauseConnection has no run use a connection any more, in all processes within a second. One that is paused already
// gets another By and Why. The error is run.ErrUnavailable or run.ErrDenied.
func (u *Unheld) PauseConnection(ctx context.Context, p run.PausedConnection) error {
	data, err := p.Encode()
	if err != nil {
		return fmt.Errorf("encode a paused connection: %w", err)
	}
	return u.setPaused(ctx, p.Name, data)
}

// ResumeConnection has runs use a connection again. The errors are those of PauseConnection.
func (u *Unheld) ResumeConnection(ctx context.Context, name string) error {
	return u.setPaused(ctx, name, nil)
}

// setPaused stores what is said of a connection. Without data it is resumed: the message stays, so that those who
// follow hear of it.
func (u *Unheld) setPaused(ctx context.Context, name string, data []byte) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	if err := u.store.Writable(); err != nil {
		return err
	}
	if _, err := u.store.JS.Publish(ctx, jet.PausedSubject(name), data); err != nil {
		return u.store.Denials.Explain(begun, fmt.Errorf("pause or resume a connection: %w", jet.Explain(err)))
	}
	u.store.Paused.Ring()
	return nil
}
