package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// lookAgain is how often a run that is awaited is looked up: republished documents are core messages, which
// a reconnect or a slow route can lose.
var lookAgain = 2 * time.Second // longer in a test

// Await is Lookup that waits until the run has ended. When ctx ends first it returns the last
// status seen and no error.
func (r *Runs) Await(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	following, err := r.Follow(ctx, id, n)
	if err != nil {
		return Status{}, err
	}
	defer following.Stop()
	select {
	case <-ctx.Done():
	case <-following.run.over:
	}
	status, _, err := following.Last()
	return status, err
}

// Following is one who follows a run, from Follow to Stop.
type Following struct {
	runs *Runs
	run  *followedRun
}

// Follow looks a run up and goes on hearing of it. Its errors are those of Lookup.
//
// However many follow a run, one subscription hears of it, and each change reaches all of them at once.
func (r *Runs) Follow(ctx context.Context, id task.ID, n run.Number) (*Following, error) {
	followed, err := r.join(ctx, id, n)
	if err != nil {
		return nil, err
	}
	// The subscription travels ahead of this read on the same connection, so nothing that happens after it
	// can be missed.
	heard := followed.soFar()
	status, err := r.Lookup(context.WithoutCancel(ctx), id, n)
	if err != nil {
		r.leave(followed)
		return nil, err
	}
	followed.looked(status, nil, heard)
	return &Following{r, followed}, nil
}

// Last is what was seen of the run last, and changed is closed when it was looked at again. Nothing comes after a final
// document, nor after an error, which is one of Lookup.
func (f *Following) Last() (status Status, changed <-chan struct{}, err error) { return f.run.last() }

// Stop ends the following.
func (f *Following) Stop() { f.runs.leave(f.run) }

// followedRuns are the runs that somebody follows.
type followedRuns struct {
	mu        sync.Mutex
	bySubject map[string]*followedRun
}

// followedRun is one run that is followed.
type followedRun struct {
	subject string
	// waiting is how many follow it; who holds followedRuns.mu may change it.
	waiting int
	// stop ends the following, and stopped tells that it has ended.
	stop    context.CancelFunc
	stopped chan struct{}

	mu sync.Mutex
	// status is what was seen last, and err why nothing more will be; over is closed when one of them is the
	// end of the wait.
	status Status
	err    error
	over   chan struct{}
	// changed is closed, and replaced, at each note.
	changed chan struct{}
	// heard is how many documents came to the subscription.
	heard int
}

// join counts one more who follows a run, and hears of it from now on if nobody else does.
func (r *Runs) join(ctx context.Context, id task.ID, n run.Number) (*followedRun, error) {
	all, subject := &r.followed, jet.FollowSubject(id, n)
	all.mu.Lock()
	defer all.mu.Unlock()
	if f, ok := all.bySubject[subject]; ok && !f.isOver() {
		f.waiting++
		return f, nil
	}
	updates := make(chan *nats.Msg, 64)
	subscription, err := r.store.NC.ChanSubscribe(subject, updates)
	if err != nil {
		return nil, fmt.Errorf("%w: follow run %s: %w", run.ErrUnavailable, n, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the first to follow the run
	f := &followedRun{subject: subject, waiting: 1, stop: stop, stopped: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{})}
	if all.bySubject == nil {
		all.bySubject = map[string]*followedRun{}
	}
	all.bySubject[subject] = f
	go func() {
		defer close(f.stopped)
		defer func() { _ = subscription.Unsubscribe() }() // fails only with the connection
		r.follow(ctx, f, id, n, updates)
	}()
	return f, nil
}

// leave counts one fewer. The last one to leave returns when the run is not followed any more.
func (r *Runs) leave(f *followedRun) {
	all := &r.followed
	all.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last && all.bySubject[f.subject] == f {
		delete(all.bySubject, f.subject)
	}
	all.mu.Unlock()
	if last {
		f.stop()
		<-f.stopped
	}
}

// follow notes what becomes of a run until its end, or until ctx ends.
func (r *Runs) follow(ctx context.Context, f *followedRun, id task.ID, n run.Number, updates <-chan *nats.Msg) {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.over:
			return
		case <-again.C:
			r.look(ctx, f, id, n)
		case msg := <-updates:
			if status, ok := republished(msg.Data, id, n); ok { // anybody may publish to those who follow a run
				f.told(status)
			}
		}
	}
}

func (r *Runs) look(ctx context.Context, f *followedRun, id task.ID, n run.Number) {
	heard := f.soFar()
	status, err := r.Lookup(ctx, id, n)
	f.looked(status, err, heard)
}

// republished is the status that a republished document tells; ok is false if it is none of this run's.
func republished(data []byte, id task.ID, n run.Number) (status Status, ok bool) {
	if doc, err := run.DecodeFinal(data, id, n); err == nil {
		return Status{Document: doc, Bytes: data, Final: true}, true
	}
	doc, err := run.DecodeLive(data, id, n)
	return Status{Document: doc, Bytes: data}, err == nil
}

// soFar is how many documents have come, for looked.
func (f *followedRun) soFar() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

// told takes a document that came.
func (f *followedRun) told(status Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard++
	f.note(status, nil)
}

// looked takes the answer to a look before which so many documents had come: those that came since are newer.
func (f *followedRun) looked(status Status, err error, heard int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard == heard || status.Final || err != nil {
		f.note(status, err)
	}
}

// note takes what was seen; the caller holds mu. A final document and an error end the wait of all.
func (f *followedRun) note(status Status, err error) {
	if f.isOver() {
		return
	}
	f.status, f.err = status, err
	close(f.changed)
	f.changed = make(chan struct{})
	if status.Final || err != nil {
		close(f.over)
	}
}

// last is what was seen last, and what is closed when something else is.
func (f *followedRun) last() (Status, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.changed, f.err
}

func (f *followedRun) isOver() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}
