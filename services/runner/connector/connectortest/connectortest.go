// Package connectortest is the suite that every kind of source and destination passes: the contract of
// package connector, in calls and what they must come to. A kind's own tests call [Source] or
// [Destination] with a harness, once for each way in which the kind works. What only one kind does stays
// in that kind's tests.
package connectortest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"runhook/services/runner/check"
	"runhook/services/runner/row"
	"runhook/shared/run"
)

// secret is in all names that the suite makes, and may be in no message.
const secret = "Zoë"

// first is the number that the suite's first id is.
const first = 10001

func id(n int) string   { return strconv.Itoa(first + n) }
func name(n int) string { return secret + " " + strconv.Itoa(n) }

// alone runs what opens and closes a connector, and fails where it leaves a goroutine or an open file.
func alone(t *testing.T, what string, f func()) {
	t.Helper()
	before, running := openFiles(), goleak.IgnoreCurrent()
	f()
	if err := goleak.Find(running); err != nil {
		t.Errorf("%s: a goroutine is left: %v", what, err)
	}
	for file := range openFiles() {
		if !before[file] {
			t.Errorf("%s: %s is left open", what, file)
		}
	}
}

// openFiles are those that this process has open in temporary folders; nil where the system does not say.
func openFiles() map[string]bool {
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	files := map[string]bool{}
	for _, link := range links {
		path, err := os.Readlink("/proc/self/fd/" + link.Name())
		if err == nil && strings.HasPrefix(path, filepath.Clean(os.TempDir())+"/") {
			files[link.Name()+" "+path] = true
		}
	}
	return files
}

// expectFailure expects an error that can be written into a status document.
func expectFailure(t *testing.T, err error) {
	t.Helper()
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok {
		t.Fatalf("got %v, want a failure", err)
	}
	expectMessage(t, failure.Message)
}

// expectFault expects a row's fault that can be written into a status document.
func expectFault(t *testing.T, fault *row.Fault) {
	t.Helper()
	if fault == nil {
		t.Fatal("there is no fault")
	}
	expectMessage(t, fault.Message)
}

func expectMessage(t *testing.T, message string) {
	t.Helper()
	if message == "" || strings.Contains(message, secret) {
		t.Errorf("the message is %q: it must say something, and no value", message)
	}
}

// expectFinding expects an error among the findings, at a field below section.
func expectFinding(t *testing.T, found check.Report, section string) {
	t.Helper()
	if !slices.ContainsFunc(found.Findings, func(f check.Finding) bool {
		return f.Severity == check.Error && len(f.Field) > 0 && f.Field[0] == section
	}) {
		t.Errorf("no error at %s among the findings %v", section, found.Findings)
	}
}
