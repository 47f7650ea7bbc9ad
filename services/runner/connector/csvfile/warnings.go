package csvfile

import (
	"fmt"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/shared/task"
	"runhook/shared/wording"
)

// Warnings are about rows that may not be what a person sees in the file; see connector.Warner.
func (s *Source) Warnings() (warnings []string) {
	t := &s.table
	if d := t.joined; d.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Lines %d to %d of %s were read as one row, because a quote goes over them, and each of them looks like a row%s: a quote may be missing, or one too many",
			d.first, d.last, s.place, Others(d.count-1)))
	}
	if d := t.doubtful; d.count > 0 {
		warnings = append(warnings, fmt.Sprintf("Line %d of %s may name the columns of another table%s; it was read as a row", d.first, s.place, Others(d.count-1)))
	}
	if s.total > 0 {
		warnings = append(warnings, fmt.Sprintf("The last row of %s, in line %d, looks like a total, and was read as a row; leave it out with where, if it is none", s.place, s.total))
	}
	return warnings
}

// Others says how many more there are of something.
func Others(more int64) string {
	switch more {
	case 0:
		return ""
	case 1:
		return " (so does one more)"
	}
	return fmt.Sprintf(" (so do %d more)", more)
}

// totals are what programs write before a total, in lower case.
var totals = map[string]bool{
	"total": true, "totals": true, "grand total": true, "sum": true, "summe": true, "gesamt": true, "gesamtsumme": true, "gesamtergebnis": true,
	"total général": true, "somme": true, "total general": true, "suma": true, "totale": true, "totale complessivo": true, "totaal": true,
	"eindtotaal": true, "total geral": true, "totalt": true, "sum total": true, "итого": true, "общий итог": true, "合計": true, "总计": true,
}

// IsTotal reports whether a cell is a word that programs write before a total.
func IsTotal(text string) bool { return totals[strings.ToLower(strings.Trim(text, " :"))] }

// seeTotal takes note of the last row, once nothing but empty rows comes behind it, if its first cell
// is a word for a total.
func (s *Source) seeTotal() {
	if s.text == "" || s.faulty {
		return
	}
	for _, text := range s.Record().Texts() {
		if strings.Trim(text, " :") == "" {
			continue
		}
		if IsTotal(text) {
			s.total = s.line
		}
		return
	}
}

// nullWords are what programs write where there is no value.
var nullWords = []string{`\N`, "NULL", "null", "(null)", "<null>", "NA", "N/A", "n/a", "NaN", "nan", "None", "nil"}

// checkWords reports what looks like the words of other programs for no value, and like letters that they
// put a backslash before.
func checkWords(from *task.CSVSource, columns []string, rows []check.Cells, found *check.Report) {
	slashes, all := 0, slices.Clone(from.Null)
	type column struct {
		at    int
		name  string
		words []string
		rows  []int // the first with each word
	}
	var doubtful []column
	for i, name := range columns {
		c, others := column{at: i, name: wording.Name(name)}, false
		for n, read := range rows {
			text, ok := read.Values[i].(string)
			switch {
			case !ok || text == "":
			case !isNullWord(text):
				others = others || !IsNumeric(text[0])
			case !slices.Contains(c.words, text):
				c.words, c.rows = append(c.words, text), append(c.rows, n+1)
			}
			if strings.Contains(text, `\\`) || from.Delimiter == '\t' && (strings.Contains(text, `\n`) || strings.Contains(text, `\t`)) {
				slashes++
			}
		}
		if others { // among texts, NA may be one
			at := slices.Index(c.words, `\N`)
			if at < 0 {
				continue
			}
			c.words, c.rows = c.words[at:at+1], c.rows[at:at+1]
		}
		for _, word := range c.words {
			if !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
		if len(c.words) > 0 {
			doubtful = append(doubtful, c)
		}
	}
	for i, word := range all {
		all[i] = wording.JSON(word)
	}
	for _, c := range doubtful {
		for i := len(c.words) - 1; i >= 0; i-- {
			if word := c.words[i]; slices.Contains(from.Null, word) {
				found.Warnf(check.At("source", "csv", "null"), "the column %s has %s between quotes, first in row %d, where null does not take it for no value; if it means none, write a mapping like: 'row[%s] == %s ? nil : row[%[4]s]'", c.name, word, c.rows[i], wording.JSON(columns[c.at]), wording.JSON(word))
				c.words, c.rows = slices.Delete(c.words, i, i+1), slices.Delete(c.rows, i, i+1)
			}
		}
		if len(c.words) == 0 {
			continue
		}
		mean := "they mean"
		if len(c.words) == 1 {
			mean = "it means"
		}
		found.Warnf(check.At("source", "csv", "null"), "the column %s has %s in the place of a value, first in row %d; if %s no value, write null: [%s]", c.name, strings.Join(c.words, ", "), c.rows[0], mean, strings.Join(all, ", "))
	}
	if slashes > 0 && !from.Escapes {
		found.Warnf(check.At("source", "csv", "escape"), `cells have a backslash before n, t or another backslash, as databases write line ends, tabs and backslashes; if they mean that here, write escape: "\\"`)
	}
}

func isNullWord(text string) bool {
	return slices.Contains(nullWords, text)
}
