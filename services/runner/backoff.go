package runner

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is a wait that doubles up to a limit, with jitter, so that many waiters do not come back
// at the same moment.
type backoff struct {
	least, most, now time.Duration
}

func newBackoff(least, most time.Duration) *backoff {
	return &backoff{least: least, most: most}
}

// first reports whether no wait came since the last reset.
func (b *backoff) first() bool { return b.now == 0 }

func (b *backoff) reset() { b.now = 0 }

// wait waits its time or until ctx ends, and reports whether ctx still lasts.
func (b *backoff) wait(ctx context.Context) bool {
	b.now = min(max(2*b.now, b.least), b.most)
	timer := time.NewTimer(b.now/2 + rand.N(b.now/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
