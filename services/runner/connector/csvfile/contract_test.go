package csvfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/task"
)

// connections has the files connection drop on a folder.
func connections(t *testing.T, folder string) *connection.Set {
	t.Helper()
	set, err := connection.Parse([]byte("drop: {files: .}\n"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Files of text, as they are, compressed, and in another encoding.
func TestSourceContract(t *testing.T) {
	for name, c := range map[string]struct {
		from   task.CSVSource
		encode func(t *testing.T, text string) string
	}{
		"plain": {task.CSVSource{Path: "in.csv"}, func(_ *testing.T, text string) string { return text }},
		"gzip":  {task.CSVSource{Path: "in.csv.gz"}, func(t *testing.T, text string) string { return pipelinetest.Gzipped(t, text) }},
		"utf16": {task.CSVSource{Path: "in.txt", Encoding: "utf-16le"}, func(t *testing.T, text string) string { return encode(t, text, "utf-16le") }},
	} {
		job := func(t *testing.T, folder string) connector.Job {
			from := c.from
			from.Connection = "drop"
			return connector.Job{Connections: connections(t, folder), Task: &task.Definition{Source: &from}}
		}
		t.Run(name, func(t *testing.T) {
			connectortest.Source(t, connectortest.SourceHarness{
				Kind: csvfile.SourceKind{}, Versioned: true,
				New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
					folder := t.TempDir()
					return func(rows []connectortest.Row) connector.Job {
						if err := os.WriteFile(filepath.Join(folder, c.from.Path), []byte(c.encode(t, textOf(rows))), 0o600); err != nil {
							t.Fatal(err)
						}
						return job(t, folder)
					}
				},
				Missing: func(t *testing.T) connector.Job { return job(t, t.TempDir()) },
				Warned: func(t *testing.T) connector.Job {
					folder := t.TempDir()
					text := c.encode(t, "id,name\nAnn,\"Rome\nBob,Oslo\"\nCid,Bern\n")
					if err := os.WriteFile(filepath.Join(folder, c.from.Path), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					return job(t, folder)
				},
			})
		})
	}
}

func TestDestinationContract(t *testing.T) {
	for _, action := range []task.Action{task.Append, task.Replace} {
		job := func(t *testing.T, folder, path string) connector.Job {
			return connector.Job{Connections: connections(t, folder), Task: &task.Definition{
				Destination: &task.CSVDestination{Connection: "drop", Path: path, Action: action},
			}}
		}
		t.Run(string(action), func(t *testing.T) {
			connectortest.Destination(t, connectortest.DestinationHarness{
				Kind: csvfile.DestinationKind{}, Refused: []any{"a list"},
				New: func(t *testing.T) *connectortest.Place {
					folder := t.TempDir()
					path := filepath.Join(folder, "out.csv")
					return &connectortest.Place{
						Job:  job(t, folder, "out.csv"),
						Rows: func() []string { return linesOf(t, path) },
						Break: func() {
							broken := func() error { return os.Mkdir(path, 0o700) }
							if action == task.Append {
								broken = func() error { return os.WriteFile(path, []byte("other,columns\n"), 0o600) }
							}
							if err := broken(); err != nil {
								t.Fatal(err)
							}
						},
					}
				},
				Missing: func(t *testing.T) connector.Job { return job(t, t.TempDir(), "none/out.csv") },
			})
		})
	}
}

// linesOf are the rows of a file, none where it is no file, and makes sure that nothing is beside it.
func linesOf(t *testing.T, path string) (rows []string) {
	t.Helper()
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(beside) > 0 {
		t.Errorf("left over: %v, %v", beside, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[min(1, len(records)):] {
		rows = append(rows, connectortest.Line(record[0], record[1]))
	}
	return rows
}

// textOf is a file of the rows. What cannot be read any further is a quote that is never closed.
func textOf(rows []connectortest.Row) string {
	var text strings.Builder
	text.WriteString("id,name\n")
	for _, r := range rows {
		switch {
		case r.Broken:
			text.WriteString(r.ID + `,"` + r.Name + "\n")
		case r.Faulty:
			text.WriteString(r.ID + "," + r.Name + ",more\n")
		default:
			text.WriteString(r.ID + "," + r.Name + "\n")
		}
	}
	return text.String()
}
