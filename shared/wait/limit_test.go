package wait_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/shared/wait"
)

func TestLimits(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for text, want := range map[string]struct {
		limited bool
		asked   time.Duration
	}{
		"":                                    {},
		"Retry-After: 7":                      {true, 7 * time.Second},
		"Retry-After: soon":                   {true, 0},
		"Retry-After: 7\nRateLimit-Reset: 99": {true, 7 * time.Second},
		"RateLimit-Remaining: 0":              {true, 0},
		"RateLimit-Remaining: 0\nRateLimit-Reset: 30":              {true, 30 * time.Second},
		"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1790000600":  {true, 10 * time.Minute},
		"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1789999999":  {true, time.Millisecond},
		"X-RateLimit-Remaining: 12\nX-RateLimit-Reset: 1790000600": {false, 0},
		"RateLimit-Reset: 30": {false, 30 * time.Second},
	} {
		header := http.Header{}
		for line := range strings.SplitSeq(text, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				header.Set(name, value)
			}
		}
		if limited, asked := wait.Limited(header), wait.Asked(header, now); limited != want.limited || asked != want.asked {
			t.Errorf("%q: %v, %s", text, limited, asked)
		}
	}
}
