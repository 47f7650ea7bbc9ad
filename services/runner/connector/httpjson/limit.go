package httpjson

import (
	"io"
	"net/http"
	"regexp"
	"time"

	"runhook/shared/wait"
)

// limitWords are those of a service that refuses with 403 because it is asked too often.
var limitWords = regexp.MustCompile(`(?i)rate.?limit|quota.?exceeded|too.?many.?requests`)

// isLimit reports whether an answer refuses because the service is asked too often.
func isLimit(answer *http.Response) bool {
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		return true
	case answer.StatusCode != http.StatusForbidden:
		return false
	case wait.Limited(answer.Header):
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
	if limit {
		return wait.Asked(answer.Header, now)
	}
	return wait.RetryAfter(answer.Header.Get("Retry-After"), now)
}
