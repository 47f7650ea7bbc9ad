package csvfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"
)

// Told is what the first bytes of a file say that it is.
type Told struct {
	// Workbook: a workbook that Runhook reads, .xlsx or .xlsm.
	Workbook bool
	// Text: it may well be a text.
	Text bool
	// Other is why the file is neither a workbook nor a text, and goes on where its name ends; "" if it may
	// be either.
	Other string
}

// jsonBeginning is how objects of JSON begin, and lists of them.
var jsonBeginning = regexp.MustCompile(`^(\{\s*"|\[\s*\{)`)

// sqliteMark and zipMark are what databases, and workbooks and other archives, begin with.
const (
	sqliteMark = "SQLite format 3\x00"
	zipMark    = "PK\x03\x04"
)

// NoWorkbook is said of a text where a workbook is expected.
const NoWorkbook = "is a text file and no workbook; give it a name that ends in .csv, or correct source.csv.path"

// The programs that save a table as something else under a name that ends in .xls or .csv are many.
const (
	saveAs     = "; save it as .xlsx or as CSV"
	oldKind    = "is a workbook of the old kind .xls" + saveAs
	encrypted  = "is a workbook with a password; save it without one, as .xlsx"
	openDoc    = "is an OpenDocument spreadsheet (.ods)" + saveAs
	binaryKind = "is a binary workbook (.xlsb)" + saveAs
	webPage    = "is a web page (HTML) with a table, whatever its name says; open it in a spreadsheet program, and save it as .xlsx or as CSV"
	markup     = "is XML, such as a workbook of Excel 2003; open it in a spreadsheet program, and save it as .xlsx or as CSV"
	archive    = "is a zip archive; unpack it, or correct source.csv.path"
	compressed = "is compressed by gzip; give it a name that ends in .gz"
	database   = "is a SQLite database; make it a connection, as in db: {sqlite: …}, and read it with source.sql"
	parquet    = "is a Parquet file; save it as CSV"
	jsonText   = "is JSON and no table of text; save it as CSV, or read it from the service that gives it, with source.http"
	document   = "is a PDF; save the table in it as .xlsx or as CSV"
)

// Tell looks at the beginning of a file that is that long, and at the list of what is in an archive.
func Tell(file io.ReaderAt, size int64) Told {
	head := make([]byte, min(size, 512))
	n, _ := file.ReadAt(head, 0) // what cannot be read is seen when it is read
	return tell(head[:n], file, size)
}

func tell(head []byte, file io.ReaderAt, size int64) Told {
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head[:min(len(head), 512)], []byte("\xEF\xBB\xBF"))))
	begins := func(with string) bool { return bytes.HasPrefix(text, []byte(with)) }
	begun := func(with string) bool { return bytes.HasPrefix(head, []byte(with)) }
	switch {
	case begun(zipMark):
		return tellArchive(file, size)
	case begun("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"):
		return Told{Other: tellCompound(head, file)}
	case begun("\x1F\x8B\x08"):
		return Told{Other: compressed}
	case begun(sqliteMark):
		return Told{Other: database}
	case begun("PAR1"):
		return Told{Other: parquet}
	case jsonBeginning.Match(text):
		return Told{Other: jsonText}
	case begins("%pdf-"):
		return Told{Other: document}
	case begins("<!doctype html"), begins("<html"), begins("<table"), begins("<meta"):
		return Told{Other: webPage}
	case begins("<?xml") && bytes.Contains(text, []byte("<html")):
		return Told{Other: webPage}
	case begins("<?xml") && bytes.Contains(text, []byte("opendocument")):
		return Told{Other: openDoc}
	case begins("<?xml"):
		return Told{Other: markup}
	}
	return Told{Text: len(head) > 0 && bytes.IndexByte(head, 0) < 0}
}

// maxParts and maxDirectory bound how many parts an archive has, and the list of them, which the zip reader holds in
// memory.
const (
	maxParts     = 10_000
	maxDirectory = 8 << 20
)

// ErrParts: an archive has more parts than any workbook.
var ErrParts = fmt.Errorf("more than %d parts", maxParts)

// Archive reads the list of an archive's parts.
func Archive(file io.ReaderAt, size int64) (*zip.Reader, error) {
	listed := &directory{in: file, left: maxDirectory}
	archive, err := zip.NewReader(listed, size)
	if listed.left < 0 || err == nil && len(archive.File) > maxParts {
		return nil, ErrParts
	}
	listed.read = true
	return archive, err
}

// directory is an archive of which no more than left is read until the list of its parts has been read.
type directory struct {
	in   io.ReaderAt
	left int
	read bool
}

func (d *directory) ReadAt(p []byte, at int64) (int, error) {
	if !d.read {
		if d.left -= len(p); d.left < 0 {
			return 0, ErrParts
		}
	}
	return d.in.ReadAt(p, at)
}

// tellArchive takes an archive that cannot be read for a workbook, of which its reader says what is wrong.
func tellArchive(file io.ReaderAt, size int64) Told {
	list, err := Archive(file, size)
	if err != nil {
		return Told{Workbook: true}
	}
	told := Told{Other: archive}
	for _, part := range list.File {
		name := strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(part.Name, `\`, "/"), "/"))
		switch {
		case name == "xl/workbook.bin":
			return Told{Other: binaryKind}
		case name == "mimetype" && isSpreadsheet(part):
			return Told{Other: openDoc}
		case name == "[content_types].xml" || strings.HasPrefix(name, "xl/"):
			told = Told{Workbook: true}
		}
	}
	return told
}

// isSpreadsheet reports whether the part that says what an OpenDocument is says that it is a spreadsheet.
func isSpreadsheet(part *zip.File) bool {
	in, err := part.Open()
	if err != nil {
		return false
	}
	defer in.Close()
	kind, err := io.ReadAll(io.LimitReader(in, 100))
	return err == nil && strings.HasPrefix(string(kind), "application/vnd.oasis.opendocument.spreadsheet")
}

// tellCompound tells a workbook of the old kind from one with a password, by the names in the file's
// directory.
func tellCompound(head []byte, file io.ReaderAt) string {
	if len(head) < 0x34 {
		return oldKind
	}
	sector := int64(1) << min(binary.LittleEndian.Uint16(head[0x1E:]), 16)
	directory := make([]byte, 4<<10)
	n, _ := file.ReadAt(directory, (int64(binary.LittleEndian.Uint32(head[0x30:]))+1)*sector)
	var name []byte
	for _, unit := range utf16.Encode([]rune("EncryptedPackage")) {
		name = binary.LittleEndian.AppendUint16(name, unit)
	}
	if bytes.Contains(directory[:n], name) {
		return encrypted
	}
	return oldKind
}
