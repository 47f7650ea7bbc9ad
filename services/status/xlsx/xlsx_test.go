package xlsx_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"runhook/services/status/xlsx"
)

// write makes a workbook of one row.
func write(t *testing.T, cells ...string) []byte {
	t.Helper()
	var book bytes.Buffer
	w, err := xlsx.New(&book, "Rows")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(cells); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return book.Bytes()
}

// read reads the cells as a spreadsheet program does.
func read(t *testing.T, book []byte) (cells []string) {
	t.Helper()
	files, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	part, err := files.Open("xl/worksheets/sheet1.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	var sheet struct {
		Cells []struct {
			Text string `xml:"is>t"`
		} `xml:"sheetData>row>c"`
	}
	if err := xml.NewDecoder(part).Decode(&sheet); err != nil {
		t.Fatal(err)
	}
	escaped := regexp.MustCompile("_x([0-9A-Fa-f]{4})_")
	for _, c := range sheet.Cells {
		cells = append(cells, escaped.ReplaceAllStringFunc(c.Text, func(e string) string {
			code, err := strconv.ParseUint(e[2:6], 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			return string(rune(code))
		}))
	}
	return cells
}

func FuzzCells(f *testing.F) {
	for _, text := range []string{"", "=1+1", "a\r\nb\x00\x01", "_x0041_", "__x0041__", "_x005F_x0041_", "\uFFFE\uFFFF", " <&>\"' ", "🙂"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || !xlsx.Fits(text) {
			t.Skip() // stored rows are UTF-8
		}
		if got := read(t, write(t, text, "after")); len(got) != 2 || got[0] != text || got[1] != "after" {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}

func TestLimits(t *testing.T) {
	w, err := xlsx.New(new(bytes.Buffer), "Rows")
	if err != nil {
		t.Fatal(err)
	}
	// A letter outside the basic plane counts twice.
	for text, fits := range map[string]bool{
		strings.Repeat("é", xlsx.MaxCell): true, strings.Repeat("x", xlsx.MaxCell+1): false, strings.Repeat("🙂", xlsx.MaxCell/2+1): false,
	} {
		if err := w.Write([]string{text}); errors.Is(err, xlsx.ErrLimit) == fits {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	if err := w.Write(make([]string, xlsx.MaxColumns+1)); !errors.Is(err, xlsx.ErrLimit) {
		t.Errorf("too many columns: %v", err)
	}
}
