//go:build unix

package connection_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/plainfile"
	"runhook/shared/run"
)

// A pipe in the place of the connections keeps no run waiting: each fails until the file is back.
func TestPipe(t *testing.T) {
	set, put, _ := followed(t, "a: {sqlite: a.db}")
	at, err := set.Database("a")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(at.SQLite), "connections.yaml")
	if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Load(file); !errors.Is(err, plainfile.ErrNotFile) {
		t.Errorf("loaded: %v", err)
	}
	_, err = set.Database("a")
	if failure, ok := errors.AsType[*run.Failure](err); !ok || !strings.Contains(failure.Message, "the runner cannot read connections.yaml") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	put("b: {sqlite: b.db}")
	if got := database(t, set, "b"); got != "b.db" {
		t.Errorf("put back: %s", got)
	}
}
