package deploy_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// The services of their own, on one NATS server, behind nginx with the configuration as shipped.
func TestSplitServicesBehindNginx(t *testing.T) {
	nginx, program := need(t, "nginx"), proctest.Program(t)
	nats := bustest.Empty(t, false).Broker
	dir := taskFiles(t)
	key := filepath.Join(dir, "run.key")
	if err := os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, program, "init", "--nats", nats.URL()).Await(`(?i)ready|made|done`)

	front, buffering, ingress, status := proctest.FreeAddress(t), proctest.FreeAddress(t), proctest.FreeAddress(t), proctest.FreeAddress(t)
	launch(t, program, "ingress", "--nats", nats.URL(), "--listen", ingress, "--trusted-proxies", "127.0.0.1/32", "--run-key-file", key).Await("listens on")
	launch(t, program, "status", "--nats", nats.URL(), "--listen", status, "--trusted-proxies", "127.0.0.1/32", "--run-key-file", key,
		"--admin-token-file", tokenFile(t, dir)).Await("listens on")
	runs := func() *proctest.Process {
		t.Helper()
		runner := launch(t, program, "runner", "--nats", nats.URL(), "--listen", "127.0.0.1:0", "--connections", filepath.Join(dir, "connections.yaml"))
		runner.Await("executes runs")
		return runner
	}
	runner := runs()
	launch(t, program, "task", "apply", filepath.Join(dir, "tasks"), "--server", "http://"+status, "--token-file", tokenFile(t, dir)).Await("People")

	conf := strings.NewReplacer("server_name hooks.example.org", "server_name 127.0.0.1", "127.0.0.1:8080", front, "127.0.0.1:8081", ingress, "127.0.0.1:8082", status, "# location /console/", "location /console/").
		Replace(read(t, "nginx/runhook.conf"))
	_, servers, _ := strings.Cut(conf, "server {")
	conf += "server {" + strings.NewReplacer(front, buffering, "proxy_buffering off", "proxy_buffering on").Replace(servers)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // its workers write into the test's own folder
	}
	whole := user + "daemon off;\npid " + dir + "/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" +
		"client_body_temp_path " + dir + "/body;\nproxy_temp_path " + dir + "/proxy;\nfastcgi_temp_path " + dir + "/f;\n" +
		"uwsgi_temp_path " + dir + "/u;\nscgi_temp_path " + dir + "/s;\n" + conf + "}\n"
	confFile := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(confFile, []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
	launch(t, nginx, "-p", dir, "-c", confFile)
	eventuallyListens(t, front)

	ask := func(method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		url := path
		if strings.HasPrefix(path, "/") {
			url = "http://" + front + path
		}
		request, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			if request.Header.Set(header[i], header[i+1]); header[i] == "Host" {
				request.Host = header[i+1]
			}
		}
		answer, err := http.DefaultClient.Do(request)
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

	// A task becomes known to a split service within a second of its being applied.
	var started *http.Response
	proctest.Eventually(t, "the ingress knows the task", func() bool {
		started, _ = ask("POST", "/task/executepolling/"+sampleTask, `{"QueryParameters":{"ID":"CA"}}`)
		return started.StatusCode != 404
	})
	location := started.Header.Get("Location")
	if started.StatusCode != 202 || !strings.HasPrefix(location, "http://"+front+"/task/executepolling/") {
		t.Fatalf("POST through the proxy: %s, Location %q", started.Status, location)
	}
	ended, text := ask("GET", location, "", "Prefer", "wait=30")
	var doc document
	if err := json.Unmarshal([]byte(text), &doc); err != nil || ended.StatusCode != 200 || doc.RowsProcessed != 2 || doc.PollingUrl != location {
		t.Errorf("poll through the proxy: %s %s", ended.Status, text)
	}
	// Nobody else's host, and no path that nginx and a service may read in another way.
	if answer, text := ask("POST", "/task/execute/"+sampleTask, "", "Host", "evil.example.org"); answer.StatusCode != 421 {
		t.Errorf("under another host: %s %s", answer.Status, text)
	}
	for _, line := range []string{
		"GET /task/executepolling/a/b/..%2f..%2f..%2f..%2f..%2fapi/tasks", "GET /task/execute/..%2f..%2fapi/tasks", "GET /task/executepolling/a/b/../../../../api/tasks",
		"GET /task/executepolling/a/b/%2e%2e/%2e%2e/%2e%2e/%2E%2e/api/tasks", `GET /task/executepolling/a/b/..\..\api`, "GET /task/executepolling/a/b/..", "GET /task/executepolling/a/b/..?x",
		"GET http://127.0.0.1/api/tasks",
	} {
		if status := rawStatus(t, front, line); status != 400 {
			t.Errorf("%s: %d", line, status)
		}
		if strings.HasPrefix(line, "GET /") {
			if status := rawStatus(t, strings.TrimPrefix(status, "http://"), line); status != 400 {
				t.Errorf("the service itself, %s: %d", line, status)
			}
		}
	}
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/task/execute/" + sampleTask, "", 200},
		{"OPTIONS", "/task/executepolling/" + sampleTask, "", 204},
		{"OPTIONS", strings.TrimPrefix(location, "http://"+front), "", 204},
		{"GET", "/task/executepolling/" + sampleTask, "", 405},
		{"GET", "/openapi.json", "", 200},
		{"GET", "/openapi-2.json", "", 200},
		{"GET", "/status-document.schema.json", "", 200},
		{"GET", "/api/tasks", "", 404}, // stays inside
		{"GET", "/metrics", "", 404},
		{"POST", "/task/execute/" + sampleTask, strings.Repeat(" ", 300<<10), 413},
	} {
		answer, text := ask(test.method, test.path, test.body)
		if answer.StatusCode != test.want {
			t.Errorf("%s %s: %s, want %d\n%s", test.method, test.path, answer.Status, test.want, text)
		}
		if test.want == 413 && answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("the 413 is the proxy's, not ours: %s", text)
		}
	}

	// A stream of events comes as it is sent, with clients in two languages, whether the proxy buffers or not.
	runner.Signal(syscall.SIGINT)
	runner.Wait()
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/follow")
	if err != nil {
		t.Fatal(err)
	}
	started, _ = ask("POST", "/task/executepolling/"+sampleTask, `{"QueryParameters":{"ID":"CA"}}`)
	location = started.Header.Get("Location")
	var followers []*proctest.Process
	for _, by := range []string{front, buffering} {
		at := strings.Replace(location, front, by, 1)
		followers = append(followers, launch(t, example, at), launch(t, need(t, "node"), "examples/follow.mjs", at))
	}
	for _, follower := range followers {
		follower.Await(`Queued, 0 %: `)
	}
	runs()
	for _, follower := range followers {
		follower.Await(`Success, 100 %: 2 rows processed`)
	}

	// The operators' page, where it is shown to the outside.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.Jar = jar
	defer func() { http.DefaultClient.Jar = nil }()
	const form = "application/x-www-form-urlencoded"
	token := "code=" + strings.TrimSpace(read(t, filepath.Join(dir, "admin.token")))
	if answer, text := ask("POST", "/console/signin", token, "Content-Type", form, "Origin", "http://evil.example.org"); answer.StatusCode != 403 {
		t.Errorf("another site signs in: %s %s", answer.Status, text)
	}
	answer, text := ask("POST", "/console/signin", token, "Content-Type", form, "Origin", "http://"+front)
	if answer.StatusCode != 200 || answer.Request.URL.String() != "http://"+front+"/console/" || !strings.Contains(text, "Signed in as") {
		t.Errorf("signing in through the proxy: %s at %s %s", answer.Status, answer.Request.URL, text)
	}
	_, formToken, _ := strings.Cut(text, `name="form_token" value="`)
	formToken, _, _ = strings.Cut(formToken, `"`)
	if answer, text := ask("POST", "/console/signout", "form_token="+formToken, "Content-Type", form, "Origin", "http://"+front); answer.StatusCode != 401 || !strings.Contains(text, "<h1>Sign in</h1>") {
		t.Errorf("signing out through the proxy: %s %s", answer.Status, text)
	}
}

// rawStatus sends a request line as it stands, and returns the status of the answer.
func rawStatus(t *testing.T, address, line string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

func tokenFile(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "admin.token")
	if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
