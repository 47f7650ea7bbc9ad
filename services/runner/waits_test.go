package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"runhook/shared/run"
)

// The time of a run stands still while any part of it does, and goes on where it was.
func TestTheTimeoutStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s standstill
		s.continues(time.Hour)
		over := make(chan time.Time, 1)
		begun := time.Now()
		defer s.after(10*time.Second, func() { over <- time.Now() })()
		time.Sleep(4 * time.Second)
		reading, writing := s.stop(), s.stop()
		time.Sleep(time.Minute)
		reading()
		time.Sleep(time.Minute)
		if sum := s.sum(); sum != time.Hour+2*time.Minute {
			t.Errorf("it stood still for %s", sum)
		}
		writing()
		if took := (<-over).Sub(begun); took != 2*time.Minute+10*time.Second {
			t.Errorf("it was over after %s", took)
		}
		if sum := s.sum(); sum != time.Hour+2*time.Minute {
			t.Errorf("it stood still for %s", sum)
		}
	})
}

// Of what a source and a destination wait for, that is told which somebody has to end.
func TestAPausedConnectionIsToldFirst(t *testing.T) {
	t.Parallel()
	var w waits
	if _, waits := w.now(); waits {
		t.Error("it waits from the beginning")
	}
	site := w.begin(func() run.Waiting { return run.Waiting{Kind: run.ForSite} })
	paused := w.begin(func() run.Waiting { return run.Waiting{Kind: run.ForConnection} })
	if on, _ := w.now(); on.Kind != run.ForConnection {
		t.Errorf("it waits for %s", on.Kind)
	}
	paused()
	if on, _ := w.now(); on.Kind != run.ForSite {
		t.Errorf("it waits for %s", on.Kind)
	}
	site()
	if on, waits := w.now(); waits {
		t.Errorf("it waits for %s", on.Kind)
	}
}
