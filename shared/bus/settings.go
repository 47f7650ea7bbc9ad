package bus

import (
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// storedTopology is what the stream of requests says that the store is to be, whatever somebody has
// changed of a stream by hand since. How many copies there are is as NATS has it.
func storedTopology(runs jetstream.StreamConfig) Topology {
	// What does not parse was made before it was said there; it is then as the stream is.
	said := func(key string, is time.Duration) time.Duration {
		if t, err := time.ParseDuration(runs.Metadata[key]); err == nil {
			return t
		}
		return is
	}
	t := Topology{
		Replicas: runs.Replicas, Retention: said(jet.RetentionKey, runs.MaxAge), IdempotencyWindow: said(jet.WindowKey, runs.Duplicates),
		EventsRetention: said(jet.EventsKey, said(jet.RetentionKey, runs.MaxAge)+moreThanRuns),
		Lease:           said(jet.LeaseKey, 0), MaxConsumers: max(runs.MaxConsumers, 0),
		Synced: runs.Metadata[jet.SyncedKey] == "true",
	}
	t.MaxBytes, _ = strconv.ParseInt(runs.Metadata[jet.MaxBytesKey], 10, 64)
	if layout, err := jet.ParseLayout(runs.Metadata); err == nil {
		t.Slice, t.layout = int(layout.Width), layout
	}
	if n, err := strconv.Atoi(runs.Metadata[jet.ConsumersKey]); err == nil {
		t.MaxConsumers = n
	}
	return t
}

// setting is something that Runhook sets of a stream, by the name that NATS has for it.
type setting struct {
	name string
	of   func(*jetstream.StreamConfig) any // a pointer to the field
	// less reports whether a stream that is changed from one value to another keeps less than before.
	less func(from, to *jetstream.StreamConfig) bool
}

// settings are all but the name and what the server does not let be changed. Everything else of a stream,
// such as its placement, is the operator's.
var settings = []setting{
	{"subjects", func(c *jetstream.StreamConfig) any { return &c.Subjects }, nil},
	{"retention", func(c *jetstream.StreamConfig) any { return &c.Retention }, nil},
	{"max_age", func(c *jetstream.StreamConfig) any { return &c.MaxAge }, func(from, to *jetstream.StreamConfig) bool {
		return to.MaxAge > 0 && (from.MaxAge == 0 || from.MaxAge > to.MaxAge)
	}},
	{"max_msgs", func(c *jetstream.StreamConfig) any { return &c.MaxMsgs }, nil},
	{"max_msgs_per_subject", func(c *jetstream.StreamConfig) any { return &c.MaxMsgsPerSubject }, func(from, to *jetstream.StreamConfig) bool {
		return to.MaxMsgsPerSubject > 0 // it keeps one a subject where it kept any number
	}},
	{"max_msg_size", func(c *jetstream.StreamConfig) any { return &c.MaxMsgSize }, nil},
	{"max_bytes", func(c *jetstream.StreamConfig) any { return &c.MaxBytes }, func(from, to *jetstream.StreamConfig) bool {
		return to.MaxBytes > 0 && (from.MaxBytes <= 0 || from.MaxBytes > to.MaxBytes)
	}},
	{"max_consumers", func(c *jetstream.StreamConfig) any { return &c.MaxConsumers }, nil},
	{"discard", func(c *jetstream.StreamConfig) any { return &c.Discard }, nil},
	{"num_replicas", func(c *jetstream.StreamConfig) any { return &c.Replicas }, func(from, to *jetstream.StreamConfig) bool {
		return from.Replicas > to.Replicas
	}},
	{"compression", func(c *jetstream.StreamConfig) any { return &c.Compression }, nil},
	{"duplicate_window", func(c *jetstream.StreamConfig) any { return &c.Duplicates }, func(from, to *jetstream.StreamConfig) bool {
		return from.Name == jet.RunsStream && from.Duplicates > to.Duplicates // the audit counts on those of the last seconds
	}},
	{"allow_direct", func(c *jetstream.StreamConfig) any { return &c.AllowDirect }, nil},
	{"allow_rollup_hdrs", func(c *jetstream.StreamConfig) any { return &c.AllowRollup }, nil},
	{"allow_msg_ttl", func(c *jetstream.StreamConfig) any { return &c.AllowMsgTTL }, nil},
	{"allow_atomic", func(c *jetstream.StreamConfig) any { return &c.AllowAtomicPublish }, nil},
	{"republish", func(c *jetstream.StreamConfig) any { return &c.RePublish }, nil},
	{"sealed", func(c *jetstream.StreamConfig) any { return &c.Sealed }, nil},
	{"deny_delete", func(c *jetstream.StreamConfig) any { return &c.DenyDelete }, nil},
	{"deny_purge", func(c *jetstream.StreamConfig) any { return &c.DenyPurge }, nil},
}

// changed is a stream that is there, with what Runhook sets of it.
func changed(has, wanted jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if has.PersistMode == jetstream.AsyncPersistMode && wanted.Replicas > 1 {
		return has, fmt.Errorf("stream %s was made by `runhook serve` for its own server and cannot have %d replicas: run `runhook backup` and `runhook restore` into a new cluster", wanted.Name, wanted.Replicas)
	}
	if has.AllowMsgSchedules && wanted.MaxBytes > 0 {
		return has, fmt.Errorf("stream %s was made by an older Runhook and would drop its oldest runs for new ones: leave out --max-bytes, or use it with a new store", wanted.Name)
	}
	next := has
	for _, s := range differing(has, wanted) {
		s.set(&next, &wanted)
	}
	next.Metadata = maps.Clone(has.Metadata)
	if next.Metadata == nil {
		next.Metadata = map[string]string{}
	}
	maps.Copy(next.Metadata, wanted.Metadata)
	return next, nil
}

func (s setting) set(to, from *jetstream.StreamConfig) {
	reflect.ValueOf(s.of(to)).Elem().Set(reflect.ValueOf(s.of(from)).Elem())
}

// text is a setting's value as the log and the errors show it.
func (s setting) text(of *jetstream.StreamConfig) string {
	value := reflect.ValueOf(s.of(of)).Elem()
	if value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	return fmt.Sprint(value.Interface())
}

// differing are the settings that a stream has otherwise than it is to have.
func differing(has, wanted jetstream.StreamConfig) (all []setting) {
	if has.AllowMsgSchedules { // a store from before, which cannot do without them any more
		wanted.AllowRollup, wanted.DenyPurge, wanted.Discard = has.AllowRollup, has.DenyPurge, has.Discard
	}
	wanted.AllowMsgTTL = wanted.AllowMsgTTL || has.AllowMsgTTL // no server takes it back
	for _, s := range settings {
		is, want := reflect.ValueOf(s.of(&has)).Elem().Interface(), reflect.ValueOf(s.of(&wanted)).Elem().Interface()
		if !reflect.DeepEqual(is, want) && !(s.name == "subjects" && len(has.Subjects) == 0 && len(wanted.Subjects) == 0) {
			all = append(all, s)
		}
	}
	return all
}
