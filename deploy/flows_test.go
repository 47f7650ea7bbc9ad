package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/proctest"
)

const (
	flowTask  = "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01"
	flowKey   = "64f0a1b2c3d4e5f60718293a4b5c6d7e"
	flowHost  = "https://hooks.example.org"
	flowRun   = "08584301442093145792632513041CU12"
	flowSpeed = 50 // seconds of the flow in one
)

// flowSite is an installation with the task of flows.md, which goes on after a kill -9.
type flowSite struct {
	t       *testing.T
	dir     string
	address string
	program *proctest.Process
	down    bool
	flags   []string
	client  *http.Client
	// midway is whether the last kill came in the middle of a run.
	midway bool
}

// startForFlows runs the page's task, slowly enough to be killed in the middle, under the address of the page.
func startForFlows(t *testing.T, page string) *flowSite {
	return startSlowly(t, page, "--public-url", flowHost)
}

// startSlowly is startForFlows with other flags.
func startSlowly(t *testing.T, page string, flags ...string) *flowSite {
	t.Helper()
	s := &flowSite{t: t, dir: t.TempDir(), address: proctest.FreeAddress(t), flags: flags}
	task := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(page)[1]
	rows := "ID,Name,State,Joined\n"
	for i := 1; i <= 40; i++ {
		state := map[bool]string{true: "CA", false: "TX"}[i%2 == 0]
		day := "31.01.2026"
		if i == 8 {
			day = "31.02.2026"
		}
		rows += fmt.Sprintf("%d,Name %d,%s,%s\n", i, i, state, day)
	}
	rows += "41,Name 41,NY,30.02.2026\n42,Name 42,NY,never\n"
	for name, text := range map[string]string{
		"members.csv":        rows,
		"connections.yaml":   "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n",
		"secrets.yaml":       "flow: " + flowKey + "\n",
		"tasks/members.yaml": strings.Replace(task, "path: members.csv}", "path: members.csv}, rate: 20/s", 1),
	} {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Callers reach it as https://hooks.example.org, as behind a proxy.
	var dialer net.Dialer
	s.client = &http.Client{
		Timeout:       120 * time.Second, // of a synchronous call, by Microsoft's documentation
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "hooks.example.org:443" {
				return nil, fmt.Errorf("%s is not the server of the page", address)
			}
			return dialer.DialContext(ctx, network, s.address)
		}},
	}
	s.start()
	return s
}

func (s *flowSite) start() {
	s.t.Helper()
	s.program = launch(s.t, proctest.Program(s.t), append([]string{
		"serve", "--listen", s.address, "--nats-listen", "127.0.0.1:0", "--lease", "2s",
		"--data", filepath.Join(s.dir, "data"), "--tasks", filepath.Join(s.dir, "tasks"), "--secrets", filepath.Join(s.dir, "secrets.yaml"),
		"--connections", filepath.Join(s.dir, "connections.yaml"),
	}, s.flags...)...)
	s.program.Await("listens on")
	proctest.Eventually(s.t, "the server is ready", func() bool {
		answer, err := s.client.Get(flowHost + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil && answer.StatusCode == 200
	})
	s.down = false
}

// flow is one with the key of the page's task. An outage lasts until its action has asked in vain once.
func (s *flowSite) flow(name string) *flow {
	f := &flow{name: name, parameters: map[string]any{"RunhookKey": flowKey}, client: s.client}
	asked := 0
	f.pause = func(d time.Duration) {
		if s.down && len(f.asked) > asked {
			s.start()
		}
		asked = len(f.asked)
		time.Sleep(d / flowSpeed)
	}
	return f
}

// killInTheMiddle has the program killed when the first run of the flow is in progress.
func (s *flowSite) killInTheMiddle(f *flow) {
	f.answered = func(request *http.Request, _ *http.Response, body []byte) error {
		var doc document
		if err := json.Unmarshal(body, &doc); request.Method != http.MethodPost || err != nil {
			return nil
		}
		f.answered = nil
		signed := doc.PollingUrl // that of later documents has no signature
		proctest.Until(s.t, func() error {
			answer, err := s.client.Get(signed)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil {
				return err
			}
			if doc.Status == "Q" {
				return errors.New("the run is queued")
			}
			return nil
		})
		s.midway = doc.Status == "P"
		s.program.Kill()
		s.down = true
		return nil
	}
}

// recipes are the sections of a page that have a workflow's actions, by their titles.
func recipes(t *testing.T, page string) map[string]map[string]action {
	t.Helper()
	found := make(map[string]map[string]action)
	for section := range strings.SplitSeq(page, "\n## ") {
		title, text, _ := strings.Cut(section, "\n")
		for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1) {
			var actions map[string]action
			if strings.Contains(block[1], `"ExecuteId"`) {
				continue
			}
			decoder := json.NewDecoder(strings.NewReader(block[1]))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&actions); err != nil {
				t.Fatalf("%s: %v", title, err)
			}
			found[title] = actions
		}
	}
	return found
}

// member is that of a result's body.
func (r *result) member(name string) any {
	members, _ := r.Body.(map[string]any)
	return members[name]
}

// ended holds an action's result against what it should be, with the counts of its run.
func ended(t *testing.T, f *flow, name, status string, processed, failed float64) {
	t.Helper()
	got := f.results[name]
	if got == nil || got.Status != status || got.member("Status") != "D" || got.member("RowsProcessed") != processed || got.member("RowsFailed") != failed {
		t.Errorf("%s: %+v, want %s with %v rows and %v that failed", name, got, status, processed, failed)
	}
}

// Each recipe of the page does what it says, with a program that is killed in the middle of its run.
func TestFlows(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/flows.md")
	s := startForFlows(t, page)
	all := recipes(t, page)
	type check struct {
		// trigger is the body of the flow's trigger, unkilled that the program stays.
		trigger  any
		unkilled bool
		holds    func(*testing.T, *flow)
	}
	checks := map[string]check{
		"Run and wait": {holds: func(t *testing.T, f *flow) {
			ended(t, f, "Refresh_members", "Succeeded", 19, 1)
			for _, poll := range f.asked[1:] {
				if poll.Method != "GET" || poll.Header.Get("Authorization") == "" || poll.Header.Get("Idempotency-Key") != "" {
					t.Errorf("a poll is %s with %v", poll.Method, poll.Header)
				}
			}
			if f.results["Refresh_members"].member("CorrelationId") != f.name {
				t.Errorf("the run does not name the flow's: %v", f.results["Refresh_members"].Body)
			}
		}},
		"Run and go on": {holds: func(t *testing.T, f *flow) {
			if start := f.results["Start"]; start.Code != 200 || start.member("Status") != "Q" {
				t.Errorf("Start: %+v", start)
			}
			ended(t, f, "Result", "Succeeded", 20, 0)
		}},
		"A failed run": {holds: func(t *testing.T, f *flow) {
			ended(t, f, "Refresh_members", "Failed", 0, 2)
			if got := f.results["Refresh_members"]; got.Code != 422 || f.terminated == "" || f.terminated != got.member("Message") {
				t.Errorf("%+v, and the flow says %q", got, f.terminated)
			}
		}},
		"Failed rows into a mail": {holds: func(t *testing.T, f *flow) {
			ended(t, f, "Refresh_members", "Succeeded", 19, 1)
			if got := f.results["Failed_rows"]; got == nil || !strings.Contains(fmt.Sprint(got.Body), "\n8,Name 8,CA,31.02.2026,8,joined,") {
				t.Errorf("the rows are %+v", got)
			}
			if _, err := f.expression("base64(body('Failed_rows'))"); err != nil {
				t.Error(err)
			}
		}},
		"One task after the other": {holds: func(t *testing.T, f *flow) {
			ended(t, f, "Refresh_members", "Succeeded", 19, 1)
			ended(t, f, "Refresh_others", "Succeeded", 20, 0)
		}},
		"Authentication": {holds: func(t *testing.T, f *flow) { ended(t, f, "Refresh_members", "Succeeded", 19, 1) }},
		"A value that may be missing": {unkilled: true, trigger: map[string]any{"State": nil}, holds: func(t *testing.T, f *flow) {
			if got := f.results["Refresh_members"]; got.Status != "Failed" || got.Code != 400 || len(f.asked) != 1 {
				t.Errorf("null: %+v", got)
			}
		}},
		"At a time": {unkilled: true, holds: func(t *testing.T, f *flow) {
			got := f.results["Refresh_tonight"]
			at, err := time.Parse(time.RFC3339, fmt.Sprint(got.member("RunAt")))
			if in := time.Until(at); got.Code != 200 || err != nil || in < 5*time.Hour || in > 6*time.Hour {
				t.Errorf("%+v (%v)", got, err)
			}
		}},
	}
	for title := range all {
		if _, held := checks[title]; !held {
			t.Errorf("no test knows what %q is to do", title)
		}
	}
	for title, check := range checks {
		t.Run(title, func(t *testing.T) {
			if all[title] == nil {
				t.Fatal("the page has no such recipe")
			}
			f := s.flow(flowRun + "-" + strings.ReplaceAll(title, " ", "-"))
			if f.trigger = check.trigger; !check.unkilled {
				s.killInTheMiddle(f)
			}
			if err := f.run(all[title]); err != nil {
				t.Fatal(err)
			}
			check.holds(t, f)
			again := slices.ContainsFunc(slices.Collect(maps.Values(f.results)), func(r *result) bool {
				count, _ := r.member("ExecutionCount").(float64)
				return count > 1
			})
			if !check.unkilled && again != s.midway {
				t.Errorf("the run was killed in the middle: %v, and continued: %v", s.midway, again)
			}
		})
	}
}

// A repeated POST starts nothing, if it has the key of the page; without it there would be a second run.
func TestFlowsStartNothingTwice(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/flows.md")
	s := startForFlows(t, page)
	for title, twice := range map[string]bool{"Run and wait": false, "A value that may be missing": true} {
		f, first := s.flow(flowRun), document{}
		f.trigger = map[string]any{"State": "CA"}
		f.answered = func(_ *http.Request, _ *http.Response, body []byte) error {
			f.answered = nil
			if err := json.Unmarshal(body, &first); err != nil {
				t.Error(err)
			}
			return errors.New("the answer was lost on its way")
		}
		if err := f.run(recipes(t, page)[title]); err != nil {
			t.Fatal(err)
		}
		ended(t, f, "Refresh_members", "Succeeded", 19, 1)
		if again := f.results["Refresh_members"].member("ImportId") != float64(first.ImportId); again != twice {
			t.Errorf("%s: a second run %v, want %v", title, again, twice)
		}
	}
}

// The second task of the page starts by the then of the first, without a flow.
func TestThenInsteadOfAFlow(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/flows.md")
	then := regexp.MustCompile("```yaml\n(then: .*?)\n```").FindStringSubmatch(page)
	if then == nil {
		t.Fatal("the page has no then")
	}
	s := startForFlows(t, page)
	tasks := filepath.Join(s.dir, "tasks")
	first := read(t, filepath.Join(tasks, "members.yaml"))
	for _, file := range []struct{ name, text string }{
		{"publish.yaml", strings.NewReplacer(flowTask, flowTask[:len(flowTask)-1]+"9", "Refresh members", "Publish members", ", prompt: required", "", "auth: [{key: flow}]", "", "table: members", "table: published").Replace(first)},
		{"members.yaml", first + then[1] + "\n"},
	} {
		if err := os.WriteFile(filepath.Join(tasks, file.name), []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.program.Log.Await(t, `(?s)("task applied from the folder".*){3}`, s.program.Ended()) // the first, as it was and as it is
	f := s.flow(flowRun)
	if err := f.run(recipes(t, page)["Run and wait"]); err != nil {
		t.Fatal(err)
	}
	ended(t, f, "Refresh_members", "Succeeded", 19, 1)
	s.program.Log.Await(t, `"task":"Publish members".*"run ended"`, s.program.Ended())
}

var whenever = regexp.MustCompile(`("(?:CreatedOn|StartedOn|UpdatedOn|CompletedOn)": )"[^"]+"|("DurationMs": )\d+`)

// The sample of the page is a final document as the program makes it, and each member is explained once.
func TestFlowsSampleIsTheFinalDocument(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/flows.md")
	s := startForFlows(t, page)
	f := s.flow(flowRun)
	var raw []byte
	f.answered = func(_ *http.Request, _ *http.Response, body []byte) error { raw = body; return nil }
	if err := f.run(recipes(t, page)["Run and wait"]); err != nil {
		t.Fatal(err)
	}
	var made bytes.Buffer
	if err := json.Indent(&made, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(page, "\n## The final document\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindStringSubmatch(section)[1]
	if whenever.ReplaceAllString(shown, "$1$2-") != whenever.ReplaceAllString(made.String(), "$1$2-") {
		t.Errorf("the page has another sample than the program makes:\n%s", made.String())
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	explained := make(map[string]int)
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(row[1], -1) {
			explained[name[1]]++
		}
	}
	for name := range members {
		if explained[name] != 1 {
			t.Errorf("%s is explained %d times", name, explained[name])
		}
	}
	// The expressions that people need give something.
	for _, row := range regexp.MustCompile("(?m)^\\| [^|]+ \\| `([a-z]+\\(.*)` \\|$").FindAllStringSubmatch(section, -1) {
		if got, err := f.expression(row[1]); err != nil || got == nil {
			t.Errorf("%s gives %v (%v)", row[1], got, err)
		}
	}
}

// Each wrong way of the table gets the answer that stands there.
func TestFlowsWrongWays(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/flows.md")
	s := startForFlows(t, page)
	_, table, _ := strings.Cut(page, "\n## If you see this\n")
	ask := func(method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequest(method, flowHost+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		answer, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(data)
	}
	const polling = "/task/executepolling/" + flowTask
	key := []string{"X-Api-Key", flowKey}
	for _, wrong := range []struct {
		method, path, body string
		header             []string
		code               int
		says               string
	}{
		{"POST", polling, `{"body":{"QueryParameters":{"State":"CA"}}}`, key, 400, "A parameter is in the wrong place"},
		{"POST", polling, `{"QueryParameters":{"State":null}}`, key, 400, "State is required and has no value."},
		{"POST", polling, `{"QueryParameters":{"State":"CA"}}`, []string{"X-Api-Key", strings.Repeat("0", 32)}, 401, "This task takes requests from known callers only."},
		{"GET", polling + "/1/status", "", nil, 403, "The run's status is shown only at its signed URL."},
		{"POST", polling, `{"QueryParameters":{"State":"CA"}}`, append([]string{"Idempotency-Key", "loop"}, key...), 202, ""},
		{"POST", polling, `{"QueryParameters":{"State":"TX"}}`, append([]string{"Idempotency-Key", "loop"}, key...), 422, "This Idempotency-Key was used before with other parameters"},
		{"POST", "/task/execute/" + flowTask, `{"callbackUrl":"https://example.org/callback","QueryParameters":{"State":"CA"}}`, key, 200, ""},
	} {
		answer, text := ask(wrong.method, wrong.path, wrong.body, wrong.header...)
		if answer.StatusCode != wrong.code || !strings.Contains(text, wrong.says) {
			t.Errorf("%s %s: %s %s, want %d %s", wrong.method, wrong.body, answer.Status, text, wrong.code, wrong.says)
		}
		if wrong.says != "" && !strings.Contains(table, fmt.Sprintf("%d `%s", wrong.code, wrong.says)) {
			t.Errorf("the table lacks %d `%s", wrong.code, wrong.says)
		}
	}
	answer, _ := ask("POST", polling, `{"QueryParameters":{"State":"CA"}}`, append([]string{"Prefer", "wait=120"}, key...)...)
	if applied := answer.Header.Get("Preference-Applied"); applied != "wait=100" || !strings.Contains(table, "`Preference-Applied: "+applied+"`") {
		t.Errorf("Prefer: wait=120 is answered with %q", applied)
	}
	// The action refuses an address of its own machine, and a server under one gives such a Location.
	f := s.flow(flowRun)
	got := f.ask(action{}, "POST", "http://localhost:8080"+polling, http.Header{}, nil, "", func(time.Duration) bool { return true })
	if says := fmt.Sprint(got.Body); !strings.Contains(says, "must be a well formed absolute URI not referencing local host") || len(f.asked) > 0 {
		t.Errorf("an address of this machine: %+v", got)
	}
}
