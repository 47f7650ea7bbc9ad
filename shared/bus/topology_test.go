package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

const day = 24 * time.Hour

// storeStreams are the streams of a store, by name.
func storeStreams(t *testing.T, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	found := map[string]jetstream.StreamConfig{}
	streams := js.ListStreams(t.Context())
	for info := range streams.Info() {
		found[info.Config.Name] = info.Config
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// What a topology leaves out stays as the store has it, what an operator set besides too.
func TestInitKeepsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Retention: 730 * day, IdempotencyWindow: 2 * day, MaxConsumers: 500, MaxBytes: 1 << 30})
	js := bustest.JetStream(t, cluster.URLs)
	former := storeStreams(t, js)
	described := former["RUNS"]
	described.Description = "ask Ann"
	if _, err := js.UpdateStream(t.Context(), described); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Init(t.Context(), bus.Topology{Lease: 40 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if lease := cluster.Work.Lease(); lease != 40*time.Second {
		t.Errorf("the lease is %s", lease)
	}
	for name, is := range storeStreams(t, js) {
		was := former[name]
		if is.Replicas != 3 || is.MaxAge != was.MaxAge || is.Duplicates != was.Duplicates || is.MaxBytes != was.MaxBytes || is.MaxConsumers != was.MaxConsumers {
			t.Errorf("stream %s was %+v and is %+v", name, was, is)
		}
	}
	runs, keys := storeStreams(t, js)["RUNS"], storeStreams(t, js)["KV_keys"]
	if runs.MaxAge != 730*day || runs.Duplicates != 2*time.Minute || keys.MaxAge != 2*day || runs.MaxConsumers != 500 || runs.Description != "ask Ann" {
		t.Errorf("RUNS is %+v, KV_keys %+v", runs, keys)
	}
}

// Nothing is compressed, which loses streams (findings/nats-server-s2-*.sh), no start reads more of a stream
// than it must for its duplicates, and nobody can have the server remove or send messages: but for failed rows, each of which has its time.
func TestStoreIsMadeSmall(t *testing.T) {
	t.Parallel()
	for name, is := range storeStreams(t, bustest.JetStream(t, bustest.New(t, bus.Topology{}).Broker.URL())) {
		if is.Compression != jetstream.NoCompression {
			t.Errorf("stream %s: compression %s", name, is.Compression)
		}
		if is.Duplicates != 100*time.Millisecond && name != "RUNS" && name != "AUDIT" { // whose lines have ids
			t.Errorf("stream %s knows ids for %s", name, is.Duplicates)
		}
		if is.AllowMsgTTL && name != "OBJ_rows" || is.AllowMsgSchedules {
			t.Errorf("stream %s takes messages that expire or wait: %+v", name, is)
		}
		if name == "EVENTS" && is.MaxAge != 30*day {
			t.Errorf("events are kept for %s", is.MaxAge)
		}
	}
}

// A store that an earlier program has made is fitted, and keeps what the server does not let go.
func TestStoreOfBeforeIsFitted(t *testing.T) {
	t.Parallel()
	store := bustest.Empty(t, false)
	js := bustest.JetStream(t, store.Broker.URL())
	for _, former := range []jetstream.StreamConfig{
		{
			Name: "RUNS", Subjects: []string{"run.request.*", "run.schedule.*"}, Duplicates: day, MaxAge: 365 * day, AllowMsgTTL: true,
			Metadata: map[string]string{"runhook-lease": "30s", "runhook-retention": "8760h0m0s", "runhook-idempotency-window": "24h0m0s"},
		},
		{Name: "KV_control", Subjects: []string{"$KV.control.>"}, MaxMsgsPerSubject: 1, Compression: jetstream.S2Compression},
		{Name: "KV_runs", Subjects: []string{"$KV.runs.>"}, MaxMsgsPerSubject: 1, MaxAge: 365 * day},
		{Name: "EVENTS", MaxAge: 366 * day, Sources: []*jetstream.StreamSource{{Name: "KV_runs"}}},
	} {
		if _, err := js.CreateStream(t.Context(), former); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	is := storeStreams(t, js)
	runs, control := is["RUNS"], is["KV_control"]
	if kept := is["EVENTS"].MaxAge; kept != 366*day {
		t.Errorf("events are kept for %s", kept)
	}
	if !runs.AllowMsgTTL || !slices.Equal(runs.Subjects, []string{"run.request.*", "run.skipped"}) {
		t.Errorf("RUNS is %+v", runs)
	}
	if control.Compression != jetstream.NoCompression || control.Duplicates != 100*time.Millisecond {
		t.Errorf("KV_control is %+v", control)
	}
}

// What a topology takes away is said, with counts, and what it leaves is not.
func TestInitSaysWhatItTakesAway(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	for i := range 3 {
		accepted, err := store.Runs.Submit(t.Context(), request, fmt.Sprint("key ", i))
		if err != nil {
			t.Fatal(err)
		}
		n := accepted.Number
		claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "", time.Now())
		if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		topology bus.Topology
		says     []string
	}{
		"nothing":             {bus.Topology{}, nil},
		"as it is":            {bus.Topology{Retention: 365 * day, IdempotencyWindow: day, Lease: 30 * time.Second, Replicas: 1}, nil},
		"longer":              {bus.Topology{Retention: 366 * day}, nil},
		"shorter, none older": {bus.Topology{Retention: 300 * day}, nil},
		"shorter":             {bus.Topology{Retention: time.Microsecond}, []string{"runs that are older than 0s: 3 (so far kept for 365d)", "Idempotency-Keys that are older than 0s: 3"}},
		"window":              {bus.Topology{IdempotencyWindow: time.Microsecond}, []string{"Idempotency-Keys that are older than 0s: 3 (so far kept for 24h)"}},
		"less room":           {bus.Topology{MaxBytes: 1000}, []string{"oldest messages of stream RUNS", "oldest messages of stream KV_tasks"}},
		"room":                {bus.Topology{MaxBytes: 1 << 30}, nil},
	} {
		takes, err := store.Takes(t.Context(), c.topology)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		said := strings.Join(takes, "; ")
		if len(c.says) == 0 && said != "" {
			t.Errorf("%s: %s", name, said)
		}
		for _, part := range c.says {
			if !strings.Contains(said, part) {
				t.Errorf("%s: %q is not in %q", name, part, said)
			}
		}
	}
	if runs := storeStreams(t, bustest.JetStream(t, store.Broker.URL()))["RUNS"]; runs.MaxAge != 365*day || runs.MaxBytes != -1 {
		t.Errorf("it was changed: %+v", runs)
	}
}

func TestFewerCopiesAreTakenAway(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	takes, err := cluster.Takes(t.Context(), bus.Topology{Replicas: 1})
	if err != nil || !slices.Contains(takes, "2 of the 3 copies of stream RUNS") || len(takes) != 10 {
		t.Errorf("takes %q, %v", takes, err)
	}
}

// A store that is full refuses what is new. It keeps what it has.
func TestFullStoreKeepsItsRuns(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{MaxBytes: 1 << 20})
	request := bustest.Applied(t, store.Bus)
	request.TaskName = strings.Repeat("large ", 1000)
	for stored := run.Number(1); ; stored++ {
		_, err := store.Runs.Submit(t.Context(), request, "")
		if err == nil && stored < 5000 {
			continue
		}
		if !errors.Is(err, run.ErrUnavailable) {
			t.Errorf("run %s: %v", stored, err)
		}
		break
	}
	if status, err := store.Runs.Lookup(t.Context(), request.Task, 1); err != nil || status.Document.Status != run.Queued {
		t.Errorf("the first run is %v, %v", status.Document.Status, err)
	}
}

// hosted starts a server whose account has limits, and connects to it twice.
func hosted(t *testing.T, limits server.JetStreamAccountLimits) (*bus.Bus, jetstream.JetStream) {
	t.Helper()
	account := server.NewAccount("HOSTED")
	broker := withUsers(t, &server.User{Username: "owner", Password: "owner", Account: account})
	hosted, err := broker.LookupAccount("HOSTED")
	if err != nil {
		t.Fatal(err)
	}
	if err := hosted.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(broker.ClientURL(), nats.UserInfo("owner", "owner"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return connectAs(t, broker, "owner"), js
}

// unlimited are the limits of an account that has none.
func unlimited() server.JetStreamAccountLimits {
	return server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
}

// An account that does not hold the store is left as it is, and every limit in the way is said with the need.
func TestAccountThatIsTooSmall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit    func(*server.JetStreamAccountLimits)
		topology bus.Topology
		says     []string
	}{
		"streams":   {func(l *server.JetStreamAccountLimits) { l.MaxStreams = 5 }, bus.Topology{}, []string{"5 streams and has 1", "10 more", "raised to 11"}},
		"consumers": {func(l *server.JetStreamAccountLimits) { l.MaxConsumers = 10 }, bus.Topology{MaxConsumers: 20}, []string{"--max-consumers 10"}},
		"bytes":     {func(l *server.JetStreamAccountLimits) { l.MaxBytesRequired, l.MaxStore = true, 1<<30 }, bus.Topology{}, []string{"--max-bytes SIZE", "up to 1GiB"}},
		"disk":      {func(l *server.JetStreamAccountLimits) { l.MaxStore = 1 << 20 }, bus.Topology{MaxBytes: 1 << 30}, []string{"1MiB on disk", "--max-bytes 1GiB"}},
		"no disk":   {func(l *server.JetStreamAccountLimits) { l.MaxStore = 0 }, bus.Topology{}, []string{"0 bytes on disk"}},
		"a stream":  {func(l *server.JetStreamAccountLimits) { l.StoreMaxStreamBytes = 1 << 20 }, bus.Topology{MaxBytes: 1 << 30}, []string{"a stream 1MiB", "RUNS is to have 358.3MiB"}},
		"all": {
			func(l *server.JetStreamAccountLimits) { l.MaxStreams, l.MaxConsumers, l.MaxBytesRequired = 2, 3, true },
			bus.Topology{MaxConsumers: 4},
			[]string{"2 streams", "--max-consumers 3", "--max-bytes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			limits := unlimited()
			c.limit(&limits)
			owner, js := hosted(t, limits)
			if name == "streams" {
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER"}); err != nil {
					t.Fatal(err)
				}
			}
			err := owner.Init(t.Context(), c.topology)
			for _, part := range append(c.says, "nothing was changed") {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			for name := range storeStreams(t, js) {
				if name != "OTHER" {
					t.Errorf("stream %s was made", name)
				}
			}
		})
	}
}

// A store is made in an account that is just large enough for it, without memory, and again.
func TestAccountThatIsLargeEnough(t *testing.T) {
	t.Parallel()
	limits := unlimited()
	limits.MaxStreams, limits.MaxConsumers, limits.MaxBytesRequired, limits.MaxMemory, limits.MaxStore = 10, 20, true, 0, 1<<30
	owner, js := hosted(t, limits)
	for range 2 {
		if err := owner.Init(t.Context(), bus.Topology{MaxBytes: 1 << 30}); err != nil {
			t.Fatal(err)
		}
	}
	streams := storeStreams(t, js)
	if runs, progress := streams["RUNS"], streams["KV_progress"]; runs.MaxConsumers != 20 || progress.Storage != jetstream.FileStorage || len(streams) != 10 {
		t.Errorf("RUNS %+v, progress %+v", runs, progress)
	}
	request := bustest.Applied(t, owner)
	n := bustest.Submit(t, owner, request)
	progress := owner.Work.Progress(request.Task, n)
	if err := progress.Write(context.WithoutCancel(t.Context()), run.QueuedDocument(request, n)); err != nil {
		t.Errorf("progress on disk: %v", err)
	}
	if err := owner.Init(t.Context(), bus.Topology{MaxBytes: 2 << 30}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("more than the account allows: %v", err)
	}
}
