package jet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// Results is the stream of a slice.
type Results struct {
	*Stream
	Slice
	sealed, bundled atomic.Bool
	// open is when it was last seen not to be sealed.
	open atomic.Pointer[time.Time]
	last lastBundle
}

// IsSealed reports whether the slice was seen to be sealed. A run that has no final document then has lost it.
func (r *Results) IsSealed() bool { return r.sealed.Load() }

// See takes up whether the slice is sealed, and whether it is bundled; youngest is when its youngest run ended.
func (r *Results) See(config jetstream.StreamConfig) (youngest time.Time, sealed bool) {
	youngest, sealed = Sealed(config)
	r.sealed.Store(sealed)
	r.bundled.Store(IsBundled(config))
	return youngest, sealed
}

// seeSealed reports whether the slice is sealed. One that was open a moment ago is not asked again: its final
// documents stay for longer than that after it is sealed.
func (r *Results) seeSealed(ctx context.Context) (bool, error) {
	if r.IsSealed() {
		return true, nil
	}
	if open := r.open.Load(); open != nil && time.Since(*open) < r.store.Settled/2 {
		return false, nil
	}
	err := r.look(ctx)
	return r.IsSealed(), err
}

// look finds out whether the slice is sealed, and whether it is bundled.
func (r *Results) look(ctx context.Context) error {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	info, err := r.Info(ctx)
	if err != nil {
		return r.unread(ctx, err)
	}
	if _, sealed := r.See(info.Config); !sealed {
		r.open.Store(&asked)
	}
	return nil
}

// errNoSlice is the error of a run whose slice is not made yet: nothing is stored of the run but its request,
// and nothing can be now. It is ErrMissing and run.ErrUnavailable.
var errNoSlice = As(run.ErrUnavailable, As(ErrMissing, errors.New("the slice of the run is not made yet")))

// opened are the slices that the process has used.
type opened struct {
	mu     sync.Mutex
	byName map[string]*Results
	// all are those whose handles were given out, also of slices that are gone.
	all []*Results
	// told are the slices of which the log has said that they were removed.
	told map[string]bool
	// grouped: writes to a slice are grouped where it takes batches.
	grouped bool
}

// ResultsOf opens the slice of a run. It returns run.ErrRunGone where the slice was there and is not any more,
// and an error that is ErrMissing and run.ErrUnavailable where it is not made yet.
func (s *Store) ResultsOf(ctx context.Context, n run.Number) (*Results, error) {
	return s.Open(ctx, s.Layout.SliceOf(n))
}

// Open is ResultsOf for the runs of a slice.
func (s *Store) Open(ctx context.Context, slice Slice) (*Results, error) {
	o := &s.opened
	o.mu.Lock()
	open := o.byName[slice.StreamName()]
	o.mu.Unlock()
	if open != nil {
		return open, nil
	}
	for looked := false; ; looked = true {
		stream, err := s.stream(ctx, slice)
		if err == nil {
			return o.add(s, slice, stream), nil
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("%w: open stream %s: %w", run.ErrUnavailable, slice.StreamName(), Explain(err))
		}
		if looked { // it was made before the first look, or between the two
			o.tellGone(s, slice)
			return nil, run.ErrRunGone
		}
		made, err := s.Made(ctx)
		if err == nil {
			err = s.Events.Vouch(ctx)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: look for stream %s: %w", run.ErrUnavailable, slice.StreamName(), Explain(err))
		case slice.End > made:
			return nil, errNoSlice
		}
	}
}

func (s *Store) stream(ctx context.Context, slice Slice) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	return s.JS.Stream(ctx, slice.StreamName())
}

// add keeps the handle of a slice that was just opened, unless another one was faster.
func (o *opened) add(s *Store, slice Slice, stream jetstream.Stream) *Results {
	o.mu.Lock()
	defer o.mu.Unlock()
	if open := o.byName[slice.StreamName()]; open != nil {
		return open
	}
	results := &Results{Slice: slice, Stream: &Stream{Stream: stream, name: slice.StreamName(), store: s, group: newGroup(s, slice.StreamName()), slice: &slice}}
	results.See(stream.CachedInfo().Config)
	results.group.enable(o.grouped && stream.CachedInfo().Config.AllowAtomicPublish)
	if o.byName == nil {
		o.byName = map[string]*Results{}
	}
	o.byName[slice.StreamName()] = results
	o.all = append(o.all, results)
	return results
}

// forget has the next who asks for a slice open it again.
func (o *opened) forget(slice Slice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byName, slice.StreamName())
}

// tellGone says once that a slice was removed.
func (o *opened) tellGone(s *Store, slice Slice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told[slice.StreamName()] {
		return
	}
	if o.told == nil {
		o.told = map[string]bool{}
	}
	o.told[slice.StreamName()] = true
	s.Log.Warn().Str("stream", slice.StreamName()).Stringer("first_run", slice.First).Stringer("last_run", slice.End-1).
		Msg("a slice of runs is not there any more: their retention has passed, or somebody has removed the stream. Their status is 410")
}

// close waits for what is under way to the slices; the connection is closed before.
func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, results := range o.all {
		results.group.close()
	}
}

// ErrSealed is the error of a write to a slice that takes none any more: every run of it has ended.
var ErrSealed = errors.New("the slice of the run is sealed")

// gone returns run.ErrRunGone in place of an error that nobody listens for the stream, where that is a slice that
// is not there any more, and ErrSealed where it is sealed and takes nothing that is written to a subject; it is empty
// for a read.
func (s *Stream) gone(ctx context.Context, subject string, err error) error {
	api, isAPI := errors.AsType[*jetstream.APIError](err)
	unheard := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		isAPI && api.ErrorCode == jetstream.JSErrCodeStreamNotFound
	if s.slice == nil || !unheard {
		return err
	}
	stream, failed := s.store.stream(ctx, *s.slice)
	if failed == nil && subject != "" && !IsBundle(subject) {
		if _, sealed := Sealed(stream.CachedInfo().Config); sealed {
			return ErrSealed
		}
	}
	if !errors.Is(failed, jetstream.ErrStreamNotFound) {
		return err
	}
	s.store.opened.forget(*s.slice)
	s.store.opened.tellGone(s.store, *s.slice)
	return run.ErrRunGone
}

// Made is the first run number behind all slices that were ever made.
func (s *Store) Made(ctx context.Context) (run.Number, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	events, err := s.JS.Stream(ctx, EventsStream)
	if err != nil {
		return 0, err
	}
	made := max(s.Layout.From, MadeUntil(events.CachedInfo().Config))
	there, err := s.Slices(ctx)
	for _, slice := range there {
		made = max(made, slice.End)
	}
	return made, err
}

// MadeUntil is what EVENTS says of the slices that were made.
func MadeUntil(events jetstream.StreamConfig) run.Number {
	made, _ := strconv.ParseUint(events.Metadata[MadeKey], 10, 64) // 0 where it says nothing
	return run.Number(made)
}

// Slices are the slices that there are, by their numbers.
func (s *Store) Slices(ctx context.Context) (all []Slice, err error) {
	names := s.JS.StreamNames(ctx, jetstream.WithStreamListSubject("$KV.>"))
	for name := range names.Name() {
		if slice, ok := s.Layout.Named(name); ok {
			all = append(all, slice)
		}
	}
	slices.SortFunc(all, func(a, b Slice) int { return cmp.Compare(a.End, b.End) })
	return all, names.Err()
}

// Sealed is when the youngest run of a slice ended that is sealed: each of its runs has ended, the events have
// copied all, and its stream takes no claim and no final document any more.
func Sealed(slice jetstream.StreamConfig) (youngest time.Time, ok bool) {
	youngest, err := time.Parse(time.RFC3339, slice.Metadata[SealedKey])
	return youngest, err == nil
}

// IsBundled reports whether a slice has nothing but bundles.
func IsBundled(slice jetstream.StreamConfig) bool { return slice.Metadata[BundledKey] != "" }

// OpenSlices opens the slices that there are and that are not sealed.
func (s *Store) OpenSlices(ctx context.Context) (all []*Results, err error) {
	there, err := s.Slices(ctx)
	if err != nil {
		return nil, Explain(err)
	}
	for _, slice := range there {
		results, err := s.Open(ctx, slice)
		if errors.Is(err, run.ErrRunGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := results.Info(ctx)
		if err != nil {
			return nil, Explain(err)
		}
		if _, sealed := results.See(info.Config); !sealed {
			all = append(all, results)
		}
	}
	return all, nil
}

// Next is the number of the next run.
func (s *Store) Next(ctx context.Context) (run.Number, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	runs, err := s.Runs.Info(ctx)
	if err != nil {
		return 0, err
	}
	return s.Numbers.Of(runs.State.LastSeq + 1), nil
}

// Ended reports whether a run has its final document, as the leader has it, or its slice is gone: then it is
// over in any case.
func (s *Store) Ended(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	results, err := s.ResultsOf(ctx, n)
	if err == nil {
		_, err = results.LeaderFinal(ctx, id, n)
	}
	switch {
	case errors.Is(err, ErrMissing) && (results == nil || results.IsSealed()):
		return results != nil, nil
	case errors.Is(err, ErrMissing):
		return results.erased(ctx, id, n)
	case errors.Is(err, run.ErrRunGone):
		return true, nil
	}
	return err == nil, err
}

// erased reports whether a run without a final document was erased, as the leader has it.
func (r *Results) erased(ctx context.Context, id task.ID, n run.Number) (bool, error) {
	claim, err := r.LeaderLast(ctx, r.ClaimSubject(id, n))
	if errors.Is(err, ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return errors.Is(err, run.ErrRunGone), nil
	}
	state, _ := run.DecodeClaim(claim.Data) // what is no claim says nothing
	return state.Erased, err
}

// activeWithin is how long ago the events have heard from a slice at most, where they are up to date.
const activeWithin = 10 * time.Second

// Copies are what the events have copies of, by stream.
type Copies map[string]copies

// copies are those of one stream. A server before 2.15 does not say the last sequence, but whether it is up to date.
type copies struct {
	last     uint64
	upToDate bool
}

// Until is the last sequence of a stream that the events have a copy of, as far as it is known.
func (c Copies) Until(stream string) uint64 { return c[stream].last }

// Has reports whether the events have copies of what a stream has up to a sequence.
func (c Copies) Has(stream string, sequence uint64) bool {
	of := c[stream]
	return of.upToDate || of.last >= sequence
}

// Copied asks what the events have copies of.
func (s *Store) Copied(ctx context.Context) (Copies, error) {
	events, err := s.aboutEvents(ctx)
	if err != nil {
		return nil, err
	}
	all := Copies{}
	for _, source := range events.Sources {
		upToDate := source.Seq == 0 && source.Lag == 0 && source.Active >= 0 && source.Active < activeWithin
		all[source.Name] = copies{source.Seq, upToDate}
	}
	return all, nil
}

// aboutEvents is what a server says of the stream of events. (The client library does not know of all of it.)
type aboutEvents struct {
	Now     time.Time `json:"ts"`
	Cluster struct {
		LeaderSince time.Time `json:"leader_since"` // not there before 2.12, and of a stream without replicas
	} `json:"cluster"`
	Sources []struct {
		Name   string        `json:"name"`
		Lag    uint64        `json:"lag"`
		Seq    uint64        `json:"seq"`
		Active time.Duration `json:"active"`
	} `json:"sources"`
}

func (s *Store) aboutEvents(ctx context.Context) (aboutEvents, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	reply, err := s.NC.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+EventsStream, nil)
	if err != nil {
		return aboutEvents{}, Explain(err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		aboutEvents
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return aboutEvents{}, fmt.Errorf("decode the state of stream %s: %w", EventsStream, err)
	}
	if answer.Error != nil {
		return aboutEvents{}, Explain(answer.Error)
	}
	return answer.aboutEvents, nil
}

// takesOver is how long a new leader of the events may take until it copies: nats-server 2.15.2 waits up to 0.6 s
// before it begins with its sources. It begins with one that it gets meanwhile twice, and copies again what it has
// copied from it but not stored yet: seen on a busy machine, all 60 of a slice.
const takesOver = 2 * time.Second

// AwaitCopying waits until the leader of the events has taken over. Who adds a source behind that has it copied
// once, but where the leader changes in the very moment.
func (s *Store) AwaitCopying(ctx context.Context) error {
	for {
		events, err := s.aboutEvents(ctx)
		if err != nil {
			return err
		}
		left := takesOver - events.Now.Sub(events.Cluster.LeaderSince)
		if left <= 0 {
			return nil
		}
		if !wait.For(ctx, min(left, takesOver)) {
			return fmt.Errorf("%w: the leader of stream %s takes over: %w", run.ErrUnavailable, EventsStream, ctx.Err())
		}
	}
}
