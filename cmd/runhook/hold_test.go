package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

// added is a task that inserts the people into a table of its own, once a run.
func (s *site) added(name, table string) task.ID {
	s.t.Helper()
	id := task.NewID()
	s.write("tasks/"+table+".yaml", fmt.Sprintf(`id: %s
name: %s
source: {csv: {connection: here, path: people.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: db, table: %s, action: insert, create: true}}
`, id, name, table))
	return id
}

// rows counts a table.
func (s *site) rows(table string) string {
	s.t.Helper()
	return names(s.t, s.open(), "select count(*) from "+table)
}

// queuedRuns are the runs that `runs list --queued` shows, by their numbers.
func (i *instance) queuedRuns(more ...string) map[run.Number]run.Document {
	i.t.Helper()
	var docs []run.Document
	out := mustCall(i.t, append([]string{"runs", "list", "--queued", "--json", "--limit", "1000", "--server", i.url}, more...)...)
	if err := json.Unmarshal([]byte(out), &docs); err != nil {
		i.t.Fatal(err)
	}
	waits := map[run.Number]run.Document{}
	for _, doc := range docs {
		waits[doc.ImportID] = doc
	}
	return waits
}

// body reads what an address answers with 200.
func body(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.StatusCode, string(text), err)
	}
	return string(text)
}

// saysHeld wants the start and /readyz to say that runs are held.
func (i *instance) saysHeld() {
	i.t.Helper()
	if i.out.Await(i.t, `Runs are held \(--hold\)`, i.ended) == nil {
		i.t.Errorf("the start says: %s", i.out)
	}
	if ready := body(i.t, i.url+"/readyz"); !strings.Contains(ready, "Runs are held (--hold)") {
		i.t.Errorf("/readyz says: %s", ready)
	}
}

// A backup is made under load, and all its runs end afterwards. What is restored from it starts nothing
// while it is held: it is looked at, a part is canceled, and only the rest is executed again.
func TestRestoredRunsAreHeld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	unwanted, wanted := s.added("Unwanted", "unwanted"), s.added("Wanted", "wanted")
	first := spawn(t, s.args()...).listening()
	first.awaitEnd(first.start(unwanted, nil)) // which makes the tables
	first.awaitEnd(first.start(wanted, nil))
	release := s.hold()
	for range 5 {
		first.start(unwanted, nil)
	}
	for range 4 {
		first.start(wanted, nil)
	}
	var loading sync.WaitGroup
	stop := make(chan struct{})
	loading.Go(func() {
		for range 60 { // as many as there may be, since all are to end
			select {
			case <-stop:
				return
			default:
				first.accept(s)
			}
		}
	})
	file := s.path("runhook.backup")
	mustCall(t, "backup", file, "--nats", first.nats)
	close(stop)
	loading.Wait()
	release()
	var last run.Number
	for range 3 {
		last = first.start(wanted, nil).Number
	}
	eventually(t, first, "all runs have ended", func() bool { return len(first.queuedRuns()) == 0 && first.running() == 0 })
	if rows := s.rows("unwanted") + " " + s.rows("wanted"); rows != "18 24" {
		t.Fatalf("%s rows", rows)
	}
	first.end()

	said := mustCall(t, "restore", file, "--data", s.path("restored"))
	if !strings.Contains(said, "start with --hold, then `runhook runs list --queued`") {
		t.Errorf("restore says: %s", said)
	}
	held := spawn(t, s.args("--data", s.path("restored"), "--hold")...).listening()
	held.saysHeld()
	waits := held.queuedRuns()
	of := map[string]int{}
	for n, doc := range waits {
		if of[doc.TaskName]++; n > last {
			t.Errorf("run %s waits, which came after the backup", n)
		}
	}
	if of["Unwanted"] != 5 || of["Wanted"] != 4 {
		t.Errorf("%v wait", of)
	}
	var paged []string
	for behind, more := "0", true; more && len(paged) <= len(waits); {
		code, table, messages := call(t, "runs", "list", "--queued", "--limit", "2", "--behind", behind, "--server", held.url)
		lines := strings.Split(strings.TrimSpace(table), "\n")
		for _, line := range lines[1:] {
			if !strings.HasSuffix(line, "  pool default is held (--hold)") {
				t.Errorf("listed: %q", line)
			}
			paged = append(paged, strings.Fields(line)[0])
		}
		_, behind, more = strings.Cut(messages, "More wait: --behind ")
		behind = strings.TrimSuffix(behind, " lists the next.\n")
		if code != exitSuccess || len(lines) > 3 || more && behind != paged[len(paged)-1] {
			t.Fatalf("exit code %d:\n%s%s", code, table, messages)
		}
	}
	if len(paged) != len(waits) || !slices.IsSortedFunc(paged, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }) {
		t.Errorf("by pages: %v of %d", paged, len(waits))
	}
	fresh := held.start(unwanted, nil)
	if fresh.Number <= last {
		t.Errorf("run %s comes after run %s", fresh.Number, last)
	}
	waiting := spawn(t, "run", "Wanted", "--wait", "--server", held.url)
	waiting.log.Await(t, `Run (\d+) of "Wanted" is accepted`, waiting.ended)
	var ended []string
	for n, doc := range held.queuedRuns("--task", "Wanted") {
		if waits[n].ImportID == 0 {
			ended = append(ended, n.String())
			if doc.StatusDescription != "Queued" || n != fresh.Number+1 {
				t.Errorf("the run of the command is %+v", doc)
			}
		}
	}
	if len(ended) != 1 {
		t.Fatalf("%v came last", ended)
	}
	if said := mustCall(t, "runs", "cancel", ended[0], "--server", held.url); said != "Run "+ended[0]+" of \"Wanted\": Canceled by admin before it was started.\n" {
		t.Errorf("cancel says: %s", said)
	}
	if code := waiting.await(); code != exitCanceled || !strings.Contains(waiting.log.String(), "run "+ended[0]+" was canceled: Canceled by admin before it was started") {
		t.Errorf("run --wait: exit code %d, %s", code, waiting.log)
	}
	code, out, messages := ask(t, "runs", "cancel", ended[0], "1", fresh.Number.String(), "--why", "not this one", "--server", held.url)
	if code != exitFailed || out != "Run "+fresh.Number.String()+" of \"Unwanted\": Canceled by admin before it was started: not this one.\nCanceled 1 of 3 runs.\n" ||
		!strings.Contains(messages, "Run "+ended[0]+" has ended already: Canceled.") || !strings.Contains(messages, "Run 1 has ended already: Success.") {
		t.Errorf("what has ended: %d %s%s", code, out, messages)
	}
	if said := mustCall(t, "runs", "cancel", "--queued", "--task", "Unwanted", "--server", held.url); strings.Count(said, " of \"Unwanted\": Canceled by admin before it") != 5 || !strings.HasSuffix(said, "\nCanceled 5 of 5 runs.\n") {
		t.Errorf("cancel says: %s", said)
	}
	left := held.queuedRuns("--task", "Unwanted")
	if said := mustCall(t, "runs", "cancel", "--queued", "--task", "Unwanted", "--server", held.url); said != "There is no run to cancel.\n" || len(left) > 0 {
		t.Errorf("%d are left, and cancel says: %s", len(left), said)
	}
	if rows := s.rows("unwanted") + " " + s.rows("wanted"); rows != "18 24" {
		t.Errorf("while they were held: %s rows", rows)
	}
	held.end()

	again := spawn(t, s.args("--data", s.path("restored"))...).listening()
	if ready := body(t, again.url+"/readyz"); strings.Contains(again.out.String()+ready, "held") || !strings.HasPrefix(ready, "ok\n") {
		t.Errorf("runs are still held: %s\n/readyz says: %s", again.out, ready)
	}
	eventually(t, again, "all runs have ended", func() bool { return len(again.queuedRuns()) == 0 && again.running() == 0 })
	if rows := s.rows("unwanted") + " " + s.rows("wanted"); rows != "18 36" {
		t.Errorf("afterwards: %s rows", rows)
	}
	outcomes := map[string]int{}
	list, err := again.client.Runs(t.Context(), client.Filter{Task: unwanted}, 500)
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]string{}
	for _, doc := range list.Runs {
		outcomes[doc.StatusDescription]++
		accepted[doc.ImportID.String()] = ""
	}
	if outcomes["Success"] != 1 || outcomes["Canceled"] != 6 {
		t.Errorf("the runs ended as %v", outcomes)
	}
	within(t, 3*limit, again, "every run has its event", func() bool {
		found := events(t, again.nats)
		for number := range accepted {
			if found[number] != 1 {
				return false
			}
		}
		return true
	})
}

// running is how many runs the program executes now.
func (i *instance) running() int {
	i.t.Helper()
	for line := range strings.Lines(body(i.t, i.url+"/metrics")) {
		if value, ok := strings.CutPrefix(line, "runhook_runs_running "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				i.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// A runner of its own holds as serve does, and another one beside it takes the runs.
func TestARunnerHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	started := i.start(s.copy, nil)
	runner := func(more ...string) *instance {
		return begin(t, append([]string{"runner", "--nats", i.nats, "--listen", "127.0.0.1:0", "--connections", s.path("connections.yaml")}, more...)...).listening()
	}
	held := runner("--hold")
	held.saysHeld()
	if waits := i.queuedRuns(); len(waits) != 1 {
		t.Errorf("%v wait", waits)
	}
	const why = "Waiting: pool default is held (--hold), so its runners take no run"
	if said := mustCall(t, "runs", "show", started.Number.String(), "--server", i.url); !strings.Contains(said, "\n"+why+"\n") || !strings.Contains(said, "A start of its runners without --hold runs it, ") {
		t.Errorf("runs show:\n%s", said)
	}
	held.end()
	release := s.hold()
	runner()
	i.awaitRunning(started)
	if said := mustCall(t, "runs", "cancel", "--queued", "--server", i.url); said != "There is no run to cancel.\n" {
		t.Errorf("cancel says: %s", said)
	}
	release()
	if doc := i.awaitEnd(started); doc.Outcome() != run.Success {
		t.Errorf("it ended as %+v", doc)
	}
}

func TestHoldAndCancelRefuse(t *testing.T) {
	t.Parallel()
	for says, args := range map[string][]string{
		"--demo runs a task at once: leave out --hold, or --demo":                                                {"serve", "--demo", "--hold", "--data", t.TempDir()},
		"name the runs to cancel, or pass --task TASK for all of a task, or --queued for all that no runner has": {"runs", "cancel"},
		"--task and --queued cancel all runs that they name: leave them out, or the numbers":                     {"runs", "cancel", "3", "--queued"},
		"--task and --queued cancel all runs that they name":                                                     {"runs", "cancel", "3", "--task", "x"},
		"--why: it must be one line of text":                                                                     {"runs", "cancel", "3", "--why", "a\nb"},
		`"x" is not a run number; ` + "`runhook runs list` shows the newest":                                     {"runs", "cancel", "x"},
	} {
		if code, out, messages := ask(t, args...); code != exitNoStart || out != "" || !oneLine(messages, says) {
			t.Errorf("%v: %d %s%s", args, code, out, messages)
		}
	}
}
