package connection_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/run"
)

func TestParse(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_DIR", "./data: {x: 1}\n# not structure")
	t.Setenv("RUNHOOK_TEST_EMPTY", "")
	folder := t.TempDir()
	set, err := connection.Parse([]byte(`
# connections
warehouse: {sqlite: ./data/warehouse.db}
other:
  sqlite: "/var/lib/${RUNHOOK_TEST_EMPTY}other.db"
odd: {sqlite: "${RUNHOOK_TEST_DIR}"}
literal: {sqlite: "$${HOME}$x"}
`), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"warehouse": filepath.Join(folder, "data/warehouse.db"),
		"other":     "/var/lib/other.db",
		"odd":       filepath.Join(folder, "./data: {x: 1}\n# not structure"),
		"literal":   filepath.Join(folder, "${HOME}$x"),
	} {
		if got, err := set.Database(name); err != nil || got.SQLite != want || got.Name != name {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_SECRET", "hunter2")
	for text, want := range map[string]string{
		"a:\n  sqlite: ${RUNHOOK_TEST_UNSET}":           "c.yaml:2: the environment variable RUNHOOK_TEST_UNSET is not set",
		"\n\na: {sqlite: '${RUNHOOK_TEST_SECRET'}":      "c.yaml:3: ${ must be followed",
		"a: {sqlite: '${}'}":                            "c.yaml:1: ${ must be followed",
		"a: {sqlite: '${a b}'}":                         "c.yaml:1: ${ must be followed",
		"a: {sqllite: ./x}":                             `c.yaml:1: the connection a has the unknown kind "sqllite"; did you mean sqlite?`,
		"a: {s3: ./x}":                                  "; the kinds are sqlite, postgres, mysql, files, http",
		"a: {sqlite: x}\nb: {sqlserver: x}":             "c.yaml:2: the connection b: sqlserver is not supported yet",
		"a: {sqlite: ./x, files: ./y}":                  "must have exactly one kind",
		"a: {}":                                         "must have exactly one kind",
		"a: hunter2":                                    "must have exactly one kind",
		"a: {sqlite: [hunter2]}":                        "sqlite must be a path",
		"a: {sqlite: }":                                 "sqlite must be a path",
		"a: {sqlite: ''}":                               "must be a path, and not empty",
		"a: {sqlite: x}\nb: {files: y}\na: {sqlite: z}": "c.yaml:3: the connection a is given twice; first on line 1",
		"- a":                                 "must be a mapping of connections",
		"hunter2":                             "must be a mapping of connections",
		"a: {sqlite: 'hunter2":                "is not valid YAML",
		"a: b: hunter2":                       "c.yaml:1: is not valid YAML",
		"a: {sqlite: x}\n---\nb: {sqlite: y}": "more than one YAML document",
		"a: &x {sqlite: y}\nb: *x":            "c.yaml:2: the connection b must have exactly one kind",
		"'': {sqlite: x}":                     "name must be text",
	} {
		_, err := connection.Parse([]byte(text), "c.yaml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", text, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n"} {
		if _, err := connection.Parse([]byte(text), "c.yaml"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLookup(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "connections.yaml")
	if err := os.WriteFile(file, []byte("warehouse: {sqlite: w.db}\ndrop: {files: .}\ngone: {files: ./gone}\nfile: {files: ./connections.yaml}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := connection.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	_, unknown := set.Database("warehose")
	_, wrongKind := set.Database("drop")
	_, gone := set.Files("gone")
	_, notFolder := set.Files("file")
	_, none := (*connection.Set)(nil).Files("drop")
	_, zero := (&connection.Set{}).Database("warehouse")
	for want, err := range map[string]error{
		"there is no connection warehose in connections.yaml; did you mean warehouse? It has drop, file, gone, warehouse.":       unknown,
		"the connection drop in connections.yaml is of kind files; the task needs one of kind sqlite or postgres or mysql there": wrongKind,
		"the folder of connection gone does not exist":                                              gone,
		"connection file is not a folder":                                                           notFolder,
		"the runner has no connections; add it to its connections file, as in drop: {files: ":       none,
		"the runner has no connections; add it to its connections file, as in warehouse: {sqlite: ": zero,
	} {
		var failure *run.Failure
		if !errors.As(err, &failure) || !strings.Contains(failure.Message, want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err != nil && strings.Contains(err.Error(), folder) {
			t.Errorf("the error shows a path of the machine: %v", err)
		}
	}
	if _, err := connection.Load(filepath.Join(folder, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// A files connection is a fence: neither dots nor links lead out of it.
func TestFilesStayInside(t *testing.T) {
	outside := t.TempDir()
	inside := filepath.Join(outside, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret.csv"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../secret.csv", filepath.Join(inside, "link.csv")); err != nil {
		t.Fatal(err)
	}
	set, err := connection.Parse([]byte("drop: {files: inside}"), filepath.Join(outside, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := set.Files("drop")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, path := range []string{"../secret.csv", "link.csv", filepath.Join(outside, "secret.csv")} {
		if f, err := root.Open(path); err == nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
}

// A folder that is put in another's place is the connection's from then on, but for whoever keeps it.
func TestReplacedFolder(t *testing.T) {
	outside := t.TempDir()
	inside := filepath.Join(outside, "inside")
	set, err := connection.Parse([]byte("drop: {files: inside}"), filepath.Join(outside, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	keeping, release := set.Keep()
	show := func(from *connection.Set) string {
		t.Helper()
		folder, err := from.Files("drop")
		if err != nil {
			return err.Error()
		}
		defer folder.Close()
		content, err := folder.ReadFile("which")
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	made := func(content string) {
		t.Helper()
		if err := errors.Join(os.Mkdir(inside, 0o700), os.WriteFile(filepath.Join(inside, "which"), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	made("first")
	for range 2 {
		if got := show(set) + " " + show(keeping); got != "first first" {
			t.Errorf("got %s", got)
		}
	}
	if err := os.Rename(inside, inside+".old"); err != nil {
		t.Fatal(err)
	}
	if got := show(set); !strings.Contains(got, "does not exist") {
		t.Errorf("after the folder went: %s", got)
	}
	made("second")
	if got := show(set) + " " + show(keeping); got != "second first" {
		t.Errorf("got %s", got)
	}
	kept, err := keeping.Files("drop")
	if err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := kept.Stat("which"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after the release the folder is still open: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("warehouse: {sqlite: ./data/${HOME}}\n"))
	f.Add([]byte("a: &x {files: y}\nb: *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = connection.Parse(data, "c.yaml")
	})
}
