package folder_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bustest"
	"runhook/shared/folder"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// edit opens the folder as `serve` does, and edits a task's file.
func (f *fixture) edit(opened *folder.Folder, id task.ID, change func([]byte) ([]byte, error)) {
	f.t.Helper()
	f.check(opened.Edit(f.t.Context(), id, change))
}

func (f *fixture) open() *folder.Folder {
	f.t.Helper()
	opened, err := folder.Open(f.dir, f.store.Tasks, f.tasks, zerolog.New(f.log))
	f.check(err)
	f.t.Cleanup(func() { f.check(opened.Close()) })
	f.check(opened.Apply(f.t.Context()))
	return opened
}

func (f *fixture) read(name string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	f.check(err)
	return string(text)
}

func TestEditWritesTheFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := task.NewID()
	f.write("a.yaml", a, "A")
	file := filepath.Join(f.dir, "a.yaml")
	f.check(os.Chmod(file, 0o640))
	before := f.read("a.yaml")
	opened := f.open()

	f.edit(opened, a, func(text []byte) ([]byte, error) { return taskfile.SetEnabled(text, false) })
	if now, _ := f.tasks.Get(a); now.Enabled || !now.FromFolder {
		t.Errorf("not in force when Edit returns: %+v", now)
	}
	if got, want := f.read("a.yaml"), strings.Replace(before, "name: A\n", "name: A\nenabled: false\n", 1); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	f.edit(opened, a, func(text []byte) ([]byte, error) { return taskfile.SetEnabled(text, true) })
	f.await(a, "A")

	// Nothing is left beside it, and a refusal writes nothing.
	refusal := errors.New("no")
	if err := opened.Edit(t.Context(), a, func([]byte) ([]byte, error) { return []byte("x"), refusal }); !errors.Is(err, refusal) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestEditRotates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := task.NewID(), task.NewID()
	f.write("a.yaml", a, "A")
	before := f.read("a.yaml")
	// Another file is broken, so that nothing is taken for gone.
	f.check(os.WriteFile(filepath.Join(f.dir, "broken.yaml"), []byte("x"), 0o644))
	opened := f.open()
	f.edit(opened, a, func(text []byte) ([]byte, error) { return bustest.Renamed(text, a, b, time.Now().Add(time.Hour)), nil })
	f.await(b, "A")
	if of, ok := f.tasks.Of(a); !ok || of.ID != b {
		t.Errorf("the former id leads to %+v", of)
	}
	// Somebody puts the file from before back: the folder is the truth.
	f.check(os.WriteFile(filepath.Join(f.dir, "a.yaml"), []byte(before), 0o644))
	f.check(opened.Apply(t.Context()))
	f.await(a, "A")
	f.check(os.Remove(filepath.Join(f.dir, "broken.yaml")))
	f.check(opened.Apply(t.Context()))
	f.await(b, "-")
}

func TestEditRemoves(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := task.NewID()
	f.write("a.yaml", a, "A")
	opened := f.open()
	f.await(a, "A")
	found, _ := f.tasks.Get(a)
	f.edit(opened, a, func([]byte) ([]byte, error) {
		_, err := f.store.Tasks.Delete(t.Context(), found)
		return nil, err
	})
	if _, err := os.Stat(filepath.Join(f.dir, "a.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	// The file comes back, and the task with it.
	f.write("a.yaml", a, "A")
	f.check(opened.Apply(t.Context()))
	f.await(a, "A")
}

func TestEditWhatIsNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := task.NewID()
	opened := f.open()
	asked := false
	f.edit(opened, a, func(text []byte) ([]byte, error) {
		asked = true
		if text != nil {
			t.Errorf("got %s", text)
		}
		return nil, nil
	})
	if !asked {
		t.Error("was not asked")
	}
	f.write("a.yaml", a, "A")
	f.write("b.yaml", a, "B")
	err := opened.Edit(t.Context(), a, func([]byte) ([]byte, error) { t.Error("one of two was taken"); return nil, nil })
	if err == nil || !strings.Contains(err.Error(), "b.yaml have the same id") {
		t.Error(err)
	}
}

// The file of a ConfigMap or a checkout is often a link.
func TestEditFollowsALink(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := task.NewID()
	f.write("a.yaml", a, "A")
	elsewhere := filepath.Join(f.dir, "..data", "a.yaml")
	f.check(os.Mkdir(filepath.Dir(elsewhere), 0o700))
	f.check(os.Rename(filepath.Join(f.dir, "a.yaml"), elsewhere))
	f.check(os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(f.dir, "a.yaml")))
	f.edit(f.open(), a, func(text []byte) ([]byte, error) { return taskfile.SetEnabled(text, false) })
	text, err := os.ReadFile(elsewhere)
	if err != nil || !strings.Contains(string(text), "enabled: false") {
		t.Errorf("%v %s", err, text)
	}
	if info, err := os.Lstat(filepath.Join(f.dir, "a.yaml")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
}

// Two files that contradict each other: neither is used, and both are named.
func TestFormerIDOfAFileThatIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := task.NewID(), task.NewID()
	f.write("a.yaml", a, "A")
	rotated := bustest.Renamed([]byte(f.read("a.yaml")), a, b, time.Now().Add(time.Hour))
	f.check(os.WriteFile(filepath.Join(f.dir, "b.yaml"), rotated, 0o644))
	f.open()
	for _, id := range []task.ID{a, b} {
		if now, ok := f.tasks.Get(id); ok {
			t.Errorf("used: %+v", now)
		}
	}
	if text := f.log.String(); strings.Count(text, "a.yaml has an id that ") != 1 || strings.Contains(text, string(a)) {
		t.Errorf("not named: %s", f.log)
	}
}

// A new file is there whole and applied, or nothing is changed.
func TestCreate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	opened := f.open()
	def := bustest.Definition(t, "Made", 1)
	f.check(opened.Create(t.Context(), "made.yaml", def.Text))
	if made, ok := f.tasks.Get(def.ID); !ok || made.Name != "Made" || !made.FromFolder {
		t.Errorf("the task is not applied: %+v", made)
	}
	if err := opened.Create(t.Context(), "made.yaml", []byte("name: another")); !errors.Is(err, folder.ErrThere) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"../out.yaml", "a/b.yaml", `a\..\b.txt`, ".made.yaml", "made.txt", ""} {
		if err := opened.Create(t.Context(), name, def.Text); err == nil || errors.Is(err, folder.ErrThere) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(f.dir, "made.yaml")); err != nil || string(text) != string(def.Text) {
		t.Errorf("%s %v", text, err)
	}
}
