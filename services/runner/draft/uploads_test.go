package draft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/making"
	"runhook/shared/task"
)

// maker is a Maker of a folder of its own, with a database.
func maker(t *testing.T) (m *Maker, uploads string) {
	t.Helper()
	dir := t.TempDir()
	connections, err := connection.Parse([]byte("db: {sqlite: ./a.db}"), filepath.Join(dir, "connections.yaml"))
	uploads = filepath.Join(dir, "uploads")
	if err == nil {
		err = connections.Bring(making.Uploads, uploads)
	}
	if err != nil {
		t.Fatal(err)
	}
	return NewMaker(MakerOptions{
		Kinds: builtin.Kinds(), Connections: connections, Uploads: uploads,
		Known: func(task.ID) bool { return false }, Writable: func() bool { return true },
	}), uploads
}

// A draft is there for a day, and of more than so many the oldest goes. What a person calls a file is no path.
func TestDraftsEnd(t *testing.T) {
	t.Parallel()
	m, uploads := maker(t)
	var ids []string
	for i := range mostDrafts + 3 {
		id, err := m.Keep(t.Context(), fmt.Sprintf("../../%d/Größe & Co.CSV", i), strings.NewReader("id\n1\n"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		file := filepath.Join(uploads, "drafts", "gr-e-co."+id+".csv")
		age := time.Now().Add(time.Duration(i-100) * time.Minute)
		if err := os.Chtimes(file, age, age); err != nil {
			t.Fatal(err)
		}
	}
	there := func(id string) bool {
		t.Helper()
		_, err := m.Propose(t.Context(), making.Wish{Draft: id})
		if err != nil && !errors.Is(err, making.ErrNoDraft) {
			t.Fatal(err)
		}
		return err == nil
	}
	if there(ids[0]) || there(ids[2]) || !there(ids[3]) || !there(ids[mostDrafts+2]) {
		t.Error("not the oldest have gone")
	}
	old := time.Now().Add(-draftFor - time.Minute)
	file := filepath.Join(uploads, "drafts", "gr-e-co."+ids[10]+".csv")
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	if there(ids[10]) {
		t.Error("a draft is used that is over")
	}
	if err := m.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) || !there(ids[11]) {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"", "..", "*", ids[11][:25], strings.ToUpper(ids[11]), "../" + ids[11][3:]} {
		if there(id) {
			t.Errorf("%q is a draft", id)
		}
	}
}
