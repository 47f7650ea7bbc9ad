package connection_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/shared/proctest"
)

// What the runner has in a file is known of a set that follows one too, and of one that keeps its folders.
func TestGuarded(t *testing.T) {
	set, put, _ := followed(t, "here: {files: .}\nb: {sqlite: b.db}")
	folder, err := set.Files("here")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	link := filepath.Join(folder.Name(), "link.db")
	if err := os.Symlink("sub/real.db", link); err != nil { // to no file yet
		t.Fatal(err)
	}
	set.Guard(filepath.Join(folder.Name(), "data"), "the store")
	put("here: {files: .}\na: {sqlite: a.db}\nlinked: {sqlite: link.db}\nup: {files: ..}")
	kept, release := set.Keep()
	defer release()
	for _, s := range []*connection.Set{set, kept} {
		for path, want := range map[string]string{
			"a.db":              "the database of connection a",
			"./a.db-wal":        "a part of the database of connection a",
			"b.db":              "",
			"link.db":           "the database of connection linked",
			"connections.yaml":  "the file of the runner's connections",
			"data":              "the store",
			"data/nats/run/1":   "the store",
			"data.csv":          "",
			"sub/../data/x.csv": "the store",
			"a.db.csv":          "",
		} {
			if got := s.Guarded("here", path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		if got := s.Guarded("up", filepath.Base(folder.Name())+"/a.db"); got != "the database of connection a" {
			t.Errorf("from above a.db is %q", got)
		}
	}
}

// A path that tasks may write is looked at again: there can be a link of the runner's file later.
func TestGuardedLooksAgain(t *testing.T) {
	set, _, _ := followed(t, "here: {files: .}\na: {sqlite: a.db}")
	folder, err := set.Files("here")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	database, link := filepath.Join(folder.Name(), "a.db"), filepath.Join(folder.Name(), "later.csv")
	if err := os.WriteFile(database, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := set.Guarded("here", "later.csv"); got != "" {
		t.Fatalf("before there is a link it is %q", got)
	}
	if err := os.Link(database, link); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the link of a database is guarded", func() bool { return set.Guarded("here", "later.csv") != "" })
}

// A folder that the program brings is a connection, also after the file has changed, unless the file has one of its name.
func TestBring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "connections.yaml")
	set, err := connection.Follow(file, true, zerolog.Nop())
	if err == nil {
		err = set.Bring("uploads", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	folder := func() string {
		t.Helper()
		root, err := set.Files("uploads")
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		return root.Name()
	}
	if got := folder(); got != dir {
		t.Errorf("%s, not %s", got, dir)
	}
	if _, err := set.Files("other"); err == nil || !strings.Contains(err.Error(), "the runner has no connections") {
		t.Errorf("%v", err)
	}
	if _, err := set.Database("uploads"); err == nil {
		t.Error("a folder is a database")
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("db: {sqlite: ./a.db}\n")
	if got := folder(); got != dir || !set.Has("db") {
		t.Errorf("%s, not %s", got, dir)
	}
	own := filepath.Join(dir, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	write("db: {sqlite: ./a.db}\nuploads: {files: ./own}\n")
	proctest.Eventually(t, "the file's own counts", func() bool { return folder() == own })
	kept, release := set.Keep()
	defer release()
	if root, err := kept.Files("uploads"); err != nil || root.Name() != own {
		t.Errorf("%v", err)
	}
}
