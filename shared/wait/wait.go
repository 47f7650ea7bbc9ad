// Package wait is the one way to wait, to wait longer with each try, and to wait as somebody asks.
package wait

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// For waits d, or until ctx ends, and reports whether ctx still lasts.
func For(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return ctx.Err() == nil
}

// Linger returns a context that outlasts ctx for so long at most, until end: for what is under way when ctx ends, and
// is better let come to its end.
func Linger(ctx context.Context, longest time.Duration) (lasting context.Context, end func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		if For(lasting, longest) {
			cancel()
		}
	})
	return lasting, func() {
		cancel()
		if !stop() {
			<-ended
		}
	}
}

// Doubled returns the n-th wait, from 1, of those that begin with first and double up to most.
func Doubled(first, most time.Duration, n int) time.Duration {
	for ; n > 1 && first < most; n-- {
		first = min(2*first, most)
	}
	return first
}

// Backoff waits between tries: each time twice as long, from Least to Most, and by chance up to half
// less, so that many waiters do not come back at the same moment. It is for one goroutine.
type Backoff struct {
	Least, Most time.Duration
	waits       int
}

// After returns the n-th wait, from 1, and does not wait.
func (b *Backoff) After(n int) time.Duration {
	longest := Doubled(b.Least, b.Most, n)
	return longest - rand.N(longest/2+1)
}

// Wait waits the next time, or until ctx ends, and reports whether ctx still lasts.
func (b *Backoff) Wait(ctx context.Context) bool {
	b.waits++
	return For(ctx, b.After(b.waits))
}

// First reports whether no wait came since the last Reset.
func (b *Backoff) First() bool { return b.waits == 0 }

// Reset makes the next wait the first again.
func (b *Backoff) Reset() { b.waits = 0 }

// RetryAfter reads the header of that name: seconds, which some services give with a fraction, or a date.
// It returns 0 if the header says nothing, and otherwise at least a millisecond.
func RetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds < 1<<31 && strings.Trim(header, "0123456789.") == "" {
		return max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), time.Millisecond)
	}
	return 0
}
