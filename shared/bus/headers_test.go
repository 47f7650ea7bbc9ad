package bus_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// misleading are headers that the answer to a read, or a status, has too.
func misleading() map[string]nats.Header {
	all := map[string]nats.Header{
		"every": {"Nats-Stream": {"RUNS"}, "Nats-Subject": {"run.request.x"}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"2020-01-01T00:00:00Z"}},
		"words": {"Nats-Sequence": {"many"}, "Nats-Time-Stamp": {"never"}},
		"twice": {"Nats-Sequence": {"18446744073709551615", "1"}},
		"moved": {"Nats-Subject": {"run.request.x"}},
	}
	for _, status := range []string{"100", "404", "408", "409", "503"} {
		all[status] = nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}
	}
	return all
}

// Requests whose headers pass for those of an answer stop nothing: each comes to the runner once as what is no
// request, those behind it come, and all are listed. One that would be a request without them is none.
func TestRequestsWithMisleadingHeaders(t *testing.T) {
	t.Parallel()
	for name, header := range misleading() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			opened, log := logging(t, store.Broker.URL(), "")
			request := bustest.Applied(t, store.Bus)
			js := bustest.JetStream(t, store.Broker.URL())
			whole, err := json.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range [][]byte{nil, whole, nil} {
				if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "run.request." + string(request.Task), Header: header, Data: data}); err != nil {
					t.Fatal(err)
				}
			}
			n := bustest.Submit(t, store.Bus, request)
			queue, err := opened.Work.Queue(t.Context(), request.Task)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(queue.Close)
			for next := run.Number(1); next <= n; next++ {
				delivery, err := bustest.Next(t.Context(), queue)
				if err != nil {
					t.Fatalf("run %s: %v", next, err)
				}
				// A status is no fault of a message that has a content.
				isRequest := next == n || next == 2 && header["Status"] != nil
				if delivery.Number != next || (delivery.Malformed == nil) != isRequest {
					t.Errorf("run %s came as %s: %v", next, delivery.Number, delivery.Malformed)
				}
				delivery.Done()
			}
			for _, headersOnly := range []bool{false, true} {
				var found []uint64
				err := opened.Jet().Runs.Scan(t.Context(), bus.Range{HeadersOnly: headersOnly}, func(request bus.Record) error {
					found = append(found, request.Sequence)
					return nil
				})
				if err != nil || fmt.Sprint(found) != "[1 2 3 4]" {
					t.Errorf("a scan finds %v, %v", found, err)
				}
			}
			if _, err := opened.Runs.List(t.Context(), 10); err != nil {
				t.Error(err)
			}
			for n := run.Number(1); n <= 4; n++ {
				stored, err := opened.Jet().Request(t.Context(), n)
				if err != nil || uint64(n) != stored.Sequence || stored.Subject != "run.request."+string(request.Task) || time.Since(stored.Time) > time.Hour {
					t.Errorf("run %s is read as %+v, %v", n, stored, err)
				}
			}
			if said := log.count("is not what its subject says"); said != 3 && (said != 2 || header["Status"] == nil) {
				t.Errorf("the log has %d lines of 3 messages", said)
			}
		})
	}
}

// A task's record and its definition with such headers are passed over, with a line each: those that look like ones
// that were read from somewhere too.
func TestTasksWithMisleadingHeaders(t *testing.T) {
	t.Parallel()
	for name, header := range misleading() {
		if header["Status"] != nil {
			continue // nobody takes them for anything in a message that has a content
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			opened, log := logging(t, store.Broker.URL(), "")
			view, done, err := opened.Tasks.Watch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { <-done })
			request := bustest.Applied(t, store.Bus)
			proctest.Eventually(t, "the task is known", func() bool { _, ok := view.Get(request.Task); return ok })
			js := bustest.JetStream(t, store.Broker.URL())
			kv, err := js.KeyValue(t.Context(), "tasks")
			if err != nil {
				t.Fatal(err)
			}
			other := bustest.Definition(t, "Other", 1)
			definition := jet.DefinitionKey(request.Task, request.Definition)
			for _, key := range []string{string(request.Task), definition} {
				is, err := kv.Get(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "$KV.tasks." + key, Header: header, Data: is.Value()}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := opened.Runs.Definition(t.Context(), request.Task, request.Definition); err == nil {
				t.Error("the definition is taken")
			}
			if _, err := opened.Tasks.Apply(t.Context(), other, false); err != nil {
				t.Error(err)
			}
			proctest.Until(t, func() error {
				if _, ok := view.Get(other.ID); !ok {
					return fmt.Errorf("the task behind it is not known")
				}
				if said := log.count("is not what its subject says"); said != 2 {
					return fmt.Errorf("the log has %d lines of 2 messages", said)
				}
				return nil
			})
			if now, ok := view.Get(request.Task); !ok || now.Revision != 2 {
				t.Errorf("the task has the revision %d", now.Revision)
			}
		})
	}
}

// Somebody removes a task's record with the tools of NATS: the task is gone, and can be applied again.
func TestRemovedRecordIsAppliedAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	view, done, err := store.Tasks.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { <-done })
	def := bustest.Definition(t, "Test", 1)
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	known := func() bool { _, ok := view.Get(def.ID); return ok }
	proctest.Eventually(t, "the task is known", known)
	kv, err := bustest.JetStream(t, store.Broker.URL()).KeyValue(t.Context(), "tasks")
	if err == nil {
		err = kv.Delete(t.Context(), string(def.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the task is gone", func() bool { return !known() })
	if changed, err := store.Tasks.Apply(t.Context(), def, false); err != nil || !changed {
		t.Fatalf("applied again: %t, %v", changed, err)
	}
	proctest.Eventually(t, "the task is known again", known)
}
