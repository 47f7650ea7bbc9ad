package bus

import (
	"cmp"
	"context"
	"encoding/json"
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

// A run that is to start at a time has its request in RUNS at once, like any other, and so its number. The first runner
// that is handed the request writes an alarm into the control bucket and acknowledges: from then on the run is in no
// queue, and takes no place there. When the time has come, any status service puts it back with a call, a message among
// the requests of the task that names the run. Two calls of one run start it once, as two deliveries of one request do:
// the claim decides.
//
// Before a call is stored the alarm says where RUNS ended then, so that whoever finds the alarm so, because that process
// has died or stands still, finds the call. It is removed once it was acknowledged: while many are left among the
// requests of a slice, that is not sealed.

// Alarm is a run that waits for its time, or has waited for it: it stays until its call was acknowledged.
type Alarm struct {
	Task   task.ID
	Number run.Number
	// RunAt is the time.
	RunAt time.Time

	state    alarmState
	revision uint64
	// foreign: another program's message has its place. RunAt is the zero time then, so that it is seen to at once.
	foreign bool
}

// alarmState is what is stored.
type alarmState struct {
	RunAt time.Time
	// Behind is where RUNS ended before the call was stored, 0 before the time has come; and Call is the call, 0 while it
	// is not known to be stored. Both are sequences of RUNS.
	Behind uint64 `json:",omitempty"`
	Call   uint64 `json:",omitempty"`
}

// SameAs reports whether nothing was written to the alarm since the other one was read.
func (a Alarm) SameAs(other Alarm) bool { return a.revision == other.revision }

// IsCalled reports whether the run was put into its task's queue.
func (a Alarm) IsCalled() bool { return a.state.Call > 0 }

// IsBegun reports whether a process is about to do so, or was.
func (a Alarm) IsBegun() bool { return a.state.Behind > 0 && a.state.Call == 0 }

// IsPlain reports whether the run that was delivered was never to wait for a time: nothing is to be done but to start it.
func (d *Delivery) IsPlain() bool { return !d.called && d.Request.RunAt.IsZero() }

// WaitsForTime reports whether the run that was delivered is to start later, by its call: it is for SetAside.
func (d *Delivery) WaitsForTime() bool { return !d.called && !d.Request.RunAt.IsZero() }

// SetAside writes the alarm of a delivered run. Then the delivery is done.
func (w *Work) SetAside(ctx context.Context, d *Delivery) error {
	ended, err := w.Ended(ctx, d.Task, d.Number)
	if err != nil || ended {
		return err
	}
	return setAside(ctx, w.store, d.Task, d.Number, d.Request.RunAt)
}

// setAside writes the alarm of a run, unless it is there.
func setAside(ctx context.Context, s *jet.Store, id task.ID, n run.Number, at time.Time) error {
	_, err := writeAlarm(ctx, s, Alarm{Task: id, Number: n}, alarmState{RunAt: at.UTC()})
	if errors.Is(err, ErrChanged) {
		return nil
	}
	s.Alarmed.Ring()
	return err
}

// KeepAlarm sees to it that the run of a request that waits for a time, and has not ended, will start, and reports
// whether it will. Without lost, one whose time has passed and that has no alarm is taken to have been started.
func (r *Runs) KeepAlarm(ctx context.Context, request jet.Record, lost bool) (waits bool, err error) {
	id, _ := jet.TaskOfRequest(request.Subject)
	n := r.store.Numbers.Of(request.Sequence)
	at, err := time.Parse(time.RFC3339Nano, request.Header.Get(jet.HeaderRunAt))
	if err != nil { // of another program
		return false, nil
	}
	stored, err := r.store.Control.LeaderLast(ctx, jet.AlarmSubject(id, n))
	if err == nil {
		_, a, is, err := readAlarm(stored)
		return err == nil && is && !a.IsCalled(), nil
	}
	switch {
	case !errors.Is(err, jet.ErrMissing):
		return false, err
	case !lost && at.Before(time.Now()):
		return false, nil
	}
	return true, setAside(ctx, r.store, id, n, at)
}

// writeAlarm writes the state of an alarm in the place of the one that was read.
func writeAlarm(ctx context.Context, s *jet.Store, a Alarm, state alarmState) (Alarm, error) {
	encode := func() ([]byte, error) { return json.Marshal(state) }
	revision, err := writeRecord(ctx, s, "the alarm of run "+a.Number.String(), jet.AlarmSubject(a.Task, a.Number), encode, a.revision)
	if err != nil {
		return a, err
	}
	a.RunAt, a.state, a.revision = state.RunAt, state, revision
	return a, nil
}

func readAlarm(record jet.Record) (key runKey, a Alarm, is bool, err error) {
	id, n, ok := jet.AlarmRun(record.Subject)
	if !ok {
		return key, a, false, errors.New("the key of an alarm is that of a run")
	}
	a = Alarm{Task: id, Number: n, revision: record.Sequence}
	if err := json.Unmarshal(record.Data, &a.state); err != nil || a.state.RunAt.IsZero() {
		a.state, a.foreign = alarmState{}, true
	}
	a.RunAt = a.state.RunAt
	return runKey{id, n}, a, true, nil
}

// alarms are the runs of some tasks that wait for their time, or have waited for it, by their numbers.
func alarms(ctx context.Context, s *jet.Store, ids ...task.ID) (all []Alarm, err error) {
	subjects := []string{jet.Alarms}
	if len(ids) <= mostFilters {
		subjects = nil
		for _, id := range ids {
			subjects = append(subjects, jet.AlarmsOf(id))
		}
	}
	for _, subject := range subjects {
		_, err := s.Control.After(ctx, subject, 0, func(record jet.Record) {
			_, a, is, err := readAlarm(record)
			switch {
			case err != nil:
				s.Control.PassOver(record, err)
			case is && slices.Contains(ids, a.Task):
				all = append(all, a)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%w: list the runs that wait for their time: %w", run.ErrUnavailable, err)
		}
	}
	slices.SortFunc(all, func(a, b Alarm) int { return cmp.Compare(a.Number, b.Number) })
	return all, nil
}

// Alarms are the runs that wait for their time, as a process sees them. They are safe for concurrent use.
type Alarms struct {
	runs   *Runs
	unheld *Unheld
	runsBy *records[runKey, Alarm]
	// there are the alarms, with their revisions, whose calls this process has seen in RUNS.
	there map[runKey]uint64
}

// Alarms returns a view of the runs that wait for their time, which is empty until Follow.
func (r *Runs) Alarms() *Alarms {
	return &Alarms{r, &Unheld{claims: claims{r.store}}, newRecords(r.store, jet.Alarms, 0, r.store.Alarmed.Next, readAlarm), map[runKey]uint64{}}
}

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Alarms) Follow(ctx context.Context) { v.runsBy.follow(ctx) }

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *Alarms) Changed() <-chan struct{} { return v.runsBy.next() }

// All are the runs, in no order.
func (v *Alarms) All() (all []Alarm) {
	v.runsBy.mu.RLock()
	defer v.runsBy.mu.RUnlock()
	all = make([]Alarm, 0, len(v.runsBy.all))
	for _, a := range v.runsBy.all {
		all = append(all, a)
	}
	return all
}

// read returns an alarm as the leader has it; ok is false if it is gone.
func (v *Alarms) read(ctx context.Context, a Alarm) (now Alarm, ok bool, err error) {
	stored, err := v.runs.store.Control.LeaderLast(ctx, jet.AlarmSubject(a.Task, a.Number))
	if errors.Is(err, jet.ErrMissing) {
		return a, false, v.runs.store.Control.Vouch(ctx)
	}
	if err == nil {
		_, now, ok, err = readAlarm(stored)
	}
	return now, ok, err
}

// Call puts a run whose time has come into the queue of its task, once: whatever it was that another process has begun
// is finished. If the task's overlap lets in one run alone, and another one has not ended, the run ends instead, with
// the document. ErrChanged means that another process is at it.
func (v *Alarms) Call(ctx context.Context, a Alarm) (doc *run.Document, err error) {
	s := v.runs.store
	now, ok, err := v.read(ctx, a)
	if err == nil && ok && now.revision != a.revision {
		v.note(now)
		return nil, ErrChanged
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		v.forget(a)
		return nil, nil
	}
	request, err := v.runs.Request(ctx, a.Task, a.Number)
	ended := errors.Is(err, run.ErrNoRun) || errors.Is(err, run.ErrRunGone)
	if err != nil && !ended {
		return nil, err
	}
	if !ended {
		if ended, err = s.Ended(ctx, a.Task, a.Number); err != nil {
			return nil, err
		}
	}
	switch {
	case !ended && request.RunAt.IsZero(): // it never waited, and its alarm is another program's
		return nil, v.drop(ctx, a)
	case !ended && a.foreign:
		s.Log.Warn().Stringer("run", a.Number).Msg("another program has written in the place of a run's alarm; it is written again")
		if a, err = writeAlarm(ctx, s, a, alarmState{RunAt: request.RunAt}); err == nil {
			a.foreign = false
			v.note(a)
			err = ErrChanged // its time may be to come
		}
		return nil, err
	}
	isNew := a.state.Behind == 0
	if ended && isNew {
		return nil, v.drop(ctx, a)
	}
	if err := errors.Join(s.Writable(), s.Room(ctx)); err != nil {
		return nil, err
	}
	if isNew {
		state := a.state
		if state.Behind, err = v.runs.end(ctx); err != nil {
			return nil, err
		}
		state.Behind = max(state.Behind, 1)
		if a, err = writeAlarm(ctx, s, a, state); err != nil {
			return nil, err
		}
		v.note(a)
	} else {
		found, err := v.findCall(ctx, a)
		if err != nil {
			return nil, err
		}
		if found > 0 {
			return nil, v.called(ctx, a, found)
		}
		if ended {
			return nil, v.drop(ctx, a)
		}
	}
	if v.runs.looked != nil {
		v.runs.looked()
	}
	for {
		sequence, open, err := v.call(ctx, a, request)
		switch {
		case jet.Refused(err) && ctx.Err() == nil: // another request of the task came
			continue
		case err != nil:
			return nil, err
		case open == 0:
			return nil, v.called(ctx, a, sequence)
		}
		left := run.LeftOutDocument(request, a.Number, open, time.Now())
		if err := v.unheld.EndUnclaimed(ctx, a.Task, a.Number, left); err == nil {
			doc = &left
		} else if !errors.Is(err, ErrClaimed) || errors.Is(err, ErrUnsure) {
			return nil, err
		}
		return doc, v.drop(ctx, a)
	}
}

// call stores the call of a run. open is a run of its task that had not ended, for which there is no call; else 0.
func (v *Alarms) call(ctx context.Context, a Alarm, request run.Request) (sequence uint64, open run.Number, err error) {
	msg := &nats.Msg{Subject: jet.RequestSubject(a.Task), Header: nats.Header{
		jetstream.MsgIDHeader: {jet.CallMessage(a.Task, a.Number)}, jet.HeaderCall: {a.Number.String()},
	}}
	entry := jet.Entry{Msg: msg}
	if request.Overlap.Alone() {
		var last uint64
		if open, _, last, err = v.runs.openRun(ctx, a.Task); err != nil || open > 0 && open != a.Number {
			return 0, open, err
		}
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
		entry.Fence = msg.Subject
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	stored, err := v.runs.publish(ctx, entry)
	if err != nil {
		return 0, 0, err
	}
	if request.Overlap.Supersedes() {
		v.runs.store.Overlapped.Ring()
	}
	return stored.Sequence, 0, nil
}

// called notes that a call is stored.
func (v *Alarms) called(ctx context.Context, a Alarm, sequence uint64) error {
	state := a.state
	state.Call = sequence
	a, err := writeAlarm(ctx, v.runs.store, a, state)
	if err == nil {
		v.note(a)
	}
	return err
}

// findCall returns the sequence of a call that may be in RUNS, 0 for none.
func (v *Alarms) findCall(ctx context.Context, a Alarm) (sequence uint64, err error) {
	err = v.runs.store.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.RequestSubject(a.Task)}, HeadersOnly: true, From: a.state.Behind}, func(request jet.Record) error {
		if n, ok := jet.Called(request.Header); !ok || n != a.Number {
			return nil
		}
		sequence = request.Sequence
		return jet.ErrEnough
	})
	return sequence, jet.Explain(err)
}

// Settle sees to the alarms of one task whose runs were called: when the call was acknowledged it goes, with the alarm.
// One whose call is not there, because the store was restored, is called again. It is for one goroutine.
func (v *Alarms) Settle(ctx context.Context, id task.ID, all []Alarm) error {
	info, err := queueOf(ctx, v.runs.store, id)
	if err != nil {
		return err
	}
	for _, a := range all {
		acknowledged := info == nil || a.state.Call <= info.AckFloor.Stream
		if key := (runKey{a.Task, a.Number}); acknowledged || v.there[key] != a.revision {
			if err := v.settle(ctx, a, acknowledged); err != nil {
				return err
			}
			if acknowledged {
				delete(v.there, key)
			} else {
				v.there[key] = a.revision
			}
		}
	}
	return nil
}

func (v *Alarms) settle(ctx context.Context, a Alarm, acknowledged bool) error {
	now, ok, err := v.read(ctx, a)
	switch {
	case err != nil:
		return err
	case !ok:
		v.forget(a)
		return nil
	case now.revision != a.revision:
		v.note(now)
		return nil
	}
	// What else has its place is another request.
	stored, err := v.runs.store.Runs.LeaderAt(ctx, a.state.Call)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return err
	}
	n, called := jet.Called(stored.Header)
	isThere := err == nil && called && n == a.Number && stored.Subject == jet.RequestSubject(a.Task)
	if isThere && !acknowledged {
		return nil
	}
	ended, err := v.runs.store.Ended(ctx, a.Task, a.Number)
	if err != nil {
		return err
	}
	if isThere {
		if _, err := v.runs.store.Runs.Erase(ctx, a.state.Call, false); err != nil {
			return err
		}
	}
	if ended {
		return v.drop(ctx, a)
	}
	again, err := writeAlarm(ctx, v.runs.store, a, alarmState{RunAt: a.RunAt})
	if err == nil {
		v.note(again)
	}
	return err
}

// note takes an alarm into the view that was written or read.
func (v *Alarms) note(a Alarm) { v.runsBy.set(runKey{a.Task, a.Number}, a, true) }

// forget takes an alarm out of the view that is gone.
func (v *Alarms) forget(a Alarm) {
	v.runsBy.set(runKey{a.Task, a.Number}, a, false)
}

// drop removes an alarm.
func (v *Alarms) drop(ctx context.Context, a Alarm) error {
	_, err := v.runs.store.Control.Erase(ctx, a.revision, false)
	if err == nil {
		v.forget(a)
	}
	return err
}

// dropAlarm removes the alarm of a run that was canceled. Where that fails it stays until its time.
func dropAlarm(ctx context.Context, s *jet.Store, id task.ID, n run.Number) {
	if _, err := s.Control.EraseSubject(ctx, jet.AlarmSubject(id, n), false); err != nil {
		s.Log.Debug().Err(err).Stringer("run", n).Msg("the alarm of a run that was canceled stays for now")
	}
}

// Recall returns the request of a delivered run, and reads that of one which has waited for its time. run.ErrNoRun and
// run.ErrRunGone are those of [Runs.Request]: there is nothing to start.
func (w *Work) Recall(ctx context.Context, d *Delivery) (run.Request, error) {
	if !d.called || d.Request.Definition != "" {
		return d.Request, nil
	}
	return (&Runs{store: w.store}).Request(ctx, d.Task, d.Number)
}
