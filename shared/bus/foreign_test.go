package bus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// publish publishes as another program does.
func publish(t *testing.T, store *bustest.Store, subject, data string) {
	t.Helper()
	if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func finished(t *testing.T, store *bustest.Store, request run.Request) run.Number {
	t.Helper()
	n := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "ended", time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	return n
}

// In the place of the store's id anything but a GUID as it is written is passed over, and every process has
// the same id then: another one than before, and another one for something else.
func TestForeignStoreID(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	made := store.StoreID()
	if reopened := store.Open("reopened"); reopened.StoreID() != made {
		t.Errorf("the id was %s and is %s", made, reopened.StoreID())
	}
	seen := map[string]bool{made: true}
	for _, foreign := range []string{"no\r\nid", "", strings.ToUpper(made), "{" + made + "}"} {
		publish(t, store, jet.StoreIDSubject, foreign)
		first, log := logging(t, store.Broker.URL(), "")
		second, _ := logging(t, store.Broker.URL(), "")
		id := first.StoreID()
		if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id || seen[id] || second.StoreID() != id {
			t.Errorf("with %q in its place the id is %q for one process and %q for another", foreign, id, second.StoreID())
		}
		if log.count("the id of a store is a GUID") != 1 {
			t.Errorf("%q is not named", foreign)
		}
		seen[id] = true
	}
}

// A run with something else in the place of its final document answers the same always, is not executed,
// and has an event once somebody settles it. A run that has ended as it should is left alone.
func TestSettle(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	fine, spoiled := finished(t, store, request), bustest.Submit(t, store.Bus, request)
	publish(t, store, fmt.Sprintf("$KV.runs_0.final.%s.%d", request.Task, spoiled), "{}") // it decodes, and is of no run
	lookup := func(n run.Number) string {
		t.Helper()
		status, err := store.Runs.Lookup(t.Context(), request.Task, n)
		if err != nil || !status.Final {
			t.Fatalf("run %s: %s, %v", n, status.Bytes, err)
		}
		return string(status.Bytes)
	}
	before := map[run.Number]string{fine: lookup(fine), spoiled: lookup(spoiled)}
	if !strings.Contains(before[spoiled], `"StatusDescription":"Failed"`) {
		t.Errorf("the run that was overwritten: %s", before[spoiled])
	}
	if _, err := store.Work.Claim(t.Context(), request.Task, spoiled, run.Claim{Owner: "me", Executions: 1}); err == nil {
		t.Error("the run could be executed")
	}
	for range 2 {
		for n, was := range before {
			if err := store.Work.Settle(t.Context(), request, n); err != nil {
				t.Error(err)
			}
			if now := lookup(n); now != was {
				t.Errorf("run %s: %s\nwas %s", n, now, was)
			}
		}
	}
	proctest.Until(t, func() error {
		found := map[string]int{}
		err := store.Jet().Events.Scan(t.Context(), bus.Range{HeadersOnly: true}, func(event bus.Record) error {
			found[event.Header.Get("ce-subject")]++
			return nil
		})
		if err == nil && (found[fine.String()] != 1 || found[spoiled.String()] != 1) {
			err = fmt.Errorf("events: %v", found)
		}
		return err
	})
}

// Anybody can publish to those who follow a run.
func TestFollowersPassOverForeignDocuments(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	got := make(chan bus.Status, 1)
	go func() {
		status, err := store.Runs.Await(ctx, request.Task, n)
		if err != nil {
			t.Error(err)
		}
		got <- status
	}()
	subject := jet.FollowSubject(request.Task, n)
	forged := fmt.Sprintf(`{"ExecuteId":%q,"ImportId":%s,"Status":"D","StatusDescription":"Success"}`, task.NewID(), n)
	proctest.Eventually(t, "somebody follows the run", func() bool {
		n, err := store.Following(subject)
		return err == nil && n > 0
	})
	for range 3 {
		for _, data := range []string{"no JSON", "{}", forged} {
			if err := nc.Publish(subject, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	claim, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "as it ended", time.Now())
	if err := claim.Finish(ctx, doc, nil); err != nil {
		t.Fatal(err)
	}
	if status := <-got; !status.Final || status.Document.Message != "as it ended" {
		t.Errorf("who followed the run was told %s", status.Bytes)
	}
}
