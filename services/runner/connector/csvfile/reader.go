package csvfile

import (
	"bytes"
	"errors"
	"io"
)

// maxRecord bounds the memory that one record may take.
const maxRecord = 16 << 20

// The ways in which a text is not CSV any more. After errQuote the reader can go on with the next
// line; after the others it cannot.
var (
	errQuote    = errors.New("a quote in the wrong place")
	errUnclosed = errors.New("a quote that is never closed")
	errTooLong  = errors.New("a record longer than maxRecord")
)

// reader splits a text into records as RFC 4180 has them, with any delimiter and with line ends of
// \n or \r\n. What stands between quotes is kept byte for byte, line ends too (encoding/csv would
// change them, and has no bound for a record).
type reader struct {
	in        io.Reader
	delimiter []byte

	// buffer[start:end] is what was read and not yet taken.
	buffer     []byte
	start, end int
	readErr    error
	// filled is how many bytes were ever read.
	filled int64

	// record and fields are the last record's; they are valid until the next read.
	record []byte
	fields []field
}

// field is where a field's content is in the record.
type field struct {
	from, to int
	// escaped: the content has doubled quotes.
	escaped bool
}

// largestRead is how much is read at once; a text that is known to be small needs less.
const largestRead = 64 << 10

func newReader(in io.Reader, delimiter rune, size int) *reader {
	return &reader{in: in, delimiter: []byte(string(delimiter)), buffer: make([]byte, size)}
}

// read takes the next record, without empty lines; io.EOF after the last. After errQuote the fields
// are those before the one with the quote.
func (r *reader) read() error {
	for {
		length, err := r.line(0)
		if err != nil {
			return err
		}
		line := r.buffer[r.start : r.start+length]
		content := cutLineEnd(line)
		switch {
		case len(content) == 0:
			r.start += length
		case bytes.IndexByte(content, '"') < 0:
			r.take(length)
			r.split(len(content))
			return nil
		default:
			return r.quoted(length)
		}
	}
}

// take makes the next length bytes the record.
func (r *reader) take(length int) {
	r.record = r.buffer[r.start : r.start+length]
	r.start += length
}

// split finds the fields of a record without quotes.
func (r *reader) split(length int) {
	r.fields = r.fields[:0]
	from := 0
	for {
		at := bytes.Index(r.record[from:length], r.delimiter)
		if at < 0 {
			r.fields = append(r.fields, field{from: from, to: length})
			return
		}
		r.fields = append(r.fields, field{from: from, to: from + at})
		from += at + len(r.delimiter)
	}
}

// quoted finds the fields of a record with quotes, which may go over several lines; length is that
// of the first.
func (r *reader) quoted(length int) error {
	r.fields = r.fields[:0]
	at := 0
	for {
		text := r.buffer[r.start : r.start+length]
		if at == len(text) || text[at] != '"' {
			content := text[at:len(cutLineEnd(text))]
			size, last := bytes.Index(content, r.delimiter), false
			if size < 0 {
				size, last = len(content), true
			}
			if bytes.IndexByte(content[:size], '"') >= 0 {
				r.take(length)
				return errQuote
			}
			r.fields = append(r.fields, field{from: at, to: at + size})
			if last {
				r.take(length)
				return nil
			}
			at += size + len(r.delimiter)
			continue
		}

		closing, escaped := at+1, false
		for {
			i := bytes.IndexByte(text[closing:], '"')
			if i >= 0 && closing+i+1 < len(text) && text[closing+i+1] == '"' {
				escaped = true
				closing += i + 2
				continue
			}
			if i >= 0 {
				closing += i
				break
			}
			closing = len(text)
			longer, err := r.line(length)
			if err == nil && longer == length {
				err = errUnclosed
			}
			if err != nil {
				return err
			}
			length = longer
			text = r.buffer[r.start : r.start+length]
		}
		r.fields = append(r.fields, field{from: at + 1, to: closing, escaped: escaped})
		rest := text[closing+1:]
		switch {
		case len(cutLineEnd(rest)) == 0:
			r.take(length)
			return nil
		case bytes.HasPrefix(rest, r.delimiter):
			at = closing + 1 + len(r.delimiter)
		default:
			r.fields = r.fields[:len(r.fields)-1]
			r.take(length)
			return errQuote
		}
	}
}

// line returns how far the line reaches that has the byte at from, counted from start and with its
// line end. At the end of the text that is everything left; with nothing left at all it is io.EOF.
func (r *reader) line(from int) (int, error) {
	for {
		if i := bytes.IndexByte(r.buffer[r.start+from:r.end], '\n'); i >= 0 {
			if from+i >= maxRecord {
				return 0, errTooLong
			}
			return from + i + 1, nil
		}
		from = r.end - r.start
		switch {
		case from > maxRecord:
			return 0, errTooLong
		case r.readErr == io.EOF && from == 0:
			return 0, io.EOF
		case r.readErr == io.EOF:
			return from, nil
		case r.readErr != nil:
			return 0, r.readErr
		}
		r.fill()
	}
}

// fill reads more into the buffer, which grows while one record does.
func (r *reader) fill() {
	if r.start > 0 {
		copy(r.buffer, r.buffer[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end == len(r.buffer) {
		r.buffer = append(r.buffer, make([]byte, len(r.buffer))...)
	}
	for range 100 {
		n, err := r.in.Read(r.buffer[r.end:])
		r.end += n
		r.filled += int64(n)
		if r.readErr = err; n > 0 || err != nil {
			return
		}
	}
	r.readErr = io.ErrNoProgress
}

// taken is the part of what was read that was taken.
func (r *reader) taken() float64 {
	return float64(r.filled-int64(r.end-r.start)) / float64(max(r.filled, 1))
}

func cutLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
