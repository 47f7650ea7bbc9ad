package httpjson

import (
	"hash/maphash"
	"slices"

	"runhook/shared/task"
)

// isBehindLast reports whether a service refuses a page because there is none behind the last. status is 0 where it
// gives no reason of HTTP's.
func (s *Source) isBehindLast(status int) bool {
	all := s.complete() || s.sure.counts.rank > guessed && s.missing() == nil
	return s.pages.behind(status) && (all || status != 0 && s.pages.short)
}

// isAgain reports whether a counted page begins with a row that one of the two before it has, though all rows have come:
// the service gives its last rows again behind the end.
func (s *Source) isAgain() bool {
	due, known := s.due(s.sure.counts.most)
	return known && s.rows >= due && len(s.page.sums) > 0 && (slices.Contains(s.pages.sums, s.page.sums[0]) || slices.Contains(s.pages.before, s.page.sums[0]))
}

// lookBehind asks, once all is read, for the page behind the last by the number of rows that pages had, where fewer came
// than were asked for and nothing says that these are all: what is there, and not on that last page, has been left out.
func (s *Source) lookBehind() {
	behind := s.pages.behindSmaller()
	if s.behind || behind == nil || s.complete() || s.from.Total == task.NoTotal {
		return
	}
	s.behind = true
	if a, err := s.client.get(s.reading, behind, s.accepts()); err == nil {
		p := newPage(a, placesOf(s.from), s.seed)
		for err == nil && !s.pages.beyond {
			var item []byte
			item, err = p.read()
			s.pages.beyond = err == nil && !slices.Contains(s.pages.sums, maphash.Bytes(s.seed, item))
		}
		p.close()
	}
}
