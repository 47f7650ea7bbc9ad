package bus

import (
	"testing"
	"time"
)

// A queue whose runs were canceled takes others a second later, unless it takes the server long to find that out.
func TestHowOftenEndedRunsAreLookedFor(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 40 * time.Millisecond: time.Second, 100 * time.Millisecond: 2 * time.Second, time.Second: 5 * time.Second, time.Minute: 5 * time.Second,
	} {
		if got := lookPause(took); got != want {
			t.Errorf("after a look of %s: %s, want %s", took, got, want)
		}
	}
}
