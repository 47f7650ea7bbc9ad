package xlsxfile

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/csvfile"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The bounds of what a workbook may unpack to. A part is as long as the workbook says, for the zip
// reader holds it to that; so it is refused before it is read. maxStrings bounds the memory for the
// workbook's texts, which must all be there.
const (
	maxSmallPart = 16 << 20
	// maxSmallParts bounds those together that are no sheet and hold no texts.
	maxSmallParts = 64 << 20
	maxStrings    = 256 << 20
	maxSheet      = 8 << 30
	// maxExpansion bounds how many times as long as in the file a part may be, when it is longer than
	// freeExpansion.
	maxExpansion  = 500
	freeExpansion = 64 << 20
)

// The bounds of what a workbook may list.
const (
	maxSheets    = 10_000
	maxRelations = 10_000
	maxTables    = 1000
	maxStyles    = 100_000
)

// maxToken bounds an element with its attributes, or a text. maxSheetName bounds the name of a sheet, of which
// spreadsheet programs take 31 letters.
const (
	maxToken     = 1 << 20
	maxSheetName = 255
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
	// during is the context of whoever reads.
	during context.Context
	parts  map[string]*zip.File
	// small is how long the small parts are that were read.
	small uint64
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

// relation is that of a part to another, its target.
type relation struct{ id, kind, target string }

// openWorkbook reads what all sheets need. An error is a problem, of reading the file, or ctx's.
func openWorkbook(ctx context.Context, in io.ReaderAt, size int64) (*workbook, error) {
	archive, err := csvfile.Archive(in, size)
	switch {
	case errors.Is(err, csvfile.ErrParts):
		return nil, problem("has " + err.Error() + ", which no workbook has")
	case errors.Is(err, zip.ErrFormat):
		return nil, errNoWorkbook
	case err != nil:
		return nil, errDamaged
	}
	w := &workbook{during: ctx, parts: map[string]*zip.File{}}
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
	for _, r := range root {
		if strings.HasSuffix(r.kind, "/officeDocument") {
			w.main = resolve("", r.target)
		}
	}
	if w.main == "" {
		return errNoWorkbook
	}
	related, err := w.relations(w.main)
	if err != nil {
		return err
	}
	parts, firsts := map[string]string{}, map[string]string{} // by the id, and the first of a kind
	for _, r := range related {
		part, kind := resolve(w.main, r.target), path.Base(r.kind)
		if kind == "worksheet" { // sheets of charts have another type, and no rows
			parts[r.id] = part
		} else if firsts[kind] == "" && w.has(part) { // a workbook may have no texts and no styles, and name their parts
			firsts[kind] = part
		}
	}
	if err := w.readSheets(parts); err != nil {
		return err
	}
	if part := firsts["styles"]; part != "" {
		if err := w.readStyles(part); err != nil {
			return err
		}
	}
	if part := firsts["sharedStrings"]; part != "" {
		return w.readTexts(part)
	}
	return nil
}

// readSheets reads the list of the sheets, whose parts are named by an id.
func (w *workbook) readSheets(parts map[string]string) error {
	return w.each(w.main, func(parent string, e xml.StartElement) error {
		switch e.Name.Local {
		case "workbookPr":
			w.from1904 = isTrue(attribute(e, "date1904"))
		case "calcPr":
			w.recalculated = isTrue(attribute(e, "fullCalcOnLoad")) || isTrue(attribute(e, "forceFullCalc"))
		case "sheet":
			at := slices.IndexFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == "id" })
			if parent != "sheets" || at < 0 || parts[e.Attr[at].Value] == "" {
				return nil
			}
			name := attribute(e, "name")
			if len(name) > maxSheetName {
				return errDamaged
			}
			w.sheets = append(w.sheets, sheetEntry{name: name, part: parts[e.Attr[at].Value], hidden: strings.Contains(strings.ToLower(attribute(e, "state")), "hidden")})
			return most(len(w.sheets), maxSheets, "sheets")
		}
		return nil
	})
}

// most is the problem of a workbook with more of something than it may have.
func most(count, most int, what string) error {
	if count <= most {
		return nil
	}
	return problem(fmt.Sprintf("has more than %d %s; save the sheet as CSV", most, what))
}

func isTrue(attribute string) bool { return attribute == "1" || attribute == "true" }

// relations reads what a part refers to; "" is the file itself.
func (w *workbook) relations(part string) (related []relation, err error) {
	err = w.each(relationsOf(part), func(_ string, e xml.StartElement) error {
		if e.Name.Local == "Relationship" {
			related = append(related, relation{attribute(e, "Id"), attribute(e, "Type"), attribute(e, "Target")})
		}
		return most(len(related), maxRelations, "relations of one part")
	})
	return related, err
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
	for _, r := range related {
		part := resolve(s.part, r.target)
		if !strings.HasSuffix(r.kind, "/table") || !w.has(part) {
			continue
		}
		err := w.each(part, func(parent string, e xml.StartElement) error {
			if parent != "" {
				return nil
			}
			if a, ok := areaOf(attribute(e, "ref")); ok {
				rows, _ := strconv.Atoi(attribute(e, "totalsRowCount"))
				a.fromRow = a.toRow - rows + 1
				totals = append(totals, a)
			}
			return most(len(totals), maxTables, "tables in a sheet")
		})
		if err != nil {
			return nil, err
		}
	}
	return totals, nil
}

// partName is a part's name as it is looked up: names that differ in letter case alone are the same.
func partName(part string) string { return strings.ToLower(part) }

// has reports whether the workbook has a part.
func (w *workbook) has(part string) bool { return w.parts[partName(part)] != nil }

// each reads a small part, and hands its elements to do, each with the name of the one that it is in.
func (w *workbook) each(part string, do func(parent string, e xml.StartElement) error) error {
	in, size, err := w.open(part, maxSmallPart)
	if err != nil {
		return err
	}
	defer in.Close()
	if w.small += size; w.small > maxSmallParts {
		return problem(fmt.Sprintf("has more than %d MiB beside its sheets and texts; save the sheet as CSV", maxSmallParts>>20))
	}
	limited := &bound{in: in}
	tokens := xml.NewDecoder(limited)
	within := []string{""}
	for began := false; ; {
		limited.left = maxToken
		token, err := tokens.RawToken()
		switch {
		case errors.Is(err, io.EOF) && began && len(within) == 1:
			return nil
		case err != nil:
			return w.damaged()
		}
		switch token := token.(type) {
		case xml.StartElement:
			began = true
			if len(within) > maxDepth {
				return errDamaged
			}
			if err := do(within[len(within)-1], token); err != nil {
				return err
			}
			within = append(within, token.Name.Local)
		case xml.EndElement:
			if within = within[:len(within)-1]; len(within) == 0 {
				return errDamaged
			}
		}
	}
}

// damaged is why a part cannot be read any further: it is damaged, unless whoever reads it is to stop.
func (w *workbook) damaged() error {
	if err := w.during.Err(); err != nil {
		return err
	}
	return errDamaged
}

// part is what a part unpacks to, as long as whoever reads it is not to stop.
type part struct {
	io.ReadCloser
	book *workbook
}

func (p part) Read(to []byte) (int, error) {
	if err := p.book.during.Err(); err != nil {
		return 0, err
	}
	return p.ReadCloser.Read(to)
}

// open opens a part of at most that length, and returns how long it is.
func (w *workbook) open(name string, most uint64) (in io.ReadCloser, size uint64, err error) {
	file := w.parts[partName(name)]
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
	return part{in, w}, file.UncompressedSize64, nil
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
		return sheetEntry{}, problem("hides all its sheets; name one in source.csv.sheet. It has " + some(names))
	}
	return sheetEntry{}, problem("has no sheet " + name + cmp.Or(nearest.Hint(name, names), "; correct source.csv.sheet.") + " It has " + some(names))
}

// some are as many names as a message has room for.
func some(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Sheets are the names of a workbook's sheets that a person sees, in their order. Whatever is wrong is a [*run.Failure],
// or ctx's.
func Sheets(ctx context.Context, connections *connection.Set, from *task.CSVSource) (names []string, err error) {
	file, info, err := csvfile.OpenFile(connections, from)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	book, err := openWorkbook(ctx, file, info.Size())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, run.Failf("the file %v", err)
	}
	for _, s := range book.sheets {
		if !s.hidden {
			names = append(names, s.name)
		}
	}
	return names, nil
}
