package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// With an overlap that is Alone a run starts only if every earlier run of its task has ended. That is decided once for
// all processes, in the write that makes the run: its request is stored on the condition that the task's last request
// is still the one that was looked at. What was decided stands in the request, so that the next look needs the last
// request alone. Requests of runs that are skipped are stored as they come: while a run has not ended, nothing but
// those can be behind it. Each says up to which run that was certain, so that whoever finds the run to have ended looks
// at those behind.
//
// With an overlap that supersedes, requests are stored as they come, and their order decides: a run that has not begun
// ends as soon as there is a later one that supersedes it. The status service sees to that, and whoever takes a run
// makes sure of it (Successor).

// places are what the process knows of the tasks whose runs are to be alone.
type places struct {
	mu     sync.Mutex
	byTask map[task.ID]*place
}

// place is what the process has seen of a task last.
type place struct {
	// turn has room for who lets a run in: those of one process would only refuse each other.
	turn chan struct{}
	// looking is held by who looks at the requests that came.
	looking sync.Mutex

	mu sync.Mutex
	// open is a run that had not ended, 0 for none. Up to the run seen no other one was open, 0 if that is not certain;
	// looked is when the requests behind were looked at last.
	open, seen run.Number
	looked     time.Time
}

const (
	// lookAfter is how often the requests that came behind an open run are looked at, at most, and mostLooked how many
	// at once.
	lookAfter  = 50 * time.Millisecond
	mostLooked = 200
)

func (p *places) of(id task.ID) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.byTask[id]
	if found == nil {
		if p.byTask == nil {
			p.byTask = map[task.ID]*place{}
		}
		found = &place{turn: make(chan struct{}, 1)}
		p.byTask[id] = found
	}
	return found
}

func (p *place) note(open, seen run.Number) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.seen, p.looked = open, seen, time.Now()
}

func (p *place) last() (open, seen run.Number) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.seen
}

// isOld reports whether the requests that came are to be looked at.
func (p *place) isOld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen > 0 && time.Since(p.looked) >= lookAfter
}

// requestMessage is the message that makes a run; id is that of the message, empty for none.
func requestMessage(request *run.Request, id string) (*nats.Msg, error) {
	data, err := request.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode a run request: %w", err)
	}
	msg := &nats.Msg{Subject: jet.RequestSubject(request.Task), Data: data, Header: nats.Header{}}
	if id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	if !request.RunAt.IsZero() {
		msg.Header.Set(jet.HeaderRunAt, request.RunAt.UTC().Format(time.RFC3339Nano))
	}
	return msg, nil
}

// enter stores a request as its overlap says; id is that of its message, empty for none. It sets what was decided.
func (r *Runs) enter(ctx context.Context, request *run.Request, id string) (jet.Receipt, error) {
	if request.Overlap.Alone() && request.RunAt.IsZero() {
		return r.enterAlone(ctx, request, id)
	}
	msg, err := requestMessage(request, id)
	if err != nil {
		return jet.Receipt{}, err
	}
	stored, err := r.publish(ctx, jet.Entry{Msg: msg})
	if err == nil && request.Overlap.Supersedes() && request.RunAt.IsZero() {
		r.store.Overlapped.Ring()
	}
	return stored, err
}

// skippedAgain is after how many seconds those who poll a skipped run are asked to do so.
const skippedAgain = 1

// enterAlone stores a request whose run is to be alone, or that is skipped, or returns an [*OpenRuns] with the run that
// has not ended.
func (r *Runs) enterAlone(ctx context.Context, request *run.Request, id string) (jet.Receipt, error) {
	at := r.places.of(request.Task)
	for {
		open, seen, err := r.stillOpen(ctx, at, request)
		switch {
		case err != nil:
			return jet.Receipt{}, err
		case open > 0 && request.Overlap == task.RejectOverlap:
			return jet.Receipt{}, &OpenRuns{Runs: []run.Number{open}}
		case open > 0:
			return r.skip(ctx, request, id, open, seen)
		}
		if stored, entered, err := r.letIn(ctx, at, request, id); entered || err != nil {
			return stored, err
		}
	}
}

// stillOpen returns the run that this process knows as the open one, 0 if it knows none or it has ended, and the run
// up to which there was no other one, 0 if that is not certain.
func (r *Runs) stillOpen(ctx context.Context, at *place, request *run.Request) (open, seen run.Number, err error) {
	if open, seen = at.last(); open == 0 {
		return 0, 0, nil
	}
	looked := request.Overlap == task.SkipOverlap && at.isOld() && at.looking.TryLock()
	if looked {
		defer at.looking.Unlock()
		// Before it is looked whether the run has ended: if not, what is stored by now is skipped.
		if seen, err = r.skippedUpTo(ctx, request.Task, seen); err != nil {
			return 0, 0, err
		}
	}
	ended, err := r.store.Ended(ctx, request.Task, open)
	if ended || err != nil {
		return 0, 0, err
	}
	if now, _ := at.last(); looked && now == open {
		at.note(open, seen)
	}
	return open, seen, nil
}

// skippedUpTo is the last run behind a number, of those that are looked at, up to which all were skipped; 0 if one was
// not.
func (r *Runs) skippedUpTo(ctx context.Context, id task.ID, behind run.Number) (run.Number, error) {
	for range mostLooked {
		next, ok, err := nextRequest(ctx, r.store, id, behind)
		switch {
		case err != nil || !ok:
			return behind, err
		case next.Request.SkippedFor == 0: // of a process that did not know yet that the task has the overlap
			return 0, nil
		}
		behind = next.Place
	}
	return behind, nil
}

// skip stores the request of a run that is never started.
func (r *Runs) skip(ctx context.Context, request *run.Request, id string, open, seen run.Number) (jet.Receipt, error) {
	request.SkippedFor, request.AloneUpTo, request.RetryAfter = open, seen, skippedAgain
	msg, err := requestMessage(request, id)
	if err != nil {
		return jet.Receipt{}, err
	}
	stored, err := r.publish(ctx, jet.Entry{Msg: msg})
	if err == nil {
		r.store.Overlapped.Ring()
	}
	return stored, err
}

// letIn stores the request of a run that is alone. entered is false if another run is open, which the place has then,
// or if another process has stored a request at the same time.
func (r *Runs) letIn(ctx context.Context, at *place, request *run.Request, id string) (stored jet.Receipt, entered bool, err error) {
	known, _ := at.last()
	select {
	case at.turn <- struct{}{}:
		defer func() { <-at.turn }()
	case <-ctx.Done():
		return jet.Receipt{}, false, fmt.Errorf("%w: too many requests of task %s came at once", run.ErrUnavailable, request.Task)
	}
	if now, _ := at.last(); now != known { // who had the turn before has seen more
		return jet.Receipt{}, false, nil
	}
	open, seen, last, err := r.openRun(ctx, request.Task)
	if err != nil {
		return jet.Receipt{}, false, err
	}
	if open > 0 {
		at.note(open, seen)
		return jet.Receipt{}, false, nil
	}
	msg, err := requestMessage(request, id)
	if err != nil {
		return jet.Receipt{}, false, err
	}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	stored, err = r.publish(ctx, jet.Entry{Msg: msg, Fence: msg.Subject})
	switch {
	case err == nil && !stored.Duplicate:
		n := r.store.Numbers.Of(stored.Sequence)
		at.note(n, n)
		return stored, true, nil
	case err == nil:
		return stored, true, nil
	case jet.Refused(err) && ctx.Err() == nil:
		return jet.Receipt{}, false, nil
	}
	return jet.Receipt{}, false, err
}

// openRun returns a run of a task that has not ended, 0 if there is none; the run up to which there is no other one, 0
// if that is not certain; and the sequence of the task's last request, 0 if there is none. The request of the next run
// is to depend on that.
func (r *Runs) openRun(ctx context.Context, id task.ID) (open, seen run.Number, last uint64, err error) {
	stored, err := r.store.Runs.LeaderLast(ctx, jet.RequestSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return 0, 0, 0, nil
	}
	if err != nil {
		return 0, 0, 0, err
	}
	last = stored.Sequence
	if stored.IsAlarm() || stored.IsCall() { // which tell of no other run
		open, err = r.firstOpen(ctx, id, last)
		return open, 0, last, err
	}
	open, alone, err := r.holder(ctx, stored, id)
	if err != nil {
		return 0, 0, 0, err
	}
	if alone {
		seen = r.store.Numbers.Of(last)
	}
	ended, err := r.store.Ended(ctx, id, open)
	switch {
	case err != nil || !ended:
		return open, seen, last, err
	case alone:
		return 0, 0, last, nil
	}
	open, err = r.firstOpen(ctx, id, last)
	return open, 0, last, err
}

// holder is the run that a task's last request tells to be the only one that may be open, if alone; else it is one that
// may be, and there may be others.
func (r *Runs) holder(ctx context.Context, last jet.Record, id task.ID) (n run.Number, alone bool, err error) {
	n = r.store.Numbers.Of(last.Sequence)
	request, err := run.DecodeRequest(last.Data, id)
	switch {
	case err != nil || !request.Overlap.Alone():
		return n, false, nil
	case request.SkippedFor == 0:
		return n, true, nil
	case request.SkippedFor >= n: // of another program
		return n, false, nil
	case request.AloneUpTo < request.SkippedFor: // others may have been open
		return request.SkippedFor, false, nil
	}
	// It was skipped. Another run may have been let in between what its process had seen and its request.
	holder := request.SkippedFor
	for behind := request.AloneUpTo; ; {
		next, ok, err := nextRequest(ctx, r.store, id, behind)
		if err != nil {
			return 0, false, err
		}
		if !ok || next.Place >= n {
			break
		}
		if behind = next.Place; next.Request.SkippedFor == 0 {
			holder = next.Number
		}
	}
	switch of, err := r.Request(ctx, id, holder); {
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
		return holder, false, nil
	case err != nil:
		return 0, false, err
	default:
		return holder, of.Overlap.Alone() && of.SkippedFor == 0, nil
	}
}

// firstOpen is the first run of a task up to a sequence that has not ended and was not skipped, 0 for none.
func (r *Runs) firstOpen(ctx context.Context, id task.ID, last uint64) (run.Number, error) {
	begun := time.Now()
	info, err := queueOf(ctx, r.store, id)
	if err != nil {
		return 0, r.store.Denials.Explain(begun, err)
	}
	from := uint64(1)
	if info != nil {
		from = info.AckFloor.Stream + 1
	}
	for from <= last {
		stored, err := r.store.Runs.LeaderFollowing(ctx, jet.RequestSubject(id), from)
		if errors.Is(err, jet.ErrMissing) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		from = stored.Sequence + 1
		request, err := run.DecodeRequest(stored.Data, id)
		if err == nil && (request.SkippedFor > 0 || !request.RunAt.IsZero()) {
			continue
		}
		n := r.store.Numbers.Of(stored.Sequence)
		if called, ok := jet.Called(stored.Header); ok {
			n = called
		}
		if ended, err := r.store.Ended(ctx, id, n); err != nil || !ended {
			return n, err
		}
	}
	return 0, nil
}

// Successor returns the next run of a delivered one's task that takes its place, unless both are dry runs or neither
// is: a dry run ends no run that writes, nor the other way round. ok is false where there is none.
func (w *Work) Successor(ctx context.Context, d *Delivery) (next Waiting, ok bool, err error) {
	for behind, dry := d.place, d.Request.DryRun; ; {
		if next, ok, err = nextRequest(ctx, w.store, d.Task, behind); err != nil || !ok {
			return Waiting{}, false, err
		}
		behind = next.Place
		if next.Number == d.Number { // it was called twice
			continue
		}
		if next.Request.Overlap.Supersedes() && next.Request.DryRun == dry {
			return next, true, nil
		}
	}
}

// nextRequest is the next run of a task that was put into its queue behind a place, as the leader has it; ok is false
// where there is none.
func nextRequest(ctx context.Context, s *jet.Store, id task.ID, n run.Number) (next Waiting, ok bool, err error) {
	for {
		stored, err := s.Runs.LeaderFollowing(ctx, jet.RequestSubject(id), s.Numbers.Upto(n)+1)
		if errors.Is(err, jet.ErrMissing) {
			return Waiting{}, false, nil
		}
		if err != nil {
			return Waiting{}, false, err
		}
		n = s.Numbers.Of(stored.Sequence)
		if next, ok, err = waitingAt(ctx, s, id, stored); err != nil || ok && !next.waitsForTime() {
			return next, ok, err
		}
	}
}

// EndUnstarted ends a delivered run that was never started. ErrClaimed means that it was, or that it has ended.
func (w *Work) EndUnstarted(ctx context.Context, d *Delivery, doc run.Document) error {
	return w.endDelivered(ctx, d, doc)
}

// Overlaps returns a channel that is closed when this process has stored a request that ends others, or is skipped.
// Take it before looking.
func (u *Unheld) Overlaps() <-chan struct{} { return u.store.Overlapped.Next() }

// Reached is the sequence of the last request of all tasks, as the leader has it: while it stays, no run has come.
func (u *Unheld) Reached(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	info, err := u.store.Runs.Info(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	return info.State.LastSeq, nil
}

// Acknowledged is a number up to which every run of a task has ended.
func (u *Unheld) Acknowledged(ctx context.Context, id task.ID) (run.Number, error) {
	info, err := queueOf(ctx, u.store, id)
	if err != nil || info == nil {
		return 0, err
	}
	return u.store.Numbers.Of(info.AckFloor.Stream), nil
}

// Next returns the next run of a task that was put into its queue behind a place; ok is false where there is none.
func (u *Unheld) Next(ctx context.Context, id task.ID, behind run.Number) (next Waiting, ok bool, err error) {
	return nextRequest(ctx, u.store, id, behind)
}
