package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// Topology says how the streams and buckets of a store are made.
type Topology struct {
	// Replicas of every stream and bucket. Default 1.
	Replicas int
	// Retention is how long runs, their results and their events are kept. Default 365 days.
	Retention time.Duration
	// IdempotencyWindow is how long an idempotency key is remembered; never longer than Retention. Default 24 h.
	IdempotencyWindow time.Duration
	// Lease is how long a runner may be silent before its run is delivered again. Default 30 s.
	Lease time.Duration
	// Synced: the servers sync every write to disk before they acknowledge it. It sets nothing at the
	// servers; whoever publishes to a single one of them groups what waits, since syncs are what it
	// has least of.
	Synced bool
	// Embedded: the one server is part of this program, and finds out at each start from the last event
	// how far the events have come (package broker). They need not be on disk at once then.
	Embedded bool
}

const (
	progressAge  = 24 * time.Hour
	maxConsumers = 100_000 // one a task; the server's own limit, where none is set, is 1,000
)

func (t *Topology) fill() {
	t.Replicas = max(t.Replicas, 1)
	if t.Retention == 0 {
		t.Retention = 365 * 24 * time.Hour
	}
	if t.IdempotencyWindow == 0 {
		t.IdempotencyWindow = 24 * time.Hour
	}
	t.IdempotencyWindow = min(t.IdempotencyWindow, t.Retention)
	if t.Lease == 0 {
		t.Lease = 30 * time.Second
	}
}

// streams lists every stream in the order in which they are made. Buckets are made as streams:
// a KV call would switch off what they need (deleting single messages) and cannot republish both.
func (t Topology) streams() []jetstream.StreamConfig {
	requests := jetstream.StreamConfig{
		Name:     jet.RunsStream,
		Subjects: []string{jet.Requests, jet.Schedules},
		Storage:  jetstream.FileStorage, Replicas: t.Replicas,
		Retention: jetstream.LimitsPolicy, // no limit but the age: nothing is pushed out by what is new
		MaxAge:    t.Retention, Duplicates: t.IdempotencyWindow, MaxConsumers: maxConsumers,
		AllowDirect: true, AllowMsgTTL: true, AllowMsgSchedules: true, AllowAtomicPublish: true,
		// The lease belongs to the store: whoever makes a consumer must use the same one.
		Metadata: map[string]string{jet.LeaseKey: t.Lease.String(), jet.SyncedKey: strconv.FormatBool(t.Synced)},
	}

	runs := t.bucket(jet.ResultsStream, jet.Results, jetstream.FileStorage)
	runs.MaxAge = t.Retention
	runs.RePublish = follow(jet.Finals)
	runs.AllowAtomicPublish = true

	progress := t.progress()

	events := jetstream.StreamConfig{
		Name: jet.EventsStream, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		Retention: jetstream.LimitsPolicy, AllowDirect: true,
		// Longer than the source's: an emptied stream would source everything again.
		MaxAge:  t.Retention + 24*time.Hour,
		Sources: jet.EventsSources(),
	}
	if t.Embedded {
		// They are copies, which are made again: a write or a sync of its own for each would bring nothing.
		events.PersistMode = jetstream.AsyncPersistMode
	}

	return []jetstream.StreamConfig{
		requests, runs, events, progress,
		t.bucket(jet.ControlStream, jet.Control, jetstream.FileStorage),
		t.bucket(jet.TasksStream, jet.Tasks, jetstream.FileStorage),
		t.rows(),
	}
}

// rows is the stream behind the object store of rejected rows.
func (t Topology) rows() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: jet.RowsStream, Subjects: []string{jet.RowChunks, jet.RowMeta},
		Storage: jetstream.FileStorage, Replicas: t.Replicas,
		Discard: jetstream.DiscardNew, AllowDirect: true, AllowRollup: true,
		// Longer than the final document that names them, so that it never names what has gone.
		MaxAge: t.Retention + 24*time.Hour,
	}
}

// bucket is the stream behind a key-value bucket.
func (t Topology) bucket(name, subjects string, storage jetstream.StorageType) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subjects}, Storage: storage, Replicas: t.Replicas,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowDirect: true, AllowRollup: true,
	}
}

// progress is the bucket of live documents. It stands in memory, so a single server that restarts
// has lost even the bucket, and it must be possible to make it again.
func (t Topology) progress() jetstream.StreamConfig {
	config := t.bucket(jet.ProgressStream, jet.Progress, jetstream.MemoryStorage)
	config.MaxAge = progressAge
	config.RePublish = follow(jet.LiveDocuments)
	return config
}

// follow republishes what is put under source to the subject on which runs are followed.
func follow(source string) *jetstream.RePublish {
	return &jetstream.RePublish{Source: source, Destination: jet.FollowedAs}
}

// Init makes the store's streams and buckets, or changes existing ones to fit, and gives a new
// store its id. It is safe to call again and from several processes.
func (b *Bus) Init(ctx context.Context, topology Topology) error {
	topology.fill()
	lease, err := b.storedLease(ctx)
	if err != nil {
		return err
	}
	streams := topology.streams()
	for i := range streams {
		if err := b.keepUnchangeable(ctx, &streams[i]); err != nil {
			return err
		}
	}
	for _, config := range streams {
		if _, err := b.store.JS.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("make stream %s: %w", config.Name, jet.Explain(err))
		}
	}
	_, err = b.store.JS.Publish(ctx, jet.StoreIDSubject, []byte(uuid.NewString()), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !jet.Refused(err) {
		return fmt.Errorf("write the store id: %w", jet.Explain(err))
	}
	if err := b.Check(ctx); err != nil || lease == topology.Lease {
		return err
	}
	return b.fitLeases(ctx)
}

// keepUnchangeable leaves a stream that is there what the server does not let be changed.
func (b *Bus) keepUnchangeable(ctx context.Context, config *jetstream.StreamConfig) error {
	stream, err := b.store.JS.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open stream %s: %w", config.Name, jet.Explain(err))
	}
	was := stream.CachedInfo().Config
	config.AllowMsgTTL = config.AllowMsgTTL || was.AllowMsgTTL
	config.PersistMode = was.PersistMode
	if numbers := was.Metadata[jet.NumbersKey]; numbers != "" {
		config.Metadata[jet.NumbersKey] = numbers
	}
	if was.PersistMode == jetstream.AsyncPersistMode && config.Replicas > 1 {
		return fmt.Errorf("stream %s was made by `runhook serve` for its own server and cannot have %d replicas: run `runhook backup` and `runhook restore` into a new cluster", config.Name, config.Replicas)
	}
	return nil
}

// Check opens the store that Init made; a missing part is an error that says what to run.
func (b *Bus) Check(ctx context.Context) error {
	opened := map[string]jetstream.Stream{}
	for _, config := range (Topology{}).streams() {
		stream, err := b.store.JS.Stream(ctx, config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) && config.Name == jet.ProgressStream {
			stream, err = remakeProgress(ctx, b.store)
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("this NATS has no stream %s: run `runhook init --nats URL` once, with an administrator's credentials", config.Name)
		}
		if err != nil {
			return fmt.Errorf("open stream %s: %w", config.Name, jet.Explain(err))
		}
		opened[config.Name] = stream
	}
	return b.store.Use(ctx, opened)
}
