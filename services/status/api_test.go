package status_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// shownTask is what a client of the admin routes reads of a task.
type shownTask struct {
	ID                            task.ID `json:"Id"`
	Name, Description, Definition string
	Enabled                       bool
	AppliedOn                     time.Time
	ExecuteURL                    string `json:"ExecuteUrl"`
	ExecutePollingURL             string `json:"ExecutePollingUrl"`
	Template                      json.RawMessage
	Parameters                    []struct {
		Name, Filter, Prompt, Description string
		Default                           []string
		Multiple                          bool
	}
	WebhookID task.ID `json:"WebhookId"`
	FormerIDs []struct {
		ID    task.ID `json:"Id"`
		Until time.Time
	} `json:"FormerIds"`
	Text *string
}

func decode[T any](t testing.TB, body []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return value
}

const withParameters = `description: Who lapsed
parameters:
  - {filter: CsContact.FirstName, prompt: required, description: Given name}
  - {name: Chapter, multiple: true, default: [North, South]}`

func TestTasksAreShown(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	if got := s.get("/api/tasks").expect(t, http.StatusOK); string(got.body) != `{"Tasks":[]}` {
		t.Errorf("without tasks: %s", got.body)
	}
	s.apply("Zebra", "enabled: false")
	def := s.apply("Apple", withParameters)

	list := s.get("/api/tasks").expect(t, http.StatusOK)
	conforms(t, "TaskList", list.body)
	shown := decode[struct{ Tasks []shownTask }](t, list.body).Tasks
	if len(shown) != 2 || shown[0].Name != "Apple" || shown[1].Name != "Zebra" {
		t.Fatalf("not both tasks by name: %s", list.body)
	}
	if !shown[0].Enabled || shown[1].Enabled || shown[0].Text != nil {
		t.Errorf("Enabled %v and %v, Text %v", shown[0].Enabled, shown[1].Enabled, shown[0].Text)
	}

	one := s.get("/api/tasks/"+strings.ToUpper(string(def.ID))).expect(t, http.StatusOK)
	conforms(t, "Task", one.body)
	if one.Header.Get("Cache-Control") != "no-store" || one.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", one.Header)
	}
	got := decode[shownTask](t, one.body)
	if got.Text == nil || *got.Text != string(def.Text) {
		t.Errorf("Text is not the file: %v", got.Text)
	}
	if got.ID != def.ID || got.Definition != def.Hash || got.Description != "Who lapsed" || time.Since(got.AppliedOn) > time.Minute {
		t.Errorf("%s", one.body)
	}
	if got.ExecuteURL != s.url+"/task/execute/"+string(def.ID) || got.ExecutePollingURL != s.url+"/task/executepolling/"+string(def.ID) {
		t.Errorf("addresses %s and %s", got.ExecuteURL, got.ExecutePollingURL)
	}
	if string(got.Template) != `{"QueryParameters":{"FirstName":"","Chapter":[]}}` {
		t.Errorf("Template %s", got.Template)
	}
	first, second := got.Parameters[0], got.Parameters[1]
	if first.Name != "FirstName" || first.Filter != "CsContact.FirstName" || first.Prompt != "required" ||
		len(first.Default) != 0 || first.Multiple || first.Description != "Given name" {
		t.Errorf("%+v", first)
	}
	if second.Name != "Chapter" || second.Filter != "" || second.Prompt != "optional" ||
		!slices.Equal(second.Default, []string{"North", "South"}) || !second.Multiple {
		t.Errorf("%+v", second)
	}

	s.get("/api/tasks/"+string(task.NewID())).problem(t, http.StatusNotFound)
	s.get("/api/tasks/lapsed").problem(t, http.StatusNotFound)
}

func TestApplyATask(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	id := task.NewID()
	path := "/api/tasks/" + string(id)
	apply := func(text []byte, wantChanged bool) shownTask {
		t.Helper()
		got := s.do(http.MethodPut, path, text).expect(t, http.StatusOK)
		conforms(t, "Applied", got.body)
		answer := decode[struct {
			Changed bool
			Task    shownTask
		}](t, got.body)
		if answer.Changed != wantChanged {
			t.Errorf("Changed %v, want %v", answer.Changed, wantChanged)
		}
		return answer.Task
	}
	first := apply(taskFile(id, "Refresh"), true)
	if first.Name != "Refresh" || !first.Enabled {
		t.Errorf("%+v", first)
	}
	// A run of it can be taken: its consumer was made before it became visible.
	if _, err := s.Work.Queue(t.Context(), id); err != nil {
		t.Error(err)
	}
	if same := apply(taskFile(id, "Refresh"), false); same.AppliedOn != first.AppliedOn {
		t.Error("an unchanged file was applied again")
	}
	second := apply(taskFile(id, "Renewed"), true)
	if second.Name != "Renewed" || second.Definition == first.Definition {
		t.Errorf("%+v", second)
	}
	if got := decode[shownTask](t, s.get(path).body); got.Definition != second.Definition {
		t.Error("the answer came before this process used the task")
	}
	if _, err := s.Tasks.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.awaitTask(id, func(t bus.Task) bool { return !t.Enabled })
	if back := apply(taskFile(id, "Renewed"), true); !back.Enabled {
		t.Error("a removed task that is applied again is not enabled")
	}
}

// What `serve --tasks` brought stays the folder's while it is the same file.
func TestApplyLeavesTheFolderItsTasks(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def, err := taskfile.Parse(taskFile(task.NewID(), "Refresh"), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tasks.Apply(t.Context(), def, true); err != nil {
		t.Fatal(err)
	}
	s.awaitTask(def.ID, func(t bus.Task) bool { return t.FromFolder })
	path := "/api/tasks/" + string(def.ID)
	if got := s.do(http.MethodPut, path, def.Text).expect(t, 200); decode[struct{ Changed bool }](t, got.body).Changed {
		t.Error("the same file took the task from its folder")
	}
	s.do(http.MethodPut, path, taskFile(def.ID, "Renewed")).expect(t, 200)
	if seen, _ := s.view.Get(def.ID); seen.FromFolder {
		t.Error("another file was applied, and removing the folder's would disable it")
	}
}

func TestApplyRefusesAFile(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	id := task.NewID()
	path := "/api/tasks/" + string(id)

	got := s.do(http.MethodPut, path, []byte("id: "+string(id)+"\nname: Refresh\nsorce: {}\nconcurrency: many\n"))
	problem := got.problem(t, http.StatusUnprocessableEntity)
	if problem["type"] != "urn:runhook:problem:invalid-task-file" {
		t.Errorf("type %v", problem["type"])
	}
	faults := decode[struct {
		Errors []struct {
			Line    int
			Message string
		} `json:"errors"`
	}](t, got.body).Errors
	var lines []int
	for _, fault := range faults {
		lines = append(lines, fault.Line)
	}
	if !slices.Contains(lines, 3) || !slices.Contains(lines, 4) || !strings.Contains(string(got.body), "source") {
		t.Errorf("not every problem with its line: %s", got.body)
	}

	s.do(http.MethodPut, path, nil).problem(t, http.StatusUnprocessableEntity)
	other := s.do(http.MethodPut, path, taskFile(task.NewID(), "Refresh")).problem(t, http.StatusUnprocessableEntity)
	if other["type"] != "urn:runhook:problem:other-task" {
		t.Errorf("another task's file: %v", other)
	}
	s.do(http.MethodPut, "/api/tasks/refresh", taskFile(id, "Refresh")).problem(t, http.StatusNotFound)
	if tasks := s.view.All(); len(tasks) != 0 {
		t.Errorf("something was applied: %v", tasks)
	}
}

func TestRunsAreListed(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	if got := s.get("/api/runs").expect(t, http.StatusOK); string(got.body) != `{"Runs":[]}` {
		t.Errorf("without runs: %s", got.body)
	}
	refresh, other := s.apply("Refresh"), s.apply("Other")
	first := s.submit(refresh).begin(0).end(run.Success, "done")
	second, third := s.submit(other).begin(12), s.submit(refresh)

	list := func(query string) []run.Number {
		t.Helper()
		got := s.get("/api/runs"+query).expect(t, http.StatusOK)
		conforms(t, "RunList", got.body)
		var numbers []run.Number
		for _, doc := range decode[struct{ Runs []run.Document }](t, got.body).Runs {
			numbers = append(numbers, doc.ImportID)
		}
		return numbers
	}
	for query, want := range map[string][]run.Number{
		"":                                  {third.number, second.number, first.number},
		"?limit=2":                          {third.number, second.number},
		"?task=" + string(refresh.ID):       {third.number, first.number},
		"?limit=1&task=" + string(other.ID): {second.number},
		"?limit=500&task=%7B" + string(other.ID) + "%7D": {second.number},
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}

	polled := s.get(first.path())
	if shown := s.get("/api/runs/"+first.number.String()).expect(t, 200); string(shown.body) != string(polled.body) {
		t.Errorf("not the document that is polled: %s", shown.body)
	}
	if doc := s.get("/api/runs/"+second.number.String()).expect(t, 200).document(t); doc.PercentComplete != 12 {
		t.Errorf("%v%%", doc.PercentComplete)
	}
	for _, number := range []string{"999", "0", "latest"} {
		s.get("/api/runs/"+number).problem(t, http.StatusNotFound)
	}
}

func TestQueriesAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	for path, name := range map[string]string{
		"/api/runs?limit=0": "limit", "/api/runs?limit=501": "limit", "/api/runs?limit=many": "limit", "/api/runs?limit=": "limit",
		"/api/runs?limit=1&limit=2": "limit", "/api/runs?task=refresh": "task", "/api/runs?task=": "task",
		"/api/runs?task=" + string(task.NewID()): "task", "/api/runs?status=P": "status", "/api/runs?queued=false": "queued",
		"/api/runs?behind=3": "behind", "/api/runs?queued=true&behind=x": "behind", "/api/runs?Task=x": "Task",
		"/api/runs?outcome=done": "outcome", "/api/runs?outcome=": "outcome", "/api/runs?trigger=me": "trigger", "/api/runs?rejected=yes": "rejected",
		"/api/runs?text=": "text", "/api/runs?text=%00": "text", "/api/runs?text=a%00": "text", "/api/runs?correlation=": "correlation", "/api/runs?parameter=State": "parameter", "/api/runs?parameter=%3DAK": "parameter",
		"/api/runs?before=0": "before", "/api/runs?before=x": "before", "/api/runs?since=yesterday": "since", "/api/runs?until=soon": "until",
		"/api/runs?since=2999-01-01T00:00:00Z": "since", "/api/runs?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": "until",
		"/api/runs?queued=true&outcome=open": "queued", "/api/runs?queued=true&before=7": "queued",
		"/api/counts?zone=Here": "zone", "/api/counts?zone=Local": "zone", "/api/counts?limit=1": "limit", "/api/counts?since=x": "since", "/api/runs/1/request?x=1": "x",
		"/api/runs/1?limit=1": "limit", "/api/tasks?name=Refresh": "name", "/api/tasks/" + string(def.ID) + "?text=1": "text",
	} {
		got := s.get(path)
		got.problem(t, http.StatusBadRequest)
		faults := decode[struct {
			Errors []struct{ Name, Detail string } `json:"errors"`
		}](t, got.body).Errors
		if len(faults) != 1 || faults[0].Name != name || faults[0].Detail == "" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	got := s.do(http.MethodPut, "/api/tasks/"+string(def.ID)+"?force=1", def.Text)
	got.problem(t, http.StatusBadRequest)
}

// adminRoutes are requests to every admin route.
func adminRoutes(def *task.Definition, n run.Number) []struct{ method, path string } {
	return []struct{ method, path string }{
		{"GET", "/api/tasks"},
		{"GET", "/api/tasks/" + string(def.ID)},
		{"PUT", "/api/tasks/" + string(def.ID)},
		{"POST", "/api/tasks/" + string(def.ID) + "/disable"},
		{"POST", "/api/tasks/" + string(def.ID) + "/enable"},
		{"GET", "/api/runs"},
		{"GET", "/api/runs/" + n.String()},
		{"GET", "/api/runs/" + n.String() + "/request"},
		{"GET", "/api/counts"},
	}
}

func TestAdminRoutesNeedAToken(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	for _, route := range adminRoutes(def, s.submit(def).number) {
		s.do(route.method, route.path, def.Text, "Authorization", "").problem(t, http.StatusUnauthorized)
		s.do(route.method, route.path, def.Text).expect(t, http.StatusOK)
		s.do(route.method, route.path, def.Text, "Origin", "https://evil.example").problem(t, http.StatusForbidden)
		if route.method == http.MethodGet {
			s.do(route.method, route.path, nil, "Authorization", "Bearer "+readToken).expect(t, http.StatusOK)
		} else {
			s.do(route.method, route.path, def.Text, "Authorization", "Bearer "+readToken).problem(t, http.StatusForbidden)
		}
	}
	s.get("/api/tasks", "Authorization", "Bearer wrong").problem(t, http.StatusUnauthorized)
	closed := openOn(t, s.Store, func(o *status.Options) { o.Admin = nil })
	closed.get("/api/tasks").problem(t, http.StatusUnauthorized)
}

func TestMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	for _, path := range []string{"/api/tasks", "/api/tasks/" + string(def.ID), "/api/runs", "/api/runs/1"} {
		for _, method := range []string{http.MethodPost, http.MethodPatch} {
			if allow := s.do(method, path, nil); allow.problem(t, http.StatusMethodNotAllowed) == nil || allow.Header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", method, path)
			}
		}
	}
}
