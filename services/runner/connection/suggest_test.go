package connection

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestCovering(t *testing.T) {
	dir := t.TempDir()
	set, err := Parse([]byte("all: {files: .}\nin: {files: ./in}\nalso: {files: ./in}\ndb: {sqlite: ./in/x.db}\nother: {sqlite: ./y.db}\n"), filepath.Join(dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][2]string{
		"a.csv": {"all", "a.csv"}, "in/b.csv": {"also", "b.csv"}, "in/deep/c.csv": {"also", "deep/c.csv"}, "inside/d.csv": {"all", "inside/d.csv"},
	} {
		name, path, ok := set.Covering(filepath.Join(dir, file))
		if !ok || name != want[0] || path != want[1] {
			t.Errorf("%s: %s %s %v", file, name, path, ok)
		}
	}
	if name, _, ok := set.Covering(filepath.Join(filepath.Dir(dir), "e.csv")); ok {
		t.Errorf("%s covers a file outside", name)
	}
	if got := set.Databases(); !slices.Equal(got, []string{"db", "other"}) {
		t.Errorf("%q", got)
	}
	var none *Set
	if _, _, ok := none.Covering("a.csv"); ok || none.Has("all") || none.Databases() != nil || !set.Has("all") {
		t.Error("a set without connections has some")
	}
}
