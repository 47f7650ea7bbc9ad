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

// snippetsOf reads the texts of a task's page as an operator.
func snippetsOf(t *testing.T, s site, id string) map[string]string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	token := read(t, filepath.Join(s.dir, "data", "admin.token"))
	_, secret, _ := strings.Cut(strings.TrimSpace(token), ": ")
	if secret == "" {
		secret = strings.TrimSpace(token)
	}
	request, err := http.NewRequest("POST", s.url+"/console/signin", strings.NewReader(url.Values{"code": {secret}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", s.url)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	page := ""
	proctest.Eventually(t, "the page has the task", func() bool {
		answer, err := client.Get(s.url + "/console/tasks/" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		page = string(data)
		return answer.StatusCode == 200
	})
	snippets := map[string]string{}
	for _, found := range regexp.MustCompile(`(?s)<pre id="s-(\w+)"[^>]*>(.*?)</pre>`).FindAllStringSubmatch(page, -1) {
		snippets[found[1]] = html.UnescapeString(found[2])
	}
	if len(snippets) != 6 {
		t.Fatalf("%d snippets: %s", len(snippets), page)
	}
	return snippets
}
