package scheduler

import (
	"context"
	"time"
)

// SetClock has the scheduler take its time from elsewhere.
func (s *Scheduler) SetClock(now func() time.Time, after func(time.Duration) <-chan time.Time) {
	s.now, s.after = now, after
}

// OnReached has a function called between the writes: after "intended" nothing is started, after "stored" the run is.
func (s *Scheduler) OnReached(reached func(ctx context.Context, step string)) { s.reached = reached }
