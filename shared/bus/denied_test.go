package bus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// A user who lacks a right is told which, not that nobody answers.
func TestLackingRightIsNamed(t *testing.T) {
	t.Parallel()
	denied := map[string]string{ // a user each, by what it may not publish to
		"info": "$JS.API.STREAM.INFO.RUNS", "account": "$JS.API.INFO", "consumers": "$JS.API.CONSUMER.CREATE.RUNS.>",
		"watch": "$JS.API.CONSUMER.CREATE.KV_tasks.>", "queue": "$JS.API.CONSUMER.INFO.RUNS.>",
	}
	var users []*server.User
	for name, subject := range denied {
		users = append(users, &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{subject}}, Subscribe: &server.SubjectPermission{Allow: []string{">"}},
		}})
	}
	broker := withUsers(t, users...)
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	checked := func(user string) *bus.Bus {
		store := connectAs(t, broker, user)
		if err := store.Check(t.Context()); err != nil {
			t.Error(err)
		}
		return store
	}
	for user, do := range map[string]func() error{
		"info":    func() error { return connectAs(t, broker, "info").Check(t.Context()) },
		"account": func() error { return connectAs(t, broker, "account").Init(t.Context(), bus.Topology{}) },
		"consumers": func() error {
			_, err := checked("consumers").Tasks.Apply(t.Context(), bustest.Definition(t, "New", 1), false)
			return err
		},
		"watch": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, _, err := checked("watch").Tasks.Watch(ctx)
			return err
		},
		"queue": func() error {
			_, err := checked("queue").Work.Queue(t.Context(), request.Task)
			return err
		},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			err := do()
			subject := strings.TrimSuffix(denied[user], ">")
			if err == nil || !strings.Contains(err.Error(), "lacks a right: ") || !strings.Contains(err.Error(), subject) || strings.Contains(err.Error(), "leader") {
				t.Errorf("without %s: %v", denied[user], err)
			}
		})
	}
}

// A process that may not change the store back says which right it lacks, and goes on.
func TestKeeperWithoutTheRightSaysSo(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, &server.User{Username: "status", Password: "status", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.UPDATE.>"}}, Subscribe: &server.SubjectPermission{Allow: []string{">"}},
	}})
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(credentials, []byte("status:status"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, log := logging(t, broker.ClientURL(), credentials)
	nc, err := nats.Connect(broker.ClientURL(), nats.UserInfo("admin", "admin"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := storeStreams(t, js)["KV_runs"]
	config.MaxMsgSize = 100_000
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	keeping(t, status)
	request := bustest.Applied(t, admin)
	proctest.Until(t, func() error {
		if log.count("max_msg_size of stream KV_runs") == 0 || log.count("lacks a right: ") == 0 || log.count("STREAM.UPDATE.KV_runs") == 0 {
			return fmt.Errorf("it is not said")
		}
		return nil
	})
	if err := js.DeleteConsumer(t.Context(), "RUNS", string(request.Task)); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, func() error {
		_, err := js.Consumer(t.Context(), "RUNS", string(request.Task))
		return err
	})
}
