package imis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The bounds of what an answer may have.
const (
	// maxValues bounds its values of whatever kind, of which each takes some memory.
	maxValues = 1_000_000
	// maxColumns are those that a query of the database behind a site can have.
	maxColumns = 4096
	// usualRows are those that a page may have, however few were asked for.
	usualRows = 500
	maxCells  = usualRows * maxColumns
)

// page is the rows of one answer, and what it says of the others.
type page struct {
	// asked is how many rows were asked for.
	asked   int64
	columns *columns
	// cells are the rows' cells, one row after the other, and sizes the memory that each row holds.
	cells []any
	sizes []int
	// offset and limit are those that the site took; limit is 0 where it does not say.
	offset, limit int64
	// total is the number of all rows, where the site counts them.
	total   int64
	counted bool
	// more says that there is another page, which begins at next.
	more bool
	next int64
}

// columns are those of an IQA, by the rows of its first page.
type columns struct {
	names []string
	index map[string]int
}

// errNoPage: an answer is not a page of rows.
var errNoPage = errors.New("not a page of rows")

// excess is the error of an answer with more than it may have.
type excess string

func (e excess) Error() string { return string(e) }

// twice is the error of rows in which a name stands twice.
type twice struct{ name string }

func (t *twice) Error() string { return "two columns named " + t.name }

// resultRow is a number that /api/iqa adds to each row.
const resultRow = "ResultRow"

// decode reads an answer, which is valid JSON, into p, whose memory it uses again. Without columns it
// finds them.
func (p *page) decode(ctx context.Context, text string) error {
	p.cells, p.sizes = p.cells[:0], p.sizes[:0]
	p.offset, p.limit, p.total, p.counted, p.more, p.next = 0, 0, 0, false, false, 0
	s := scanner{text: text}
	if !s.enter('{') {
		return errNoPage
	}
	found, told, named, empty := false, false, false, false
	for s.more() {
		switch s.name() {
		case "Items":
			found = true
			if err := p.items(ctx, &s); err != nil {
				return err
			}
		case "Offset":
			p.offset, _ = s.whole()
		case "Limit":
			p.limit, _ = s.whole()
		case "TotalCount":
			p.total, p.counted = s.whole()
		case "Count":
			count, ok := s.whole()
			empty = ok && count == 0
		case "HasNext":
			p.more, told = s.yes()
		case "NextOffset":
			p.next, named = s.whole()
		default:
			s.raw()
		}
	}
	if !found && !empty && (!p.counted || p.total > 0) { // a list without rows may be left out
		return errNoPage
	}
	switch end := p.offset + int64(len(p.sizes)); {
	case told:
	case p.counted && p.total > end:
		p.more, p.next = true, end
	case p.counted:
	case named:
		p.more = p.next > p.offset
	case len(p.sizes) > 0: // it says nothing of other pages, so the next one is asked for
		p.more, p.next = true, end
	}
	return nil
}

// whole reads a number, or a text of one; 0 where it is neither.
func (s *scanner) whole() (number int64, ok bool) {
	switch value := s.value().(type) {
	case int64:
		return value, true
	case string:
		number, err := strconv.ParseInt(value, 10, 64)
		return number, err == nil
	}
	return 0, false
}

// yes reads true or false, or a text of either.
func (s *scanner) yes() (yes, ok bool) {
	switch value := s.value().(type) {
	case bool:
		return value, true
	case string:
		yes, err := strconv.ParseBool(strings.ToLower(value))
		return yes, err == nil
	}
	return false, false
}

// items reads the list of rows, in its envelope or without.
func (p *page) items(ctx context.Context, s *scanner) error {
	if s.next() != '{' {
		return p.rows(ctx, s)
	}
	if !s.member("$values") {
		return errNoPage
	}
	if err := p.rows(ctx, s); err != nil {
		return err
	}
	for s.more() {
		s.name()
		s.raw()
	}
	return nil
}

// rows reads a list of rows, or null, which is none.
func (p *page) rows(ctx context.Context, s *scanner) error {
	if s.next() == 'n' {
		s.word()
		return nil
	}
	if p.columns == nil {
		if err := p.findColumns(ctx, *s); err != nil {
			return err
		}
	}
	if !s.enter('[') {
		return errNoPage
	}
	if p.columns == nil { // the list is empty
		s.more()
		return nil
	}
	width := len(p.columns.names)
	for s.more() {
		switch {
		case s.next() != '{':
			return errNoPage
		case int64(len(p.sizes)) >= max(p.asked, usualRows):
			return p.tooMany()
		}
		begin := len(p.cells)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case begin+width > maxCells:
			return excess(fmt.Sprintf("more than %d cells on a page; take a smaller page_size", maxCells))
		}
		p.cells = append(p.cells, make([]any, width)...)
		size := p.columns.read(s, p.cells[begin:])
		p.sizes = append(p.sizes, size)
	}
	return nil
}

// findColumns makes the columns of all names that the rows have, in their order. Without rows there
// are none.
func (p *page) findColumns(ctx context.Context, s scanner) error {
	if !s.enter('[') {
		return errNoPage
	}
	var found *columns
	for rows := int64(1); s.more(); rows++ {
		switch {
		case s.next() != '{':
			return errNoPage
		case ctx.Err() != nil:
			return ctx.Err()
		case rows > max(p.asked, usualRows):
			return p.tooMany()
		}
		if found == nil {
			found = &columns{index: map[string]int{}}
		}
		inRow := map[string]bool{}
		for name := range cells(&s) {
			if inRow[name] {
				return &twice{name}
			}
			inRow[name] = true
			if _, known := found.index[name]; !known {
				found.index[name] = len(found.names)
				found.names = append(found.names, name)
			}
			if len(found.names) > maxColumns {
				return excess(fmt.Sprintf("more than %d columns", maxColumns))
			}
		}
	}
	p.columns = found
	return nil
}

// tooMany is the error of a page with more rows than were asked for.
func (p *page) tooMany() error {
	return excess(fmt.Sprintf("more rows on a page than the %d that were asked for", p.asked))
}

// read reads the row at which s stands into its cells, and returns how much memory they hold. Names
// that are no columns are passed over.
func (c *columns) read(s *scanner, to []any) (size int) {
	expected := 0
	for name, value := range cells(s) {
		column := expected
		if expected == len(c.names) || c.names[expected] != name {
			known := false
			if column, known = c.index[name]; !known {
				continue
			}
		}
		expected = column + 1
		begin := value.at
		to[column] = value.value()
		size += value.at - begin
	}
	return size
}

// cells yields the name of each cell of the row at which s stands, and a scanner at its value, whether
// the row is flat or an entity with a list of properties. Yield may read the value or leave it.
func cells(s *scanner) func(yield func(string, *scanner) bool) {
	return func(yield func(string, *scanner) bool) {
		for s.enter('{'); s.more(); {
			name := s.name()
			if name == "$type" {
				if strings.Contains(s.raw(), "GenericEntityData") {
					properties(s, yield)
					return
				}
				continue
			}
			s.next()
			begin := s.at
			if !yield(name, s) {
				return
			}
			if s.at == begin {
				s.raw()
			}
		}
	}
}

// properties yields the properties of an entity, in which s stands behind its $type. One without a
// Value is yielded with null.
func properties(s *scanner, yield func(string, *scanner) bool) {
	null := "null"
	for s.more() {
		if s.name() != "Properties" {
			s.raw()
			continue
		}
		list := scanner{text: s.raw()}
		if !list.member("$values") || !list.enter('[') {
			continue
		}
		for list.more() {
			name, value := "", scanner{text: null}
			property := scanner{text: list.raw()}
			for property.enter('{'); property.more(); {
				switch property.name() {
				case "Name":
					name, _ = property.value().(string)
				case "Value":
					value = scanner{text: property.raw()}
				default:
					property.raw()
				}
			}
			if name != resultRow && !yield(name, &value) {
				return
			}
		}
	}
}

// number reads a whole number that is written as one or as text.
func number(raw json.RawMessage) int64 {
	whole, _ := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	return whole
}
