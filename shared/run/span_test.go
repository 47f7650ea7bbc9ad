package run

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                        "0s",
		400 * time.Millisecond:                   "0s",
		45 * time.Second:                         "45s",
		90 * time.Second:                         "1m30s",
		30 * time.Minute:                         "30m",
		90 * time.Minute:                         "90m",
		2 * time.Hour:                            "2h",
		48*time.Hour + 300*time.Millisecond:      "48h",
		time.Hour + 30*time.Minute + time.Second: "1h30m1s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestPollAgain(t *testing.T) {
	for _, seconds := range []int{0, 30, 3599, 100 * 3600} {
		d := Document{RetryAfter: formatClock(seconds)}
		if after, ok := d.PollAgain(); !ok || after != time.Duration(seconds)*time.Second {
			t.Errorf("%s is %v, %v", d.RetryAfter, after, ok)
		}
	}
	if after, ok := (&Document{RetryAfter: "soon"}).PollAgain(); ok {
		t.Errorf("soon is %v", after)
	}
}
