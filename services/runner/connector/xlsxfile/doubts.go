package xlsxfile

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"runhook/services/runner/connector/csvfile"
)

// doubts are rows of the sheet that may be none of the table whose columns the header names.
type doubts struct {
	// last is the last row with anything in it. spaced: an empty row comes before the first below the header.
	last   int
	spaced bool
	// others are rows that may name other columns, and below those below the total row of a
	// table: how many, and the first.
	others, below doubt
	// total is the last row if it looks like a total.
	total int
}

type doubt struct{ count, first int }

func (d *doubt) add(row int) {
	if d.count++; d.count == 1 {
		d.first = row
	}
}

// gap reports whether a row comes behind an empty one, in a sheet that has none below its header.
func (d *doubts) gap(row int) bool { return d.last > 0 && row > d.last+1 && !d.spaced }

// look takes note of the row that was read.
func (s *Source) look() {
	d := &s.doubts
	if s.isBlank() {
		return
	}
	if d.last == 0 {
		d.spaced = s.number > s.named+1
	}
	d.last = s.number
	if s.again || s.other > 0 {
		return
	}
	d.total = 0
	for _, a := range s.sheet.totals {
		if a.toRow < s.number && a.from <= s.at[len(s.at)-1] && s.at[0] <= a.to {
			d.below.add(s.number)
			break
		}
	}
	first, learn := true, s.seen.Rows < csvfile.Learned
	if learn {
		s.seen.Rows++
	}
	for i, text := range s.texts {
		if text == "" {
			continue
		}
		if first && csvfile.IsTotal(text) {
			d.total = s.number
		}
		if first = false; !learn {
			break
		}
		letter, _ := utf8.DecodeRuneInString(text)
		s.seen.Add(s.at[i]-s.at[0], letter)
	}
}

// areOdd reports whether one of the words of a row is in a column of numbers or dates, or there is no such column and
// the words are written like the header.
func (s *Source) areOdd(words []string) bool {
	if !slices.Contains(s.seen.Numeric, true) {
		return csvfile.IsLike(words, s.header)
	}
	for i, word := range words[:min(len(words), len(s.names))] {
		if s.seen.Numeric[i] && word != "" {
			return true
		}
	}
	return false
}

// warnings are sentences about such rows.
func (d *doubts) warnings(place string) (warnings []string) {
	if d.others.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Row %d of %s may name the columns of another table%s; it was read as a row", d.others.first, place, csvfile.Others(int64(d.others.count-1))))
	}
	if d.below.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Row %d of %s comes below the total row of a table%s, and was read as a row; leave it out with where, if it is none", d.below.first, place, csvfile.Others(int64(d.below.count-1))))
	}
	if d.total > 0 {
		warnings = append(warnings, fmt.Sprintf("The last row of %s, row %d, looks like a total, and was read as a row; leave it out with where, if it is none", place, d.total))
	}
	return warnings
}
