package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/cmd/runhook/demo"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

func TestServeOnAnEmptyDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	flags := []string{"serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}
	i := begin(t, flags...).listening()
	if !strings.Contains(i.out.String(), "There are no tasks yet") {
		t.Errorf("it does not say what to do first:\n%s", i.out)
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json"} {
		if status := get(t, i.url+path); status != http.StatusOK {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	if said := mustCall(t, "task", "list", "--server", i.url); !strings.Contains(said, "There are no tasks") {
		t.Errorf("task list: %s", said)
	}
	if status := get(t, i.url+"/api/tasks"); status != http.StatusUnauthorized {
		t.Errorf("without a token GET /api/tasks: %d", status)
	}
	key, token := read(t, "data/run.key"), read(t, "data/admin.token")
	for _, made := range []string{"data/run.key", "data/admin.token"} {
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is not its owner's alone: %v %v", made, info.Mode(), err)
		}
	}
	i.end()

	secrets := func(text string) {
		if err := os.WriteFile("secrets.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets("partner: a key of the partner")
	i = begin(t, append(flags, "--secrets", "secrets.yaml")...).listening()
	if read(t, "data/run.key") != key || read(t, "data/admin.token") != token {
		t.Error("the second start made another run key or token: signed addresses or clients stopped working")
	}
	// The program reads the tokens again when it is asked to, and goes on.
	lists := func(token string) bool {
		server, err := client.New(i.url, token, "")
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		_, err = server.Tasks(t.Context())
		return err == nil
	}
	const next = "the-next-token-of-ann"
	if err := os.WriteFile("data/admin.token", []byte("ann: "+next+"\n"+token), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets("partner: [a key of the partner, another key of the partner]")
	i.hangups <- syscall.SIGHUP
	i.log.Await(t, "admin tokens were read again", i.ended)
	i.log.Await(t, "the secrets were read again", i.ended)
	if !lists(next) || !lists(strings.TrimSpace(token)) {
		t.Error("both tokens of the file must do")
	}
	if err := os.WriteFile("tokens", []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("data/admin.token", 0o666); err != nil {
		t.Fatal(err)
	}
	i.hangups <- syscall.SIGHUP
	i.log.Await(t, "admin tokens were not read again", i.ended)
	if !lists(next) {
		t.Error("a file that is refused takes the tokens away")
	}

	// And so are the secrets of callers, who poll with what they POST with.
	if err := os.WriteFile("guarded.yaml", []byte(`{id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01, name: Guarded, source: {csv: {connection: c, path: p.csv}}, mapping: {id: id},
  destination: {csv: {connection: c, path: q.csv, action: replace}}, auth: [{key: partner}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "task", "apply", "guarded.yaml", "--server", i.url, "--token-file", "tokens")
	ask := func(method, url, key string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("flow", key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	for _, key := range []string{"a key of the partner", "another key of the partner"} {
		accepted := ask("POST", i.url+"/task/executepolling/0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01", key)
		location, _, _ := strings.Cut(accepted.Header.Get("Location"), "?")
		if polled := ask("GET", location, key); accepted.StatusCode != 202 || polled.StatusCode >= 300 {
			t.Errorf("%s: %s, %s of %s", key, accepted.Status, polled.Status, location)
		}
	}
	if refused := ask("POST", i.url+"/task/execute/0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01", "a key of nobody"); refused.StatusCode != 401 {
		t.Error(refused.Status)
	}
	i.end()
}

// A command takes the token that it is told of, and shows none of this machine to another.
func TestTokenOfACommand(t *testing.T) {
	t.Chdir(t.TempDir())
	s := &site{t: t, dir: "."}
	const usual, other, named = "the-token-of-the-usual-place", "the-token-of-another-place", "the-token-of-a-file-of-its-own"
	s.writeFor(0o600, "data/admin.token", usual)
	s.writeFor(0o600, "other/admin.token", "ann: "+other)
	s.writeFor(0o600, "file", "new: "+named+"\nold: "+usual)
	s.writeFor(0o644, "open/admin.token", usual)
	const here, far = "http://127.0.0.1:8080", "https://hooks.example.org"
	for _, c := range []struct {
		flags       ServerFlags
		environment string
		want, says  string
	}{
		{flags: ServerFlags{Server: here}, want: usual},
		{flags: ServerFlags{Server: "http://localhost:1"}, want: usual},
		{flags: ServerFlags{Server: "http://[::1]:1"}, want: usual},
		{flags: ServerFlags{Server: far}},
		{flags: ServerFlags{Server: "http://localhost.example.org"}},
		{flags: ServerFlags{Server: far, Data: "data"}, want: usual},
		{flags: ServerFlags{Server: here, Data: "other"}, want: other},
		{flags: ServerFlags{Server: far}, environment: "from-the-environment", want: "from-the-environment"},
		{flags: ServerFlags{Server: here, Data: "other"}, environment: "from-the-environment", want: "from-the-environment"},
		{flags: ServerFlags{Server: far, TokenFile: "file", Data: "other"}, environment: "from-the-environment", want: named},
		{flags: ServerFlags{Server: here, Data: "none"}, says: "--data: there is no file none/admin.token"},
		{flags: ServerFlags{Server: here, TokenFile: "none"}, says: "--token-file: there is no file none"},
		{flags: ServerFlags{Server: here, Data: "open"}, says: "--data: open/admin.token may be read by everybody"},
	} {
		t.Setenv("RUNHOOK_TOKEN", c.environment)
		got, err := c.flags.token()
		if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v with %q: %q, %v", c.flags, c.environment, got, err)
		}
	}
	s.dir = t.TempDir()
	t.Chdir(s.dir)
	t.Setenv("RUNHOOK_TOKEN", "")
	if got, err := (&ServerFlags{Server: here}).token(); got != "" || err != nil {
		t.Errorf("without a data directory: %q, %v", got, err)
	}
}

func get(t testing.TB, url string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDemo(t *testing.T) {
	t.Parallel()
	// Taken by this test or by another program: the demo has to find a free port either way.
	if taken, err := net.Listen("tcp", defaultNATS); err == nil {
		defer func() { _ = taken.Close() }()
	}
	s := &site{t: t, dir: t.TempDir()}
	flags := []string{"serve", "--demo", "--listen", "127.0.0.1:0", "--data", s.path("data")}
	i := begin(t, flags...).listening()
	i.out.Await(t, `sqlite3 \S+`, i.ended)
	if i.nats == "" || strings.HasSuffix(i.nats, ":4222") {
		t.Errorf("NATS is on %q", i.nats)
	}
	if !strings.Contains(i.out.String(), "205 rows read, 205 inserted") {
		t.Errorf("the first run is not shown as it is:\n%s", i.out)
	}
	s.dir = filepath.Join(s.dir, "data", "demo")
	states := func() string {
		db := s.openFile("demo.db")
		return names(t, db, "select state || ' ' || count(*) from airports group by state order by state")
	}
	if states() != "CA 205" {
		t.Errorf("rows: %s", states())
	}
	if said := mustCall(t, "run", "airports", "-p", "State=TX", "--wait", "--server", i.url); !strings.HasPrefix(said, "Success") || !strings.Contains(said, "209 inserted") {
		t.Errorf("run State=TX: %s", said)
	}
	if states() != "CA 205,TX 209" {
		t.Errorf("rows: %s", states())
	}
	place := names(t, s.openFile("demo.db"), "select place || ' ' || typeof(latitude) from airports where iata = 'LAX'")
	if place != "Los Angeles, CA real" {
		t.Errorf("the mapping made %q", place)
	}
	mustCall(t, "run", "northern", "--wait", "--server", i.url)
	if lines := strings.Count(read(t, s.path("files/northern.csv")), "\n"); lines != 160+1 {
		t.Errorf("northern.csv has %d lines", lines)
	}
	i.end()

	again := begin(t, flags...).listening()
	again.out.Await(t, `205 unchanged`, again.ended)
	list, err := again.client.Runs(t.Context(), client.Filter{Task: demo.Airports}, 0)
	if err != nil || len(list.Runs) != 3 {
		t.Errorf("runs after the restart: %d %v", len(list.Runs), err)
	}
	again.end()
}

func TestServeFollowsTheFolder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/broken.yaml", "id: 1\nnmae: Broken\n")
	i := begin(t, s.args()...).listening()
	// A broken file is logged, with its line, and does not keep the good one away.
	i.log.Await(t, `"file":"[^"]*broken.yaml","line":2`, i.ended)
	if doc := i.awaitEnd(i.start(s.copy, map[string][]string{"City": {"Oslo"}})); doc.Outcome() != run.Success || s.people() != "Ann,Cy" {
		t.Fatalf("%+v, %s", doc, s.people())
	}

	s.write("tasks/copy.yaml", strings.Replace(read(t, s.path("tasks/copy.yaml")), "name: name", "name: upper(name)", 1))
	eventually(t, i, "the change is in force", func() bool {
		return strings.Contains(mustCall(t, "task", "show", "people", "--server", i.url), "upper(name)")
	})
	// Whoever runs or looks at a task whose file has a mistake is told.
	whole := read(t, s.path("tasks/copy.yaml"))
	s.write("tasks/copy.yaml", whole+"nmae: x\n")
	eventually(t, i, "the mistake is told", func() bool {
		_, _, messages := ask(t, "task", "list", "--server", i.url)
		return strings.Contains(messages, "is as it was before, because its file has a mistake:\n"+s.path("tasks/copy.yaml")+":") && strings.Contains(messages, `unknown field "nmae"`) && !strings.Contains(messages, "broken.yaml")
	})
	for _, command := range []string{"run people", "task show people"} {
		if code, _, messages := ask(t, append(strings.Fields(command), "--server", i.url)...); code != 0 || !strings.Contains(messages, `unknown field "nmae"`) {
			t.Errorf("%s: exit code %d, %s", command, code, messages)
		}
	}
	s.write("tasks/copy.yaml", whole)
	eventually(t, i, "the mistake that was mended is told no more", func() bool {
		_, _, messages := ask(t, "task", "list", "--server", i.url)
		return !strings.Contains(messages, "nmae")
	})
	i.awaitEnd(i.start(s.copy, nil))
	if s.people() != "ANN,BEN,CY" {
		t.Errorf("the changed task was not used: %s", s.people())
	}
	i.end()

	// A file that was removed while nobody looked disables its task too.
	for _, file := range []string{"tasks/copy.yaml", "tasks/broken.yaml"} {
		if err := os.Remove(s.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	i = begin(t, s.args()...).listening()
	code, _, messages := ask(t, "run", string(s.copy), "--server", i.url)
	if code != exitNoStart || !strings.Contains(messages, "disabled") {
		t.Errorf("exit code %d: %s", code, messages)
	}
	if list, err := i.client.Runs(t.Context(), client.Filter{Task: s.copy}, 0); err != nil || len(list.Runs) != 3 {
		t.Errorf("old runs do not answer any more: %d %v", len(list.Runs), err)
	}
}

func TestTwoServeOnOneDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := begin(t, s.args()...).listening()
	code, out, messages := ask(t, s.args()...)
	if code != exitNoStart || out != "" || !oneLine(messages, "another `runhook serve` uses the data directory") {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}
	if status := get(t, first.url+"/readyz"); status != http.StatusOK {
		t.Errorf("the first instance was disturbed: %d", status)
	}
}

// oneLine reports whether messages is one line of this program that contains text.
func oneLine(messages, text string) bool {
	return strings.HasPrefix(messages, "runhook: ") && strings.Count(messages, "\n") == 1 && strings.Contains(messages, text)
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := newSite(t)
	s.write("file", "")
	s.writeFor(0o600, "short.token", "abc\n")
	s.writeFor(0o600, "short.yaml", "partner: abc\n")
	s.write("open.token", "0123456789abcdef0123456789abcdef\n")
	for name, text := range map[string]string{
		"none.users": "# nobody\n", "nameless.users": "crm: 0123456789abcdef\nno colon here\n", "twice.users": "crm: 0123456789abcdef\n\ncrm(operator): 0123456789abcdef\n",
		"own.users": "operator: 0123456789abcdef\n", "short.users": "crm: 0123456789\n",
	} {
		s.writeFor(0o600, name, text)
	}
	s.write("open.users", "crm: 0123456789abcdef\n")
	s.write("wrong.yaml", "db: {sqlight: ./site.db}\n")
	for name, refused := range map[string]struct {
		flags []string
		says  string
	}{
		"HTTP port taken":            {[]string{"--listen", taken.Addr().String()}, "another program has this port"},
		"NATS port taken":            {[]string{"--nats-listen", taken.Addr().String()}, "--nats-listen"},
		"no address":                 {[]string{"--listen", "8080"}, "--listen takes host:port"},
		"data directory is a file":   {[]string{"--data", s.path("file")}, "choose another with --data"},
		"data directory below file":  {[]string{"--data", s.path("file/data")}, "choose another with --data"},
		"no tasks folder":            {[]string{"--tasks", s.path("none")}, "there is no such folder"},
		"tasks folder is a file":     {[]string{"--tasks", s.path("file")}, "is a file"},
		"no connections file":        {[]string{"--connections", s.path("none.yaml")}, "none.yaml"},
		"wrong connections file":     {[]string{"--connections", s.path("wrong.yaml")}, "wrong.yaml:1: the connection db has the unknown kind"},
		"HTTP open without token":    {[]string{"--listen", "0.0.0.0:0"}, "pass --admin-token-file"},
		"HTTP open on every address": {[]string{"--listen", ":0"}, "pass --admin-token-file"},
		"HTTP open on IPv6":          {[]string{"--listen", "[::]:0"}, "pass --admin-token-file"},
		"NATS open without password": {[]string{"--nats-listen", "0.0.0.0:0"}, "pass --nats-auth-file"},
		"token that all may read":    {[]string{"--admin-token-file", s.path("open.token")}, "chmod 600"},
		"a certificate alone":        {[]string{"--tls-cert", s.path("file")}, "--tls-key is missing"},
		"a key alone":                {[]string{"--tls-key", s.path("file")}, "--tls-cert is missing"},
		"no certificate":             {[]string{"--tls-cert", s.path("none.pem"), "--tls-key", s.path("file")}, "--tls-cert: there is no file"},
		"key that all may read":      {[]string{"--tls-cert", s.path("file"), "--tls-key", s.path("file")}, "chmod 600"},
		"no certificate in it":       {[]string{"--tls-cert", s.path("file"), "--tls-key", s.path("short.token")}, "both are PEM"},
		"no token file":              {[]string{"--admin-token-file", s.path("none.token")}, "openssl rand"},
		"token too short":            {[]string{"--admin-token-file", s.path("short.token")}, "openssl rand"},
		"secrets that all may read":  {[]string{"--secrets", s.path("open.token")}, "chmod 600"},
		"a secret too short":         {[]string{"--secrets", s.path("short.yaml")}, "openssl rand -hex 32"},
		"no secrets file":            {[]string{"--secrets", s.path("none.yaml")}, "--secrets: open"},
		"no NATS users":              {[]string{"--nats-auth-file", s.path("none.users")}, "names no user"},
		"NATS user without a name":   {[]string{"--nats-auth-file", s.path("nameless.users")}, "line 2 must be NAME: PASSWORD"},
		"NATS user twice":            {[]string{"--nats-auth-file", s.path("twice.users")}, "line 3: the name crm is there twice"},
		"name of our own NATS user":  {[]string{"--nats-auth-file", s.path("own.users")}, "the name operator is that of"},
		"NATS password too short":    {[]string{"--nats-auth-file", s.path("short.users")}, "openssl rand"},
		"NATS users that all read":   {[]string{"--nats-auth-file", s.path("open.users")}, "chmod 600"},
		"no run key file":            {[]string{"--run-key-file", s.path("none.key")}, "there is no file"},
		"wrong run key":              {[]string{"--run-key-file", s.path("short.users")}, "not base64"},
		"demo and tasks":             {[]string{"--demo"}, "--demo brings tasks"},
		"public URL":                 {[]string{"--public-url", "hooks.example.org"}, "--public-url"},
		"proxies":                    {[]string{"--trusted-proxies", "anybody"}, "--trusted-proxies"},
		"slots":                      {[]string{"--slots", "0"}, "--slots must be at least 1, not 0"},
		"slots are a number":         {[]string{"--slots", "many"}, "--slots"},
		"grace":                      {[]string{"--grace=-1s"}, "--grace"},
		"retention":                  {[]string{"--retention", "7 days"}, "365d, 12h or 30m"},
		"retention of nothing":       {[]string{"--retention", "0d"}, "--retention must be at least 1d, not 0s"},
		"retention of a minute":      {[]string{"--retention", "1m"}, "--retention must be at least 1d, not 1m"},
		"body":                       {[]string{"--max-body", "0"}, "--max-body must be"},
		"waiting":                    {[]string{"--max-waiting=-1"}, "--max-waiting must be at least 0, not -1"},
		"durability":                 {[]string{"--durability", "never"}, "--durability"},
		"log level":                  {[]string{"--log-level", "loud"}, "--log-level"},
		"unknown flag":               {[]string{"--lisen", "x"}, "unknown flag --lisen"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, messages := ask(t, s.args(append([]string{"--log-level=error"}, refused.flags...)...)...)
			if code != exitNoStart || out != "" || !oneLine(messages, refused.says) {
				t.Errorf("exit code %d, output %q, messages:\n%s", code, out, messages)
			}
		})
	}
}

func TestServeListensBeyondLoopback(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "admin.token", "0123456789abcdef0123456789abcdef\n")
	s.writeFor(0o600, "auth", "app(operator): 0123456789abcdef\n")
	s.writeFor(0o600, "app", "app:0123456789abcdef\n")
	cert, key := proctest.Certificate(t, s.dir)
	i := begin(t, s.args("--listen", "0.0.0.0:0", "--admin-token-file", s.path("admin.token"), "--tls-cert", cert, "--tls-key", key,
		"--nats-listen", "0.0.0.0:0", "--nats-auth-file", s.path("auth"))...).listening()
	stranger, err := client.New(i.url, "", cert)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	var problem *client.Problem
	if _, err := stranger.Tasks(t.Context()); !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
		t.Errorf("without the token: %v", err)
	}
	if code, _, messages := ask(t, "task", "list", "--server", i.url, "--token-file", s.path("admin.token")); code != exitNoStart || !oneLine(messages, "pass --ca-file FILE") {
		t.Errorf("without its authority: %d %s", code, messages)
	}
	if answer, err := http.Get(strings.Replace(i.url, "https", "http", 1)); err != nil {
		t.Errorf("without TLS: %v", err)
	} else {
		answer.Body.Close()
	}
	if started := i.start(s.copy, nil); !strings.HasPrefix(started.Document.PollingURL, i.url) {
		t.Errorf("its runs are at %s", started.Document.PollingURL)
	}
	if said := mustCall(t, "task", "list", "--server", i.url, "--token-file", s.path("admin.token"), "--ca-file", cert); !strings.Contains(said, "Copy people") {
		t.Errorf("with the token: %s", said)
	}
	port := i.nats[strings.LastIndex(i.nats, ":"):]
	if code, _, messages := ask(t, "init", "--nats", "nats://127.0.0.1"+port); code != exitNoStart {
		t.Errorf("NATS took a client without a password: %d %s", code, messages)
	}
	mustCall(t, "init", "--nats", "nats://127.0.0.1"+port, "--credentials", s.path("app"))
	// This process comes in with a password of its own.
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
}

// Whoever publishes has to know whether the server syncs every write.
func TestServeKeepsItsDurabilityWithTheStore(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir()}
	for _, step := range []struct{ durability, kept string }{
		{"always", `"runhook-synced":"true"`}, {"interval", `"runhook-synced":"false"`},
	} {
		i := begin(t, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", s.path("data"), "--durability", step.durability).listening()
		config := read(t, filepath.Join(s.path("data"), "nats", "jetstream", "$G", "streams", "RUNS", "meta.inf"))
		if !strings.Contains(config, step.kept) {
			t.Errorf("--durability %s: no %s in %s", step.durability, step.kept, config)
		}
		i.stop()
		i.await()
	}
}

// --max-waiting bounds the POSTs and the polls of a process together.
func TestServeBoundsWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--max-waiting", "0")...).listening()
	ask := func(method, url string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Prefer", "wait=100")
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if applied := response.Header.Get("Preference-Applied"); applied != "" {
			t.Errorf("%s waited: %s", method, applied)
		}
		return response
	}
	posted := ask(http.MethodPost, i.url+"/task/executepolling/"+string(s.copy))
	if posted.StatusCode != http.StatusAccepted {
		t.Fatal(posted.Status)
	}
	ask(http.MethodGet, posted.Header.Get("Location"))
	response, err := http.Get(i.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	metrics, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(metrics), "\nrunhook_waits_refused_total 2\n") {
		t.Errorf("the metrics do not tell of two: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
