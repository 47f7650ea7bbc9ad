package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// Sites has what runners tell each other about whose turn it is at a site. It is safe for concurrent use.
type Sites struct {
	store *jet.Store

	mu    sync.Mutex
	bells map[string]*jet.Bell
	heard *nats.Subscription
}

// Sites opens it; Close closes it.
func (w *Work) Sites() *Sites { return &Sites{store: w.store, bells: map[string]*jet.Bell{}} }

// siteTimeout bounds a read or a write: whoever waits for it may do nothing meanwhile.
const siteTimeout = 2 * time.Second

// ReadSite returns the record of a site as the leader has it, with its revision; nothing and 0 if there is none. The
// error is run.ErrUnavailable.
func (s *Sites) ReadSite(ctx context.Context, key string) (data []byte, revision uint64, err error) {
	stored, err := s.store.Control.LeaderLast(ctx, jet.SiteSubject(key))
	if errors.Is(err, jet.ErrMissing) {
		return nil, 0, nil
	}
	return stored.Data, stored.Sequence, err
}

// WriteSite puts a record in the place of the one with a revision, 0 for none; ok is false if it has another revision
// by now. After an error it may be stored.
func (s *Sites) WriteSite(ctx context.Context, key string, data []byte, revision uint64) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, siteTimeout)
	defer cancel()
	if err := s.store.Writable(); err != nil {
		return false, err
	}
	_, err = s.store.JS.Publish(ctx, jet.SiteSubject(key), data, jetstream.WithExpectLastSequencePerSubject(revision))
	if jet.Refused(err) {
		return false, nil
	}
	return err == nil, jet.Explain(err)
}

// TellSite wakes those who follow a site, in all processes. A message can be lost.
func (s *Sites) TellSite(key string) {
	if err := s.store.NC.Publish(jet.ToldSubject(key), nil); err != nil {
		s.store.Log.Debug().Err(err).Msg("other runners cannot be told of the turn at a site")
	}
}

// WokenSite is closed when somebody tells of a site.
func (s *Sites) WokenSite(key string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard == nil {
		heard, err := s.store.NC.Subscribe(jet.ToldSites, func(told *nats.Msg) { s.ring(jet.ToldSite(told.Subject)) })
		if err == nil {
			s.heard = heard
		}
	}
	bell := s.bells[key]
	if bell == nil {
		bell = new(jet.Bell)
		s.bells[key] = bell
	}
	return bell.Next()
}

func (s *Sites) ring(key string) {
	s.mu.Lock()
	bell := s.bells[key]
	s.mu.Unlock()
	if bell != nil {
		bell.Ring()
	}
}

// Close ends the following.
func (s *Sites) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard != nil {
		_ = s.heard.Unsubscribe() // fails only with the connection
		s.heard = nil
	}
}
