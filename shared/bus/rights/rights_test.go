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
