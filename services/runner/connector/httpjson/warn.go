package httpjson

import (
	"fmt"
	"strconv"

	"runhook/services/runner/connector"
	"runhook/shared/task"
)

// absent names the places of the task at which no page has anything, though there are rows.
func (s *Source) absent() []string {
	return append(s.absentNext(), s.absentTotal()...)
}

// absentTotal is absent for the place of the total.
func (s *Source) absentTotal() []string {
	sentences := s.nothingAt(s.from.Total, "total", "the number of all rows")
	if len(sentences) > 0 && s.sure.other {
		sentences[0] = fmt.Sprintf("%s has at %s something that is not a whole number, so that source.http.total compares nothing; correct it, or remove it", s.whole(), s.from.Total)
	}
	return sentences
}

// nothingAt says that no page has anything at a place of the task.
func (s *Source) nothingAt(place, field, what string) []string {
	if place == "" || place == task.NoTotal || s.sure.seen[place] || s.rows == 0 || s.sure.pages == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no page of %s has anything at %s, where source.http.%s looks for %s; correct it if there is more", s.whole(), place, field, what)}
}

// absentNext is absent for the places by which the next page is found.
func (s *Source) absentNext() (sentences []string) {
	say := func(place, field, what string) { sentences = append(sentences, s.nothingAt(place, field, what)...) }
	if next := s.from.Next; next != nil {
		say(next.Link, "next.link", "the address of the next one")
		say(next.From, "next.from", "the cursor of the next one")
		say(next.More, "next.more", "whether there is another one")
		say(next.Pages, "next.pages", "how many there are")
		if next.Header && !s.sure.seen[""] && s.rows > 0 && s.sure.pages > 0 {
			sentences = append(sentences, fmt.Sprintf("no page of %s has a Link header with rel=next, which source.http.next.header follows; correct it if there is more", s.whole()))
		}
	}
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
	if err := s.lost(); err != nil && s.ended && s.looking {
		warnings = append(warnings, err.Error())
	}
	return warnings[:min(len(warnings), connector.MostWarnings)]
}

func (s *Source) warnings() (warnings []string) {
	c := s.sure.counts
	due, known := s.due(c.most)
	if known && c.rank == guessed && s.rows == 0 && due > 0 && s.ended {
		warnings = append(warnings, fmt.Sprintf("no row came from %s and the service says at %s that there are %d; look at what the account may see, and correct path", s.whole(), c.where, c.most))
	}
	// A number that a member has may be that of the page.
	known = known && (c.rank > guessed || c.least == c.most && c.most > int64(s.pages.largest))
	complete := known && s.rows >= due || s.sure.pages == 1 && s.pages.short
	if absent := s.absent(); s.looking || !complete {
		warnings = append(warnings, absent...)
	} else if s.sure.other {
		warnings = append(warnings, s.absentTotal()...)
	}
	if known && s.rows > due {
		warnings = append(warnings, fmt.Sprintf("%s came from %s and the service says at %s that there are %d; some may have come twice", s.count(), s.whole(), c.where, c.most))
	}
	if s.ended && s.missing() == nil && s.more().rank == guessed {
		warnings = append(warnings, s.left())
	}
	if s.pages.capped() && !s.complete() {
		warnings = append(warnings, fmt.Sprintf("path of %s asks for %d rows a page, and no page has more than %d; the service seems to count pages by the number that is asked for, and to leave out the rows between: ask for %[3]d", s.whole(), s.pages.asked, s.pages.largest))
	}
	if s.sure.fault != "" && !(known && s.rows >= due) {
		warnings = append(warnings, fmt.Sprintf("%s has something at %s by which services say that they failed, beside its list of rows; look at whether all are there", s.place(s.sure.faulty), s.sure.fault))
	}
	if s.pages.stuck && !complete {
		warnings = append(warnings, fmt.Sprintf("%s names itself as its next page, which was taken for the end of the rows; look at it if there should be more than the %s that came", s.place(s.pages.number), s.count()))
	}
	nothing := "no list of rows"
	if s.from.Items != "" {
		nothing = "nothing at " + s.from.Items
	}
	switch page := s.sure.omitted; {
	case page == 1 && s.rows == 0:
		warnings = append(warnings, fmt.Sprintf("the first page of %s has %s, which was taken for a list without rows; correct source.http.items if it is elsewhere", s.whole(), nothing))
	case page > 1 && !complete:
		warnings = append(warnings, fmt.Sprintf("%s has %s, which was taken for the end of the rows; look at it if there should be more than the %s that came", s.place(page), nothing, s.count()))
	}
	return warnings
}
