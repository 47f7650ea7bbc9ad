package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A user who lacks a right is told which, not that nobody answers.
func TestLackingRightIsNamed(t *testing.T) {
	t.Parallel()
	denied := map[string]string{ // a user each, by what it may not publish to
		"info": "$JS.API.STREAM.INFO.RUNS", "account": "$JS.API.INFO", "consumers": "$JS.API.CONSUMER.CREATE.RUNS.>",
		"watch": "$JS.API.DIRECT.GET.KV_tasks", "queue": "$JS.API.CONSUMER.INFO.RUNS.>",
		"tasks": "$JS.API.STREAM.INFO.KV_tasks", "id": "$JS.API.STREAM.MSG.GET.KV_control", "inbox": "_INBOX.>",
		"sessions": "$KV.control.sessions", "holds": "$JS.API.DIRECT.GET.KV_control", "health": "$KV.control.health.>", "overlap": "$JS.API.CONSUMER.INFO.RUNS.>",
	}
	var users []*server.User
	for name, subject := range denied {
		user := without(name, subject)
		if name == "inbox" {
			user.Permissions.Publish, user.Permissions.Subscribe = user.Permissions.Subscribe, user.Permissions.Publish
		}
		users = append(users, user)
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
		"tasks":   func() error { return connectAs(t, broker, "tasks").Check(t.Context()) },
		"id":      func() error { return connectAs(t, broker, "id").Check(t.Context()) },
		"inbox":   func() error { return connectAs(t, broker, "inbox").Check(t.Context()) },
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
		"holds": func() error { return checked("holds").Tasks.Holds().Load(t.Context()) },
		"health": func() error {
			def := *bustest.Definition(t, "May be held", 1)
			def.DisableAfterFailures = 1
			_, err := checked("health").Tasks.Apply(t.Context(), &def, false)
			return err
		},
		"overlap": func() error { // of before a run of this is open
			alone := bustest.Applied(t, admin)
			ended := bustest.Submit(t, admin, alone)
			if _, err := admin.Unheld.Cancel(t.Context(), alone.Task, ended, run.Cancel{By: "ann", On: time.Now()}); err != nil {
				return err
			}
			alone.Overlap = task.RejectOverlap
			store := checked("overlap")
			if store.Runs.IsFull(t.Context(), alone.Task, 1) {
				t.Error("a queue of which nothing is known is full")
			}
			_, err := store.Runs.Submit(t.Context(), alone, "")
			return err
		},
		"sessions": func() error {
			err := checked("sessions").Sessions.Write(t.Context(), []byte("{}"), 0)
			if !errors.Is(err, run.ErrDenied) {
				t.Errorf("it is not told as a lack of rights: %v", err)
			}
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

// grant lets users do more, or other things, from now on.
func grant(t *testing.T, broker *server.Server, users ...*server.User) {
	t.Helper()
	if err := broker.ReloadOptions(usersOptions(filepath.Dir(broker.JetStreamConfig().StoreDir), users)); err != nil {
		t.Fatal(err)
	}
}

func without(user, subject string) *server.User {
	all := server.SubjectPermission{Allow: []string{">"}}
	return &server.User{Username: user, Password: user, Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{subject}}, Subscribe: &all,
	}}
}

// as connects a user, whose password is their name, with a log.
func as(t *testing.T, broker *server.Server, user string) (*bus.Bus, *journal) {
	t.Helper()
	credentials := filepath.Join(t.TempDir(), user)
	if err := os.WriteFile(credentials, []byte(user+":"+user), 0o600); err != nil {
		t.Fatal(err)
	}
	return logging(t, broker.ClientURL(), credentials)
}

// A password that everybody on the machine can read is not used.
func TestCredentialsOfEverybodyAreRefused(t *testing.T) {
	t.Parallel()
	credentials := filepath.Join(t.TempDir(), "user")
	if err := os.WriteFile(credentials, []byte("user:secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(credentials, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://127.0.0.1:1", Credentials: credentials})
	if err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), "secret:") {
		t.Errorf("it connected, or failed with %v", err)
	}
}

// A user without the right to publish requests is refused at once, with nothing stored, singly and in a
// batch; the store is not ready and says which right is missing, until it is granted.
func TestDeniedRequestIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("ingress", "run.request.>"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{Synced: true}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	ingress, log := as(t, broker, "ingress")
	ready(t, ingress)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			_, err := ingress.Runs.Submit(t.Context(), request, "")
			if !errors.Is(err, run.ErrUnavailable) || !errors.Is(err, run.ErrDenied) || errors.Is(err, run.ErrMaybeStored) {
				t.Errorf("without the right: %v", err)
			}
		})
	}
	all.Wait()
	const lacking = `lacks a right: publish to "run.request.>"`
	for range 3 { // whoever only asks whether it is ready keeps it from being so
		unready(t, ingress, lacking)
	}
	if n := log.count(`publish to \"run.request.>\"`); n != 1 {
		t.Errorf("the log has it %d times", n)
	}
	grant(t, broker, without("ingress", "nothing"))
	proctest.Until(t, func() error {
		accepted, err := ingress.Runs.Submit(t.Context(), request, "")
		if err == nil && accepted.Number != 1 {
			t.Errorf("the first run that was stored is %s", accepted.Number)
		}
		return err
	})
	if err := ingress.Ready(t.Context()); err != nil {
		t.Errorf("with the right: %v", err)
	}
}

// A runner without the right to ask for requests hears at once which right it is, and gets them once it has it.
func TestDeniedPullSaysSo(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("runner", "$JS.API.CONSUMER.MSG.NEXT.>"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	n := bustest.Submit(t, admin, request)
	runner, _ := as(t, broker, "runner")
	queue, err := runner.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queue.Close)
	err = queue.Pull(t.Context(), 1, func(*bus.Delivery) {})
	if !errors.Is(err, run.ErrUnavailable) || !strings.Contains(err.Error(), `lacks a right: publish to "$JS.API.CONSUMER.MSG.NEXT.RUNS.>"`) {
		t.Errorf("without the right: %v", err)
	}
	unready(t, runner, "CONSUMER.MSG.NEXT.RUNS.>")
	grant(t, broker, without("runner", "nothing"))
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil || delivery.Number != n {
		t.Errorf("with the right: %+v, %v", delivery, err)
	}
	ready(t, runner)
}

// Whatever right is lacking at work: the log names it, and so does the store, which is not ready.
func TestRightLackingAtWorkIsNamed(t *testing.T) {
	t.Parallel()
	rights := map[string]string{ // the right that is named, by user
		"lookup": "$JS.API.DIRECT.GET.KV_runs_0.$KV.runs_0.final.>", "leader": "$JS.API.STREAM.MSG.GET.KV_runs_0", "claim": "$KV.runs_0.claim.>", "progress": "$KV.progress.>",
		"ack": "$JS.ACK.RUNS.>", "definition": "$JS.API.DIRECT.GET.KV_tasks.$KV.tasks.>", "rejected": "$O.rows.C.>", "list": "$JS.API.CONSUMER.CREATE.RUNS.>",
		"info": "$JS.API.STREAM.INFO.RUNS", "apply": "$KV.tasks.>", "queue": "$JS.API.CONSUMER.INFO.RUNS.>", "sweep": "$JS.API.STREAM.NAMES",
		"final": "$KV.runs_0.final.>", "await": "run.status.>", "key": "$KV.keys.>", "entry": "$JS.API.STREAM.MSG.GET.KV_keys",
	}
	var denying, allowing []*server.User
	for user, subject := range rights {
		denied := without(user, subject)
		if user == "await" {
			denied.Permissions.Publish, denied.Permissions.Subscribe = denied.Permissions.Subscribe, denied.Permissions.Publish
		}
		denying, allowing = append(denying, denied), append(allowing, without(user, "nothing"))
	}
	broker := withUsers(t, allowing...)
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	n := bustest.Submit(t, admin, request)
	queue, err := admin.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	type connection struct {
		*bus.Bus
		log *journal
	}
	connections := map[string]connection{}
	for user := range rights {
		store, log := as(t, broker, user)
		connections[user] = connection{store, log}
	}
	definition := bustest.Definition(t, "New", 1)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	claim, err := connections["final"].Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	other := bustest.Submit(t, admin, request)
	chunks, err := connections["rejected"].Work.Claim(t.Context(), request.Task, other, state)
	if err != nil {
		t.Fatal(err)
	}
	grant(t, broker, denying...)
	for user, do := range map[string]func(*bus.Bus){
		"lookup":     func(b *bus.Bus) { _, _ = b.Runs.Lookup(t.Context(), request.Task, n) },
		"leader":     func(b *bus.Bus) { _, _, _ = b.Work.FindClaim(t.Context(), request.Task, n) },
		"claim":      func(b *bus.Bus) { _, _ = b.Work.Claim(t.Context(), request.Task, n+10, state) },
		"progress":   func(b *bus.Bus) { _ = b.Work.Progress(request.Task, n).Write(t.Context(), run.Document{}) },
		"ack":        func(b *bus.Bus) { b.Jet().Deliveries.Done(bus.ReplyOf(delivery)) },
		"definition": func(b *bus.Bus) { _, _ = b.Work.Definition(t.Context(), request.Task, request.Definition) },
		"rejected":   func(*bus.Bus) { _ = chunks.StoreRejected(t.Context(), 1, []byte("x"), time.Now().Add(time.Hour)) },
		"list":       func(b *bus.Bus) { _, _ = b.Runs.List(t.Context(), 10) },
		"info":       func(b *bus.Bus) { _ = b.Ready(t.Context()) },
		"apply":      func(b *bus.Bus) { _, _ = b.Tasks.Apply(t.Context(), definition, false) },
		"queue":      func(b *bus.Bus) { _, _ = b.Work.Queue(t.Context(), request.Task) },
		"sweep":      func(b *bus.Bus) { _ = b.Unheld.Slices().Look(t.Context()) },
		"key":        func(b *bus.Bus) { _, _ = b.Runs.Submit(t.Context(), request, "key") },
		"entry":      func(b *bus.Bus) { _, _, _ = b.Runs.Keyed(t.Context(), request.Task, "key") },
		"final":      func(*bus.Bus) { _ = claim.Finish(t.Context(), run.Document{}, nil) },
		"await": func(b *bus.Bus) {
			ended, end := context.WithCancel(t.Context())
			end()
			_, _ = b.Runs.Await(ended, request.Task, n)
		},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			c, kind := connections[user], "publish"
			if user == "await" {
				kind = "subscription"
			}
			do(c.Bus)
			unready(t, c.Bus, fmt.Sprintf("lacks a right: %s to %q", kind, rights[user]))
			if c.log.count(fmt.Sprintf(`%s to \"%s\"`, kind, rights[user])) != 1 {
				t.Errorf("the log: %s", c.log.text.String())
			}
		})
	}
}

// A scan whose question for the end of the stream is not answered ends with an error.
func TestScanThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("asks", "$JS.API.CONSUMER.INFO.RUNS.>"))
	if err := connectAs(t, broker, "admin").Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	store := connectAs(t, broker, "asks")
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	err := store.Jet().Runs.Scan(ctx, bus.Range{}, func(bus.Record) error { return nil })
	if !errors.Is(err, run.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("the scan ended with %v, the test with %v", err, ctx.Err())
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
	config := storeStreams(t, js)["KV_runs_0"]
	config.MaxMsgSize = 100_000
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	keeping(t, status)
	request := bustest.Applied(t, admin)
	proctest.Until(t, func() error {
		if log.count("max_msg_size of stream KV_runs_0") == 0 || log.count("lacks a right: ") == 0 || log.count("STREAM.UPDATE.KV_runs_0") == 0 {
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
