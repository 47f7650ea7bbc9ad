package runner

import (
	"context"
	"slices"
	"sync"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/turn"
	"runhook/shared/run"
)

var _ connection.User = (*attempt)(nil)

// waits are what an attempt waits for at the moment: its source and its destination may each wait. They are safe for
// concurrent use.
type waits struct {
	mu  sync.Mutex
	all []*waitedFor
}

// waitedFor is one of them. It says what it is when it is asked, because that may change.
type waitedFor struct{ what func() run.Waiting }

// begin notes that the attempt waits, until end is called.
func (w *waits) begin(what func() run.Waiting) (end func()) {
	one := &waitedFor{what}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, one)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = slices.DeleteFunc(w.all, func(other *waitedFor) bool { return other == one })
	}
}

// now is what the attempt waits for; ok is false if that is nothing. What somebody has to end comes first.
func (w *waits) now() (on run.Waiting, ok bool) {
	w.mu.Lock()
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for _, one := range all {
		if this := one.what(); !ok || this.Kind == run.ForConnection && on.Kind != run.ForConnection {
			on, ok = this, true
		}
	}
	return on, ok
}

// Who is the run in the line of a site.
func (a *attempt) Who() turn.Who { return turn.Who{Task: a.hold.task, Run: a.hold.number} }

// Waits notes what the run waits for, until over is called.
func (a *attempt) Waits(what func() run.Waiting) (over func()) { return a.waits.begin(what) }

// Proceed returns when the connection is not paused. The time until then does not count for the task's timeout. The
// error is ctx's.
func (a *attempt) Proceed(ctx context.Context, name string) error {
	for {
		changed := a.runner.pauses.Changed()
		paused, isPaused := a.runner.pauses.Of(name)
		if !isPaused {
			return nil
		}
		end := a.waits.begin(paused.Waiting)
		resume := a.hold.stands.stop()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		resume()
		end()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// standstill is how long a run has stood still because a connection was paused, over all attempts. It is safe for
// concurrent use.
type standstill struct {
	mu sync.Mutex
	// total is without the present one, which stands since then; many are the parts of the run that stand.
	total time.Duration
	since time.Time
	many  int
	// changed, when set, is told when the run stands and when it goes on.
	changed func(stands bool)
}

// stop has the run stand until resume is called.
func (s *standstill) stop() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.many++; s.many == 1 {
		s.since = time.Now()
		s.tell(true)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.many--; s.many == 0 {
			s.total += time.Since(s.since)
			s.tell(false)
		}
	}
}

// tell tells of a change; the caller holds mu.
func (s *standstill) tell(stands bool) {
	if s.changed != nil {
		s.changed(stands)
	}
}

// sum is how long the run has stood still so far.
func (s *standstill) sum() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.present()
}

// present is sum; the caller holds mu.
func (s *standstill) present() time.Duration {
	if s.many > 0 {
		return s.total + time.Since(s.since)
	}
	return s.total
}

// continues takes the sum of former attempts, which may be another runner's.
func (s *standstill) continues(total time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = total
}

// after calls over when the run has gone on for so long without standing still, until done is called.
func (s *standstill) after(left time.Duration, over func()) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := time.Now()
	timer := time.AfterFunc(left, over)
	s.changed = func(stands bool) {
		if !stands {
			begun = time.Now()
			timer.Reset(left)
		} else if timer.Stop() {
			left -= time.Since(begun)
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed = nil
		timer.Stop()
	}
}
