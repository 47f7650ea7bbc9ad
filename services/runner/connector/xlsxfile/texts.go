package xlsxfile

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// texts are the workbook's texts, of which cells hold the numbers. They stand behind each other in
// one string, which costs least.
type texts struct {
	all string
	// ends are where each ends.
	ends []uint32
}

// maxTexts bounds how many texts a workbook may have.
const maxTexts = 10_000_000

func (t *texts) get(number string) (string, bool) {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(t.ends) {
		return "", false
	}
	from := uint32(0)
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.all[from:t.ends[i]], true
}

func (w *workbook) readTexts(part string) error {
	in, _, err := w.open(part, maxStrings)
	if err != nil {
		return err
	}
	defer in.Close()
	tokens := xml.NewDecoder(in)
	var all strings.Builder
	var text richText
	for depth := 0; ; {
		token, err := tokens.RawToken()
		switch {
		case errors.Is(err, io.EOF) && depth == 0:
			w.texts.all = all.String()
			return nil
		case err != nil:
			return errDamaged
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return errDamaged
			}
			if token.Name.Local == "si" {
				text.reset()
			}
			text.begin(token.Name.Local)
		case xml.EndElement:
			depth--
			text.end(token.Name.Local)
			if token.Name.Local == "si" {
				all.WriteString(unescape(text.String()))
				w.texts.ends = append(w.texts.ends, uint32(all.Len()))
				if len(w.texts.ends) > maxTexts {
					return problem("has more than 10 million different texts; save it as CSV")
				}
			}
		case xml.CharData:
			text.add(token)
		}
	}
}

// maxDepth bounds how deep the elements of a part are in each other.
const maxDepth = 100

// richText puts a text together that stands in pieces of different looks, without the readings that
// Japanese texts have beside them.
type richText struct {
	text []byte
	// inText and inReading count the elements that are open.
	inText, inReading int
}

func (r *richText) reset() { *r = richText{text: r.text[:0]} }

func (r *richText) begin(name string) {
	switch name {
	case "t":
		r.inText++
	case "rPh":
		r.inReading++
	}
}

func (r *richText) end(name string) {
	switch name {
	case "t":
		r.inText--
	case "rPh":
		r.inReading--
	}
}

func (r *richText) add(text []byte) {
	if r.inText > 0 && r.inReading == 0 {
		r.text = append(r.text, text...)
	}
}

func (r *richText) String() string { return string(r.text) }

// unescape replaces _xHHHH_, by which a workbook writes characters that XML has none for.
func unescape(text string) string {
	if !strings.Contains(text, "_x") {
		return text
	}
	var out strings.Builder
	for {
		at := strings.Index(text, "_x")
		if at < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:at])
		if text = text[at:]; len(text) >= 7 && text[6] == '_' {
			if code, err := strconv.ParseUint(text[2:6], 16, 16); err == nil {
				out.WriteRune(rune(code)) // half of a pair becomes U+FFFD
				text = text[7:]
				continue
			}
		}
		out.WriteString("_x")
		text = text[2:]
	}
}
