package csvfile

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Learned is how many rows show what is in a column.
const Learned = 100

// Seen is what the first rows of a table have in its columns, by which a row that names columns is told from one of
// the table. Its fields are one for each column.
type Seen struct {
	// Numeric: nothing but numbers and dates so far. Filled: something.
	Numeric, Filled []bool
	// small and large: some text that begins with a small letter, and with a capital.
	small, large []bool
	// Rows is how many were added.
	Rows int
}

// NewSeen is that of a table without rows.
func NewSeen(columns int) Seen {
	made := make([]bool, 4*columns)
	return Seen{Numeric: made[:columns], Filled: made[columns : 2*columns], small: made[2*columns : 3*columns], large: made[3*columns:]}
}

// Add takes note of a cell of a row that begins with this letter.
func (s *Seen) Add(column int, letter rune) {
	numeric := letter < utf8.RuneSelf && IsNumeric(byte(letter))
	s.Numeric[column] = numeric && (s.Numeric[column] || !s.Filled[column])
	s.Filled[column] = true
	s.small[column] = s.small[column] || unicode.IsLower(letter)
	s.large[column] = s.large[column] || unicode.IsUpper(letter)
}

// Repeats tells whether a row repeats so much of a header that it names other columns, or perhaps does: half of its
// words at least are names of the header, known in lower case, and there are words where numbers or dates were. It
// surely does if one of these holds:
//   - a name is where numbers or dates were, and there are other names, or no word is elsewhere, or it is in the first
//     column, its own;
//   - two names are in their own columns, beside a word where numbers or dates were, or are most of the row.
func (s *Seen) Repeats(cells, header []string, known map[string]bool) (other, perhaps bool) {
	if !AreWords(cells) {
		return false, false
	}
	names, own, filled, words := 0, 0, 0, 0 // words are those where numbers or dates were
	name, first := false, false             // one of those
	for i, cell := range cells {
		if cell == "" {
			continue
		}
		filled++
		numeric := i < len(s.Numeric) && s.Numeric[i]
		if numeric {
			words++
		}
		if known[strings.ToLower(cell)] {
			names++
			name = name || numeric
			if i < len(header) && strings.EqualFold(cell, header[i]) {
				own++
				first = first || i == 0 && numeric
			}
		}
	}
	if filled < 2 || names == 0 || 2*names < filled {
		return false, false
	}
	other = name && (names > 1 || first || words == filled) || own >= 2 && (words > 0 || 2*own > filled)
	return other, words > 0 && !other
}

// areStyled reports whether words are written as all names of the header are, and as nothing was in any column of the
// rows so far: all begin with small letters, or all with capitals, and none has a space if no name has one.
func (s *Seen) areStyled(words, header []string) bool {
	small, large := caseOf(header)
	if s.Rows < 2 || small == large || !IsLike(words, header) || hasSpace(words) && !hasSpace(header) {
		return false
	}
	for i := range words {
		if i < len(s.Filled) && (!s.Filled[i] || small && s.small[i] || large && s.large[i]) {
			return false
		}
	}
	return true
}

func hasSpace(words []string) bool { return strings.Contains(strings.Join(words, ""), " ") }

// areLike reports whether cells of a row are written as all names of the header are; numbers are left out.
func areLike(cells [][]byte, header []string) bool {
	var words []string
	for _, cell := range cells {
		if cell = bytes.Trim(cell, "\" "); len(cell) > 0 && !IsNumeric(cell[0]) {
			words = append(words, string(cell))
		}
	}
	return len(words) > 0 && IsLike(words, header)
}

// IsLike reports whether words begin with small letters where all names of a header do, or with capitals where those
// do.
func IsLike(words, header []string) bool {
	small, large := caseOf(header)
	if small == large {
		return true
	}
	smallWords, largeWords := caseOf(words)
	return smallWords == small && largeWords == large
}

// caseOf reports whether some words begin with a small letter, and some with a capital.
func caseOf(words []string) (small, large bool) {
	for _, word := range words {
		letter, _ := utf8.DecodeRuneInString(word)
		small, large = small || unicode.IsLower(letter), large || unicode.IsUpper(letter)
	}
	return small, large
}

// AreWords reports whether the cells of a row may be names: different words.
func AreWords(cells []string) bool {
	seen := map[string]bool{}
	for i, cell := range cells {
		letter, _ := utf8.DecodeRuneInString(cell)
		if cell == "" && i == 0 {
			continue
		}
		if seen[cell] || letter != '_' && !unicode.IsLetter(letter) || placeholders[strings.ToLower(cell)] {
			return false
		}
		seen[cell] = true
	}
	return len(cells) > 1
}

// placeholders are words that stand where a number is not known.
var placeholders = map[string]bool{
	"na": true, "n/a": true, "nan": true, "none": true, "nil": true, "null": true, "unknown": true, "missing": true, "tbd": true, "inf": true, "infinity": true,
}

// IsNumeric reports whether numbers and dates begin so.
func IsNumeric(letter byte) bool {
	return letter >= '0' && letter <= '9' || strings.IndexByte("+-.,$#", letter) >= 0
}
