//go:build !bench

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

// guideTasks are the task files of a guide, by their names.
func guideTasks(t *testing.T, guide string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "../../deploy/docs/"+guide), -1) {
		if name := regexp.MustCompile(`(?m)^name: (.*)$`).FindStringSubmatch(block[1]); name != nil {
			files[name[1]] = block[1]
		}
	}
	return files
}

// The tasks of the guide run after one another as it says, and what it says of them is shown.
func TestChainsGuide(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("members.csv", "ID,Name,State\n1,Ann,CA\n2,Ben,TX\n3,Cy,CA\n")
	files := guideTasks(t, "chains.md")
	if len(files) != 3 {
		t.Fatalf("the guide has %d tasks", len(files))
	}
	for name, text := range files {
		s.write("tasks/"+strings.ReplaceAll(name, " ", "-")+".yaml", text)
	}
	mustCall(t, "task", "check", s.path("tasks/Fetch-members.yaml"), "--connections", s.path("connections.yaml"))
	i := begin(t, s.args()...).listening()
	mustCall(t, "run", "Fetch members", "-p", "State=CA", "--wait", "--server", i.url)
	const publish = "2f6a1f0c-6a4b-4a58-9a0e-3d6f2f5b7c02"
	eventually(t, i, "the next task has run", func() bool {
		return strings.Contains(mustCall(t, "runs", "list", "--trigger", "chain", "--outcome", "success", "--server", i.url), "Publish members")
	})
	doc := i.awaitEnd(client.Started{Task: publish, Number: 2})
	if doc.Trigger != run.Chain || doc.StartedBy != 1 || doc.RowsInserted != 2 {
		t.Errorf("%+v", doc)
	}
	if got := read(t, s.path("published.csv")); got != "id,name,source\n1,Ann,CA\n3,Cy,CA\n" {
		t.Errorf("published is %q", got)
	}
	saysAsPrinted(t, i, 0)
	s.write("members.csv", "ID,Name,State\n")
	mustCall(t, "run", "Fetch members", "--wait", "--server", i.url)
	saysAsPrinted(t, i, 1)
	s.write("members.csv", "ID,Name,State\n1,Ann,CA\n")
	mustCall(t, "runs", "again", "1", "--wait", "--server", i.url) // is run 4, and starts its chain again
	eventually(t, i, "the chain is started again", func() bool {
		return strings.Contains(mustCall(t, "runs", "list", "--started-by", "4", "--outcome", "success", "--server", i.url), "Publish members")
	})
	s.write("members.csv", "no columns\n")
	ask(t, "run", "Fetch members", "--wait", "--server", i.url)
	eventually(t, i, "the failure is reported", func() bool {
		return strings.Contains(mustCall(t, "runs", "list", "--trigger", "chain", "--server", i.url), "Report a failure")
	})
	s.write("members.csv", "ID,Name,State\n1,Ann,CA\n")
	mustCall(t, "task", "disable", "Publish members", "--server", i.url)
	mustCall(t, "run", "Fetch members", "--wait", "--server", i.url)
	shown := mustCall(t, "task", "show", "Fetch members", "--server", i.url)
	for _, want := range []string{"Starts:\n  TASK              ON                WHEN\n  Publish members   success           run.RowsInserted > 0\n", "run 1   run 2 of \"Publish members\"\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("task show does not have %q:\n%s", want, shown)
		}
	}
	if listed := mustCall(t, "runs", "list", "--started-by", "1", "--server", i.url); !strings.Contains(listed, "\n  2  Publish members  Success  chain ") || strings.Count(listed, "\n") != 2 {
		t.Errorf("runs list --started-by 1: %s", listed)
	}
	i.log.Await(t, `"task":"Fetch members","run":"[0-9]+","then":"Publish members",.*"detail":"the task is disabled",.*"message":"the end of a run has started nothing"`, i.ended)
	if metrics := body(t, i.url+"/metrics"); !strings.Contains(metrics, `runhook_chained_total{came="run",task="Fetch members"} 3`) || !strings.Contains(metrics, `runhook_chained_total{came="none",task="Fetch members"} 1`) {
		t.Error("there is no metric of what was started")
	}
}

// saysAsPrinted wants the end of runs show that the guide prints there.
func saysAsPrinted(t *testing.T, i *instance, place int) {
	t.Helper()
	printed := regexp.MustCompile("(?s)```\n(Chain:\n.*?)```").FindAllStringSubmatch(read(t, "../../deploy/docs/chains.md"), -1)
	if len(printed) <= place {
		t.Fatalf("the guide prints %d chains", len(printed))
	}
	number := regexp.MustCompile(`run (\d+) of "[^"]*": Success, this run`).FindStringSubmatch(printed[place][1])[1]
	if said := mustCall(t, "runs", "show", number, "--server", i.url); !strings.HasSuffix(said, "\n"+printed[place][1]) {
		t.Errorf("runs show says\n%s\nand the guide\n%s", said, printed[place][1])
	}
}

// A chain that is wrong is refused, with file and line: in a folder, by the server and by task check.
func TestWrongChain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text := func(id task.ID, name, then string) string {
		return strings.Replace(fmt.Sprintf(siteTask, id), "name: Copy people", "name: "+name, 1) + "then: [{task: " + then + "}]\n"
	}
	s.write("tasks/copy.yaml", text(s.copy, "Copy people", "Secnd"))
	line := strings.Count(read(t, s.path("tasks/copy.yaml")), "\n")
	i := begin(t, s.args()...).listening()
	i.log.Await(t, fmt.Sprintf(`"file":"[^"]*copy.yaml","line":%d,.*then.task: there is no task \\"Secnd\\"`, line), i.ended)
	if said := mustCall(t, "task", "list", "--server", i.url); strings.Contains(said, "Copy people") {
		t.Errorf("it is applied: %s", said)
	}
	s.write("tasks/copy.yaml", text(s.copy, "Copy people", "Second"))
	s.write("tasks/second.yaml", text(task.NewID(), "Second", "Copy people"))
	i.log.Await(t, fmt.Sprintf(`"file":"[^"]*second.yaml","line":%d,.*a chain without an end: \\"Second\\" → \\"Copy people\\" → \\"Second\\"`, line), i.ended)
	code, out, messages := ask(t, "task", "check", s.path("tasks"), "--connections", s.path("connections.yaml"))
	if want := fmt.Sprintf(`copy.yaml:%d: error: then.task: a chain without an end: "Copy people" → "Second" → "Copy people"`, line); code != exitFailed || !strings.Contains(out, want) {
		t.Errorf("task check: %d %s%s", code, out, messages)
	}
	code, _, messages = ask(t, "task", "apply", s.path("tasks"), "--server", i.url)
	if code != exitFailed || !strings.Contains(messages, fmt.Sprintf("line %d: then.task: there is no task", line)) {
		t.Errorf("task apply: %d %s", code, messages)
	}
	// Whatever their names, the task that is started is applied first.
	s.write("tasks/second.yaml", strings.Split(text(task.NewID(), "Second", "x"), "then:")[0])
	mustCall(t, "task", "apply", s.path("tasks"), "--server", i.url)
	code, _, messages = ask(t, "task", "apply", s.path("tasks"), "--server", i.url)
	if code != exitSuccess {
		t.Errorf("task apply again: %d %s", code, messages)
	}
}

// chained are the runs that each of some runs has started, of a task.
func chained(t *testing.T, i *instance, id task.ID) (by []run.Number) {
	t.Helper()
	var listed []run.Listed
	if err := json.Unmarshal([]byte(mustCall(t, "runs", "list", "--task", string(id), "--trigger", "chain", "--limit", "500", "--json", "--server", i.url)), &listed); err != nil {
		t.Fatal(err)
	}
	for _, l := range listed {
		doc, err := i.client.Run(t.Context(), l.ImportID)
		if err != nil {
			t.Fatal(err)
		}
		by = append(by, doc.StartedBy)
	}
	slices.Sort(by)
	return by
}

// The program is killed again and again while runs end, and its NATS with it: each end has started one run then.
func TestKilledWhileRunsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	next := task.NewID()
	s.write("tasks/next.yaml", strings.NewReplacer("Copy people", "Next", "table: people", "table: next").Replace(fmt.Sprintf(siteTask, next)))
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+"then: [{task: Next}]\n")
	var posted []run.Number
	for round := range 4 {
		i := spawn(t, s.args()...).listening()
		for n := range 10 {
			posted = append(posted, i.start(s.copy, nil).Number)
			if n == 7-round {
				i.awaitEnd(client.Started{Task: s.copy, Number: posted[len(posted)-1]})
			}
		}
		i.kill()
		i.await()
	}
	slices.Sort(posted)
	i := begin(t, s.args()...).listening()
	eventually(t, i, "each run has started one", func() bool { return len(chained(t, i, next)) >= len(posted) })
	for _, n := range posted {
		i.awaitEnd(client.Started{Task: s.copy, Number: n})
	}
	last := i.start(s.copy, nil) // what would be started twice comes before what it starts
	eventually(t, i, "the last one has started one", func() bool { return slices.Contains(chained(t, i, next), last.Number) })
	if got, want := chained(t, i, next), append(posted, last.Number); !slices.Equal(got, want) {
		t.Errorf("started were runs by %v, want %v", got, want)
	}
}

// The rights of the configuration as shipped do for the status services to start what follows. Two of them at once, of
// which one is killed, start one run for each end.
func TestChainsWithTheirRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	denied, as, key := s.withRights()
	serve := func() *instance {
		return spawn(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, as("status")...)...).listening()
	}
	status, dying := serve(), serve()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	ingress := begin(t, append([]string{"ingress", "--run-key-file", key}, as("ingress")...)...).listening()
	next := task.NewID()
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+"then: [{task: Next}]\n")
	s.write("tasks/next.yaml", strings.NewReplacer("Copy people", "Next", "table: people", "table: next").Replace(fmt.Sprintf(siteTask, next)))
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	var posted []run.Number
	eventually(t, ingress, "the ingress knows the task", func() bool {
		started, err := ingress.client.Start(t.Context(), s.copy, nil)
		if err == nil {
			posted = append(posted, started.Number)
		}
		return err == nil
	})
	for n := range 20 {
		posted = append(posted, ingress.start(s.copy, nil).Number)
		if n == 10 {
			dying.kill()
		}
	}
	eventually(t, status, "each run has started one", func() bool { return len(chained(t, status, next)) >= len(posted) })
	if got := chained(t, status, next); !slices.Equal(got, posted) {
		t.Errorf("started were runs by %v, want %v", got, posted)
	}
	for _, i := range []*instance{ingress, runner, status} {
		i.end()
	}
	if denied.String() != "" {
		t.Errorf("the server denies:\n%s", denied)
	}
}
