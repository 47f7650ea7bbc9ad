package bus

import (
	"context"
	"fmt"
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
	if status, _, _ := f.last(); status.Bytes == nil {
		return 0
	}
	return f.waiting
}

// Follow has somebody look a run up while documents of it come, and returns what was seen last in the end.
func Follow(looked Status, told ...Status) Status {
	f := &followedRun{over: make(chan struct{}), changed: make(chan struct{})}
	heard := f.soFar()
	for _, status := range told {
		f.told(status)
	}
	f.looked(looked, nil, heard)
	status, _, _ := f.last()
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
	k := keeper{tasks: s, view: view, strangers: s.store.NewStrangers()}
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
	return held.Run, max(held.From, held.Searched)
}

// EntrySubject is where the entry of a key is.
func EntrySubject(id task.ID, text string) string { return keyOf(id, text).subject }

// MoreToBundle reports whether a slice is to be compared with its bundles once more, by a process whose replica lacks
// some messages, or then some final documents of the first runs.
func (u *Unheld) MoreToBundle(ctx context.Context, n run.Number, messages uint64, finals int) (more bool, err error) {
	slice, err := u.store.ResultsOf(ctx, n)
	if err != nil {
		return false, err
	}
	info, err := slice.Info(ctx)
	if err != nil {
		return false, err
	}
	b := bundling{store: u.store, slice: slice, indexes: map[task.ID]jet.Index{}}
	if err := b.look(ctx, info.State.Msgs+messages); err != nil {
		return false, err
	}
	b.pages[0].count += finals
	err = b.page(ctx, slice.First, b.pages[0])
	return b.more, err
}

// BundleLate stores an empty bundle in the place of a run's, as a process that was paused after it saw none.
func (u *Unheld) BundleLate(ctx context.Context, n run.Number) error {
	slice, err := u.store.ResultsOf(ctx, n)
	if err != nil {
		return err
	}
	data, err := jet.Pack(jet.Bundle{})
	if err != nil {
		return err
	}
	b := bundling{store: u.store, slice: slice}
	return b.replace(ctx, slice.BundleSubject(n), 0, data)
}

// NamedDefinitions are the hashes of the definitions that no sweep may remove of a task.
func (u *Unheld) NamedDefinitions(ctx context.Context, id task.ID) (map[string]bool, error) {
	return u.namedDefinitions(ctx, id, time.Now())
}

// MayHaveEnded reports what a keeper's count of a slice says.
func (k *SliceKeeper) MayHaveEnded(ctx context.Context, n run.Number) (bool, error) {
	slice, err := k.store.Open(ctx, k.store.Layout.SliceOf(n))
	if err != nil {
		return false, err
	}
	return k.mayHaveEnded(ctx, slice)
}

// Waits tells of the slices that are not looked at again before something is written to them.
func (k *SliceKeeper) Waits() string { return fmt.Sprintf("%v, and is done with %v", k.waits, k.done) }

// SetLeftTo sets how long whoever does an erasure may be silent.
func SetLeftTo(silent time.Duration) { leftTo = silent }

// IsLeftTo reports whether whoever does the erasure was heard of so long ago that another process may go on.
func (of Erasing) IsLeftTo() bool { return time.Since(of.seen) >= leftTo }

// SettleErasures looks again at erasures of the view that are done, as after a while.
func (u *Unheld) SettleErasures(ctx context.Context, view *Erasures) error {
	for _, of := range view.All() {
		of.seen = time.Time{}
		w := erasing{Unheld: u, Erasing: of}
		if err := w.settle(ctx, view); err != nil {
			return err
		}
	}
	return nil
}

// SetAuditLooked sets how many messages of the audit a call looks at.
func SetAuditLooked(most int) { auditLooked = most }

// SetKeptFor sets for how long it is tried to store a line of the audit.
func SetKeptFor(long time.Duration) { keptFor = long }

// OnLooked has a function called between the look and the write of SubmitScheduled.
func (r *Runs) OnLooked(looked func()) { r.looked = looked }
