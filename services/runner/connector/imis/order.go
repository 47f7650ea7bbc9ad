package imis

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
)

// names are those of the page's columns, nil where there is no row.
func (p *page) names() []string {
	if p == nil || p.columns == nil {
		return nil
	}
	return p.columns.names
}

// rowsSeen are the page's rows.
func (p *page) rowsSeen() (rows []check.Cells) {
	width := len(p.names())
	for i := range p.sizes {
		rows = append(rows, check.Cells{Values: p.cells[i*width:][:width]})
	}
	return rows
}

// checkPages looks at the page behind the first too, reports what is wrong with the two together, and returns
// what a run would warn of.
func (s *Source) checkPages(first *page, job connector.Job, found *check.Report) (warnings []string) {
	s.page, s.read = first, int64(len(first.sizes))
	s.first, s.counted = first.total, first.counted
	if !first.more {
		found.Fail(atQuery, s.end()) // the end itself is no failure
		return s.Warnings()
	}
	second, err := s.fetch(&page{columns: first.columns}, s.pageSize(), first.next)
	if err != nil {
		found.Fail(atQuery, err)
		return nil
	}
	rows := append(first.rowsSeen(), second.rowsSeen()...)
	s.repeats = watch(job.Task, job.Parameters, mapping.Columns{Names: first.names()})
	for i := 0; s.repeats != nil && i < len(rows); i++ {
		if i == len(first.sizes) {
			s.repeats.turn()
		}
		s.repeats.see(int64(i+1), rows[i].Values)
	}
	onePage := int64(s.from.PageSize)
	if first.limit > 0 && first.limit < min(check.Looked, onePage) { // the site gives fewer
		onePage = first.limit
	}
	warnings = s.Warnings()
	if len(warnings) == 0 && (!first.counted || first.total > onePage) && !inUniqueOrder(rows) {
		found.Warnf(atQuery, "the first %d rows of %s are not in the order of anything that is unique: iMIS cuts pages by the number of rows, so that rows which are equal in its sort can come twice or never; end its sort with a column that is unique, such as the iMIS ID", len(rows), s.Name())
	}
	return warnings
}

// inUniqueOrder reports whether columns of the rows explain their order, so that no two rows could change
// places: one goes up or down all the way, those that are equal in it are in the order of another, and so on.
func inUniqueOrder(rows []check.Cells) bool {
	if len(rows) < 2 {
		return true
	}
	tied := make([]bool, len(rows)-1) // a row and the next are equal so far
	for i := range tied {
		tied[i] = true
	}
	left := len(tied)
	for more := true; more && left > 0; {
		more = false
		for column := range rows[0].Values {
			up, down := true, true
			for i, open := range tied {
				if open {
					order := compareCells(rows[i].Values[column], rows[i+1].Values[column])
					up, down = up && order <= 0, down && order >= 0
				}
			}
			for i, open := range tied {
				if (up || down) && open && !isEqual(rows[i].Values[column], rows[i+1].Values[column]) {
					tied[i], more = false, true
					left--
				}
			}
		}
	}
	return left == 0
}

// isEqual compares as sites do, without letter case.
func isEqual(a, b any) bool {
	first, isText := a.(string)
	second, alsoText := b.(string)
	return isText && alsoText && strings.EqualFold(first, second) || reflect.DeepEqual(a, b)
}

// compareCells compares as a site may order: nothing first, numbers by their size, texts by their letters and
// digits. It is 0 where sites differ.
func compareCells(a, b any) int {
	x, isNumber := numberOf(a)
	y, alsoNumber := numberOf(b)
	switch {
	case a == nil || b == nil:
		return cmp.Compare(present(a), present(b))
	case isNumber && alsoNumber:
		return cmp.Compare(x, y)
	}
	first, _ := row.Text(a)
	second, _ := row.Text(b)
	return compareTexts(first, second)
}

func present(value any) int {
	if value == nil {
		return 0
	}
	return 1
}

func numberOf(value any) (float64, bool) {
	switch v := value.(type) {
	case int64:
		return float64(v), true
	case json.Number:
		number, err := strconv.ParseFloat(string(v), 64)
		return number, err == nil
	}
	return 0, false
}

// compareTexts passes over signs, and is 0 from a letter on that has no one place in all languages.
func compareTexts(a, b string) int {
	first, second := letters(a), letters(b)
	for i := range min(len(first), len(second)) {
		x, y := first[i], second[i]
		switch {
		case x > unicode.MaxASCII || y > unicode.MaxASCII:
			return 0
		case x != y:
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(first), len(second))
}

// letters are the letters and digits of a text.
func letters(text string) (all []rune) {
	for _, letter := range strings.ToLower(text) {
		if unicode.IsLetter(letter) || unicode.IsDigit(letter) {
			all = append(all, letter)
		}
	}
	return all
}
