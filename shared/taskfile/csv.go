package taskfile

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var csvSource = form[task.Source]{
	kind: task.CSV, read: readCSVSource, draft: draftCSVSource,
	meaning: "a delimited text file, compressed (.gz) or not, or a sheet of a workbook (.xlsx)",
	fields: []field{
		connectionField("drop", "files connection it is in"),
		{
			name: "path", kind: kindText, example: "members.csv", required: true,
			meaning: "the file, relative to the connection's folder; .csv, .csv.gz or .xlsx; {params.File} is a parameter",
		},
		{
			name: "header_row", kind: kindWhole, min: 1, max: maxHeaderRow, example: "4",
			meaning: "the line of the text, or row of the sheet, that names the columns, if titles are above it; without it the first with anything in it",
		},
		{
			name: "delimiter", kind: kindCharacter, byDefault: ",",
			meaning: `the character between fields; "\t" for a tab`,
		},
		{
			name: "encoding", kind: kindText, example: "windows-1252",
			meaning: "the text's encoding; without it UTF-8, or what a byte order mark says",
		},
		{
			name: "null", kind: kindTexts, max: maxTexts, example: `["\\N", "NULL"]`, nulls: true,
			meaning: "words of a text file that mean no value if no quotes are around them, like NULL or NA",
		},
		{
			name: "escape", kind: kindChoice, values: []string{`\`}, example: `"\\"`,
			meaning: `what a text file puts before a letter to change its meaning: \n is a line end, \t a tab, \\ a backslash, and \N alone no value`,
		},
		{
			name: "quote", kind: kindChoice, values: []string{"double", "none"}, byDefault: "double",
			meaning: `none if the text file has no quotes around fields, so that " is a letter like any other`,
		},
		{
			name: "sheet", kind: kindText, max: maxNameLetters, example: "Members",
			meaning: "the sheet of a workbook; without it the first that is not hidden",
		},
	},
}

var csvDestination = form[task.Destination]{
	kind: task.CSV, read: readCSVDestination, draft: draftCSVDestination,
	meaning: "a delimited text file",
	fields: []field{
		connectionField("drop", "files connection it is in"),
		{
			name: "path", kind: kindText, example: "members-out.csv", required: true,
			meaning: "the file, relative to the connection's folder",
		},
		{
			name: "action", kind: kindChoice, example: string(task.Replace), required: true,
			values:  []string{string(task.Replace), string(task.Append)},
			meaning: "what happens to an existing file: replace or append",
		},
	},
}

func readCSVSource(r *reader, given content, def *task.Definition) task.Source {
	csv := given.section
	source := &task.CSVSource{Connection: csv.text("connection"), Path: csv.text("path"), Encoding: csv.text("encoding"), Sheet: csv.text("sheet")}
	r.checkPath(csv, "source.csv.path")
	parameters := source.PathParameters()
	for _, name := range parameters {
		r.checkParameter(def, csv.contents["path"].line, "source.csv.path: {params."+name+"}", name, "a path takes one value")
	}
	source.HeaderRow, source.Null = csv.contents["header_row"].number, csv.contents["null"].texts
	source.Escapes, source.NoQuotes = csv.text("escape") != "", csv.text("quote") == "none"
	source.Delimiter, _ = utf8.DecodeRuneInString(csv.text("delimiter"))
	label, ok := csv.field("encoding")
	if known, err := htmlindex.Get(label.text); ok && (err != nil || known == encoding.Replacement) {
		r.report(label.line, "source.csv.encoding: unknown encoding %s; known are utf-8, windows-1252, iso-8859-15, utf-16le, shift_jis and the other labels of the WHATWG", wording.Quote(source.Encoding))
	}
	_, hasPath := csv.field("path")
	if sheet, ok := csv.field("sheet"); ok && hasPath && !source.IsWorkbook() && len(parameters) == 0 {
		r.report(sheet.line, "source.csv.sheet is for workbooks, and path is not that of an .xlsx file; remove it")
	}
	for _, name := range []string{"null", "escape", "quote"} {
		if given, ok := csv.field(name); ok && given.line > 0 && source.IsWorkbook() {
			r.report(given.line, "source.csv.%s is for text files, and path is that of a workbook; remove it", name)
		}
	}
	return source
}

// checkPath refuses what no files connection can hold. The runner checks again, with the real folder.
func (r *reader) checkPath(csv *fieldSet, name string) {
	given, ok := csv.field("path")
	if !ok {
		return
	}
	slashed := strings.ReplaceAll(given.text, `\`, "/")
	clean := path.Clean(slashed)
	drive := len(slashed) > 1 && slashed[1] == ':'
	switch extension := strings.ToLower(path.Ext(slashed)); {
	case path.IsAbs(slashed) || drive:
		r.report(given.line, "%s must be relative to the connection's folder, not %s", name, wording.Quote(given.text))
	case clean == ".." || strings.HasPrefix(clean, "../"):
		r.report(given.line, "%s: %s leaves the connection's folder", name, wording.Quote(given.text))
	case clean == "." || strings.HasSuffix(slashed, "/"):
		r.report(given.line, "%s: %s is a folder, not a file", name, wording.Quote(given.text))
	case strings.HasPrefix(name, "destination.") && (extension == ".xlsx" || extension == ".gz"):
		r.report(given.line, "%s: %s files can be read and not written; take another name", name, extension)
	}
}

func readCSVDestination(r *reader, given content, def *task.Definition) task.Destination {
	csv := given.section
	r.checkPath(csv, "destination.csv.path")
	to := &task.CSVDestination{Connection: csv.text("connection"), Path: csv.text("path"), Action: task.Action(csv.text("action"))}
	from, ok := def.Source.(*task.CSVSource)
	same := ok && from.Connection == to.Connection && path.Clean(from.Path) == path.Clean(to.Path)
	switch {
	case same && to.Action == task.Append:
		r.report(given.line, "destination.csv: the source reads the file that this appends to, and would never end; take another path")
	case same:
		r.report(given.line, "destination.csv: the source reads the file that this replaces, and its rows would be lost; take another path")
	}
	return to
}

func draftCSVSource(source task.Source) []string {
	from := source.(*task.CSVSource)
	line := fmt.Sprintf("csv: {connection: %s, path: %s", scalar(from.Connection), scalar(from.Path))
	if from.Separator() != ',' {
		line += ", delimiter: " + wording.JSON(string(from.Delimiter))
	}
	if from.Sheet != "" {
		line += ", sheet: " + scalar(from.Sheet)
	}
	if from.HeaderRow != 0 {
		line += fmt.Sprintf(", header_row: %d", from.HeaderRow)
	}
	if from.Encoding != "" {
		line += ", encoding: " + scalar(from.Encoding)
	}
	return []string{line + "}"}
}

func draftCSVDestination(destination task.Destination) []string {
	to := destination.(*task.CSVDestination)
	return []string{fmt.Sprintf("csv: {connection: %s, path: %s, action: %s}", scalar(to.Connection), scalar(to.Path), to.Action)}
}
