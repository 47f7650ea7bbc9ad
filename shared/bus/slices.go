package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Claims and final documents are stored in slices of so many run numbers. A crash costs the slices that are still
// written to, however many there are, and one that is past its retention goes whole.

// defaultSlice is how many runs a slice has in a store that says nothing else.
const defaultSlice = 100_000

// slice is the stream of a slice. A slice of its own has no age: it is removed whole (see retire). One that is sealed
// takes nothing but bundles, whoever publishes to it.
func (t Topology) slice(slice jet.Slice, maxBytes int64, has *jetstream.StreamInfo) jetstream.StreamConfig {
	config := t.bucket(slice.StreamName(), 0, slice.All())
	if has != nil && !slice.IsBefore() {
		if _, sealed := jet.Sealed(has.Config); sealed {
			config.Subjects = slice.Bundles()
		}
	}
	config.RePublish = follow(slice.Finals())
	config.AllowAtomicPublish = true
	config.MaxBytes = cmp.Or(maxBytes, -1)
	if slice.IsBefore() {
		config.MaxAge = t.Retention
	}
	return config
}

// resultsShare is how much of MaxBytes is all slices', in percent, and fewestShares into how many parts of it a
// slice must not be smaller than one.
const (
	resultsShare = 30
	fewestShares = 20
)

// shares are the bounds of slices, by their streams: one that takes no new runs needs no more than it has, and each
// other one gets half of what the ones before it leave. It is empty without MaxBytes.
func (t Topology) shares(next run.Number, all []jet.Slice, there map[string]*jetstream.StreamInfo) map[string]int64 {
	if t.MaxBytes == 0 {
		return nil
	}
	shares, rest := map[string]int64{}, t.MaxBytes/100*resultsShare
	for _, slice := range all {
		name := slice.StreamName()
		if has := there[name]; has != nil && slice.End <= next && has.Config.MaxBytes > 0 {
			shares[name] = has.Config.MaxBytes
			rest -= int64(has.State.Bytes)
			continue
		}
		share := max(rest/2, t.MaxBytes/100*resultsShare/fewestShares)
		if has := there[name]; has != nil {
			share = max(share, int64(has.State.Bytes))
		}
		shares[name] = share
		rest -= share
	}
	return shares
}

// slicesThere are the slices that there are, in their order, and their streams by name.
func slicesThere(ctx context.Context, s *jet.Store) (all []jet.Slice, there map[string]*jetstream.StreamInfo, err error) {
	named, err := s.Slices(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list the slices of runs: %w", jet.Explain(err))
	}
	there = map[string]*jetstream.StreamInfo{}
	for _, slice := range named {
		stream, err := s.JS.Stream(ctx, slice.StreamName())
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open stream %s: %w", slice.StreamName(), jet.Explain(err))
		}
		all = append(all, slice)
		there[slice.StreamName()] = stream.CachedInfo()
	}
	return all, there, nil
}

// makeSlice is [jet.Store.Make].
func makeSlice(ctx context.Context, s *jet.Store, slice jet.Slice) error {
	runs, err := s.JS.Stream(ctx, jet.RunsStream)
	if err != nil {
		return err
	}
	next := s.Numbers.Of(runs.CachedInfo().State.LastSeq + 1)
	t := storedTopology(runs.CachedInfo().Config)
	all, there, err := slicesThere(ctx, s)
	if err != nil {
		return err
	}
	share := t.shares(next, append(all, slice), there)[slice.StreamName()]
	_, err = s.JS.CreateStream(ctx, t.slice(slice, share, nil))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else was faster, with another share
		err = nil
	}
	if err != nil {
		return err
	}
	return keepSources(ctx, s)
}

// keepSources has the events copy the slices that have final documents and are not sealed, and note which slices were
// ever made. A slice without any is left out: nats-server 2.15.2 looks through all events for a source of which there
// is none, when it is added and at each start after a kill (findings/nats-server-empty-source.sh). Where a server
// knows of no copy of a slice, because all have passed their retention, it begins behind those that there were.
func keepSources(ctx context.Context, s *jet.Store) error {
	events, err := s.JS.Stream(ctx, jet.EventsStream)
	if err != nil {
		return jet.Explain(err)
	}
	has := events.CachedInfo().Config
	next, err := copying(ctx, s, has)
	if err != nil || reflect.DeepEqual(next, has) {
		return err
	}
	return updateEvents(ctx, s, func(ctx context.Context, has jetstream.StreamConfig) (jetstream.StreamConfig, error) {
		return copying(ctx, s, has)
	})
}

// KeepSources has the events copy what they are to copy.
func (b *Bus) KeepSources(ctx context.Context) error { return keepSources(ctx, b.store) }

// updateEvents changes the stream of events. One process does it at a time: a source that another one has just added
// would be dropped, and what the server had copied from it, but not stored yet, would be copied again.
func updateEvents(ctx context.Context, s *jet.Store, change func(context.Context, jetstream.StreamConfig) (jetstream.StreamConfig, error)) error {
	err := s.InTurn(ctx, func(ctx context.Context) error {
		if err := s.AwaitCopying(ctx); err != nil {
			return err
		}
		events, err := s.JS.Stream(ctx, jet.EventsStream)
		if err != nil {
			return jet.Explain(err)
		}
		has := events.CachedInfo().Config
		next, err := change(ctx, has)
		if err != nil || reflect.DeepEqual(next, has) {
			return err
		}
		_, err = s.JS.UpdateStream(ctx, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("change stream %s: %w", jet.EventsStream, jet.Explain(err))
	}
	return nil
}

// copying is the stream of events with the sources that it is to have. A slice that it copies stays one of them until
// it is sealed.
func copying(ctx context.Context, s *jet.Store, has jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	all, there, err := slicesThere(ctx, s)
	if err != nil {
		return has, err
	}
	number, err := s.Next(ctx)
	if err != nil {
		return has, jet.Explain(err)
	}
	copied, err := s.Copied(ctx)
	if err != nil {
		return has, err
	}
	begins := map[string]uint64{}
	for _, source := range has.Sources {
		begins[source.Name] = max(source.OptStartSeq, 1)
	}
	next, made := has, jet.MadeUntil(has)
	next.Subjects, next.Sources = nil, nil
	var spare *jetstream.StreamSource // a stream without sources would have subjects
	for _, slice := range all {
		made = max(made, slice.End)
		info := there[slice.StreamName()]
		if _, sealed := jet.Sealed(info.Config); sealed {
			spare = slice.Source(info.State.LastSeq + 1)
			continue
		}
		final, err := finalsUntil(ctx, s, slice)
		if err != nil {
			return has, err
		}
		begin, isSource := begins[slice.StreamName()]
		begin = max(begin, 1)
		idle := s.Settled
		if slice.End > number { // new runs are in it: each move costs a write of its own
			idle = max(idle, has.MaxAge/2)
		}
		if last := info.State; last.LastSeq >= begin && time.Since(last.LastTime) > idle && copied.Has(slice.StreamName(), final) {
			begin = last.LastSeq + 1
		}
		if final > 0 || isSource {
			next.Sources = append(next.Sources, slice.Source(begin))
		} else if spare == nil {
			spare = slice.Source(begin)
		}
	}
	if len(next.Sources) == 0 && spare != nil {
		next.Sources = append(next.Sources, spare)
	}
	same := slices.EqualFunc(next.Sources, has.Sources, func(a, b *jetstream.StreamSource) bool {
		return a.Name == b.Name && a.OptStartSeq == b.OptStartSeq
	})
	if same && len(has.Subjects) == 0 && made == jet.MadeUntil(has) {
		return has, nil
	}
	next.Metadata = withMetadata(has.Metadata, jet.MadeKey, made.String())
	return next, nil
}

// finalsUntil is the sequence of the last final document of a slice, 0 for none.
func finalsUntil(ctx context.Context, s *jet.Store, slice jet.Slice) (uint64, error) {
	results, err := s.Open(ctx, slice)
	if err != nil {
		return 0, err
	}
	final, err := results.LeaderLast(ctx, results.Finals())
	if errors.Is(err, jet.ErrMissing) {
		return 0, nil
	}
	return final.Sequence, err
}

// withMetadata is metadata with one more entry.
func withMetadata(has map[string]string, key, value string) map[string]string {
	next := map[string]string{key: value}
	for k, v := range has {
		if k != key {
			next[k] = v
		}
	}
	return next
}

// fitSlices gives a topology its layout, and returns the streams of the slices as they are to be: those that there
// are, and those that new runs need. made gets those that there are.
func (b *Bus) fitSlices(ctx context.Context, t *Topology, made map[string]*jetstream.StreamInfo) (wanted []jetstream.StreamConfig, err error) {
	runs, next, until := made[jet.RunsStream], run.Number(1), run.Number(0)
	if t.layout.Width = run.Number(t.Slice); runs != nil {
		if t.layout, err = b.layout(ctx, runs, t.layout.Width); err != nil {
			return nil, err
		}
		if b.store.Numbers, err = jet.ParseNumbers(runs.Config.Metadata[jet.NumbersKey]); err != nil {
			return nil, err
		}
		next = b.store.Numbers.Of(runs.State.LastSeq + 1)
	}
	if events := made[jet.EventsStream]; events != nil {
		until = jet.MadeUntil(events.Config)
	}
	b.store.Lay(t.layout)
	all, there, err := slicesThere(ctx, b.store)
	if err != nil {
		return nil, err
	}
	for _, slice := range all {
		until = max(until, slice.End)
	}
	for slice, needed := t.layout.SliceOf(next), 2; needed > 0; needed-- {
		if slice.End > until {
			all = append(all, slice)
		}
		slice = t.layout.SliceOf(slice.End)
	}
	shares := t.shares(next, all, there)
	for _, slice := range all {
		wanted = append(wanted, t.slice(slice, shares[slice.StreamName()], there[slice.StreamName()]))
	}
	maps.Copy(made, there)
	return wanted, nil
}

// layout is what RUNS says of the layout, or what it is to say in a store that has one bucket for all runs: that is
// noted before.
func (b *Bus) layout(ctx context.Context, runs *jetstream.StreamInfo, width run.Number) (jet.Layout, error) {
	layout, err := jet.ParseLayout(runs.Config.Metadata)
	if err != nil || layout.Width > 0 {
		return layout, err
	}
	from, err := b.slicedFrom(ctx, runs, width)
	if err != nil {
		return layout, err
	}
	// Of several processes the first decides, once and for all.
	layout = jet.Layout{Width: width, From: from}
	said := map[string]string{}
	layout.Describe(said)
	data, err := json.Marshal(said)
	if err != nil {
		return layout, err
	}
	_, err = b.store.JS.Publish(ctx, jet.LayoutSubject, data, jetstream.WithExpectLastSequencePerSubject(0))
	if !jet.Refused(err) {
		return layout, jet.Explain(err)
	}
	decided, err := b.store.Control.LeaderLast(ctx, jet.LayoutSubject)
	if err != nil {
		return layout, err
	}
	said = map[string]string{}
	if err := json.Unmarshal(decided.Data, &said); err != nil {
		return layout, fmt.Errorf("read from which number on runs are in slices: %w", err)
	}
	return jet.ParseLayout(said)
}

// slicedFrom is the first run number that is in a slice of its own, in a store that has one bucket for all: the
// first of a slice, above every number that was given out. Where the end of RUNS is lost, a claim or a final
// document tells of numbers.
func (b *Bus) slicedFrom(ctx context.Context, runs *jetstream.StreamInfo, width run.Number) (run.Number, error) {
	numbers, err := jet.ParseNumbers(runs.Config.Metadata[jet.NumbersKey])
	if err != nil {
		return 0, err
	}
	given := numbers.Of(runs.State.LastSeq)
	before := jet.Layout{}.SliceOf(0)
	results, err := b.store.JS.Stream(ctx, before.StreamName())
	if err != nil && !absent(err) {
		return 0, fmt.Errorf("open stream %s: %w", before.StreamName(), jet.Explain(err))
	}
	if err == nil {
		for _, last := range []struct {
			subject string
			of      func(subject string) (task.ID, run.Number, bool)
		}{{before.Finals(), before.EndedRun}, {before.Claims(), before.ClaimedRun}} {
			msg, err := results.GetLastMsgForSubject(ctx, last.subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return 0, fmt.Errorf("read the last of %s: %w", last.subject, jet.Explain(err))
			}
			// Whoever may publish to the store can name any number.
			if _, n, ok := last.of(msg.Subject); ok && n < given+farthestLost {
				given = max(given, n)
			}
		}
	}
	return (given/width + 1) * width, nil
}

// farthestLost is how many requests can be lost at the end of RUNS at most.
const farthestLost = 1_000_000
