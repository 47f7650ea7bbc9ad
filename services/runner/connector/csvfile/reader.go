package csvfile

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"strings"
)

// maxRecord bounds the memory that one record may take, and maxColumns its fields.
const (
	maxRecord  = 16 << 20
	maxColumns = 16_384
)

// The ways in which a text is not CSV any more. After errQuote the reader can go on with the next
// line; after the others it cannot.
var (
	errQuote    = errors.New("a quote in the wrong place")
	errUnclosed = errors.New("a quote that is never closed")
	errTooLong  = errors.New("a record longer than maxRecord")
	errTooWide  = errors.New("a record with more fields than maxColumns")
)

// reader splits a text into records as RFC 4180 has them, with any delimiter and with line ends of
// \n, \r\n, or more of the \r. What stands between quotes is kept byte for byte, line ends too
// (encoding/csv would change them, and has no bound for a record).
type reader struct {
	in        io.Reader
	delimiter []byte
	// noQuotes: a quote is a letter like any other. escapes: a backslash changes the meaning of what is
	// behind it, a line end too.
	noQuotes, escapes bool

	// buffer[start:end] is what was read and not yet taken.
	buffer     []byte
	start, end int
	readErr    error
	// filled is how many bytes were ever read.
	filled int64

	// record and fields are the last record's; they are valid until the next read.
	record []byte
	fields []field
	// first and last are the record's lines in the text, from 1.
	first, last int64
	// opened and closed are the lines of the record's last quote that goes over several; 0 without one.
	opened, closed int64
	// gap: an empty line came before the record.
	gap bool
}

// field is where a field's content is in the record.
type field struct {
	from, to int
	// escaped: the content has doubled quotes, slashed: backslashes that mean something.
	escaped, slashed bool
	// quoted: it stands between quotes.
	quoted bool
}

// isBare reports whether there is nothing where the field is, not even quotes.
func (f field) isBare() bool { return f.from == f.to && !f.quoted }

// largestRead is how much is read at once; a text that is known to be small needs less.
const largestRead = 64 << 10

func newReader(in io.Reader, delimiter rune, size int) *reader {
	return &reader{in: in, delimiter: []byte(string(delimiter)), buffer: make([]byte, size)}
}

// read takes the next record, without empty lines; io.EOF after the last. After errQuote the fields
// are those before the one with the quote.
func (r *reader) read() error {
	r.gap, r.opened, r.closed = false, 0, 0
	for {
		length, err := r.line(0)
		if err != nil {
			return err
		}
		r.last++
		content := cutLineEnd(r.buffer[r.start : r.start+length])
		for len(content) > 0 && (content[0] == mark[0] && bytes.HasPrefix(content, []byte(mark)) || content[0] == endMark) {
			skipped := 1
			if content[0] != endMark {
				skipped = len(mark)
			}
			r.start, length, content = r.start+skipped, length-skipped, content[skipped:]
		}
		r.first = r.last
		quotes := !r.noQuotes && bytes.IndexByte(content, '"') >= 0
		switch {
		case len(content) == 0:
			r.start += length
			r.gap = true
		case r.escapes && (quotes || bytes.IndexByte(content, '\\') >= 0):
			return r.escaped(length)
		case quotes:
			return r.quoted(length)
		default:
			r.take(length)
			return r.split(len(content))
		}
	}
}

// peek is the next line without its end; io.EOF behind the last.
func (r *reader) peek() ([]byte, error) {
	length, err := r.line(0)
	return cutLineEnd(r.buffer[r.start : r.start+length]), err
}

// ahead are the cells of the lines behind the record, up to an empty line and at most ten. The record stays.
func (r *reader) ahead() iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		length := len(r.record)
		r.start -= length // so that it is not read over
		defer r.take(length)
		for from, lines := length, 0; lines < 10 && from < length+largestRead; lines++ {
			to, err := r.line(from)
			if err != nil || to == from {
				return
			}
			line := cutLineEnd(r.buffer[r.start+from : r.start+to])
			if len(line) == 0 || !yield(bytes.SplitN(line, r.delimiter, maxColumns)) {
				return
			}
			from = to
		}
	}
}

// skipLine passes over a line, whatever is in it.
func (r *reader) skipLine() error {
	length, err := r.line(0)
	if err == nil {
		r.start += length
		r.last++
	}
	return err
}

// longer returns how long the record is that goes on behind its length, in a quote or behind a backslash;
// errUnclosed at the end of the text.
func (r *reader) longer(length int, quoted bool) (int, error) {
	if quoted && (r.closed > 0 || r.opened == 0) {
		r.opened, r.closed = r.last, 0
	}
	longer, err := r.line(length)
	if err == nil && longer == length {
		err = errUnclosed
	}
	if err == nil {
		r.last++
	}
	return longer, err
}

// close takes note of where a quote that goes over several lines is closed.
func (r *reader) close() {
	if r.opened > 0 && r.closed == 0 {
		r.closed = r.last
	}
}

// take makes the next length bytes the record.
func (r *reader) take(length int) {
	r.record = r.buffer[r.start : r.start+length]
	r.start += length
}

// split finds the fields of a record without quotes.
func (r *reader) split(length int) error {
	r.fields = r.fields[:0]
	from := 0
	for len(r.fields) < maxColumns {
		at := bytes.Index(r.record[from:length], r.delimiter)
		if at < 0 {
			r.fields = append(r.fields, field{from: from, to: length})
			return nil
		}
		r.fields = append(r.fields, field{from: from, to: from + at})
		from += at + len(r.delimiter)
	}
	return errTooWide
}

// quoted finds the fields of a record with quotes, which may go over several lines; length is that
// of the first.
func (r *reader) quoted(length int) error {
	r.fields = r.fields[:0]
	at := 0
	for len(r.fields) < maxColumns {
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
			longer, err := r.longer(length, true)
			if err != nil {
				return err
			}
			length = longer
			text = r.buffer[r.start : r.start+length]
		}
		r.close()
		r.fields = append(r.fields, field{from: at + 1, to: closing, escaped: escaped, quoted: true})
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
	return errTooWide
}

// escaped is quoted for a text in which a backslash changes the meaning of what is behind it.
func (r *reader) escaped(length int) error {
	r.fields = r.fields[:0]
	for at := 0; len(r.fields) < maxColumns; {
		text := r.buffer[r.start : r.start+length]
		end := len(cutLineEnd(text))
		f := field{from: at, quoted: !r.noQuotes && at < end && text[at] == '"'}
		if f.quoted {
			f.from++
		}
		for f.to = f.from; ; {
			inside := f.to < end
			slash := inside && text[f.to] == '\\'
			quote := inside && !r.noQuotes && text[f.to] == '"'
			switch {
			case slash && f.to+1 < end:
				f.slashed = true
				f.to += 2
				continue
			case slash || !inside && f.quoted: // the line end belongs to the field
				longer, err := r.longer(length, f.quoted)
				if errors.Is(err, errUnclosed) && !f.quoted {
					f.to = end // of the text, behind a backslash
					break
				}
				if err != nil {
					return err
				}
				f.slashed = f.slashed || slash
				f.to, length = length, longer
				text = r.buffer[r.start : r.start+length]
				end = len(cutLineEnd(text))
				continue
			case quote && f.quoted && f.to+1 < end && text[f.to+1] == '"':
				f.escaped = true
				f.to += 2
				continue
			case quote && !f.quoted:
				r.take(length)
				return errQuote
			case inside && !quote && (f.quoted || !bytes.HasPrefix(text[f.to:end], r.delimiter)):
				f.to++
				continue
			}
			break
		}
		r.close()
		rest := text[f.to:end]
		if f.quoted {
			rest = rest[1:]
		}
		if len(rest) > 0 && !bytes.HasPrefix(rest, r.delimiter) {
			r.take(length)
			return errQuote
		}
		r.fields = append(r.fields, f)
		if len(rest) == 0 {
			r.take(length)
			return nil
		}
		at = end - len(rest) + len(r.delimiter)
	}
	return errTooWide
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
		from = min(from, r.end-r.start)
	}
}

// fill reads more into the buffer, which grows while one record does. The end of the text is before any ^Z there.
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
		for err == io.EOF && r.end > r.start && r.buffer[r.end-1] == endMark {
			r.end--
		}
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

// cutLineEnd cuts off the line's end: programs that write \r\n to a file that makes \r\n of \n end their
// lines with \r\r\n.
func cutLineEnd(line []byte) []byte {
	end := len(line)
	if end > 0 && line[end-1] == '\n' {
		end--
	}
	for end > 0 && line[end-1] == '\r' {
		end--
	}
	return line[:end]
}

// text is the field's content in its record.
func (f field) text(record string) string {
	text := record[f.from:f.to]
	if f.escaped {
		text = strings.ReplaceAll(text, `""`, `"`)
	}
	if f.slashed {
		text = unescape(text)
	}
	return text
}

// unescape gives the letters behind backslashes the meaning that databases write them with.
func unescape(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, `\`)
		out.WriteString(before)
		if found && after == "" { // the file ends behind it
			out.WriteByte('\\')
		}
		if after == "" {
			return out.String()
		}
		if at := strings.IndexByte("0bfnrtvZ", after[0]); at >= 0 {
			out.WriteByte("\x00\b\f\n\r\t\v\x1a"[at])
		} else {
			out.WriteByte(after[0]) // the letter itself
		}
		text = after[1:]
	}
}
