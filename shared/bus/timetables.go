package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Any number of processes start the runs of schedules, and each time makes one run. How far a task's times are dealt
// with is one record, its timetable, which is only ever written in the place of the one that was read. Before a run is
// started the timetable says so, with the place where RUNS ended then. Whoever finds it so, because that process has
// died or stands still, looks behind that place for the request of the time. It is stored on the condition that the
// task's last request is still one at or before which nothing was found: so however long a process stands still between
// any two steps, there is no second run. The server's own memory of message ids, which is two minutes long, is not
// needed for that.

// Timed is a task's timetable as it is stored. Revision is 0 if there is none.
type Timed struct {
	run.Timetable
	Revision uint64
}

// Timetables are those of all tasks, as a process sees them. They are safe for concurrent use. A nil Timetables has
// none.
type Timetables struct {
	store *jet.Store
	tasks *records[task.ID, Timed]
}

// Timetables returns a view of the timetables, which is empty until Load or Follow.
func (u *Unheld) Timetables() *Timetables {
	return &Timetables{u.store, newRecords(u.store, jet.Timetables, 0, u.store.Timed.Next, readTimed)}
}

func readTimed(record jet.Record) (id task.ID, timed Timed, is bool, err error) {
	id, ok := jet.TaskOfTimetable(record.Subject)
	if !ok {
		return id, timed, false, errors.New("the key of a task's timetable is the task's id")
	}
	timed.Revision = record.Sequence
	timed.Timetable, err = run.DecodeTimetable(record.Data)
	return id, timed, err == nil, err
}

// Load reads all timetables. It is for before Follow.
func (v *Timetables) Load(ctx context.Context) error { return v.tasks.load(ctx) }

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Timetables) Follow(ctx context.Context) { v.tasks.follow(ctx) }

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Timetables) Changed() <-chan struct{} { return v.tasks.next() }

// Of returns the timetable of a task; Revision is 0 if there is none.
func (v *Timetables) Of(id task.ID) Timed {
	if v == nil {
		return Timed{}
	}
	timed, _ := v.tasks.of(id)
	return timed
}

// Read returns the timetable of a task as the leader has it. One that cannot be read gives its place.
func (v *Timetables) Read(ctx context.Context, id task.ID) (Timed, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	stored, err := v.store.Control.LeaderLast(ctx, jet.TimetableSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return Timed{}, v.store.Control.Vouch(ctx)
	}
	if err != nil {
		return Timed{}, err
	}
	_, timed, _, err := readTimed(stored)
	if err != nil {
		v.store.Control.PassOver(stored, err)
		timed = Timed{Revision: stored.Sequence}
	}
	return timed, nil
}

// Write stores a timetable in the place of the one with a revision, 0 for none. ErrChanged means that there is another
// one by now.
func (v *Timetables) Write(ctx context.Context, id task.ID, t run.Timetable, inPlaceOf uint64) (Timed, error) {
	revision, err := writeRecord(ctx, v.store, "the timetable of a task", jet.TimetableSubject(id), t.Encode, inPlaceOf)
	if err != nil {
		return Timed{}, err
	}
	timed := Timed{t, revision}
	v.tasks.set(id, timed, true)
	return timed, nil
}

// End is a number that runs have reached, at most a second ago.
func (r *Runs) End(ctx context.Context) (run.Number, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	sequence, err := r.end(ctx)
	return r.store.Numbers.Of(sequence), err
}

// errMoved: what was read of RUNS did not fit together, because it was being changed.
var errMoved = fmt.Errorf("%w: the requests of a task were changed while they were read", run.ErrUnavailable)

// SubmitScheduled makes the run durable that an entry of a task's schedule has due at request.ScheduledFor, unless there
// is one behind a number, which it returns, Replayed. isNew says that nobody could have started it before this process
// has asked where runs end. Errors are those of Submit.
func (r *Runs) SubmitScheduled(ctx context.Context, request run.Request, entry int, behind run.Number, isNew bool) (Accepted, error) {
	return r.submitOnce(ctx, request, jet.ScheduledMessage(request.Task, request.ScheduledFor, entry), behind, isNew)
}

// submitOnce makes a run durable, unless there is one behind a number whose request's message has the same name: see
// SubmitScheduled.
func (r *Runs) submitOnce(ctx context.Context, request run.Request, name string, behind run.Number, isNew bool) (Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	if err := errors.Join(r.store.Writable(), r.store.Room(ctx)); err != nil {
		return Accepted{}, err
	}
	for id := name; ; {
		open, seen, last, err := r.before(ctx, request)
		if err != nil {
			return Accepted{}, err
		}
		found, err := r.named(ctx, request.Task, name, behind, last, isNew)
		if !errors.Is(err, jet.ErrMissing) {
			return found, err
		}
		if r.looked != nil {
			r.looked()
		}
		attempt := request
		switch {
		case open > 0 && request.Overlap == task.RejectOverlap:
			return Accepted{}, &OpenRuns{Runs: []run.Number{open}}
		case open > 0:
			attempt.SkippedFor, attempt.AloneUpTo, attempt.RetryAfter = open, seen, skippedAgain
		}
		stored, err := r.storeNext(ctx, attempt, id, last)
		switch {
		case jet.Refused(err) && ctx.Err() == nil: // another request of the task came
			continue
		case err != nil:
			return Accepted{}, err
		case !stored.Duplicate:
			return Accepted{Number: r.store.Numbers.Of(stored.Sequence), Request: attempt}, nil
		}
		n := r.store.Numbers.Of(stored.Sequence)
		original, err := r.original(ctx, n)
		switch {
		case errors.Is(err, jet.ErrMissing): // it was erased since
			return Accepted{Number: n, Request: request, Replayed: true}, nil
		case !errors.Is(err, errForeign):
			return original, err
		}
		id = again + id
	}
}

// before is what the next request of a task depends on: the sequence of its last one, 0 if there is none; and, if the
// task's overlap lets in one run alone, what openRun says.
func (r *Runs) before(ctx context.Context, request run.Request) (open, seen run.Number, last uint64, err error) {
	if request.Overlap.Alone() {
		return r.openRun(ctx, request.Task)
	}
	stored, err := r.store.Runs.LeaderLast(ctx, jet.RequestSubject(request.Task))
	if errors.Is(err, jet.ErrMissing) {
		return 0, 0, 0, nil
	}
	return 0, 0, stored.Sequence, err
}

// storeNext stores a request if the task's last one has a sequence, 0 for none.
func (r *Runs) storeNext(ctx context.Context, request run.Request, id string, last uint64) (jet.Receipt, error) {
	msg, err := requestMessage(&request, id)
	if err != nil {
		return jet.Receipt{}, err
	}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	stored, err := r.publish(ctx, jet.Entry{Msg: msg, Fence: msg.Subject})
	switch {
	case err != nil || stored.Duplicate:
	case request.Overlap.Alone() && request.SkippedFor == 0:
		n := r.store.Numbers.Of(stored.Sequence)
		r.places.of(request.Task).note(n, n)
	case request.Overlap.Alone(), request.Overlap.Supersedes():
		r.store.Overlapped.Ring()
	}
	return stored, err
}

// named returns the run behind a number whose request's message has an id. jet.ErrMissing means that there is none
// up to the task's last request.
func (r *Runs) named(ctx context.Context, id task.ID, message string, behind run.Number, last uint64, isNew bool) (Accepted, error) {
	from := r.store.Numbers.Upto(behind)
	for reached := from; reached < last; {
		stored, err := r.store.Runs.LeaderFollowing(ctx, jet.RequestSubject(id), reached+1)
		if errors.Is(err, jet.ErrMissing) { // by another server than the one that has told the last one
			return Accepted{}, errMoved
		}
		if err != nil {
			return Accepted{}, err
		}
		reached = stored.Sequence
		if !hasID(stored, message) {
			continue
		}
		if found, err := r.replay(stored, r.store.Numbers.Of(reached)); err == nil {
			return found, nil
		}
	}
	if isNew {
		return Accepted{}, jet.ErrMissing
	}
	// It may have left RUNS, because its run has ended.
	info, err := r.store.Runs.Info(ctx)
	if err != nil {
		return Accepted{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	found, err := Accepted{}, jet.ErrMissing
	failed := r.store.Requests(ctx, from+1, info.State.FirstSeq, []task.ID{id}, func(request jet.Record) error {
		if !hasID(request, message) {
			return nil
		}
		if found, err = r.original(ctx, r.store.Numbers.Of(request.Sequence)); errors.Is(err, errForeign) {
			err = jet.ErrMissing
			return nil
		}
		return jet.ErrEnough
	})
	if failed != nil {
		return Accepted{}, failed
	}
	return found, err
}

// hasID reports whether the message of a request has an id.
func hasID(request jet.Record, id string) bool {
	sent := request.Header.Get(jetstream.MsgIDHeader)
	for strings.HasPrefix(sent, again) {
		sent = sent[len(again):]
	}
	return sent == id
}
