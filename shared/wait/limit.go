package wait

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The headers that say how often a service can be asked before a moment, and that moment.
var (
	remainingHeaders = []string{"RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining"}
	resetHeaders     = []string{"RateLimit-Reset", "X-RateLimit-Reset-After", "X-RateLimit-Reset", "X-Rate-Limit-Reset"}
)

// limitSeconds are the seconds in the header RateLimit.
var limitSeconds = regexp.MustCompile(`;\s*t=(\d+)`)

// Limited reports whether an answer's headers say that there were too many requests: by when to come back,
// or by a limit of which nothing is left.
func Limited(header http.Header) bool {
	return header.Get("Retry-After") != "" || firstOf(header, remainingHeaders) == "0"
}

// Asked is how long an answer asks to wait: by Retry-After, or, unless something is left of its limit, by the
// moment of RateLimit-Reset, X-RateLimit-Reset and the like, in seconds, as seconds or milliseconds of the epoch,
// or by RFC 3339. It is 0 if the headers say nothing, and otherwise at least a millisecond.
func Asked(header http.Header, now time.Time) time.Duration {
	if asked := RetryAfter(header.Get("Retry-After"), now); asked > 0 {
		return asked
	}
	if rest := firstOf(header, remainingHeaders); rest != "" && rest != "0" {
		return 0
	}
	reset := firstOf(header, resetHeaders)
	if seconds := limitSeconds.FindStringSubmatch(header.Get("RateLimit")); reset == "" && seconds != nil {
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
	return RetryAfter(reset, now)
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
