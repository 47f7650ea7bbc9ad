package csvfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"runhook/services/runner/row"
)

// versionBytes is how much of a file's beginning its version covers.
const versionBytes = 1 << 20

// FileVersion tells a file from what it was at another time: its size, its time and a hash of its
// beginning. The place up to which file has been read stays where it is.
func FileVersion(file *os.File, place string) (string, error) {
	failed := row.Failf("%s could not be read: the disk or the network share failed", place)
	info, err := file.Stat()
	if err != nil {
		return "", failed
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, versionBytes)); err != nil {
		return "", failed
	}
	return fmt.Sprintf("%d %d %x", info.Size(), info.ModTime().UnixNano(), hash.Sum(nil)[:16]), nil
}

// Version tells whether the file is what it was; see the pipeline's source.
func (s *Source) Version() (string, error) { return FileVersion(s.file, s.place) }

// skipCheck is after how many rows a skip looks whether its run goes on.
const skipCheck = 1000

// Skip passes over rows, as Next would read them; see the pipeline's source.
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
