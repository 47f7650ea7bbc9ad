package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

// A takeover waits for a transaction that is open for longer than anybody else waits for a lock, until
// its context ends.
func TestRaiseWaitsForTheEarlierAttempt(t *testing.T) {
	folder := t.TempDir()
	set, err := connection.Parse([]byte("warehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	to := &task.SQLDestination{Connection: "warehouse", Table: "members", Action: task.Insert, Create: true}
	d, err := Open(t.Context(), set, to, []connector.Column{{Name: "id", Kind: reflect.String}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.patience = 10 * time.Millisecond
	db, err := sql.Open("sqlite", filepath.Join(folder, "warehouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("begin immediate"); err != nil {
		t.Fatal(err)
	}
	fence := &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 7}
	if _, _, err := d.Raise(t.Context(), fence); err == nil || !strings.Contains(err.Error(), "was locked by another writer") {
		t.Fatalf("a first attempt: %v", err)
	}
	fence.Takeover = true
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := d.Raise(short, fence); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a takeover whose time ends: %v", err)
	}
	raised := make(chan error, 1)
	go func() {
		_, _, err := d.Raise(t.Context(), fence)
		raised <- err
	}()
	select {
	case err := <-raised:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if _, err := db.Exec("rollback"); err != nil {
		t.Fatal(err)
	}
	if err := <-raised; err != nil {
		t.Fatal(err)
	}
}
