package httpjson

import (
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/http"
	"slices"

	"runhook/shared/run"
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
		p := newPage(s.reading, a, placesOf(s.from), s.seed)
		for err == nil && !s.pages.beyond {
			var item []byte
			item, err = p.read()
			s.pages.beyond = err == nil && !slices.Contains(s.pages.sums, maphash.Bytes(s.seed, item))
		}
		p.close()
	}
}

// lookFirst asks for page 1, where path does not say which page it asks for and there is a second one: if the service
// counts pages from 0, page 1 has other rows than the first page, and would be passed over.
func (s *Source) lookFirst() error {
	next := s.from.Next
	if next.Page == "" || parameter(s.first.RawQuery, next.Page) != "" || s.pages.filled == 0 || s.complete() {
		return nil
	}
	a, err := s.ask(s.pages.with(next.Page, "1"), 0)
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case ok && s.pages.behind(refused.status):
		return nil // there is no page 1
	case ok:
		return refused.failure(s.place(1), refused.why)
	case err != nil:
		return err
	}
	sums, rows, err := s.members(a)
	if _, ok := errors.AsType[*broken](err); ok {
		return (&refusal{passing: true}).failure(s.place(1), "broke off")
	}
	if areSame(s.pages.sums, sums) || s.hasFirst(rows) {
		return nil
	}
	return run.Failf("%s has other rows with %s=1 than without it: if the service counts pages from 0, page 1 would be left out; write %[2]s=0 into source.http.path, or %[2]s=1 if it counts from 1 and its rows have just changed", s.place(1), next.Page)
}

// areSame reports whether half of the rows of two pages are the same, or of their values in a column.
func areSame[T comparable](first, second []T) bool {
	known, same := map[T]bool{}, 0
	for _, one := range first {
		known[one] = true
	}
	for _, one := range second {
		if known[one] {
			same++
		}
	}
	return 2*same >= min(len(first), len(second))
}

// hasFirst reports whether rows are those of the first page, though each answer of the service gives its rows some
// other value: in a column where all rows of the first page differ, half of them are the same. It asks for that page
// again.
func (s *Source) hasFirst(rows []map[string]json.RawMessage) bool {
	a, err := s.ask(s.first, 0)
	if err != nil {
		return false
	}
	sums, again, _ := s.members(a)
	if len(again) < 2 || areSame(s.pages.sums, sums) {
		return false
	}
	values := func(rows []map[string]json.RawMessage, name string) (all []string) {
		for _, one := range rows {
			all = append(all, string(one[name]))
		}
		return all
	}
	for name := range again[0] {
		if s.reading.Err() != nil {
			return false
		}
		first := values(again, name)
		if areSame(first, values(rows, name)) && len(slices.Compact(slices.Sorted(slices.Values(first)))) == len(again) {
			return true
		}
	}
	return false
}

// members reads the rows of an answer, as many as are remembered of a page.
func (s *Source) members(a *http.Response) (sums []uint64, rows []map[string]json.RawMessage, err error) {
	p := s.newPage(a)
	defer p.close()
	for size := 0; p.rows < p.keeps && size < sampleBytes; {
		item, err := p.read()
		if err != nil {
			return p.sums, rows, err
		}
		size += len(item)
		var members map[string]json.RawMessage
		_ = json.Unmarshal(item, &members) // of a row that is no object there are none
		rows = append(rows, members)
	}
	return p.sums, rows, nil
}
