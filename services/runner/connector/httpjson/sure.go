package httpjson

import (
	"fmt"

	"runhook/shared/run"
)

// sure is what tells that all rows were read, rather than that the next page was looked for in the wrong
// place.
type sure struct {
	counts counts
	// pages were read to their end, and seen are the places at which one of them had something.
	pages int
	seen  map[string]bool
	// other: at the place of the total is something that is no whole number.
	other bool
	// omitted is the number of a page that has nothing where its list should be, and nothing else that tells what
	// it is, 0 for none.
	omitted int
	// told is what the page that was read last says of others, and promised that the one before it says that there
	// is another.
	told     told
	promised bool
	// always is where all pages say that there is another one, empty for nowhere.
	always string
	// fault is where page number faulty, which has its list, may say that it failed.
	fault  string
	faulty int
}

func (s *sure) learn(p *page, number int) {
	s.counts.add(p.count)
	s.told = p.told
	if where := p.told.more.where; number == 1 {
		s.always = where
	} else if where != s.always {
		s.always = ""
	}
	if found := p.told.verdict.sum(); s.fault == "" && (found.rank >= guessed || found.rank > 0 && p.rows == 0) {
		s.fault, s.faulty = found.where, number
	}
	if more, there := p.at(p.places.more); there && !yes(more) {
		s.told.denied = true
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	for _, place := range []string{p.places.next, p.places.more, p.places.pages} {
		if _, there := p.at(place); there {
			s.seen[place] = true
		}
	}
	if value, there := p.at(p.places.total); p.count.rank == declared {
		s.seen[p.places.total] = true
	} else if there && value != nil {
		s.other = true
	}
	if nextLink(p.answer.Header.Values("Link")) != "" {
		s.seen[""] = true
	}
	s.pages++
	silent := p.rows == 0 && p.count.rank == 0 && len(p.found) == 0 && !p.told.any && p.told.more.rank == 0
	switch leftOut := !p.listed && p.begun && !p.places.lines; {
	case p.rows > 0:
		s.omitted = 0
	case silent && (leftOut || s.promised && (!p.listed || p.aside.null)) && s.omitted == 0:
		s.omitted = number
	}
}

// due is how many rows the service's count promises of those from the first page on; false where it is not
// known.
func (s *Source) due(all int64) (rows int64, known bool) {
	c := s.sure.counts
	if c.rank == 0 {
		return 0, false
	}
	if !s.fromFirst() {
		return 0, false // how many rows come before it is not known
	}
	passed, _ := anyNumber(s.first.RawQuery, rowNames)
	if next := s.from.Next; next != nil && next.Offset != "" {
		passed, _ = s.pages.begin(next.Offset, 0) // turn has said what is wrong with it
	}
	return max(0, all-passed), true
}

// fromFirst reports whether path begins with the service's first page.
func (s *Source) fromFirst() bool {
	if page, _ := anyNumber(s.first.RawQuery, pageNames); page > 1 {
		return false
	}
	if next := s.from.Next; next != nil && next.Page != "" {
		begin, err := s.pages.begin(next.Page, 1)
		return err == nil && begin <= 1
	}
	return true
}

// complete reports whether as many rows came as the service says that there are.
func (s *Source) complete() bool {
	c := s.sure.counts
	due, known := s.due(c.most)
	return known && s.rows >= due && (c.rank > guessed || s.sure.pages > 1 && s.rows == due)
}

// more is where the page that was read last says that there are more rows, though nothing leads to them.
func (s *Source) more() sign {
	told := s.sure.told
	c := s.sure.counts
	due, known := s.due(c.most)
	found, pages := told.more, told.pages
	if s.pages.counted() && s.pages.empty > 0 && s.rows > 0 && s.sure.always != "" {
		found.rank = min(found.rank, guessed) // which says nothing
	}
	all := pages.rank > 0 && s.fromFirst() && pages.rows <= int64(s.sure.pages)
	switch {
	case s.complete(), told.denied && found.rank < standard:
		return sign{}
	case found.rank == guessed && (known && s.rows == due && c.most > 0 && (s.sure.pages > 1 || found.number > 0) || all && found.number > pages.rows):
		return sign{} // a service that always names a next page, unless the total may be that of the page
	case found.rank > 0:
		return found
	case pages.rank > 0 && s.fromFirst() && pages.rows > int64(s.sure.pages):
		return sign{rank: pages.rank, where: pages.where}
	}
	return sign{}
}

// left says so, for a run that ends with that page.
func (s *Source) left() string {
	more := s.more()
	if more.rank == 0 {
		return ""
	}
	do, how := "set source.http.next to", "how the next page is found"
	if s.from.Next != nil {
		do = "correct source.http.next to"
	}
	if more.next != "" {
		how = more.next
	}
	fix := do + " " + how + ", or source.http.total to none if these rows are all that is wanted"
	if absent := s.absentNext(); len(absent) > 0 && more.rank == standard && more.next == "" {
		fix = absent[0]
	}
	return fmt.Sprintf("%s came from %s and the last page says at %s that there are more; %s", s.count(), s.whole(), more.where, fix)
}

// lost is why a run fails whose source has ended: by its total, or by what its last page says for certain.
func (s *Source) lost() error {
	switch err := s.missing(); {
	case err != nil:
		return err
	case s.more().rank < standard:
		return nil
	}
	return run.Failf("%s", s.left())
}

// missing is why a run fails whose source has ended with fewer rows than the service says that it has.
func (s *Source) missing() error {
	c := s.sure.counts
	if due, known := s.due(c.least); !known || s.rows >= due || c.rank == guessed && s.rows == 0 {
		return nil
	}
	why, all := "set source.http.total to none if that is not the number of rows to be read", "if these rows are all that is wanted"
	if c.rank == guessed {
		all = "if that is a number of something else, or these rows are all that is wanted"
	}
	switch absent, next := s.absent(), s.from.Next; {
	case next == nil:
		why = "set source.http.next to how the next page is found, or source.http.total to none " + all
	case len(absent) > 0:
		why = absent[0]
	case next.Page != "" && parameter(s.first.RawQuery, next.Page) != "0":
		why = fmt.Sprintf("write %s=0 into source.http.path if the service counts pages from 0, or ", next.Page) + why
	}
	return run.Failf("%s came from %s and the service says at %s that there are %d; %s", s.count(), s.whole(), c.where, c.least, why)
}
