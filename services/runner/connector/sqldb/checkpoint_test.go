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
// its context ends: one that writes keeps it from its beginning, one that reads from its commit.
func TestRaiseWaitsForTheEarlierAttempt(t *testing.T) {
	for _, open := range []string{"begin immediate", "begin; select * from others"} {
		folder := t.TempDir()
		db, err := sql.Open("sqlite", filepath.Join(folder, "warehouse.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		if _, err := db.Exec("create table others (id)"); err != nil {
			t.Fatal(err)
		}
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
		if _, err := db.Exec(open); err != nil {
			t.Fatal(err)
		}
		fence := &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 7}
		if _, _, err := d.Raise(t.Context(), fence); err == nil || !strings.Contains(err.Error(), "was locked by another writer") {
			t.Fatalf("%s: a first attempt: %v", open, err)
		}
		fence.Takeover = true
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, err := d.Raise(short, fence); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s: a takeover whose time ends: %v", open, err)
		}
		raised := make(chan error, 1)
		go func() {
			_, _, err := d.Raise(t.Context(), fence)
			raised <- err
		}()
		select {
		case err := <-raised:
			t.Fatalf("%s: it did not wait: %v", open, err)
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := db.Exec("rollback"); err != nil {
			t.Fatal(err)
		}
		if err := <-raised; err != nil {
			t.Fatalf("%s: %v", open, err)
		}
	}
}
