package csvfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/check"
	"runhook/shared/run"
	"runhook/shared/wording"
)

// mark is a byte order mark. Where files were put behind each other there are more of them.
const mark = "\uFEFF"

// endMark is ^Z, with which programs of DOS end a text.
const endMark = '\x1A'

// separator is the line with which Excel is told the delimiter.
var separator = regexp.MustCompile(`^(?i:"?sep=)([^"\r\n])"?$`)

// readHeader reads the line that names the columns: that of a number, or the first with anything in it.
func (s *Source) readHeader(at int) error {
	first, err := s.reader.peek()
	for ; bytes.HasPrefix(first, []byte(mark)); first = first[len(mark):] {
		s.reader.start += len(mark)
	}
	if named := separator.FindSubmatch(first); named != nil {
		s.reader.delimiter = bytes.Clone(named[1])
		err = s.reader.skipLine()
	}
	for err == nil && s.reader.last < int64(at)-1 {
		err = s.reader.skipLine()
	}
	if line, err := s.reader.peek(); at > 0 && err == nil && len(line) == 0 {
		return run.Failf("line %d of %s is empty, and source.csv.header_row says that it names the columns; correct it", at, s.place)
	}
	switch err := s.reader.read(); {
	case errors.Is(err, io.EOF) && at > 0:
		return run.Failf("%s has %d lines, and source.csv.header_row names line %d; correct it", s.place, s.reader.last, at)
	case errors.Is(err, io.EOF):
		return run.Failf("%s is empty; its first row must name the columns", s.place)
	case err != nil:
		return s.fatal(err, "the header")
	case !s.valid(s.reader.record):
		return run.Failf("the header of %s is not valid %s; set source.csv.encoding to what the file is in, like windows-1252", s.place, s.charset)
	case bytes.IndexByte(s.reader.record, 0) >= 0:
		return run.Failf("the header of %s has zero bytes; if the file is in UTF-16, set source.csv.encoding to utf-16le or utf-16be", s.place)
	case bytes.IndexByte(cutLineEnd(s.reader.record), '\r') >= 0 && !bytes.Contains(s.reader.record, []byte("\r\n")):
		return run.Failf("%s ends its lines with a carriage return alone; save it with line ends of \\n or \\r\\n", s.place)
	}
	return s.takeHeader()
}

// takeHeader takes the names of the record. A column without a name, or with that of another, is one that
// no expression can name.
func (s *Source) takeHeader() error {
	text := string(s.reader.record)
	places := map[string][]string{}
	for i, f := range s.reader.fields {
		name := s.nameIn(text, f)
		s.columns = append(s.columns, name)
		if name != "" {
			places[name] = append(places[name], strconv.Itoa(i+1))
			s.least = i + 1
		}
	}
	if len(places) == 0 {
		return run.Failf("the header of %s names no column; its first row must name the columns", s.place)
	}
	for i, name := range s.columns {
		switch at := places[name]; {
		case len(at) == 1:
			s.header = append(s.header, name)
			s.at = append(s.at, i)
		case len(at) > 1 && s.repeated[name] == "":
			if s.repeated == nil {
				s.repeated = map[string]string{}
			}
			s.repeated[name] = "columns " + strings.Join(at, " and ")
		}
	}
	s.named = s.reader.first
	s.table.begin(s.columns)
	s.Use(nil)
	return nil
}

// adviceOnHeader is for a task that names none of the columns.
func (s *Source) adviceOnHeader() string {
	if len(s.columns) == 1 {
		for _, other := range []string{";", "\t", "|", ","} {
			if strings.Contains(s.columns[0], other) {
				return "the delimiter is perhaps another: write delimiter: " + wording.JSON(other) + " into source.csv"
			}
		}
	}
	return fmt.Sprintf("if line %d is a title, write the number of the line that names the columns into source.csv.header_row", s.named)
}

// Doubt is why the header may be none, after the first rows were read; "" if nothing speaks against it.
func (s *Source) Doubt(first []check.Cells) string {
	isOther := func(read check.Cells) bool { return read.Fault != nil && read.Fault.Column == "" }
	named, filled := 0, 0
	for i, some := range s.table.seen.Filled {
		if some {
			filled++
		}
		if s.columns[i] != "" {
			named++
		}
	}
	switch {
	case len(first) > 1 && !slices.ContainsFunc(first, func(read check.Cells) bool { return !isOther(read) }):
		return fmt.Sprintf("no row that was looked at fits line %d, which was read as the columns' names; %s", s.named, s.adviceOnHeader())
	case TooFew(named, filled) && s.columns[0] != "":
		return fmt.Sprintf("line %d names %d of %d columns; %s", s.named, named, filled, s.adviceOnHeader())
	}
	return ""
}

// TooFew reports whether a header names so few of the columns that have something in them that it may be a title.
func TooFew(named, filled int) bool { return named == 1 && filled > 1 || named*2 < filled }

// nameIn is a field of the header, or of a row that may be one.
func (s *Source) nameIn(record string, f field) string {
	return strings.TrimSpace(strings.TrimLeft(f.text(record), mark))
}
