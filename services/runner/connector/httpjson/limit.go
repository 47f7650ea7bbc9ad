package httpjson

import (
	"io"
	"net/http"
	"regexp"
	"time"

	"runhook/shared/wait"
)

// limitReason is the code by which Google's services refuse with 403 because they are asked too often. Sentences say
// nothing for certain: "your plan has no rate limit settings".
var limitReason = regexp.MustCompile(`"reason":\s*"(userR|r)ateLimitExceeded"`)

// limitWords may speak of one.
var limitWords = regexp.MustCompile(`(?i)(rate|request)s?[ _-]?limit|quota|too many (requests|calls)|throttl`)

// isLimit reports whether an answer refuses because the service is asked too often. perhaps says that it
// refuses for good by its status, and speaks of limits.
func isLimit(answer *http.Response) (limit, perhaps bool) {
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		return true, false
	case answer.StatusCode != http.StatusForbidden:
		return false, false
	case wait.Limited(answer.Header):
		return true, false
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // what comes of it is looked at
	return limitReason.Match(text), limitWords.Match(text)
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
