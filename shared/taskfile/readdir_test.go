package taskfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
)

// folder writes files into a new folder; a name that ends in a slash is a folder itself.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(defs []*task.Definition) (names []string) {
	for _, def := range defs {
		names = append(names, def.Name)
	}
	return names
}

func TestReadDirTakesTaskFilesOnly(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.yaml":          string(NewFile(task.NewID(), "B")),
		"a.yml":           string(NewFile(task.NewID(), "A")),
		"c.YAML":          string(NewFile(task.NewID(), "C")),
		".hidden.yaml":    "no task",
		"notes.txt":       "no task",
		"yaml":            "no task",
		"old/d.yaml":      "no task",
		"d.yaml/in.yaml":  "no task",
		"..data/e.yaml":   string(NewFile(task.NewID(), "E")),
		"connections.bak": "no task",
	})
	// Kubernetes mounts files of a ConfigMap as links into a hidden folder.
	if err := os.Symlink(filepath.Join("..data", "e.yaml"), filepath.Join(dir, "e.yaml")); err != nil {
		t.Fatal(err)
	}
	defs, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(defs), []string{"A", "B", "C", "E"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadDirReturnsTheGoodBesideTheBroken(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.yaml": "name: broken\n",
		"b.yaml": string(NewFile(task.NewID(), "good")),
		"c.yaml": "- broken too\n",
		"d.yaml": string(NewFile(task.NewID(), "big")) + strings.Repeat("# \n", 100_000),
	})
	if err := os.Symlink("nowhere", filepath.Join(dir, "e.yaml")); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(folder(t, map[string]string{"s.yaml": "root:*:0:0\nhunter2: x\n"}), "s.yaml")
	for name, to := range map[string]string{"f.yaml": secret, "g.yaml": "../" + filepath.Base(filepath.Dir(secret)) + "/s.yaml", "h.yaml": os.DevNull} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	defs, err := ReadDir(dir)
	if got := names(defs); !reflect.DeepEqual(got, []string{"good"}) {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{
		"a.yaml:1: id is missing", "c.yaml:1: the file must be a mapping", "d.yaml:1: the file has 262145 bytes", "e.yaml: no such file", "f.yaml:1: a link that leads out of the folder, and is not followed", "g.yaml:1: a link that leads out",
		"h.yaml:1: a link that leads out",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "root") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a file outside was read:\n%v", err)
	}
}

// A line that is no field is not shown: the file may be another than its name says.
func TestUnknownFieldsThatAreNoNames(t *testing.T) {
	for text, want := range map[string]string{
		"Nmae: x\n": `unknown field "Nmae"; did you mean "name"?`,
		"root:*:0:0:System Administrator:/var/root:/bin/sh: x\n":   "unknown field; the fields are",
		"'Bearer 0123456789abcdef0123456789abcdef0123456789': x\n": "unknown field; the fields are",
		"\"a\\nb\": x\n": "unknown field; the fields are",
	} {
		_, err := Parse([]byte(text), "x.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "root") || strings.Contains(err.Error(), "Bearer") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestReadDirTakesNoneOfTwoFilesWithOneID(t *testing.T) {
	id := task.NewID()
	dir := folder(t, map[string]string{
		"report.yaml":      string(NewFile(id, "report")),
		"report-copy.yaml": strings.Replace(string(NewFile(id, "copy")), string(id), strings.ToUpper(string(id)), 1),
		"other.yaml":       string(NewFile(task.NewID(), "other")),
	})
	defs, err := ReadDir(dir)
	if got := names(defs); !reflect.DeepEqual(got, []string{"other"}) {
		t.Errorf("got %q", got)
	}
	want := filepath.Join(dir, "report-copy.yaml") + " and " + filepath.Join(dir, "report.yaml") + " have the same id; none of them is used"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("want an error that begins with\n%s\ngot\n%v", want, err)
	}
}

func TestReadDirTakesNoneOfTwoFilesWithOneWebhook(t *testing.T) {
	a, b, c := task.NewID(), task.NewID(), task.NewID()
	file := func(id task.ID, name, webhook string) string {
		return string(NewFile(id, name)) + "webhook: {" + webhook + "}\n"
	}
	for name, files := range map[string]map[string]string{
		"two webhooks":             {"a.yaml": file(a, "a", "id: "+string(c)), "b.yaml": file(b, "b", "id: "+string(c))},
		"a webhook and a former":   {"a.yaml": file(a, "a", "id: "+string(c)), "b.yaml": file(b, "b", "id: "+string(task.NewID())+", former: [{id: "+string(c)+", until: 2031-01-31}]")},
		"a webhook and a task's":   {"a.yaml": string(NewFile(c, "a")), "b.yaml": file(b, "b", "id: "+string(c))},
		"a former one and a tasks": {"a.yaml": file(c, "a", "id: "+string(a)), "b.yaml": file(b, "b", "id: "+string(task.NewID())+", former: [{id: "+string(c)+", until: 2031-01-31}]")},
	} {
		files["other.yaml"] = file(task.NewID(), "other", "id: "+string(task.NewID()))
		dir := folder(t, files)
		defs, err := ReadDir(dir)
		if got := names(defs); !reflect.DeepEqual(got, []string{"other"}) {
			t.Errorf("%s: got %q", name, got)
		}
		if want := " have one id both, as a task's or a webhook's; neither is used until it is removed from one"; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), string(c)) {
			t.Errorf("%s: want an error with %q, got\n%v", name, want, err)
		}
	}
}

func TestReadDirWithoutFolder(t *testing.T) {
	if _, err := ReadDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
	defs, err := ReadDir(t.TempDir())
	if len(defs) != 0 || err != nil {
		t.Errorf("an empty folder: got %v, %v", defs, err)
	}
}
