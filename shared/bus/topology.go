package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// Topology says how the streams and buckets of a store are made. A field that is zero is as the store has
// it, or in a new store its default.
type Topology struct {
	// Replicas of every stream and bucket. Default 1.
	Replicas int
	// Retention is how long runs and their results are kept. Default 365 days.
	Retention time.Duration
	// EventsRetention is how long events are kept; at most a day longer than runs. Default 30 days.
	EventsRetention time.Duration
	// IdempotencyWindow is how long an idempotency key is remembered; never longer than Retention. Default 24 h.
	IdempotencyWindow time.Duration
	// Lease is how long a runner may be silent before its run is delivered again. Default 30 s.
	Lease time.Duration
	// MaxBytes is how much all streams together may hold, in each of their copies; what is more is refused,
	// but for the oldest events, which go. Default without a bound.
	MaxBytes int64
	// MaxConsumers is how many tasks there may be, and programs that read the requests. Default 100,000, or
	// what the account allows.
	MaxConsumers int
	// Synced: the servers sync every write to disk before they acknowledge it. It sets nothing at the
	// servers; whoever publishes to a single one of them groups what waits, since syncs are what it
	// has least of. It has no default.
	Synced bool
	// Slice is how many runs have their results in one stream. It is said when the store is made, and stays. Default
	// 100,000.
	Slice int
	// Embedded: the one server is part of this program, and finds out at each start from the last event
	// how far the events have come (package broker). They need not be on disk at once then.
	Embedded bool

	// layout is the store's.
	layout jet.Layout
	// progressOnDisk: the account has no memory for the bucket of live documents.
	progressOnDisk bool
}

const (
	progressAge = 24 * time.Hour
	// moreThanRuns is by how much events may outlive runs, and failed rows do: the final document that names
	// them never names what has gone.
	moreThanRuns = 24 * time.Hour
	// knownIDs is how long the server knows the ids of requests and of lines of the audit, for which it reads all of that
	// time at each start; the bucket of keys knows those of requests longer.
	knownIDs = 2 * time.Minute
	// leastDuplicates is the server's least window for duplicates: each start reads all messages of the window.
	leastDuplicates = 100 * time.Millisecond
	// mostConsumers is the default of MaxConsumers: the server's own, where none is set, is 1,000.
	mostConsumers = 100_000
)

// over fills what t leaves out from what the store has, the zero Topology if there is none.
func (t *Topology) over(has Topology) {
	t.Replicas = cmp.Or(t.Replicas, has.Replicas, 1)
	t.Retention = cmp.Or(t.Retention, has.Retention, 365*24*time.Hour)
	t.EventsRetention = min(cmp.Or(t.EventsRetention, has.EventsRetention, 30*24*time.Hour), t.Retention+moreThanRuns)
	t.IdempotencyWindow = min(cmp.Or(t.IdempotencyWindow, has.IdempotencyWindow, 24*time.Hour), t.Retention)
	t.Lease = cmp.Or(t.Lease, has.Lease, 30*time.Second)
	t.MaxBytes = cmp.Or(t.MaxBytes, has.MaxBytes)
	t.MaxConsumers = cmp.Or(t.MaxConsumers, has.MaxConsumers, mostConsumers)
	t.Slice = cmp.Or(has.Slice, t.Slice, defaultSlice)
}

// streams lists every stream but those of slices in the order in which they are made. Buckets are made as streams:
// a KV call would switch off what they need (deleting single messages) and cannot republish both.
func (t Topology) streams() []jetstream.StreamConfig {
	requests := t.stream(jet.RunsStream, 35, jet.Requests, jet.SkippedRequests)
	requests.MaxAge, requests.Duplicates, requests.MaxConsumers = t.Retention, min(knownIDs, t.IdempotencyWindow), t.MaxConsumers
	requests.AllowAtomicPublish = true
	// What belongs to the store is said here: whoever makes a consumer must use the same lease.
	requests.Metadata = map[string]string{
		jet.LeaseKey: t.Lease.String(), jet.SyncedKey: strconv.FormatBool(t.Synced),
		jet.RetentionKey: t.Retention.String(), jet.EventsKey: t.EventsRetention.String(), jet.WindowKey: t.IdempotencyWindow.String(), jet.MaxBytesKey: strconv.FormatInt(t.MaxBytes, 10),
		jet.ConsumersKey: strconv.Itoa(t.MaxConsumers),
	}
	t.layout.Describe(requests.Metadata)

	events := t.stream(jet.EventsStream, 22)
	events.MaxAge = t.EventsRetention
	events.Discard = jetstream.DiscardOld // they are copies; of what, keepSources says
	if t.Embedded {
		// They are made again: a write or a sync of its own for each would bring nothing.
		events.PersistMode = jetstream.AsyncPersistMode
	}

	keys := t.bucket(jet.KeysStream, 2, jet.Keys)
	keys.MaxAge, keys.AllowAtomicPublish = t.IdempotencyWindow, true

	// The object store of rejected rows, which cannot do without rollups.
	rows := t.stream(jet.RowsStream, 7, jet.RowChunks, jet.RowMeta)
	rows.MaxAge, rows.AllowRollup, rows.AllowMsgTTL = t.Retention+moreThanRuns, true, true

	audit := t.stream(jet.AuditStream, 1, jet.Audits, jet.Receipts, jet.HeldTasks)
	audit.MaxAge, audit.Duplicates = t.Retention, min(knownIDs, t.Retention)

	return []jetstream.StreamConfig{ // the events are changed in a turn, of which KV_control says whose it is
		requests, keys, t.bucket(jet.ControlStream, 0.5, jet.Control), events, t.progress(), t.bucket(jet.TasksStream, 2, jet.Tasks), rows, audit,
	}
}

// stream is what all streams have in common. share is how much of MaxBytes is the stream's, in percent.
//
// Nothing is pushed out by what is new, and nothing is compressed: nats-server 2.15.2 can write messages as
// they are behind a block that it has compressed, and cannot read the stream any more then
// (findings/nats-server-s2-*.sh).
func (t Topology) stream(name string, share float64, subjects ...string) jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name: name, Subjects: subjects, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, AllowDirect: true,
		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxBytes: -1, MaxConsumers: -1,
		Duplicates: leastDuplicates,
	}
	if t.MaxBytes > 0 {
		config.MaxBytes = max(1, int64(float64(t.MaxBytes)*share/100))
	}
	return config
}

// bucket is the stream behind a key-value bucket. It takes no rollups, with which one message takes away all
// others.
func (t Topology) bucket(name string, share float64, subjects string) jetstream.StreamConfig {
	config := t.stream(name, share, subjects)
	config.MaxMsgsPerSubject = 1
	return config
}

// progress is the bucket of live documents. It stands in memory, so a single server that restarts
// has lost even the bucket, and it must be possible to make it again.
func (t Topology) progress() jetstream.StreamConfig {
	config := t.bucket(jet.ProgressStream, 0.5, jet.Progress)
	config.MaxAge = progressAge
	config.RePublish = follow(jet.LiveDocuments)
	if !t.progressOnDisk {
		config.Storage = jetstream.MemoryStorage
	}
	return config
}

// follow republishes what is put under source to the subject on which runs are followed.
func follow(source string) *jetstream.RePublish {
	return &jetstream.RePublish{Source: source, Destination: jet.FollowedAs}
}

// Init makes the store's streams and buckets, or changes existing ones to fit, and gives a new
// store its id. It is safe to call again and from several processes. Nothing is made in an account whose
// limits do not allow all of it; the error says which.
func (b *Bus) Init(ctx context.Context, topology Topology) (err error) {
	defer b.explain(time.Now(), &err)
	if err := b.Fit(ctx, &topology); err != nil {
		return err
	}
	// An existing store goes on while its open slice has room.
	if err := b.store.Ahead(ctx); err != nil && b.store.Room(ctx) != nil {
		return err
	}
	if err := keepSources(ctx, b.store); err != nil {
		return err
	}
	if err := b.rememberKeys(ctx, topology.IdempotencyWindow); err != nil {
		return err
	}
	return b.fitLeases(ctx)
}

// Fit is the part of Init that makes or changes all streams but those of slices, and fills a topology from what
// there is.
func (b *Bus) Fit(ctx context.Context, topology *Topology) error {
	streams, made, err := b.fitted(ctx, topology)
	if err != nil {
		return err
	}
	var done []string
	for _, config := range streams {
		if has := made[config.Name]; has != nil && config.Name == jet.RunsStream {
			config.Duplicates = min(max(config.Duplicates, has.Config.Duplicates), config.MaxAge) // until rememberKeys
		}
		if _, isSlice := b.store.Layout.Named(config.Name); isSlice && made[config.Name] == nil {
			continue // Ahead makes it
		}
		if err := b.fitStream(ctx, config, made[config.Name] != nil); err != nil {
			err = fmt.Errorf("make stream %s: %w", config.Name, jet.Explain(err))
			if len(done) > 0 {
				err = fmt.Errorf("%w; %s are made and stay: run it again once that is mended", err, strings.Join(done, ", "))
			}
			return err
		}
		if made[config.Name] == nil {
			done = append(done, config.Name)
		}
	}
	_, err = b.store.JS.Publish(ctx, jet.StoreIDSubject, []byte(uuid.NewString()), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !jet.Refused(err) {
		return fmt.Errorf("write the store id: %w", jet.Explain(err))
	}
	return b.Open(ctx)
}

// fitStream makes a stream, or changes the one that there is.
func (b *Bus) fitStream(ctx context.Context, config jetstream.StreamConfig, there bool) error {
	if config.Name != jet.EventsStream {
		_, err := b.store.JS.CreateOrUpdateStream(ctx, config)
		return err
	}
	if !there {
		if _, err := b.store.JS.CreateStream(ctx, config); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
	}
	return updateEvents(ctx, b.store, func(_ context.Context, has jetstream.StreamConfig) (jetstream.StreamConfig, error) {
		config.Metadata = nil // what it says is of its sources
		return changed(has, config)
	})
}

// fitted fills a topology from what there is, and returns the streams as they are to be, and as they are
// by name.
func (b *Bus) fitted(ctx context.Context, topology *Topology) (wanted []jetstream.StreamConfig, made map[string]*jetstream.StreamInfo, err error) {
	made = map[string]*jetstream.StreamInfo{}
	for _, config := range (Topology{}).streams() {
		stream, err := b.store.JS.Stream(ctx, config.Name)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open stream %s: %w", config.Name, jet.Explain(err))
		}
		made[config.Name] = stream.CachedInfo()
	}
	var has Topology
	if runs := made[jet.RunsStream]; runs != nil {
		has = storedTopology(runs.Config)
	}
	asked := *topology
	topology.over(has)
	slices, err := b.fitSlices(ctx, topology, made)
	if err != nil {
		return nil, nil, err
	}
	if err := b.fitAccount(ctx, topology, asked, slices, made); err != nil {
		return nil, nil, err
	}
	for _, config := range append(topology.streams(), slices...) {
		if has := made[config.Name]; has != nil {
			if config, err = changed(has.Config, config); err != nil {
				return nil, nil, err
			}
		}
		wanted = append(wanted, config)
	}
	return wanted, made, nil
}

// explain names the right that is lacking, where an attempt that began then has failed for that.
func (b *Bus) explain(begun time.Time, err *error) { *err = b.store.Denials.Explain(begun, *err) }

// absent reports that there is no stream of the name.
func absent(err error) bool { return errors.Is(err, jetstream.ErrStreamNotFound) }

// Check opens the store that Init made, and looks for room for new runs; a missing part is an error that says what
// to run.
func (b *Bus) Check(ctx context.Context) error {
	err := b.Open(ctx)
	if err == nil {
		_ = b.store.Room(ctx) // a POST is told
	}
	return err
}

// Open is Check for who accepts no runs.
func (b *Bus) Open(ctx context.Context) (err error) {
	defer b.explain(time.Now(), &err)
	opened := map[string]jetstream.Stream{}
	for _, config := range (Topology{}).streams() {
		stream, err := b.store.JS.Stream(ctx, config.Name)
		if absent(err) && config.Name == jet.ProgressStream {
			stream, err = remakeProgress(ctx, b.store)
		}
		if absent(err) {
			return jet.As(ErrNotMade, fmt.Errorf("this NATS has no stream %s: run `runhook init --nats URL` once, with an administrator's credentials", config.Name))
		}
		if err != nil {
			return fmt.Errorf("open stream %s: %w", config.Name, jet.Explain(err))
		}
		opened[config.Name] = stream
	}
	if err := b.store.Use(ctx, opened); err != nil {
		return err
	}
	if b.store.Layout.Width == 0 {
		return jet.As(ErrNotMade, errors.New("the store is of an older Runhook: run `runhook init --nats URL` once, with an administrator's credentials, while no service of the older one runs"))
	}
	return nil
}
