package bus

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// Stored is the topology of the store that is there, the zero Topology where there is none.
func (b *Bus) Stored(ctx context.Context) (has Topology, err error) {
	defer b.explain(time.Now(), &err)
	runs, err := b.store.JS.Stream(ctx, jet.RunsStream)
	if absent(err) {
		return Topology{}, nil
	}
	if err != nil {
		return Topology{}, fmt.Errorf("open stream %s: %w", jet.RunsStream, jet.Explain(err))
	}
	return storedTopology(runs.CachedInfo().Config), nil
}

// Takes says what Init would take away from the store that is there, each with what to count it by; it
// is empty if that is nothing.
func (b *Bus) Takes(ctx context.Context, topology Topology) (takes []string, err error) {
	defer b.explain(time.Now(), &err)
	streams, made, err := b.fitted(ctx, &topology)
	if err != nil {
		return nil, err
	}
	for _, config := range streams {
		has := made[config.Name]
		if has == nil {
			continue
		}
		for _, s := range differing(has.Config, config) {
			if s.less == nil || !s.less(&has.Config, &config) {
				continue
			}
			loss, err := b.loss(ctx, s.name, has, config)
			if err != nil {
				return nil, err
			}
			if loss != "" {
				takes = append(takes, loss)
			}
		}
	}
	return takes, nil
}

// messages is what the messages of a stream are to people, of all but the slices.
var messages = map[string]string{
	jet.RunsStream: "runs", jet.KeysStream: "Idempotency-Keys", jet.EventsStream: "events", jet.RowsStream: "chunks of failed rows", jet.AuditStream: "lines of the audit",
}

// loss says what goes from a stream with a setting that is less than before, "" if that is nothing.
func (b *Bus) loss(ctx context.Context, setting string, has *jetstream.StreamInfo, next jetstream.StreamConfig) (string, error) {
	was, now := has.Config, time.Now()
	switch setting {
	case "max_age":
		then := now.Add(-next.MaxAge)
		old, err := b.before(ctx, has, then)
		if err == nil && was.Name == jet.RunsStream { // others are in bundles
			err = b.store.Requests(ctx, 1, has.State.FirstSeq, nil, func(request jet.Record) error {
				if request.Time.Before(then) {
					old++
				}
				return nil
			})
		}
		if old == 0 || err != nil {
			return "", err
		}
		return fmt.Sprintf("%s that are older than %s: %d (so far kept for %s)", cmp.Or(messages[was.Name], "results and claims of runs"), span(next.MaxAge), old, kept(was.MaxAge)), nil
	case "num_replicas":
		return fmt.Sprintf("%d of the %d copies of stream %s", was.Replicas-next.Replicas, was.Replicas, was.Name), nil
	case "max_bytes":
		if has.State.Bytes <= uint64(next.MaxBytes) {
			return "", nil
		}
		return fmt.Sprintf("the oldest messages of stream %s, which holds %s and may hold %s", was.Name, size(int64(has.State.Bytes)), size(next.MaxBytes)), nil
	case "max_msgs_per_subject":
		return "all but the newest message of each subject of stream " + was.Name, nil
	}
	return "", nil
}

// kept is for how long a stream keeps its messages.
func kept(age time.Duration) string {
	if age == 0 {
		return "ever"
	}
	return span(age)
}

// span is a length of time as the flags take it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return run.Span(d)
}

// before counts the messages of a stream that were stored before some time.
func (b *Bus) before(ctx context.Context, has *jetstream.StreamInfo, then time.Time) (uint64, error) {
	if has.State.Msgs == 0 {
		return 0, nil
	}
	consumer, err := b.store.JS.CreateConsumer(ctx, has.Config.Name, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &then, AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("count what stream %s has from before: %w", has.Config.Name, jet.Explain(err))
	}
	info := consumer.CachedInfo()
	// One that is not removed now goes after a minute.
	_ = b.store.JS.DeleteConsumer(ctx, has.Config.Name, info.Name)
	if info.NumPending > has.State.Msgs { // some came meanwhile
		return 0, nil
	}
	return has.State.Msgs - info.NumPending, nil
}
