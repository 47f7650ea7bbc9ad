package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/run"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	leaseKey     = "runhook-lease"
	syncedKey    = "runhook-synced"
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
		Name:     runsStream,
		Subjects: []string{"run.request.*", "run.schedule.*"},
		Storage:  jetstream.FileStorage, Replicas: t.Replicas,
		Retention: jetstream.LimitsPolicy, // no limit but the age: nothing is pushed out by what is new
		MaxAge:    t.Retention, Duplicates: t.IdempotencyWindow, MaxConsumers: maxConsumers,
		AllowDirect: true, AllowMsgTTL: true, AllowMsgSchedules: true, AllowAtomicPublish: true,
		// The lease belongs to the store: whoever makes a consumer must use the same one.
		Metadata: map[string]string{leaseKey: t.Lease.String(), syncedKey: strconv.FormatBool(t.Synced)},
	}

	runs := t.bucket(runsBucket, "$KV.runs.>", jetstream.FileStorage)
	runs.MaxAge = t.Retention
	runs.RePublish = follow("$KV.runs.final.*.*")
	runs.AllowAtomicPublish = true

	progress := t.progress()

	events := jetstream.StreamConfig{
		Name: eventsStream, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		Retention: jetstream.LimitsPolicy, AllowDirect: true,
		// Longer than the source's: an emptied stream would source everything again.
		MaxAge:  t.Retention + 24*time.Hour,
		Sources: eventsSources(),
	}
	if t.Embedded {
		// They are copies, which are made again: a write or a sync of its own for each would bring nothing.
		events.PersistMode = jetstream.AsyncPersistMode
	}

	return []jetstream.StreamConfig{
		requests, runs, events, progress,
		t.bucket(controlBucket, "$KV.control.>", jetstream.FileStorage),
		t.bucket(tasksStream, "$KV."+tasksBucket+".>", jetstream.FileStorage),
		t.rows(),
	}
}

// eventsSources are what the events are copied from.
func eventsSources() []*jetstream.StreamSource {
	return []*jetstream.StreamSource{{
		Name: runsBucket,
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source: "$KV.runs.final.*.*", Destination: "run.completed.{{wildcard(1)}}",
		}},
	}}
}

// rows is the stream behind the object store of rejected rows.
func (t Topology) rows() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: rowsStream, Subjects: []string{"$O." + rowsBucket + ".C.>", "$O." + rowsBucket + ".M.>"},
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
	config := t.bucket(progressBucket, "$KV.progress.>", jetstream.MemoryStorage)
	config.MaxAge = progressAge
	config.RePublish = follow("$KV.progress.*.*")
	return config
}

// follow republishes what is put under source to the subject on which runs are followed.
func follow(source string) *jetstream.RePublish {
	return &jetstream.RePublish{Source: source, Destination: "run.status.{{wildcard(1)}}.{{wildcard(2)}}"}
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
		if _, err := b.js.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("make stream %s: %w", config.Name, explain(err))
		}
	}
	_, err = b.js.Publish(ctx, storeIDSubject, []byte(uuid.NewString()), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !refused(err) {
		return fmt.Errorf("write the store id: %w", explain(err))
	}
	if err := b.Check(ctx); err != nil || lease == topology.Lease {
		return err
	}
	return b.fitLeases(ctx)
}

// keepUnchangeable leaves a stream that is there what the server does not let be changed.
func (b *Bus) keepUnchangeable(ctx context.Context, config *jetstream.StreamConfig) error {
	stream, err := b.js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open stream %s: %w", config.Name, explain(err))
	}
	was := stream.CachedInfo().Config
	config.AllowMsgTTL = config.AllowMsgTTL || was.AllowMsgTTL
	config.PersistMode = was.PersistMode
	if was.PersistMode == jetstream.AsyncPersistMode && config.Replicas > 1 {
		return fmt.Errorf("stream %s was made by `runhook serve` for its own server and cannot have %d replicas: run `runhook backup` and `runhook restore` into a new cluster", config.Name, config.Replicas)
	}
	return nil
}

// Check opens the store that Init made; a missing part is an error that says what to run.
func (b *Bus) Check(ctx context.Context) error {
	opened := map[string]jetstream.Stream{}
	for _, config := range (Topology{}).streams() {
		stream, err := b.js.Stream(ctx, config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) && config.Name == progressBucket {
			stream, err = b.remakeProgress(ctx)
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("this NATS has no stream %s: run `runhook init --nats URL` once, with an administrator's credentials", config.Name)
		}
		if err != nil {
			return fmt.Errorf("open stream %s: %w", config.Name, explain(err))
		}
		opened[config.Name] = stream
	}
	b.runs, b.finals, b.progress = opened[runsStream], opened[runsBucket], opened[progressBucket]
	config := b.runs.CachedInfo().Config
	b.replicated = config.Replicas > 1
	// Replicas group what they agree on by themselves, and writes that are not synced cost less singly.
	grouped := config.Metadata[syncedKey] == "true" && !b.replicated
	b.requests.enable(grouped && config.AllowAtomicPublish)
	results := b.finals.CachedInfo().Config
	b.results.enable(grouped && results.AllowAtomicPublish)
	lease, err := time.ParseDuration(config.Metadata[leaseKey])
	if err != nil {
		return fmt.Errorf("stream %s does not say its lease: run `runhook init --nats URL` again", runsStream)
	}
	b.lease = lease
	tasks, err := b.js.KeyValue(ctx, tasksBucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", tasksBucket, explain(err))
	}
	b.tasks = tasks
	if b.rows, err = b.js.ObjectStore(ctx, rowsBucket); err != nil {
		return fmt.Errorf("open object store %s: %w", rowsBucket, explain(err))
	}
	id, err := b.leaderLast(ctx, controlBucket, storeIDSubject)
	if err != nil {
		return fmt.Errorf("read the store id: %w: run `runhook init --nats URL` again", err)
	}
	b.storeID = string(id.data)
	return nil
}

// explain adds what to do to errors of the JetStream API that a user can cause, and marks those that
// mean that NATS cannot be reached.
func explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: start the NATS server with JetStream (-js), and enable it for this account", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no answer from JetStream; is the cluster's leader up?", run.ErrUnavailable)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse),
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	return err
}
