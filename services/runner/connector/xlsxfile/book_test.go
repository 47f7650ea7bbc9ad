package xlsxfile

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// book is a workbook to write: the parts by their names.
type book map[string]string

const head = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

// newBook has one sheet, Members, with these rows of XML.
func newBook(rows string) book {
	return book{
		"[Content_Types].xml": head + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
		"_rels/.rels": head + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
			<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml": head + `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
			<workbookPr/><sheets><sheet name="Chart" sheetId="3" r:id="rId9"/><sheet name="Members" sheetId="1" r:id="rId1"/><sheet name="Other Sheet" sheetId="2" r:id="rId2"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": head + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
			<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>
			<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="/xl/worksheets/sheet2.xml"/>
			<Relationship Id="rId9" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/chartsheet" Target="chartsheets/sheet1.xml"/>
			<Relationship Id="rId3" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>
			<Relationship Id="rId4" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>`,
		"xl/styles.xml": head + `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
			<numFmts count="9"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd hh:mm"/><numFmt numFmtId="165" formatCode="[h]:mm:ss"/><numFmt numFmtId="166" formatCode="0.00 &quot;days&quot;"/>
			<numFmt numFmtId="167" formatCode="[$-409]mmmm\ yyyy;@"/><numFmt numFmtId="168" formatCode="h:mm AM/PM"/><numFmt numFmtId="169" formatCode="[Red]#,##0_);(#,##0)"/></numFmts>
			<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
			<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/><xf numFmtId="167"/><xf numFmtId="168"/><xf numFmtId="169"/><xf numFmtId="21"/><xf numFmtId="22"/><xf numFmtId="46"/></cellXfs></styleSheet>`,
		"xl/sharedStrings.xml": head + `<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="9" uniqueCount="9">
			<si><t>ID</t></si><si><t xml:space="preserve"> Name </t></si><si><r><rPr><b/></rPr><t>Zo</t></r><r><t>ë &amp; Co</t></r></si><si><t>a_x000D_b_x005F_x0041_</t></si><si><t>漢字</t><rPh sb="0" eb="1"><t>かんじ</t></rPh></si><si/></sst>`,
		"xl/worksheets/sheet1.xml": sheetOf(rows),
		"xl/worksheets/sheet2.xml": sheetOf(`<row><c t="inlineStr"><is><t>ID</t></is></c></row><row><c><v>7</v></c></row>`),
	}
}

func sheetOf(rows string) string {
	return head + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:C9"/><sheetData>` + rows + `</sheetData><mergeCells><mergeCell ref="A2:A3"/></mergeCells></worksheet>`
}

// cells is a row of inline texts.
func cells(texts ...string) string {
	var out strings.Builder
	out.WriteString("<row>")
	for _, text := range texts {
		fmt.Fprintf(&out, `<c t="inlineStr"><is><t>%s</t></is></c>`, text)
	}
	out.WriteString("</row>")
	return out.String()
}

func (b book) bytes(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	pack, err := flate.NewWriter(nil, 5) // one for all parts: zip makes new ones, of a megabyte each
	if err != nil {
		t.Fatal(err)
	}
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { pack.Reset(out); return pack, nil })
	// Always in the same order, the sheet first: a test that damages bytes must hit the same ones.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(b))) {
		part, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(part, b[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// lying is a workbook with a part that says of itself to have another length than it has.
func lying(t testing.TB, name string, length uint64) []byte {
	t.Helper()
	var out, packed bytes.Buffer
	text := strings.Repeat("<a/>", 1000)
	pack, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(pack, text)
	_ = pack.Close()
	w := zip.NewWriter(&out)
	for part, content := range newBook(cells("ID")) {
		var to io.Writer
		if part == name {
			content = packed.String()
			to, err = w.CreateRaw(&zip.FileHeader{
				Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(text)), CompressedSize64: uint64(packed.Len()), UncompressedSize64: length,
			})
		} else {
			to, err = w.Create(part)
		}
		if err == nil {
			_, err = io.WriteString(to, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// open opens the first sheet of a workbook.
func open(t testing.TB, b book) *Source {
	t.Helper()
	s, err := openFile(t, t.TempDir(), b.bytes(t), &task.CSVSource{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openFile opens a workbook with this content in a folder.
func openFile(t testing.TB, folder string, content []byte, from *task.CSVSource) (*Source, error) {
	t.Helper()
	return openWith(t.Context(), t, folder, content, from)
}

func openWith(ctx context.Context, t testing.TB, folder string, content []byte, from *task.CSVSource) (*Source, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "in.xlsx"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := connection.Parse([]byte("drop: {files: .}"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	from.Connection, from.Path = "drop", "in.xlsx"
	return Open(ctx, set, from)
}

// read reads a sheet: the header, then the rows, cells with bars between; faults as "fault: …".
func read(t testing.TB, content []byte, sheet string) (rows []string, err error) {
	t.Helper()
	return readAs(t, content, &task.CSVSource{Sheet: sheet})
}

// readAs reads a workbook as a source says.
func readAs(t testing.TB, content []byte, from *task.CSVSource) (rows []string, err error) {
	t.Helper()
	folder := t.TempDir()
	s, err := openFile(t, folder, content, from)
	if err != nil {
		if _, ok := errors.AsType[*run.Failure](err); !ok || strings.Contains(err.Error(), folder) {
			t.Errorf("not a failure: %v", err)
		}
		return nil, err
	}
	defer s.Close()
	names := s.Columns().Names
	rows = append(rows, strings.Join(names, "|"))
	values := make([]any, len(names))
	for before := 0.0; ; {
		clear(values)
		size, err := s.Next(t.Context(), values)
		part, _ := s.Progress()
		if part < before || part > 1 || size < 0 {
			t.Fatalf("progress from %v to %v", before, part)
		}
		before = part
		if fault, ok := errors.AsType[*row.Fault](err); ok {
			rows = append(rows, "fault: "+fault.Error())
			continue
		}
		if errors.Is(err, row.ErrBlank) {
			rows = append(rows, "blank")
			continue
		}
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			if _, ok := errors.AsType[*run.Failure](err); !ok {
				t.Errorf("neither a fault nor a failure: %v", err)
			}
			return rows, err
		}
		var texts []string
		for _, value := range values {
			texts = append(texts, value.(string))
		}
		if got := s.Record().Texts(); strings.Join(got, "|") != strings.Join(texts, "|") {
			t.Errorf("the record is %q, the row %q", got, texts)
		}
		rows = append(rows, strings.Join(texts, "|"))
	}
}
