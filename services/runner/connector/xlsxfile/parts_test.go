package xlsxfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/run"
	"runhook/shared/task"
)

// state gives the sheets of a workbook their states.
func (b book) state(members, other string) {
	text := strings.Replace(b["xl/workbook.xml"], `name="Members"`, `name="Members" state="`+members+`"`, 1)
	b["xl/workbook.xml"] = strings.Replace(text, `name="Other Sheet"`, `name="Other Sheet" state="`+other+`"`, 1)
}

// Without a name the first sheet is read that a person sees.
func TestHiddenSheets(t *testing.T) {
	for _, state := range []string{"hidden", "veryHidden", "veryhidden"} {
		b := newBook(cells("ID") + cells("1"))
		b.state(state, "visible")
		expectRows(t, b, "", "ID", "7")
		expectRows(t, b, "members", "ID", "1")
		b.state("visible", state)
		b = newBook(cells("ID") + cells("1"))
		b.state("visible", state)
		expectRows(t, b, "", "ID", "1")
		expectRows(t, b, "Other Sheet", "ID", "7")
	}
	b := newBook(cells("ID"))
	b.state("hidden", "veryHidden")
	if _, err := read(t, b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), "hides all its sheets; name one in source.csv.sheet. It has Members, Other Sheet") {
		t.Errorf("got %v", err)
	}
}

// withTable puts a table of these cells into the first sheet.
func (b book) withTable(attributes string) {
	b["xl/worksheets/_rels/sheet1.xml.rels"] = `<Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/table" Target="../tables/table1.xml"/>
		<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink" Target="https://example.org" TargetMode="External"/></Relationships>`
	b["xl/tables/table1.xml"] = `<table id="1" name="T" displayName="T" ` + attributes + `><autoFilter ref="A1:B3"/></table>`
}

// The total row of a table is no row of it.
func TestTotalRows(t *testing.T) {
	total := `<row><c t="inlineStr"><is><t>Total</t></is></c><c><f>SUBTOTAL(109,T[Name])</f></c></row>`
	for name, c := range map[string]struct {
		rows, table string
		want        []string
	}{
		"at the end":       {cells("ID", "Name") + cells("1", "5") + cells("2", "6") + total, `ref="A1:B4" totalsRowCount="1"`, []string{"1|5", "2|6"}},
		"two rows":         {cells("ID", "Name") + cells("1", "5") + total + total, `ref="A1:B4" totalsRowCount="2"`, []string{"1|5"}},
		"rows below":       {cells("ID", "Name") + cells("1", "5") + total + cells("2", "6"), `ref="A1:B3" totalsRowCount="1"`, []string{"1|5", "2|6"}},
		"of some columns":  {cells("ID", "Name") + cells("1", "5") + cells("2", "6"), `ref="B1:C3" totalsRowCount="1"`, []string{"1|5", "2|"}},
		"beside the table": {cells("ID", "Name") + cells("1", "5") + cells("2", "6"), `ref="D1:E3" totalsRowCount="1"`, []string{"1|5", "2|6"}},
		"once shown":       {cells("ID", "Name") + cells("1", "5") + cells("2", "6"), `ref="A1:B3" totalsRowShown="1"`, []string{"1|5", "2|6"}},
		"none":             {cells("ID", "Name") + cells("1", "5") + cells("2", "6"), `ref="A1:B3" totalsRowCount="0"`, []string{"1|5", "2|6"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(c.rows)
			b.withTable(c.table)
			expectRows(t, b, "", append([]string{"ID|Name"}, c.want...)...)
		})
	}
	b := newBook(cells("ID"))
	b.withTable(`ref="A1:B3" totalsRowCount="1"`)
	b["xl/tables/table1.xml"] = "<table"
	if _, err := read(t, b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("got %v", err)
	}
	delete(b, "xl/tables/table1.xml")
	expectRows(t, b, "", "ID")
}

// Parts go by names in any letter case, and a workbook need not have texts or styles.
func TestParts(t *testing.T) {
	with := func(change func(b book)) book {
		b := newBook(cells("ID", "Name") + `<row><c s="1"><v>5</v></c><c t="inlineStr"><is><t>Ann</t></is></c></row>`)
		change(b)
		return b
	}
	rename := func(old, name string) func(b book) {
		return func(b book) { b[name] = b[old]; delete(b, old) }
	}
	date := func(b book) {
		b["xl/worksheets/sheet1.xml"] = strings.Replace(b["xl/worksheets/sheet1.xml"], "<v>5</v>", "<v>46053</v>", 1)
	}
	for name, c := range map[string]struct {
		b    book
		want string
	}{
		"no texts":          {with(func(b book) { delete(b, "xl/sharedStrings.xml"); date(b) }), "2026-01-31|Ann"},
		"no styles":         {with(func(b book) { delete(b, "xl/styles.xml") }), "5|Ann"},
		"neither":           {with(func(b book) { delete(b, "xl/styles.xml"); delete(b, "xl/sharedStrings.xml") }), "5|Ann"},
		"styles of nothing": {with(func(b book) { b["xl/styles.xml"] = "<styleSheet/>" }), "5|Ann"},
		"a large sheet":     {with(func(b book) { date(b); rename("xl/worksheets/sheet1.xml", "xl/Worksheets/Sheet1.XML")(b) }), "2026-01-31|Ann"},
		"large styles":      {with(func(b book) { rename("xl/styles.xml", "XL/Styles.xml")(b); date(b) }), "2026-01-31|Ann"},
		"a large workbook":  {with(func(b book) { rename("xl/workbook.xml", "xl/Workbook.xml")(b); date(b) }), "2026-01-31|Ann"},
		"large relations":   {with(func(b book) { rename("_rels/.rels", "_RELS/.RELS")(b); date(b) }), "2026-01-31|Ann"},
	} {
		t.Run(name, func(t *testing.T) { expectRows(t, c.b, "", "ID|Name", c.want) })
	}
	b := newBook(`<row><c t="s"><v>0</v></c></row>`)
	delete(b, "xl/sharedStrings.xml")
	if _, err := read(t, b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a text that the workbook does not have: %v", err)
	}
}

// A cell that holds a moment as text is what it would be if it held the number.
func TestMomentsAsText(t *testing.T) {
	for name, c := range map[string]struct{ style, value, want string }{
		"a Z":                {"2", "2026-01-31T18:30:00.000Z", "2026-01-31T18:30:00"},
		"no Z":               {"2", "2026-01-31T18:30:00", "2026-01-31T18:30:00"},
		"a space":            {"9", "2026-01-31 18:30", "2026-01-31T18:30:00"},
		"a day":              {"1", "2026-01-31T00:00:00.000Z", "2026-01-31"},
		"a day with a clock": {"1", "2026-01-31T18:30:00Z", "2026-01-31"},
		"a day alone":        {"1", "2026-01-31", "2026-01-31"},
		"a day as moment":    {"2", "2026-01-31", "2026-01-31T00:00:00"},
		"a clock":            {"8", "18:30:00", "18:30:00"},
		"a moment as clock":  {"8", "2026-01-31T18:30:00Z", "18:30:00"},
		"a clock as date":    {"1", "18:30:00.5", "18:30:00.5"},
		"no format":          {"0", "2026-01-31T18:30:00Z", "2026-01-31T18:30:00"},
		"a day, no format":   {"0", "2026-01-31", "2026-01-31"},
		"hours":              {"3", "PT36H30M00S", "36:30:00"},
		"few hours":          {"3", "PT1H", "01:00:00"},
		"the end of a day":   {"2", "2026-01-31T23:59:59.999999", "2026-01-31T23:59:59.999"},
		"rounded":            {"2", "2026-01-31T18:29:59.999999", "2026-01-31T18:30:00"},
		"an early day":       {"1", "1850-05-03", "1850-05-03"},
		"a zone":             {"2", "2026-01-31T18:30:00+02:00", "fault"},
		"no day":             {"1", "2026-02-30", "fault"},
		"a word":             {"1", "soon", "fault"},
		"a wrong duration":   {"3", "PTx", "fault"},
		"hours below 0":      {"3", "PT-1H", "fault"},
	} {
		want := "1|" + c.want
		if c.want == "fault" {
			want = "fault: Name has no date that can be read in a cell of that kind (cell B2)"
		}
		t.Run(name, func(t *testing.T) {
			expectRows(t, newBook(nameCell(`t="d" s="`+c.style+`"`, "<v>"+c.value+"</v>")), "", "ID|Name", want)
		})
	}
}

// The sheets of a workbook are listed for people who choose one: those that they see.
func TestSheetsAreListed(t *testing.T) {
	sheets := func(content []byte) ([]string, error) {
		t.Helper()
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "in.xlsx"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := connection.Parse([]byte("drop: {files: .}"), filepath.Join(folder, "connections.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return Sheets(t.Context(), set, &task.CSVSource{Connection: "drop", Path: "in.xlsx"})
	}
	b := newBook(cells("ID"))
	if got, err := sheets(b.bytes(t)); err != nil || !slices.Equal(got, []string{"Members", "Other Sheet"}) {
		t.Errorf("%q %v", got, err)
	}
	b.state("hidden", "visible")
	if got, err := sheets(b.bytes(t)); err != nil || !slices.Equal(got, []string{"Other Sheet"}) {
		t.Errorf("%q %v", got, err)
	}
	_, err := sheets([]byte("id\n1\n"))
	if _, failed := errors.AsType[*run.Failure](err); !failed {
		t.Errorf("%v", err)
	}
}
