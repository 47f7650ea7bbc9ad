// Package jet reads and writes single messages of the store safely. It alone knows the names of the
// store's streams, buckets and subjects.
package jet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/shared/run"
)

// Store is a connection to one store. Its methods are safe for concurrent use.
type Store struct {
	NC  *nats.Conn
	JS  jetstream.JetStream
	Log zerolog.Logger
	// Runs has the requests, Events the copies of final documents, Progress the live documents, Control the
	// store's id, Keys what is known of idempotency keys, Audit who did what, and the receipts of erasures.
	Runs, Events, Progress, Control, Keys, Audit *Stream
	// Denials are what the server has denied to the connection's user.
	Denials *Denials
	// Deliveries are those whose runs have ended.
	Deliveries *Deliveries

	// The following are known once Use has succeeded.

	// Tasks writes tasks and their definitions, Definitions reads them. Rows has the rejected rows as objects, rows as
	// messages.
	Tasks       jetstream.KeyValue
	Definitions *Stream
	Rows        jetstream.ObjectStore
	rows        *Stream
	// ID is the random id of the store.
	ID string
	// Lease is the AckWait of every consumer, as stored with the topology.
	Lease time.Duration
	// Numbers tells run numbers by sequences, and the other way round.
	Numbers Numbers
	// Layout tells the slice of each run, which has its claim and its final document.
	Layout Layout
	// Replicated: a read may come from a replica that lags, so the leader confirms misses.
	Replicated bool
	clustered  bool
	opened     opened
	room       room
	// had is the last sequence of each stream when the store was opened first.
	had map[string]uint64

	// Settled is how old a write must be to be on the disks of all servers, which sync every two minutes: where one
	// has lost the end of the events in a power cut, they are copied again. Shorter in tests.
	Settled time.Duration
	// Canceled wakes those who follow the runs that are to be canceled, after this process has asked for one.
	Canceled Bell
	// Paced wakes those who follow the paces of tasks, after this process has stored one.
	Paced Bell
	// Held wakes those who follow which tasks are held, after this process has changed one's health.
	Held Bell
	// Timed wakes those who follow the timetables of tasks, after this process has stored one.
	Timed Bell
	// Chained wakes those who follow the chains of tasks, after this process has stored how far one is.
	Chained Bell
	// Overlapped wakes those who end runs that others have taken the place of, after this process has stored one.
	Overlapped Bell
	// Alarmed wakes those who start runs that wait for their time, after this process has set one aside.
	Alarmed Bell
	// Paused wakes those who follow the connections that are paused, after this process has changed one.
	Paused Bell
	// Erasing wakes those who follow the erasures, after this process has written one.
	Erasing Bell
	// TasksChanged has something in it after this process has changed a task.
	TasksChanged chan struct{}
	// Make makes the stream of a slice, and has the events copy it. It does nothing where others have.
	Make func(ctx context.Context, slice Slice) error

	// Process is a random name of this process.
	Process string
	// Late are writes that go on after their callers have. Closing ends when Close begins, which then waits for them.
	Late    sync.WaitGroup
	Closing context.Context
	closing context.CancelFunc
	// Interrupt, if not nil, is called before each step of an erasure, in tests: with an error the erasure stops there, as
	// if its process had ended.
	Interrupt func(step string) error

	full    func() bool
	cramped func() bool
	foreign *foreign
}

// Stream reads and writes the messages of one stream.
type Stream struct {
	// Stream is what the server has under the name; nil before Use.
	jetstream.Stream

	name    string
	store   *Store
	group   *group
	voucher voucher
	doubt   doubt
	// slice is set where the stream is that of a slice, which may be removed while the store goes on.
	slice *Slice
}

// New returns the store behind a connection, which Close closes. full tells whether the store takes no
// writes at the moment, and cramped whether its disk has hardly any room left; nil if that is not known.
// metrics is where its metrics are registered; nil registers them nowhere.
func New(nc *nats.Conn, log zerolog.Logger, full, cramped func() bool, metrics prometheus.Registerer) (*Store, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	deliveries, err := newDeliveries(nc, confirmWithin)
	if err != nil {
		return nil, err
	}
	foreign, err := newForeign(log, metrics)
	if err != nil {
		return nil, fmt.Errorf("make the list of foreign messages: %w", err)
	}
	s := &Store{NC: nc, JS: js, Log: log, Denials: NewDenials(log), Deliveries: deliveries, full: full, cramped: cramped, foreign: foreign, Settled: 3 * time.Minute, TasksChanged: make(chan struct{}, 1), Process: rand.Text()[:16]}
	s.Closing, s.closing = context.WithCancel(context.Background())
	stream := func(name string) *Stream { return &Stream{name: name, store: s, group: newGroup(s, name)} }
	s.Runs, s.Events = stream(RunsStream), stream(EventsStream)
	s.Progress, s.Control, s.Keys, s.rows = stream(ProgressStream), stream(ControlStream), stream(KeysStream), stream(RowsStream)
	s.Definitions, s.Audit = stream(TasksStream), stream(AuditStream)
	return s, nil
}

// Lay sets the layout of a store that is about to be fitted.
func (s *Store) Lay(layout Layout) {
	s.room.looks.Wait() // they read it
	s.Layout = layout
}

// Use makes the store's streams, by name, those that the server has now.
func (s *Store) Use(ctx context.Context, opened map[string]jetstream.Stream) error {
	s.room.looks.Wait() // they read what is set here
	for _, stream := range []*Stream{s.Runs, s.Events, s.Progress, s.Control, s.Keys, s.Definitions, s.Audit, s.rows} {
		stream.Stream = opened[stream.name]
	}
	if s.had == nil {
		s.had = map[string]uint64{}
		for name, stream := range opened {
			s.had[name] = stream.CachedInfo().State.LastSeq
		}
	}
	config := s.Runs.CachedInfo().Config
	cluster := s.Runs.CachedInfo().Cluster
	s.clustered = cluster != nil && (cluster.Name != "" || len(cluster.Replicas) > 0) // a single server names itself
	s.Replicated = config.Replicas > 1
	// Replicas group what they agree on by themselves, and writes that are not synced cost less singly.
	grouped := config.Metadata[SyncedKey] == "true" && !s.Replicated
	for _, stream := range []*Stream{s.Runs, s.Keys} {
		stream.group.enable(grouped && stream.CachedInfo().Config.AllowAtomicPublish)
	}
	s.opened.grouped = grouped
	lease, err := time.ParseDuration(config.Metadata[LeaseKey])
	if err != nil {
		return As(ErrNotMade, fmt.Errorf("stream %s does not say its lease: run `runhook init --nats URL` again", RunsStream))
	}
	s.Lease = lease
	if s.Numbers, err = ParseNumbers(config.Metadata[NumbersKey]); err != nil {
		return err
	}
	if s.Layout, err = ParseLayout(config.Metadata); err != nil {
		return err
	}
	if s.Tasks, err = s.JS.KeyValue(ctx, TasksBucket); err != nil {
		return fmt.Errorf("open bucket %s: %w", TasksBucket, Explain(err))
	}
	if s.Rows, err = s.JS.ObjectStore(ctx, RowsBucket); err != nil {
		return fmt.Errorf("open object store %s: %w", RowsBucket, Explain(err))
	}
	id, err := s.Control.LeaderLast(ctx, StoreIDSubject)
	if errors.Is(err, ErrMissing) {
		return As(ErrNotMade, errors.New("the store has no id: run `runhook init --nats URL` again"))
	}
	if err != nil {
		return fmt.Errorf("read the store id: %w", err)
	}
	if s.ID = StoreID(id.Data); s.ID != string(id.Data) {
		s.Control.PassOver(id, errors.New("the id of a store is a GUID"))
	}
	return nil
}

// StoreID is the id of a store whose entry for it has this value. Of one that is no id each process makes
// the same id: the former one is lost, and what was signed with it no longer fits.
func StoreID(value []byte) string {
	if id, err := uuid.ParseBytes(value); err == nil && id.String() == string(value) {
		return string(value)
	}
	return uuid.NewSHA1(uuid.Nil, value).String()
}

// Close ends the connection after what was already sent has left, and deliveries that are done have
// been confirmed. It does not wait for consumers: whoever pulls stops first.
func (s *Store) Close() {
	s.closing()
	s.Late.Wait()
	// Both are a best effort: an unreachable server must not hold up the stop.
	if s.NC.FlushTimeout(time.Second) == nil {
		s.Deliveries.close()
	}
	s.NC.Close()
	s.Runs.group.close()
	s.Keys.group.close()
	s.room.looks.Wait()
	s.opened.close()
}

// Retention is how long the store keeps runs, as it was made or changed by Runhook.
func (s *Store) Retention() time.Duration {
	config := s.Runs.CachedInfo().Config
	if retention, err := time.ParseDuration(config.Metadata[RetentionKey]); err == nil && retention > 0 {
		return retention
	}
	return cmp.Or(config.MaxAge, math.MaxInt64) // one of before says nothing else
}

// Alone reports whether the server at the other end of the connection is the only one that has the store.
// Of several, each hears only by and by what a client has told another.
func (s *Store) Alone() bool {
	has, _ := s.NC.ConnectedServerJetStream()
	return has && !s.clustered
}

// Writable refuses a write at once while the store is known to take none: run.ErrUnavailable and
// run.ErrFull. A server whose disk is full does not say no: it does not answer.
func (s *Store) Writable() error {
	if s.full != nil && s.full() {
		return fmt.Errorf("%w: %w", run.ErrUnavailable, run.ErrFull)
	}
	return nil
}

// Purge removes messages from the stream, as the options say. It is refused while the disk of the store has
// hardly any room: run.ErrUnavailable and run.ErrFull.
func (s *Stream) Purge(ctx context.Context, options ...jetstream.StreamPurgeOpt) error {
	if err := s.hasRoom(); err != nil {
		return err
	}
	return s.Stream.Purge(ctx, options...)
}

// hasRoom refuses what writes files anew while the disk of the store has hardly any room.
func (s *Stream) hasRoom() error {
	if s.name != ProgressStream && s.store.cramped != nil && s.store.cramped() { // that one is in memory
		return fmt.Errorf("%w: %w", run.ErrUnavailable, run.ErrFull)
	}
	return nil
}
