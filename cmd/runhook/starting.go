package main

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/wait"
	"runhook/shared/web"
)

// starting is what a process that is not ready waits for, as operators and callers are told.
type starting struct {
	log zerolog.Logger

	mu     sync.Mutex
	over   bool
	reason error
	// said is what the log has last, and when.
	said   string
	saidAt time.Time
}

// The reasons that callers are told. They name no server, stream or file.
var (
	errBeginning = errors.New("the store is not open yet")
	errNotMade   = errors.New("the store is not made yet")
	errAway      = errors.New("the store cannot be reached")
)

// recovering is the reason of a server that recovers its store.
type recovering struct{ far broker.Progress }

func (r recovering) Error() string { return "the store is being recovered: " + r.far.String() }

// told is the reason as callers are told it.
func (s *starting) told() error {
	why := s.why()
	_, recovers := errors.AsType[recovering](why)
	switch {
	case recovers:
		return why
	case errors.Is(why, bus.ErrNotMade):
		return errNotMade
	case errors.Is(why, run.ErrUnavailable):
		return errAway
	}
	return errBeginning
}

// why is the reason as operators are told it, nil once the process is ready.
func (s *starting) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.reason != nil {
		return s.reason
	}
	return errBeginning
}

// waits takes a fault that may pass for the reason. It is logged once, and when it changes.
func (s *starting) waits(fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = fault
	if text := fault.Error(); text != s.said {
		s.said = text
		s.log.Warn().Err(fault).Msg("not ready, waiting")
	}
}

// tellProgress is how often the log tells how far a recovery is.
const tellProgress = 5 * time.Second

// recovers takes the recovery of the store for the reason, also of a server that is started again.
func (s *starting) recovers(far broker.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.reason = recovering{far}
	}
	if time.Since(s.saidAt) >= tellProgress {
		s.said, s.saidAt = far.String(), time.Now()
		s.log.Info().Int("percent", far.Percent).Int("streams", far.Streams).Int("recovered", far.Recovered).Int64("bytes", far.Bytes).
			Msg("recovering the store: POSTs and polls get 503 until it is done")
	}
}

// end makes the process ready.
func (s *starting) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.reason = true, nil
	if s.said != "" {
		s.log.Info().Msg("ready")
	}
}

// patiently repeats a step while what it needs is not there: NATS, a leader, the streams. It goes on as soon as
// they are, and the process says meanwhile what it waits for. Any other fault ends the program.
func patiently(do step) step {
	return func(ctx context.Context, p *process) error {
		pause := wait.Backoff{Least: 100 * time.Millisecond, Most: 2 * time.Second}
		for {
			err := do(ctx, p)
			if !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, bus.ErrNotMade) {
				return err
			}
			if ctx.Err() == nil {
				p.starting.waits(err)
			}
			if !pause.Wait(ctx) {
				return ctx.Err()
			}
		}
	}
}

// listen is the step that answers HTTP from now on: the early routes, health and metrics. Everything else gets
// 503 until answer brings the rest.
func listen(o web.Options, early ...[]web.Route) step {
	return func(ctx context.Context, p *process) error {
		descriptors := descriptorLimit()
		conns, _ := maxConns(descriptors)
		o.MaxConns, o.Starting, o.Log = conns, p.starting.told, p.log
		proxies := o.Proxies
		o.Proxies = func(from netip.Addr) bool { return from.IsLoopback() || proxies != nil && proxies(from) }
		server, err := web.New(o, append(early, web.Health(p.ready, p.notes...), web.Metrics(p.metrics))...)
		if err != nil {
			return err
		}
		if o.TLS != nil {
			p.onHangup(o.TLS.Reload)
		}
		p.log.Info().Str("url", server.URL()).Int("max_connections", conns).Uint64("descriptors", descriptors).Msg("answering HTTP")
		p.server, p.ended = server, make(chan struct{})
		serving, stop := context.WithCancel(ctx)
		go func() {
			defer close(p.ended)
			p.served = server.Run(serving)
			p.stop() // what opens the process, where that is still under way
		}()
		p.undo(func() { stop(); <-p.ended })
		return nil
	}
}

// answer makes the process ready: the server answers these routes too, from now on.
func (p *process) answer(routes ...[]web.Route) error {
	if err := p.server.Mount(routes...); err != nil {
		return err
	}
	p.starting.end()
	return nil
}

// serve waits until ctx ends or the server does.
func (p *process) serve() error {
	<-p.ended
	return failedServing(p.served)
}
