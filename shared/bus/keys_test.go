package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// storedUnder publishes a request under a key as a process does that is killed before it notes the run, or
// as programs did that noted none.
func storedUnder(t *testing.T, store *bus.Bus, js jetstream.JetStream, request run.Request, key string) run.Number {
	t.Helper()
	data, err := request.Encode()
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "run.request." + string(request.Task), Data: data, Header: nats.Header{"Nats-Msg-Id": {string(request.Called()) + "." + key}},
	})
	if err != nil || ack.Duplicate {
		t.Fatal(ack, err)
	}
	return store.Jet().Numbers.Of(ack.Sequence)
}

// forgetIDs has the server know no ids any more, as two minutes later.
func forgetIDs(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	config := storeStreams(t, js)["RUNS"]
	config.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	probe := func() bool {
		ack, err := js.Publish(t.Context(), "run.skipped", nil, jetstream.WithMsgID("probe"))
		return err == nil && !ack.Duplicate
	}
	probe()
	proctest.Eventually(t, "the server knows no ids", probe)
}

// resubmitted is what a POST under a key gives, by a process that has not seen the one before.
func resubmitted(t *testing.T, store *bus.Bus, request run.Request, key string) bus.Accepted {
	t.Helper()
	request.CreatedOn = time.Now().UTC()
	accepted, err := retryUnavailable(t.Context(), func() (bus.Accepted, error) {
		accepted, err := store.Runs.Submit(t.Context(), request, key)
		if errors.Is(err, run.ErrMaybeStored) { // for which the key is
			err = fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		}
		return accepted, err
	})
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return accepted
}

// noted waits until the entry of a key names its run.
func noted(t *testing.T, store *bus.Bus, id task.ID, key string, n run.Number) {
	t.Helper()
	proctest.Eventually(t, "the run of the key is noted", func() bool {
		noted, from := store.Runs.NotedRun(t.Context(), id, key)
		if noted == n && from > store.Jet().Numbers.Upto(n) {
			t.Fatalf("%s: its run is %s, and would be looked for behind the sequence %d", key, n, from)
		}
		return noted == n
	})
}

// Whatever a process that was killed has left of a POST with a key: when it is repeated, long after the server
// has forgotten the id, there is one run.
func TestKeyAfterAKill(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func() (*bus.Bus, jetstream.JetStream){
		"one server": func() (*bus.Bus, jetstream.JetStream) {
			store := bustest.New(t, bus.Topology{Synced: true})
			return store.Bus, bustest.JetStream(t, store.Broker.URL())
		},
		"three servers": func() (*bus.Bus, jetstream.JetStream) {
			cluster := bustest.NewCluster(t, bus.Topology{})
			return cluster.Bus, bustest.JetStream(t, cluster.URLs)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, js := start()
			request := bustest.Applied(t, store)
			rotated := bustest.Applied(t, store)
			rotated.CalledAs = task.NewID()

			store.Runs.EnterKey(t, request, "before the request")
			bustest.Submit(t, store, request)
			if found, ok := keyed(t, store, request.Task, "before the request"); ok {
				t.Errorf("a key that has started nothing gives %+v", found)
			}
			store.Runs.EnterKey(t, request, "behind the request")
			bustest.Submit(t, store, request)
			behind := storedUnder(t, store, js, request, "behind the request")
			store.Runs.EnterKey(t, rotated, "of a former id")
			former := storedUnder(t, store, js, rotated, "of a former id")
			whole := resubmitted(t, store, request, "whole")
			noted(t, store, request.Task, "whole", whole.Number)
			forgetIDs(t, js)

			before := resubmitted(t, store, request, "before the request")
			if before.Replayed {
				t.Errorf("nothing was stored, and %+v was the answer", before)
			}
			for _, c := range []struct {
				key     string
				request run.Request
				number  run.Number
			}{
				{"before the request", request, before.Number},
				{"behind the request", request, behind},
				{"of a former id", rotated, former},
				{"whole", request, whole.Number},
			} {
				id := c.request.Called()
				if found, ok := keyed(t, store, id, c.key); !ok || found.Number != c.number || !found.Replayed {
					t.Errorf("%s: %v, %+v", c.key, ok, found)
				}
				if again := resubmitted(t, store, c.request, c.key); again.Number != c.number || !again.Replayed {
					t.Errorf("%s: %+v", c.key, again)
				}
				noted(t, store, id, c.key, c.number)
				other := c.request
				other.ParameterHash = "other"
				if _, err := retryUnavailable(t.Context(), func() (bus.Accepted, error) { return store.Runs.Submit(t.Context(), other, c.key) }); !errors.Is(err, run.ErrKeyReused) {
					t.Errorf("%s with other parameters: %v", c.key, err)
				}
			}
		})
	}
}

// What another program puts in the place of an entry makes no second run, and an entry that leads nowhere is
// none.
func TestForeignEntryOfAKey(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	elsewhere := bustest.Submit(t, store.Bus, other)
	for _, value := range []string{"", "no JSON", "null", "{}", "[]", `{"Run":-1}`, `{"Task":"a b"}`, `{"Task":">"}`, fmt.Sprintf(`{"Run":%s}`, elsewhere), `{"Run":99999999}`} {
		key := "key-of-" + strings.ReplaceAll(value, " ", "_") // a header's value has no blanks at its ends
		first := resubmitted(t, store.Bus, request, key)
		noted(t, store.Bus, request.Task, key, first.Number)
		if _, err := js.Publish(t.Context(), bus.EntrySubject(request.Task, key), []byte(value)); err != nil {
			t.Fatal(err)
		}
		if found, ok := keyed(t, store.Bus, request.Task, key); !ok || found.Number != first.Number {
			t.Errorf("behind %q: %v %+v", value, ok, found)
		}
		if again := resubmitted(t, store.Bus, request, key); again.Number != first.Number || !again.Replayed {
			t.Errorf("behind %q: %+v", value, again)
		}
		noted(t, store.Bus, request.Task, key, first.Number)
	}
	// As after a restore, whose store ends before.
	for _, value := range []string{`{"From":88888888}`, `{"From":88888888,"Run":99999999}`} {
		key := "key-of-" + value
		if _, err := js.Publish(t.Context(), bus.EntrySubject(request.Task, key), []byte(value)); err != nil {
			t.Fatal(err)
		}
		first := resubmitted(t, store.Bus, request, key)
		noted(t, store.Bus, request.Task, key, first.Number)
		if again := resubmitted(t, store.Bus, request, key); first.Replayed || again.Number != first.Number {
			t.Errorf("behind %q: %+v, then %+v", value, first, again)
		}
	}
	// As one that was read over from a store of before a day ago.
	passed := fmt.Sprintf(`{"Run":%s,"Since":%q}`, bustest.Submit(t, store.Bus, request), time.Now().Add(-25*time.Hour).Format(time.RFC3339))
	if _, err := js.Publish(t.Context(), bus.EntrySubject(request.Task, "passed"), []byte(passed)); err != nil {
		t.Fatal(err)
	}
	if found, ok := keyed(t, store.Bus, request.Task, "passed"); ok {
		t.Errorf("a key whose time is over gives %+v", found)
	}
	if anew := resubmitted(t, store.Bus, request, "passed"); anew.Replayed {
		t.Errorf("a key whose time is over gives %+v", anew)
	}
	// The id of a request that is none is taken.
	store.Runs.EnterKey(t, request, "taken")
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "run.request." + string(request.Task), Data: []byte("no JSON"), Header: nats.Header{"Nats-Msg-Id": {string(request.Task) + ".taken"}},
	}); err != nil {
		t.Fatal(err)
	}
	first := resubmitted(t, store.Bus, request, "taken")
	noted(t, store.Bus, request.Task, "taken", first.Number)
	if _, err := js.Publish(t.Context(), bus.EntrySubject(request.Task, "taken"), nil); err != nil {
		t.Fatal(err)
	}
	if again := resubmitted(t, store.Bus, request, "taken"); first.Replayed || again.Number != first.Number {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// Thirty POSTs at once with one key, at three processes, make one run, whatever leader changes meanwhile.
func TestKeyThroughLeaderChanges(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	js := bustest.JetStream(t, cluster.URLs)
	request := bustest.Applied(t, cluster.Bus)
	var processes []*bus.Bus
	for i := range 3 {
		processes = append(processes, cluster.Open(t, fmt.Sprint("process ", i), i))
	}
	const rounds = 4
	for round := range rounds {
		key := fmt.Sprint("key ", round)
		var submitting sync.WaitGroup
		var mu sync.Mutex
		var numbers []run.Number
		for i := range 30 {
			submitting.Go(func() {
				accepted := resubmitted(t, processes[i%3], request, key)
				mu.Lock()
				defer mu.Unlock()
				numbers = append(numbers, accepted.Number)
			})
		}
		cluster.StepDown(t, []string{"KV_keys", "RUNS"}[round%2])
		submitting.Wait()
		if slices.Max(numbers) != slices.Min(numbers) {
			t.Errorf("round %d: %v", round, numbers)
		}
	}
	proctest.Until(t, func() error {
		stream, err := js.Stream(t.Context(), "RUNS")
		if err == nil && stream.CachedInfo().State.Msgs != rounds {
			err = fmt.Errorf("%d keys have made %d runs", rounds, stream.CachedInfo().State.Msgs)
		}
		return err
	})
}

// A key is remembered for the window, and no longer.
func TestKeyPasses(t *testing.T) {
	t.Parallel()
	const window = 2 * time.Second
	store := bustest.New(t, bus.Topology{IdempotencyWindow: window})
	request := bustest.Applied(t, store.Bus)
	before := time.Now()
	first := resubmitted(t, store.Bus, request, "key")
	again := resubmitted(t, store.Bus, request, "key")
	if time.Since(before) < window && (again.Number != first.Number || !again.Replayed) {
		t.Errorf("%+v, then %+v", first, again)
	}
	proctest.Eventually(t, "the key is new again", func() bool { return resubmitted(t, store.Bus, request, "key").Number != first.Number })
	if passed := time.Since(before); passed < window {
		t.Errorf("the key was remembered for %s", passed)
	}
}

// The keys that a store of before knows by its ids are known after the update, as long as they would have
// been, and the server need not know them any more.
func TestKeysOfBefore(t *testing.T) {
	t.Parallel()
	store := bustest.Empty(t, false)
	js := bustest.JetStream(t, store.Broker.URL())
	if err := store.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	request, rotated := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	rotated.CalledAs = task.NewID()
	if err := js.DeleteStream(t.Context(), "KV_keys"); err != nil {
		t.Fatal(err)
	}
	config := storeStreams(t, js)["RUNS"]
	config.Duplicates = day
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	former := map[string]run.Number{}
	for i := range 20 {
		former[fmt.Sprint("key ", i)] = storedUnder(t, store.Bus, js, request, fmt.Sprint("key ", i))
		bustest.Submit(t, store.Bus, request)
	}
	calledAs := storedUnder(t, store.Bus, js, rotated, "key")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := store.Init(stopped, bus.Topology{}); err == nil {
		t.Error("an update that was stopped succeeded")
	}
	for range 2 {
		if err := store.Init(t.Context(), bus.Topology{}); err != nil {
			t.Fatal(err)
		}
		if window := storeStreams(t, js)["RUNS"].Duplicates; window != 2*time.Minute {
			t.Errorf("the server knows ids for %s", window)
		}
	}
	forgetIDs(t, js)
	for key, n := range former {
		if again := resubmitted(t, store.Bus, request, key); again.Number != n || !again.Replayed {
			t.Errorf("%s of run %s: %+v", key, n, again)
		}
	}
	if again := resubmitted(t, store.Bus, rotated, "key"); again.Number != calledAs {
		t.Errorf("the key of a former id: %+v", again)
	}
	if next := resubmitted(t, store.Bus, request, "new"); next.Replayed {
		t.Errorf("a new key: %+v", next)
	}
	if err := store.Init(t.Context(), bus.Topology{IdempotencyWindow: time.Second}); err != nil {
		t.Fatal(err)
	}
	late := store.Open("later")
	proctest.Eventually(t, "the keys of before have passed", func() bool {
		_, ok := keyed(t, late, rotated.CalledAs, "key")
		return !ok
	})
}
