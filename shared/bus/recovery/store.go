// Package recovery is for a store after damage, and for backups: it repairs what a power cut or a full
// disk has left, and reads a whole store and makes one again.
package recovery

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// store is a store with the verbs of a bus.
type store struct {
	*jet.Store
	bus *bus.Bus
	// open are the slices that are written to, once they were looked for.
	open []*jet.Results
	// sources are what the events of a backup copied.
	sources []*jetstream.StreamSource
	// begins is, by the open slices' streams, from where on the events are to have copies.
	begins map[string]uint64
}

func storeOf(b *bus.Bus) *store { return &store{Store: b.Jet(), bus: b} }

// look looks for the open slices.
func (s *store) look(ctx context.Context) (err error) {
	if s.open, err = s.OpenSlices(ctx); err != nil {
		return err
	}
	events, err := s.Events.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	return s.lookForBegins(ctx, events.Config.Sources, time.Now())
}

// lookForBegins finds out from where on the events are to have copies of the open slices: from where they are told
// to begin by their sources, and not those of final documents that had outlived theirs then.
func (s *store) lookForBegins(ctx context.Context, sources []*jetstream.StreamSource, then time.Time) error {
	s.begins = map[string]uint64{}
	for _, source := range sources {
		s.begins[source.Name] = source.OptStartSeq
	}
	age := s.Events.CachedInfo().Config.MaxAge
	if age == 0 {
		return nil
	}
	since := then.Add(-age)
	for _, slice := range s.open {
		info, err := slice.Info(ctx)
		if err != nil {
			return jet.Explain(err)
		}
		young := info.State.LastSeq + 1
		err = slice.Scan(ctx, jet.Range{Subjects: []string{slice.Finals()}, HeadersOnly: true, Since: since}, func(final jet.Record) error {
			young = final.Sequence
			return jet.ErrEnough
		})
		if err != nil {
			return err
		}
		if young > 1 {
			s.begins[slice.StreamName()] = max(s.begins[slice.StreamName()], young)
		}
	}
	return nil
}

// openOf is the open slice of a run, nil where that is sealed, or gone.
func (s *store) openOf(n run.Number) *jet.Results {
	for _, slice := range s.open {
		if slice.Has(n) {
			return slice
		}
	}
	return nil
}

// published reports whether the events are to have a copy of a final document.
func (s *store) published(slice *jet.Results, sequence uint64) bool {
	return sequence >= s.begins[slice.StreamName()]
}
