//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/run"
)

// holdRecovery has the next start of a server on this directory stand still while it recovers its streams,
// until release: one more has a description that nobody has written yet.
func holdRecovery(t *testing.T, data string) (release func()) {
	t.Helper()
	dir := filepath.Join(data, "nats", "jetstream", "$G", "streams", "HELD")
	description := filepath.Join(dir, "meta.inf")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "meta.sum"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(description, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(description, []byte("no description"), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// A store that takes long to recover after a kill takes the time that it needs: meanwhile the program says how
// far it is, and takes nothing.
func TestServeAnswersWhileItRecovers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := spawn(t, s.args()...).listening()
	started := first.start(s.copy, nil)
	ended := first.awaitEnd(started)
	first.kill()
	first.await()
	release := holdRecovery(t, s.path("data"))

	i := spawn(t, s.args()...).answering()
	const progress = "the store is being recovered: 9 of 10 streams are recovered, about "
	i.wantNotReady(progress, progress, "POST /task/execute/"+string(s.copy), "GET "+strings.TrimPrefix(ended.PollingURL, first.url))
	i.log.Await(t, `"streams":10,"recovered":9,.*recovering the store`, i.ended)
	if strings.Contains(i.out.String(), "listens on") {
		t.Errorf("it says that it is ready:\n%s", i.out)
	}
	release()
	i.listening()
	if status := get(t, i.url+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz is %d then", status)
	}
	if doc := i.awaitEnd(started); doc.Outcome() != run.Success || doc.DurationMs != ended.DurationMs {
		t.Errorf("the run of before is %+v", doc)
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success || doc.ImportID <= ended.ImportID {
		t.Errorf("%+v", doc)
	}
	i.end()
}

// A stop does not wait until a store is recovered.
func TestServeStopsWhileItRecovers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	spawn(t, s.args()...).listening().end()
	holdRecovery(t, s.path("data"))
	i := spawn(t, s.args()...).answering()
	i.wantNotReady("the store is being recovered", "")
	i.end()
}
