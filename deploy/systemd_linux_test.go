package deploy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/proctest"
)

const unitFile = "systemd/runhook.service"

// mostExposed is how much of the system the service may reach, in tenths, as `systemd-analyze security` counts it.
const mostExposed = "15"

// The unit is one that systemd takes without a warning, and keeps the service away from what it does not need.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze := need(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "runhook.service")
	text := strings.ReplaceAll(read(t, unitFile), "/usr/bin/runhook", proctest.Program(t))
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("verify: %v\n%s", err, said)
	}
	if said, err := exec.Command(analyze, "security", "--offline=true", "--threshold="+mostExposed, unit).CombinedOutput(); err != nil {
		t.Errorf("security: %v\n%s", err, said)
	}
}

// The program runs a task and stops with the settings of the unit, and asks the system for nothing that the unit
// denies it.
func TestUnitRuns(t *testing.T) {
	t.Parallel()
	dir := taskFiles(t)
	calls := filepath.Join(dir, "calls")
	command := exec.Command(need(t, "strace"), "-D", "-f", "-c", "-U", "name", "-o", calls, proctest.Program(t))
	command.Args = append(command.Args, strings.Fields(setting(t, "ExecStart"))[1:]...)
	command.Dir = dir
	command.Env = append(os.Environ(), "RUNHOOK_LISTEN=127.0.0.1:0", "RUNHOOK_NATS_LISTEN=127.0.0.1:0")
	for _, variable := range settings(t, "Environment") {
		command.Env = append(command.Env, strings.NewReplacer("/var/lib/runhook", dir, "/etc/runhook", dir).Replace(variable))
	}
	p := proctest.Start(t, command)
	url := p.Await(`listens on (http://[^ ]+) `)[1]
	answer, err := http.Post(url+"/task/execute/"+sampleTask, "application/json", strings.NewReader(`{"QueryParameters": {"ID": "CA"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the POST: %s\n%s", answer.Status, p.Log)
	}
	p.Log.Await(t, `"outcome":"Success"`, p.Ended())
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.Log)
	}

	var made []string
	proctest.Eventually(t, "the tracer has written what it saw", func() bool {
		made = nil
		text, err := os.ReadFile(calls)
		for line := range strings.Lines(string(text)) {
			if name := strings.TrimSpace(line); regexp.MustCompile(`^[a-z_0-9]+$`).MatchString(name) {
				made = append(made, name)
			}
		}
		return err == nil && slices.Contains(made, "total")
	})
	made = slices.DeleteFunc(made, func(name string) bool { return name == "total" || name == "syscall" })
	if len(made) < 20 {
		t.Fatalf("only %q were seen", made)
	}
	allowed := map[string]bool{}
	for _, filter := range settings(t, "SystemCallFilter") {
		denied, isDenied := strings.CutPrefix(filter, "~")
		for _, name := range strings.Fields(denied) {
			for call := range expand(t, name) {
				allowed[call] = !isDenied
			}
		}
	}
	for _, call := range made {
		asRoot := call == "fchown" && os.Getuid() == 0 // only there SQLite gives a new file the owner of its database
		if !allowed[call] && !asRoot {
			t.Errorf("the unit denies the system call %s, which the program makes", call)
		}
	}
}

// settings are the values that the unit gives a name, in their order.
func settings(t *testing.T, name string) (values []string) {
	t.Helper()
	for line := range strings.Lines(read(t, unitFile)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		t.Fatalf("the unit has no %s", name)
	}
	return values
}

// setting is the only value that the unit gives a name.
func setting(t *testing.T, name string) string {
	t.Helper()
	values := settings(t, name)
	if len(values) != 1 {
		t.Fatalf("the unit has %q for %s", values, name)
	}
	return values[0]
}

// expand is the system calls of a group of systemd's, with those of the groups in it, or the call itself.
func expand(t *testing.T, name string) map[string]bool {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return map[string]bool{name: true}
	}
	said, err := exec.Command(need(t, "systemd-analyze"), "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	calls := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(said))
	lines.Scan() // the group's own name
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			maps.Copy(calls, expand(t, line))
		}
	}
	return calls
}
