package wait_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"runhook/shared/wait"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !wait.For(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("waited %v", time.Since(began))
		}
		if !wait.For(t.Context(), -time.Minute) || time.Since(began) != time.Minute {
			t.Error("a wait of less than nothing takes time")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if wait.For(short, time.Hour) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("it outlasts its context, %v", time.Since(began))
		}
		if wait.For(short, 0) {
			t.Error("its context has ended, and it says otherwise")
		}
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := wait.Backoff{Least: time.Second, Most: 10 * time.Second}
		for round := range 20 {
			if !b.First() {
				t.Error("not the first wait")
			}
			for i, longest := range []time.Duration{1, 2, 4, 8, 10, 10} {
				began := time.Now()
				if !b.Wait(t.Context()) || b.First() {
					t.Fatal("it says that nothing was waited for")
				}
				if took := time.Since(began); took < longest*time.Second/2 || took > longest*time.Second {
					t.Errorf("round %d: wait %d took %v", round, i+1, took)
				}
			}
			b.Reset()
		}
		if after := b.After(1000); after < 5*time.Second || after > 10*time.Second {
			t.Errorf("the 1000th wait is %v", after)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"soon":                          0,
		"-1":                            0,
		"1.5":                           1500 * time.Millisecond,
		".25":                           250 * time.Millisecond,
		"0.0":                           time.Millisecond,
		"1e3":                           0,
		"1.2.3":                         0,
		"Infinity":                      0,
		"99999999999":                   0,
		"0":                             time.Millisecond,
		"120":                           2 * time.Minute,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": time.Millisecond,
	} {
		if got := wait.RetryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
