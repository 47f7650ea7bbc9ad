package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// Pauses are the connections that are paused, as a process sees them. They are safe for concurrent use; a nil one has
// none.
type Pauses struct {
	connections *records[string, run.PausedConnection]
}

// lookForPauses is how often it is looked for connections that others have paused or resumed.
const lookForPauses = 400 * time.Millisecond

// Pauses returns a view of the connections that are paused, which is empty until Follow.
func (w *Work) Pauses() *Pauses { return newPauses(w.store) }

// Pauses returns a view of the connections that are paused, which is empty until Follow.
func (u *Unheld) Pauses() *Pauses { return newPauses(u.store) }

func newPauses(s *jet.Store) *Pauses {
	return &Pauses{newRecords(s, jet.Paused, lookForPauses, s.Paused.Next, func(record jet.Record) (name string, paused run.PausedConnection, is bool, err error) {
		name, ok := jet.PausedConnection(record.Subject)
		if !ok {
			return name, paused, false, errors.New("the key of a paused connection is its name")
		}
		if len(record.Data) == 0 { // it was resumed
			return name, paused, false, nil
		}
		paused, err = run.DecodePausedConnection(record.Data, name)
		return name, paused, err == nil, err
	})}
}

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Pauses) Follow(ctx context.Context) { v.connections.follow(ctx) }

// Of returns how a connection is paused; ok is false if it is not.
func (v *Pauses) Of(name string) (paused run.PausedConnection, ok bool) {
	if v == nil {
		return paused, false
	}
	return v.connections.of(name)
}

// All returns the connections that are paused, by name.
func (v *Pauses) All() []run.PausedConnection {
	if v == nil {
		return nil
	}
	v.connections.mu.RLock()
	defer v.connections.mu.RUnlock()
	return slices.SortedFunc(maps.Values(v.connections.all), func(a, b run.PausedConnection) int { return strings.Compare(a.Name, b.Name) })
}

// Loaded is closed once the view has all that are paused.
func (v *Pauses) Loaded() <-chan struct{} { return v.connections.loaded }

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Pauses) Changed() <-chan struct{} {
	if v == nil {
		return nil
	}
	return v.connections.next()
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
