package csvfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"runhook/shared/run"
)

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
