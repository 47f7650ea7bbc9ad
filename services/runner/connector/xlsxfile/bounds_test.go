package xlsxfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/connector/connectortest"
	"runhook/shared/task"
)

const relationTypes = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"

// related is relations of a kind to a part, each with its own id.
func related(kind, part string, count int) string {
	var out strings.Builder
	for i := range count {
		fmt.Fprintf(&out, `<Relationship Id="x%d" Type="%s" Target="%s"/>`, i, relationTypes+kind, part)
	}
	return out.String()
}

// withRelations adds relations to those of the workbook.
func (b book) withRelations(text string) book {
	const part = "xl/_rels/workbook.xml.rels"
	b[part] = strings.Replace(b[part], "</Relationships>", text+"</Relationships>", 1)
	return b
}

// withSheets lists so many sheets, all of one id.
func (b book) withSheets(count int) book {
	b["xl/workbook.xml"] = strings.Replace(b["xl/workbook.xml"], "</sheets>", strings.Repeat(`<sheet name="S" r:id="x1"/>`, count)+"</sheets>", 1)
	return b
}

// Whatever a workbook lists has a bound, and so has what it holds.
func TestBounds(t *testing.T) {
	with := func(change func(b book)) book {
		b := newBook(cells("ID") + cells("1"))
		change(b)
		return b
	}
	part := func(name, text string) book { return with(func(b book) { b[name] = text }) }
	sheet := func(rows string) book { return newBook(cells("ID") + rows) }
	long := strings.Repeat("x", maxToken+(8<<10))
	arrays := strings.Repeat(`<c r="C1"><f t="array" ref="C1:D9"/></c>`, maxArrays+1)
	for name, c := range map[string]struct {
		b    book
		want string
	}{
		"sheets":    {with(func(b book) { b.withRelations(related("worksheet", "worksheets/sheet1.xml", 2)).withSheets(maxSheets) }), "has more than 10000 sheets"},
		"relations": {with(func(b book) { b.withRelations(related("hyperlink", "x", maxRelations)) }), "has more than 10000 relations"},
		"a sheet's name": {with(func(b book) {
			b["xl/workbook.xml"] = strings.Replace(b["xl/workbook.xml"], `"Members"`, `"`+strings.Repeat("M", 256)+`"`, 1)
		}), "is damaged"},
		"styles":             {part("xl/styles.xml", "<s><cellXfs>"+strings.Repeat("<xf/>", maxStyles+1)+"</cellXfs></s>"), "has more than 100000 styles"},
		"a format's code":    {part("xl/styles.xml", `<s><numFmts><numFmt formatCode="`+strings.Repeat("x", maxCode+1)+`"/></numFmts></s>`), "is damaged"},
		"a text":             {part("xl/sharedStrings.xml", "<sst><si><t>"+long+"</t></si></sst>"), "has a text of more than 1 MiB"},
		"a text in pieces":   {part("xl/sharedStrings.xml", "<sst><si>"+strings.Repeat("<r><t>"+long[:maxToken/2]+"</t></r>", 3)+"</si></sst>"), "has a text of more than 1 MiB"},
		"attributes":         {part("xl/sharedStrings.xml", "<sst><si "+strings.Repeat(`a="" `, maxToken/5+2000)+"/></sst>"), "has a text of more than 1 MiB"},
		"other attributes":   {part("xl/styles.xml", "<sst "+strings.Repeat(`a="" `, maxToken/5+2000)+"/>"), "is damaged"},
		"a cell's text":      {sheet(cells(long)), "has a text of more than 1 MiB"},
		"a cell's attribute": {sheet(`<row><c ` + strings.Repeat(`a="" `, maxToken/5+2000) + `/></row>`), "has a text of more than 1 MiB"},
		"depth":              {part("xl/styles.xml", strings.Repeat("<a>", maxDepth+1)), "is damaged"},
		"a row's number":     {sheet(`<row r="9223372036854775807"><c><f ref="A1:B2"/></c></row>`), "has a row beyond the last"},
		"arrays":             {sheet(`<row>` + arrays + `</row>`), "has more than 1,000 formulas of many cells"},
		"tables": {with(func(b book) {
			b.withTable(`ref="A1:B3"`)
			b["xl/worksheets/_rels/sheet1.xml.rels"] = "<Relationships>" + related("table", "../tables/table1.xml", maxTables+1) + "</Relationships>"
		}), "has more than 1000 tables"},
		"one text many times": {with(func(b book) {
			b["xl/sharedStrings.xml"] = "<sst><si><t>" + long[:maxToken/2] + "</t></si></sst>"
			b["xl/worksheets/sheet1.xml"] = sheetOf(cells("ID") + "<row>" + strings.Repeat(`<c t="s"><v>0</v></c>`, 33) + "</row>")
		}), "has a row of more than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(t, c.b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	for name, parts := range map[string]struct{ count, name int }{"parts": {10_001, 1}, "long names": {200, 60_000}} {
		b := newBook("")
		for i := range parts.count {
			b[strings.Repeat("n", parts.name)+fmt.Sprint(i)] = ""
		}
		if _, err := read(t, b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), "has more than 10000 parts") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The parts beside the sheets have a bound together.
func TestSmallPartsTogether(t *testing.T) {
	b := newBook(cells("ID"))
	b.withTable(`ref="A1:B3"`)
	content := b.bytes(t)
	w, err := openWorkbook(t.Context(), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	w.small = maxSmallParts - 100
	if _, err := w.openSheet(w.sheets[0]); err == nil || !strings.Contains(err.Error(), "has more than 64 MiB beside its sheets and texts") {
		t.Errorf("got %v", err)
	}
}

// A row has a bound whatever it is made of.
func TestRowBytes(t *testing.T) {
	content := newBook(cells("ID", strings.Repeat("x", 10_000))).bytes(t)
	w, err := openWorkbook(t.Context(), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.openSheet(w.sheets[0])
	if err != nil {
		t.Fatal(err)
	}
	if s.left = 5000; !errors.Is(s.readRow(1), errRowTooLong) {
		t.Error("a row was read beyond its bound")
	}
}

// Sheets find their parts by their ids, and texts and styles are read once, however often they are named.
func TestRelationsAreLookedUp(t *testing.T) {
	const count = 3000
	b := newBook(cells("ID") + cells("1"))
	b.withSheets(count).withRelations(strings.Repeat(`<Relationship Id="x1" Type="`+relationTypes+`worksheet" Target="worksheets/sheet1.xml"/>`, count) +
		related("styles", "styles.xml", count) + related("sharedStrings", "sharedStrings.xml", count))
	content := b.bytes(t)
	w, err := openWorkbook(t.Context(), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.sheets) != count+2 || len(w.styles) != 11 || w.texts.count != 6 {
		t.Errorf("%d sheets, %d styles, %d texts", len(w.sheets), len(w.styles), w.texts.count)
	}
}

// Whoever reads a workbook can be stopped in each of its parts, and between rows that come to nothing.
func TestReadingStops(t *testing.T) {
	blank := strings.Repeat("<row/>", 50_000)
	for name, b := range map[string]book{
		"styles": func() book {
			b := newBook(cells("ID"))
			b["xl/styles.xml"] = "<s>" + strings.Repeat("<a/>", 50_000) + "</s>"
			return b
		}(),
		"texts": func() book {
			b := newBook(cells("ID"))
			b["xl/sharedStrings.xml"] = "<s>" + strings.Repeat("<a/>", 50_000) + "</s>"
			return b
		}(),
		"before rows": newBook(strings.Repeat("<a/>", 50_000) + cells("ID")),
		"blank rows":  newBook(cells("ID") + blank),
		"a formula's": newBook(cells("ID") + `<row><c r="B2"><f ref="B2:C1048576"/></c></row>`),
	} {
		t.Run(name, func(t *testing.T) {
			asked := 40
			ctx := connectortest.Ending(t.Context(), &asked)
			s, err := openWith(ctx, t, t.TempDir(), b.bytes(t), &task.CSVSource{})
			if err == nil {
				defer s.Close()
				if _, err = s.Next(ctx, make([]any, 1)); err == nil {
					err = s.Skip(ctx, 1)
				}
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}
