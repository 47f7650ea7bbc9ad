package connection_test

import (
	"os"
	"path/filepath"
	"testing"

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
