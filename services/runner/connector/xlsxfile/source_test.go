package xlsxfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// number is a row under ID and Name whose Name is this cell.
func nameCell(attributes, inside string) string {
	return `<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row><row r="2"><c r="A2"><v>1</v></c><c r="B2" ` + attributes + ">" + inside + "</c></row>"
}

func TestCells(t *testing.T) {
	for name, c := range map[string]struct{ attributes, inside, want string }{
		"a shared text":         {`t="s"`, "<v>2</v>", "Zoë &amp; Co"},
		"an escaped text":       {`t="s"`, "<v>3</v>", "a\rb_x0041_"},
		"a text with a reading": {`t="s"`, "<v>4</v>", "漢字"},
		"an empty shared text":  {`t="s"`, "<v>5</v>", ""},
		"an inline text":        {`t="inlineStr"`, "<is><t>a</t></is>", "a"},
		"an inline rich text":   {`t="inlineStr"`, `<is><r><t>a </t></r><r><rPr/><t xml:space="preserve">b</t></r></is>`, "a b"},
		"CDATA":                 {`t="inlineStr"`, `<is><t><![CDATA[<b>]]></t></is>`, "<b>"},
		"a formula":             {``, "<f>A2*2</f><v>2</v>", "2"},
		"a formula with a text": {`t="str"`, "<f>A2&amp;\"x\"</f><v>1x</v>", "1x"},
		"a formula of nothing":  {`t="str"`, "<f>IF(A2&gt;0,&quot;&quot;,1)</f><v></v>", ""},
		"true":                  {`t="b"`, "<v>1</v>", "true"},
		"false":                 {`t="b"`, "<v>0</v>", "false"},
		"neither":               {`t="b"`, "<v> </v>", ""},
		"true as a word":        {`t="b"`, "<v> TRUE </v>", "true"},
		"nothing":               {``, "", ""},
		"style alone":           {`s="1"`, "", ""},
		"a whole number":        {``, "<v>12345678901234567890</v>", "12345678901234567890"},
		"leading zeros":         {`t="str"`, "<v>007</v>", "007"},
		"a decimal":             {``, "<v>12.50</v>", "12.5"},
		"a decimal by Excel":    {``, "<v>1.1000000000000001</v>", "1.1"},
		"a small number":        {``, "<v>1.5E-7</v>", "0.00000015"},
		"a large number":        {``, "<v>1E+20</v>", "100000000000000000000"},
		"money":                 {`s="7"`, "<v>-1234.5</v>", "-1234.5"},
		"a quoted d":            {`s="4"`, "<v>2.5</v>", "2.5"},
		"a date":                {`s="1"`, "<v>46053</v>", "2026-01-31"},
		"a date with time":      {`s="1"`, "<v>46053.75</v>", "2026-01-31"},
		"a date and time":       {`s="2"`, "<v>46053.770833333336</v>", "2026-01-31T18:30:00"},
		"midnight":              {`s="9"`, "<v>46053</v>", "2026-01-31T00:00:00"},
		"milliseconds":          {`s="9"`, "<v>46053.5000000116</v>", "2026-01-31T12:00:00.001"},
		"a month":               {`s="5"`, "<v>46023</v>", "2026-01-01"},
		"a time":                {`s="8"`, "<v>0.5</v>", "12:00:00"},
		"a time as AM":          {`s="6"`, "<v>0.25</v>", "06:00:00"},
		"an end of the day":     {`s="8"`, "<v>0.999999999</v>", "23:59:59.999"},
		"hours":                 {`s="3"`, "<v>1.5</v>", "36:00:00"},
		"few hours":             {`s="10"`, "<v>0.0625</v>", "01:30:00"},
		"an ISO date":           {`t="d" s="1"`, "<v>2026-01-31</v>", "2026-01-31"},
		"an unknown style":      {`s="99"`, "<v>5</v>", "5"},
		"a text styled a date":  {`s="1" t="str"`, "<v>soon</v>", "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			c.want = strings.ReplaceAll(c.want, "&amp;", "&")
			rows, err := read(t, newBook(nameCell(c.attributes, c.inside)).bytes(t), "")
			if want := []string{"ID|Name", "1|" + c.want}; err != nil || !slices.Equal(rows, want) {
				t.Errorf("got %q, %v; want %q", rows, err, want)
			}
		})
	}
}

func TestDaysFrom1904(t *testing.T) {
	b := newBook(nameCell(`s="1"`, "<v>44591</v>"))
	b["xl/workbook.xml"] = strings.Replace(b["xl/workbook.xml"], "<workbookPr/>", `<workbookPr date1904="1"/>`, 1)
	if rows, err := read(t, b.bytes(t), "members"); err != nil || rows[1] != "1|2026-01-31" {
		t.Errorf("got %q, %v", rows, err)
	}
}

func TestSheets(t *testing.T) {
	for name, c := range map[string]struct {
		rows, sheet string
		want        []string
		err         string
	}{
		"another sheet":    {"", "other sheet", []string{"ID", "7"}, ""},
		"a misspelled one": {"", "Membres", nil, "has no sheet Membres; did you mean Members? It has Members, Other Sheet"},
		"a missing one":    {"", "2024", nil, "has no sheet 2024; correct source.csv.sheet. It has Members, Other Sheet"},
		"a chart":          {"", "Chart", nil, "has no sheet Chart; "},
		"empty":            {"", "", nil, "the sheet Members in the file in.xlsx of connection drop is empty; its first row must name the columns"},
		"only a header":    {cells("ID", "Name"), "", []string{"ID|Name"}, ""},
		"empty rows around and between": {
			`<row r="1"/><row r="4">` + cells("", "ID", "Name")[5:] + `<row r="9">` + cells("", "1", "Ann")[5:] + cells("", "", "") + `<row r="20"><c r="B20" s="1"/></row>` + cells("", "2", "") + "<row/>",
			"",
			[]string{"ID|Name", "1|Ann", "2|"},
			"",
		},
		"gaps":             {`<row><c r="A1" t="s"><v>0</v></c><c r="AB1" t="s"><v>1</v></c></row><row><c r="AB2"><v>5</v></c></row>`, "", []string{"ID|Name", "|5"}, ""},
		"notes beside":     {cells("ID", "", "Name") + cells("1", "a note", "Ann") + cells("", "only a note", ""), "", []string{"ID|Name", "1|Ann"}, ""},
		"the header again": {cells("ID", "Name") + cells("1", "Ann") + cells("ID", "Name ") + cells("2", "Bob"), "", []string{"ID|Name", "1|Ann", "fault: is the header again", "2|Bob"}, ""},
		"the header in another case": {
			cells("ID", "Name") + cells("1", "Ann") + cells("id", "NAME") + cells("2", "Bob"), "",
			[]string{"ID|Name", "1|Ann", "fault: is the header again", "2|Bob"},
			"",
		},
		"the header in another order": {
			cells("ID", "Name", "City") + cells("1", "Ann", "Bonn") + cells("name", "City", "ID") + cells("Bob", "Ulm", "2") + cells("ID", "Name", "City") + cells("3", "Cid", "Kiel") + cells("name", "city", "name"), "",
			[]string{
				"ID|Name|City", "1|Ann|Bonn", "fault: names other columns than the header does: another table begins in row 3",
				"fault: stands below row 3, which names other columns than the header: it is not of the same table", "fault: is the header again", "3|Cid|Kiel", "name|city|name",
			},
			"",
		},
		"rows of spaces": {
			cells("ID", "Name") + cells("1", "Ann") + cells(" ", "\u00a0") + cells("", "\t\n") + cells("", "") + cells("", "\u2007\u3000 ") + cells("2", " "), "",
			[]string{"ID|Name", "1|Ann", "blank", "blank", "blank", "2| "},
			"",
		},
		"a space alone": {cells("ID") + cells(" ") + cells("1"), "", []string{"ID", " ", "1"}, ""},
		"errors as texts": {
			cells("ID", "Name") + cells("1", "#N/A") + `<row><c><v>2</v></c><c t="str"><f>x</f><v>#DIV/0!</v></c></row><row><c><v>3</v></c><c t="str"><f>x</f><v>Err:502</v></c></row>` + cells("4", "#1") + cells("5", "#NAME?"), "",
			[]string{
				"ID|Name", "fault: Name has an error of the workbook, such as #N/A, in the place of a value (cell B2)", "fault: Name has an error of the workbook, such as #N/A, in the place of a value (cell B3)",
				"fault: Name has an error of the workbook, such as #N/A, in the place of a value (cell B4)", "4|#1", "fault: Name has an error of the workbook, such as #N/A, in the place of a value (cell B6)",
			},
			"",
		},
		"its own name":            {cells("ID") + cells("ID"), "", []string{"ID", "ID"}, ""},
		"an error":                {cells("ID", "Name") + `<row><c><v>1</v></c><c t="e"><f>1/0</f><v>#DIV/0!</v></c></row>` + cells("2", "Bob"), "", []string{"ID|Name", "fault: Name has an error of the workbook, such as #N/A, in the place of a value (cell B2)", "2|Bob"}, ""},
		"merged cells":            {cells("ID", "Name") + cells("1", "Ann") + cells("", "Bob"), "", []string{"ID|Name", "1|Ann", "|Bob"}, ""},
		"a prefix":                {strings.NewReplacer("</", "</x:", "<", "<x:").Replace(cells("ID")), "", []string{"ID"}, ""},
		"an unknown text":         {`<row><c t="s"><v>99</v></c></row>`, "", nil, "is damaged"},
		"a column beyond the end": {`<row><c r="XFE1"><v>9</v></c></row>`, "", nil, "has a cell beyond the last column that a sheet can have, XFD"},
		"a column far beyond":     {`<row><c r="AAAAAAAAAAAA1"><v>9</v></c></row>`, "", nil, "has a cell beyond the last column"},
		"too many cells":          {"<row>" + strings.Repeat("<c/>", 16385) + "</row>", "", nil, "has a cell beyond the last column"},
		"too deep":                {strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200), "", nil, "is damaged"},
		"half a letter":           {cells("ID") + cells("a\xC3"), "", []string{"ID"}, "is damaged"},
		"cut off":                 {cells("ID") + cells("1") + "<row><c><v>2</v></c></row", "", []string{"ID", "1"}, "is damaged"},
		"an open row":             {cells("ID") + "<row><c><v>2</v></c>", "", []string{"ID"}, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := read(t, newBook(c.rows).bytes(t), c.sheet)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if !slices.Equal(rows, c.want) {
				t.Errorf("got %q, want %q", rows, c.want)
			}
		})
	}
}

// A workbook that cannot be read has an end that says so, and never reads as one with fewer rows.
func TestBrokenBooks(t *testing.T) {
	without := func(part string) []byte {
		b := newBook(cells("ID"))
		delete(b, part)
		return b.bytes(t)
	}
	with := func(part, content string) []byte {
		b := newBook(cells("ID"))
		b[part] = content
		return b.bytes(t)
	}
	good := newBook(cells("ID") + strings.Repeat(cells("1"), 1000)).bytes(t)
	damaged := bytes.Clone(good)
	for i := range 50 {
		damaged[len(damaged)/8+i] ^= 0xff
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"no zip":             {[]byte("ID,Name\n1,Ann\n"), "is a text file and no workbook"},
		"an old workbook":    {[]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + strings.Repeat("\x00", 512)), "is a workbook of the old kind .xls; save it as .xlsx or as CSV"},
		"nothing":            {nil, "is not a workbook"},
		"a half":             {good[:len(good)/2], "is not a workbook"},
		"damaged bytes":      {damaged, "is damaged"},
		"another zip":        {book{"a.txt": "hello"}.bytes(t), "is a zip archive"},
		"no sheet's part":    {without("xl/worksheets/sheet1.xml"), "is damaged"},
		"no sheets":          {with("xl/workbook.xml", "<workbook/>"), "has no sheet with rows"},
		"an empty sheet":     {with("xl/worksheets/sheet1.xml", ""), "is damaged"},
		"no XML":             {with("xl/worksheets/sheet1.xml", "hello"), "is empty; its first row must name the columns"},
		"styles of no XML":   {with("xl/styles.xml", "<"), "is damaged"},
		"texts of no XML":    {with("xl/sharedStrings.xml", "<sst><si>"), "is damaged"},
		"an entity":          {with("xl/sharedStrings.xml", `<!DOCTYPE x [<!ENTITY a "aaaa">]><sst><si><t>&a;</t></si></sst>`), "is damaged"},
		"a bomb of a sheet":  {lying(t, "xl/worksheets/sheet1.xml", 70<<20), "becomes more than 500 times as long"},
		"a bomb of texts":    {lying(t, "xl/sharedStrings.xml", 270<<20), "has a part of 270 MiB, and may have one of 256; save it as CSV"},
		"a part that lies":   {lying(t, "xl/sharedStrings.xml", 100), "is damaged"},
		"a bomb of styles":   {lying(t, "xl/styles.xml", 20<<20), "has a part of 20 MiB, and may have one of 16"},
		"a bomb of one cell": {with("xl/worksheets/sheet1.xml", sheetOf(cells("ID", strings.Repeat("a", 20<<20)))), "has a text of more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := read(t, c.content, "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d rows, %v; want %s", len(rows), err, c.want)
			}
		})
	}
}

func TestManyRowsAndTexts(t *testing.T) {
	var rows, texts strings.Builder
	texts.WriteString("<sst><si><t>ID</t></si><si><t>Name</t></si>")
	rows.WriteString(`<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>`)
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&texts, "<si><t>N%d</t></si>", i)
		fmt.Fprintf(&rows, `<row r="%d"><c r="A%d"><v>%d</v></c><c r="B%d" t="s"><v>%d</v></c></row>`, i+2, i+2, i, i+2, i+2)
	}
	b := newBook(rows.String())
	b["xl/sharedStrings.xml"] = texts.String() + "</sst>"
	got, err := read(t, b.bytes(t), "")
	if err != nil || len(got) != n+1 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i, text := range got[1:] {
		if want := strconv.Itoa(i) + "|N" + strconv.Itoa(i); text != want {
			t.Fatalf("row %d is %s", i+1, text)
		}
	}
}

// walk reads all that a workbook has.
func walk(content []byte) error {
	w, err := openWorkbook(context.Background(), bytes.NewReader(content), int64(len(content)))
	for i := 0; err == nil && i < len(w.sheets); i++ {
		var s *sheet
		if s, err = w.openSheet(w.sheets[i]); err != nil {
			return err
		}
		for err == nil {
			_, err = s.read()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		s.in.Close()
	}
	return err
}

// Whatever a sheet, the texts and the styles hold, the workbook is read or says why not.
func FuzzWorkbook(f *testing.F) {
	b := newBook(nameCell(`s="2"`, "<v>46053.5</v>"))
	f.Add(b["xl/worksheets/sheet1.xml"], b["xl/sharedStrings.xml"], b["xl/styles.xml"], b["xl/workbook.xml"])
	f.Add("<row><c r=\"ZZ\"/></row>", "<si><t>_x0041", `<styleSheet><numFmts><numFmt formatCode='[h"'/></numFmts></styleSheet>`, "<workbook/>")
	f.Fuzz(func(t *testing.T, sheet, texts, styles, workbook string) {
		b := newBook("")
		b["xl/worksheets/sheet1.xml"], b["xl/sharedStrings.xml"], b["xl/styles.xml"], b["xl/workbook.xml"] = sheet, texts, styles, workbook
		expectProblem(t, walk(b.bytes(t)))
	})
}

func FuzzZip(f *testing.F) {
	f.Add(newBook(nameCell(`s="2"`, "<v>46053.5</v>")).bytes(f))
	f.Fuzz(func(t *testing.T, content []byte) { expectProblem(t, walk(content)) })
}

func expectProblem(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[problem](err); err != nil && !ok {
		t.Errorf("not a problem: %v", err)
	}
}

// A cell's format is found in whatever code, and its text or its fault in whatever number.
func FuzzFormat(f *testing.F) {
	f.Add(`[$-409]yyyy\-mm "d";@`, "46053.5")
	f.Add(`[h]:mm`, "1e300")
	f.Add(`[<=9999999]###\-####;(###) 000`, "-42.5")
	f.Fuzz(func(t *testing.T, code, text string) {
		for _, from1904 := range []bool{false, true} {
			format := formatOf(code)
			if c := format.cell(text, from1904); !c.given || format == nil && c.text == "" && c.fault == 0 {
				t.Errorf("%q as %q is %+v", text, code, c)
			}
		}
	})
}
