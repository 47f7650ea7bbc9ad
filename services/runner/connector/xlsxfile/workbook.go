package xlsxfile

import (
	"archive/zip"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"runhook/shared/nearest"
)

// The bounds of what a workbook may unpack to. A part is as long as the workbook says, for the zip
// reader holds it to that; so it is refused before it is read. maxStrings bounds the memory for the
// workbook's texts, which must all be there.
const (
	maxParts     = 10_000
	maxSmallPart = 16 << 20
	maxStrings   = 256 << 20
	maxSheet     = 8 << 30
	// maxExpansion bounds how many times as long as in the file a part may be, when it is longer than
	// freeExpansion.
	maxExpansion  = 500
	freeExpansion = 64 << 20
)

// A problem is what is wrong with a workbook; it goes on where the file's name ends.
type problem string

func (p problem) Error() string { return string(p) }

var (
	errNoWorkbook = problem("is not a workbook of the kind .xlsx; save one of the kind .xls, or one with a password, as .xlsx without password")
	errDamaged    = problem("is damaged, or not a workbook of the kind .xlsx; open it in a spreadsheet program and save it anew")
)

// workbook is an open .xlsx file.
type workbook struct {
	parts map[string]*zip.File
	// main is the part that lists the sheets.
	main   string
	sheets []sheetEntry
	// from1904: days are counted from 1904 and not from 1900.
	from1904 bool
	// recalculated: the workbook asks to be calculated when it is opened, because the values that its
	// formulas had may be others.
	recalculated bool
	styles       []format
	texts        texts
}

// sheetEntry is a sheet of tables in the workbook's list.
type sheetEntry struct {
	name, part string
	// hidden: a person does not see the sheet without showing it first, or cannot.
	hidden bool
}

// relations are what a part refers to.
type relations struct {
	Relation []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

// openWorkbook reads what all sheets need. An error is a problem, or of reading the file.
func openWorkbook(in io.ReaderAt, size int64) (*workbook, error) {
	archive, err := zip.NewReader(in, size)
	switch {
	case errors.Is(err, zip.ErrFormat):
		return nil, errNoWorkbook
	case err != nil:
		return nil, errDamaged
	case len(archive.File) > maxParts:
		return nil, problem(fmt.Sprintf("has more than %d parts, which no workbook has", maxParts))
	}
	w := &workbook{parts: map[string]*zip.File{}}
	for _, part := range archive.File {
		// Some programs write the names with a slash before them, or with backslashes.
		w.parts[partName(strings.TrimPrefix(strings.ReplaceAll(part.Name, `\`, "/"), "/"))] = part
	}
	if err := w.readMain(); err != nil {
		return nil, err
	}
	return w, nil
}

// readMain reads the workbook's own part and those it refers to, but for the sheets.
func (w *workbook) readMain() error {
	root, err := w.relations("")
	if err != nil {
		return err
	}
	for _, r := range root.Relation {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			w.main = resolve("", r.Target)
		}
	}
	if w.main == "" {
		return errNoWorkbook
	}
	var book struct {
		Properties struct {
			Date1904 string `xml:"date1904,attr"`
		} `xml:"workbookPr"`
		Calculation struct {
			OnLoad string `xml:"fullCalcOnLoad,attr"`
			Force  string `xml:"forceFullCalc,attr"`
		} `xml:"calcPr"`
		Sheets []struct {
			Name       string     `xml:"name,attr"`
			State      string     `xml:"state,attr"`
			Attributes []xml.Attr `xml:",any,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := w.decode(w.main, &book); err != nil {
		return err
	}
	w.from1904 = isTrue(book.Properties.Date1904)
	w.recalculated = isTrue(book.Calculation.OnLoad) || isTrue(book.Calculation.Force)
	related, err := w.relations(w.main)
	if err != nil {
		return err
	}
	for _, s := range book.Sheets {
		at := slices.IndexFunc(s.Attributes, func(a xml.Attr) bool { return a.Name.Local == "id" })
		for _, r := range related.Relation {
			// Sheets of charts have another type, and no rows.
			if at >= 0 && r.ID == s.Attributes[at].Value && strings.HasSuffix(r.Type, "/worksheet") {
				w.sheets = append(w.sheets, sheetEntry{name: s.Name, part: resolve(w.main, r.Target), hidden: strings.Contains(strings.ToLower(s.State), "hidden")})
			}
		}
	}
	for _, r := range related.Relation {
		switch part := resolve(w.main, r.Target); {
		case !w.has(part): // a workbook may have no texts and no styles, and name their parts
		case strings.HasSuffix(r.Type, "/styles"):
			err = w.readStyles(part)
		case strings.HasSuffix(r.Type, "/sharedStrings"):
			err = w.readTexts(part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isTrue(attribute string) bool { return attribute == "1" || attribute == "true" }

// relations reads what a part refers to; "" is the file itself.
func (w *workbook) relations(part string) (r relations, err error) {
	err = w.decode(relationsOf(part), &r)
	return r, err
}

// relationsOf is the part that says what a part refers to.
func relationsOf(part string) string {
	folder, name := path.Split(part)
	return folder + "_rels/" + name + ".rels"
}

// resolve is the name of a part that another refers to.
func resolve(from, target string) string {
	target = strings.ReplaceAll(target, `\`, "/")
	if strings.HasPrefix(target, "/") {
		return path.Clean(target)[1:]
	}
	return path.Join(path.Dir(from), target)
}

// totals are the total rows of the tables in a sheet.
func (w *workbook) totals(s sheetEntry) (totals []area, err error) {
	if !w.has(relationsOf(s.part)) {
		return nil, nil
	}
	related, err := w.relations(s.part)
	if err != nil {
		return nil, err
	}
	for _, r := range related.Relation {
		part := resolve(s.part, r.Target)
		if !strings.HasSuffix(r.Type, "/table") || !w.has(part) {
			continue
		}
		var table struct {
			Cells string `xml:"ref,attr"`
			Rows  int    `xml:"totalsRowCount,attr"`
		}
		if err := w.decode(part, &table); err != nil {
			return nil, err
		}
		if a, ok := areaOf(table.Cells); ok {
			a.fromRow = a.toRow - table.Rows + 1
			totals = append(totals, a)
		}
	}
	return totals, nil
}

// partName is a part's name as it is looked up: names that differ in letter case alone are the same.
func partName(part string) string { return strings.ToLower(part) }

// has reports whether the workbook has a part.
func (w *workbook) has(part string) bool { return w.parts[partName(part)] != nil }

// decode reads a small part whole.
func (w *workbook) decode(part string, into any) error {
	in, _, err := w.open(part, maxSmallPart)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := xml.NewDecoder(in).Decode(into); err != nil {
		return errDamaged
	}
	return nil
}

// open opens a part of at most that length, and returns how long it is.
func (w *workbook) open(part string, most uint64) (in io.ReadCloser, size uint64, err error) {
	file := w.parts[partName(part)]
	switch {
	case file == nil:
		return nil, 0, errDamaged
	case file.UncompressedSize64 > most:
		return nil, 0, problem(fmt.Sprintf("has a part of %d MiB, and may have one of %d; save it as CSV", file.UncompressedSize64>>20, most>>20))
	case file.UncompressedSize64 > freeExpansion && file.UncompressedSize64/maxExpansion > file.CompressedSize64:
		return nil, 0, problem(fmt.Sprintf("has a part that becomes more than %d times as long when it is unpacked, which no table does", maxExpansion))
	}
	if in, err = file.Open(); err != nil {
		return nil, 0, errDamaged
	}
	return in, file.UncompressedSize64, nil
}

// find returns the sheet of a name, in any letter case as spreadsheet programs have it, or the first
// that a person sees.
func (w *workbook) find(name string) (sheetEntry, error) {
	var names []string
	for _, s := range w.sheets {
		if name == "" && !s.hidden || name != "" && strings.EqualFold(s.name, name) {
			return s, nil
		}
		names = append(names, s.name)
	}
	switch {
	case len(names) == 0:
		return sheetEntry{}, problem("has no sheet with rows")
	case name == "":
		return sheetEntry{}, problem("hides all its sheets; name one in source.csv.sheet. It has " + strings.Join(names, ", "))
	}
	return sheetEntry{}, problem("has no sheet " + name + cmp.Or(nearest.Hint(name, names), "; correct source.csv.sheet.") + " It has " + strings.Join(names, ", "))
}
