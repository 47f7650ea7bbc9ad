// Package xlsx writes a workbook of one sheet, row by row, holding no more than a row in memory.
// Every cell is text: what begins with = + - or @ is shown as it is and is never a formula.
package xlsx

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The limits that spreadsheet programs have; a workbook beyond them is not opened whole.
const (
	MaxRows    = 1 << 20
	MaxColumns = 1 << 14
	// MaxCell is in UTF-16 code units.
	MaxCell = 32767
)

// ErrLimit is the error of a row that a sheet cannot take.
var ErrLimit = errors.New("beyond what a sheet can hold")

// Fits reports whether a sheet's cell can hold the text.
func Fits(text string) bool {
	return len(text) <= MaxCell || len(utf16.Encode([]rune(text))) <= MaxCell
}

// Writer writes one workbook.
type Writer struct {
	zip   *zip.Writer
	sheet io.Writer
	rows  int
	line  bytes.Buffer
}

// The parts of a workbook besides its sheet, as ECMA-376 wants them at the least.
var parts = []struct{ name, content string }{
	{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>`},
	{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
	{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>` +
		`<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`},
	// Style 1 is the format "text", so that what a person types into a cell stays text as well.
	{"xl/styles.xml", `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
		`<fonts count="1"><font/></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
		`<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>` +
		`<cellXfs count="2"><xf/><xf numFmtId="49" applyNumberFormat="1"/></cellXfs></styleSheet>`},
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

// New begins a workbook whose sheet has a name, which must be one that a sheet may have.
func New(to io.Writer, sheet string) (*Writer, error) {
	w := &Writer{zip: zip.NewWriter(to)}
	workbook := `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">` +
		`<sheets><sheet name="` + sheet + `" sheetId="1" r:id="rId1"/></sheets></workbook>`
	for _, part := range append(parts[:len(parts):len(parts)], struct{ name, content string }{"xl/workbook.xml", workbook}) {
		if err := w.begin(part.name, part.content); err != nil {
			return nil, err
		}
	}
	return w, w.begin("xl/worksheets/sheet1.xml", `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
}

// begin begins a part; the last one begun is written to as sheet.
func (w *Writer) begin(name, content string) (err error) {
	if w.sheet, err = w.zip.Create(name); err == nil {
		_, err = io.WriteString(w.sheet, xmlHead+content)
	}
	if err != nil {
		return fmt.Errorf("write a workbook: %w", err)
	}
	return nil
}

// Write writes the next row; ErrLimit when the sheet cannot take it.
func (w *Writer) Write(cells []string) error {
	if w.rows == MaxRows || len(cells) > MaxColumns {
		return ErrLimit
	}
	w.rows++
	w.line.Reset()
	w.line.WriteString(`<row r="` + strconv.Itoa(w.rows) + `">`)
	for _, cell := range cells {
		if !Fits(cell) {
			return ErrLimit
		}
		w.line.WriteString(`<c s="1" t="inlineStr"><is><t xml:space="preserve">`)
		escape(&w.line, cell)
		w.line.WriteString(`</t></is></c>`)
	}
	w.line.WriteString(`</row>`)
	if _, err := w.sheet.Write(w.line.Bytes()); err != nil {
		return fmt.Errorf("write a workbook: %w", err)
	}
	return nil
}

// Close ends the workbook; it does not close what it was written to.
func (w *Writer) Close() error {
	_, err := io.WriteString(w.sheet, `</sheetData></worksheet>`)
	if err = errors.Join(err, w.zip.Close()); err != nil {
		return fmt.Errorf("write a workbook: %w", err)
	}
	return nil
}

// escape writes text as the content of an XML element. Characters that XML cannot hold are written
// as ECMA-376 has it, _xHHHH_, and so is the underscore of what only looks like that.
func escape(to *bytes.Buffer, text string) {
	for i, letter := range text {
		switch {
		case letter == '&':
			to.WriteString("&amp;")
		case letter == '<':
			to.WriteString("&lt;")
		case letter == '>':
			to.WriteString("&gt;")
		case letter == '\n' || letter == '\t':
			to.WriteRune(letter)
		case letter < ' ' || letter == 0xFFFE || letter == 0xFFFF:
			fmt.Fprintf(to, "_x%04X_", letter)
		case letter == '_' && isEscape(text[i:]):
			to.WriteString("_x005F_")
		default:
			to.WriteRune(letter)
		}
	}
}

func isEscape(text string) bool {
	return len(text) >= 7 && text[1] == 'x' && text[6] == '_' &&
		!strings.ContainsFunc(text[2:6], func(c rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", c) })
}
