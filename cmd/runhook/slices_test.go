package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// embedded runs a server on the site's data directory.
func (s *site) embedded(use func(server *broker.Broker)) {
	s.t.Helper()
	dir := broker.Dir(s.path("data"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	server, err := broker.Start(s.t.Context(), broker.Options{Dir: dir, Listen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		s.t.Fatal(err)
	}
	use(server)
	server.Stop()
}

// smallSlices makes the site's store, with slices of so many runs.
func (s *site) smallSlices(runs int) {
	s.t.Helper()
	s.embedded(func(server *broker.Broker) {
		store, err := bus.Connect(s.t.Context(), bus.Config{InProcess: server, Log: zerolog.Nop()})
		if err == nil {
			defer store.Close()
			err = store.Init(s.t.Context(), bus.Topology{Slice: runs, Embedded: true})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	})
}

// A data directory of a program that had one bucket for all runs is served on, killed and served again: what had
// ended answers with the same bytes, what had not ends, and each run has its event once.
func TestServeOnAnOlderStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const ended, queued = 30, 3
	before := map[string]string{}
	var older *bustest.Older
	s.embedded(func(server *broker.Broker) {
		older = bustest.NewOlder(t, server.URL())
		for range ended + queued {
			older.Submit()
		}
		for n := run.Number(1); n <= ended; n++ {
			doc := older.Finish(n, nil)
			data, err := doc.Encode()
			if err != nil {
				t.Fatal(err)
			}
			before[n.String()] = string(data)
		}
		older.Claim(ended+1, run.Claim{Owner: "before", StartedOn: older.Request().CreatedOn, Executions: 1, HandedBack: true})
		older.Lease(2)
	})
	path := func(n string) string { return fmt.Sprintf("/task/executepolling/%s/%s/status", older.Task.ID, n) }
	accepted := map[string]string{}
	for n := range before {
		accepted[n] = ""
	}
	for round := range 3 {
		i := spawn(t, s.args()...).listening()
		for n, was := range before {
			if status, body := i.statusOf(i.url + path(n)); status != http.StatusOK || string(body) != was {
				t.Errorf("start %d: run %s: %d %s\nwas %s", round, n, status, body, was)
			}
		}
		number, _, ok := i.accept(s)
		if !ok {
			t.Fatalf("start %d: no run was accepted", round)
		}
		accepted[number] = ""
		if round < 2 { // once before it has done much, and once when all has ended
			if round == 1 {
				for n := ended + 1; n <= ended+queued; n++ {
					accepted[fmt.Sprint(n)] = ""
					eventually(t, i, fmt.Sprintf("run %d has ended", n), func() bool {
						status, _ := i.statusOf(i.url + path(fmt.Sprint(n)))
						return status == http.StatusOK
					})
				}
			}
			i.kill()
			i.await()
			continue
		}
		wantOneEventEach(t, i, accepted)
		js := bustest.JetStream(t, i.nats)
		stream, err := js.Stream(t.Context(), "RUNS")
		if err != nil {
			t.Fatal(err)
		}
		if from := stream.CachedInfo().Config.Metadata["runhook-sliced-from"]; from != "100000" {
			t.Errorf("runs are in slices from %s on", from)
		}
		if _, err := js.Stream(t.Context(), "KV_runs"); err != nil {
			t.Errorf("the bucket of before: %v", err)
		}
		i.end()
	}
}
