package runner_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// Three runners on three servers, with fewer slots than there are tasks, end every run although the lease is
// longer than the test: no request is handed to a runner that has stopped to wait for it.
func TestClusterDoesNotStandStillWithFewSlots(t *testing.T) {
	t.Parallel()
	const tasks, runs = 24, 4
	cluster := bustest.NewCluster(t, bus.Topology{Lease: time.Hour})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in.csv"), "id\n1\n")
	write(t, filepath.Join(dir, "connections.yaml"), "drop: {files: .}\n")
	set, err := connection.Load(filepath.Join(dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var requests []run.Request
	for i := range tasks {
		def := parse(t, fmt.Sprintf(`id: %s
name: Task %d
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id}
destination: {csv: {connection: drop, path: out%d.csv, action: replace}}
`, taskID(), i, i))
		if _, err := cluster.Tasks.Apply(t.Context(), def, false); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request(def))
	}
	running, stop := context.WithCancel(context.Background())
	var runners sync.WaitGroup
	t.Cleanup(func() { stop(); runners.Wait() })
	for i := range cluster.Servers {
		store := cluster.Open(t, fmt.Sprint("runner ", i), i)
		watch, stopWatch := context.WithCancel(context.Background())
		view, watched, err := store.Tasks.Watch(watch)
		if err != nil {
			t.Fatal(err)
		}
		r, err := runner.New(runner.Options{
			Work: store.Work, Tasks: view, Kinds: builtin.Kinds(), Connections: set, Slots: 2, Log: zerolog.Nop(),
		})
		if err != nil {
			t.Fatal(err)
		}
		runners.Go(func() {
			if err := r.Run(running); err != nil {
				t.Error(err)
			}
			stopWatch()
			<-watched
		})
	}
	type accepted struct {
		run.Request
		run.Number
	}
	var all []accepted
	for range runs {
		for _, request := range requests {
			all = append(all, accepted{request, bustest.Submit(t, cluster.Bus, request)})
		}
	}
	for _, one := range all {
		var status bus.Status
		var err error
		proctest.Until(t, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
			defer cancel()
			if status, err = cluster.Runs.Await(ctx, one.Task, one.Number); errors.Is(err, run.ErrUnavailable) {
				return err // while a leader is chosen
			}
			return nil
		})
		if err != nil || status.Document.Outcome() != run.Success || status.Document.ExecutionCount != 1 {
			t.Fatalf("run %s: %+v, %v", one.Number, status.Document, err)
		}
	}
}
