// Package turn shares out the requests that a site takes at once among the runs of all runners: fairly among their
// tasks, and so that a runner that dies or stands still loses its places.
//
// What it needs of other runners is one record for each site, which each of them changes by compare-and-set (package
// comment of record.go). While nobody else waits, a runner keeps its places from one request to the next, and the
// requests of its runs cost no message.
package turn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

const (
	// lease is after how long without a sign of it a runner has lost its places, by the clock of each other one. It
	// begins no request behind a part of it, by its own clock.
	lease = 10 * time.Second
	// renewed is how often a runner gives a sign while it has places or waits for some.
	renewed = lease / 4
	// begins is for how long behind a sign it may begin requests.
	begins = lease * 3 / 5
	// looks is how often it looks at the record while others wait, or it does: they may have been told of nothing.
	looks = 500 * time.Millisecond
	// keeps is how long it keeps a place that nobody needs.
	keeps = time.Second
)

// Store has the records of sites. Its methods are safe for concurrent use.
type Store interface {
	// ReadSite returns the record of a site with its revision; nothing and 0 if there is none.
	ReadSite(ctx context.Context, key string) (data []byte, revision uint64, err error)
	// WriteSite puts a record in the place of that with a revision; ok is false if it is another one's by now. After an
	// error it may be stored.
	WriteSite(ctx context.Context, key string, data []byte, revision uint64) (ok bool, err error)
	// TellSite has the channels of WokenSite be closed, those of other processes too, if nothing goes wrong.
	TellSite(key string)
	WokenSite(key string) <-chan struct{}
}

// Turns are those of one runner. They are safe for concurrent use.
type Turns struct {
	store  Store
	runner string
	// gone reports whether a runner is known to be gone without a look at its signs; nil knows of none.
	gone func(runner string) bool
	log  zerolog.Logger

	ctx  context.Context
	stop context.CancelFunc
	kept sync.WaitGroup

	mu    sync.Mutex
	sites map[string]*Turn
}

// New returns the turns of a runner with a name that no other has. Without a store nobody else is asked: of a
// program that is alone. gone reports whether another runner is known to be gone; nil knows of none.
func New(store Store, runner string, gone func(runner string) bool, log zerolog.Logger) *Turns {
	t := &Turns{store: store, runner: runner, gone: gone, log: log, sites: map[string]*Turn{}}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Close gives all places back, and returns when nothing more is done.
func (t *Turns) Close() {
	t.stop()
	t.kept.Wait()
}

// At returns the turn at the site of a key, which takes up to limit requests at once. The last limit counts.
func (t *Turns) At(key string, limit int) *Turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.sites[key]
	if at == nil {
		at = &Turn{all: t, key: key, kick: make(chan struct{}, 1), seen: map[string]seen{}}
		t.sites[key] = at
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.limit = limit; t.store == nil {
		at.held = limit
		at.dispatch()
	}
	return at
}

// Who waits for a request.
type Who struct {
	Task task.ID
	Run  run.Number
}

// Turn is the turn at one site. It is safe for concurrent use.
type Turn struct {
	all *Turns
	key string
	// kick has something in it when the record is to be looked at, or changed, now.
	kick chan struct{}

	mu    sync.Mutex
	limit int
	// waiting are the requests of this runner that wait.
	waiting []*waiter
	next    uint64
	// held is how many requests this runner may have under way, and busy how many it has.
	held, busy int
	// others are the places of other runners that wait, and theirs is how many requests these may have under way.
	others []place
	theirs int
	// served is the tag of the last request that was begun.
	served int64
	// rest is when the site may be asked again.
	rest time.Time
	// proven is when the write began that was the last sign of this runner, and used when it needed a place last.
	proven, used time.Time
	// kept: somebody keeps the record.
	kept bool
	seen map[string]seen
}

// waiter is a request that waits.
type waiter struct {
	place
	granted chan struct{}
}

// seen is the last sign of another runner, and when it was seen first.
type seen struct {
	beat  uint64
	since time.Time
}

// Begin waits for a place, and then until the site may be asked; end gives it back. waits is called if there is
// none yet, with what tells how many runs come before; what it returns is called when the waiting is over. The error is
// ctx's.
func (t *Turn) Begin(ctx context.Context, who Who, waits func(ahead func() int) (over func())) (end func(), err error) {
	w := t.join(who)
	if err := t.await(ctx, w, waits); err != nil {
		return nil, err
	}
	if rest := time.Until(t.Rests()); rest > 0 {
		if waits != nil {
			defer waits(func() int { return 0 })()
		}
		if !wait.For(ctx, rest) {
			t.end()
			return nil, ctx.Err()
		}
	}
	return sync.OnceFunc(t.end), nil
}

// await waits until w has a place that is this runner's still.
func (t *Turn) await(ctx context.Context, w *waiter, waits func(ahead func() int) (over func())) error {
	over := func() {}
	defer func() { over() }()
	for first := true; ; first = false {
		select {
		case <-w.granted:
		default:
			if first && waits != nil {
				over = waits(func() int { return t.ahead(w) })
			}
			select {
			case <-w.granted:
			case <-ctx.Done():
				t.leave(w)
				return ctx.Err()
			}
		}
		if t.Holds() { // else this process stood still for longer than its lease
			return nil
		}
		t.again(w)
	}
}

// Holds reports whether this runner may begin a request with a place that it has: it has given a sign not long ago.
func (t *Turn) Holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holds()
}

// holds is Holds; the caller holds mu.
func (t *Turn) holds() bool { return t.all.store == nil || time.Since(t.proven) < begins }

// Rest keeps the site from being asked before a moment, by other runners too.
func (t *Turn) Rest(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until.After(t.rest) {
		t.rest = until
	}
}

// Rests is until when the site is not to be asked.
func (t *Turn) Rests() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rest
}

// join puts a request into the line.
func (t *Turn) join(who Who) *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	w := &waiter{place{ID: t.next, Task: who.Task, Run: who.Run, Tag: t.tag(who.Task), runner: t.all.runner}, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.dispatch()
	t.keep()
	return w
}

// tag is the tag of the next request of a task: requests are begun in the order of their tags. Of a task it is behind
// those that wait, or else behind what was begun last, so that each task gets as much as any other, however many runs
// of it wait (start-time fair queuing).
func (t *Turn) tag(of task.ID) int64 {
	last := t.served
	for _, w := range t.waiting {
		if w.Task == of {
			last = max(last, w.Tag)
		}
	}
	for _, other := range t.others {
		if other.Task == of {
			last = max(last, other.Tag)
		}
	}
	return last + 1
}

// again puts a request whose place was lost back to where it was.
func (t *Turn) again(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.granted = make(chan struct{})
	t.busy--
	t.waiting = append(t.waiting, w)
	t.keep()
}

// leave takes a request out of the line, or gives its place back.
func (t *Turn) leave(w *waiter) {
	t.mu.Lock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.wake()
	}
	t.mu.Unlock()
	if i < 0 {
		t.end()
	}
}

// end gives a place back.
func (t *Turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	t.used = time.Now()
	t.dispatch()
	if len(t.others) > 0 {
		t.wake()
	}
}

// dispatch begins the requests that there are places for; the caller holds mu.
func (t *Turn) dispatch() {
	for len(t.waiting) > 0 && t.busy < t.held && t.holds() {
		w := t.first()
		if other := first(t.others); other != nil && other.before(w.place) { // it is another runner's turn
			t.wake()
			return
		}
		t.waiting = slices.DeleteFunc(t.waiting, func(other *waiter) bool { return other == w })
		t.busy++
		t.served, t.used = max(t.served, w.Tag), time.Now()
		close(w.granted)
	}
}

// first is the request of this runner that is next, nil if none waits; the caller holds mu.
func (t *Turn) first() (next *waiter) {
	for _, w := range t.waiting {
		if next == nil || w.before(next.place) {
			next = w
		}
	}
	return next
}

// ahead is how many runs come before a request that waits.
func (t *Turn) ahead(w *waiter) (runs int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.waiting {
		if other != w && other.before(w.place) {
			runs++
		}
	}
	for _, other := range t.others {
		if other.before(w.place) {
			runs++
		}
	}
	return runs + t.busy + t.theirs
}

// wake has the record be looked at now; the caller holds mu.
func (t *Turn) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// keep sees to it that the record is kept while it is needed, and looked at now if somebody waits; the caller holds mu.
func (t *Turn) keep() {
	if t.all.store == nil || t.all.ctx.Err() != nil {
		return
	}
	if len(t.waiting) > 0 {
		t.wake()
	}
	if !t.kept {
		t.kept = true
		t.all.kept.Go(t.keeping)
	}
}
