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

// A queue is full when as many runs wait as may, and is counted before one is let in that may be one too many.
func TestAQueueIsFullAtItsBound(t *testing.T) {
	t.Parallel()
	b := backlog{waiting: 3, asked: time.Now()}
	if full, _ := b.full(3); !full {
		t.Error("three of three wait, and it is not full")
	}
	b = backlog{waiting: 2, asked: time.Now().Add(-backlogPause)}
	if full, ask := b.full(3); full || ask {
		t.Errorf("two of three wait: full %t, asks %t", full, ask)
	}
	b.enter()
	if full, ask := b.full(3); full || !ask {
		t.Errorf("two of three wait, and one was let in since: full %t, asks %t", full, ask)
	}
}
