package bus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The runs of a sealed slice are put into bundles (package jet). Two processes may do it at once, and each step may
// be the last of a process: a next one compares what is bundled with what is stored, adds what is missing, and goes on
// only where nothing was. Until the bundles are on the disks of all servers, nothing goes that they were made of.

// bundle does what is next of a sealed slice: it stores bundles or, some time after the last was stored, compares
// them with all that is stored and has that go.
func (k *SliceKeeper) bundle(ctx context.Context, slice *jet.Results, info *jetstream.StreamInfo) error {
	if k.busy || !k.settled(info) || time.Since(k.waits[slice.Slice].at) < k.store.Settled {
		return nil
	}
	k.busy = true
	if slices.Contains(info.Config.Subjects, slice.All()) { // an earlier program has sealed it
		err := k.mark(ctx, slice, func(next *jetstream.StreamConfig, _ int64) { next.Subjects = slice.Bundles() })
		if err != nil {
			return err
		}
	}
	b := bundling{store: k.store, slice: slice, indexes: map[task.ID]jet.Index{}}
	if err := b.pass(ctx, info.State.Msgs); err != nil || b.more {
		k.waits[slice.Slice] = sealTry{at: time.Now()}
		return err
	}
	if err := b.purge(ctx); err != nil {
		return err
	}
	err := k.mark(ctx, slice, func(next *jetstream.StreamConfig, bytes int64) {
		next.Metadata = withMetadata(next.Metadata, jet.BundledKey, "true")
		if next.MaxBytes > 0 {
			next.MaxBytes = max(1, bytes)
		}
	})
	if err == nil {
		delete(k.waits, slice.Slice)
		k.store.Log.Info().Str("stream", slice.StreamName()).Msg("bundled a slice: its requests and final documents are compressed")
	}
	return err
}

// purgeRequests removes the requests from RUNS that are in bundles, up to the first slice that has none. The last
// message stays: it tells the number of the next run.
func (k *SliceKeeper) purgeRequests(ctx context.Context, all []jet.Slice) error {
	end := uint64(0)
	for _, slice := range all {
		if _, done := k.done[slice]; !done || slice.IsBefore() {
			break
		}
		_, end = k.store.RequestsOf(slice)
	}
	info, err := k.store.Runs.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	if end = min(end, info.State.LastSeq); end <= info.State.FirstSeq {
		return nil
	}
	if err := k.store.Runs.Purge(ctx, jetstream.WithPurgeSequence(end)); err != nil {
		return fmt.Errorf("remove the requests that are bundled: %w", jet.Explain(err))
	}
	return nil
}

// bundling puts the runs of a slice into bundles.
type bundling struct {
	store *jet.Store
	slice *jet.Results
	// more: something was stored in this pass, or was not read, and another one is needed.
	more bool
	// pages are where the final documents are.
	pages []page
	// bundles is the sequence of the first message of a bundle, 0 for none, and others that of the last other one.
	bundles, others uint64
	// indexes are what the bundles are to have of each task.
	indexes map[task.ID]jet.Index
}

// pageRuns is how many runs are in memory at a time.
const pageRuns = 64 * jet.BundleSize

// page is where the slice has the final documents of pageRuns run numbers.
type page struct {
	from, to uint64
	count    int
}

// pass compares the bundles with what is stored and adds what is missing. stored is how many messages the stream
// had before.
func (b *bundling) pass(ctx context.Context, stored uint64) error {
	if err := b.look(ctx, stored); err != nil {
		return jet.Explain(err)
	}
	for place, p := range b.pages {
		if err := keepSources(ctx, b.store); err != nil { // all of it may take a minute, and new slices are made meanwhile
			return err
		}
		if err := b.page(ctx, b.slice.First+run.Number(place)*pageRuns, p); err != nil {
			return jet.Explain(err)
		}
	}
	for id, index := range b.indexes {
		if err := add(ctx, b, b.slice.IndexSubject(id), index); err != nil {
			return err
		}
	}
	return nil
}

// look looks where the final documents are.
func (b *bundling) look(ctx context.Context, stored uint64) error {
	b.pages = make([]page, (b.slice.End-b.slice.First+pageRuns-1)/pageRuns)
	var seen uint64
	err := b.slice.Scan(ctx, jet.Range{HeadersOnly: true}, func(message jet.Record) error {
		seen++
		if jet.IsBundle(message.Subject) {
			b.bundles = cmp.Or(b.bundles, message.Sequence)
			return nil
		}
		b.others = message.Sequence
		if _, n, ok := b.slice.EndedRun(message.Subject); ok {
			p := &b.pages[(n-b.slice.First)/pageRuns]
			p.from, p.to = cmp.Or(p.from, message.Sequence), message.Sequence
			p.count++
		}
		return nil
	})
	b.more = b.more || seen < stored // a replica that lags
	return err
}

// purge removes what the bundles were made of. What is before the first bundle goes in one call, which frees its
// disk: a message that is missing between others would be gone through after a crash.
func (b *bundling) purge(ctx context.Context) error {
	if b.others == 0 {
		return nil
	}
	if b.others < b.bundles {
		return jet.Explain(b.slice.Purge(ctx, jetstream.WithPurgeSequence(b.bundles)))
	}
	// Another program has written to the subjects of bundles.
	return jet.Explain(errors.Join(
		b.slice.Purge(ctx, jetstream.WithPurgeSubject(b.slice.Claims())), b.slice.Purge(ctx, jetstream.WithPurgeSubject(b.slice.Finals()))))
}

// page stores the bundles of pageRuns numbers from first on.
func (b *bundling) page(ctx context.Context, first run.Number, p page) error {
	runs := map[run.Number]*jet.Bundled{}
	of := func(n run.Number) *jet.Bundled {
		if runs[n] == nil {
			runs[n] = &jet.Bundled{Number: n}
		}
		return runs[n]
	}
	end := min(first+pageRuns, b.slice.End)
	numbers := b.store.Numbers
	whole, err := requests(ctx, b.store, numbers.Upto(first-min(first, 1))+1, numbers.Upto(end-1)+1, false, func(request jet.Record) error {
		if request.IsCall() { // its run is another one
			return nil
		}
		of := of(numbers.Of(request.Sequence))
		of.Request = jet.Requested(request)
		b.note(of)
		return b.apart(ctx, b.slice.ApartSubject(of.Number, jet.ApartRequest), of.Request.SetApart())
	})
	b.more = b.more || !whole
	if err != nil {
		return err
	}
	left := p.count
	if left > 0 {
		err = b.slice.Scan(ctx, jet.Range{Subjects: []string{b.slice.Finals()}, From: p.from}, func(final jet.Record) error {
			if final.Sequence > p.to {
				return jet.ErrEnough
			}
			id, n, ok := b.slice.EndedRun(final.Subject)
			if !ok || n < first || n >= end {
				return nil
			}
			left--
			// Another task's is another program's, and so is a second one where there is no request.
			of := of(n)
			if of.Request.Task != string(id) && (of.Request.Task != "" || of.Final.Task != "") {
				return nil
			}
			of.Final = jet.Ended(final, string(id))
			return b.apart(ctx, b.slice.ApartSubject(n, jet.ApartFinal), of.Final.SetApart())
		})
	}
	if err != nil {
		return err
	}
	b.more = b.more || left > 0
	for ; first < end; first += jet.BundleSize {
		var stored jet.Bundle
		for n := first; n < min(first+jet.BundleSize, end); n++ {
			if runs[n] != nil {
				stored = append(stored, *runs[n])
			}
		}
		if len(stored) > 0 {
			if err := add(ctx, b, b.slice.BundleSubject(first), stored); err != nil {
				return err
			}
		}
	}
	return nil
}

// apart sees to it that the content of a large message is stored; nil is none.
func (b *bundling) apart(ctx context.Context, subject string, data []byte) error {
	if data == nil {
		return nil
	}
	stored, err := b.slice.LeaderLast(ctx, subject)
	if err == nil && bytes.Equal(stored.Data, data) || err != nil && !errors.Is(err, jet.ErrMissing) {
		return err
	}
	b.more = true
	_, err = b.slice.Publish(ctx, jet.Entry{Msg: &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}})
	return jet.Explain(err)
}

// packed is a bundle or an index.
type packed[T any] interface {
	jet.Bundle | jet.Index
	With(some T) (all T, more bool)
}

// add sees to it that a bundle or an index has all of some. What is stored in place of one is written over.
func add[T packed[T]](ctx context.Context, b *bundling, subject string, some T) error {
	stored, err := b.slice.LeaderLast(ctx, subject)
	var has T
	if err == nil {
		var foreign error
		if has, foreign = jet.Unpack[T](stored.Data); foreign != nil {
			b.slice.PassOver(stored, foreign)
		}
	} else if !errors.Is(err, jet.ErrMissing) {
		return err
	}
	all, more := has.With(some)
	if !more {
		return nil
	}
	data, err := jet.Pack(all)
	if err != nil {
		return err
	}
	b.more = true
	return b.replace(ctx, subject, stored.Sequence, data)
}

// replace stores a bundle or an index in the place of the one with a sequence, 0 for none. Where another process was
// faster, be it long ago, its own stays: what it was made of may be gone. The next pass compares.
func (b *bundling) replace(ctx context.Context, subject string, sequence uint64, data []byte) error {
	header := nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(sequence, 10)}}
	_, err := b.slice.Publish(ctx, jet.Entry{Msg: &nats.Msg{Subject: subject, Data: data, Header: header}, Fence: subject})
	if jet.Refused(err) {
		return nil
	}
	return jet.Explain(err)
}

// note adds a run to what the index is to have.
func (b *bundling) note(of *jet.Bundled) {
	id := task.ID(of.Request.Task)
	if !jet.IsID(of.Request.Task) {
		return
	}
	index := b.indexes[id]
	place := uint32((of.Number - b.slice.First) / jet.BundleSize)
	if len(index.Bundles) == 0 || index.Bundles[len(index.Bundles)-1] != place {
		index.Bundles = append(index.Bundles, place)
	}
	if request, err := run.DecodeRequest(of.Request.Data, id); err == nil && !slices.Contains(index.Definitions, request.Definition) {
		index, _ = index.With(jet.Index{Definitions: []string{request.Definition}})
	}
	b.indexes[id] = index
}
