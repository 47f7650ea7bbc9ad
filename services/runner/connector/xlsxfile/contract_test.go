package xlsxfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/csvfile"
	"runhook/shared/task"
)

func TestSourceContract(t *testing.T) {
	job := func(t *testing.T, folder string) connector.Job {
		set, err := connection.Parse([]byte("drop: {files: .}"), filepath.Join(folder, "connections.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return connector.Job{Connections: set, Task: &task.Definition{Source: &task.CSVSource{Connection: "drop", Path: "in.xlsx"}}}
	}
	connectortest.Source(t, connectortest.SourceHarness{
		Kind: csvfile.SourceKind{Workbook: Workbook}, Versioned: true,
		New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
			folder := t.TempDir()
			return func(rows []connectortest.Row) connector.Job {
				if err := os.WriteFile(filepath.Join(folder, "in.xlsx"), newBook(sheetRows(rows)).bytes(t), 0o600); err != nil {
					t.Fatal(err)
				}
				return job(t, folder)
			}
		},
		Warned: func(t *testing.T) connector.Job {
			folder := t.TempDir()
			b := newBook(cells("id", "name") + `<row><c><v>1</v></c><c><f>A2</f><v>0</v></c></row>` + cells("2", "Ann"))
			b.calculated("fullCalcOnLoad=\"1\"")
			if err := os.WriteFile(filepath.Join(folder, "in.xlsx"), b.bytes(t), 0o600); err != nil {
				t.Fatal(err)
			}
			return job(t, folder)
		},
		Missing: func(t *testing.T) connector.Job { return job(t, t.TempDir()) },
	})
}

// sheetRows are the rows of a sheet, with one below each that has nothing in it.
func sheetRows(rows []connectortest.Row) string {
	var text strings.Builder
	text.WriteString(cells("id", "name"))
	for _, r := range rows {
		switch {
		case r.Broken:
			text.WriteString("<row><c></row>")
		case r.Faulty:
			text.WriteString(`<row><c t="inlineStr"><is><t>` + r.ID + `</t></is></c><c t="e"><v>#N/A</v></c></row>`)
		default:
			text.WriteString(cells(r.ID, r.Name))
		}
		text.WriteString("<row/>")
	}
	return text.String()
}
