package csvfile_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"runhook/services/runner/check"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// zipped is an archive of these parts, in their order.
func zipped(t *testing.T, parts ...[2]string) string {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, part := range parts {
		w, err := archive.Create(part[0])
		if err == nil {
			_, err = w.Write([]byte(part[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// compound is the beginning of a file of the old kind, whose directory is in its first sector.
func compound(name string) string {
	head := make([]byte, 1024)
	copy(head, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")
	head[0x1E] = 9 // sectors of 512 bytes
	for i, unit := range utf16.Encode([]rune(name)) {
		head[512+2*i] = byte(unit)
	}
	return string(head)
}

// What a file is, its first bytes say, and not its name.
func TestFilesThatAreNotWhatTheirNamesSay(t *testing.T) {
	const document = "application/vnd.oasis.opendocument."
	for _, c := range []struct{ name, path, content, message string }{
		{"an old workbook", "in.xls", compound("Workbook"), "is a workbook of the old kind .xls; save it as .xlsx or as CSV"},
		{"an old workbook named .xlsx", "in.xlsx", compound("Book"), "is a workbook of the old kind .xls"},
		{"a workbook with a password", "in.xlsx", compound("EncryptedPackage"), "is a workbook with a password; save it without one, as .xlsx"},
		{"the beginning of an old workbook", "in.csv", compound("")[:20], "is a workbook of the old kind .xls"},
		{"OpenDocument", "in.ods", zipped(t, [2]string{"mimetype", document + "spreadsheet"}, [2]string{"content.xml", "<x/>"}), "is an OpenDocument spreadsheet (.ods)"},
		{"OpenDocument named .csv", "in.csv", zipped(t, [2]string{"mimetype", document + "spreadsheet"}), "is an OpenDocument spreadsheet (.ods)"},
		{"flat OpenDocument", "in.csv", `<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"/>`, "is an OpenDocument spreadsheet (.ods)"},
		{"a letter", "in.xlsx", zipped(t, [2]string{"mimetype", document + "text"}), "is a zip archive; unpack it, or correct source.csv.path"},
		{"a binary workbook", "in.xlsb", zipped(t, [2]string{"[Content_Types].xml", "<x/>"}, [2]string{"xl/workbook.bin", "x"}), "is a binary workbook (.xlsb)"},
		{"a binary workbook named .xlsx", "in.xlsx", zipped(t, [2]string{"[Content_Types].xml", "<x/>"}, [2]string{`XL\Workbook.bin`, "x"}), "is a binary workbook (.xlsb)"},
		{"a CSV in an archive", "in.csv", zipped(t, [2]string{"in.csv", "id\n1\n"}), "is a zip archive"},
		{"a text named .xlsx", "in.xlsx", "ID,Name\n1,Ann\n", "is a text file and no workbook; give it a name that ends in .csv"},
		{"a text named .xlsm", "in.xlsm", "\xEF\xBB\xBFID;Name\n", "is a text file and no workbook"},
		{"a web page", "in.xls", " \r\n<HTML><table><tr><td>ID</td></tr></table>", "is a web page (HTML) with a table"},
		{"a web page of XML", "in.csv", `<?xml version="1.0"?><!DOCTYPE html><html xmlns="x"/>`, "is a web page (HTML) with a table"},
		{"a workbook of Excel 2003", "in.xls", `<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook/>`, "is XML, such as a workbook of Excel 2003"},
		{"a database", "in.csv", "SQLite format 3\x00\x10\x00", "is a SQLite database; make it a connection"},
		{"Parquet", "in.csv", "PAR1\x15\x00", "is a Parquet file; save it as CSV"},
		{"objects of JSON", "in.csv", "{\"id\": 1}\n{\"id\": 2}\n", "is JSON and no table of text"},
		{"a list of JSON", "in.csv", "\xEF\xBB\xBF[\n  {\"id\": 1}\n]\n", "is JSON and no table of text"},
		{"a PDF", "in.csv", "%PDF-1.7\n", "is a PDF"},
		{"compressed", "in.csv", pipelinetest.Gzipped(t, "ID,Name\n1,Ann\n"), "is compressed by gzip; give it a name that ends in .gz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write(c.path, c.content)
			b.Job.Task.Source.(*task.CSVSource).Path = c.path
			b.Fail("The file " + c.path + " of connection drop " + c.message)
		})
	}
}

// A look at a text that ends a run in its first rows finds that.
func TestCheckOfATextThatEndsARun(t *testing.T) {
	for text, want := range map[string]string{
		"ID,Name\n1,Ann\n2,Bob\n3,\"Cid\n4,Dan\n": "source.csv.path: row 3 of the file members.csv of connection drop opens a quote that is never closed, in line 4",
		"ID,Name\n\"1,Ann\n":                      "source.csv.path: row 1 of the file members.csv of connection drop opens a quote that is never closed, in line 2",
		"ID,Name\n1,\xE4\n2,\xF6\n":               "source.csv.path: no row of the file members.csv of connection drop is valid UTF-8",
	} {
		b := pipelinetest.New(t)
		b.Write("members.csv", text)
		found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
		if err != nil || !slices.ContainsFunc(found, func(f check.Finding) bool { return f.Severity == check.Error && strings.HasPrefix(f.Text(), want) }) {
			t.Errorf("%q: a look found %v, %v, want %s", text, found, err, want)
		}
	}
}

// A workbook is read whatever its name is.
func TestWorkbookOfAnotherName(t *testing.T) {
	for _, path := range []string{"members.csv", "members.txt", "members.XLSM", "members"} {
		b := pipelinetest.New(t)
		b.Workbook(path, []string{"ID", "Name"}, []string{"1", "Ann"}, []string{"2", "Bob"})
		b.Job.Task.Source.(*task.CSVSource).Path = path
		b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 2})
		found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
		warned := len(found) == 1 && found[0].Text() == "source.csv.path: the file "+path+" of connection drop is a workbook, whatever its name says, and is read as one; give it a name that ends in .xlsx"
		if err != nil || warned == (path == "members.XLSM") || !warned && len(found) > 0 {
			t.Errorf("a look at %s found %v, %v", path, found, err)
		}
	}
}

// A caller names the file, inside the connection's folder, and no message shows the name.
func TestFileOfAParameter(t *testing.T) {
	b := pipelinetest.New(t)
	if err := os.Mkdir(filepath.Join(b.Folder, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.Write("in/secret.csv", "ID,Name\n1,Ann\n")
	b.Write("in/packed.csv.gz", pipelinetest.Gzipped(t, "ID,Name\n2,Bob\n"))
	b.Write("in/sub.xlsx", "ID,Name\n")
	b.Workbook("in/book.xlsx", []string{"ID", "Name"}, []string{"3", "Cid"})
	b.Job.Task.Parameters = []task.Parameter{{Name: "File"}}
	from := &task.CSVSource{Connection: "drop", Path: "in/{params.File}"}
	b.Job.Task.Source = from
	pass := func(file string) {
		b.Job.Parameters = task.Values{"File": {Values: []string{file}, From: task.FromRequest}}
	}
	for _, file := range []string{"secret.csv", "packed.csv.gz", "book.xlsx", "./../in/secret.csv"} {
		pass(file)
		b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
		b.Exec("DELETE FROM members")
	}
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("ID,Name\n1,Ann\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, message := range map[string]string{
		"none.csv": "does not exist", "../../secret.csv": "cannot be read; it must be a file inside the connection's folder", outside: "does not exist",
		"../" + outside: "", ".": "is not a file", "sub.xlsx": "is a text file and no workbook", "a\x00b": "",
	} {
		pass(file)
		_, err := b.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "he file in/{params.File} of connection drop "+message) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", file, err)
		}
	}
	b.Job.Parameters = task.Values{"File": {From: task.FromSource}}
	b.Fail("{params.File} in source.csv.path needs one value; pass -p File=FILE")
	found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
	if err != nil || len(found) == 0 || found[0].Severity != check.Warning || !strings.Contains(found[0].Message, "no file was looked at, and its columns are not known: {params.File} in source.csv.path needs one value") {
		t.Errorf("a look found %v, %v", found, err)
	}
}

// A look names words that mean no value, and letters behind backslashes, in the columns that the task names.
func TestCheckOfWordsOfOtherPrograms(t *testing.T) {
	for _, c := range []struct {
		name, text string
		from       task.CSVSource
		want       []string
	}{
		{"a number", "ID,Name,Other\n1,5,NULL\n2,NULL,NULL\n3,7.5,\n", task.CSVSource{}, []string{`source.csv.null: the column Name has NULL in the place of a value, first in row 2; if it means no value, write null: ["NULL"]`}},
		{"a date", "ID,Name\n1,NA\n2,2026-01-31\n", task.CSVSource{}, []string{`source.csv.null: the column Name has NA in the place of a value, first in row 1; if it means no value, write null: ["NA"]`}},
		{"psql", "ID\tName\n1\tx\\ny\n2\t\\N\n", task.CSVSource{Delimiter: '\t'}, []string{
			`source.csv.null: the column Name has \N in the place of a value, first in row 2; if it means no value, write null: ["\\N"]`,
			`source.csv.escape: cells have a backslash before n, t or another backslash, as databases write line ends, tabs and backslashes; if they mean that here, write escape: "\\"`,
		}},
		{"several words", "ID,Name\n1,NULL\n2,5\n3,n/a\n4,NA\n5,NULL\n", task.CSVSource{}, []string{`source.csv.null: the column Name has NULL, n/a, NA in the place of a value, first in row 1; if they mean no value, write null: ["NULL", "n/a", "NA"]`}},
		{"in several columns", "ID,Name\nNA,-\n2,NULL\n3,\n", task.CSVSource{Null: []string{"-"}}, []string{
			`source.csv.null: the column ID has NA in the place of a value, first in row 1; if it means no value, write null: ["-", "NA", "NULL"]`,
			`source.csv.null: the column Name has NULL in the place of a value, first in row 2; if it means no value, write null: ["-", "NA", "NULL"]`,
		}},
		{"a word beside a surname", "ID\tName\n1\tNA\n2\tAnn\n3\t\\N\n", task.CSVSource{Delimiter: '\t'}, []string{
			`source.csv.null: the column Name has \N in the place of a value, first in row 3; if it means no value, write null: ["\\N"]`,
		}},
		{"a word more than the task says", "ID\tName\n1\t(null)\n2\tNULL\n3\t7\n", task.CSVSource{Delimiter: '\t', Null: []string{"NULL"}}, []string{
			`source.csv.null: the column Name has (null) in the place of a value, first in row 1; if it means no value, write null: ["NULL", "(null)"]`,
		}},
		{"the word between quotes", "ID,Name\n1,\"NULL\"\n2,7\n3,\"NULL\"\n4,\"NA\"\n", task.CSVSource{Null: []string{"NULL"}}, []string{
			`source.csv.null: the column Name has NULL between quotes, first in row 1, where null does not take it for no value; if it means none, write a mapping like: 'row["Name"] == "NULL" ? nil : row["Name"]'`,
			`source.csv.null: the column Name has NA in the place of a value, first in row 4; if it means no value, write null: ["NULL", "NA"]`,
		}},
		{"no word but between quotes", "ID,Name\n1,\"n/a\"\n2,7\n", task.CSVSource{Null: []string{"n/a"}}, []string{
			`source.csv.null: the column Name has n/a between quotes, first in row 1, where null does not take it for no value; if it means none, write a mapping like: 'row["Name"] == "n/a" ? nil : row["Name"]'`,
		}},
		{"\\N between quotes", "ID\tName\n1\t\"\\N\"\n2\t7\n", task.CSVSource{Delimiter: '\t', Null: []string{"\\N"}}, []string{
			`source.csv.null: the column Name has \N between quotes, first in row 1, where null does not take it for no value; if it means none, write a mapping like: 'row["Name"] == "\\N" ? nil : row["Name"]'`,
		}},
		{"a surname", "ID,Name\n1,Ann\n2,NA\n3,Null\n", task.CSVSource{}, nil},
		{"said", "ID\tName\n1\t5\\\\\n2\tNULL\n3\t\\N\n", task.CSVSource{Delimiter: '\t', Escapes: true, Null: []string{"NULL"}}, nil},
		{"a path of Windows", "ID,Name\n1,C:\\new\n2,D:\\tmp\n", task.CSVSource{}, nil},
		{"an error in a column that is not named", "ID,Name,Other\n1,Ann,#N/A\n", task.CSVSource{}, nil},
		{"an error", "ID,Name\n1,Ann\n2,#N/A\n", task.CSVSource{}, []string{"mapping.Name: of the first 2 rows 1 would fail, from row 2 on: Name has an error of a spreadsheet, such as #N/A, in the place of a value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			from := c.from
			from.Connection, from.Path = "drop", "in.csv"
			b.Job.Task.Source = &from
			b.ToFile(task.Replace)
			b.Write("in.csv", c.text)
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			var got []string
			for _, f := range found {
				if f.Severity != check.Warning {
					t.Errorf("%s is an %s", f.Text(), f.Severity)
				}
				got = append(got, f.Text())
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("found %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A task that names none of a file's columns is told what to do about the header, and nothing that would put
// the names themselves into the rows.
func TestHeaderThatIsNone(t *testing.T) {
	const title = "; if line %d is a title, write the number of the line that names the columns into source.csv.header_row (1:1)"
	for _, c := range []struct{ name, text, path, names, says string }{
		{"a title", "Example Club Inc.\n\nID,Name\n1,Ann\n", "in.csv", "ID", "ID; the source has Example Club Inc." + fmt.Sprintf(title, 1)},
		{"a title with cells", "\nMembers,,\nID,Name,x\n1,Ann,x\n", "in.csv", "ID", "ID; the source has Members" + fmt.Sprintf(title, 2)},
		{"two titles", "Printed,31.01.2026\nID,Name\n", "in.csv", "Name", "Name; the source has Printed, 31.01.2026" + fmt.Sprintf(title, 1)},
		{"a semicolon", "ID;Name\n1;Ann\n", "in.csv", "ID", `ID; the source has ID;Name; the delimiter is perhaps another: write delimiter: ";" into source.csv (1:1)`},
		{"a tab", "ID\tFull Name\n1\tAnn\n", "in.csv", `row["Full Name"]`, `Full Name; the source has ID\tFull Name; the delimiter is perhaps another: write delimiter: "\t" into source.csv (1:4)`},
		{"a bar", "Nr|Id\n1|2\n", "in.csv", `Id`, `Id; the source has Nr|Id; the delimiter is perhaps another: write delimiter: "|" into source.csv (1:1)`},
		{"a title of a sheet", "Example Club", "in.xlsx", "ID", "ID; the source has Example Club; if row 1 is a title, write the number of the row that names the columns into source.csv.header_row (1:1)"},
		{"near", "id,name\n1,Ann\n", "in.csv", "ID", "ID; did you mean id? (1:1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: c.path}
			b.Mapping("id", c.names)
			if c.path == "in.xlsx" {
				b.Workbook(c.path, []string{c.text}, nil, []string{"ID", "Name"}, []string{"1", "Ann"})
			} else {
				b.Write(c.path, c.text)
			}
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			isSaid := func(f check.Finding) bool {
				return f.Severity == check.Error && strings.HasPrefix(f.Message, "mapping.id: unknown column "+c.says+"\n")
			}
			if err != nil || !slices.ContainsFunc(found, isSaid) {
				t.Errorf("found %q, %v", found, err)
			}
			b.Fail("unknown column " + c.says)
		})
	}
	// Where an expression names a column, what is unknown elsewhere may be a text.
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID;x,Name\n1,Ann\n")
	b.Mapping("country", "US", "name", "Name")
	b.Fail(`unknown column US; the source has ID;x, Name. A text, the same in each row, stands in quotes, and in a task file in two kinds of them: '"US"'`)
}

// A look says where the line that was taken for the names of the columns may be a title.
func TestCheckOfTitles(t *testing.T) {
	const advice = "; if %[1]s is a title, write the number of the %[2]s that names the columns into source.csv.header_row"
	line, sheet := fmt.Sprintf(advice, "line 1", "line"), fmt.Sprintf(advice, "row 1", "row")
	for _, c := range []struct{ name, text, path, maps, want string }{
		{"alone", "Club\n\nid,name\n1,Ann\n", "in.csv", "Club", "no row that was looked at fits line 1, which was read as the columns' names" + line},
		{"with empty cells", "Club,,\nid,name,x\n1,Ann,2\n", "in.csv", "Club", "line 1 names 1 of 3 columns" + line},
		{"two cells", "Club,May,,,\nid,name,a,b,c\n1,Ann,2,3,4\n", "in.csv", "Club", "line 1 names 2 of 5 columns" + line},
		{"of a sheet", "", "in.xlsx", "Club", "row 1 names 1 of 2 columns" + sheet},
		{"a header", "id,name\n1,Ann\n2,Bob,3\n", "in.csv", "id", ""},
		{"one column", "id\n1\n2\n", "in.csv", "id", ""},
		{"row names of R", "\"\",\"id\"\n\"1\",7\n\"2\",8\n", "in.csv", "id", ""},
		{"empty columns of Excel", "id,name,,,,,\n1,Ann,,,,,\n", "in.csv", "id", ""},
		{"a name of several", "id,name,name,name,name\n1,Ann,x,y,z\n", "in.csv", "id", ""},
		{"a column for notes", "id,name,\n1,Ann,late\n", "in.csv", "id", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: c.path}
			b.Mapping("id", c.maps)
			if c.path == "in.xlsx" {
				b.Workbook(c.path, []string{"Club"}, []string{"id", "name"}, []string{"1", "Ann"})
			} else {
				b.Write(c.path, c.text)
			}
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			got := ""
			for _, f := range found {
				if f.Field.String() == "source.csv.header_row" && f.Severity == check.Warning {
					got += f.Message
				}
			}
			if err != nil || got != c.want {
				t.Errorf("found %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A null of a text is a null of the table, whose column is one of texts.
func TestNullsOfATextInATable(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,NULL\n2,\"NULL\"\n3,007\n")
	b.Job.Task.Source.(*task.CSVSource).Null = []string{"NULL"}
	b.Mapping("id", "ID", "name", "Name", "known", "Name != nil", "full", `Name + "!"`)
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
	if got, want := b.Query("SELECT id, name, known, full, typeof(name) FROM members"), "1 <nil> 0 <nil> null; 2 NULL 1 NULL! text; 3 007 1 007! text"; got != want {
		t.Errorf("the table has %q, want %q", got, want)
	}
}
