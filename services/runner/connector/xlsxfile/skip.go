package xlsxfile

import (
	"context"
	"errors"
	"io"

	"runhook/services/runner/connector/csvfile"
)

// Version identifies the workbook's state; see connector.Source.
func (s *Source) Version() (string, error) { return csvfile.FileVersion(s.file, s.info, s.place) }

// skipCheck is after how many rows a skip looks whether its run goes on.
const skipCheck = 1000

// Skip passes over rows, as Next would read them; see connector.Source.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	cells := make([]any, len(s.header))
	for n := int64(0); n < rows; {
		_, err := s.sheet.read()
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return s.fail(err)
		}
		if s.take(cells) {
			n++
		}
		if n%skipCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
