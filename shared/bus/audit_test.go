package bus_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// line is a line of the audit, as of now.
func line(by, what, task string) audit.Line {
	return audit.Line{On: time.Now().UTC(), By: by, What: what, Task: task}
}

// Lines of several processes at once are a chain, and are found by who, what and when, by pages.
func TestAuditKeepsWhoDidWhat(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	processes := []*bus.Audit{store.Unheld.Audit(), store.Open("status").Unheld.Audit(), store.Open("ingress").Runs.Audit()}
	var writing sync.WaitGroup
	const each = 20
	for i, process := range processes {
		writing.Go(func() {
			for n := range each {
				what := []string{audit.TaskApply, audit.TaskEnable, audit.RunsAgain}[i]
				process.Keep(t.Context(), line(fmt.Sprint("operator ", i), what, fmt.Sprint(n)))
			}
		})
	}
	writing.Wait()
	middle := time.Now()
	processes[0].Keep(t.Context(), line("ann", audit.SignIn, ""))

	find := func(q audit.Query, limit int) bus.AuditLines {
		t.Helper()
		found, err := store.Unheld.Audit().Lines(t.Context(), q, limit)
		if err != nil || len(found.Broken) > 0 {
			t.Fatalf("%+v: broken before %v, %v", q, found.Broken, err)
		}
		return found
	}
	all := find(audit.Query{}, 1000)
	if len(all.Lines) != 3*each+1 || all.Lines[0].By != "ann" || !slices.IsSortedFunc(all.Lines, func(a, b audit.Line) int { return int(b.Number) - int(a.Number) }) {
		t.Errorf("%d lines: %+v", len(all.Lines), all.Lines)
	}
	for _, c := range []struct {
		q    audit.Query
		want int
	}{
		{audit.Query{Who: "operator 1"}, each},
		{audit.Query{What: "task"}, 2 * each},
		{audit.Query{What: audit.TaskApply}, each},
		{audit.Query{What: "tas"}, 0},
		{audit.Query{Since: middle}, 1},
		{audit.Query{Until: middle}, 3 * each},
		{audit.Query{Since: time.Now().Add(time.Hour)}, 0},
	} {
		if found := find(c.q, 1000); len(found.Lines) != c.want || found.Next != 0 {
			t.Errorf("%+v: %d lines, want %d, next %d", c.q, len(found.Lines), c.want, found.Next)
		}
	}
	var paged []audit.Line
	for q := (audit.Query{What: "task"}); ; {
		page := find(q, 7)
		paged = append(paged, page.Lines...)
		if q.Before = page.Next; page.Next == 0 {
			break
		}
	}
	if len(paged) != 2*each {
		t.Errorf("the pages have %d lines", len(paged))
	}
}

// A line that somebody has removed or changed is missed, whoever wrote it.
func TestAuditMissesALine(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]func(t *testing.T, store *bustest.Store){
		"removed": func(t *testing.T, store *bustest.Store) {
			if err := stream(t, store.Bus, "AUDIT").DeleteMsg(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
		},
		"added by an ingress": func(t *testing.T, store *bustest.Store) {
			if err := stream(t, store.Bus, "AUDIT").SecureDeleteMsg(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		},
		"forged": func(t *testing.T, store *bustest.Store) {
			publish(t, store, "run.audit.task-delete", `{"On":"2026-01-01T00:00:00Z","By":"ann","What":"task-delete"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			status, ingress := store.Unheld.Audit(), store.Runs.Audit()
			status.Keep(t.Context(), line("ann", audit.TaskApply, "a"))
			ingress.Keep(t.Context(), line("ann", audit.RunsAgain, "b"))
			status.Keep(t.Context(), line("ann", audit.TaskApply, "c"))
			status.Keep(t.Context(), line("ann", audit.TaskApply, "d"))
			if found, err := status.Lines(t.Context(), audit.Query{}, 10); err != nil || len(found.Lines) != 4 || len(found.Broken) > 0 {
				t.Fatalf("%+v, %v", found, err)
			}
			tamper(t, store)
			if found, err := status.Lines(t.Context(), audit.Query{}, 10); err != nil || len(found.Broken) != 1 {
				t.Errorf("%+v, %v", found, err)
			}
			// What is done next goes on with the chain.
			store.Open("next").Unheld.Audit().Keep(t.Context(), line("ann", audit.TaskApply, "e"))
			if found, err := status.Lines(t.Context(), audit.Query{}, 1); err != nil || len(found.Lines) != 1 || found.Lines[0].Task != "e" {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

// A line that cannot be stored is in the log.
func TestAuditThatCannotBeStored(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	process, log := logging(t, store.Broker.URL(), "")
	config := stream(t, store.Bus, "AUDIT").CachedInfo().Config
	config.MaxBytes, config.Discard = 1, jetstream.DiscardNew
	if _, err := store.Jet().JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	process.Unheld.Audit().Keep(t.Context(), line("ann", audit.TaskApply, "Members"))
	process.Unheld.Audit().Keep(t.Context(), line("ann", "no such word", "Members"))
	for _, part := range []string{`"what":"task-apply","task":"Members"`, `"what":"no such word"`} {
		if !strings.Contains(log.text.String(), part) {
			t.Errorf("%s is not in the log: %s", part, log.text.String())
		}
	}
}

// While most servers of a cluster are away nobody leads the stream. What is done then is answered all the same, and its
// lines are stored once there is a leader, in their order.
func TestAuditWhileNobodyLeads(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	leader := cluster.Leader(t, "AUDIT")
	near := (leader + 1) % 3
	status, ingress := cluster.Open(t, "status", near).Unheld.Audit(), cluster.Open(t, "ingress", near).Runs.Audit()
	status.Keep(t.Context(), line("ann", audit.TaskApply, "before"))
	for _, away := range []int{leader, (leader + 2) % 3} {
		cluster.Silence(away, true)
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		for _, task := range []string{"a", "b", "c"} {
			status.Keep(t.Context(), line("ann", audit.TaskEnable, task))
		}
	})
	answering.Go(func() { ingress.Keep(t.Context(), line("ann", audit.RunsAgain, "d")) })
	answering.Wait()
	for place := range cluster.Servers {
		cluster.Silence(place, false)
	}
	var found bus.AuditLines
	proctest.Until(t, func() (err error) {
		if found, err = status.Lines(t.Context(), audit.Query{}, 10); err == nil && len(found.Lines) < 5 {
			err = fmt.Errorf("%+v are stored", found.Lines)
		}
		return err
	})
	var tasks []string
	for _, line := range slices.Backward(found.Lines) {
		if line.What != audit.RunsAgain {
			tasks = append(tasks, line.Task)
		}
	}
	if !slices.Equal(tasks, []string{"before", "a", "b", "c"}) || len(found.Lines) != 5 || len(found.Broken) > 0 {
		t.Errorf("%+v", found)
	}
}

// A line whose acknowledgement is lost is not stored twice.
func TestAuditStoresALineOnce(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	_, address, _ := strings.Cut(store.Broker.URL(), "//")
	kept := uint64(0)
	for name, of := range map[string]func(process *bus.Bus) *bus.Audit{
		"status":  func(process *bus.Bus) *bus.Audit { return process.Unheld.Audit() },
		"ingress": func(process *bus.Bus) *bus.Audit { return process.Runs.Audit() },
	} {
		wire := bustest.NewWire(t, "127.0.0.1:0", address)
		process, log := logging(t, "nats://"+wire.Address(), "")
		lines := of(process)
		lines.Keep(t.Context(), line(name, audit.RunsAgain, "a"))
		wire.Silence(true, bustest.Back)
		lines.Keep(t.Context(), line(name, audit.RunsAgain, "b"))
		proctest.Eventually(t, "the line is stored", func() bool { return stream(t, store.Bus, "AUDIT").CachedInfo().State.LastSeq == kept+2 })
		wire.Drop()
		wire.Silence(false, bustest.Back)
		lines.Keep(t.Context(), line(name, audit.RunsAgain, "c"))
		process.Close() // which waits for what is under way
		if kept += 3; stream(t, store.Bus, "AUDIT").CachedInfo().State.LastSeq != kept {
			t.Errorf("%s: not %d lines are stored: %s", name, kept, log.text.String())
		}
	}
	if found, err := store.Unheld.Audit().Lines(t.Context(), audit.Query{}, 10); err != nil || len(found.Lines) != 6 || len(found.Broken) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// A process that stops while NATS does not answer has in its log what it could not store, all of it.
func TestAuditOfAProcessThatStops(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	_, address, _ := strings.Cut(store.Broker.URL(), "//")
	wire := bustest.NewWire(t, "127.0.0.1:0", address)
	process, log := logging(t, "nats://"+wire.Address(), "")
	wire.Silence(true)
	kept := line("ann", audit.RunsDelete, "Members")
	kept.Run, kept.Last, kept.Detail, kept.Address = 3, 5, "accepted before noon", "127.0.0.1"
	process.Unheld.Audit().Keep(t.Context(), kept)
	if log.count("not stored") > 0 {
		t.Errorf("it was given up: %s", log.text.String())
	}
	process.Close()
	if log.count(`"run":"3","last":"5"`) != 1 || log.count(`"address":"127.0.0.1","detail":"accepted before noon"`) != 1 {
		t.Errorf("the log has %s", log.text.String())
	}
}

// The receipt of an erasure is a line of the chain.
func TestAuditHasErasures(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	status := store.Unheld.Audit()
	status.Keep(t.Context(), line("ann", audit.TaskApply, "a"))
	n := personal(t, store.Bus, request, "")
	awaitEvents(t, store.Bus, n)
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	erasing(t, store.Bus, view, request.Task)
	status.Keep(t.Context(), line("ann", audit.TaskApply, "b"))
	found, err := status.Lines(t.Context(), audit.Query{}, 10)
	if err != nil || len(found.Broken) > 0 || len(found.Lines) != 3 || found.Lines[1].What != audit.RunsDeleted || found.Lines[1].Run != n || found.Lines[1].By != "ann" {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := status.Lines(t.Context(), audit.Query{What: "runs"}, 10); err != nil || len(found.Lines) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// A task that is held is a line, once though its event may be there twice, and the chain has both.
func TestAuditWhileATaskIsHeld(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	log := &journal{}
	process, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Close)
	if err := process.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := process.Unheld.Audit()
	status.Keep(t.Context(), line("ann", audit.TaskApply, "a"))
	held := run.Health{Failed: []run.Number{3, 5, 6}, Held: &run.Hold{On: time.Now().UTC(), TaskName: "Late", Failures: 3, Run: 6, Why: "as the test wants"}}
	data, err := held.Encode()
	if err != nil {
		t.Fatal(err)
	}
	publish(t, store, "$KV.control.health."+string(request.Task), string(data))
	if _, err := process.Unheld.Failures(request.Task).Count(t.Context(), 0, 3); err != nil {
		t.Fatal(err)
	}
	event, err := store.Jet().Audit.LeaderLast(t.Context(), "run.held."+string(request.Task))
	if err != nil || event.Sequence != 2 {
		t.Fatalf("the event is %d, %v", event.Sequence, err)
	}
	publish(t, store, "$KV.control.health."+string(request.Task), string(data)) // whoever counts dies before that it is told is stored
	if _, err := store.Open("next").Unheld.Failures(request.Task).Count(t.Context(), 0, 3); err != nil {
		t.Fatal(err)
	}
	status.Keep(t.Context(), line("ann", audit.TaskEnable, "b"))
	status.Keep(t.Context(), line("ann", audit.TaskApply, "c"))
	found, err := status.Lines(t.Context(), audit.Query{}, 10)
	if err != nil || len(found.Broken) > 0 || len(found.Lines) != 4 || log.text.Len() > 0 {
		t.Errorf("%+v, %v, and the log has %s", found, err, log.text.String())
	}
	for _, q := range []audit.Query{{What: audit.TaskHeld}, {What: "task", Task: request.Task}, {Named: "lAt"}, {Who: audit.ByFailures}} {
		found, err := status.Lines(t.Context(), q, 10)
		want := audit.Line{Number: 2, On: held.Held.On.Truncate(time.Millisecond), By: "failures", What: "task-held", TaskID: request.Task, Task: "Late", Run: 6, Detail: "3 runs failed in a row"}
		if err != nil || len(found.Lines) != 1 || found.Lines[0] != want {
			t.Errorf("%+v: %+v, %v, want %+v", q, found, err, want)
		}
	}
	if err := stream(t, store.Bus, "AUDIT").DeleteMsg(t.Context(), event.Sequence); err != nil {
		t.Fatal(err)
	}
	if found, err := status.Lines(t.Context(), audit.Query{}, 10); err != nil || !slices.Equal(found.Broken, []uint64{3}) {
		t.Errorf("without the event: %+v, %v", found, err)
	}
}

// Whoever looks for lines of which there are few among many reads each message once, some thousands a call.
func TestFewLinesOfManyAreFound(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	store.Unheld.Audit().Keep(t.Context(), line("ann", audit.TaskApply, "a"))
	const many = 4500
	data, err := json.Marshal(line("ann", audit.RunsAgain, "b"))
	if err != nil {
		t.Fatal(err)
	}
	for range many { // the server may take long to answer the first ones
		if _, err := store.Jet().JS.PublishAsync("run.audit."+audit.RunsAgain, data, jetstream.WithStallWait(proctest.Limit)); err != nil {
			t.Fatal(err)
		}
	}
	<-store.Jet().JS.PublishAsyncComplete()
	process := store.Open("status")
	before := process.Jet().NC.Stats().InMsgs
	var found []audit.Line
	calls := 0
	for q := (audit.Query{What: "task"}); ; calls++ {
		page, err := process.Unheld.Audit().Lines(t.Context(), q, 10)
		if err != nil || len(page.Broken) > 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		found = append(found, page.Lines...)
		if q.Before = page.Next; page.Next == 0 {
			break
		}
	}
	if len(found) != 1 || found[0].Number != 1 || calls != 2 {
		t.Errorf("%d calls behind the first found %+v", calls, found)
	}
	if read := process.Jet().NC.Stats().InMsgs - before; read > 3*many/2 {
		t.Errorf("%d messages came, of a stream with %d", read, many+1)
	}
}
