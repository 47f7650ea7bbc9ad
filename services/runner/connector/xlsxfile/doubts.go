package xlsxfile

import (
	"fmt"

	"runhook/services/runner/connector/csvfile"
)

// doubts are rows of the sheet that may be none of the table whose columns the header names.
type doubts struct {
	// last is the last row with anything in it, and rows how many there were below the header. spaced: an
	// empty row comes before the first of them.
	last, rows int
	spaced     bool
	// numeric are the columns that had nothing but numbers and dates so far, and some.
	numeric, filled []bool
	// others are rows behind an empty one that may name other columns, and below those below the total row of a
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

// look takes note of the row that was read.
func (s *Source) look() {
	d := &s.doubts
	if s.again || s.other > 0 || s.isBlank() {
		return
	}
	if d.rows == 0 {
		d.spaced = s.number > s.named+1
		d.numeric, d.filled = make([]bool, len(s.header)), make([]bool, len(s.header))
	} else if s.number > d.last+1 && !d.spaced && s.mayBeNames() {
		d.others.add(s.number)
	}
	d.last, d.total = s.number, 0
	d.rows++
	for _, a := range s.sheet.totals {
		if a.toRow < s.number && a.from <= s.at[len(s.at)-1] && s.at[0] <= a.to {
			d.below.add(s.number)
			break
		}
	}
	first := true
	for i, text := range s.texts {
		if text == "" {
			continue
		}
		numeric := csvfile.IsNumeric(text[0])
		if first && !numeric && csvfile.IsTotal(text) {
			d.total = s.number
		}
		first = false
		d.numeric[i] = numeric && (d.numeric[i] || !d.filled[i])
		d.filled[i] = true
	}
}

// mayBeNames reports whether the cells of a row are different words, as names are, and one of them is in a column
// of numbers or dates, if there is such a column.
func (s *Source) mayBeNames() bool {
	d, last := &s.doubts, len(s.texts)
	for last > 0 && s.texts[last-1] == "" {
		last--
	}
	if !csvfile.AreWords(s.texts[:last]) {
		return false
	}
	numbers := false
	for i, numeric := range d.numeric {
		if numeric && s.texts[i] != "" {
			return true
		}
		numbers = numbers || numeric
	}
	return !numbers
}

// warnings are sentences about such rows.
func (d *doubts) warnings(place string) (warnings []string) {
	if d.others.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Row %d of %s comes behind an empty row and may name the columns of another table%s; it was read as a row", d.others.first, place, csvfile.Others(int64(d.others.count-1))))
	}
	if d.below.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Row %d of %s comes below the total row of a table%s, and was read as a row; leave it out with where, if it is none", d.below.first, place, csvfile.Others(int64(d.below.count-1))))
	}
	if d.total > 0 {
		warnings = append(warnings, fmt.Sprintf("The last row of %s, row %d, looks like a total, and was read as a row; leave it out with where, if it is none", place, d.total))
	}
	return warnings
}
