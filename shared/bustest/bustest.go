// Package bustest gives a test a real store: an embedded NATS server of its own, ready in a few
// milliseconds, that the test can also kill and restart.
package bustest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/proctest"
)

// Store is an embedded server with its streams made.
type Store struct {
	*bus.Bus
	// Broker is the server behind Bus.
	Broker *broker.Broker
	// Dir is where it keeps its streams.
	Dir string

	t      testing.TB
	synced bool
}

// New starts a server that listens on a free loopback port, makes the streams, and stops everything
// at the end of the test. topology's zero value is the default one; where it says Synced the server is.
// It is Embedded, as in `runhook serve`.
func New(t testing.TB, topology bus.Topology) *Store {
	t.Helper()
	topology.Embedded = true
	s := Empty(t, topology.Synced)
	if err := s.Init(t.Context(), topology); err != nil {
		t.Fatal(err)
	}
	return s
}

// Empty is New without the streams; synced is as in the topology that they will have.
func Empty(t testing.TB, synced bool) *Store {
	t.Helper()
	// Not t.TempDir: the server may still write for a moment after a bounded stop.
	dir, err := os.MkdirTemp("", "runhook-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Store{t: t, Dir: dir, synced: synced}
	s.Start(proctest.FreeAddress(t))
	s.Bus = s.Connect("test")
	return s
}

// Start starts the server again, on the streams that it has; listen is an address as broker takes it.
func (s *Store) Start(listen string) {
	s.t.Helper()
	started, err := broker.Start(s.t.Context(), broker.Options{Dir: s.Dir, Listen: listen, Durable: s.synced, Log: zerolog.Nop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Broker = started
	s.t.Cleanup(started.Stop)
}

// Restart stops the server and starts it again on the same port.
func (s *Store) Restart() {
	s.t.Helper()
	listen := s.Broker.Addr().String()
	s.Broker.Stop()
	s.Start(listen)
}

// Connect opens another connection to the server, over its socket, closed at the end of the test.
// It does not Check the store.
func (s *Store) Connect(name string) *bus.Bus {
	s.t.Helper()
	return connect(s.t, s.Broker.URL(), name)
}

func connect(t testing.TB, urls, name string) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	connected, err := bus.Connect(ctx, bus.Config{URLs: urls, Name: name, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connected.Close)
	return connected
}

// Open is Connect and Check: what a service does.
func (s *Store) Open(name string) *bus.Bus {
	s.t.Helper()
	opened := s.Connect(name)
	if err := opened.Check(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return opened
}

// Following is how many subscriptions there are to the documents of runs, or of one run where its subject
// run.status.<task>.<run> is given.
func (s *Store) Following(subjects ...string) (n int, err error) {
	all, err := s.Broker.Server().Subsz(&server.SubszOptions{Subscriptions: true, Limit: 1 << 20})
	if err != nil {
		return 0, err
	}
	for _, subscription := range all.Subs {
		if len(subjects) == 0 && strings.HasPrefix(subscription.Subject, "run.status.") || slices.Contains(subjects, subscription.Subject) {
			n++
		}
	}
	return n, nil
}
