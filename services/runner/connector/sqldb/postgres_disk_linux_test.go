package sqldb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/pgtest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A disk that is full may have room later. What was committed counts, and nothing else is there.
func TestPostgresDiskIsFull(t *testing.T) {
	server := pgtest.New(t)
	disk := filepath.Join(server.Folder, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		_ = os.Remove(disk)
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(disk, syscall.MNT_DETACH)
		_ = os.Remove(disk)
	})
	if err := server.Own(disk); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "CREATE TABLESPACE small LOCATION '"+disk+"'", "GRANT CREATE ON TABLESPACE small TO app")
	t.Cleanup(func() { server.Exec(t, "DROP TABLESPACE small") })
	b := onPostgres(t)
	t.Cleanup(func() { b.Exec("DROP TABLE members") }) // before its disk goes
	b.Exec("CREATE TABLE members (id int PRIMARY KEY, name text) TABLESPACE small")
	pipelinetest.MemberFile(t, b.Folder+"/members.csv", 100_000)
	b.Mapping("id", "int(ID)", "name", `Email + " 4711secret"`)
	rows := int64(0)
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b.Table().Action = action
		s, err := b.Run(t.Context())
		failure, ok := errors.AsType[*run.Failure](err)
		if !ok || !failure.Passing || !strings.Contains(failure.Message, "he disk of the server of connection warehouse is full (SQLSTATE 53100)") || strings.Contains(failure.Message, "4711") {
			t.Fatalf("%s: %v", action, err)
		}
		before := rows
		rows += s.Counts.Inserted
		if got := b.Query("SELECT count(*) FROM members"); rows == 0 || s.Counts.Unchanged > before || got != strconv.FormatInt(rows, 10) {
			t.Errorf("%s: the table has %s rows, and the run says %+v", action, got, s.Counts)
		}
	}
}
