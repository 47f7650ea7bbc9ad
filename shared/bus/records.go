package bus

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// records are what the control bucket has of one sort, as a process sees it: it reads those of all keys together. They
// are empty until load or follow, and safe for concurrent use.
type records[K comparable, V any] struct {
	store *jet.Store
	f     following

	mu  sync.RWMutex
	all map[K]V
	// loaded is closed when all was read once.
	loaded  chan struct{}
	changed chan struct{} // closed and replaced at every change
}

// newRecords are those of a subject with wildcards. It is looked for what other processes have stored that often, 0 for
// as often as usual, and when woken says so. read is what a message says of a key, and false where that is nothing; one
// that cannot be read is passed over.
func newRecords[K comparable, V any](s *jet.Store, subject string, every time.Duration, woken func() <-chan struct{}, read func(jet.Record) (key K, value V, there bool, err error)) *records[K, V] {
	r := &records[K, V]{store: s, all: map[K]V{}, loaded: make(chan struct{}), changed: make(chan struct{})}
	var seen map[K]bool
	r.f = following{
		stream: s.Control, subject: subject, every: every, woken: woken,
		begun: func() { seen = map[K]bool{} },
		note: func(record jet.Record) {
			key, value, there, err := read(record)
			if err != nil {
				s.Control.PassOver(record, err)
				return
			}
			seen[key] = true
			r.set(key, value, there)
		},
		whole: func() { r.keep(seen) },
	}
	return r
}

// load reads all there are. It is for before follow.
func (r *records[K, V]) load(ctx context.Context) error {
	begun := time.Now()
	return r.store.Denials.Explain(begun, r.f.readAll(ctx))
}

// follow keeps the records current until ctx ends. While NATS is away it goes on with what it has.
func (r *records[K, V]) follow(ctx context.Context) {
	reconnected := r.store.NC.StatusChanged(nats.CONNECTED)
	defer r.store.NC.RemoveStatusListener(reconnected)
	r.f.follow(ctx, reconnected, r.f.readAll)
}

// set takes a record in, or out.
func (r *records[K, V]) set(key K, value V, there bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if there {
		r.all[key] = value
	} else {
		delete(r.all, key)
	}
	r.tell()
}

// keep forgets what a whole reading did not show.
func (r *records[K, V]) keep(seen map[K]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.all, func(key K, _ V) bool { return !seen[key] })
	select {
	case <-r.loaded:
	default:
		close(r.loaded)
	}
	r.tell()
}

// tell wakes those who wait for a change; the caller holds mu.
func (r *records[K, V]) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// of is the record of a key.
func (r *records[K, V]) of(key K) (value V, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	value, ok = r.all[key]
	return value, ok
}

// next returns a channel that is closed at the next change. Take it before reading.
func (r *records[K, V]) next() <-chan struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed
}

// writeRecord stores a record of the control bucket in the place of the one with a revision, 0 for none, and returns its
// own. ErrChanged means that there is another one by now. what it is goes into the error.
func writeRecord(ctx context.Context, s *jet.Store, what, subject string, encode func() ([]byte, error), inPlaceOf uint64) (revision uint64, err error) {
	data, err := encode()
	if err == nil {
		err = s.Writable()
	}
	if err != nil {
		return 0, fmt.Errorf("store %s: %w", what, err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	ack, err := s.JS.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(inPlaceOf))
	if jet.Refused(err) {
		return 0, ErrChanged
	}
	if err != nil {
		return 0, s.Denials.Explain(begun, jet.Explain(err))
	}
	return ack.Sequence, nil
}
