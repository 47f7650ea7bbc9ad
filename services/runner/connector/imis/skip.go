package imis

import (
	"context"
	"io"
)

// Version is not known: what an IQA gives is in the site's database.
func (s *Source) Version() (string, error) { return "", nil }

// Skip passes over rows by asking for the page that begins behind them. The columns stay those of the
// first page.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	if rows < int64(len(s.page.sizes)) || !s.page.more {
		if rows > int64(len(s.page.sizes)) {
			return io.EOF
		}
		s.row, s.read = int(rows), rows
		return nil
	}
	limit := s.page.limit
	if limit <= 0 {
		limit = int64(s.from.PageSize)
	}
	s.spare.columns = s.page.columns
	found, err := s.fetch(s.spare, limit, rows)
	if err != nil {
		return err
	}
	s.spare, s.page, s.row, s.read = s.page, found, 0, rows
	s.total = found.total
	return ctx.Err()
}
