package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// marked is a text that is planted in one place, and may come out at some.
type marked struct{ what, text, at string }

// What is secret, and what stands in cells and parameters, comes out where it belongs and nowhere else: one story is
// told to a program that logs all it can, and all that comes out of it is searched.
func TestSecretsAndValuesStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	const password, callersKey = "Pa55word-of-a-connection-7f3a", "a-key-of-the-partner-7f3a91c2"
	const cell, words, value = "CellValue7f3a", "DriversWords7f3a", "ParameterValue7f3a"
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(site.Close)
	s := newSite(t)
	s.writeFor(0o600, "connections.yaml", siteConnections+"partner: {http: {url: "+site.URL+", private: true, headers: {Authorization: Bearer "+password+"}}}\n")
	s.writeFor(0o600, "secrets.yaml", "partner: "+callersKey+"\n")
	s.write("people.csv", "id,name,city\n1,"+cell+",Oslo\n,"+cell+",Oslo\n3,Cy "+cell+",Oslo\n4,\"x\"y,"+cell+"\n5,"+cell+",Rome\n")
	s.execute("create table people (id text primary key, name text)")
	s.execute("create trigger picky before insert on people when new.name like 'Cy%' begin select raise(abort, '" + words + "'); end")
	paged, guarded := task.NewID(), task.NewID()
	s.write("tasks/paged.yaml", fmt.Sprintf("id: %s\nname: Paged\nsource: {http: {connection: partner, path: /people}}\nmapping: {id: id}\ndestination: {csv: {connection: here, path: out.csv, action: replace}}\nretry: {attempts: 1}\n", paged))
	s.write("tasks/guarded.yaml", strings.NewReplacer(string(s.copy), string(guarded), "Copy people", "Guarded", "name: name", "name: string(date(params.City))", `where: params.City == "" || city == params.City`, "").Replace(read(t, s.path("tasks/copy.yaml")))+"auth: [{key: partner}]\n")
	s.write("tasks/copy.yaml", read(t, s.path("tasks/copy.yaml"))+"rejected_rows: {link: true}\n")

	i := begin(t, s.args("--secrets", s.path("secrets.yaml"), "--log-level", "debug", "--run-links", "signed")...).listening()
	var seen strings.Builder
	note := func(what, text string) string {
		fmt.Fprintf(&seen, "=== %s\n%s\n", what, text)
		return text
	}
	send := func(method, url, body string, headers ...string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(headers); at += 2 {
			request.Header.Set(headers[at], headers[at+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, fmt.Sprint(response.Status, response.Header, "\n", string(text))
	}
	post := func(id task.ID, body string, headers ...string) string {
		t.Helper()
		_, text := send("POST", i.url+"/task/executepolling/"+string(id), body, append(headers, "Prefer", "wait=60")...)
		return note("POST to "+string(id), text)
	}
	withValue := `{"QueryParameters":{"City":"` + value + `"}}`
	answers := post(s.copy, `{"QueryParameters":{"City":"Oslo"}}`) + post(s.copy, withValue) + post(s.copy, `{"QueryParameters":{"Cty":"`+value+`"}}`) +
		post(paged, "") + post(guarded, withValue) + post(guarded, withValue, "X-Api-Key", callersKey+"?") + post(guarded, withValue, "X-Api-Key", callersKey)
	for _, want := range []string{`"RowsFailed":3`, `"RowsSkipped":4`, "wrong-parameters", "403", "unknown-caller", "No row can pass"} {
		if !strings.Contains(answers, want) {
			t.Errorf("the story lacks %s:\n%s", want, answers)
		}
	}
	rejected := regexp.MustCompile(`"RejectedUrl":"([^"]+\?sig=[^"]+)"`).FindStringSubmatch(answers)
	if rejected == nil {
		t.Fatalf("no link to the rows:\n%s", answers)
	}
	if code, rows := send("GET", rejected[1], ""); code != 200 || !strings.Contains(rows, cell) || !strings.Contains(rows, words) {
		t.Errorf("the failed rows are %d %s", code, rows) // and are not searched
	}
	for _, url := range []string{strings.Replace(rejected[1], "?sig=", "?sig=A", 1), i.url + run.StatusPath(s.copy, 1), i.url + "/metrics", i.url + "/readyz", i.url + "/openapi.json", i.url + "/api/tasks?token=" + i.token()} {
		_, text := send("GET", url, "", "Authorization", "Bearer "+i.token()+"x")
		note("GET without a right", text)
	}
	for _, path := range []string{"/metrics", "/api/tasks", "/api/tasks/" + string(guarded), "/api/runs", "/api/runs/1", run.StatusPath(s.copy, 1)} {
		_, text := send("GET", i.url+path, "", "Authorization", "Bearer "+i.token())
		note("GET "+path, text)
	}
	metrics := note("metrics", mustGet(t, i))
	note("runs show", mustCall(t, "runs", "show", "1", "--server", i.url)+mustCall(t, "runs", "list", "--server", i.url)+mustCall(t, "task", "list", "--server", i.url))
	for _, name := range []string{"EVENTS", "KV_progress", "KV_runs_0"} {
		stream, err := bustest.JetStream(t, i.nats).Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for left := stream.CachedInfo().State.Msgs; left > 0; left-- {
			message, err := messages.Next()
			if err != nil {
				t.Fatal(err)
			}
			note("a message of "+name, fmt.Sprint(message.Subject(), message.Headers(), string(message.Data())))
		}
	}
	if _, err := bustest.JetStream(t, i.nats).Publish(t.Context(), "run.request."+string(s.copy), []byte("no request")); err != nil {
		t.Fatal(err)
	}
	eventually(t, i, "the foreign message is named, by the task's name", func() bool {
		return strings.Contains(i.log.String(), `"subject":"run.request.Copy people"`)
	})
	mustCall(t, "backup", s.path("store.backup"), "--nats", i.nats)
	token := i.token()
	i.end()

	key := strings.TrimSpace(string(read(t, s.path("data/run.key"))))
	sig := rejected[1][strings.Index(rejected[1], "?sig=")+5:]
	note("the program's own words", i.out.String())
	log := note("log", i.log.String())
	everywhere := []marked{
		{"the password of a connection", password, ""},
		{"a caller's key", callersKey, ""},
		{"the admin token", token, ""},
		{"the run key", key, ""},
		{"a cell", cell, ""},
		{"a driver's words", words, ""},
		{"a parameter's value", value, ""},
	}
	for _, m := range everywhere {
		for _, text := range []string{m.text, base64.StdEncoding.EncodeToString([]byte(m.text))} {
			if at := strings.Index(seen.String(), text); at >= 0 {
				t.Errorf("%s came out: …%s…", m.what, around(seen.String(), at))
			}
		}
	}
	if strings.Contains(log, sig) {
		t.Errorf("a signature is in the log: …%s…", around(log, strings.Index(log, sig)))
	}
	for _, id := range []task.ID{s.copy, paged, guarded} {
		if strings.Contains(metrics, string(id)) {
			t.Errorf("a metric has the GUID %s", id)
		}
		for line := range strings.Lines(log) {
			if strings.Contains(line, string(id)) && !strings.Contains(line, `"level":"debug"`) {
				t.Errorf("above debug the log has the GUID %s: %s", id, line)
			}
		}
	}
	// On disk the secrets are in their files only: nothing of them went to NATS, or into a backup.
	for _, dir := range []string{"data/nats", "store.backup"} {
		err := filepath.WalkDir(s.path(dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, m := range everywhere[:4] {
				if strings.Contains(string(data), m.text) {
					t.Errorf("%s is in %s", m.what, path)
				}
			}
			for _, m := range everywhere[4:6] {
				if strings.Contains(string(data), m.text) {
					t.Errorf("%s stands in plain in %s", m.what, path)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// mustGet is what an administrator gets as the program's metrics.
func mustGet(t *testing.T, i *instance) string {
	t.Helper()
	got, err := i.request(http.MethodGet, i.url+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return string(got.body)
}

// around is the text beside a place.
func around(text string, at int) string {
	return text[max(0, at-200):min(len(text), at+100)]
}
