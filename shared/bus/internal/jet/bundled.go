package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The final document of a run is in its slice, and its request in RUNS, until the slice is bundled: then both are
// in a bundle of the slice. The bundles are there for a while before the messages go, so who misses a message finds
// the bundle.

// Final reads a run's final document from any replica: cheap, and it may lag.
func (r *Results) Final(ctx context.Context, id task.ID, n run.Number) (Record, error) {
	if r.bundled.Load() {
		return r.bundledFinal(ctx, (*Stream).Last, id, n)
	}
	return r.Last(ctx, r.FinalSubject(id, n))
}

// ConfirmFinal repeats a Final that missed, as [Stream.ConfirmLast].
func (r *Results) ConfirmFinal(ctx context.Context, id task.ID, n run.Number) (Record, error) {
	return r.final(ctx, (*Stream).ConfirmLast, id, n)
}

// LeaderFinal is Final, answered by the stream's leader.
func (r *Results) LeaderFinal(ctx context.Context, id task.ID, n run.Number) (Record, error) {
	return r.final(ctx, (*Stream).LeaderLast, id, n)
}

// read is one of the ways to read the last message of a subject.
type read func(s *Stream, ctx context.Context, subject string) (Record, error)

func (r *Results) final(ctx context.Context, last read, id task.ID, n run.Number) (Record, error) {
	if !r.bundled.Load() {
		final, err := last(r.Stream, ctx, r.FinalSubject(id, n))
		if !errors.Is(err, ErrMissing) {
			return final, err
		}
		if sealed, sealedErr := r.seeSealed(ctx); !sealed {
			return Record{}, cmp.Or(sealedErr, err)
		}
	}
	final, err := r.bundledFinal(ctx, last, id, n)
	if err == nil {
		r.bundled.Store(true)
	}
	return final, err
}

func (r *Results) bundledFinal(ctx context.Context, last read, id task.ID, n run.Number) (Record, error) {
	kept, sequence, err := r.kept(ctx, last, n)
	if err != nil {
		return Record{}, err
	}
	if kept.Final.Task != string(id) {
		return Record{}, ErrMissing
	}
	if err := r.unapart(ctx, last, n, ApartFinal, &kept.Final); err != nil {
		return Record{}, err
	}
	return kept.Final.record(r.FinalSubject(id, n), HeaderRejected, sequence), nil
}

// kept is what the slice's bundles have of a run, and the sequence of the bundle.
func (r *Results) kept(ctx context.Context, last read, n run.Number) (Bundled, uint64, error) {
	if kept, sequence, ok := r.last.of(r.BundleSubject(n), n); ok {
		return kept, sequence, nil
	}
	bundle, sequence, err := r.bundle(ctx, last, n)
	if err != nil {
		return Bundled{}, 0, err
	}
	kept, ok := bundle.Of(n)
	if !ok {
		return Bundled{}, 0, ErrMissing
	}
	return kept, sequence, nil
}

// bundle reads the bundle of a run. One that is damaged is named in the log, and is ErrMissing: its runs are gone.
func (r *Results) bundle(ctx context.Context, last read, n run.Number) (Bundle, uint64, error) {
	stored, err := r.storedBundle(ctx, last, n)
	if err != nil {
		return nil, 0, err
	}
	bundle, err := Unpack[Bundle](stored.Data)
	if err != nil {
		first := n - (n-r.First)%BundleSize
		r.PassOver(stored, fmt.Errorf("it has the runs %s to %s, whose status is 410 now: %w", first, first+BundleSize-1, err))
		return nil, 0, ErrMissing
	}
	r.last.set(r.BundleSubject(n), stored, bundle)
	return bundle, stored.Sequence, nil
}

// storedBundle reads the message with the bundle of a run. It is under one of two subjects: see [Results.Rewrite].
func (r *Results) storedBundle(ctx context.Context, last read, n run.Number) (stored Record, err error) {
	for range rewrites {
		for _, subject := range r.bundleSubjects(n) {
			if stored, err = last(r.Stream, ctx, subject); !errors.Is(err, ErrMissing) {
				return stored, err
			}
		}
		if sealed, _ := r.seeSealed(ctx); !sealed {
			break // there is none yet
		}
	}
	return stored, err
}

// rewrites is how often both subjects of a bundle are looked at: one that is written anew goes from one to the other
// between two looks.
const rewrites = 2

// lastBundle is the bundle that was read last, for a list, which reads of several runs of it.
type lastBundle struct {
	mu     sync.Mutex
	stored Record
	bundle Bundle
	read   time.Time
}

// lastBundleAge is for how long it counts: the slice may be removed.
const lastBundleAge = time.Second

// of is what the bundle has of a run, if it is the run's.
func (l *lastBundle) of(subject string, n run.Number) (kept Bundled, sequence uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stored.Subject == subject && time.Since(l.read) < lastBundleAge {
		kept, ok = l.bundle.Of(n)
	}
	return kept, l.stored.Sequence, ok
}

func (l *lastBundle) set(subject string, stored Record, bundle Bundle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored.Data, stored.Subject = nil, subject
	l.stored, l.bundle, l.read = stored, bundle, time.Now()
}

// forget has the next read ask the store.
func (l *lastBundle) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = time.Time{}
}

// ApartRequest and ApartFinal are the sorts of messages that are stored apart.
const (
	ApartRequest = "request"
	ApartFinal   = "final"
)

// unapart reads the content of a message that is not in its bundle.
func (r *Results) unapart(ctx context.Context, last read, n run.Number, sort string, kept *Kept) error {
	if !kept.Apart {
		return nil
	}
	apart, err := last(r.Stream, ctx, r.ApartSubject(n, sort))
	kept.Data = apart.Data
	return err
}

// Request reads a run's request from any replica: cheap, and it may lag.
func (s *Store) Request(ctx context.Context, n run.Number) (Record, error) {
	return s.requestOf(ctx, n, (*Stream).At, (*Stream).Last)
}

// LeaderRequest is Request, answered by the streams' leaders.
func (s *Store) LeaderRequest(ctx context.Context, n run.Number) (Record, error) {
	return s.requestOf(ctx, n, (*Stream).LeaderAt, (*Stream).LeaderLast)
}

func (s *Store) requestOf(ctx context.Context, n run.Number, at func(*Stream, context.Context, uint64) (Record, error), last read) (Record, error) {
	sequence := s.Numbers.Sequence(n)
	if sequence == 0 {
		return Record{}, ErrMissing
	}
	request, err := at(s.Runs, ctx, sequence)
	if !errors.Is(err, ErrMissing) {
		return request, err
	}
	results, err := s.ResultsOf(ctx, n)
	var sealed bool
	if err == nil {
		sealed, err = results.seeSealed(ctx)
	}
	if err == nil && sealed {
		return results.request(ctx, last, n)
	}
	if err == nil || errors.Is(err, run.ErrRunGone) || errors.Is(err, ErrMissing) {
		return Record{}, ErrMissing
	}
	return Record{}, err
}

// request reads a run's request from the slice's bundles.
func (r *Results) request(ctx context.Context, last read, n run.Number) (Record, error) {
	kept, _, err := r.kept(ctx, last, n)
	if err == nil && kept.Request.Task != "" {
		if err = r.unapart(ctx, last, n, ApartRequest, &kept.Request); err == nil {
			return r.requested(kept), nil
		}
	}
	if err == nil || errors.Is(err, run.ErrRunGone) {
		err = ErrMissing
	}
	return Record{}, err
}

// requested is the request of a run as it was in RUNS.
func (r *Results) requested(kept Bundled) Record {
	return kept.Request.record(RequestSubject(task.ID(kept.Request.Task)), jetstream.MsgIDHeader, r.store.Numbers.Sequence(kept.Number))
}

// Requests passes the requests in bundles to each that had a sequence from one on and below another, the newest
// first, until each returns ErrEnough: those of some tasks or, without any, all. Of one that is stored apart there is
// no content.
func (s *Store) Requests(ctx context.Context, from, below uint64, ids []task.ID, each func(Record) error) error {
	err := s.bundledSlices(ctx, from, below, func(results *Results) error { return results.requests(ctx, from, below, ids, each) })
	if errors.Is(err, ErrEnough) {
		return nil
	}
	return err
}

// Indexes passes what each bundled slice has of a task to each.
func (s *Store) Indexes(ctx context.Context, id task.ID, each func(Index)) error {
	return s.bundledSlices(ctx, 0, math.MaxUint64, func(results *Results) error {
		index, err := results.Index(ctx, id)
		if err == nil {
			each(index)
		}
		return err
	})
}

// bundledSlices passes the bundled slices to each that have requests from a sequence on and below another, the newest
// first. What is removed meanwhile is passed over.
func (s *Store) bundledSlices(ctx context.Context, from, below uint64, each func(*Results) error) error {
	if from >= below {
		return nil
	}
	all, err := s.Slices(ctx)
	if err != nil {
		return Explain(err)
	}
	for _, slice := range slices.Backward(all) {
		if first, end := s.RequestsOf(slice); first >= below || end <= from {
			continue
		}
		results, err := s.Open(ctx, slice)
		if err == nil && !results.bundled.Load() {
			err = results.look(ctx)
		}
		if err == nil && results.bundled.Load() {
			err = each(results)
		}
		if err != nil && !errors.Is(err, run.ErrRunGone) {
			return err
		}
	}
	return nil
}

func (r *Results) requests(ctx context.Context, from, below uint64, ids []task.ID, each func(Record) error) error {
	bundles, err := r.bundlesOf(ctx, ids)
	if err != nil {
		return err
	}
	for _, place := range slices.Backward(bundles) {
		first := r.First + run.Number(place)*BundleSize
		lowest, highest := r.store.Numbers.Upto(first-min(first, 1))+1, r.store.Numbers.Upto(first+BundleSize-1)
		if highest < from || lowest >= below {
			continue
		}
		bundle, _, err := r.bundle(ctx, (*Stream).ConfirmLast, first)
		if errors.Is(err, ErrMissing) || errors.Is(err, run.ErrRunGone) {
			continue
		}
		if err != nil {
			return err
		}
		for _, kept := range slices.Backward(bundle) {
			request := r.requested(kept)
			if kept.Request.Task == "" || request.Sequence < from || request.Sequence >= below ||
				len(ids) > 0 && !slices.Contains(ids, task.ID(kept.Request.Task)) {
				continue
			}
			if err := each(request); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundlesOf are the numbers of the bundles that have runs of some tasks, or of all bundles.
func (r *Results) bundlesOf(ctx context.Context, ids []task.ID) (bundles []uint32, err error) {
	for _, id := range ids {
		index, err := r.Index(ctx, id)
		if err != nil && !errors.Is(err, run.ErrRunGone) {
			return nil, err
		}
		if err != nil { // it does not tell
			ids = nil
			break
		}
		bundles = with(bundles, index.Bundles)
	}
	if len(ids) == 0 {
		bundles = nil
		for place := range (r.End - r.First + BundleSize - 1) / BundleSize {
			bundles = append(bundles, uint32(place))
		}
	}
	return bundles, nil
}

// Index reads what the slice's bundles have of a task, which is empty if that is nothing. run.ErrRunGone means that
// the index is damaged.
func (r *Results) Index(ctx context.Context, id task.ID) (Index, error) {
	stored, err := r.ConfirmLast(ctx, r.IndexSubject(id))
	if errors.Is(err, ErrMissing) {
		return Index{}, nil
	}
	if err != nil {
		return Index{}, err
	}
	index, err := Unpack[Index](stored.Data)
	if err != nil {
		r.PassOver(stored, err)
		return Index{}, run.ErrRunGone
	}
	return index, nil
}

// EachBundled passes what the slice's bundles have of each run. A bundle that is damaged is named in the log and passed
// over.
func (r *Results) EachBundled(ctx context.Context, each func(Bundled) error) error {
	return r.Scan(ctx, Range{Subjects: []string{r.subject("bundle.*"), r.subject("apart.*." + apartBundle)}}, func(stored Record) error {
		bundle, err := Unpack[Bundle](stored.Data)
		if err != nil {
			r.PassOver(stored, err)
			return nil
		}
		for _, kept := range bundle {
			err := errors.Join(
				r.unapart(ctx, (*Stream).ConfirmLast, kept.Number, ApartRequest, &kept.Request),
				r.unapart(ctx, (*Stream).ConfirmLast, kept.Number, ApartFinal, &kept.Final),
			)
			if err != nil && !errors.Is(err, ErrMissing) {
				return err
			}
			if err := each(kept); err != nil {
				return err
			}
		}
		return nil
	})
}
