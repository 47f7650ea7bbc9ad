package csvfile

import (
	"io"
	"strings"

	"runhook/services/runner/row"
)

// record is a row as the text it was in the file.
type record struct {
	text      string
	delimiter []byte
	columns   int
}

// Record is the row that Next came to last.
func (s *Source) Record() row.Record {
	return &record{text: s.text, delimiter: s.reader.delimiter, columns: len(s.header)}
}

// Texts splits the text again. What cannot be split, or is more than the columns can take, goes as
// it is into the column where that begins.
func (r *record) Texts() []string {
	split := reader{delimiter: r.delimiter, buffer: []byte(r.text), end: len(r.text), readErr: io.EOF}
	err := split.read()
	texts := make([]string, r.columns)
	whole := len(split.fields)
	if err != nil || whole > r.columns {
		whole = min(whole, r.columns-1)
	}
	rest := 0
	for i, f := range split.fields[:whole] {
		texts[i] = f.text(r.text)
		rest = f.to
		if strings.HasPrefix(r.text[rest:], `"`) {
			rest++
		}
		rest += len(r.delimiter)
	}
	if err != nil || len(split.fields) > r.columns {
		texts[whole] = strings.TrimRight(r.text[min(rest, len(r.text)):], "\r\n")
	}
	return texts
}
