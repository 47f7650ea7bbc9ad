// Package xlsxfile reads the rows of a sheet of a workbook (.xlsx), inside the folders of files
// connections. The sheet is read as it comes; only the workbook's texts are held in memory.
package xlsxfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Source reads the rows of one sheet. It belongs to one goroutine. Cells are text, as a person sees them:
// numbers are their shortest form or a code, dates and times ISO 8601, booleans true or false; formulas
// are the values that they had when the workbook was saved, and merged cells have theirs in the first.
type Source struct {
	// place is how messages name the sheet.
	place string
	file  *os.File
	// info is what the file was when it was opened.
	info  fs.FileInfo
	sheet *sheet

	header []string
	// named is the row of the header.
	named int
	// at are the columns of the sheet that the header names. others are those whose name several have,
	// and repeated such names with their columns.
	at, others []int
	repeated   map[string]string
	// unread says of a column whose name is a formula without a value.
	unread string
	used   []bool
	// texts are the last row's, and number is that of the sheet's row.
	texts  []string
	number int
	// names are the names of the header by the sheet's columns, from that of the first on, and seen what the first
	// rows have in those. known are the names too, folded those in lower case, and lengths how long they are in either case. again: the last row is the header once more. other is the row of a
	// header with other names, below which is another table; 0 in this one.
	names   []string
	seen    csvfile.Seen
	known   map[string]bool
	folded  map[string]bool
	lengths [256]bool
	again   bool
	other   int
	// formulas: a column that the task names had one.
	formulas bool
	doubts   doubts
	// looked is how many of the first rows were looked at for widest, the most filled cells that one has.
	looked, widest int
}

// Open opens the workbook and reads the sheet's header. Whatever is wrong is a [*run.Failure].
func Open(ctx context.Context, connections *connection.Set, from *task.CSVSource) (*Source, error) {
	file, info, err := csvfile.OpenFile(connections, from)
	if err != nil {
		return nil, err
	}
	s := &Source{place: "the file " + from.Path + " of connection " + from.Connection, file: file, info: info}
	told := csvfile.Tell(file, info.Size())
	if told.Text {
		told.Other = csvfile.NoWorkbook
	}
	if told.Other != "" {
		s.Close()
		return nil, run.Failf("%s %s", s.place, told.Other)
	}
	if err := s.open(ctx, info.Size(), from); err != nil {
		s.Close()
		if _, ok := errors.AsType[*run.Failure](err); ok || ctx.Err() != nil {
			return nil, err
		}
		return nil, s.fail(err)
	}
	return s, nil
}

func (s *Source) open(ctx context.Context, size int64, from *task.CSVSource) error {
	book, err := openWorkbook(ctx, s.file, size)
	if err != nil {
		return err
	}
	entry, err := book.find(from.Sheet)
	if err != nil {
		return err
	}
	if s.sheet, err = book.openSheet(entry); err != nil {
		return err
	}
	s.place = "the sheet " + entry.name + " in " + s.place
	s.repeated = map[string]string{}
	return s.readHeader(from.HeaderRow)
}

// readHeader reads the row that names the columns: that of a number, or the first with anything in it.
func (s *Source) readHeader(at int) error {
	for {
		number, err := s.sheet.read()
		switch {
		case errors.Is(err, io.EOF) && at > 0:
			return run.Failf("%s ends before row %d, which source.csv.header_row says names the columns; correct it", s.place, at)
		case errors.Is(err, io.EOF):
			return run.Failf("%s is empty; its first row must name the columns", s.place)
		case err != nil:
			return err
		case number < at:
			continue
		}
		named, unsaved := s.takeHeader()
		switch {
		case at > 0 && (number > at || !named && unsaved < 0):
			return run.Failf("row %d of %s is empty, and source.csv.header_row says that it names the columns; correct it", at, s.place)
		case named:
			s.named = number
			if unsaved >= 0 {
				s.unread = fmt.Sprintf("the name in cell %s is a formula without a saved value: open the workbook in a spreadsheet program and save it", cellName(unsaved, number))
			}
			s.known, s.folded = map[string]bool{}, map[string]bool{}
			if len(s.header) > 0 {
				s.names = make([]string, s.at[len(s.at)-1]-s.at[0]+1)
			}
			s.seen = csvfile.NewSeen(len(s.names))
			for i, name := range s.header {
				s.names[s.at[i]-s.at[0]] = name
				s.known[name] = true
				s.folded[strings.ToLower(name)] = true
				for _, written := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
					s.lengths[min(len(written), 255)] = true
				}
			}
			s.used = slices.Repeat([]bool{true}, len(s.header))
			return nil
		case unsaved >= 0:
			return run.Failf("the header of %s %s (cell %s)", s.place, faults[faultUnsaved], cellName(unsaved, number))
		}
	}
}

// takeHeader takes the names in the row that was read. A column without a name, such as of notes beside
// the table, or with that of another, is one that no expression can name. unsaved is the first column
// whose name would be a formula's that was never calculated, -1 if there is none.
func (s *Source) takeHeader() (named bool, unsaved int) {
	places := map[string][]int{}
	for i, c := range s.sheet.cells {
		if name := strings.TrimSpace(c.text); name != "" {
			places[name] = append(places[name], i)
		}
	}
	for i, c := range s.sheet.cells {
		name := strings.TrimSpace(c.text)
		switch at := places[name]; {
		case len(at) == 1:
			s.header = append(s.header, name)
			s.at = append(s.at, i)
		case len(at) > 1:
			s.others = append(s.others, i)
			if i == at[0] {
				s.repeated[name] = "columns " + columnNames(at)
			}
		}
	}
	return len(places) > 0, slices.IndexFunc(s.sheet.cells, func(c cell) bool { return c.formula && !c.given })
}

// Columns are those of the header. All cells are strings.
func (s *Source) Columns() mapping.Columns {
	return mapping.Columns{Names: s.header, Text: true, Repeated: s.repeated, Advice: s.adviceOnHeader(), Unread: s.unread}
}

// adviceOnHeader is for a task that names none of the columns.
func (s *Source) adviceOnHeader() string {
	return fmt.Sprintf("if row %d is a title, write the number of the row that names the columns into source.csv.header_row", s.named)
}

// Doubt is why the header may be none, after the first rows were read; "" if nothing speaks against it.
func (s *Source) Doubt([]check.Cells) string {
	named := len(s.header) + len(s.others)
	if !csvfile.TooFew(named, s.widest) {
		return ""
	}
	return fmt.Sprintf("row %d names %d of %d columns; %s", s.named, named, s.widest, s.adviceOnHeader())
}

// Use says which columns the task names. The others may have errors.
func (s *Source) Use(used []bool) { copy(s.used, used) }

// Next reads the next row with anything in it into cells; see connector.Source.
func (s *Source) Next(ctx context.Context, cells []any) (size int, err error) {
	s.sheet.book.during = ctx
	if err := s.read(cells); err != nil {
		return 0, err
	}
	if len(s.header) > 1 && s.isBlank() {
		return 0, row.ErrBlank
	}
	switch {
	case s.again:
		return 0, row.Faultf("", "is the header again")
	case s.other == s.number:
		return 0, row.Faultf("", "names other columns than the header does: another table begins in row %d", s.other)
	case s.other > 0:
		return 0, row.Faultf("", "stands below row %d, which names other columns than the header: it is not of the same table", s.other)
	}
	const textSize = 16 // of one that is empty
	size = textSize * len(s.texts)
	for i, text := range s.texts {
		size += len(text)
		if column := s.at[i]; s.used[i] && column < len(s.sheet.cells) && s.sheet.cells[column].fault != 0 {
			return size, s.fault(i)
		}
	}
	return size, nil
}

// mayBeHeader reports whether a row has a name of the header at its beginning or end, or begins with a letter where
// numbers were.
func (s *Source) mayBeHeader() bool {
	first := strings.TrimSpace(s.texts[0])
	return first != "" && s.seen.Numeric[0] && !csvfile.IsNumeric(first[0]) || s.isName(first) || s.isName(strings.TrimSpace(s.texts[len(s.texts)-1]))
}

func (s *Source) isName(text string) bool {
	return s.lengths[min(len(text), 255)] && s.folded[strings.ToLower(text)]
}

// words are the cells of the row in the columns of the header, and of those right behind, as far as there are any.
func (s *Source) words() []string {
	var words []string
	end := 0
	for i, c := range s.sheet.cells[min(s.at[0], len(s.sheet.cells)):] {
		word := strings.TrimSpace(c.text)
		if word == "" && i >= len(s.names) {
			break
		}
		if words = append(words, word); word != "" {
			end = len(words)
		}
	}
	return words[:end]
}

// tellHeader tells a row that names columns: those of the header in any case, or others.
func (s *Source) tellHeader() {
	s.again = false
	gap := s.doubts.gap(s.number)
	if len(s.header) < 2 || !gap && !s.mayBeHeader() {
		return
	}
	words := s.words()
	names, filled := 0, 0
	folded, named := map[string]bool{}, map[string]bool{}
	for _, word := range words {
		if word == "" {
			continue
		}
		filled++
		if s.known[word] && !named[word] {
			named[word] = true
			names++
		}
		if folding := strings.ToLower(word); s.folded[folding] {
			folded[folding] = true
		}
	}
	s.again = true
	for i, text := range s.texts {
		s.again = s.again && strings.EqualFold(strings.TrimSpace(text), s.header[i])
	}
	if s.again {
		s.other = 0
		return
	}
	other, perhaps := s.seen.Repeats(words, s.names, s.folded)
	areWords := gap && csvfile.AreWords(words)
	switch {
	case other, names >= 2 && (names == filled || names == len(s.known)), len(folded) >= 2 && len(folded) == filled && len(folded) == len(s.folded),
		areWords && names > 0 && 2*names >= filled:
		s.other = s.number
	case perhaps, areWords && s.areOdd(words):
		s.doubts.others.add(s.number)
	}
}

// isBlank reports whether the row has nothing but spaces and the like.
func (s *Source) isBlank() bool {
	for i, text := range s.texts {
		if text != "" && strings.TrimSpace(text) != "" || s.at[i] < len(s.sheet.cells) && s.sheet.cells[s.at[i]].fault != 0 {
			return false
		}
	}
	return !slices.ContainsFunc(s.others, func(column int) bool {
		return column < len(s.sheet.cells) && (s.sheet.cells[column].fault != 0 || strings.TrimSpace(s.sheet.cells[column].text) != "")
	})
}

// fault is that of the cell in the header's column i.
func (s *Source) fault(i int) *row.Fault {
	column := s.at[i]
	place := "cell " + cellName(column, s.number)
	if first := s.sheet.array(column, s.number); first != "" {
		place += ", of the formula in " + first
	}
	return &row.Fault{Column: s.header[i], Message: faults[s.sheet.cells[column].fault], Place: place}
}

// read reads the next row with anything in it into cells.
func (s *Source) read(cells []any) error {
	for {
		number, err := s.sheet.read()
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return s.fail(err)
		case s.sheet.book.during.Err() != nil:
			return s.sheet.book.during.Err()
		}
		s.number = number
		if s.take(cells) {
			s.tellHeader()
			s.look()
			return nil
		}
	}
}

// take fills in the cells of the row that was read; false means that it has none.
func (s *Source) take(cells []any) (something bool) {
	if s.looked < check.Looked {
		s.looked++
		filled := 0
		for i := range s.sheet.cells {
			if s.sheet.cells[i].text != "" {
				filled++
			}
		}
		s.widest = max(s.widest, filled)
	}
	s.texts = make([]string, len(s.header))
	for i, column := range s.at {
		if column < len(s.sheet.cells) {
			c := &s.sheet.cells[column]
			s.texts[i] = c.text
			// A formula that was never calculated would be something.
			something = something || c.text != "" || c.fault != 0
			s.formulas = s.formulas || c.formula && s.used[i]
		}
		cells[i] = s.texts[i]
	}
	for _, column := range s.others {
		something = something || column < len(s.sheet.cells) && (s.sheet.cells[column].text != "" || s.sheet.cells[column].fault != 0)
	}
	return something
}

// Warnings are about rows that may be none of the table, and say that the workbook asks to be calculated when it
// is opened, if a column that the task names has formulas.
func (s *Source) Warnings() []string {
	warnings := s.doubts.warnings(s.place)
	if !s.formulas || !s.sheet.book.recalculated {
		return warnings
	}
	return append(warnings, s.place+" asks to be calculated when it is opened, so its formulas may give other values than it has saved; open it in a spreadsheet program and save it")
}

// Version identifies the workbook's state; see connector.Source.
func (s *Source) Version() (string, error) { return csvfile.FileVersion(s.file, s.info, s.place) }

// Skip passes over rows, as Next would read them; see connector.Source.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	s.sheet.book.during = ctx
	cells := make([]any, len(s.header))
	for range rows {
		if err := s.read(cells); err != nil {
			return err
		}
	}
	return nil
}

// Record is the row that Next came to last.
func (s *Source) Record() row.Record { return record(s.texts) }

type record []string

// Texts are the cells.
func (r record) Texts() []string { return r }

// Line is the number that the sheet's row has that Next came to last.
func (s *Source) Line() int64 { return int64(s.number) }

// Progress is the part of the sheet that has been read, 0 to 1. The number of rows is not known.
func (s *Source) Progress() (part float64, total int64) { return s.sheet.progress(), 0 }

// Close closes the file.
func (s *Source) Close() error {
	if s.sheet != nil {
		s.sheet.in.Close()
	}
	return s.file.Close()
}

// fail says what is wrong with the workbook.
func (s *Source) fail(err error) error {
	if s.sheet != nil && s.sheet.book.during.Err() != nil {
		return s.sheet.book.during.Err()
	}
	if p, ok := errors.AsType[problem](err); ok {
		return run.Failf("%s %s", s.place, string(p))
	}
	return run.Failf("%s could not be read any further: the disk or the network share failed", s.place)
}
