package wait

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limited reports whether an answer's headers say that there were too many requests: by when to come back,
// or by a limit of which nothing is left.
func Limited(header http.Header) bool {
	return header.Get("Retry-After") != "" || left(header) == "0"
}

// Asked is how long an answer asks to wait: by Retry-After, or, unless something is left of its limit, by the
// moment of RateLimit-Reset or X-RateLimit-Reset. It is 0 if the headers say nothing, and otherwise at least a
// millisecond.
func Asked(header http.Header, now time.Time) time.Duration {
	if asked := RetryAfter(header.Get("Retry-After"), now); asked > 0 {
		return asked
	}
	if rest := left(header); rest != "" && rest != "0" {
		return 0
	}
	for _, name := range []string{"RateLimit-Reset", "X-RateLimit-Reset"} {
		reset := strings.TrimSpace(header.Get(name))
		if moment, err := strconv.ParseInt(reset, 10, 64); err == nil && moment > 1e9 { // seconds of the epoch
			return max(time.Unix(moment, 0).Sub(now), time.Millisecond)
		}
		if asked := RetryAfter(reset, now); asked > 0 {
			return asked
		}
	}
	return 0
}

// left is what is left of a limit, empty where the answer does not say.
func left(header http.Header) string {
	for _, name := range []string{"RateLimit-Remaining", "X-RateLimit-Remaining"} {
		if rest := strings.TrimSpace(header.Get(name)); rest != "" {
			return rest
		}
	}
	return ""
}
