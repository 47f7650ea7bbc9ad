package xlsxfile

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxColumns is how many columns a sheet can have.
const maxColumns = 16384

// maxRow bounds the memory that one row may take.
const maxRow = 16 << 20

var (
	errRowTooLong = problem("has a row of more than 16 MiB")
	errColumn     = problem("has a cell beyond the last column that a sheet can have, XFD")
)

// sheet reads the rows of one sheet, as they come.
type sheet struct {
	book   *workbook
	in     io.ReadCloser
	size   uint64
	bound  *bound
	tokens *xml.Decoder
	depth  int
	// ended: the last row has been read. next is the number that a row has which does not say its own.
	ended bool
	next  int
	// cells are those of the last row, by column; cells[i].given says whether there is one.
	cells []cell
	text  richText
	value []byte
}

// cell is one cell of a row.
type cell struct {
	text  string
	given bool
	// failed: the cell has an error of the workbook, such as #N/A, instead of a value.
	failed bool
}

func (w *workbook) openSheet(s sheetEntry) (*sheet, error) {
	in, size, err := w.open(s.part, maxSheet)
	if err != nil {
		return nil, err
	}
	b := &bound{in: in}
	return &sheet{book: w, in: in, size: size, bound: b, tokens: xml.NewDecoder(b), next: 1}, nil
}

// read reads the next row that the sheet has, and returns its number; io.EOF is the end, and anything
// else a problem.
func (s *sheet) read() (number int, err error) {
	s.cells = s.cells[:0]
	for !s.ended {
		s.bound.left = maxRow
		token, err := s.token()
		if err != nil {
			return 0, err
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "row" {
			continue
		}
		if given, err := strconv.Atoi(attribute(start, "r")); err == nil && given > 0 {
			s.next = given
		}
		number := s.next
		s.next++
		return number, s.readRow()
	}
	return 0, io.EOF
}

// token reads a token, and sees to it that the sheet has a proper end.
func (s *sheet) token() (xml.Token, error) {
	token, err := s.tokens.RawToken()
	switch {
	case s.bound.exceeded:
		return nil, errRowTooLong
	case errors.Is(err, io.EOF) && s.depth == 0 && s.tokens.InputOffset() > 0:
		s.ended = true
		return nil, io.EOF
	case err != nil:
		return nil, errDamaged
	}
	switch token.(type) {
	case xml.StartElement:
		s.depth++
	case xml.EndElement:
		s.depth--
	}
	if s.depth > maxDepth || s.depth < 0 {
		return nil, errDamaged
	}
	return token, nil
}

// readRow reads the cells up to the row's end.
func (s *sheet) readRow() error {
	for column := 0; ; {
		token, err := s.within()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			if token.Name.Local == "row" {
				return nil
			}
		case xml.StartElement:
			if token.Name.Local != "c" {
				continue
			}
			if reference := attribute(token, "r"); reference != "" {
				column = columnOf(reference)
			}
			if column < 0 || column >= maxColumns {
				return errColumn
			}
			for len(s.cells) <= column {
				s.cells = append(s.cells, cell{})
			}
			if s.cells[column], err = s.readCell(attribute(token, "t"), attribute(token, "s")); err != nil {
				return err
			}
			column++
		}
	}
}

// within is token where the end of the sheet is not to come.
func (s *sheet) within() (xml.Token, error) {
	token, err := s.token()
	if errors.Is(err, io.EOF) {
		return nil, errDamaged
	}
	return token, err
}

// readCell reads a cell up to its end: of a formula, the value that it had when the workbook was saved.
func (s *sheet) readCell(kind, style string) (cell, error) {
	s.value = s.value[:0]
	s.text.reset()
	given, inValue := false, false
	for depth := 1; depth > 0; {
		token, err := s.within()
		if err != nil {
			return cell{}, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			inValue = token.Name.Local == "v"
			given = given || inValue || token.Name.Local == "is"
			s.text.begin(token.Name.Local)
		case xml.EndElement:
			depth--
			inValue = false
			s.text.end(token.Name.Local)
		case xml.CharData:
			if inValue {
				s.value = append(s.value, token...)
			}
			s.text.add(token)
		}
	}
	if !given {
		return cell{}, nil
	}
	return s.convert(kind, style)
}

// convert makes text of a value, by its cell's kind.
func (s *sheet) convert(kind, style string) (cell, error) {
	value := string(s.value)
	switch kind {
	case "s":
		text, ok := s.book.texts.get(strings.TrimSpace(value))
		if !ok {
			return cell{}, errDamaged
		}
		return cell{text: text, given: true}, nil
	case "inlineStr":
		return cell{text: unescape(s.text.String()), given: true}, nil
	case "str":
		return cell{text: unescape(value), given: true}, nil
	case "b":
		return cell{text: strconv.FormatBool(strings.TrimSpace(value) == "1" || value == "true"), given: true}, nil
	case "e":
		return cell{text: value, given: true, failed: true}, nil
	case "d":
		return cell{text: value, given: true}, nil
	}
	value = strings.TrimSpace(value)
	shown := asNumber
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(s.book.styles) {
		shown = s.book.styles[i]
	}
	if shown == asNumber {
		return cell{text: number(value), given: value != ""}, nil
	}
	return cell{text: shown.moment(value, s.book.from1904), given: value != ""}, nil
}

// progress is the part that has been read, 0 to 1.
func (s *sheet) progress() float64 {
	if s.size == 0 {
		return 1
	}
	return min(1, float64(s.tokens.InputOffset())/float64(s.size))
}

func attribute(element xml.StartElement, name string) string {
	for _, a := range element.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// columnOf is the number of a reference's column, from 0: 27 for AB12; -1 for what is none.
func columnOf(reference string) int {
	column := 0
	for i := 0; i < len(reference); i++ {
		letter := reference[i] &^ 0x20 // upper case
		if letter < 'A' || letter > 'Z' {
			break
		}
		if column = column*26 + int(letter-'A') + 1; column > maxColumns {
			return column
		}
	}
	return column - 1
}

// columnName is the reverse of columnOf.
func columnName(column int) string {
	var name []byte
	for column++; column > 0; column = (column - 1) / 26 {
		name = append(name, byte('A'+(column-1)%26))
	}
	slices.Reverse(name)
	return string(name)
}

// bound reads no further than is allowed.
type bound struct {
	in       io.Reader
	left     int
	exceeded bool
}

func (b *bound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.exceeded = true
		return 0, io.ErrShortBuffer
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
