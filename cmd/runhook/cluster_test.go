package main

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// An operator cancels many runs with one command, although the leader of the runs, of the requests to cancel or of the
// audit is cut off in the middle of it. Each run has one line of the audit.
func TestCancelManyWhileLeadersChange(t *testing.T) {
	t.Parallel()
	const near, runs = 0, 60
	cluster := bustest.NewCluster(t, bus.Topology{})
	request := bustest.Applied(t, cluster.Bus)
	s := newSite(t)
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	status := begin(t, "status", "--nats", cluster.Servers[near].ClientURL(), "--listen", "127.0.0.1:0", "--run-key-file", key,
		"--admin-token-file", s.token(), "--cache", s.path("cache")).listening()
	lines := map[run.Number]int{}
	for _, stream := range []string{"KV_runs_0", "KV_control", "AUDIT"} {
		first, last := run.Number(math.MaxUint64), run.Number(0)
		for range runs {
			proctest.Until(t, func() error { // one that may have been stored is canceled too
				accepted, err := cluster.Runs.Submit(t.Context(), request, "")
				if err == nil {
					last = accepted.Number
					first = min(first, last)
				}
				return err
			})
		}
		proctest.Eventually(t, "another server leads "+stream, func() bool {
			if cluster.Leader(t, stream) == near {
				cluster.StepDown(t, stream)
				return false
			}
			return true
		})
		leader := cluster.Leader(t, stream)
		var asked atomic.Int64
		server := status.between(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/cancel") && asked.Add(1) == runs/3 {
				cluster.Silence(leader, true)
			}
			pass.ServeHTTP(w, r)
		})
		said := mustCall(t, "runs", "cancel", "--queued", "--server", server)
		if !strings.HasPrefix(said, "Canceled ") || strings.Contains(said, "in between") {
			t.Errorf("the leader of %s is cut off: %s", stream, said)
		}
		cluster.Silence(leader, false)
		proctest.Until(t, func() error {
			if left, err := status.client.Unended(t.Context(), client.Queued, "", 0, 500); err != nil || len(left) > 0 {
				return fmt.Errorf("%d runs are queued, %w", len(left), err)
			}
			found, err := cluster.Unheld.Audit().Lines(t.Context(), audit.Query{What: audit.RunsCancel}, 500)
			if err != nil || len(found.Broken) > 0 {
				return fmt.Errorf("the audit is broken before %v, %w", found.Broken, err)
			}
			clear(lines)
			for _, line := range found.Lines {
				lines[line.Run]++
			}
			for n := first; n <= last; n++ {
				if lines[n] == 0 {
					return fmt.Errorf("the leader of %s was cut off: no line tells who has canceled run %s", stream, n)
				}
			}
			return nil
		})
	}
	for n, times := range lines {
		if times != 1 {
			t.Errorf("run %s has %d lines of the audit", n, times)
		}
	}
}
