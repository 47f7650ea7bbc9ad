package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The failed runs of a task are counted from the events, of which there is one for each run that has ended. How far
// they are counted stands beside the count, in one record, so that each counts once, whoever dies in between and
// however many processes count.

// Failures counts the failed runs of a task. It is for one goroutine; several processes may count.
type Failures struct {
	store *jet.Store
	task  task.ID
	// health is as this process has counted, and stored up to which event that is stored, at a revision.
	health   run.Health
	stored   uint64
	revision uint64
	read     bool
}

var errNotFinal = errors.New("it is not the final document of a run of its task")

// countedLate is how many events that change nothing may be counted again after a restart.
const countedLate = 256

// Failures returns a counter of a task's failed runs.
func (u *Unheld) Failures(id task.ID) *Failures { return &Failures{store: u.store, task: id} }

// Events is the sequence of the last event, as the leader has it: while it stays, no run has ended.
func (u *Unheld) Events(ctx context.Context) (uint64, error) { return lastEvent(ctx, u.store) }

func lastEvent(ctx context.Context, s *jet.Store) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := s.Events.Info(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	return info.State.LastSeq, nil
}

// Count counts the runs that have ended, up to an event that there is, and holds the task when most of them in a row
// have failed. held is the hold that this call has made, nil for none.
func (f *Failures) Count(ctx context.Context, upTo uint64, most int) (held *run.Hold, err error) {
	if f.health.Held != nil { // somebody may have let the task go
		f.read = false
	}
	if f.health.Counted > upTo { // the events were made anew, as after a restore
		f.health.Counted = upTo
	}
	for {
		if !f.read {
			if err := f.load(ctx, upTo); err != nil {
				return nil, err
			}
			if err := f.tell(ctx); err != nil { // who has held it may have died before that
				return nil, err
			}
		}
		event, err := f.store.Events.LeaderFollowing(ctx, jet.EventSubject(f.task), f.health.Counted+1)
		if errors.Is(err, jet.ErrMissing) {
			return nil, f.noteProgress(ctx)
		}
		if err != nil {
			return nil, err
		}
		next, changed := f.health, false
		if doc, err := run.DecodeDocument(event.Data); err != nil || doc.ExecuteID != f.task || doc.Outcome() == "" {
			f.store.Events.PassOver(event, cmp.Or(err, errNotFinal))
		} else {
			next, changed = next.With(doc, most, time.Now().UTC())
		}
		next.Counted = event.Sequence
		if !changed {
			f.health = next
			continue
		}
		written, err := f.write(ctx, next)
		if err != nil {
			return nil, err
		}
		if written && next.Held != nil {
			return next.Held, f.tell(ctx)
		}
	}
}

// tell stores the event of a hold, and that it is stored: it may be there twice, and is there once at least.
func (f *Failures) tell(ctx context.Context) error {
	held := f.health.Held
	if held == nil || held.Told {
		return nil
	}
	data, err := json.Marshal(held.Event(f.task))
	if err == nil {
		err = f.store.Writable()
	}
	if err != nil {
		return fmt.Errorf("tell that a task is held: %w", err)
	}
	header := nats.Header{}
	header.Set("ce-specversion", "1.0")
	header.Set("ce-id", fmt.Sprintf("%s.held.%s", f.task, held.Run))
	header.Set("ce-source", "/"+f.store.ID+"/task/"+string(f.task))
	header.Set("ce-type", "runhook.task.held")
	header.Set("ce-subject", held.Run.String())
	header.Set("ce-time", held.On.UTC().Format(time.RFC3339Nano))
	header.Set("content-type", "application/json")
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	if _, err := f.store.JS.PublishMsg(limited, &nats.Msg{Subject: jet.HeldSubject(f.task), Data: data, Header: header}); err != nil {
		return f.store.Denials.Explain(begun, jet.Explain(err))
	}
	told := f.health
	told.Held = new(*held)
	told.Held.Told = true
	_, err = f.write(ctx, told)
	return err
}

// load reads what is counted. A task of which nothing is counted yet begins with the events to come.
func (f *Failures) load(ctx context.Context, upTo uint64) error {
	health, revision, err := readHealth(ctx, f.store, f.task)
	if err != nil {
		return err
	}
	f.health, f.stored, f.revision, f.read = health, health.Counted, revision, true
	if last, err := lastEvent(ctx, f.store); err == nil && health.Counted > last {
		f.health.Counted = last
	}
	if revision == 0 {
		_, err = f.write(ctx, run.Health{Counted: upTo})
	}
	return err
}

// write stores what is counted. It is not written if another process was faster: then all of it is read again.
func (f *Failures) write(ctx context.Context, next run.Health) (written bool, err error) {
	revision, err := writeHealth(ctx, f.store, f.task, next, f.revision)
	if jet.Refused(err) {
		f.read = false
		return false, nil
	}
	if err != nil {
		f.read = false // it may have been stored
		return false, err
	}
	f.health, f.stored, f.revision = next, next.Counted, revision
	return true, nil
}

// noteProgress stores how far it is counted, once in a while.
func (f *Failures) noteProgress(ctx context.Context) error {
	if f.health.Counted < f.stored+countedLate {
		return nil
	}
	_, err := f.write(ctx, f.health)
	return err
}

// readHealth is what the leader has of a task's health; revision is 0 where there is none. What cannot be read gives
// its place.
func readHealth(ctx context.Context, s *jet.Store, id task.ID) (health run.Health, revision uint64, err error) {
	stored, err := s.Control.LeaderLast(ctx, jet.HealthSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return run.Health{}, 0, nil
	}
	if err != nil {
		return run.Health{}, 0, err
	}
	if health, err = run.DecodeHealth(stored.Data); err != nil {
		s.Control.PassOver(stored, err)
		if health.Counted, err = lastEvent(ctx, s); err != nil {
			return run.Health{}, 0, err
		}
	}
	return health, stored.Sequence, nil
}

func writeHealth(ctx context.Context, s *jet.Store, id task.ID, health run.Health, revision uint64) (uint64, error) {
	data, err := health.Encode()
	if err == nil {
		err = s.Writable()
	}
	if err != nil {
		return 0, fmt.Errorf("store the health of a task: %w", err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	ack, err := s.JS.Publish(ctx, jet.HealthSubject(id), data, jetstream.WithExpectLastSequencePerSubject(revision))
	if err != nil {
		return 0, s.Denials.Explain(begun, jet.Explain(err))
	}
	s.Held.Ring()
	return ack.Sequence, nil
}

// beginHealth has the failures of a task counted from the events to come, unless they are counted already.
func (s *Tasks) beginHealth(ctx context.Context, id task.ID) error {
	_, revision, err := readHealth(ctx, s.store, id)
	if err != nil || revision > 0 {
		return err
	}
	last, err := lastEvent(ctx, s.store)
	if err == nil {
		_, err = writeHealth(ctx, s.store, id, run.Health{Counted: last}, 0)
	}
	if jet.Refused(err) {
		err = nil
	}
	return err
}

// Release lets a held task go: its failures are counted from the events to come. It returns why the task was held, nil
// if it was not.
func (s *Tasks) Release(ctx context.Context, id task.ID) (was *run.Hold, err error) {
	for {
		health, revision, err := readHealth(ctx, s.store, id)
		if err != nil || health.Held == nil {
			return nil, err
		}
		last, err := lastEvent(ctx, s.store)
		if err == nil {
			_, err = writeHealth(ctx, s.store, id, run.Health{Counted: last}, revision)
		}
		if !jet.Refused(err) {
			return health.Held, err
		}
	}
}

// dropHealth removes the health of a task that is deleted.
func (s *Tasks) dropHealth(ctx context.Context, id task.ID) { s.drop(ctx, jet.HealthSubject(id)) }

// Holds are the tasks that are held, as a process sees them. They are safe for concurrent use. A nil Holds has none.
type Holds struct{ tasks *records[task.ID, run.Hold] }

// Holds returns a view of the tasks that are held, which is empty until Load or Follow.
func (s *Tasks) Holds() *Holds {
	return &Holds{newRecords(s.store, jet.Healths, 0, s.store.Held.Next, func(record jet.Record) (id task.ID, held run.Hold, is bool, err error) {
		id, ok := jet.TaskOfHealth(record.Subject)
		if !ok {
			return id, held, false, errors.New("the key of a task's health is the task's id")
		}
		health, err := run.DecodeHealth(record.Data)
		if err != nil || health.Held == nil {
			return id, held, false, err
		}
		return id, *health.Held, true, nil
	})}
}

// Load reads which tasks are held. It is for before Follow.
func (v *Holds) Load(ctx context.Context) error { return v.tasks.load(ctx) }

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Holds) Follow(ctx context.Context) { v.tasks.follow(ctx) }

// Of returns why a task is held; ok is false if it is not.
func (v *Holds) Of(id task.ID) (held run.Hold, ok bool) {
	if v == nil {
		return run.Hold{}, false
	}
	return v.tasks.of(id)
}

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Holds) Changed() <-chan struct{} { return v.tasks.next() }
