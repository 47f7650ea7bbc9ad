package main

import (
	"os"
	"strings"
	"testing"
)

func TestFlagsFromTheEnvironment(t *testing.T) {
	s := newSite(t)
	t.Setenv("RUNHOOK_DATA", s.path("elsewhere"))
	t.Setenv("RUNHOOK_LISTEN", "127.0.0.1:0")
	t.Setenv("RUNHOOK_NATS_LISTEN", "")
	i := begin(t, "serve").listening()
	if _, err := os.Stat(s.path("elsewhere/run.key")); err != nil {
		t.Error(err)
	}
	if i.nats != "" || !strings.Contains(i.out.String(), "NATS for this process only") {
		t.Errorf("NATS listens on %q", i.nats)
	}
	t.Setenv("RUNHOOK_SERVER", i.url)
	mustCall(t, "task", "list")
	i.end()
}
