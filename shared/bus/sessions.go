package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/session"
)

// Sessions keeps the record of who was signed out of the page, and of the links that sign in: what a status service
// does. It is a [session.Store].
type Sessions struct{ store *jet.Store }

var _ session.Store = (*Sessions)(nil)

// Read returns the record as the leader has it. The error is run.ErrUnavailable.
func (s *Sessions) Read(ctx context.Context) (session.Stored, error) {
	record, err := s.store.Control.LeaderLast(ctx, jet.SessionsSubject)
	if errors.Is(err, jet.ErrMissing) {
		return session.Stored{}, nil
	}
	return session.Stored{Data: record.Data, Revision: record.Sequence, Time: record.Time}, err
}

// Write puts a record in the place of the one with a revision, 0 for none. The errors are session.ErrChanged,
// run.ErrUnavailable and run.ErrDenied.
func (s *Sessions) Write(ctx context.Context, data []byte, inPlaceOf uint64) (err error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	if err := s.store.Writable(); err != nil {
		return err
	}
	_, err = s.store.JS.Publish(ctx, jet.SessionsSubject, data, jetstream.WithExpectLastSequencePerSubject(inPlaceOf))
	switch {
	case err == nil:
		return nil
	case jet.Refused(err):
		return session.ErrChanged
	}
	return s.store.Denials.Explain(begun, fmt.Errorf("write who is signed out: %w", jet.Explain(err)))
}

// PassOver logs a record that is none of ours.
func (s *Sessions) PassOver(stored session.Stored, why error) {
	s.store.Control.PassOver(jet.Record{Subject: jet.SessionsSubject, Sequence: stored.Revision}, why)
}
