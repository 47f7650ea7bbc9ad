// Package csvfile reads and writes delimited text files inside the folders of files connections.
package csvfile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Source reads the rows of one file. It belongs to one goroutine.
type Source struct {
	// during is the context of whoever reads, and place how messages name the file.
	during context.Context
	place  string
	file   *os.File
	// info is what the file was when it was opened, and head its first bytes then.
	info    fs.FileInfo
	head    []byte
	size    int64
	counted *counter
	reader  *reader
	// charset is what messages call the encoding; decoded says that the text went through a
	// decoder, which puts U+FFFD where it could not.
	charset string
	decoded bool

	from *task.CSVSource
	// columns are the names of all columns, "" for one without, of which the first least have to be in a row.
	columns []string
	// named is the line of the header.
	named int64
	least int
	// header are the names that one column has, at where those are among all, and repeated the others.
	header   []string
	at       []int
	repeated map[string]string
	// reads are the cells that the task names.
	reads []use
	// nulls: some texts are no value.
	nulls bool
	table table

	rows int64
	part float64 // as Progress returned it
	// text is the last row's, which begins in line. It is one of the table unless faulty.
	text   string
	line   int64
	faulty bool
	// total is the line of the last row if it looks like a total.
	total int64
	// undecodable is how many rows were not valid in the encoding.
	undecodable int64
}

// use is where a cell goes to, and its field in a record.
type use struct{ cell, field int }

// headBytes is how much of a file is read when it is opened. One that is not longer is read then for good.
const headBytes = 4 << 10

// errWorkbook: the file is a workbook, whatever its name is.
var errWorkbook error = run.Failf("a workbook that is named like a text")

// Open opens the file and reads its header. Whatever is wrong is a [*run.Failure].
func Open(ctx context.Context, connections *connection.Set, from *task.CSVSource) (*Source, error) {
	file, info, err := OpenFile(connections, from)
	if err != nil {
		return nil, err
	}
	s := &Source{during: ctx, place: place(from), file: file, info: info, size: info.Size(), from: from, nulls: len(from.Null) > 0 || from.Escapes}
	if err := s.begin(from); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// OpenFile opens the file of a source to read it, and returns what it is then. Whatever is wrong is a
// [*run.Failure].
func OpenFile(connections *connection.Set, from *task.CSVSource) (file *os.File, info fs.FileInfo, err error) {
	root, err := connections.Files(from.Connection)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	file, info, err = plainfile.OpenIn(root.Root, filepath.FromSlash(from.Named()), os.O_RDONLY)
	switch {
	case err == nil:
		return file, info, nil
	case errors.Is(err, plainfile.ErrNotFile):
		return nil, nil, run.Failf("%s is not a file", place(from))
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, run.Failf("%s does not exist; put it into the connection's folder, or correct source.csv.path", place(from))
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, run.Failf("%s may not be read by the runner; correct its permissions", place(from))
	}
	return nil, nil, run.Failf("%s cannot be read; it must be a file inside the connection's folder; a link to it must be relative, and must not lead out of that folder", place(from))
}

// place is how messages name the file: as the task does, because a parameter's value is the caller's.
func place(from *task.CSVSource) string {
	return "the file " + from.Path + " of connection " + from.Connection
}

// begin makes text of the file and reads the header.
func (s *Source) begin(from *task.CSVSource) error {
	delimiter := cmp.Or(from.Delimiter, ',')
	if delimiter == '"' || delimiter == '\n' || delimiter == '\r' || delimiter == utf8.RuneError {
		return run.Failf("source.csv.delimiter cannot be a quote or a line end")
	}
	s.head = make([]byte, min(s.size, headBytes))
	n, err := readUp(s.file, s.head)
	if err != nil {
		return s.damaged(err, "its beginning")
	}
	s.head = s.head[:n]
	// No further than the file is long now: a task may append to the file that it reads.
	s.counted = &counter{of: s, in: io.MultiReader(bytes.NewReader(s.head), io.LimitReader(s.file, s.size-int64(n)))}
	in := io.Reader(s.counted)
	size := min(max(s.size+1, 512), largestRead)
	packed := strings.EqualFold(filepath.Ext(from.Named()), ".gz")
	switch told := tell(s.head, s.file, s.size); {
	case packed:
	case told.Workbook:
		return errWorkbook
	case told.Other != "":
		return run.Failf("%s %s", s.place, told.Other)
	}
	if packed {
		if in, err = unzip(s.counted); err != nil {
			return s.damaged(err, "its beginning")
		}
		size = largestRead
	}
	text, err := s.decode(in, from.Encoding)
	if err != nil {
		return err
	}
	s.reader = newReader(text, delimiter, int(size))
	s.reader.escapes, s.reader.noQuotes = from.Escapes, from.NoQuotes
	return s.readHeader(from.HeaderRow)
}

// decode returns the file's text as UTF-8, without a byte order mark.
func (s *Source) decode(in io.Reader, label string) (io.Reader, error) {
	mark := make([]byte, 3)
	n, err := readUp(in, mark)
	if err != nil {
		return nil, s.damaged(err, "its beginning")
	}
	mark = mark[:n]
	var charset encoding.Encoding
	if label != "" {
		if charset, err = htmlindex.Get(label); err != nil || charset == encoding.Replacement {
			return nil, run.Failf("source.csv.encoding: unknown encoding %q; give a label like utf-8, windows-1252 or utf-16le", label)
		}
		s.charset, _ = htmlindex.Name(charset)
	}
	switch {
	case bytes.HasPrefix(mark, []byte("\xEF\xBB\xBF")):
		s.charset = "UTF-8"
		return in, nil
	case bytes.HasPrefix(mark, []byte("\xFF\xFE")):
		s.charset, charset = "UTF-16LE", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(mark, []byte("\xFE\xFF")):
		s.charset, charset = "UTF-16BE", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	text := io.MultiReader(bytes.NewReader(mark), in)
	if charset == nil || charset == unicode.UTF8 {
		s.charset = "UTF-8"
		return text, nil
	}
	s.decoded = true
	return transform.NewReader(text, charset.NewDecoder()), nil
}

// AtHand reports whether the file was read whole when it was opened.
func (s *Source) AtHand() bool { return int64(len(s.head)) == s.size }

// Columns are those of the header. All cells are strings, or nil where the task says what means no value.
func (s *Source) Columns() mapping.Columns {
	return mapping.Columns{Names: s.header, Text: true, Nulls: s.nulls, Repeated: s.repeated, Advice: s.adviceOnHeader()}
}

// Use leaves the cells of columns that are not used out of what Next fills in, and lets them have errors.
func (s *Source) Use(used []bool) {
	s.reads = s.reads[:0]
	for i, at := range s.at {
		if used == nil || used[i] {
			s.reads = append(s.reads, use{i, at})
		}
	}
}

// Next reads the next row into cells and returns how much memory they hold. After an error of the row's
// own the next call goes on with the next row. io.EOF is the end, anything else ends the run.
func (s *Source) Next(ctx context.Context, cells []any) (int, error) {
	s.during = ctx
	err := s.step()
	if errors.Is(err, io.EOF) || errors.Is(err, row.ErrBlank) {
		s.seeTotal()
	} else {
		s.total = 0
	}
	if _, own := row.Own(err); err != nil && !own {
		return 0, err
	}
	// One string for the row; the cells share it.
	s.text, s.line = string(s.reader.record), s.reader.first
	if s.faulty = err != nil; s.faulty {
		return len(s.text), err
	}
	for _, p := range s.reads {
		f := s.reader.fields[p.field]
		text := s.text[f.from:f.to]
		switch {
		case s.nulls && s.isNull(text, f):
			cells[p.cell] = nil
			continue
		case f.escaped || f.slashed:
			text = f.text(s.text)
		case len(text) > 2 && (text[0] == '#' || text[0] == 'E') && IsError(text):
			s.faulty = true
			return len(s.text), row.Faultf(s.header[p.cell], "has an error of a spreadsheet, such as #N/A, in the place of a value")
		}
		cells[p.cell] = text
	}
	return len(s.text), nil
}

// isNull reports whether the task says that a text without quotes is no value.
func (s *Source) isNull(text string, f field) bool {
	return !f.quoted && (slices.Contains(s.from.Null, text) || s.from.Escapes && text == `\N`)
}

// step reads the next record. An error of the row's own says why it is no row of the table.
func (s *Source) step() error {
	err := s.reader.read()
	if errors.Is(err, io.EOF) {
		if s.rows > 0 && s.undecodable == s.rows {
			return run.Failf("no row of %s is valid %s; set source.csv.encoding to what the file is in, like windows-1252", s.place, s.charset)
		}
		return io.EOF
	}
	s.rows++
	switch {
	case err != nil && !errors.Is(err, errQuote):
		return s.fatal(err, "row "+strconv.FormatInt(s.rows, 10))
	case !s.valid(s.reader.record):
		s.undecodable++
		return row.Faultf(s.undecodableColumn(), "is not valid %s", s.charset)
	case err != nil:
		return row.Faultf(s.columnOf(len(s.reader.fields)), "has a quote in the wrong place: quotes stand around a whole field, and double inside it%s", s.lines())
	}
	return s.tell()
}

// columnOf is the name of the column that a field is of.
func (s *Source) columnOf(field int) string {
	if field < len(s.columns) {
		return s.columns[field]
	}
	return ""
}

// fatal says why nothing can be read after some row.
func (s *Source) fatal(err error, where string) error {
	switch {
	case errors.Is(err, errQuote):
		return run.Failf("%s of %s has a quote in the wrong place: quotes stand around a whole field, and double inside it", where, s.place)
	case errors.Is(err, errUnclosed):
		return run.Failf("%s of %s opens a quote that is never closed, in line %d, so that the %d lines from there on are one row; close it, or double it inside a field", where, s.place, s.reader.opened, s.reader.last-s.reader.opened+1)
	case errors.Is(err, errTooLong):
		return run.Failf("%s of %s is longer than %d MiB; perhaps a quote in it is never closed", where, s.place, maxRecord>>20)
	case errors.Is(err, errTooWide):
		return run.Failf("%s of %s has more than %d columns", where, s.place, maxColumns)
	}
	return s.damaged(err, where)
}

// damaged says why the bytes of the file end at some place.
func (s *Source) damaged(err error, where string) error {
	switch {
	case s.during.Err() != nil:
		return s.during.Err()
	case errors.Is(err, errBomb):
		return run.Failf("%s becomes more than %d times as long when it is unpacked, which no table does; it was read as far as %s", s.place, maxExpansion, where)
	case errors.Is(err, errNotZipped):
		return run.Failf("%s is not compressed, or not by gzip; give it another name than .gz", s.place)
	case errors.Is(err, errZip):
		return run.Failf("%s is damaged or not complete: it cannot be unpacked any further at %s; copy it anew", s.place, where)
	}
	return run.Failf("%s could not be read any further at %s: the disk or the network share failed", s.place, where)
}

// valid reports whether a record is text in the file's encoding.
func (s *Source) valid(record []byte) bool {
	if s.decoded {
		return !bytes.Contains(record, []byte("\uFFFD"))
	}
	return utf8.Valid(record)
}

func (s *Source) undecodableColumn() string {
	for i, f := range s.reader.fields {
		if !s.valid(s.reader.record[f.from:f.to]) {
			return s.columnOf(i)
		}
	}
	return ""
}

// versionBytes is how much of a file's beginning its version covers.
const versionBytes = 1 << 20

// FileVersion tells a file from what it was at another time: its size and time, of info, and a hash of
// its beginning. The place up to which file has been read stays where it is.
func FileVersion(file *os.File, info fs.FileInfo, place string) (string, error) {
	hash := sha256.New()
	buffer := buffers.Get().(*[largestRead]byte)
	defer buffers.Put(buffer)
	if _, err := io.CopyBuffer(hash, io.NewSectionReader(file, 0, versionBytes), buffer[:]); err != nil {
		return "", run.Failf("%s could not be read: the disk or the network share failed", place)
	}
	return version(info, hash.Sum(nil)), nil
}

// buffers are what versions are made with.
var buffers = sync.Pool{New: func() any { return new([largestRead]byte) }}

func version(info fs.FileInfo, hash []byte) string {
	return fmt.Sprintf("%d %d %x", info.Size(), info.ModTime().UnixNano(), hash[:16])
}

// Version identifies the file's state; see connector.Source. A file that is no longer than its head
// was read once, and its version is of exactly what was read.
func (s *Source) Version() (string, error) {
	if s.AtHand() {
		hash := sha256.Sum256(s.head)
		return version(s.info, hash[:]), nil
	}
	return FileVersion(s.file, s.info, s.place)
}

// Skip passes over rows, as Next would read them; see connector.Source.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	s.during = ctx
	for range rows {
		err := s.step()
		if _, own := row.Own(err); err != nil && !own {
			return err
		}
	}
	return nil
}

// Progress is the part of the file that Next has come to, 0 to 1: of what is in a buffer the part that was
// taken counts. The number of rows is not known.
func (s *Source) Progress() (part float64, total int64) {
	if s.size == 0 {
		return 1, 0
	}
	read := s.counted.read
	if s.counted.ahead != nil {
		read -= int64(s.counted.ahead())
	}
	// Behind a part that is packed more densely it would fall.
	s.part = max(s.part, float64(read)/float64(s.size)*s.reader.taken())
	return s.part, 0
}

// Close closes the file.
func (s *Source) Close() error { return s.file.Close() }

// readUp fills p as far as in reaches.
func readUp(in io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(in, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// counter counts the bytes of a file that were read, and reads none once whoever reads is to stop.
type counter struct {
	of   *Source
	in   io.Reader
	read int64
	// ahead is how many of them are still in a buffer; nil without one.
	ahead func() int
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.of.during.Err(); err != nil {
		return 0, err
	}
	n, err := c.in.Read(p)
	c.read += int64(n)
	return n, err
}
