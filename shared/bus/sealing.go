package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// SliceKeeper makes slices of runs, seals, bundles and removes them. It is for one goroutine; several processes may
// keep one store.
//
// A slice is made before the first run is in it, takes new runs until it is full, and is sealed once each of them has
// ended: it takes no claim and no final document any more. Then its runs are put into bundles. When they are on the
// disks, what they were made of goes, and the slice is never written again, so a crash costs it nothing. When its
// youngest run is past the retention it is removed whole.
type SliceKeeper struct {
	store *jet.Store
	// done are the slices that were seen to be bundled, or sealed where they have no bundles, with the end of the
	// youngest run.
	done map[jet.Slice]time.Time
	// waits are those that were not ready to be sealed, or bundled.
	waits map[jet.Slice]sealTry
	// busy: a slice was bundled in this look, which may take seconds.
	busy bool
}

// sealTry is a slice as it was when it was not ready, and when that was.
type sealTry struct {
	last uint64
	at   time.Time
}

// tryAgain is how often it is tried to seal a slice to which nothing was written: its requests may have expired.
const tryAgain = 10 * time.Minute

// Slices returns a keeper that has seen nothing yet.
func (u *Unheld) Slices() *SliceKeeper {
	return &SliceKeeper{store: u.store, done: map[jet.Slice]time.Time{}, waits: map[jet.Slice]sealTry{}}
}

// Look does what is due.
func (k *SliceKeeper) Look(ctx context.Context) error {
	err := errors.Join(k.store.Ahead(ctx), keepSources(ctx, k.store))
	next, nextErr := k.store.Next(ctx)
	all, listErr := k.store.Slices(ctx)
	if nextErr != nil || listErr != nil {
		return errors.Join(err, jet.Explain(nextErr), jet.Explain(listErr))
	}
	k.busy = false
	for _, slice := range all {
		if slice.End <= next { // else it takes new runs
			err = errors.Join(err, k.full(ctx, slice))
		} else {
			err = errors.Join(err, k.expire(ctx, slice))
		}
	}
	return errors.Join(err, k.purgeRequests(ctx, all))
}

// open returns a slice and its present state; nil without an error if it is gone.
func (k *SliceKeeper) open(ctx context.Context, slice jet.Slice) (*jet.Results, *jetstream.StreamInfo, error) {
	results, err := k.store.Open(ctx, slice)
	if errors.Is(err, run.ErrRunGone) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := results.Info(ctx)
	if err != nil {
		return nil, nil, jet.Explain(err)
	}
	return results, info, nil
}

// expireEvery is how many times in a retention what is past it is removed from a slice that takes new runs.
const expireEvery = 50

// expire removes what is past the retention from a slice that takes new runs, which it may do for years.
func (k *SliceKeeper) expire(ctx context.Context, slice jet.Slice) error {
	results, info, err := k.open(ctx, slice)
	if results == nil {
		return err
	}
	retention := k.store.Retention()
	if info.State.Msgs == 0 || time.Since(info.State.FirstTime)-retention/expireEvery < retention {
		return nil
	}
	then, first := time.Now().Add(-retention), info.State.LastSeq+1
	err = results.Scan(ctx, jet.Range{Since: then, HeadersOnly: true}, func(young jet.Record) error {
		first = young.Sequence
		return jet.ErrEnough
	})
	if err == nil {
		err = results.Purge(ctx, jetstream.WithPurgeSequence(first))
	}
	return jet.Explain(err)
}

// full seals a slice that takes no new runs, bundles it, or removes it.
func (k *SliceKeeper) full(ctx context.Context, slice jet.Slice) error {
	youngest, done := k.done[slice]
	if !done {
		results, info, err := k.open(ctx, slice)
		if results == nil {
			return err
		}
		var sealed bool
		if youngest, sealed = results.See(info.Config); !sealed {
			if err := k.seal(ctx, results, info); err != nil {
				return fmt.Errorf("seal stream %s: %w", slice.StreamName(), err)
			}
			return nil
		}
		expired := time.Since(youngest) >= k.store.Retention()
		if !jet.IsBundled(info.Config) && !slice.IsBefore() && !expired {
			if err := k.bundle(ctx, results, info); err != nil {
				return fmt.Errorf("bundle the runs of stream %s: %w", slice.StreamName(), err)
			}
			return nil
		}
		k.done[slice] = youngest
	}
	if time.Since(youngest) < k.store.Retention() {
		return nil
	}
	if err := k.store.JS.DeleteStream(ctx, slice.StreamName()); err != nil && !absent(err) {
		return fmt.Errorf("remove stream %s, whose runs are past their retention: %w", slice.StreamName(), jet.Explain(err))
	}
	delete(k.done, slice)
	k.store.Log.Info().Str("stream", slice.StreamName()).Msg("removed a slice whose runs are past their retention")
	return nil
}

// settled reports whether the last write to a slice is on the disks of all servers. The server tells both times: the
// clock of this machine may be another.
func (k *SliceKeeper) settled(info *jetstream.StreamInfo) bool {
	return info.TimeStamp.Sub(info.State.LastTime) >= k.store.Settled
}

// seal seals a slice if it is ready: each of its runs has ended, which is counted first, and the events have copies
// of all that the servers have on disk. What it is to leave besides its final documents is to be stored before the
// last step; up to there it can begin anew.
func (k *SliceKeeper) seal(ctx context.Context, slice *jet.Results, info *jetstream.StreamInfo) error {
	before, last := k.waits[slice.Slice], info.State.LastSeq
	if before.last == last && time.Since(before.at) < tryAgain || !k.settled(info) {
		return nil
	}
	youngest, ended, err := k.haveEnded(ctx, slice)
	if err != nil {
		return err
	}
	if !ended {
		k.waits[slice.Slice] = sealTry{last, time.Now()}
		return nil
	}
	final, err := finalsUntil(ctx, k.store, slice.Slice)
	if err != nil {
		return err
	}
	copied, err := k.store.Copied(ctx)
	if err != nil {
		return err
	}
	if !copied.Has(slice.StreamName(), final) {
		return nil
	}
	if slice.IsBefore() {
		// All claims in one call: to purge some would free nothing, and each message that is missing between others
		// is gone through after a crash.
		if err := slice.Purge(ctx, jetstream.WithPurgeSubject(slice.Claims())); err != nil {
			return jet.Explain(err)
		}
	}
	err = k.mark(ctx, slice, func(next *jetstream.StreamConfig, bytes int64) {
		next.Metadata = withMetadata(next.Metadata, jet.SealedKey, youngest.UTC().Format(time.RFC3339))
		if !slice.IsBefore() {
			next.Subjects, bytes = slice.Bundles(), bytes+bytes/4+bundlesLeast
		}
		if next.MaxBytes > 0 { // the rest is the others'
			next.MaxBytes = max(1, bytes)
		}
	})
	if err != nil {
		return err
	}
	delete(k.waits, slice.Slice)
	k.store.Log.Info().Str("stream", slice.StreamName()).Msg("sealed a slice: all of its runs have ended")
	return nil
}

// bundlesLeast is room for bundles in a slice that has hardly anything else.
const bundlesLeast = 1 << 20

// mark changes the stream of a slice, in one call; bytes is its size.
func (k *SliceKeeper) mark(ctx context.Context, slice *jet.Results, change func(next *jetstream.StreamConfig, bytes int64)) error {
	info, err := slice.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	next := info.Config
	change(&next, int64(info.State.Bytes))
	if _, err := k.store.JS.UpdateStream(ctx, next); err != nil {
		return jet.Explain(err)
	}
	slice.See(next)
	return nil
}

// fewCalls is how many calls are left in a slice at most (alarms.go), each for a process that died at the wrong moment;
// they count as requests.
const fewCalls = 16

// mayHaveEnded reports whether a slice has as many final documents as requests at least: to count them costs less
// than to read them. Requests come and expire between two counts, so those behind the slice are counted on both
// sides, and count too many of them at most.
func (k *SliceKeeper) mayHaveEnded(ctx context.Context, slice *jet.Results) (bool, error) {
	var counts [3]uint64
	from, to := k.store.RequestsOf(slice.Slice)
	for i, sequence := range []uint64{to, from, to} {
		n, err := count(ctx, k.store.Runs, jet.Requests, sequence)
		if err != nil {
			return false, err
		}
		counts[i] = n
	}
	finals, err := count(ctx, slice.Stream, slice.Finals(), 1)
	return finals+fewCalls >= counts[1]-min(counts[1], max(counts[0], counts[2])), err
}

// haveEnded reports whether each run of a slice that has a request has a final document, and when the youngest of
// them all ended.
func (k *SliceKeeper) haveEnded(ctx context.Context, slice *jet.Results) (youngest time.Time, ended bool, err error) {
	if may, err := k.mayHaveEnded(ctx, slice); !may || err != nil {
		return time.Time{}, false, err
	}
	open := owners{pages: map[run.Number]*[ownersPage]uint32{}, ids: map[task.ID]uint32{}}
	from, to := k.store.RequestsOf(slice.Slice)
	whole, err := requests(ctx, k.store, from, to, true, func(request jet.Record) error {
		if id, ok := jet.TaskOfRequest(request.Subject); ok && !request.IsCall() {
			open.add(k.store.Numbers.Of(request.Sequence), id)
		}
		return nil
	})
	if err != nil || !whole {
		return time.Time{}, false, err
	}
	err = slice.Scan(ctx, jet.Range{Subjects: []string{slice.Finals()}, HeadersOnly: true}, func(final jet.Record) error {
		if id, n, ok := slice.EndedRun(final.Subject); ok {
			open.remove(n, id)
		}
		if final.Time.After(youngest) {
			youngest = final.Time
		}
		return nil
	})
	return youngest, open.count == 0, jet.Explain(err)
}

// requests passes the requests that RUNS has from a sequence on and below another. whole is false where it lacked
// some, as a replica that lags does.
func requests(ctx context.Context, s *jet.Store, from, to uint64, headersOnly bool, each func(jet.Record) error) (whole bool, err error) {
	whole = true
	expect := func(sequence uint64) error {
		if sequence > from {
			next, err := s.Runs.LeaderFollowing(ctx, jet.Requests, from)
			if err != nil && !errors.Is(err, jet.ErrMissing) {
				return err
			}
			whole = whole && (err != nil || next.Sequence >= sequence)
		}
		from = sequence + 1
		return nil
	}
	err = s.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.Requests}, HeadersOnly: headersOnly, From: from}, func(request jet.Record) error {
		if request.Sequence >= to {
			return jet.ErrEnough
		}
		if err := expect(request.Sequence); err != nil {
			return err
		}
		return each(request)
	})
	if err == nil {
		err = expect(to)
	}
	return whole, jet.Explain(err)
}

// owners are the tasks of runs, in little memory.
type owners struct {
	pages map[run.Number]*[ownersPage]uint32
	ids   map[task.ID]uint32
	count int
}

const ownersPage = 4096

func (o *owners) add(n run.Number, id task.ID) {
	page := o.pages[n/ownersPage]
	if page == nil {
		page = new([ownersPage]uint32)
		o.pages[n/ownersPage] = page
	}
	if o.ids[id] == 0 {
		o.ids[id] = uint32(len(o.ids) + 1)
	}
	page[n%ownersPage] = o.ids[id]
	o.count++
}

// remove takes a run out that is of this task.
func (o *owners) remove(n run.Number, id task.ID) {
	if page := o.pages[n/ownersPage]; page != nil && page[n%ownersPage] > 0 && page[n%ownersPage] == o.ids[id] {
		page[n%ownersPage] = 0
		o.count--
	}
}

// count is how many messages of a subject a stream has from a sequence on.
func count(ctx context.Context, stream *jet.Stream, subject string, from uint64) (uint64, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", subject, jet.Explain(err))
	}
	info := consumer.CachedInfo()
	_ = stream.DeleteConsumer(ctx, info.Name) // else it goes after a minute
	return info.NumPending, nil
}
