package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/missing.yaml", strings.NewReplacer(string(s.copy), "11111111-2222-4333-8444-555555555555",
		"Copy people", "Copy nobody", "people.csv", "nobody.csv").Replace(read(t, s.path("tasks/copy.yaml"))))
	i := begin(t, s.args()...).listening()
	unheard := proctest.FreeAddress(t)
	for name, c := range map[string]struct {
		args []string
		code int
		// out and says are parts of the output and of the messages.
		out, says string
	}{
		"success":           {[]string{"Copy people", "--wait"}, exitSuccess, "3 rows read", "is accepted."},
		"by id":             {[]string{"{" + strings.ToUpper(string(s.copy)) + "}", "--wait"}, exitSuccess, "Success", ""},
		"part of the name":  {[]string{"PEOPLE", "-p", "City=Rome", "--wait"}, exitSuccess, "2 skipped", ""},
		"not waiting":       {[]string{"people"}, exitSuccess, "runhook runs show", ""},
		"failed":            {[]string{"nobody", "--wait"}, exitFailed, "Failed", "nobody.csv"},
		"failed, unseen":    {[]string{"nobody"}, exitSuccess, "is accepted", ""},
		"unknown parameter": {[]string{"people", "-p", "Citty=Rome", "--wait"}, exitNoStart, "", "Citty"},
		"no parameter":      {[]string{"people", "-p", "City"}, exitNoStart, "", "is not NAME=VALUE"},
		"ambiguous":         {[]string{"copy"}, exitNoStart, "", `"copy" fits 2 tasks`},
		"unknown task":      {[]string{"Copy pepole"}, exitNoStart, "", "did you mean Copy people?"},
		"unknown id":        {[]string{"00000000-0000-4000-8000-000000000000"}, exitNoStart, "", "No task has this id"},
		"no server":         {[]string{"people", "--server", "http://" + unheard}, exitNoStart, "", "start one with `runhook serve`"},
		"no address":        {[]string{"people", "--server", "localhost"}, exitNoStart, "", "--server"},
		"no task":           {nil, exitNoStart, "", "see `runhook run --help`"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, messages := ask(t, append([]string{"run", "--server", i.url}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(messages, c.says) {
				t.Errorf("exit code %d, output %q, messages %q", code, out, messages)
			}
			if c.out == "" && out != "" {
				t.Errorf("unexpected output %q", out)
			}
		})
	}
	// What a check and a run say of the connections is the same, at any moment.
	whole := read(t, s.path("connections.yaml"))
	for _, c := range []struct {
		connections string
		code        int
		says        string
	}{
		{strings.Replace(whole, "here:", "heer:", 1), exitFailed, "o connection here in connections.yaml; did you mean heer?"},
		{whole, exitSuccess, ""},
	} {
		s.write("connections.yaml", c.connections)
		code, out, messages := ask(t, "run", "people", "--wait", "--server", i.url)
		checked, found, _ := ask(t, "task", "check", s.path("tasks/copy.yaml"), "--connections", s.path("connections.yaml"))
		if code != c.code || checked != c.code || !strings.Contains(messages, c.says) || !strings.Contains(found, c.says) {
			t.Errorf("the run ends with %d, %s%s, and the check with %d, %s", code, out, messages, checked, found)
		}
	}
}

func TestRunDryRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.execute("create table people (id text primary key, name text check (name <> 'Ben'))")
	i := begin(t, s.args()...).listening()
	said := mustCall(t, "run", "people", "--dry-run", "--wait", "--server", i.url)
	if !strings.Contains(said, "3 rows read, 2 inserted") || !strings.Contains(said, "row 2 (line 3): breaks a check rule") || !strings.Contains(said, "Dry run, nothing was written") {
		t.Errorf("run --dry-run: %s", said)
	}
	if got := s.people(); got != "" {
		t.Errorf("the table has %s", got)
	}
	shown := mustCall(t, "runs", "show", "1", "--server", i.url)
	if !strings.Contains(shown, "dry run") || !strings.Contains(shown, "Dry run, nothing was written: 2 rows processed, 1 failed") {
		t.Errorf("runs show: %s", shown)
	}
	mustCall(t, "run", "people", "--wait", "--server", i.url)
	if got := s.people(); got != "Ann,Cy" {
		t.Errorf("the table has %q", got)
	}
}

func TestRunJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	var doc run.Document
	if err := json.Unmarshal([]byte(mustCall(t, "run", "people", "--wait", "--json", "--server", i.url)), &doc); err != nil || doc.RowsInserted != 3 {
		t.Errorf("%v %+v", err, doc)
	}
	var docs []run.Document
	if err := json.Unmarshal([]byte(mustCall(t, "runs", "list", "--json", "--server", i.url)), &docs); err != nil || len(docs) != 1 {
		t.Errorf("%v %+v", err, docs)
	}
	if err := json.Unmarshal([]byte(mustCall(t, "runs", "show", "1", "--json", "--server", i.url)), &doc); err != nil || doc.ImportID != 1 {
		t.Errorf("%v %+v", err, doc)
	}
	if shown := mustCall(t, "runs", "show", doc.ImportID.String(), "--server", i.url); !strings.Contains(shown, `Run 1 of "Copy people": Success`) {
		t.Errorf("runs show: %s", shown)
	}
	if listed := mustCall(t, "runs", "list", "--task", "people", "--limit", "5", "--server", i.url); !strings.Contains(listed, "Copy people  Success") {
		t.Errorf("runs list: %s", listed)
	}
	for _, wrong := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"runs", "show", "77"}, exitFailed, "Run 77 does not exist"},
		{[]string{"runs", "show", "x1"}, exitNoStart, "`runhook runs list`"},
		{[]string{"runs", "list", "--limit", "0"}, exitNoStart, "--limit must be at least 1"},
	} {
		if code, _, messages := ask(t, append(wrong.args, "--server", i.url)...); code != wrong.code || !oneLine(messages, wrong.says) {
			t.Errorf("%v: exit code %d, %s", wrong.args, code, messages)
		}
	}
}

// A run that was canceled cannot be made yet; what the command line says of one can be seen.
func TestRunReportsCanceled(t *testing.T) {
	t.Parallel()
	p := &program{stdout: proctest.NewOutput(), stderr: proctest.NewOutput(), log: zerolog.Nop()}
	doc := run.Document{ImportID: 7}
	doc.End(run.Canceled, "stopped by Ann", time.Now())
	out := proctest.NewOutput()
	if code := fail(out, p.report(t.Context(), nil, doc, nil, false)); code != exitCanceled || !oneLine(out.String(), "stopped by Ann") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestRunWaitShowsPlainLines(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	release := s.hold()
	waiting := begin(t, "run", "people", "--wait", "--server", i.url)
	waiting.log.Await(t, `In progress, 0\.0 %`, waiting.ended)
	release()
	if code := waiting.await(); code != exitSuccess {
		t.Fatalf("exit code %d: %s", code, waiting.log)
	}
	if strings.ContainsAny(waiting.log.String()+waiting.out.String(), "\r\x1b") {
		t.Errorf("lines for no terminal hold control characters: %q", waiting.log)
	}
}

func TestRunWaitSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	listen := proctest.FreeAddress(t)
	flags := s.args("--listen", listen, "--grace", "100ms")
	first := begin(t, flags...).listening()
	release := s.hold()
	waiting := begin(t, "run", "people", "--wait", "--server", first.url)
	waiting.log.Await(t, `In progress`, waiting.ended)
	first.end()
	waiting.log.Await(t, `Still waiting: no answer from the server at \S+`, waiting.ended)
	second := begin(t, flags...).listening()
	release()
	if code := waiting.await(); code != exitSuccess || !strings.HasPrefix(waiting.out.String(), "Success") {
		t.Fatalf("exit code %d: %s%s\n%s", code, waiting.out, waiting.log, second.log)
	}
}

func TestRunWaitEndsWithoutTheRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	release := s.hold()
	waiting := begin(t, "run", "people", "--wait", "--server", i.url)
	waiting.log.Await(t, `In progress`, waiting.ended)
	waiting.stop()
	if code := waiting.await(); code != exitFailed || !strings.Contains(waiting.log.String(), "stopped waiting; run 1 goes on") {
		t.Fatalf("exit code %d: %s", code, waiting.log)
	}
	list, err := i.client.Runs(t.Context(), client.Filter{Task: s.copy}, 1)
	if err != nil || len(list.Runs) != 1 || list.Runs[0].Status == run.Done {
		t.Fatalf("%v %v", list, err)
	}
	release()
}

// A server that answers with anything but Runhook's answers is told apart from one that is away.
func TestRunOnAnotherServer(t *testing.T) {
	t.Parallel()
	other := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>"))
	})
	defer other.Close()
	code, _, messages := ask(t, "task", "list", "--server", other.URL)
	if code != exitNoStart || !oneLine(messages, "is --server right?") {
		t.Errorf("exit code %d: %s", code, messages)
	}
}

// Where links are signed, the signature of the POST's answer is what the waiting goes on with.
func TestRunWaitWithSignedLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--run-links", "signed")...).listening()
	if said := mustCall(t, "run", "people", "--wait", "--server", i.url); !strings.HasPrefix(said, "Success") {
		t.Errorf("run --wait: %s", said)
	}
	said := mustCall(t, "run", "people", "--server", i.url)
	shown := said[strings.Index(said, "http://"):]
	if status := get(t, strings.TrimSpace(shown)); status != http.StatusOK && status != http.StatusAccepted {
		t.Errorf("the address shown answers %d: %s", status, said)
	}
	plain, _, _ := strings.Cut(shown, "?")
	if status := get(t, plain); status < 400 {
		t.Errorf("without its signature it answers %d", status)
	}
}

// A file that is named for a run goes into the parameter that its task's path has.
func TestRunFile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	whole := read(t, s.path("tasks/copy.yaml"))
	id := func(n int) string { return fmt.Sprintf("11111111-2222-4333-8444-%012d", n) }
	for n, path := range []string{"{params.File}", "in/{params.File}.csv", "people.csv"} {
		text := strings.NewReplacer(string(s.copy), id(n), "Copy people", fmt.Sprint("File ", n), "path: people.csv", "path: '"+path+"'",
			"parameters:\n", "parameters:\n  - name: File\n").Replace(whole)
		s.write(fmt.Sprintf("tasks/%d.yaml", n), text)
	}
	s.write("in/corrected.csv", "id,name,city\n")
	s.write("elsewhere.yaml", "other: {files: .}\n")
	i := begin(t, s.args()...).listening()
	flags := i.authority()
	asked, err := flags.client()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	for _, c := range []struct {
		task              int
		file, connections string
		value, says       string
	}{
		{0, s.path("in/corrected.csv"), "connections.yaml", "in/corrected.csv", ""},
		{1, s.path("in/corrected.csv"), "connections.yaml", "corrected", ""},
		{0, "in/far.csv", "connections.yaml", "in/far.csv", ""}, // which only the server has
		{0, "./corrected.csv", "elsewhere.yaml", "corrected.csv", ""},
		{0, "run_test.go", "elsewhere.yaml", "", "is here, and no connections file says that it is in the folder of the connection here"},
		{1, "./testdata/errors.txt", "elsewhere.yaml", "", "pass --connections FILE, or the name of the one that is there as -p NAME=VALUE"},
		{0, "testdata/../run_test.go", "connections.yaml", "", "is not in the folder of the connection here"},
		{1, s.path("people.csv"), "connections.yaml", "", "does not fit the path of File 1, in/{params.File}.csv"},
		{0, "/etc/hosts", "connections.yaml", "", "is not in the folder of the connection here"},
		{0, "../far.csv", "connections.yaml", "", "is not in the folder of the connection here"},
		{2, s.path("in/corrected.csv"), "connections.yaml", "", `always reads people.csv; to name the file for a run, write path: "{params.File}"`},
	} {
		command := &runCommand{File: c.file, ConnectionsFlag: ConnectionsFlag{Connections: s.path(c.connections)}}
		name, value, err := command.fileParameter(t.Context(), asked, task.ID(id(c.task)))
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) || c.says == "" && (err != nil || name != "File" || value != c.value) {
			t.Errorf("%s for task %d is %s=%s, %v", c.file, c.task, name, value, err)
		}
	}
	started := mustCall(t, "run", "File 0", "--file", s.path("in/corrected.csv"), "--wait", "--connections", s.path("connections.yaml"), "--server", i.url, "--json")
	if !strings.Contains(started, `"From": "request"`) {
		t.Errorf("the parameter was not passed: %s", started)
	}
	s.write("in/corrected.csv", "id,name,city\n7,Zoë,Oslo\n8,Abe,Oslo\n7,Zoé,Oslo\n")
	said := mustCall(t, "run", "File 1", "--file", s.path("in/corrected.csv"), "--connections", s.path("connections.yaml"), "--wait", "--server", i.url)
	if !strings.Contains(said, "3 rows read, 2 inserted, 1 updated\nwarning: 1 row has a key (id) that an earlier row of this run has, and took its place: row 3 (line 4)\n") || s.people() != "Zoé,Abe" {
		t.Errorf("%s; the table has %s", said, s.people())
	}
	for _, flags := range [][]string{{"--file", "nowhere/may.csv"}, {"-p", "File=nowhere/may.csv"}} {
		code, _, messages := ask(t, append([]string{"run", "File 0", "--connections", s.path("connections.yaml"), "--wait", "--server", i.url}, flags...)...)
		if code != exitFailed || !strings.Contains(messages, "The file {params.File} of connection here does not exist; ") || !strings.Contains(messages, `; File is "nowhere/may.csv"`) || strings.Count(messages, "nowhere") != 1 {
			t.Errorf("exit code %d, %s", code, messages)
		}
	}
	if code, _, messages := ask(t, "run", "File 0", "--file", s.path("in/corrected.csv"), "-p", "File=x", "--connections", s.path("connections.yaml"), "--server", i.url); code != exitNoStart || !strings.Contains(messages, "are the same parameter") {
		t.Errorf("exit code %d, %s", code, messages)
	}
}
