package csvfile

import (
	"io"
	"strings"

	"runhook/services/runner/row"
)

// record is a row as the text it was in the file.
type record struct {
	text   string
	source *Source
}

// Record is the row that Next came to last.
func (s *Source) Record() row.Record { return &record{text: s.text, source: s} }

// Line is the line of the file at which the row begins that Next came to last.
func (s *Source) Line() int64 { return s.line }

// Texts splits the text again, with what no other row changes of the source. What cannot be split, or is
// more than the columns can take, goes as it is into the column where that begins.
func (r *record) Texts() []string {
	s := r.source
	split := reader{
		delimiter: s.reader.delimiter, noQuotes: s.reader.noQuotes, escapes: s.reader.escapes,
		buffer: []byte(r.text), end: len(r.text), readErr: io.EOF,
	}
	err := split.read()
	all := make([]string, len(s.columns))
	whole := len(split.fields)
	for whole > len(all) && split.fields[whole-1].isBare() {
		whole--
	}
	over := err != nil || whole > len(all)
	if over {
		whole = min(whole, len(all)-1)
	}
	rest := 0
	for i, f := range split.fields[:whole] {
		if all[i] = r.text[f.from:f.to]; !s.isNull(all[i], f) {
			all[i] = f.text(r.text)
		}
		rest = f.to
		if f.quoted {
			rest++
		}
		rest += len(split.delimiter)
	}
	if over {
		all[whole] = strings.TrimRight(r.text[min(rest, len(r.text)):], "\r\n")
	}
	texts := make([]string, len(s.at))
	for i, at := range s.at {
		texts[i] = all[at]
	}
	return texts
}
