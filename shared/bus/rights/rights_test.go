package rights_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"runhook/shared/bus/rights"
)

var update = flag.Bool("update", false, "write deploy/nats/runhook.conf anew")

// The configuration as shipped has the rights of the code, and so has what `runhook nats-user` prints.
func TestConfigIsThatOfTheCode(t *testing.T) {
	const path = "../../../deploy/nats/runhook.conf"
	if *update {
		if err := os.WriteFile(path, []byte(rights.Config()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(shipped) != rights.Config() {
		t.Errorf("%s is not what the code says; run the test with -update", path)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(shipped)) {
		lines[strings.TrimSpace(line)] = true
	}
	for _, user := range []string{"init", "ingress", "runner", "status", "integration"} {
		for line := range strings.Lines(rights.OfUser(user)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !lines[line] {
				t.Errorf("of %s the configuration does not have %s", user, line)
			}
		}
	}
}

// The ingress, which answers callers, is in an account of its own. It makes no consumer and no stream there or in the
// store's, and has the imports that the store's account exports to it alone.
func TestIngressIsApart(t *testing.T) {
	for _, s := range rights.Services() {
		if s.Apart != (s.Name == "ingress") {
			t.Errorf("%s is apart: %t", s.Name, s.Apart)
		}
		if !s.Apart {
			continue
		}
		for _, subject := range s.Publish {
			for _, makes := range []string{"CONSUMER.CREATE", "CONSUMER.MSG", "CONSUMER.DELETE", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.RESTORE", "$JS.FC", "claim", "final", "$O."} {
				if strings.Contains(subject, makes) && !strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") {
					t.Errorf("it may publish to %s", subject)
				}
			}
		}
	}
	config := rights.Config()
	store, own, found := strings.Cut(config, "\n  INGRESS {\n")
	own, _, _ = strings.Cut(own, "\n  INTEGRATION_")
	if !found || strings.Contains(store, "user: ingress") || !strings.Contains(own, "user: ingress") || strings.Contains(own, "jetstream") {
		t.Errorf("it is not in an account of its own:\n%s", config)
	}
	imports := 0
	for line := range strings.Lines(own) {
		if _, subject, ok := strings.Cut(line, "{service: {account: RUNHOOK, subject: "); ok {
			imports++
			subject = strings.TrimSuffix(strings.TrimSpace(subject), "}}")
			if subject == `"$JS.API.INFO"` { // which integrations import too
				imports--
			} else if !strings.Contains(store, "{service: "+subject+", accounts: [INGRESS]") {
				t.Errorf("%s is not exported to it alone", subject)
			}
		}
	}
	if exports := strings.Count(store, "accounts: ["); imports == 0 || exports != imports {
		t.Errorf("%d exports for %d imports", exports, imports)
	}
}
