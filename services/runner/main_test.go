package runner_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestMain(m *testing.M) { proctest.Main(m, proctest.Role{Name: "runner", Play: runAsRunner}) }

// serve runs a runner as the program does, until ctx ends.
func serve(ctx context.Context, url, connections string) error {
	log := zerolog.New(os.Stderr)
	store, err := bus.Connect(ctx, bus.Config{URLs: url, Name: "runner", Log: log})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Check(ctx); err != nil {
		return err
	}
	set, err := connection.Load(connections)
	if err != nil {
		return err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	view, done, err := store.Tasks.Watch(watch)
	if err != nil {
		stop()
		return err
	}
	defer func() { stop(); <-done }()
	r, err := runner.New(runner.Options{Kinds: builtin.Kinds(), Work: store.Work, Tasks: view, Connections: set, Log: log, Slots: 16, Grace: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func taskID() task.ID { return task.NewID() }

func parse(t testing.TB, text string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func request(def *task.Definition) run.Request {
	return run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook,
		RetryAfter: 30, CreatedOn: time.Now().UTC(),
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func jetStream(t testing.TB, store *bustest.Store) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
