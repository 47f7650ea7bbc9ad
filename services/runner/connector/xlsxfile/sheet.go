package xlsxfile

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"runhook/services/runner/connector/csvfile"
)

// maxColumns and maxRows are how many columns and rows a sheet can have.
const (
	maxColumns = 16384
	maxRows    = 1 << 20
)

// maxRow bounds the memory that one row may take, and maxArrays how many formulas of many cells without a value a
// row may be in.
const (
	maxRow    = 16 << 20
	maxArrays = 1000
)

var (
	errRowTooLong = problem("has a row of more than 16 MiB")
	errArrays     = problem("has more than 1,000 formulas of many cells whose values were never saved; open it in a spreadsheet program and save it")
	errColumn     = problem("has a cell beyond the last column that a sheet can have, XFD")
	errRow        = problem("has a row beyond the last that a sheet can have, 1,048,576")
)

// sheet reads the rows of one sheet, as they come.
type sheet struct {
	book   *workbook
	in     io.ReadCloser
	size   uint64
	bound  *bound
	tokens *xml.Decoder
	// left is how much more a row may have.
	left  int
	depth int
	// ended: the last row has been read. next is the number that a row has which does not say its own,
	// and at that of the row whose beginning has been read, 0 for none.
	ended    bool
	next, at int
	// totals are the total rows of tables, which are no rows. arrays are the cells of formulas of many
	// cells that were never calculated; the sheet need not have any of them but the first.
	totals, arrays []area
	// cells are those of the last row, by column; cells[i].given says whether there is one.
	cells []cell
	text  richText
	value []byte
}

// cell is one cell of a row.
type cell struct {
	text  string
	given bool
	// formula: the value is what a formula gave when the workbook was saved.
	formula bool
	// fault is why the cell has no value.
	fault fault
}

// fault is why a cell has no value: an index of faults, 0 for one that has.
type fault uint8

const (
	faultError fault = iota + 1
	faultUnsaved
	faultNumber
	faultEarly
	faultRange
	faultClock
	faultMoment
	faultBool
)

// faults go on where a column's name ends.
var faults = [...]string{
	faultError:   "has an error of the workbook, such as #N/A, in the place of a value",
	faultUnsaved: "has a formula without a saved value; open the workbook in a spreadsheet program and save it",
	faultNumber:  "has no number in a cell of that kind, such as NaN or Infinity",
	faultEarly:   "has a date before 1 March 1900, which programs count in different ways, or an empty one (0); enter the date as text",
	faultRange:   "has a date or a time beyond those that spreadsheet programs show",
	faultClock:   "has a time below 0, of which programs show different times of the day; give the cell the format [h]:mm",
	faultMoment:  "has no date that can be read in a cell of that kind",
	faultBool:    "has neither true nor false in a cell of that kind",
}

func (w *workbook) openSheet(entry sheetEntry) (*sheet, error) {
	totals, err := w.totals(entry)
	if err != nil {
		return nil, err
	}
	in, size, err := w.open(entry.part, maxSheet)
	if err != nil {
		return nil, err
	}
	b := &bound{in: in}
	return &sheet{book: w, in: in, size: size, bound: b, tokens: xml.NewDecoder(b), next: 1, totals: totals}, nil
}

// read reads the next row that the sheet has, and returns its number; io.EOF is the end, and anything
// else a problem.
func (s *sheet) read() (number int, err error) {
	s.cells = s.cells[:0]
	if s.at == 0 && !s.ended {
		if err := s.findRow(); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	s.arrays = slices.DeleteFunc(s.arrays, func(a area) bool { return a.toRow < s.next })
	switch {
	case len(s.arrays) > 0 && (s.ended || s.next < s.at):
		number = s.next // which the sheet does not have
	case s.ended:
		return 0, io.EOF
	default:
		number, s.at = s.at, 0
		if err := s.readRow(number); err != nil {
			return number, err
		}
	}
	s.next = number + 1
	s.complete(number)
	return number, nil
}

// findRow reads up to the beginning of the next row, and takes its number.
func (s *sheet) findRow() error {
	for {
		s.left = maxRow
		token, err := s.token()
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "row" {
			s.at = s.next
			if given, err := strconv.Atoi(attribute(start, "r")); err == nil && given > 0 {
				s.at = given
			}
			if s.at > maxRows {
				return errRow
			}
			return nil
		}
	}
}

// complete takes the cells of total rows out of a row, and puts those in that a formula above has.
func (s *sheet) complete(number int) {
	for _, a := range s.totals {
		if a.fromRow <= number && number <= a.toRow && a.from < len(s.cells) {
			clear(s.cells[a.from:min(a.to+1, len(s.cells))])
		}
	}
	for _, a := range s.arrays {
		for column := a.from; column <= a.to && a.fromRow <= number && number <= a.toRow; column++ {
			s.reach(column)
			if c := &s.cells[column]; !c.given {
				*c = cell{formula: true, fault: faultUnsaved}
			}
		}
	}
}

// array is the first cell of the formula of many that a cell belongs to and is not the first of; "" if it
// belongs to none.
func (s *sheet) array(column, row int) string {
	for _, a := range s.arrays {
		if a.from <= column && column <= a.to && a.fromRow <= row && row <= a.toRow && (column > a.from || row > a.fromRow) {
			return cellName(a.from, a.fromRow)
		}
	}
	return ""
}

// reach sees to it that the row has a column.
func (s *sheet) reach(column int) {
	for len(s.cells) <= column {
		s.cells = append(s.cells, cell{})
	}
}

// token reads a token, and sees to it that the sheet has a proper end.
func (s *sheet) token() (xml.Token, error) {
	s.bound.left = min(s.left, maxToken)
	from := s.tokens.InputOffset()
	token, err := s.tokens.RawToken()
	s.left -= int(s.tokens.InputOffset() - from)
	switch {
	case s.bound.exceeded && s.left > maxToken:
		return nil, errTextTooLong
	case s.bound.exceeded:
		return nil, errRowTooLong
	case errors.Is(err, io.EOF) && s.depth == 0 && s.tokens.InputOffset() > 0:
		s.ended = true
		return nil, io.EOF
	case err != nil:
		return nil, s.book.damaged()
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
func (s *sheet) readRow(number int) error {
	size := 0 // many cells may have one text
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
			s.reach(column)
			c, err := s.readCell(attribute(token, "t"), attribute(token, "s"))
			if err != nil {
				return err
			}
			if size += len(c.text); size > maxRow {
				return errRowTooLong
			}
			s.cells[column] = c
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
func (s *sheet) readCell(kind, style string) (c cell, err error) {
	s.value = s.value[:0]
	s.text.reset()
	given, inValue := false, false
	var cells string
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
			if token.Name.Local == "f" {
				c.formula, cells = true, attribute(token, "ref")
			}
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
	switch {
	case c.formula && (!given || kind != "str" && len(bytes.TrimSpace(s.value)) == 0): // an empty text is a value
		c.fault = faultUnsaved
		if a, ok := areaOf(cells); ok && (a.from < a.to || a.fromRow < a.toRow) {
			if s.arrays = append(s.arrays, a); len(s.arrays) > maxArrays {
				return cell{}, errArrays
			}
		}
	case given:
		formula := c.formula
		c, err = s.convert(kind, style)
		c.formula = formula
	}
	return c, err
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
		return textCell(text), nil
	case "inlineStr":
		return textCell(unescape(s.text.String())), nil
	case "str":
		return textCell(unescape(value)), nil
	case "b":
		switch value = strings.ToLower(strings.TrimSpace(value)); value {
		case "":
			return cell{}, nil
		case "0", "false":
			return cell{text: "false", given: true}, nil
		case "1", "true":
			return cell{text: "true", given: true}, nil
		}
		return cell{text: value, given: true, fault: faultBool}, nil
	case "e":
		return cell{text: value, given: true, fault: faultError}, nil
	}
	if value = strings.TrimSpace(value); value == "" {
		return cell{}, nil
	}
	var f format
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(s.book.styles) {
		f = s.book.styles[i]
	}
	if kind != "d" {
		return f.cell(value, s.book.from1904), nil
	}
	shown, fault := f.iso(value)
	return cell{text: cmp.Or(shown, value), given: true, fault: fault}, nil
}

// textCell makes a cell of a text. A person sees an error as a text too.
func textCell(text string) cell {
	c := cell{text: text, given: true}
	if len(text) > 2 && (text[0] == '#' || text[0] == 'E') && csvfile.IsError(text) {
		c.fault = faultError
	}
	return c
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

// area is cells of a sheet: columns, counted from 0, of rows.
type area struct{ from, to, fromRow, toRow int }

// areaOf reads a reference such as B2:C9 or B2.
func areaOf(reference string) (a area, ok bool) {
	first, last, found := strings.Cut(reference, ":")
	if !found {
		last = first
	}
	a.from, a.fromRow = columnOf(first), rowOf(first)
	a.to, a.toRow = columnOf(last), rowOf(last)
	return a, 0 <= a.from && a.from <= a.to && a.to < maxColumns && 0 < a.fromRow && a.fromRow <= a.toRow && a.toRow <= maxRows
}

// rowOf is the number of a reference's row, 0 for what is none.
func rowOf(reference string) int {
	row, _ := strconv.Atoi(strings.TrimLeftFunc(reference, unicode.IsLetter))
	return row
}

// cellName is the reference of a cell.
func cellName(column, row int) string { return columnName(column) + strconv.Itoa(row) }

// columnNames are the names of columns, as a sentence has them.
func columnNames(columns []int) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = columnName(column)
	}
	return strings.Join(names, " and ")
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
