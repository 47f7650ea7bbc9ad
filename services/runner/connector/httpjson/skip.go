package httpjson

import "context"

// Version is not known: what the rows are is the service's.
func (s *Source) Version() (string, error) { return "", nil }

// Skip passes over rows. There is no other way to the page that has the next one than through those
// before it.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	s.bind(ctx)
	for range rows {
		if len(s.sample) > 0 {
			s.sample = s.sample[1:]
			continue
		}
		if _, err := s.read(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
	return nil
}

// bind lets what waits for the service go when the run ends.
func (s *Source) bind(ctx context.Context) {
	if !s.bound {
		s.bound = true
		context.AfterFunc(ctx, s.stop)
	}
}
