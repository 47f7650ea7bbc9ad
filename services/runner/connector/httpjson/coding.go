package httpjson

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/molecule-man/go-brrr"
)

var errCoding = errors.New("a content coding that is not known")

// maxCodings bounds how often an answer may be coded.
const maxCodings = 3

// codings make text of a body, by its Content-Encoding.
var codings = map[string]func(*bufio.Reader) (io.Reader, error){
	"gzip":    ungzip,
	"x-gzip":  ungzip,
	"deflate": inflate,
	"br":      func(in *bufio.Reader) (io.Reader, error) { return brrr.NewReader(in), nil },
}

func ungzip(in *bufio.Reader) (io.Reader, error) { return gzip.NewReader(in) }

// inflate reads what deflate means, and what some services take it for: without the frame of zlib.
func inflate(in *bufio.Reader) (io.Reader, error) {
	frame, err := in.Peek(2)
	if err == nil && frame[0]&15 == 8 && (int(frame[0])<<8|int(frame[1]))%31 == 0 {
		return zlib.NewReader(in)
	}
	return flate.NewReader(in), nil
}

// decode makes text of an answer's body where the transport has not: it does so with what it has asked for
// itself.
func decode(answer *http.Response) error {
	names := strings.FieldsFunc(strings.Join(answer.Header.Values("Content-Encoding"), ","), func(r rune) bool { return r == ',' || r == ' ' })
	if len(names) > maxCodings {
		return errCoding
	}
	for i := len(names) - 1; i >= 0; i-- { // the last was applied last
		name := strings.ToLower(names[i])
		if name == "identity" {
			continue
		}
		open, known := codings[name]
		if !known {
			return errCoding
		}
		answer.Body, answer.ContentLength = &decoded{body: answer.Body, open: open}, -1
	}
	return nil
}

// decoded is a body whose first byte is read when somebody reads.
type decoded struct {
	body io.ReadCloser
	open func(*bufio.Reader) (io.Reader, error)
	text io.Reader
}

func (d *decoded) Read(p []byte) (int, error) {
	if d.text == nil {
		in := bufio.NewReader(d.body)
		_, err := in.Peek(1)
		if err == nil {
			d.text, err = d.open(in)
		}
		if err != nil {
			return 0, err // io.EOF where there is no body
		}
	}
	return d.text.Read(p)
}

func (d *decoded) Close() error { return d.body.Close() }
