package task

import (
	"cmp"
	"fmt"
	"path"
	"strings"
)

// CSVSource reads a delimited text file inside the folder of a files connection: as it is, compressed
// (.gz), or a sheet of a workbook (.xlsx, .xlsm).
type CSVSource struct {
	Connection string
	// Path may have parameters in it, as {params.Name}; see Expand. Messages name the file by it.
	Path string
	// File is the path of the file with the values of a run's parameters, "" for Path as it is.
	File string
	// Delimiter is one character; 0 means a comma. It means nothing for a workbook.
	Delimiter rune
	// Encoding is a WHATWG encoding label ("utf-8", "windows-1252"); empty means UTF-8, where a
	// byte order mark decides if there is one. It means nothing for a workbook.
	Encoding string
	// Sheet is the name of a workbook's sheet; empty means the first that is not hidden.
	Sheet string
	// HeaderRow is the line of a text, or the row of a sheet, that names the columns, from 1; 0 means the
	// first with anything in it.
	HeaderRow int
	// Null are the words that mean no value where a text has them without quotes.
	Null []string
	// Escapes: a backslash in a text gives the letter behind it another meaning, and \N is no value.
	Escapes bool
	// NoQuotes: a quote in a text is a letter like any other.
	NoQuotes bool
}

// Named is the path of the file: File, or Path as it is.
func (s *CSVSource) Named() string { return cmp.Or(s.File, s.Path) }

// Another is the source with another file in the place of its own.
func (s *CSVSource) Another(connection, path string) *CSVSource {
	other := *s
	other.Connection, other.Path, other.File = connection, path, ""
	return &other
}

// IsWorkbook reports whether the file has the name of a workbook.
func (s *CSVSource) IsWorkbook() bool {
	extension := path.Ext(s.Named())
	return strings.EqualFold(extension, ".xlsx") || strings.EqualFold(extension, ".xlsm")
}

// Place is the connection of the file, and its path in the connection's folder, with the parameters in it.
func (s *CSVSource) Place() (connection, path string) { return s.Connection, s.Path }

// From names the source in lists.
func (s *CSVSource) From() string { return "the file " + s.Path }

// Reads is the path with a run's parameters in it; see Expand.
func (s *CSVSource) Reads(params map[string]any) (path string, err error) {
	expanded, err := s.Expand(params)
	if err != nil {
		return "", err
	}
	return expanded.Named(), nil
}

// PathParameters are the parameters in the path: {params.File} is File.
func (s *CSVSource) PathParameters() (names []string) {
	for _, piece := range strings.Split(s.Path, "{params.")[1:] {
		if name, _, closed := strings.Cut(piece, "}"); closed {
			names = append(names, name)
		}
	}
	return names
}

// Expand returns the source with a run's parameters, see [Definition.ExpressionParams], in its path. The
// error names a parameter that has no value, or several.
func (s *CSVSource) Expand(params map[string]any) (*CSVSource, error) {
	names := s.PathParameters()
	if len(names) == 0 {
		return s, nil
	}
	var pairs []string
	for _, name := range names {
		values := texts(params[name])
		if len(values) != 1 || values[0] == "" {
			return nil, fmt.Errorf("{params.%s} in source.csv.path needs one value; pass -p %s=FILE", name, name)
		}
		pairs = append(pairs, "{params."+name+"}", values[0])
	}
	expanded := *s
	expanded.File = strings.NewReplacer(pairs...).Replace(s.Path)
	return &expanded, nil
}

// Uses is the name of the connection.
func (s *CSVSource) Uses() (connection string) { return s.Connection }

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

// Uses is the name of the connection.
func (d *CSVDestination) Uses() (connection string) { return d.Connection }

// Name is CSV.
func (*CSVDestination) Name() Kind { return CSV }

// Place names the destination in messages.
func (d *CSVDestination) Place() string { return "the file " + d.Path }

// Replaces is the file that a run replaces.
func (d *CSVDestination) Replaces() (connection, path string, replaces bool) {
	return d.Connection, d.Path, d.Action == Replace
}

// Traits of a file: it is replaced as a whole, when the run ends, or appended to, where a line and its
// checkpoint are not written in one step.
func (d *CSVDestination) Traits() Traits {
	appends := d.Action == Append
	return Traits{Restartable: !appends, Continues: d.Action != Replace, AtLeastOnce: appends, Repeats: "append", MaxDelete: true}
}
