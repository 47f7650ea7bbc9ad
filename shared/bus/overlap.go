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
// request alone.
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
	// turn has room for who stores a request: those of one process would only refuse each other.
	turn chan struct{}

	mu sync.Mutex
	// open is a run that had not ended, 0 for none, and last the sequence of the task's last request then.
	open run.Number
	last uint64
}

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

func (p *place) note(open run.Number, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.last = open, last
}

func (p *place) seen() (open run.Number, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.last
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
	return msg, nil
}

// enter stores a request as its overlap says; id is that of its message, empty for none. It sets what was decided.
func (r *Runs) enter(ctx context.Context, request *run.Request, id string) (jet.Receipt, error) {
	if request.Overlap.Alone() {
		return r.enterAlone(ctx, request, id)
	}
	msg, err := requestMessage(request, id)
	if err != nil {
		return jet.Receipt{}, err
	}
	stored, err := r.publish(ctx, jet.Entry{Msg: msg})
	if err == nil && request.Overlap.Supersedes() {
		r.store.Overlapped.Ring()
	}
	return stored, err
}

// skippedAgain is after how many seconds those who poll a skipped run are asked to do so.
const skippedAgain = 1

// enterAlone stores a request whose run is to be alone, or returns an [*OpenRuns] with the run that has not ended.
func (r *Runs) enterAlone(ctx context.Context, request *run.Request, id string) (jet.Receipt, error) {
	at, retryAfter := r.places.of(request.Task), request.RetryAfter
	if open, _ := at.seen(); open > 0 && request.Overlap == task.RejectOverlap {
		if ended, err := r.store.Ended(ctx, request.Task, open); err == nil && !ended {
			return jet.Receipt{}, &OpenRuns{Runs: []run.Number{open}}
		}
	}
	select {
	case at.turn <- struct{}{}:
		defer func() { <-at.turn }()
	case <-ctx.Done():
		return jet.Receipt{}, fmt.Errorf("%w: too many requests of task %s came at once", run.ErrUnavailable, request.Task)
	}
	for {
		open, last, err := r.openRun(ctx, at, request.Task)
		if err != nil {
			return jet.Receipt{}, err
		}
		if open > 0 && request.Overlap == task.RejectOverlap {
			at.note(open, last)
			return jet.Receipt{}, &OpenRuns{Runs: []run.Number{open}}
		}
		request.SkippedFor, request.RetryAfter = open, retryAfter
		if open > 0 {
			request.RetryAfter = skippedAgain
		}
		msg, err := requestMessage(request, id)
		if err != nil {
			return jet.Receipt{}, err
		}
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
		stored, err := r.publish(ctx, jet.Entry{Msg: msg, Fence: msg.Subject})
		switch {
		case err == nil && stored.Duplicate:
			at.note(0, 0)
			return stored, nil
		case err == nil && open > 0:
			at.note(open, stored.Sequence)
			r.store.Overlapped.Ring()
			return stored, nil
		case err == nil:
			at.note(r.store.Numbers.Of(stored.Sequence), stored.Sequence)
			return stored, nil
		}
		at.note(0, 0)
		if !jet.Refused(err) || ctx.Err() != nil {
			return jet.Receipt{}, err
		}
	}
}

// openRun returns a run of a task that has not ended, 0 if there is none, and the sequence of the task's last request
// then, 0 if there is none. The request of the next run is to depend on that.
func (r *Runs) openRun(ctx context.Context, at *place, id task.ID) (open run.Number, last uint64, err error) {
	if open, last = at.seen(); open > 0 {
		if ended, err := r.store.Ended(ctx, id, open); err != nil || !ended {
			return open, last, err
		}
	}
	stored, err := r.store.Runs.LeaderLast(ctx, jet.RequestSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	last = stored.Sequence
	open, alone := r.holder(stored, id)
	ended, err := r.store.Ended(ctx, id, open)
	if err != nil || !ended {
		return open, last, err
	}
	if alone && open != r.store.Numbers.Of(last) { // the last one was skipped; was the run before it alone?
		switch before, err := r.Request(ctx, id, open); {
		case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
			alone = false
		case err != nil:
			return 0, 0, err
		default:
			alone = before.Overlap.Alone() && before.SkippedFor == 0
		}
	}
	if !alone {
		open, err = r.firstOpen(ctx, id, last)
		return open, last, err
	}
	return 0, last, nil
}

// holder is the run that the last request of a task tells to have been the only open one, if alone; else it is that
// request's, and there may be others.
func (r *Runs) holder(last jet.Record, id task.ID) (n run.Number, alone bool) {
	n = r.store.Numbers.Of(last.Sequence)
	request, err := run.DecodeRequest(last.Data, id)
	switch {
	case err != nil || !request.Overlap.Alone():
		return n, false
	case request.SkippedFor > 0 && request.SkippedFor < n:
		return request.SkippedFor, true
	}
	return n, true
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
		if err == nil && request.SkippedFor > 0 {
			continue
		}
		n := r.store.Numbers.Of(stored.Sequence)
		if ended, err := r.store.Ended(ctx, id, n); err != nil || !ended {
			return n, err
		}
	}
	return 0, nil
}

// Successor returns the next run of a task behind a number that takes its place, unless both are dry runs or neither
// is: a dry run ends no run that writes, nor the other way round. ok is false where there is none.
func (w *Work) Successor(ctx context.Context, id task.ID, n run.Number, dry bool) (next Waiting, ok bool, err error) {
	for {
		if next, ok, err = nextRequest(ctx, w.store, id, n); err != nil || !ok {
			return Waiting{}, false, err
		}
		n = next.Number
		if next.Request.Overlap.Supersedes() && next.Request.DryRun == dry {
			return next, true, nil
		}
	}
}

// nextRequest is the next request of a task behind a number, as the leader has it; ok is false where there is none.
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
		request, err := run.DecodeRequest(stored.Data, id)
		if err == nil {
			return Waiting{Number: n, Request: request, StoredOn: stored.Time}, true, nil
		}
		s.Runs.PassOver(stored, err) // the runner ends it
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

// Next returns the next run of a task behind a number; ok is false where there is none.
func (u *Unheld) Next(ctx context.Context, id task.ID, behind run.Number) (next Waiting, ok bool, err error) {
	return nextRequest(ctx, u.store, id, behind)
}
