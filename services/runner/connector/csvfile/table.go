package csvfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"runhook/services/runner/row"
)

// table tells the rows of a file's table from what else is in the file: empty rows, the header once more,
// another table, lines that a quote has made one row of.
type table struct {
	// known are the names of the header and folded those in lower case, and firsts and lengths what they begin
	// with and how long they are, in either case, so that few cells have to be looked for among them.
	known   map[string]bool
	folded  map[string]bool
	firsts  [256]bool
	lengths [256]bool
	// gap: an empty line, or what was no row, has come since the last row. spaced: one comes before the
	// first row, as in files with an empty line behind each.
	gap, spaced bool
	// other is the line of a header with other names, below which is another table; 0 in this one.
	other int64
	// decided: a row has shown whether rows end in delimiters that the header does not have, as they do
	// where trailing.
	decided, trailing bool
	// seen is what the first rows have in the columns.
	seen Seen
	// joined is a row of several lines each of which may be a row, and doubtful the line of a row
	// that may be a header; how many there are, and the first.
	joined, doubtful doubt
}

// doubt is what may not be what it seems: how often, and the lines of the first.
type doubt struct{ count, first, last int64 }

func (d *doubt) add(first, last int64) {
	if d.count++; d.count == 1 {
		d.first, d.last = first, last
	}
}

func (t *table) begin(columns []string) {
	t.known, t.folded = map[string]bool{}, map[string]bool{}
	t.seen = NewSeen(len(columns))
	for _, name := range columns {
		if name != "" {
			t.known[name], t.folded[strings.ToLower(name)] = true, true
			for _, written := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
				t.firsts[written[0]] = true
				t.lengths[min(len(written), 255)] = true
			}
		}
	}
}

// names reports whether a cell is a name of the header, or has to be looked at more closely.
func (t *table) names(record []byte, f field) bool {
	if f.from < f.to && isPlain(record[f.from]) && !t.firsts[record[f.from]] {
		return false
	}
	cell := bytes.TrimPrefix(bytes.TrimSpace(record[f.from:f.to]), []byte(mark))
	if f.escaped || f.slashed || len(cell) == 0 {
		return len(cell) > 0
	}
	return t.firsts[cell[0]] && t.lengths[min(len(cell), 255)] && (t.known[string(cell)] || t.folded[strings.ToLower(string(cell))])
}

// tell says what the record is if it is no row of the table: an error of that row's own.
func (s *Source) tell() error {
	t, r := &s.table, s.reader
	t.gap = t.gap || r.gap
	if s.isBlank() {
		t.gap = true
		return row.ErrBlank
	}
	if len(s.columns) > 1 && (t.gap || s.mayBeHeader()) {
		if err := s.tellHeader(); err != nil {
			return err
		}
	}
	if t.other > 0 {
		return row.Faultf("", "stands below line %d, which names other columns than the header: it is not of the same table", t.other)
	}
	s.cutTrailing()
	if n := len(r.fields); n > len(s.columns) || n < s.least {
		return row.Faultf("", "has the wrong number of fields: %d where the header has %d%s", n, len(s.columns), s.lines())
	}
	if r.last > r.first && s.isJoined() {
		return row.Faultf("", "is several rows%s", s.lines())
	}
	if t.seen.Rows < Learned {
		t.spaced = t.spaced || t.seen.Rows == 0 && t.gap
		s.learn()
	}
	t.gap = false
	return nil
}

// isBlank reports whether the row has nothing but delimiters and spaces. In the only column that may be a cell.
func (s *Source) isBlank() bool {
	record := s.reader.record
	for _, f := range s.reader.fields {
		if f.from < f.to && (isPlain(record[f.from]) || len(bytes.TrimSpace(record[f.from:f.to])) > 0) {
			return false
		}
	}
	return max(len(s.reader.fields), len(s.columns)) > 1
}

// isPlain reports whether a letter is a visible one of ASCII.
func isPlain(letter byte) bool { return letter > ' ' && letter < utf8.RuneSelf }

// mayBeHeader reports whether a row has a name of the header at its beginning or end, or begins with a letter where
// numbers were.
func (s *Source) mayBeHeader() bool {
	first, last := s.reader.fields[0], s.reader.fields[len(s.reader.fields)-1]
	return s.table.seen.Numeric[0] && first.from < first.to && s.reader.record[first.from] >= 'A' ||
		s.table.names(s.reader.record, first) || s.table.names(s.reader.record, last)
}

// tellHeader tells a row that names columns.
func (s *Source) tellHeader() error {
	t, r := &s.table, s.reader
	record := string(r.record)
	same, names, filled := true, 0, 0
	folded := map[string]bool{} // the names, in any case
	cells := make([]string, len(r.fields))
	for i, f := range r.fields {
		cells[i] = s.nameIn(record, f)
		if cells[i] != "" {
			filled++
		}
		if t.known[cells[i]] && !slices.Contains(cells[:i], cells[i]) {
			names++
		}
		if folding := strings.ToLower(cells[i]); t.folded[folding] {
			folded[folding] = true
		}
		same = same && (i < len(s.columns) && strings.EqualFold(cells[i], s.columns[i]) || i >= len(s.columns) && cells[i] == "")
	}
	other, perhaps := t.seen.Repeats(cells, s.columns, t.folded)
	switch {
	case same && len(cells) >= s.least:
		t.other = 0
		return row.Faultf("", "is the header again")
	case names >= 2 && (names == filled || names >= len(t.known)), len(folded) >= 2 && len(folded) == filled && len(folded) >= len(t.folded):
	case other:
	case !t.gap && perhaps && len(cells) == len(s.columns):
		t.doubtful.add(r.first, r.first)
		return nil
	case !t.gap || !AreWords(cells):
		return nil
	case filled >= 2 && names > 0 && 2*names >= filled:
	default:
		return s.tellOtherNames(cells)
	}
	return s.beginOther()
}

// beginOther is for a row below which is another table.
func (s *Source) beginOther() error {
	s.table.other = s.reader.first
	return row.Faultf("", "names other columns than the header does: another table begins in line %d", s.reader.first)
}

// tellOtherNames tells whether words behind an empty line, none of which the header has, name columns. They may
// if one is in a column of numbers or dates, and the rows below show it. If those are rows of this table, no
// other begins.
func (s *Source) tellOtherNames(words []string) error {
	t, r := &s.table, s.reader
	if t.other > 0 || t.seen.Rows == 0 || t.spaced {
		return nil
	}
	var odd []int                     // the columns of numbers or dates that have a word
	isOdd := make([]bool, len(words)) // by the column
	for i := range words {
		if words[i] != "" && i < len(t.seen.Numeric) && t.seen.Numeric[i] {
			odd = append(odd, i)
			isOdd[i] = true
		}
	}
	wider := len(words) > len(s.columns)
	rows, fitting, styled, numbers := 0, 0, 0, make([]int, len(words))
	for fields := range r.ahead() {
		fits := !wider && len(fields) >= s.least && (t.trailing || len(fields) <= len(s.columns)) || wider && len(fields) < len(words)
		for i, cell := range fields {
			if cell = bytes.Trim(cell, "\" "); len(cell) > 0 && IsNumeric(cell[0]) && i < len(words) {
				numbers[i]++
			} else if len(cell) > 0 && i < len(words) && isOdd[i] && !placeholders[strings.ToLower(string(cell))] {
				fits = false
			}
		}
		if rows++; fits {
			fitting++
		}
		if areLike(fields, s.header) {
			styled++
		}
	}
	alike := IsLike(words, s.header)
	switch {
	case 2*styled < rows && (len(odd) == 0 || 2*fitting < rows) && len(words) == len(s.columns) && t.seen.areStyled(words, s.header):
		return s.beginOther()
	case (len(odd) > 0 || wider) && rows > 0 && 2*fitting < rows && (alike || slices.Contains(numbers, rows)):
		return s.beginOther()
	case len(odd) > 0 && alike && !wider:
		return row.Faultf(s.columns[odd[0]], "has a word behind an empty line where the rows above have numbers or dates: the line may name the columns of another table")
	case len(words) == len(s.columns) && (alike || len(odd) > 0):
		t.doubtful.add(r.first, r.first)
	}
	return nil
}

// cutTrailing leaves out empty fields behind the last column, if rows have them from the first on: many
// programs write a delimiter behind the last cell.
func (s *Source) cutTrailing() {
	t, r := &s.table, s.reader
	whole := len(r.fields)
	for whole > len(s.columns) && r.fields[whole-1].isBare() {
		whole--
	}
	if !t.decided && whole >= s.least {
		t.decided, t.trailing = true, whole == len(s.columns) && whole < len(r.fields)
	}
	if t.trailing && whole == len(s.columns) {
		r.fields = r.fields[:whole]
	}
}

// learn takes note of what is in the columns.
func (s *Source) learn() {
	t, r := &s.table, s.reader
	t.seen.Rows++
	for i, f := range r.fields {
		if cell := bytes.TrimSpace(r.record[f.from:f.to]); len(cell) > 0 {
			letter, _ := utf8.DecodeRune(cell)
			t.seen.Add(i, letter)
		}
	}
}

// lines says of a row over several lines which they are, and why.
func (s *Source) lines() string {
	r := s.reader
	switch {
	case r.first == r.last:
		return ""
	case r.opened == 0:
		return fmt.Sprintf("; a backslash before the line end makes one row of lines %d to %d", r.first, r.last)
	}
	return fmt.Sprintf("; a quote opens in line %d and closes in line %d, so that %d lines were read as one row: a quote is missing, or one is too many", r.opened, r.closed, r.last-r.first+1)
}

// isJoined reports whether a quote that is not meant has made one row of several lines: each has as many
// fields as the header, and numbers where the rows before have them. Without such columns it is a doubt.
func (s *Source) isJoined() bool {
	t, r := &s.table, s.reader
	if len(s.columns) < 2 || r.opened == 0 {
		return false
	}
	surely := false
	numbers := make([]int, len(s.columns))
	lines := 0
	for line := range bytes.SplitSeq(cutLineEnd(r.record), []byte("\n")) {
		lines++
		cells := bytes.SplitN(cutLineEnd(line), r.delimiter, len(s.columns)+2)
		if t.trailing && len(cells) == len(s.columns)+1 {
			cells = cells[:len(s.columns)]
		}
		if len(cells) != len(s.columns) {
			return false
		}
		for i, cell := range cells {
			if cell = bytes.Trim(cell, "\" "); len(cell) > 0 && IsNumeric(cell[0]) {
				numbers[i]++
			}
		}
	}
	for i := range numbers {
		if t.seen.Numeric[i] {
			if numbers[i] < lines {
				return false
			}
			surely = true
		}
	}
	if !surely {
		t.joined.add(r.first, r.last)
	}
	return surely
}
