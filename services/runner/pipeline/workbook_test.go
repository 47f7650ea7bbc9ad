package pipeline_test

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/shared/run"
	"runhook/shared/task"
)

// workbook writes a workbook with one sheet, Members, of such rows; a cell that begins with a digit is
// a number.
func (b *bench) workbook(name string, rows ...[]string) {
	b.t.Helper()
	const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	var sheet strings.Builder
	sheet.WriteString("<worksheet><sheetData>")
	for _, cells := range rows {
		sheet.WriteString("<row>")
		for _, text := range cells {
			if text != "" && '0' <= text[0] && text[0] <= '9' {
				fmt.Fprintf(&sheet, "<c><v>%s</v></c>", text)
			} else {
				fmt.Fprintf(&sheet, `<c t="inlineStr"><is><t>%s</t></is></c>`, text)
			}
		}
		sheet.WriteString("</row>")
	}
	sheet.WriteString("</sheetData></worksheet>")
	file, err := os.Create(filepath.Join(b.folder, name))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	book := zip.NewWriter(file)
	for part, text := range map[string]string{
		"_rels/.rels":                `<Relationships><Relationship Id="a" Type="` + office + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook xmlns:r="` + office + `"><sheets><sheet name="Members" r:id="a"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="a" Type="` + office + `/worksheet" Target="sheet.xml"/></Relationships>`,
		"xl/sheet.xml":               sheet.String(),
	} {
		w, err := book.Create(part)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func TestWorkbookIsRead(t *testing.T) {
	b := newBench(t)
	b.workbook("in.XLSX", []string{"ID", "Name", "Age"}, []string{"1", "Ann", "41"}, nil, []string{"ID", "Name", "Age"}, []string{"2.50", "Bob"}, []string{"", "", ""})
	b.job.Task.Source = &task.CSVSource{Connection: "drop", Path: "in.XLSX", Sheet: "members"}
	b.mapping("id", "ID", "name", `upper(Name) + Age`)
	s := b.succeed(run.Counts{Retrieved: 3, Inserted: 2, Failed: 1})
	b.rowErrors(s, run.RowError{Row: 2, Message: "is the header again"})
	if got := b.query("select id, name from members"); got != "1 ANN41; 2.50 BOB" {
		t.Errorf("got %s", got)
	}
	b.job.Task.Source.(*task.CSVSource).Sheet = "Membres"
	b.fail("has no sheet Membres; did you mean Members?")
	b.job.Task.Source.(*task.CSVSource).Sheet = ""
	b.mapping("id", "Id")
	b.fail("unknown column Id; did you mean ID?")
}

// A workbook stays in its folder like any file.
func TestWorkbookStaysInside(t *testing.T) {
	b := newBench(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(b.folder, "out")); err != nil {
		t.Fatal(err)
	}
	other := &bench{t: t, folder: outside}
	other.workbook("in.xlsx", []string{"ID"})
	b.job.Task.Source = &task.CSVSource{Connection: "drop", Path: "out/in.xlsx"}
	b.fail("links must not lead out of it")
	b.job.Task.Source.(*task.CSVSource).Path = "none.xlsx"
	b.fail("does not exist")
}

// Files that were put behind each other have their header again.
func TestHeaderAgain(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n ID ,\"Name\"\n2,ID\nID,\n")
	s := b.succeed(run.Counts{Retrieved: 4, Inserted: 3, Failed: 1})
	b.rowErrors(s, run.RowError{Row: 2, Message: "is the header again"})
}
