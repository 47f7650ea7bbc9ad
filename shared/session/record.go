package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"runhook/shared/wait"
)

const (
	// mostLinks is how many links may be open that nobody has used, and mostLinksOf how many of one token, so that
	// nobody takes the room of the others.
	mostLinks   = 100
	mostLinksOf = 20
	// mostEnded is how many sessions may stand in the record that were signed out. Beyond it, all are. mostEndedOf is
	// how many of one name: beyond it, all of the name are, and nobody else's.
	mostEnded   = 1000
	mostEndedOf = 100
	// margin is for the clocks of status services.
	margin = time.Hour
	// mostWait bounds a change of the record.
	mostWait = 5 * time.Second
)

// ErrChanged is the error of Store.Write where the record was replaced since it was read.
var ErrChanged = errors.New("the record was changed at the same time")

// Store keeps the record, for all status services.
type Store interface {
	// Read returns the record as it was written last; its Revision is 0 if there is none.
	Read(ctx context.Context) (Stored, error)
	// Write puts a record in the place of that with a revision, 0 for none. The error is ErrChanged if that is not
	// the last one.
	Write(ctx context.Context, data []byte, inPlaceOf uint64) error
	// PassOver says in the log, once, that the record is none of ours.
	PassOver(stored Stored, why error)
}

// Stored is a record as the store has it.
type Stored struct {
	Data     []byte
	Revision uint64
	// Time is when it was written.
	Time time.Time
}

// state is what the record says.
type state struct {
	// Links are those that nobody has used.
	Links []link `json:",omitempty"`
	// Ended are the sessions that were signed out, until their time would have been over.
	Ended []ended `json:",omitempty"`
	// Since is the generation of the sessions that hold, by the operators' names; those of before were ended together.
	// It only grows, so no clock of another machine matters.
	Since map[string]generation `json:",omitempty"`
	// Everyone is likewise that of all sessions.
	Everyone uint64 `json:",omitempty"`
}

type link struct {
	// Hash is that of the code, and Signature the MAC of it and of Until with the key of the operator.
	Hash, Signature []byte
	Until           time.Time
}

type ended struct {
	Session []byte
	Until   time.Time
	// Name is that of the operator; a record from before has none.
	Name string `json:",omitempty"`
}

// generation is over when no session of before can be there any more.
type generation struct {
	From  uint64
	Until time.Time
}

// generation is from which on sessions of an operator's name hold.
func (s state) generation(name string) uint64 { return max(s.Everyone, s.Since[name].From) }

// next is a generation that none has had.
func (s state) next(now time.Time) uint64 {
	next := max(uint64(max(0, now.UnixMilli())), s.Everyone+1)
	for _, since := range s.Since {
		next = max(next, since.From+1)
	}
	return next
}

func (s state) hasEnded(id [idBytes]byte) bool {
	return slices.ContainsFunc(s.Ended, func(e ended) bool { return bytes.Equal(e.Session, id[:]) })
}

// endAll ends every session of a name that has begun.
func (s *state) endAll(name string, now time.Time) {
	if s.Since == nil {
		s.Since = map[string]generation{}
	}
	s.Since[name] = generation{From: s.next(now), Until: now.Add(Longest + margin).UTC()}
	s.Ended = slices.DeleteFunc(s.Ended, func(e ended) bool { return e.Name == name }) // of sessions of before
}

// sound returns what is wrong with a record that none of ours can be.
func (s state) sound(now time.Time) error {
	latest := uint64(max(0, now.Add(Longest).UnixMilli()))
	for _, since := range s.Since {
		if since.From > latest {
			return errors.New("a generation of sessions is of the future")
		}
	}
	switch {
	case s.Everyone > latest:
		return errors.New("a generation of sessions is of the future")
	case len(s.Links) > mostLinks || len(s.Ended) > mostEnded:
		return errors.New("the record of sessions has more than it may")
	}
	return nil
}

// clean takes out what is over.
func (s *state) clean(now time.Time) {
	s.Links = slices.DeleteFunc(s.Links, func(l link) bool { return !now.Before(l.Until) })
	s.Ended = slices.DeleteFunc(s.Ended, func(e ended) bool { return !now.Before(e.Until) })
	maps.DeleteFunc(s.Since, func(_ string, g generation) bool { return !now.Before(g.Until) })
}

// record reads and changes the record.
type record struct {
	store Store
	now   func() time.Time // a test's, in tests

	mu sync.Mutex
	// last is what was read last, with its revision; known: it was read.
	last     state
	revision uint64
	known    bool
}

// read reads the record. One that cannot be read ends every session that was begun before it was written, because it
// does not say which were signed out.
func (r *record) read(ctx context.Context) (now state, revision uint64, err error) {
	stored, err := r.store.Read(ctx)
	if err != nil {
		return state{}, 0, err
	}
	if stored.Revision > 0 {
		fault := json.Unmarshal(stored.Data, &now)
		if fault == nil {
			fault = now.sound(r.now())
		}
		if fault != nil {
			r.store.PassOver(stored, fault)
			now = state{Everyone: uint64(max(0, stored.Time.UnixMilli()))}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known || stored.Revision >= r.revision {
		r.last, r.revision, r.known = now, stored.Revision, true
	}
	return now.clone(), stored.Revision, nil
}

// clone is a copy that may be changed.
func (s state) clone() state {
	s.Links, s.Ended, s.Since = slices.Clone(s.Links), slices.Clone(s.Ended), maps.Clone(s.Since)
	return s
}

// look reads the record, or returns what was read last if the store is away.
func (r *record) look(ctx context.Context) (state, error) {
	now, _, err := r.read(ctx)
	if err == nil {
		return now, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		return r.last, nil
	}
	return state{}, err
}

// change changes the record, however many others do so at the same time. The error may be that of with.
func (r *record) change(ctx context.Context, with func(*state) error) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	for {
		changed, revision, err := r.read(ctx)
		if err != nil {
			return state{}, err
		}
		changed.clean(r.now())
		if err := with(&changed); err != nil {
			return state{}, err
		}
		data, err := json.Marshal(changed)
		if err != nil {
			return state{}, err
		}
		if err = r.store.Write(ctx, data, revision); !errors.Is(err, ErrChanged) {
			return changed, err
		}
		if !wait.For(ctx, time.Duration(rand.Int64N(int64(10*time.Millisecond)))) {
			return state{}, err
		}
	}
}
