package csvfile

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// maxExpansion bounds how many times as long as the file its text may be. Tables of repeated text
// reach a hundred or two; what is made to fill a disk is close to gzip's own limit of 1,030. The
// first freeExpansion bytes may be anything.
const (
	maxExpansion  = 500
	freeExpansion = 64 << 20
)

// The ways in which a compressed file cannot be read.
var (
	errNotZipped = errors.New("not compressed by gzip")
	errZip       = errors.New("damaged or not complete")
	errBomb      = errors.New("a file that unpacks to far more than it should")
)

// unzipper unpacks what it counts on the way in, so that progress is that of the file.
type unzipper struct {
	packed   *counter
	unpacked *gzip.Reader
	written  int64
}

// unzip returns the text of a compressed file; several that were put behind each other are one.
func unzip(packed *counter) (io.Reader, error) {
	buffered := bufio.NewReader(packed)
	unpacked, err := gzip.NewReader(buffered)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errZip
	case errors.Is(err, gzip.ErrHeader):
		return nil, errNotZipped
	case err != nil:
		return nil, err
	}
	packed.ahead = buffered.Buffered
	return &unzipper{packed: packed, unpacked: unpacked}, nil
}

func (u *unzipper) Read(p []byte) (int, error) {
	n, err := u.unpacked.Read(p)
	u.written += int64(n)
	var corrupt flate.CorruptInputError
	switch {
	case u.written > freeExpansion && u.written/maxExpansion > u.packed.read:
		return 0, errBomb
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return n, fmt.Errorf("%w: %w", errZip, err)
	}
	return n, err
}
