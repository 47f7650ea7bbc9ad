package xlsxfile

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// texts are the workbook's texts, of which cells hold the numbers. They stand behind each other in pieces of
// textsOfPiece, which costs least: none is copied as more of them come.
type texts struct {
	pieces []piece
	count  int
	// all and ends are the piece that is being put together.
	all  []byte
	ends []uint32
}

// piece is some texts behind each other.
type piece struct {
	all string
	// ends are where each ends.
	ends []uint32
}

const textsOfPiece = 1024

var errTextTooLong = problem("has a text of more than 1 MiB, and cells have at most 32,767 letters; save it as CSV")

// maxTexts bounds how many texts a workbook may have.
const maxTexts = 10_000_000

func (t *texts) add(text string) {
	t.all = append(t.all, text...)
	t.ends = append(t.ends, uint32(len(t.all)))
	if t.count++; len(t.ends) == textsOfPiece {
		t.cut()
	}
}

// cut ends a piece.
func (t *texts) cut() {
	t.pieces = append(t.pieces, piece{all: string(t.all), ends: slices.Clone(t.ends)})
	t.all, t.ends = t.all[:0], t.ends[:0]
}

// done is for after the last text.
func (t *texts) done() {
	t.cut()
	t.all, t.ends = nil, nil
}

func (t *texts) get(number string) (string, bool) {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= t.count {
		return "", false
	}
	p, at := &t.pieces[i/textsOfPiece], i%textsOfPiece
	from := uint32(0)
	if at > 0 {
		from = p.ends[at-1]
	}
	return p.all[from:p.ends[at]], true
}

func (w *workbook) readTexts(part string) error {
	in, _, err := w.open(part, maxStrings)
	if err != nil {
		return err
	}
	defer in.Close()
	limited := &bound{in: in}
	tokens := xml.NewDecoder(limited)
	var text richText
	for depth := 0; ; {
		limited.left = maxToken
		token, err := tokens.RawToken()
		switch {
		case errors.Is(err, io.EOF) && depth == 0:
			w.texts.done()
			return nil
		case limited.exceeded:
			return errTextTooLong
		case err != nil:
			return w.damaged()
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
				w.texts.add(unescape(text.String()))
				if w.texts.count > maxTexts {
					return problem("has more than 10 million different texts; save it as CSV")
				}
			}
		case xml.CharData:
			if text.add(token); len(text.text) > maxToken {
				return errTextTooLong
			}
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
