//go:build bench

package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/thedatashed/xlsxreader"
)

const sheetRows = 200_000

// copySheet: rows/s of a sheet of a workbook into SQLite, beside a loop that only reads the rows with
// the fastest library there is for it, and writes none.
func (b *bench) copySheet() {
	s := b.serve("interval", "sheet")
	defer s.stop()
	input := filepath.Join(s.dir, "big.xlsx")
	b.writeWorkbook(input)
	var ours, bare []float64
	for range rounds {
		_ = os.Remove(filepath.Join(s.dir, "copy.db"))
		doc := s.document(b, s.postAndWait(b, s.task("sheet")))
		if doc.StatusDescription != "Success" || doc.RowsInserted != sheetRows {
			b.t.Fatalf("sheet: %+v", doc)
		}
		ours = append(ours, sheetRows/(float64(doc.DurationMs)/1000))
		bare = append(bare, b.bareSheet(input))
	}
	b.compare("rows XLSX to SQLite, insert", median(ours), median(bare), "/s", "thedatashed/xlsxreader alone, which writes nothing")
	b.row("peak memory, 200,000 rows of XLSX", fmt.Sprintf("%d MB", s.peakMemory(b)), "", "", "")
}

func (b *bench) bareSheet(input string) float64 {
	began := time.Now()
	file, err := xlsxreader.OpenFile(input)
	b.check(err)
	defer file.Close()
	rows := -1 // the header
	for row := range file.ReadRows(file.Sheets[0]) {
		b.check(row.Error)
		rows++
	}
	if rows != sheetRows {
		b.t.Fatalf("the library read %d rows", rows)
	}
	return sheetRows / time.Since(began).Seconds()
}

// writeWorkbook writes a sheet as spreadsheet programs do, with its texts in a part of their own.
func (b *bench) writeWorkbook(path string) {
	const main, office = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	const relations = `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`
	file, err := os.Create(path)
	b.check(err)
	book := zip.NewWriter(file)
	part := func(name, text string) io.Writer {
		w, err := book.Create(name)
		b.check(err)
		_, err = io.WriteString(w, text)
		b.check(err)
		return w
	}
	part("_rels/.rels", relations+`<Relationship Id="rId1" Type="`+office+`/officeDocument" Target="xl/workbook.xml"/></Relationships>`)
	part("xl/workbook.xml", `<workbook xmlns="`+main+`" xmlns:r="`+office+`"><sheets><sheet name="People" sheetId="1" r:id="rId1"/></sheets></workbook>`)
	part("xl/_rels/workbook.xml.rels", relations+`<Relationship Id="rId1" Type="`+office+`/worksheet" Target="worksheets/sheet1.xml"/>`+
		`<Relationship Id="rId2" Type="`+office+`/styles" Target="styles.xml"/><Relationship Id="rId3" Type="`+office+`/sharedStrings" Target="sharedStrings.xml"/></Relationships>`)
	part("xl/styles.xml", `<styleSheet xmlns="`+main+`"><cellXfs><xf numFmtId="0"/></cellXfs></styleSheet>`)
	texts := part("xl/sharedStrings.xml", `<sst xmlns="`+main+`"><si><t>id</t></si><si><t>first</t></si><si><t>last</t></si><si><t>email</t></si><si><t>city</t></si><si><t>Springfield</t></si>`)
	for i := range sheetRows {
		_, err = fmt.Fprintf(texts, "<si><t>First%d</t></si><si><t>Last%d</t></si><si><t>person%d@example.org</t></si>", i, i, i)
		b.check(err)
	}
	_, err = io.WriteString(texts, "</sst>")
	b.check(err)
	sheet := part("xl/worksheets/sheet1.xml", `<worksheet xmlns="`+main+`"><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c><c r="D1" t="s"><v>3</v></c><c r="E1" t="s"><v>4</v></c></row>`)
	for i := range sheetRows {
		r, text := i+2, 6+3*i
		_, err = fmt.Fprintf(sheet, `<row r="%d"><c r="A%d"><v>%d</v></c><c r="B%d" t="s"><v>%d</v></c><c r="C%d" t="s"><v>%d</v></c><c r="D%d" t="s"><v>%d</v></c><c r="E%d" t="s"><v>5</v></c></row>`, r, r, i, r, text, r, text+1, r, text+2, r)
		b.check(err)
	}
	_, err = io.WriteString(sheet, "</sheetData></worksheet>")
	b.check(err)
	b.check(book.Close())
	b.check(file.Close())
}
