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

// Feed reads the requests and the final documents of all runs, a piece at a time, for who keeps an index of them. It
// writes nothing and leaves nothing at the server.
type Feed struct{ store *jet.Store }

// Feed returns the feed of the store's runs.
func (r *Runs) Feed() *Feed { return &Feed{r.store} }

// Mark is how far a stream was read: its last message that was passed. The zero Mark is before the first.
type Mark struct {
	Sequence uint64
	// StoredOn tells the message from another one of the same sequence, which a store has that has lost its end.
	StoredOn time.Time
}

// Kept is a request or a final document of a run as it is stored. Another program may have stored anything in its
// place.
type Kept struct {
	Task   task.ID
	Number run.Number
	// Data is the message, nil where it is not there.
	Data     []byte
	StoredOn time.Time
	// At is its place in its stream; the zero Mark of one that is in a bundle.
	At Mark
}

// Stretch is a stretch of run numbers whose final documents are in one stream, a slice.
type Stretch struct {
	// Name is the stream's.
	Name string
	// First is its lowest number, and End the first number behind it.
	First, End run.Number
}

// Has reports whether a run is in the stretch.
func (s Stretch) Has(n run.Number) bool { return s.First <= n && n < s.End }

// RequestsName is the stream of the requests, for Goes.
const RequestsName = jet.RunsStream

// Stretches are those that there are, by their numbers, and the first number behind all that were ever made: the runs
// of one below that, which is not there, are gone.
func (f *Feed) Stretches(ctx context.Context) (there []Stretch, made run.Number, err error) {
	if made, err = f.store.Made(ctx); err != nil {
		return nil, 0, jet.Explain(err)
	}
	all, err := f.store.Slices(ctx)
	if err != nil {
		return nil, 0, jet.Explain(err)
	}
	for _, slice := range all {
		there = append(there, Stretch{slice.StreamName(), slice.First, slice.End})
	}
	return there, made, nil
}

// Goes reports whether a stream, of requests or of a stretch, goes on from a mark: the message that was read there is
// still the same one, or was removed since. Otherwise the stream has lost its end, or is another one.
func (f *Feed) Goes(ctx context.Context, stream string, from Mark) (bool, error) {
	if from.Sequence == 0 {
		return true, nil
	}
	of, err := f.stream(ctx, stream)
	if err != nil {
		return false, err
	}
	state, err := f.state(ctx, of)
	if err != nil {
		return false, err
	}
	if state.LastSeq < from.Sequence {
		return false, nil
	}
	stored, err := of.LeaderAt(ctx, from.Sequence)
	if errors.Is(err, jet.ErrMissing) {
		return true, nil
	}
	return err == nil && stored.Time.Equal(from.StoredOn), err
}

func (f *Feed) stream(ctx context.Context, name string) (*jet.Stream, error) {
	if name == jet.RunsStream {
		return f.store.Runs, nil
	}
	results, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	return results.Stream, nil
}

// open opens the slice of a stretch; run.ErrRunGone if it was removed.
func (f *Feed) open(ctx context.Context, name string) (*jet.Results, error) {
	slice, ok := f.store.Layout.Named(name)
	if !ok {
		return nil, fmt.Errorf("%s is the stream of no slice", name)
	}
	return f.store.Open(ctx, slice)
}

func (f *Feed) state(ctx context.Context, of *jet.Stream) (jetstream.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := of.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, jet.Explain(err)
	}
	return info.State, nil
}

// Accepted is the number of the youngest run, 0 for none, and the sequence of its request.
func (f *Feed) Accepted(ctx context.Context) (youngest run.Number, sequence uint64, err error) {
	state, err := f.state(ctx, f.store.Runs)
	if err != nil || state.LastSeq == 0 {
		return 0, 0, err
	}
	return f.store.Numbers.Of(state.LastSeq), state.LastSeq, nil
}

// Reached is how far a pass has come.
type Reached struct {
	// Whole: everything that there was at its begin has been passed. A replica that lags may lack some.
	Whole bool
	// Until is the last sequence that the stream had at its begin: while it has no other one, there is nothing new.
	Until uint64
	// Sealed: nothing more will come. Bundled: it has nothing but bundles.
	Sealed, Bundled bool
}

// Requests passes the requests behind a mark to each, oldest first. Those of bundled slices are not among them. A stream
// whose last sequence is seen has nothing new.
func (f *Feed) Requests(ctx context.Context, from Mark, seen uint64, each func(Kept) error) (Reached, error) {
	state, err := f.state(ctx, f.store.Runs)
	if err != nil || state.LastSeq <= max(from.Sequence, seen) {
		return Reached{Whole: err == nil, Until: state.LastSeq}, err
	}
	last := from.Sequence
	err = f.store.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.Requests}, From: from.Sequence + 1}, func(request jet.Record) error {
		last = request.Sequence
		id, ok := jet.TaskOfRequest(request.Subject)
		if !ok || request.IsCall() {
			return nil
		}
		return each(Kept{id, f.store.Numbers.Of(request.Sequence), request.Data, request.Time, Mark{request.Sequence, request.Time}})
	})
	if err != nil {
		return Reached{}, jet.Explain(err)
	}
	whole, err := f.whole(ctx, f.store.Runs, jet.Requests, last)
	return Reached{Whole: whole, Until: state.LastSeq}, err
}

// whole reports whether the leader has nothing of a subject behind a sequence that the others may lack.
func (f *Feed) whole(ctx context.Context, of *jet.Stream, subject string, last uint64) (bool, error) {
	if !f.store.Replicated {
		return true, nil
	}
	_, err := of.LeaderFollowing(ctx, subject, last+1)
	if errors.Is(err, jet.ErrMissing) {
		return true, nil
	}
	return false, err
}

// Finals passes the final documents of a stretch behind a mark to each, oldest first, unless it is bundled, which it
// may become meanwhile: then Bundles has all of them. seen is as for Requests. It returns run.ErrRunGone if the stretch
// is gone.
func (f *Feed) Finals(ctx context.Context, of Stretch, from Mark, seen uint64, each func(Kept) error) (Reached, error) {
	results, err := f.open(ctx, of.Name)
	if err != nil {
		return Reached{}, err
	}
	before, err := f.look(ctx, results)
	if err != nil || before.Bundled || before.Until <= max(from.Sequence, seen) {
		before.Whole = err == nil && !before.Bundled
		return before, err
	}
	last := from.Sequence
	err = results.Scan(ctx, jet.Range{Subjects: []string{results.Slice.Finals()}, From: from.Sequence + 1}, func(final jet.Record) error {
		last = final.Sequence
		id, n, ok := results.EndedRun(final.Subject)
		if !ok {
			return nil
		}
		return each(Kept{id, n, final.Data, final.Time, Mark{final.Sequence, final.Time}})
	})
	if err != nil {
		return Reached{}, jet.Explain(err)
	}
	if before.Whole, err = f.whole(ctx, results.Stream, results.Slice.Finals(), last); err != nil || !before.Sealed {
		return before, err
	}
	after, err := f.look(ctx, results) // else they may have gone before they were passed
	before.Bundled = after.Bundled
	before.Whole = before.Whole && !after.Bundled
	return before, err
}

// look is what the stream of a slice says of itself.
func (f *Feed) look(ctx context.Context, results *jet.Results) (Reached, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := results.Info(ctx)
	if absent(err) {
		err = run.ErrRunGone
	}
	if err != nil {
		return Reached{}, jet.Explain(err)
	}
	_, sealed := results.See(info.Config)
	return Reached{Until: info.State.LastSeq, Sealed: sealed, Bundled: jet.IsBundled(info.Config)}, nil
}

// Bundles passes the requests and the final documents of the runs of a bundled stretch to each, one without Data where
// it is not there. It returns run.ErrRunGone if the stretch is gone.
func (f *Feed) Bundles(ctx context.Context, of Stretch, each func(request, final Kept) error) error {
	results, err := f.open(ctx, of.Name)
	if err != nil {
		return err
	}
	kept := func(n run.Number, is jet.Kept) Kept {
		if !jet.IsID(is.Task) {
			return Kept{}
		}
		return Kept{Task: task.ID(is.Task), Number: n, Data: is.Data, StoredOn: time.Unix(0, is.Time)}
	}
	return jet.Explain(results.EachBundled(ctx, func(of jet.Bundled) error {
		return each(kept(of.Number, of.Request), kept(of.Number, of.Final))
	}))
}

// RequestsUntil is the sequence of the last request that a stretch can have.
func (f *Feed) RequestsUntil(of Stretch) uint64 { return f.store.Numbers.Upto(of.End - 1) }
