//go:build !bench

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/bus/rights"
	"runhook/shared/bustest"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// violations is the log of a NATS server: what it denies to whom.
type violations struct{ said *proctest.Output }

func (v violations) Noticef(string, ...any) {}

func (v violations) Debugf(string, ...any) {}

func (v violations) Tracef(string, ...any) {}

func (v violations) Warnf(string, ...any) {}

func (v violations) Errorf(format string, a ...any) { _, _ = fmt.Fprintf(v.said, format+"\n", a...) }

func (v violations) Fatalf(format string, a ...any) { v.Errorf(format, a...) }

// configured starts a NATS server with the configuration as shipped. Each user's password is its name.
func (s *site) configured() (url string, said *proctest.Output) {
	s.t.Helper()
	config := strings.NewReplacer("port: 4222", "listen: 127.0.0.1:-1", "/var/lib/nats", s.path("nats")).Replace(read(s.t, "../../deploy/nats/runhook.conf"))
	for _, user := range []string{"init", "ingress", "runner", "status", "integration"} {
		config = fmt.Sprintf("NATS_%s_PASSWORD: %s\n", strings.ToUpper(user), user) + config
		s.writeFor(0o600, user, user+":"+user)
	}
	s.write("nats.conf", config)
	options, err := server.ProcessConfigFile(s.path("nats.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	options.NoSigs = true
	nats, err := server.NewServer(options)
	if err != nil {
		s.t.Fatal(err)
	}
	said = proctest.NewOutput()
	nats.SetLoggerV2(violations{said}, false, false, false)
	nats.Start()
	s.t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(limit) {
		s.t.Fatal("NATS does not listen")
	}
	return nats.ClientURL(), said
}

// withRights is configured with a store, for services that each run as the user that is meant for them: as are the flags
// of one, and key is the file of the run key.
func (s *site) withRights() (said *proctest.Output, as func(user string) []string, key string) {
	s.t.Helper()
	url, said := s.configured()
	mustCall(s.t, "init", "--nats", url, "--credentials", s.path("init"))
	key = s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		s.t.Fatal(err)
	}
	return said, func(user string) []string {
		return []string{"--nats", url, "--credentials", s.path(user), "--listen", "127.0.0.1:0"}
	}, key
}

// The services work whole with exactly the rights of the configuration as shipped, and the server denies them
// nothing.
func TestServicesWithTheirRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	url, denied := s.configured()
	as := func(user string) []string {
		return []string{"--nats", url, "--credentials", s.path(user), "--listen", "127.0.0.1:0"}
	}
	// Small slices, so that the services make some.
	admin, err := bus.Connect(t.Context(), bus.Config{URLs: url, Credentials: s.path("init"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.Init(t.Context(), bus.Topology{Slice: 8}); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "init", "--nats", url, "--credentials", s.path("init"))
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	s.writeFor(0o600, "admin.token", "0123456789abcdef0123456789abcdef\n")
	ingress := begin(t, append([]string{"ingress", "--run-key-file", key, "--admin-token-file", s.path("admin.token")}, as("ingress")...)...).listening()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.path("admin.token")}, as("status")...)...).listening()
	status.out.Await(t, `The page is on `+status.url+`/console/`, status.ended)
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	control := func(args ...string) string {
		return mustCall(t, append(args, "--server", status.url, "--token-file", s.path("admin.token"))...)
	}
	half := task.NewID()
	s.write("tasks/half.yaml", strings.NewReplacer("Copy people", "Half", "id: id, name", `id: "int(id) / (int(id) - 2)", name`).Replace(fmt.Sprintf(siteTask, half)))
	control("task", "apply", s.path("tasks"))

	// Failed rows, which the status service reads.
	whole := s.copy
	s.copy = half
	failed := startWhenKnown(t, ingress, s)
	if doc := status.awaitEnd(failed); doc.RowsFailed != 1 {
		t.Errorf("%+v", doc)
	}
	if said := control("runs", "rejected", failed.Number.String()); !strings.Contains(said, "Ben") {
		t.Errorf("the failed rows: %s", said)
	}
	s.copy = whole
	// A key, twice, with a wait for the end, across the end of a slice.
	for range 8 {
		if doc := status.awaitEnd(startWhenKnown(t, ingress, s)); doc.Outcome() != run.Success {
			t.Errorf("%+v", doc)
		}
	}
	var keyed run.Number
	for range 2 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ingress.url+"/task/executepolling/"+string(s.copy), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Idempotency-Key", "key")
		request.Header.Set("Prefer", "wait=100")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var doc run.Document
		if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil {
			t.Error(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("a POST with a key that waits: %s", answer.Status)
		}
		keyed = doc.ImportID
	}
	// A run in progress is canceled, then a queued one, and another taken over from a runner that stops.
	release := s.hold()
	stuck := startWhenKnown(t, ingress, s)
	status.awaitRunning(stuck)
	if said := control("runs", "cancel", stuck.Number.String()); !strings.Contains(said, "Canceled by admin before its first row") {
		t.Errorf("a run in progress: %s", said)
	}
	held := startWhenKnown(t, ingress, s)
	status.awaitRunning(held)
	queued := startWhenKnown(t, ingress, s)
	says := func(n run.Number, want string) {
		eventually(t, status, "run "+n.String()+" says "+want, func() bool { return strings.Contains(control("runs", "show", n.String()), want) })
	}
	says(queued.Number, "Waiting for run "+held.Number.String()+" of this task\n")
	if said := control("connections", "pause", "here", "--why", "disk swap"); !strings.Contains(said, "Connection here is paused; the runs of 2 tasks wait.") {
		t.Errorf("a connection is paused: %s", said)
	}
	says(queued.Number, "Waiting: connection here is paused by admin: disk swap\n")
	if said := control("connections", "list"); !strings.Contains(said, ": disk swap\n") {
		t.Errorf("the connections: %s", said)
	}
	control("connections", "resume", "here")
	says(queued.Number, "Waiting for run "+held.Number.String()+" of this task\n")
	control("runs", "cancel", queued.Number.String())
	runner.end()
	release()
	runner = begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	if doc := status.awaitEnd(held); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
	control("runs", "list")
	control("console")
	// A run with a key is erased, and an operator repeats another one.
	post := func(headers ...string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ingress.url+"/task/executepolling/"+string(s.copy), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	control("runs", "delete", keyed.String())
	if code := post("Idempotency-Key", "key"); code != http.StatusGone {
		t.Errorf("a POST with the key of a run that is deleted: %d", code)
	}
	if code := post("Authorization", "Bearer 0123456789abcdef0123456789abcdef", run.RepeatHeader, held.Number.String()); code != http.StatusAccepted {
		t.Errorf("a repeat: %d", code)
	}
	if said := control("audit"); strings.Count(said, audit.RunsDeleted) != 1 || strings.Count(said, audit.RunsAgain) != 1 || strings.Contains(said, "changed or removed") {
		t.Errorf("the audit: %s", said)
	}
	// What somebody has removed is made again.
	js := bustest.JetStream(t, strings.Replace(url, "nats://", "nats://init:init@", 1))
	if err := js.DeleteConsumer(t.Context(), "RUNS", string(s.copy)); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "KV_progress"); err != nil {
		t.Fatal(err)
	}
	if doc := status.awaitEnd(startWhenKnown(t, ingress, s)); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
	eventually(t, status, "the bucket of live documents is made again", func() bool {
		_, err := js.Stream(t.Context(), "KV_progress")
		return err == nil
	})
	eventually(t, status, "the status service makes the slice behind that of the next run", func() bool {
		_, err := js.Stream(t.Context(), "KV_runs_2")
		return err == nil
	})
	// A run at a time, of which nothing is left but its own.
	answer, err := http.Post(ingress.url+"/task/executepolling/"+string(s.copy), "", strings.NewReader(fmt.Sprintf(`{"RunAt": %q}`, time.Now().Add(5*time.Second).Format(time.RFC3339Nano))))
	if err != nil {
		t.Fatal(err)
	}
	var later run.Document
	if err := json.NewDecoder(answer.Body).Decode(&later); err != nil || later.WaitingFor == "" {
		t.Errorf("%s: %+v, %v", answer.Status, later, err)
	}
	_ = answer.Body.Close()
	if doc := status.awaitEnd(started(s, later.ImportID)); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
	eventually(t, status, "the alarm of the run is gone", func() bool {
		bucket, err := js.Stream(t.Context(), "KV_control")
		if err != nil {
			return false
		}
		_, err = bucket.GetLastMsgForSubject(t.Context(), fmt.Sprintf("$KV.control.alarm.%s.%s", s.copy, later.ImportID))
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
	control("task", "disable", "Half")
	control("task", "enable", "Half")
	control("task", "rotate", "Copy people")
	control("task", "delete", "Half", "--yes")
	mustCall(t, "backup", s.path("backup"), "--nats", url, "--credentials", s.path("init"))
	for _, service := range []*instance{runner, status, ingress} {
		service.end()
	}
	sealsAs(t, url, s, failed)
	// A run with failed rows is erased from its bundle.
	status = begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.path("admin.token")}, as("status")...)...).listening()
	if said := control("runs", "delete", failed.Number.String()); !strings.Contains(said, "1 request, 1 result, 1 event, 1 part of failed rows") {
		t.Errorf("a run is deleted: %s", said)
	}
	status.end()
	if denied.String() != "" {
		t.Errorf("the server denies:\n%s", denied)
	}
}

// The rights do for tasks of which one run is open at a time, and that one failure holds.
func TestOverlapsWithTheirRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	denied, as, key := s.withRights()
	ingress := begin(t, append([]string{"ingress", "--run-key-file", key}, as("ingress")...)...).listening()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, as("status")...)...).listening()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	names := map[task.ID]string{}
	for _, overlap := range []task.Overlap{task.QueueOverlap, task.RejectOverlap, task.SkipOverlap, task.LatestOverlap, task.CancelRunningOverlap} {
		id := task.NewID()
		names[id] = "Copy " + string(overlap)
		s.write("tasks/"+string(overlap)+".yaml", strings.Replace(fmt.Sprintf(siteTask, id), "Copy people", names[id], 1)+"overlap: "+string(overlap)+"\ndisable_after_failures: 1\nretry: {attempts: 1}\n")
	}
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	for id, name := range names {
		s.copy = id
		release := s.hold()
		first := startWhenKnown(t, ingress, s)
		status.awaitRunning(first)
		second, err := ingress.client.Start(t.Context(), id, nil)
		if rejects := strings.HasSuffix(name, "reject"); (err != nil) != rejects {
			t.Errorf("%s: %v", name, err)
		}
		release()
		status.awaitEnd(first)
		if err == nil {
			status.awaitEnd(second)
		}
	}
	s.write("people.csv", "other\n1\n")
	for id, name := range names {
		s.copy = id
		eventually(t, ingress, "the runs before have ended", func() bool {
			started, err := ingress.client.Start(t.Context(), id, nil)
			if err != nil {
				return false
			}
			doc := status.awaitEnd(started)
			return doc.Outcome() == run.Failed
		})
		eventually(t, status, "the task is held", func() bool {
			return strings.Contains(mustCall(t, "task", "show", name, "--server", status.url), "enabled: held")
		})
		mustCall(t, "task", "enable", name, "--server", status.url)
	}
	for _, service := range []*instance{runner, status, ingress} {
		service.end()
	}
	if denied.String() != "" {
		t.Errorf("the server denies:\n%s", denied)
	}
}

// sealsAs has the user of the status service seal and bundle the first slice, and looks up a run in it as each user
// that reads runs.
func sealsAs(t *testing.T, url string, s *site, started client.Started) {
	t.Helper()
	open := func(user string) *bus.Bus {
		store, err := bus.Connect(t.Context(), bus.Config{URLs: url, Credentials: s.path(user), Inbox: rights.Inbox(user), Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		if err := store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.Jet().Settled = time.Millisecond
		return store
	}
	status := open("status")
	keeper := status.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		first, err := status.Jet().JS.Stream(t.Context(), "KV_runs_0")
		if err == nil && first.CachedInfo().Config.Metadata["runhook-bundled"] == "" {
			err = fmt.Errorf("the first slice is not bundled: %v", first.CachedInfo().Config.Metadata)
		}
		return err
	})
	if _, err := status.Unheld.SweepDefinitions(t.Context()); err != nil {
		t.Error(err)
	}
	// What takes an hour, or a retention, to become due.
	_ = status.Jet().JS.DeleteStream(t.Context(), "KV_runs_999") // there is none, but it may
	if tasks, err := status.Jet().JS.Stream(t.Context(), "KV_tasks"); err != nil || tasks.DeleteMsg(t.Context(), 999) == nil {
		t.Errorf("as status: %v", err)
	}
	if status.Jet().Control.DeleteMsg(t.Context(), 999) == nil {
		t.Error("as status: there is no message 999")
	}
	runner := open("runner")
	if retired, err := runner.Work.Retire(t.Context(), started.Task, 0); err != nil || !retired {
		t.Errorf("the queue of a deleted task: %t, %v", retired, err)
	}
	claim, err := runner.Work.Claim(t.Context(), s.copy, 17, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err == nil {
		progress := runner.Work.Progress(s.copy, 17)
		err = errors.Join(progress.Write(t.Context(), run.Document{}), progress.Remove(t.Context()),
			claim.StoreRejected(t.Context(), 1, []byte("x"), time.Now().Add(time.Hour)), claim.DropRejected(t.Context(), claim.Token, nil))
	}
	if err != nil {
		t.Errorf("as runner: %v", err)
	}
	// What the runner has stored of how long runs take, those who answer pollers hear of.
	for _, user := range []string{"ingress", "status"} {
		paces, def := open(user).Runs.Paces(), &task.Definition{ID: s.copy}
		following, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); paces.Follow(following) }()
		proctest.Until(t, func() error {
			if paces.PollAgain(def, run.Stage{Phase: run.Queued, Since: time.Now()}, time.Now()) == run.PollAtFirst {
				return fmt.Errorf("%s does not hear how long the runs of the task take", user)
			}
			return nil
		})
		stop()
		<-ended
	}
	sites := runner.Work.Sites()
	defer sites.Close()
	woken := sites.WokenSite("x")
	ok, err := sites.WriteSite(t.Context(), "x", []byte("{}"), 0)
	if _, revision, readErr := sites.ReadSite(t.Context(), "x"); err != nil || !ok || readErr != nil || revision == 0 {
		t.Errorf("as runner: the turn at a site: %t, %v, %v", ok, err, readErr)
	}
	sites.TellSite("x")
	select {
	case <-woken:
	case <-time.After(proctest.Limit):
		t.Error("as runner: it is not told of the turn at a site")
	}
	for _, user := range []string{"ingress", "runner", "status"} {
		// What only bundles with large documents, and the keys and lists of bundled runs, need.
		store := open(user)
		first, err := store.Jet().ResultsOf(t.Context(), started.Number)
		if err != nil {
			t.Fatal(err)
		}
		if index, err := first.Index(t.Context(), started.Task); err != nil || len(index.Bundles) == 0 {
			t.Errorf("as %s: the index %+v, %v", user, index, err)
		}
		if _, err := first.Last(t.Context(), first.ApartSubject(started.Number, "final")); err == nil || errors.Is(err, run.ErrDenied) || errors.Is(err, run.ErrUnavailable) {
			t.Errorf("as %s: what is apart: %v", user, err)
		}
		if user != "ingress" {
			_, err = store.Runs.Definition(t.Context(), started.Task, strings.Repeat("0", 64))
			if err == nil || errors.Is(err, run.ErrDenied) || errors.Is(err, run.ErrUnavailable) {
				t.Errorf("as %s: a definition: %v", user, err)
			}
		}
		found, err := store.Runs.Lookup(t.Context(), started.Task, started.Number)
		if err != nil || found.Document.Outcome() != run.Success {
			t.Errorf("as %s: %+v, %v", user, found.Document, err)
		}
	}
}

// Each user of the configuration as shipped tries what it must not do: the server denies each, or the stream does.
func TestUsersAreKeptOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	url, _ := s.configured()
	mustCall(t, "init", "--nats", url, "--credentials", s.path("init"))
	admin, err := bus.Connect(t.Context(), bus.Config{URLs: url, Credentials: s.path("init"), Log: zerolog.Nop()})
	if err == nil {
		defer admin.Close()
		err = admin.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AnswerIntegrations(t.Context()); err != nil { // as a status service does
		t.Fatal(err)
	}
	id := string(bustest.Applied(t, admin).Task)
	operator := strings.Replace(url, "nats://", "nats://init:init@", 1)
	js := bustest.JetStream(t, operator)
	before := contents(t, js)
	streams := slices.Collect(maps.Keys(before))
	each := func(format string, but ...string) (subjects []string) {
		for _, stream := range streams {
			if !slices.Contains(but, stream) {
				subjects = append(subjects, fmt.Sprintf(format, stream))
			}
		}
		return subjects
	}
	noStream := slices.Concat(each("$JS.API.STREAM.CREATE.%s"), each("$JS.API.STREAM.UPDATE.%s"), each("$JS.API.STREAM.DELETE.%s"), []string{
		"$JS.API.STREAM.CREATE.COPY", "$JS.API.STREAM.UPDATE.COPY", // such as one that sources RUNS, or republishes to it
	})
	nobody := slices.Concat(each("$JS.API.STREAM.SNAPSHOT.%s"), each("$JS.API.STREAM.RESTORE.%s"), each("$JS.API.STREAM.LEADER.STEPDOWN.%s"), each("$JS.API.STREAM.PEER.REMOVE.%s"), []string{
		"$JS.API.CONSUMER.MSG.NEXT.EVENTS.integration", "$JS.API.CONSUMER.DELETE.EVENTS.integration", "$JS.ACK.EVENTS.integration.1.1.1.1.0",
		"$JS.API.STREAM.LIST", "$KV.control.store", "$KV.control.repair", "run.completed." + id, "run.status." + id + ".1",
		"$JS.API.ACCOUNT.PURGE.RUNHOOK", "$JS.API.META.LEADER.STEPDOWN", "$SYS.REQ.SERVER.PING",
	})
	noPurge := func(but ...string) []string {
		return slices.Concat(each("$JS.API.STREAM.PURGE.%s", but...), each("$JS.API.STREAM.MSG.DELETE.%s", but...))
	}
	for user, must := range map[string]struct{ publish, subscribe []string }{
		"ingress": {slices.Concat(noStream, nobody, noPurge(), []string{
			"$KV.tasks." + id, "$KV.tasks." + id + ".x", "$KV.runs_0.claim." + id + ".1", "$KV.runs_0.final." + id + ".1", "$KV.runs_0.bundle.0", "$KV.progress." + id + ".1",
			"$KV.control.turn", "$KV.control.sessions", "$KV.control.cancel." + id + ".1", "$KV.control.pace." + id, "$KV.control.pause.eA", "$KV.control.health." + id, "$KV.control.schedule." + id, "$KV.control.alarm." + id + ".1", "$KV.control.chain." + id, "$KV.control.site.x", "run.site.x", "run.pool.default", "$O.rows.M.eA==", "$O.rows.C.x", "$JS.ACK.RUNS." + id + ".1.1.1.1.0",
			"$JS.API.CONSUMER.CREATE.KV_tasks.x", "$JS.API.CONSUMER.CREATE.KV_tasks.x.$KV.tasks.*", "$JS.API.CONSUMER.CREATE.EVENTS.x", "run.consumer.x", "$KV.tasks.skipped", "$KV.control.skipped", "$KV.progress.skipped",
			"$JS.API.CONSUMER.CREATE.RUNS.x", "$JS.API.CONSUMER.CREATE.RUNS.x.run.request.*", "$JS.API.CONSUMER.CREATE.OBJ_rows.x", "$JS.API.CONSUMER.MSG.NEXT.RUNS." + id, "$JS.API.CONSUMER.DELETE.RUNS." + id,
			"$JS.API.STREAM.MSG.GET.OBJ_rows", "$JS.API.STREAM.MSG.GET.EVENTS", "$JS.API.DIRECT.GET.OBJ_rows", "$JS.API.DIRECT.GET.OBJ_rows.$O.rows.M.eA==", "$JS.API.DIRECT.GET.EVENTS",
			"$JS.API.STREAM.MSG.GET.AUDIT", "$JS.API.DIRECT.GET.AUDIT", "run.audit.delete", "run.deleted." + id, "run.held." + id, "$KV.control.erase." + id + ".1-1",
		}), []string{"_INBOX.>", "_INBOX_runner.>", "_INBOX_status.>", "run.request.*", "run.pool.*", "$KV.>", "$JS.>", "$SYS.>", ">"}},
		"runner": {slices.Concat(noStream, nobody, []string{"$JS.API.INFO"}, noPurge("KV_progress", "OBJ_rows"), []string{
			"run.request." + id, "run.skipped", "$KV.tasks." + id + ".x", "$KV.keys." + id + ".x", "$KV.runs_0.bundle.0", "$KV.control.turn", "$KV.control.sessions", "$KV.control.cancel." + id + ".1", "$KV.control.pace." + id + ".x", "$KV.control.pause.eA", "$KV.control.health." + id, "$KV.control.schedule." + id, "$KV.control.alarm." + id, "$KV.control.chain." + id, "run.pool.default", "$JS.API.DIRECT.GET.KV_control.$KV.control.store",
			"$JS.API.CONSUMER.CREATE.KV_tasks.x.$KV.tasks.*", "$JS.API.CONSUMER.CREATE.EVENTS.x", "run.consumer.x",
			"$JS.API.CONSUMER.CREATE.RUNS.x", "$JS.API.CONSUMER.CREATE.RUNS.x.run.request.*", "$JS.API.CONSUMER.CREATE.OBJ_rows.x",
			"$JS.API.STREAM.MSG.GET.OBJ_rows", "$JS.API.STREAM.MSG.GET.KV_keys", "$JS.API.DIRECT.GET.OBJ_rows", "$JS.API.DIRECT.GET.EVENTS",
			"$JS.API.STREAM.MSG.GET.AUDIT", "$JS.API.DIRECT.GET.AUDIT", "run.audit.runs-again", "run.deleted." + id, "run.held." + id, "$KV.control.erase." + id + ".1-1",
		}), []string{"_INBOX.>", "_INBOX_ingress.>", "_INBOX_status.>", "run.request.*", "run.status.>", "$KV.>", ">"}},
		"status": {slices.Concat(nobody, []string{"$JS.API.INFO"}, each("$JS.API.STREAM.PURGE.%s", "RUNS", "KV_progress", "KV_runs_0", "KV_runs_1"), []string{
			"$JS.API.STREAM.MSG.DELETE.AUDIT", "$JS.API.STREAM.MSG.DELETE.KV_keys", "$JS.API.STREAM.MSG.DELETE.KV_progress", "$JS.API.STREAM.DELETE.AUDIT", "$KV.control.erase." + id, "run.audit." + id + ".x",
			"$JS.API.STREAM.PURGE.KV_control", "$KV.control.pace." + id, "$KV.control.cancel." + id, "$KV.control.cancel." + id + ".1.x", "$KV.control.pause.eA.x", "$KV.control.site.x", "run.site.x",
			"run.request." + id + ".x", "$KV.control.schedule." + id + ".x", "$KV.control.alarm." + id, "$KV.control.chain." + id + ".x", "$O.rows.M.eA==", "$O.rows.C.x", "$KV.progress." + id + ".1", "$JS.ACK.RUNS." + id + ".1.1.1.1.0", "$JS.API.STREAM.PURGE.KV_tasks",
			"$JS.API.STREAM.DELETE.RUNS", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.DELETE.KV_tasks", "$JS.API.STREAM.DELETE.OBJ_rows",
		}), []string{"_INBOX.>", "_INBOX_ingress.>", "_INBOX_runner.>", "run.request.*", "run.pool.*", "$KV.>", ">"}},
	} {
		t.Run(user, func(t *testing.T) {
			said := proctest.NewOutput()
			nc, err := nats.Connect(url, nats.UserInfo(user, user), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				_, _ = fmt.Fprintln(said, err)
			}))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			var want []string
			for _, subject := range must.publish {
				if err := nc.Publish(subject, []byte("forged")); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf(`publish to %q`, subject))
			}
			for _, subject := range must.subscribe {
				if _, err := nc.SubscribeSync(subject); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf(`subscription to %q`, subject))
			}
			// What it may publish to takes no rollup, and no message that goes by itself.
			for _, subject := range map[string][]string{
				"ingress": {"run.request." + id, "run.skipped", "$KV.keys." + id + ".x"},
				"runner":  {"$KV.runs_0.claim." + id + ".1", "$KV.runs_0.final." + id + ".1", "$KV.progress." + id + ".1", "$KV.tasks." + id, "$KV.control.pace." + id},
				"status":  {"$KV.tasks." + id, "$KV.tasks." + id + ".x", "$KV.runs_0.final." + id + ".1", "$KV.control.cancel." + id + ".1", "$KV.control.health." + id, "$KV.control.schedule." + id, "$KV.control.chain." + id, "run.request." + id, "run.skipped"},
			}[user] {
				for name, values := range map[string][]string{"Nats-Rollup": {"all", "sub"}, "Nats-TTL": {"1s"}, "Nats-Schedule": {"@every 1s"}} {
					for _, value := range values {
						if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{name: {value}}}); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			proctest.Until(t, func() error {
				for _, denied := range want {
					if !strings.Contains(strings.ToLower(said.String()), strings.ToLower(denied)) {
						return fmt.Errorf("%s is not denied", denied)
					}
				}
				return nil
			})
		})
	}
	t.Run("integration", func(t *testing.T) {
		nc, err := nats.Connect(url, nats.UserInfo("integration", "integration"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := bustest.JetStream(t, strings.Replace(operator, "init:init", "integration:integration", 1)).CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "integration"}); err != nil {
			t.Fatal(err)
		}
		keepsOut(t, operator, nc, id, "integration")
	})
	if after := contents(t, js); !maps.Equal(after, before) {
		t.Errorf("the store has changed from %v to %v", before, after)
	}
}
