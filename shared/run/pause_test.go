package run

import (
	"testing"
	"time"
)

// Whatever another machine's clock says, nobody waits longer than the whole, or less than nothing.
func TestTheRestOfAPause(t *testing.T) {
	now := time.Now()
	for until, want := range map[time.Duration]time.Duration{time.Second: time.Second, -time.Second: 0, time.Hour: time.Minute} {
		if left := (Pause{Until: now.Add(until), Length: time.Minute}).Left(now); left != want {
			t.Errorf("until in %s: %s left, want %s", until, left, want)
		}
	}
}

// A run that is taken over while it waits was not interrupted: nothing was under way.
func TestTakeoverInAPause(t *testing.T) {
	waiting := Claim{Owner: "a", Executions: 2, Idle: 1, Checkpoint: Checkpoint{Row: 7}}.Rest(Pause{Length: time.Minute})
	taken := waiting.Next("b")
	if taken.Executions != 2 || taken.Tried != 1 || taken.Idle != 1 || taken.Pause == nil || taken.Checkpoint.Row != 7 {
		t.Errorf("taken over as %+v", taken)
	}
	if again := taken.Again(); again.Executions != 3 || again.Tried != 1 || again.Idle != 1 || again.Pause != nil || again.Owner != "b" {
		t.Errorf("attempted again as %+v", again)
	}
}
