package httpjson

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"runhook/shared/wait"
)

// The words of a service that refuses with 403 because it is asked too often, and the seconds in the header
// RateLimit.
var (
	limitWords   = regexp.MustCompile(`(?i)rate.?limit|quota.?exceeded|too.?many.?requests`)
	limitSeconds = regexp.MustCompile(`;\s*t=(\d+)`)
)

// The headers that say when a service can be asked again, and how often it can be before.
var (
	resetHeaders     = []string{"RateLimit-Reset", "X-RateLimit-Reset-After", "X-RateLimit-Reset", "X-Rate-Limit-Reset"}
	remainingHeaders = []string{"RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining"}
)

// isLimit reports whether an answer refuses because the service is asked too often.
func isLimit(answer *http.Response) bool {
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		return true
	case answer.StatusCode != http.StatusForbidden:
		return false
	case answer.Header.Get("Retry-After") != "" || firstOf(answer.Header, remainingHeaders) == "0":
		return true
	}
	words, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // what comes of it is looked at
	return limitWords.Match(words)
}

// pause is how long an answer asks to wait, 0 where it does not. limit says that the service is asked too
// often.
func pause(answer *http.Response, limit bool) time.Duration {
	now := time.Now()
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		now = at // the clocks may differ
	}
	if asked := wait.RetryAfter(answer.Header.Get("Retry-After"), now); asked > 0 {
		return asked
	}
	if remaining := firstOf(answer.Header, remainingHeaders); !limit || remaining != "" && remaining != "0" {
		return 0
	}
	reset := firstOf(answer.Header, resetHeaders)
	if seconds := limitSeconds.FindStringSubmatch(answer.Header.Get("RateLimit")); reset == "" && seconds != nil {
		reset = seconds[1]
	}
	switch moment, err := strconv.ParseInt(reset, 10, 64); {
	case err == nil && moment > 1e11: // milliseconds of the epoch
		return max(time.UnixMilli(moment).Sub(now), time.Millisecond)
	case err == nil && moment > 1e9: // its seconds
		return max(time.Unix(moment, 0).Sub(now), time.Millisecond)
	}
	if at, err := time.Parse(time.RFC3339, reset); err == nil {
		return max(at.Sub(now), time.Millisecond)
	}
	return wait.RetryAfter(reset, now)
}

// firstOf is the value of the first of some headers that is there.
func firstOf(header http.Header, names []string) string {
	for _, name := range names {
		if value := strings.TrimSpace(header.Get(name)); value != "" {
			return value
		}
	}
	return ""
}
