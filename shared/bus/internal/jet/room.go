package jet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

const (
	// lookEvery is how often a process that accepts runs looks for what others have made and given out.
	lookEvery = 5 * time.Second
	// lookAgain is how often, where the next run has no slice.
	lookAgain = time.Second
	// lookFor bounds one look, which may make slices, and mostLooks how many somebody waits for: others can have
	// used up what was made.
	lookFor   = 10 * time.Second
	mostLooks = 5
)

// room is what a process knows of the room for new runs.
type room struct {
	mu sync.Mutex
	// next is the number of the next run at least, and end the first number behind it that has no slice.
	next, end run.Number
	// looking is closed when the look has ended that is under way; nil for none.
	looking chan struct{}
	looked  time.Time
	// why is why there was no room at the last look, and told what the log has last of slices that cannot be made.
	why  error
	told string
	// looks are those under way.
	looks sync.WaitGroup
}

// Room reports why the next run would have no slice, nil where it has one, as far as this process knows: others
// may be accepting runs. It is run.ErrUnavailable. A slice that is not there is made.
func (s *Store) Room(ctx context.Context) error {
	r := &s.room
	for looks := 0; ; looks++ {
		r.mu.Lock()
		has, every := r.next < r.end, lookEvery
		if !has {
			every = lookAgain
		}
		if r.looking == nil && (time.Since(r.looked) > every || !has && r.why == nil) && looks < mostLooks {
			s.look()
		}
		looking, why := r.looking, r.why
		r.mu.Unlock()
		switch {
		case has:
			return nil
		case why != nil:
			return why
		case looking == nil:
			return errNoSlice
		}
		select {
		case <-looking:
		case <-ctx.Done():
			return fmt.Errorf("%w: the slice of the next run: %w", run.ErrUnavailable, ctx.Err())
		}
	}
}

// look begins a look for room; the caller holds the room's mu.
func (s *Store) look() {
	r, ended := &s.room, make(chan struct{})
	r.looking = ended
	r.looks.Go(func() { // it ends with the connection at the latest
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), lookFor)
		defer cancel()
		_ = s.see(ctx, false) // the room has it
		r.mu.Lock()
		defer r.mu.Unlock()
		r.looking = nil
	})
}

// Given notes that a run has got a number.
func (s *Store) Given(n run.Number) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.room.next = max(s.room.next, n+1)
}

// ResultsFor is ResultsOf for who is going to write: a slice that is not there yet is made.
func (s *Store) ResultsFor(ctx context.Context, n run.Number) (*Results, error) {
	results, err := s.ResultsOf(ctx, n)
	if !errors.Is(err, ErrMissing) {
		return results, err
	}
	if err := s.see(ctx, false); err != nil {
		return nil, err
	}
	return s.ResultsOf(ctx, n)
}

// Ahead sees to it that the slice of each request is there, and of the next run, and an empty one behind it. A
// slice is made once: of one that was removed the numbers that are left are passed over.
func (s *Store) Ahead(ctx context.Context) error { return s.see(ctx, true) }

// see is Ahead for who keeps the slices, with a spare one. For others it is enough that the next run has one: their
// users need no right to make streams then.
func (s *Store) see(ctx context.Context, spare bool) error {
	next, end, certain, err := s.ahead(ctx, spare)
	r := &s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = time.Now()
	switch {
	case err == nil:
		r.told = ""
	case Passes(err), errors.Is(err, context.Canceled): // it is looked for again, and a POST without room is told why
		s.Log.Debug().Err(err).Bool("room_is_left", next < end).Msg("cannot look for the next slice of runs now, trying again")
	case err.Error() != r.told:
		s.Log.Error().Err(err).Bool("room_is_left", next < end).Msg("the next slice of runs cannot be made")
		r.told = err.Error()
	}
	if next > 0 {
		r.next = max(r.next, next)
		if r.end = max(r.end, end); certain {
			r.end = end
		}
	}
	if r.why = nil; r.next >= r.end {
		r.why = err
	}
	return err
}

// ahead is Ahead. It returns the number of the next run and the first behind it that has no slice, also with an
// error; certain says that it is no greater one.
func (s *Store) ahead(ctx context.Context, spare bool) (next, end run.Number, certain bool, err error) {
	if next, err = s.Next(ctx); err != nil {
		return 0, 0, false, fmt.Errorf("%w: look for the number of the next run: %w", run.ErrUnavailable, Explain(err))
	}
	made, err := s.Made(ctx)
	if err != nil {
		return 0, 0, false, fmt.Errorf("%w: look for the slices that were made: %w", run.ErrUnavailable, Explain(err))
	}
	needed := s.Layout.SliceOf(next)
	last := s.Layout.SliceOf(needed.End)
	if spare {
		needed = last
	}
	var failed error
	for made < needed.End {
		var slice Slice
		if slice, failed = s.behind(ctx, made, next); failed == nil {
			failed = s.make(ctx, slice)
		}
		if failed != nil {
			break
		}
		made = slice.End
	}
	for at := s.Layout.SliceOf(next); at.First < last.End; at = s.Layout.SliceOf(at.End) {
		_, err := s.stream(ctx, at)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s.opened.forget(at)
		}
		_, err = s.Open(ctx, at)
		if errors.Is(err, run.ErrRunGone) && at.Has(next) {
			if err := s.pass(ctx, at.End); err != nil {
				return next, 0, true, err
			}
			return s.ahead(ctx, spare)
		}
		if err != nil {
			certain = errors.Is(err, run.ErrRunGone) || errors.Is(err, ErrMissing)
			if failed == nil && !certain {
				failed = err
			}
			return next, end, certain, failed
		}
		end = at.End
	}
	return next, end, true, failed
}

// behind is the first slice behind those up to made that a request is in, that of the next one at the latest: numbers
// that a restore or a repair has passed over need none.
func (s *Store) behind(ctx context.Context, made, next run.Number) (Slice, error) {
	sequence := s.Numbers.Upto(made-min(made, 1)) + 1
	number := s.Numbers.Of(sequence)
	if number < next {
		switch first, err := s.Runs.LeaderFollowing(ctx, Requests, sequence); {
		case err == nil:
			number = min(next, s.Numbers.Of(first.Sequence))
		case errors.Is(err, ErrMissing):
			number = next
		default:
			return Slice{}, fmt.Errorf("%w: look for the request behind the slices that were made: %w", run.ErrUnavailable, Explain(err))
		}
	}
	return s.Layout.SliceOf(number), nil
}

func (s *Store) make(ctx context.Context, slice Slice) error {
	if err := s.Writable(); err != nil {
		return err
	}
	if s.cramped != nil && s.cramped() {
		return fmt.Errorf("%w: %w", run.ErrUnavailable, run.ErrFull)
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What is denied is not answered: nobody waits for it.
	for _, subject := range []string{"$JS.API.STREAM.CREATE." + slice.StreamName(), "$JS.API.STREAM.UPDATE." + EventsStream} {
		defer s.Denials.Await(subject, func(error) { cancel() })()
	}
	if err := s.Make(ctx, slice); err != nil {
		return As(run.ErrUnavailable, fmt.Errorf("make stream %s for runs %s to %s: %w", slice.StreamName(), slice.First, slice.End-1, s.Denials.Explain(begun, Explain(err))))
	}
	return nil
}

// passed is how many messages that pass over run numbers may wait for their acknowledgement at once.
const passed = 500

// pass moves the number of the next run on to end at least.
func (s *Store) pass(ctx context.Context, end run.Number) error {
	s.Log.Error().Stringer("next_run", end).Msg("the slice of the next runs was removed: their numbers are passed over")
	js, err := jetstream.New(s.NC, jetstream.WithPublishAsyncMaxPending(passed))
	if err != nil {
		return err
	}
	for {
		next, err := s.Next(ctx)
		if err != nil || next >= end {
			return Explain(errors.Join(err, s.Runs.Purge(ctx, jetstream.WithPurgeSubject(SkippedRequests), jetstream.WithPurgeKeep(1))))
		}
		for range min(end-next, passed) {
			if _, err := js.PublishAsync(SkippedRequests, nil); err != nil {
				return Explain(err)
			}
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-ctx.Done():
			return Explain(ctx.Err())
		}
	}
}
