//go:build !bench

package main

import (
	"strings"
	"testing"

	"runhook/shared/proctest"
)

func TestMain(m *testing.M) {
	awayFor = proctest.Limit
	proctest.Main(m, proctest.Role{Name: programRole, Play: func() error { main(); return nil }}, proctest.Role{Name: memoryRole, Play: useMemory})
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil,
		{"--help"},
		{"serve", "--help"},
		{"ingress", "--help"},
		{"runner", "--help"},
		{"status", "--help"},
		{"init", "--help"},
		{"task", "--help"},
		{"task", "apply", "--help"},
		{"run", "--help"},
		{"runs", "list", "--help"},
		{"runs", "show", "--help"},
	} {
		code, out, messages := ask(t, args...)
		if code != exitSuccess || messages != "" || !strings.HasPrefix(out, "Usage: runhook") {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, messages)
		}
		// Every flag but --help names its variable.
		for line := range strings.Lines(out) {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "--") {
				name, _, _ := strings.Cut(strings.Fields(trimmed[2:])[0], "=")
				variable := "RUNHOOK_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
				if !strings.Contains(out, "($"+variable+")") {
					t.Errorf("%v: --%s does not name %s", args, name, variable)
				}
			}
		}
	}
	if out := mustCall(t, "--help"); !strings.Contains(strings.Join(strings.Fields(out), " "), "3 canceled, 4 succeeded with failed rows (run --wait --fail-on-rejected).") {
		t.Errorf("the exit codes are %s", out)
	}
	if version := mustCall(t, "version"); !strings.HasPrefix(version, "runhook ") || !strings.Contains(version, "go1.") {
		t.Errorf("version: %s", version)
	}
}
