package httpjson

import (
	"fmt"
	"strconv"

	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/task"
)

// sure is what tells that all rows were read, rather than that the next page was looked for in the wrong
// place.
type sure struct {
	counts counts
	// pages were read to their end, and seen are the places at which one of them had something.
	pages int
	seen  map[string]bool
	// omitted is the number of a page that has nothing where its list should be, and nothing else that tells what
	// it is, 0 for none.
	omitted int
}

func (s *sure) learn(p *page, number int) {
	s.counts.add(p.count)
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	for _, place := range []string{p.places.next, p.places.more, p.places.pages, p.places.total} {
		if _, there := p.at(place); there {
			s.seen[place] = true
		}
	}
	if nextLink(p.answer.Header.Values("Link")) != "" {
		s.seen[""] = true
	}
	s.pages++
	if !p.listed && p.begun && p.rows == 0 && !p.places.lines && p.count.rank == 0 && len(p.found) == 0 {
		s.omitted = number
	}
}

// due is how many rows the service's count promises of those from the first page on; false where it is not
// known.
func (s *Source) due(all int64) (rows int64, known bool) {
	c := s.sure.counts
	if c.rank == 0 || c.rank == guessed && s.rows == 0 {
		return 0, false
	}
	query := s.first.RawQuery
	if page, err := strconv.Atoi(anyParameter(query, pageNames)); err == nil && page > 1 {
		return 0, false // how many rows come before it is not known
	}
	before := anyParameter(query, rowNames)
	if next := s.from.Next; next != nil && next.Offset != "" {
		before = parameter(query, next.Offset)
	} else if next != nil && next.Page != "" {
		if begin, err := s.pages.begin(next.Page, 1); err != nil || begin > 1 {
			return 0, false
		}
	}
	passed, _ := strconv.ParseInt(before, 10, 64)
	return max(0, all-passed), true
}

// missing is why a run fails whose source has ended with fewer rows than the service says that it has.
func (s *Source) missing() error {
	c := s.sure.counts
	if due, known := s.due(c.least); !known || s.rows >= due {
		return nil
	}
	why := "set source.http.total to none if that is not the number of rows to be read"
	switch absent := s.absent(); {
	case s.from.Next == nil:
		why = "set source.http.next to how the next page is found, or source.http.total to none if these rows are all that is wanted"
	case len(absent) > 0:
		why = absent[0]
	}
	return run.Failf("%s came from %s and the service says at %s that there are %d; %s", s.count(), s.whole(), c.where, c.least, why)
}

// absent names the places of the task at which no page has anything, though there are rows.
func (s *Source) absent() (sentences []string) {
	if s.rows == 0 || s.sure.pages == 0 {
		return nil
	}
	say := func(place, field, what string) {
		if place != "" && place != task.NoTotal && !s.sure.seen[place] {
			sentences = append(sentences, fmt.Sprintf("no page of %s has anything at %s, where source.http.%s looks for %s; correct it if there is more", s.whole(), place, field, what))
		}
	}
	if next := s.from.Next; next != nil {
		say(next.Link, "next.link", "the address of the next one")
		say(next.From, "next.from", "the cursor of the next one")
		say(next.More, "next.more", "whether there is another one")
		say(next.Pages, "next.pages", "how many there are")
		if next.Header && !s.sure.seen[""] {
			sentences = append(sentences, fmt.Sprintf("no page of %s has a Link header with rel=next, which source.http.next.header follows; correct it if there is more", s.whole()))
		}
	}
	say(s.from.Total, "total", "the number of all rows")
	return sentences
}

// count is how many rows were read.
func (s *Source) count() string {
	if s.rows == 1 {
		return "1 row"
	}
	return strconv.FormatInt(s.rows, 10) + " rows"
}

// whole is how messages name what is read.
func (s *Source) whole() string { return s.path() + ", connection " + s.from.Connection + "," }

// Warnings are about places at which nothing is, and about more rows than the service says; see
// connector.Warner.
func (s *Source) Warnings() []string {
	warnings := s.warnings()
	if err := s.missing(); err != nil && s.ended && s.looking {
		warnings = append(warnings, err.Error())
	}
	return warnings[:min(len(warnings), connector.MostWarnings)]
}

func (s *Source) warnings() (warnings []string) {
	c := s.sure.counts
	due, known := s.due(c.most)
	known = known && c.rank > guessed
	complete := known && s.rows >= due || s.sure.pages == 1 && s.pages.short
	if absent := s.absent(); s.looking || !complete {
		warnings = append(warnings, absent...)
	}
	if known && s.rows > due {
		warnings = append(warnings, fmt.Sprintf("%s came from %s and the service says at %s that there are %d; some may have come twice", s.count(), s.whole(), c.where, c.most))
	}
	switch page := s.sure.omitted; {
	case page == 1 && s.rows == 0:
		warnings = append(warnings, fmt.Sprintf("the first page of %s has nothing at %s, which was taken for a list without rows; correct source.http.items if it is elsewhere", s.whole(), s.from.Items))
	case page > 1 && !complete:
		warnings = append(warnings, fmt.Sprintf("%s has nothing at %s, which was taken for the end of the rows; look at it if there should be more than the %s that came", s.place(page), s.from.Items, s.count()))
	}
	return warnings
}
