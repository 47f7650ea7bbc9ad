package main

import (
	"net/http"
	"strings"
	"testing"

	"runhook/shared/bustest"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// The three services apart, on a NATS that is not theirs.
func TestServicesApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	existing := bustest.Empty(t, false).Broker
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	nats := []string{"--nats", existing.URL(), "--listen", "127.0.0.1:0"}
	if said := mustCall(t, "init", "--nats", existing.URL(), "--retention", "30d"); !strings.Contains(said, "is ready") {
		t.Fatalf("init: %s", said)
	}
	mustCall(t, "init", "--nats", existing.URL(), "--retention", "30d") // again changes nothing

	ingress := begin(t, append([]string{"ingress", "--run-key-file", key}, nats...)...).listening()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, nats...)...).listening()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, nats...)...).listening()
	for _, service := range []*instance{ingress, status, runner} {
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			if code := get(t, service.url+path); code != http.StatusOK {
				t.Errorf("%s %s: %d", service.description, path, code)
			}
		}
	}
	if code := get(t, ingress.url+"/api/tasks"); code != http.StatusNotFound {
		t.Errorf("the ingress has admin routes: %d", code)
	}

	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	started := startWhenKnown(t, ingress, s)
	if doc := status.awaitEnd(started); doc.Outcome() != run.Success || s.people() != "Ann,Ben,Cy" {
		t.Errorf("%+v, %s", doc, s.people())
	}
	// The status service makes a consumer again that somebody has removed.
	if err := bustest.JetStream(t, existing.URL()).DeleteConsumer(t.Context(), "RUNS", string(s.copy)); err != nil {
		t.Fatal(err)
	}
	if doc := status.awaitEnd(startWhenKnown(t, ingress, s)); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
	for _, service := range []*instance{runner, status, ingress} {
		service.end()
	}
}

// startWhenKnown starts a run as soon as the ingress has seen the task, which was applied elsewhere.
func startWhenKnown(t *testing.T, ingress *instance, s *site) client.Started {
	t.Helper()
	var started client.Started
	eventually(t, ingress, "the task is known", func() (known bool) {
		var err error
		started, err = ingress.client.Start(t.Context(), s.copy, nil)
		if err != nil && !strings.Contains(err.Error(), "No task has this id") {
			t.Fatal(err)
		}
		return err == nil
	})
	return started
}

func TestServicesRefuse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	unheard := "nats://" + proctest.FreeAddress(t)
	if err := web.CreateKeyFile(s.path("run.key")); err != nil {
		t.Fatal(err)
	}
	key := []string{"--run-key-file", s.path("run.key")}
	s.writeFor(0o600, "neither", "a password\n")
	for name, refused := range map[string]struct {
		args []string
		says string
	}{
		"ingress without NATS":         {append([]string{"ingress"}, key...), "missing flags: --nats"},
		"ingress without a key":        {[]string{"ingress", "--nats", unheard}, "(umask 077; openssl rand -base64 32 > run.key)"},
		"status without a key":         {[]string{"status", "--nats", unheard}, "(umask 077; openssl rand -base64 32 > run.key)"},
		"status without a token":       {append([]string{"status", "--nats", unheard}, key...), "--admin-token-file is missing"},
		"runner with a wrong URL":      {[]string{"runner", "--nats", "nats://a:b:c"}, "check --nats"},
		"runner without connections":   {[]string{"runner", "--nats", unheard, "--connections", s.path("none.yaml")}, "none.yaml"},
		"runner without slots":         {[]string{"runner", "--nats", unheard, "--slots", "0"}, "--slots must be"},
		"init with a short lease":      {[]string{"init", "--nats", unheard, "--lease", "1s"}, "--lease must be at least 2s, not 1s"},
		"init with too many replicas":  {[]string{"init", "--nats", unheard, "--replicas", "9"}, "--replicas must be 1 to 5, not 9"},
		"credentials that are neither": {[]string{"init", "--nats", unheard, "--credentials", s.path("neither")}, "user:password"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, messages := ask(t, refused.args...)
			if code != exitNoStart || out != "" || !oneLine(messages, refused.says) {
				t.Errorf("exit code %d, output %q, messages %q", code, out, messages)
			}
		})
	}
}
