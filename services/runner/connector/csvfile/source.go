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
	"runhook/shared/run"
	"runhook/shared/task"
)

// Source reads the rows of one file. It belongs to one goroutine.
type Source struct {
	// place is how messages name the file.
	place string
	file  *os.File
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

	header []string
	used   []bool
	rows   int64
	part   float64 // as Progress returned it
	// text is the last row's.
	text string
	// undecodable is how many rows were not valid in the encoding.
	undecodable int64
}

// headBytes is how much of a file is read when it is opened. One that is not longer is read then for good.
const headBytes = 4 << 10

// Open opens the file and reads its header. Whatever is wrong is a [*run.Failure].
func Open(connections *connection.Set, from *task.CSVSource) (*Source, error) {
	file, info, err := OpenFile(connections, from)
	if err != nil {
		return nil, err
	}
	s := &Source{place: place(from), file: file, info: info, size: info.Size()}
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
	path := filepath.FromSlash(from.Path)
	info, err = root.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		// A pipe would block the open.
		return nil, nil, run.Failf("%s is not a file", place(from))
	}
	if err == nil {
		file, err = root.Open(path)
	}
	if err == nil {
		// Another file may have been put in its place in between.
		if info, err = file.Stat(); err == nil {
			return file, info, nil
		}
		file.Close()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, run.Failf("%s does not exist; put it into the connection's folder, or correct source.csv.path", place(from))
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, run.Failf("%s may not be read by the runner; correct its permissions", place(from))
	}
	return nil, nil, run.Failf("%s cannot be read; it must be a file inside the connection's folder, and links must not lead out of it", place(from))
}

// place is how messages name the file.
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
	s.counted = &counter{in: io.MultiReader(bytes.NewReader(s.head), io.LimitReader(s.file, s.size-int64(n)))}
	in := io.Reader(s.counted)
	size := min(max(s.size+1, 512), largestRead)
	if strings.EqualFold(filepath.Ext(from.Path), ".gz") {
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
	return s.readHeader()
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

func (s *Source) readHeader() error {
	switch err := s.reader.read(); {
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
	first := map[string]int{}
	text := string(s.reader.record)
	for i, f := range s.reader.fields {
		name := strings.TrimSpace(f.text(text))
		if name == "" {
			return run.Failf("column %d in the header of %s has no name; give every column one", i+1, s.place)
		}
		if earlier, again := first[name]; again {
			return run.Failf("the header of %s names two columns %s: %d and %d; rename one", s.place, name, earlier, i+1)
		}
		first[name] = i + 1
		s.header = append(s.header, name)
	}
	s.used = slices.Repeat([]bool{true}, len(s.header))
	return nil
}

// AtHand reports whether the file was read whole when it was opened.
func (s *Source) AtHand() bool { return int64(len(s.head)) == s.size }

// Columns are those of the header. All cells are strings.
func (s *Source) Columns() mapping.Columns { return mapping.Columns{Names: s.header, Text: true} }

// Use leaves the cells of columns that are not used out of what Next fills in.
func (s *Source) Use(used []bool) { copy(s.used, used) }

// Next reads the next row into cells and returns how much memory they hold. After a [*row.Fault],
// which is the row's own, the next call goes on with the next row. io.EOF is the end, anything else
// ends the run.
func (s *Source) Next(_ context.Context, cells []any) (int, error) {
	err := s.reader.read()
	if errors.Is(err, io.EOF) {
		if s.rows > 0 && s.undecodable == s.rows {
			return 0, run.Failf("no row of %s is valid %s; set source.csv.encoding to what the file is in, like windows-1252", s.place, s.charset)
		}
		return 0, io.EOF
	}
	s.rows++
	if err != nil && !errors.Is(err, errQuote) {
		return 0, s.fatal(err, "row "+strconv.FormatInt(s.rows, 10))
	}
	// One string for the row; the cells share it.
	s.text = string(s.reader.record)
	if !s.valid(s.reader.record) {
		s.undecodable++
		return len(s.text), row.Faultf(s.undecodableColumn(), "is not valid %s", s.charset)
	}
	if err != nil {
		column := ""
		if at := len(s.reader.fields); at < len(s.header) {
			column = s.header[at]
		}
		return len(s.text), row.Faultf(column, "has a quote in the wrong place: quotes stand around a whole field, and double inside it")
	}
	if s.isBlank() {
		return len(s.text), row.ErrBlank
	}
	if len(s.reader.fields) != len(s.header) {
		return len(s.text), row.Faultf("", "has the wrong number of fields: %d where the header has %d", len(s.reader.fields), len(s.header))
	}
	if s.isHeader() {
		return len(s.text), row.Faultf("", "is the header again")
	}
	for i, f := range s.reader.fields {
		if s.used[i] {
			cells[i] = f.text(s.text)
		}
	}
	return len(s.text), nil
}

// isBlank reports whether the row has nothing but delimiters. One without any may be an empty cell.
func (s *Source) isBlank() bool {
	for _, f := range s.reader.fields {
		if strings.TrimSpace(s.text[f.from:f.to]) != "" {
			return false
		}
	}
	return len(s.reader.fields) > 1
}

// isHeader reports whether the row is the header once more, as in files that were put behind each
// other. A single column may well hold its own name.
func (s *Source) isHeader() bool {
	for i, f := range s.reader.fields {
		if strings.TrimSpace(f.text(s.text)) != s.header[i] {
			return false
		}
	}
	return len(s.header) > 1
}

// fatal says why nothing can be read after some row.
func (s *Source) fatal(err error, where string) error {
	switch {
	case errors.Is(err, errQuote):
		return run.Failf("%s of %s has a quote in the wrong place: quotes stand around a whole field, and double inside it", where, s.place)
	case errors.Is(err, errUnclosed):
		return run.Failf("%s of %s opens a quote that is never closed", where, s.place)
	case errors.Is(err, errTooLong):
		return run.Failf("%s of %s is longer than %d MiB; perhaps a quote in it is never closed", where, s.place, maxRecord>>20)
	}
	return s.damaged(err, where)
}

// damaged says why the bytes of the file end at some place.
func (s *Source) damaged(err error, where string) error {
	switch {
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
		if i < len(s.header) && !s.valid(s.reader.record[f.from:f.to]) {
			return s.header[i]
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

// skipCheck is after how many rows a skip looks whether its run goes on.
const skipCheck = 1000

// Skip passes over rows, as Next would read them; see connector.Source.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	for range rows {
		err := s.reader.read()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		s.rows++
		if err != nil && !errors.Is(err, errQuote) {
			return s.fatal(err, "row "+strconv.FormatInt(s.rows, 10))
		}
		if !s.valid(s.reader.record) {
			s.undecodable++
		}
		if s.rows%skipCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
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

// text is the field's content in its record.
func (f field) text(record string) string {
	if f.escaped {
		return strings.ReplaceAll(record[f.from:f.to], `""`, `"`)
	}
	return record[f.from:f.to]
}

// readUp fills p as far as in reaches.
func readUp(in io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(in, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// counter counts the bytes that were read.
type counter struct {
	in   io.Reader
	read int64
	// ahead is how many of them are still in a buffer; nil without one.
	ahead func() int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.read += int64(n)
	return n, err
}
