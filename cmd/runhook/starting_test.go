package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// answering waits until the program answers HTTP, ready or not.
func (i *instance) answering() *instance {
	i.t.Helper()
	found := i.log.Await(i.t, `"url":"(http://\S*:\d+)"[^\n]*"answering HTTP"`, i.ended)
	if found == nil {
		i.t.Fatalf("%s ended with %d: %s%s", i.description, i.await(), i.out, i.log)
	}
	i.url = found[1]
	return i
}

// internal is what no caller may read.
var internal = regexp.MustCompile(`nats:|127\.0\.0\.1:|RUNS|EVENTS|KV_|\$(KV|JS|O)\b|run\.request|runhook-test|/tmp/`)

// wantNotReady wants an instance that lives and takes nothing, with this reason, of which callers are told.
func (i *instance) wantNotReady(reason, told string, paths ...string) {
	i.t.Helper()
	if status := get(i.t, i.url+"/livez"); status != http.StatusOK {
		i.t.Errorf("%s: /livez is %d", i.description, status)
	}
	proctest.Eventually(i.t, i.description+" says "+reason, func() bool {
		got, err := i.request(http.MethodGet, i.url+"/readyz")
		return err == nil && got.status == http.StatusServiceUnavailable && strings.Contains(string(got.body), reason)
	})
	for _, path := range paths {
		method, path, _ := strings.Cut(path, " ")
		got, err := i.request(method, i.url+path)
		if err != nil || got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" ||
			got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(got.body), told) || internal.Match(got.body) {
			i.t.Errorf("%s: %s %s got %d %v %s %v", i.description, method, path, got.status, got.header, got.body, err)
		}
	}
}

// Services may be started before the NATS server, and before its streams are made: they wait, say why, and go on.
func TestServicesWaitForTheStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key, address := s.path("run.key"), proctest.FreeAddress(t)
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	nats := []string{"--nats", "nats://" + address, "--listen", "127.0.0.1:0"}
	ingress := begin(t, append([]string{"ingress", "--run-key-file", key}, nats...)...).answering()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, nats...)...).answering()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, nats...)...).answering()
	services := []*instance{ingress, status, runner}
	paths := map[*instance]string{
		ingress: "POST /task/execute/" + string(s.copy), status: "GET /task/executepolling/" + string(s.copy) + "/1/status", runner: "GET /none",
	}
	for _, service := range services {
		service.wantNotReady("cannot connect to NATS at nats://"+address, "the store cannot be reached", paths[service])
	}

	existing, err := broker.Start(t.Context(), broker.Options{Dir: s.path("nats"), Listen: address, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(existing.Stop)
	for _, service := range services {
		service.wantNotReady("run `runhook init --nats URL` once", "the store is not made yet", paths[service])
		if waits := strings.Count(service.log.String(), "not ready, waiting"); waits != 2 {
			t.Errorf("%s says %d times that it waits:\n%s", service.description, waits, service.log)
		}
	}
	mustCall(t, "init", "--nats", existing.URL())
	for _, service := range services {
		if strings.Contains(service.log.String(), "request failed") {
			t.Errorf("%s logs each request that it refuses:\n%s", service.description, service.log)
		}
		service.listening()
		if code := get(t, service.url+"/readyz"); code != http.StatusOK {
			t.Errorf("%s: /readyz is %d", service.description, code)
		}
	}
	s.write("tasks/copy.yaml", read(t, s.path("tasks/copy.yaml"))+"rejected_rows: {link: true}\n")
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	started := startWhenKnown(t, ingress, s)
	if doc := status.awaitEnd(started); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}

	existing.Stop()
	for _, service := range services {
		service.wantNotReady("NATS is not available", "")
	}
	// No public answer names what is inside.
	rejected, err := url.Parse(started.Document.RejectedURL)
	if err != nil {
		t.Fatal(err)
	}
	id := string(s.copy)
	for service, calls := range map[*instance][]string{
		ingress: {"POST /task/execute/" + id, "POST /task/executepolling/" + id, "POST /task/dryrun/" + id},
		status:  {"GET " + run.StatusPath(s.copy, started.Number+1), "GET " + rejected.RequestURI()},
	} {
		for _, call := range calls {
			method, path, _ := strings.Cut(call, " ")
			got, err := service.request(method, service.url+path)
			body := strings.ReplaceAll(string(got.body), service.url, "")
			if err != nil || got.status != http.StatusServiceUnavailable && got.status != http.StatusAccepted || internal.MatchString(body) {
				t.Errorf("%s got %d %s %v", call, got.status, body, err)
			}
		}
	}
}

// However often a step fails for the same reason, the log has it once.
func TestAReasonIsToldOnce(t *testing.T) {
	t.Parallel()
	said := proctest.NewOutput()
	s := &starting{log: zerolog.New(said)}
	for _, reason := range []string{"no leader", "no leader", "no streams", "no streams", "no leader"} {
		s.waits(errors.New(reason))
	}
	if told := strings.Count(said.String(), "not ready, waiting"); told != 3 {
		t.Errorf("told %d times:\n%s", told, said)
	}
}

// A service that waits ends as any other when it is stopped.
func TestWaitingServiceStops(t *testing.T) {
	t.Parallel()
	i := begin(t, "runner", "--nats", "nats://"+proctest.FreeAddress(t), "--listen", "127.0.0.1:0").answering()
	i.wantNotReady("cannot connect to NATS", "")
	i.end()
}

// A stop that comes before a service listens is a stop as any other.
func TestServiceStopsBeforeItListens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	nats := []string{"--nats", "nats://" + proctest.FreeAddress(t), "--listen", "127.0.0.1:0"}
	for _, args := range [][]string{
		s.args(),
		{"serve", "--demo", "--data", s.path("demo"), "--listen", "127.0.0.1:0", "--nats-listen", ""},
		append([]string{"ingress", "--run-key-file", key}, nats...),
		append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, nats...),
		append([]string{"runner"}, nats...),
	} {
		said := proctest.NewOutput()
		if code := runhook(stopped, args, said, said, noHangups); code != exitSuccess || spoken(said.String()) != "" {
			t.Errorf("%v: exit code %d: %s", args, code, said)
		}
	}
	// Any other command has not done what it was for.
	said := proctest.NewOutput()
	if code := runhook(stopped, append([]string{"init"}, nats[:2]...), said, said, noHangups); code != exitCanceled {
		t.Errorf("init: exit code %d: %s", code, said)
	}
}

// Credentials that NATS refuses do not become right by waiting, whatever else is not there.
func TestServiceWithWrongCredentialsEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	existing, err := broker.Start(t.Context(), broker.Options{Dir: s.path("nats"), Listen: "127.0.0.1:0", Access: &broker.Access{Logins: []broker.Login{{Name: "app", Password: "secret"}}}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(existing.Stop)
	s.writeFor(0o600, "wrong", "app:wrong\n")
	unheard := "nats://" + proctest.FreeAddress(t)
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	silent := "nats://" + deaf.Addr().String()
	for _, urls := range []string{existing.URL(), existing.URL() + "," + unheard, unheard + "," + existing.URL(), existing.URL() + "," + silent, silent + "," + existing.URL()} {
		code, out, messages := ask(t, "runner", "--nats", urls, "--credentials", s.path("wrong"), "--listen", "127.0.0.1:0")
		if code != exitNoStart || out != "" || !oneLine(messages, "refuses the credentials") {
			t.Errorf("%s: exit code %d: %s%s", urls, code, out, messages)
		}
	}
}
