package bus

import (
	"context"
	"testing"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Prepare stores a definition that is about to become current.
func (s *Tasks) Prepare(ctx context.Context, def *task.Definition) error { return s.prepare(ctx, def) }

// Awaiting is how many await the end of a run, once it was looked up for the first of them.
func (r *Runs) Awaiting(id task.ID, n run.Number) int {
	r.followed.mu.Lock()
	defer r.followed.mu.Unlock()
	f, ok := r.followed.bySubject[jet.FollowSubject(id, n)]
	if !ok {
		return 0
	}
	if status, _ := f.last(); status.Bytes == nil {
		return 0
	}
	return f.waiting
}

// Follow has somebody look a run up while documents of it come, and returns what was seen last in the end.
func Follow(looked Status, told ...Status) Status {
	f := &followedRun{over: make(chan struct{})}
	heard := f.soFar()
	for _, status := range told {
		f.told(status)
	}
	f.looked(looked, nil, heard)
	status, _ := f.last()
	return status
}

// ReplyOf is the subject on which a delivery is acknowledged.
func ReplyOf(d *Delivery) string { return d.reply }

// SetLookAgain sets how often Await looks itself, until restore.
func SetLookAgain(every time.Duration) (restore func()) {
	was := lookAgain
	lookAgain = every
	return func() { lookAgain = was }
}

// StayLeft is how much a pull may still bring that was left before it ended and is taken up again.
func StayLeft(may int) int {
	q := &Queue{left: may, ends: time.Now().Add(pullForInCluster)}
	q.leave(nil)
	q.stay()
	q.stay() // as after a pull that had nothing left to leave
	return q.left
}

// Looks is a keeper's look at the store, to be repeated.
func (s *Tasks) Looks(view *TaskView) func(context.Context) {
	k := keeper{tasks: s, view: view}
	return k.look
}

// EnterKey writes the entry of a request's key and no more, as a process that is killed then.
func (r *Runs) EnterKey(t testing.TB, request run.Request, text string) {
	t.Helper()
	k := keyOf(request.Called(), text)
	entry, err := r.newEntry(t.Context(), k, request.Task)
	if err == nil {
		_, err = r.writeKey(t.Context(), k, entry, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// NotedRun is the run that the entry of a key names, 0 for none, and the sequence behind which its request is.
func (r *Runs) NotedRun(ctx context.Context, id task.ID, text string) (n run.Number, from uint64) {
	held, err := r.heldKey(ctx, keyOf(id, text))
	if err != nil {
		return 0, 0
	}
	return held.Run, held.From
}

// EntrySubject is where the entry of a key is.
func EntrySubject(id task.ID, text string) string { return keyOf(id, text).subject }
