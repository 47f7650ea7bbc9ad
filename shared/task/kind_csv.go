package task

import (
	"cmp"
	"path"
	"strings"
)

// CSVSource reads a delimited text file inside the folder of a files connection: as it is, compressed
// (.gz), or a sheet of a workbook (.xlsx).
type CSVSource struct {
	Connection string
	Path       string
	// Delimiter is one character; 0 means a comma. It means nothing for a workbook.
	Delimiter rune
	// Encoding is a WHATWG encoding label ("utf-8", "windows-1252"); empty means UTF-8, where a
	// byte order mark decides if there is one. It means nothing for a workbook.
	Encoding string
	// Sheet is the name of a workbook's sheet; empty means the first.
	Sheet string
}

// IsWorkbook reports whether the path is that of an .xlsx file.
func (s *CSVSource) IsWorkbook() bool { return strings.EqualFold(path.Ext(s.Path), ".xlsx") }

// Name is CSV.
func (*CSVSource) Name() Kind { return CSV }

// Ordered: a file has an order.
func (*CSVSource) Ordered() bool { return true }

// Unchanged says what an interrupted run needs to continue.
func (*CSVSource) Unchanged() string { return "the file is unchanged" }

// Separator is the delimiter.
func (s *CSVSource) Separator() rune { return cmp.Or(s.Delimiter, ',') }

// CSVDestination writes a delimited text file inside the folder of a files connection.
type CSVDestination struct {
	Connection string
	Path       string
	Action     Action
}

// Name is CSV.
func (*CSVDestination) Name() Kind { return CSV }

// Place names the destination in messages.
func (d *CSVDestination) Place() string { return "the file " + d.Path }

// Traits of a file: it is replaced as a whole, when the run ends, or appended to, where a line and its
// checkpoint are not written in one step.
func (d *CSVDestination) Traits() Traits {
	appends := d.Action == Append
	return Traits{Restartable: !appends, Continues: d.Action != Replace, AtLeastOnce: appends, Repeats: "append"}
}
