package bus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// keeping has a process keep a store until the end of the test.
func keeping(t *testing.T, store *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	view, done, err := store.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var keeper sync.WaitGroup
	keeper.Go(func() { store.Tasks.Keep(ctx, view) })
	t.Cleanup(func() { cancel(); keeper.Wait(); <-done })
}

// journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) count(part string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), part)
}

// logging connects to a store with a log.
func logging(t *testing.T, url, user string) (*bus.Bus, *journal) {
	t.Helper()
	log := &journal{}
	store, err := bus.Connect(t.Context(), bus.Config{URLs: url, Credentials: user, Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, log
}

// A consumer that somebody removes is made again, and its requests come.
func TestRemovedConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	keeping(t, store.Bus)
	request := bustest.Applied(t, store.Bus)
	js := bustest.JetStream(t, store.Broker.URL())
	n := bustest.Submit(t, store.Bus, request)
	if err := js.DeleteConsumer(t.Context(), "RUNS", string(request.Task)); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		queue, err := store.Work.Queue(t.Context(), request.Task)
		if err != nil {
			return err
		}
		defer queue.Close()
		d, err := bustest.Next(t.Context(), queue)
		if err == nil && d.Number != n {
			err = fmt.Errorf("run %s came", d.Number)
		}
		return err
	})
}

// What somebody has changed by hand is changed back.
func TestSettingsAreChangedBack(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 100 * day})
	keeping(t, store.Bus)
	request := bustest.Applied(t, store.Bus)
	js := bustest.JetStream(t, store.Broker.URL())
	consumer := func() jetstream.ConsumerConfig {
		t.Helper()
		found, err := js.Consumer(t.Context(), "RUNS", string(request.Task))
		if err != nil {
			t.Fatal(err)
		}
		return found.CachedInfo().Config
	}
	first, streams := consumer(), storeStreams(t, js)
	wrong := first
	wrong.AckWait, wrong.MaxAckPending, wrong.MaxDeliver, wrong.MaxRequestBatch, wrong.HeadersOnly = time.Millisecond, 9, 3, 1, true
	wrong.Description = "ask Ann"
	if _, err := js.UpdateConsumer(t.Context(), "RUNS", wrong); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"RUNS": func(c *jetstream.StreamConfig) {
			c.MaxAge, c.MaxMsgs, c.MaxConsumers, c.AllowAtomicPublish = day, 1000, 50, false
		},
		"KV_runs_0": func(c *jetstream.StreamConfig) { c.MaxMsgSize, c.RePublish, c.AllowDirect = 100, nil, false },
		"EVENTS":    func(c *jetstream.StreamConfig) { c.MaxAge = 2 * day },
		"OBJ_rows":  func(c *jetstream.StreamConfig) { c.Discard, c.Subjects = jetstream.DiscardOld, c.Subjects[:1] },
	} {
		config := streams[name]
		change(&config)
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatalf("stream %s: %v", name, err)
		}
	}
	if err := js.DeleteStream(t.Context(), "KV_progress"); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		now := consumer()
		if now.Description != "ask Ann" {
			t.Fatal("what is the operator's was changed")
		}
		now.Description = first.Description
		if was, is := inJSON(t, first), inJSON(t, now); is != was {
			return fmt.Errorf("the consumer was %s and is %s", was, is)
		}
		is := storeStreams(t, js)
		for name, was := range streams {
			if was, is := inJSON(t, was), inJSON(t, is[name]); is != was {
				return fmt.Errorf("stream %s was %s and is %s", name, was, is)
			}
		}
		return nil
	})
}

// What is otherwise at one look only is let be: somebody may be about to change the store, a step at a time.
func TestKeepLooksTwice(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 100 * day})
	view, done, err := store.Tasks.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { <-done })
	look := store.Tasks.Looks(view)
	js := bustest.JetStream(t, store.Broker.URL())
	is := func(age time.Duration) {
		t.Helper()
		if has := storeStreams(t, js)["RUNS"].MaxAge; has != age {
			t.Errorf("runs are kept for %s, not %s", has, age)
		}
	}
	change := func(age time.Duration) {
		t.Helper()
		config := storeStreams(t, js)["RUNS"]
		config.MaxAge = age
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what was mended between counts anew
		change(day)
		look(t.Context())
		is(day)
		change(100 * day)
		look(t.Context())
	}
	change(day)
	look(t.Context())
	is(day)
	look(t.Context())
	is(100 * day)
}

// What cannot be changed back, or would take something away, is said once.
func TestSettingsThatStayAreSaid(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 100 * day})
	kept, log := logging(t, store.Broker.URL(), "")
	js := bustest.JetStream(t, store.Broker.URL())
	config := storeStreams(t, js)["KV_control"]
	config.MaxMsgsPerSubject, config.DenyPurge, config.AllowRollup = 2, true, false
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	consumer, err := js.Consumer(t.Context(), "RUNS", string(request.Task))
	if err != nil {
		t.Fatal(err)
	}
	wrong := consumer.CachedInfo().Config
	wrong.DeliverPolicy, wrong.AckWait = jetstream.DeliverNewPolicy, time.Minute
	if err := js.DeleteConsumer(t.Context(), "RUNS", wrong.Durable); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "RUNS", wrong); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "OBJ_rows"); err != nil {
		t.Fatal(err)
	}
	keeping(t, kept)
	said := []string{"max_msgs_per_subject of stream KV_control", "deny_purge of stream KV_control", "deliver_policy of consumer " + string(request.Task), "stream OBJ_rows"}
	proctest.Until(t, func() error {
		for _, part := range said {
			if log.count(part) == 0 {
				return fmt.Errorf("%s is not said", part)
			}
		}
		if log.count("ack_wait of consumer") == 0 {
			return fmt.Errorf("what can be changed back was not")
		}
		return nil
	})
	// It goes on looking.
	wrong.MaxDeliver = 7
	if _, err := js.UpdateConsumer(t.Context(), "RUNS", wrong); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		if log.count("max_deliver of consumer") == 0 {
			return fmt.Errorf("a later change is not seen")
		}
		return nil
	})
	for _, part := range said {
		if n := log.count(part); n != 1 {
			t.Errorf("%s is said %d times", part, n)
		}
	}
	if is := storeStreams(t, js)["KV_control"]; is.MaxMsgsPerSubject != 2 {
		t.Errorf("%d of a subject are kept", is.MaxMsgsPerSubject)
	}
}

// A lease that Redeliver has left at a moment, for it was killed, is put back by the next one.
func TestRedeliverPutsLeasesBack(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	var ids []string
	for i := range 2 {
		request := bustest.Applied(t, store.Bus)
		ids = append(ids, string(request.Task))
		consumer, err := js.Consumer(t.Context(), "RUNS", ids[i])
		if err != nil {
			t.Fatal(err)
		}
		config := consumer.CachedInfo().Config
		config.AckWait = time.Millisecond
		if _, err := js.UpdateConsumer(t.Context(), "RUNS", config); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the other one is idle
			bustest.Submit(t, store.Bus, request)
			queue, err := store.Work.Queue(t.Context(), request.Task)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bustest.Next(t.Context(), queue); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.Work.Redeliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		consumer, err := js.Consumer(t.Context(), "RUNS", id)
		if err != nil {
			t.Fatal(err)
		}
		if lease := consumer.CachedInfo().Config.AckWait; lease != 30*time.Second {
			t.Errorf("the lease is %s", lease)
		}
	}
}

func inJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
