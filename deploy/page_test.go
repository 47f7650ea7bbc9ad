package deploy_test

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runhook/shared/proctest"
)

// What the page of a task gives to paste works as it is, in each language that is to be had; of the others, the text is
// held to the same addresses and steps.
func TestSnippetsOfThePage(t *testing.T) {
	s := start(t)
	const id = "7d3ad2a1-6f7b-4a5e-8a3c-0f6f6a4b7c11"
	file := "id: " + id + "\nname: It's \"odd\" <b>\nparameters: [{name: ID, prompt: required}, {name: it's, prompt: required}, {name: City, prompt: required, default: Rome}]\n" +
		"source: {csv: {connection: drop, path: people.csv}}\nwhere: params[\"it's\"] == \"VALUE\" && params.ID == \"VALUE\"\nmapping: {id: id}\n" +
		"destination: {csv: {connection: drop, path: out.csv, action: replace}}\nretry_after: 1\n"
	if err := os.WriteFile(filepath.Join(s.dir, "tasks", "odd.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	snippets := snippetsOf(t, s, id)
	for name, command := range map[string]func(path string) *exec.Cmd{
		"js": func(path string) *exec.Cmd { return exec.Command(need(t, "node"), path) },
		"py": func(path string) *exec.Cmd { return exec.Command(need(t, "python3"), path) },
	} {
		path := filepath.Join(t.TempDir(), "snippet."+strings.Replace(name, "js", "mjs", 1))
		if err := os.WriteFile(path, []byte(snippets[name]), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := command(path).CombinedOutput()
		if err != nil || !regexp.MustCompile(`(?s)StatusDescription.*Success.*RowsProcessed'?: 3`).Match(out) {
			t.Errorf("%s: %v\n%s\n%s", name, err, snippets[name], out)
		}
	}
	out, err := exec.Command("bash", "-c", snippets["curl"]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 202 ") || !strings.Contains(string(out), "Location: "+s.url+"/task/executepolling/"+id) {
		t.Errorf("curl: %v\n%s\n%s", err, snippets["curl"], out)
	}
	body := snippets["pa"]
	var sent struct{ QueryParameters map[string]string }
	if err := json.Unmarshal([]byte(body), &sent); err != nil || len(sent.QueryParameters) != 2 || sent.QueryParameters["it's"] != "VALUE" {
		t.Errorf("%v %s", err, body)
	}
	for name, wants := range map[string][]string{
		"ps": {"$body = '" + body + "'", "-Method Post", "-Uri '" + s.url + "/task/executepolling/" + id + "'", "['Retry-After']", "['Location']", "-eq 202"},
		"cs": {`"""` + body + `"""`, `PostAsync("` + s.url + "/task/executepolling/" + id + `"`, "Headers.Location", "RetryAfter?.Delta", "HttpStatusCode.Accepted"},
	} {
		for _, want := range wants {
			if !strings.Contains(snippets[name], want) {
				t.Errorf("%s lacks %s:\n%s", name, want, snippets[name])
			}
		}
	}
}

// What the forms of the page do, with a program that executes runs.
func TestFormsOfThePage(t *testing.T) {
	s := start(t)
	o := signIn(t, s)
	page := o.await("/console/tasks/" + sampleTask)
	hidden := func(page, name string) string {
		t.Helper()
		found := regexp.MustCompile(`name="` + name + `" value="([^"]+)"`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no form has %s: %s", name, page)
		}
		return found[1]
	}
	form := url.Values{"form_token": {hidden(page, "form_token")}, "once": {hidden(page, "once")}, "p.ID": {"CA"}}
	for range 2 { // as somebody who presses twice
		if at, page := o.post("/console/tasks/"+sampleTask+"/run", form); at != "/console/runs/1" {
			t.Fatalf("it leads to %s: %s", at, page)
		}
	}
	ended := func(path, want string) string {
		t.Helper()
		page := ""
		proctest.Eventually(t, path+" has "+want, func() bool {
			page = o.await(path)
			return strings.Contains(page, want)
		})
		return page
	}
	page = ended("/console/runs/1", "2 rows processed")
	if at, page := o.post("/console/runs/1/again", url.Values{"form_token": {hidden(page, "form_token")}, "once": {hidden(page, "once")}}); at != "/console/runs/2" {
		t.Errorf("again leads to %s: %s", at, page)
	}
	if page := ended("/console/runs/2", "2 rows processed"); !strings.Contains(page, "Repeat of") || !strings.Contains(page, "<bdi>admin</bdi>") {
		t.Errorf("%s", page)
	}
	if at, page := o.post("/console/tasks/"+sampleTask+"/disable", url.Values{"form_token": form["form_token"]}); at != "/console/tasks/"+sampleTask || !strings.Contains(page, "Disabled") {
		t.Errorf("%s: %s", at, page)
	}
	if file := read(t, filepath.Join(s.dir, "tasks", "people.yaml")); !strings.Contains(file, "enabled: false") {
		t.Errorf("the file is\n%s", file)
	}
	if at, page := o.post("/console/tasks/"+sampleTask+"/run", form); !strings.HasSuffix(at, "/run") || !strings.Contains(page, "The task is disabled") {
		t.Errorf("%s: %s", at, page)
	}
}

// A task that is held says so, and why, and the page lets it go on.
func TestHeldOnThePage(t *testing.T) {
	s := start(t)
	const id = "7d3ad2a1-6f7b-4a5e-8a3c-0f6f6a4b7c12"
	file := "id: " + id + "\nname: Fails\nsource: {csv: {connection: drop, path: none.csv}}\nmapping: {id: id}\n" +
		"destination: {csv: {connection: drop, path: out.csv, action: replace}}\ndisable_after_failures: 1\n"
	if err := os.WriteFile(filepath.Join(s.dir, "tasks", "fails.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	o := signIn(t, s)
	o.await("/console/tasks/" + id)
	answer, err := http.Post(s.url+"/task/execute/"+id, "", nil)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
	page := ""
	proctest.Eventually(t, "the task is held", func() bool {
		page = o.await("/console/tasks/" + id)
		return strings.Contains(page, "This task is held")
	})
	if !strings.Contains(page, "none.csv") || !strings.Contains(page, "Let it go on") || strings.Contains(page, `id="run-now"`) {
		t.Errorf("%s", page)
	}
	if list := o.await("/console/?state=held"); !strings.Contains(list, `<b class="s held">Held</b>`) || strings.Contains(list, "People") {
		t.Errorf("%s", list)
	}
	token := regexp.MustCompile(`name="form_token" value="([^"]+)"`).FindStringSubmatch(page)[1]
	if at, page := o.post("/console/tasks/"+id+"/enable", url.Values{"form_token": {token}}); at != "/console/tasks/"+id || strings.Contains(page, "This task is held") {
		t.Errorf("%s: %s", at, page)
	}
}

// operator is somebody with a browser without a script, who is signed in.
type operator struct {
	t      *testing.T
	url    string
	client *http.Client
}

func signIn(t *testing.T, s site) operator {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := operator{t, s.url, &http.Client{Jar: jar}}
	t.Cleanup(o.client.CloseIdleConnections)
	token := strings.TrimSpace(read(t, filepath.Join(s.dir, "data", "admin.token")))
	if _, secret, named := strings.Cut(token, ": "); named {
		token = secret
	}
	if at, page := o.post("/console/signin", url.Values{"code": {token}}); at != "/console/" {
		t.Fatalf("%s: %s", at, page)
	}
	return o
}

// post sends a form, and returns where that leads, and the page there.
func (o operator) post(path string, form url.Values) (at, page string) {
	o.t.Helper()
	request, err := http.NewRequest("POST", o.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		o.t.Fatal(err)
	}
	request.Header.Set("Origin", o.url)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := o.client.Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return answer.Request.URL.Path, string(data)
}

// await gets a page, once it is there.
func (o operator) await(path string) (page string) {
	o.t.Helper()
	proctest.Eventually(o.t, path+" is there", func() bool {
		answer, err := o.client.Get(o.url + path)
		if err != nil {
			o.t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		if err != nil {
			o.t.Fatal(err)
		}
		page = string(data)
		return answer.StatusCode == 200
	})
	return page
}

// snippetsOf reads the texts of a task's page.
func snippetsOf(t *testing.T, s site, id string) map[string]string {
	t.Helper()
	page := signIn(t, s).await("/console/tasks/" + id)
	snippets := map[string]string{}
	for _, found := range regexp.MustCompile(`(?s)<pre id="s-(\w+)"[^>]*>(.*?)</pre>`).FindAllStringSubmatch(page, -1) {
		snippets[found[1]] = html.UnescapeString(found[2])
	}
	if len(snippets) != 6 {
		t.Fatalf("%d snippets: %s", len(snippets), page)
	}
	return snippets
}
