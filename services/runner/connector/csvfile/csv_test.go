package csvfile_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func encode(t *testing.T, text, encoding string) string {
	t.Helper()
	var encoded string
	var err error
	switch encoding {
	case "windows-1252":
		encoded, err = charmap.Windows1252.NewEncoder().String(text)
	case "utf-16le":
		encoded, err = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(text)
	case "utf-16be":
		encoded, err = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(text)
	default:
		return text
	}
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestEncodings(t *testing.T) {
	const text = "ID,Name\n1,Zoë\n2,\"Ægir\nÖst\"\n"
	for _, c := range []struct{ name, mark, encoding, label string }{
		{"utf-8", "", "", ""},
		{"utf-8 named", "", "", "UTF8"},
		{"utf-8 with mark", "\xEF\xBB\xBF", "", ""},
		{"utf-8 with mark, named windows-1252", "\xEF\xBB\xBF", "", "windows-1252"},
		{"utf-16le by mark", "\xFF\xFE", "utf-16le", ""},
		{"utf-16be by mark", "\xFE\xFF", "utf-16be", ""},
		{"utf-16be by mark, named utf-8", "\xFE\xFF", "utf-16be", "utf-8"},
		{"utf-16le named", "", "utf-16le", "utf-16"},
		{"utf-16le named with mark", "\xFF\xFE", "utf-16le", "utf-16le"},
		{"windows-1252", "", "windows-1252", "latin1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write("members.csv", c.mark+encode(t, text, c.encoding))
			b.Job.Task.Source.(*task.CSVSource).Encoding = c.label
			b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 2})
			if got, want := b.Query("SELECT id, name FROM members"), "1 Zoë; 2 Ægir\nÖst"; got != want {
				t.Errorf("the table has %q, want %q", got, want)
			}
		})
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2\n3,Cy,x\n4,Z\xEB\n\n5,\"E\"ve\n6,F\"ay\n\"7\",\"G\r\n\"\"us\"\"\"\n8,\n")
	s := b.Succeed(run.Counts{Total: 8, Retrieved: 8, Inserted: 3, Failed: 5})
	b.RowErrors(s,
		run.RowError{Row: 2, Message: "has the wrong number of fields: 1 where the header has 2"},
		run.RowError{Row: 3, Message: "has the wrong number of fields: 3 where the header has 2"},
		run.RowError{Row: 4, Column: "Name", Message: "is not valid UTF-8"},
		run.RowError{Row: 5, Column: "Name", Message: "has a quote in the wrong place"},
		run.RowError{Row: 6, Column: "Name", Message: "has a quote in the wrong place"},
	)
	if got, want := b.Query("SELECT id, name FROM members"), "1 Ann; 7 G\r\n\"us\"; 8 "; got != want {
		t.Errorf("the table has %q, want %q", got, want)
	}
}

func TestDelimiters(t *testing.T) {
	for _, delimiter := range []rune{';', '\t', '|', '§'} {
		b := pipelinetest.New(t)
		b.Job.Task.Source.(*task.CSVSource).Delimiter = delimiter
		b.Write("members.csv", strings.ReplaceAll("ID~Name\n1~\"A~n,n\"\n2~\n", "~", string(delimiter)))
		b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 2})
		if got, want := b.Query("SELECT id, name FROM members"), "1 A"+string(delimiter)+"n,n; 2 "; got != want {
			t.Errorf("the table has %q, want %q", got, want)
		}
	}
}

func TestSourcesThatCannotBeUsed(t *testing.T) {
	for _, c := range []struct{ name, content, message string }{
		{"empty", "", "The file members.csv of connection drop is empty; its first row must name the columns"},
		{"only a mark", "\xEF\xBB\xBF", "is empty"},
		{"nameless columns", ",,\n", "The header of the file members.csv of connection drop names no column"},
		{"duplicate", "ID,Name, ID\n", "the source has the name ID more than once, in columns 1 and 3; rename all but one of them"},
		{"header in another encoding", "ID,Name,Z\xEB\n1,Ann,x\n", "is not valid UTF-8; set source.csv.encoding"},
		{"utf-16 without mark", "I\x00D\x00,\x00N\x00\n\x00", "has zero bytes"},
		{"carriage returns", "ID,Name\r1,Ann\r", "line ends"},
		{"quote in header", "ID,Na\"me\n", "The header of the file members.csv of connection drop has a quote in the wrong place"},
		{"nothing decodes", "ID,Name\n1,\xEB\n2,\xEB\n", "No row of the file members.csv of connection drop is valid UTF-8"},
		{"unclosed quote", "ID,Name\n1,Ann\n2,\"Bob\n3,Cy\n", "Row 2 of the file members.csv of connection drop opens a quote that is never closed"},
		{"long row", "ID,Name\n1,Ann\n2," + strings.Repeat("x", 17<<20) + "\n", "Row 2 of the file members.csv of connection drop is longer than 16 MiB"},
		{"long quoted row", "ID,Name\n1,Ann\n2,\"" + strings.Repeat("xxxxxxx\n", 17<<17), "Row 2 of the file members.csv of connection drop is longer than 16 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write("members.csv", c.content)
			s := b.Fail(c.message)
			if strings.HasSuffix(c.name, "quote") || strings.HasPrefix(c.name, "long") {
				b.Counts(s, run.Counts{Retrieved: 1, Inserted: 1})
			}
		})
	}
	for _, c := range []struct {
		name, message string
		change        func(t *testing.T, b *pipelinetest.Bench)
	}{
		{"missing", "The file members.csv of connection drop does not exist", func(*testing.T, *pipelinetest.Bench) {}},
		{"folder", "is not a file", func(t *testing.T, b *pipelinetest.Bench) {
			if err := os.Mkdir(filepath.Join(b.Folder, "members.csv"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"outside", "must be a file inside the connection's folder", func(_ *testing.T, b *pipelinetest.Bench) {
			b.Job.Task.Source.(*task.CSVSource).Path = "../members.csv"
		}},
		{"link outside", "must not lead out of that folder", func(t *testing.T, b *pipelinetest.Bench) {
			outside := filepath.Join(t.TempDir(), "members.csv")
			if err := os.WriteFile(outside, []byte("ID,Name\n1,Ann\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(b.Folder, "members.csv")); err != nil {
				t.Fatal(err)
			}
		}},
		{"absolute link", "a link to it must be relative", func(_ *testing.T, b *pipelinetest.Bench) {
			b.Write("real.csv", "ID,Name\n1,Ann\n")
			if err := os.Symlink(filepath.Join(b.Folder, "real.csv"), filepath.Join(b.Folder, "members.csv")); err != nil {
				b.T.Fatal(err)
			}
		}},
		{"encoding", `unknown encoding "utf-9"`, func(_ *testing.T, b *pipelinetest.Bench) {
			b.Write("members.csv", "ID,Name\n")
			b.Job.Task.Source.(*task.CSVSource).Encoding = "utf-9"
		}},
		{"delimiter", "source.csv.delimiter cannot be", func(_ *testing.T, b *pipelinetest.Bench) {
			b.Write("members.csv", "ID,Name\n")
			b.Job.Task.Source.(*task.CSVSource).Delimiter = '"'
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			c.change(t, b)
			b.Fail(c.message)
		})
	}
}

func TestHeaderOnly(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name")
	b.Succeed(run.Counts{})
	if got := b.Query("SELECT count(*) FROM members"); got != "0" {
		t.Errorf("the table has %s rows", got)
	}
	b.ToFile(task.Replace)
	b.Succeed(run.Counts{})
	if got := b.Read("out.csv"); got != "id,name\n" {
		t.Errorf("the file is %q", got)
	}
}

func TestCSVReplace(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,\"Ann, \"\"A\"\"\"\n2,\"Bo\nb\"\n3, Cy\n")
	b.Write("out.csv", "something else")
	b.ToFile(task.Replace)
	b.Mapping("id", "ID", "full name", "Name", "n", "int(ID) / 2", "none", "nil", "yes", "ID == \"1\"")
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
	want := "id,full name,n,none,yes\n1,\"Ann, \"\"A\"\"\",0.5,,true\n2,\"Bo\nb\",1,,false\n3,\" Cy\",1.5,,false\n"
	if got := b.Read("out.csv"); got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	noTemporaries(b)
}

// A run that fails leaves the old file, and says that nothing was written.
func TestCSVReplaceThatFails(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,\"Bob\n")
	b.Write("out.csv", "old")
	b.ToFile(task.Replace)
	s := b.Fail("never closed")
	b.Counts(s, run.Counts{Retrieved: 1})
	if got := b.Read("out.csv"); got != "old" {
		t.Errorf("the file is %q, want the old one", got)
	}
	noTemporaries(b)
}

func noTemporaries(b *pipelinetest.Bench) {
	b.T.Helper()
	left, err := filepath.Glob(filepath.Join(b.Folder, ".*"))
	if err != nil || len(left) > 0 {
		b.T.Errorf("left over: %v, %v", left, err)
	}
}

func TestCSVAppend(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.ToFile(task.Append)
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	if got, want := b.Read("out.csv"), "id,name\n1,Ann\n1,Ann\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	// Another program's file: a mark, other line ends, no line end at the end.
	b.Write("out.csv", "\xEF\xBB\xBFid,name\r\n0,Zoë")
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	if got, want := b.Read("out.csv"), "\xEF\xBB\xBFid,name\r\n0,Zoë\n1,Ann\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	for _, other := range []string{"id,nmae\n", "name,id\n", "id\n", "id,na\"me\n"} {
		b.Write("out.csv", other)
		b.Counts(b.Fail("nothing was appended"), run.Counts{})
		if got := b.Read("out.csv"); got != other {
			t.Errorf("the file is %q, want %q", got, other)
		}
	}
}

// One column with nothing in it must not become an empty line, which readers leave out.
func TestCSVEmptyOnlyColumn(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,\n2,Bob\n")
	b.ToFile(task.Append)
	b.Mapping("name", "Name")
	b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 2})
	if got, want := b.Read("out.csv"), "name\n\"\"\nBob\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
}

// The source ends where it ended when the run began, or the run would never end.
func TestCSVAppendsToItsOwnSource(t *testing.T) {
	const rows = 20_000
	b := pipelinetest.New(t)
	pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), rows)
	b.ToFile(task.Append)
	b.Job.Task.Destination.(*task.CSVDestination).Path = "members.csv"
	b.Mapping("ID", "ID", "FirstName", "FirstName", "LastName", "LastName", "Email", "Email", "Joined", "Joined")
	b.Succeed(run.Counts{Total: rows, Retrieved: rows, Inserted: rows})
	header, content, _ := strings.Cut(b.Read("members.csv"), "\n")
	if half := len(content) / 2; header+"\n" != pipelinetest.MemberHeader || content[:half] != content[half:] {
		t.Error("the file does not have its rows twice")
	}
}

// A task cannot replace the file that it reads, whatever that is called.
func TestCSVDoesNotReplaceItsSource(t *testing.T) {
	const content = "ID,Name\n1,Ann\n"
	for name, prepare := range map[string]func(b *pipelinetest.Bench, from *task.CSVSource, to *task.CSVDestination){
		"a parameter": func(b *pipelinetest.Bench, from *task.CSVSource, _ *task.CSVDestination) {
			from.Path = "{params.File}"
			b.Parameters("File", "sub/../out.csv")
		},
		"a link that is read": func(b *pipelinetest.Bench, from *task.CSVSource, _ *task.CSVDestination) {
			from.Path = "link.csv"
			if err := os.Symlink("out.csv", filepath.Join(b.Folder, "link.csv")); err != nil {
				b.T.Fatal(err)
			}
		},
		"a second name": func(b *pipelinetest.Bench, from *task.CSVSource, _ *task.CSVDestination) {
			from.Path = "second.csv"
			if err := os.Link(filepath.Join(b.Folder, "out.csv"), filepath.Join(b.Folder, "second.csv")); err != nil {
				b.T.Fatal(err)
			}
		},
		"another connection": func(b *pipelinetest.Bench, from *task.CSVSource, to *task.CSVDestination) {
			set, err := connection.Parse([]byte("drop: {files: .}\ninner: {files: sub}\n"), filepath.Join(b.Folder, "connections.yaml"))
			if err != nil {
				b.T.Fatal(err)
			}
			b.Write("sub/in.csv", content)
			b.Job.Connections = set
			from.Connection, from.Path, to.Path = "inner", "in.csv", "sub/in.csv"
		},
		"a workbook": func(b *pipelinetest.Bench, from *task.CSVSource, to *task.CSVDestination) {
			b.Workbook("book", []string{"ID", "Name"}, []string{"1", "Ann"})
			from.Path, to.Path = "book", "sub/../book"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			if err := os.Mkdir(filepath.Join(b.Folder, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
			b.Write("out.csv", content)
			b.ToFile(task.Replace)
			from, to := b.Job.Task.Source.(*task.CSVSource), b.Job.Task.Destination.(*task.CSVDestination)
			prepare(b, from, to)
			before := b.Read(to.Path)
			b.Fail("The file " + to.Path + " of connection drop is the one that the source reads, and its rows would be lost; write another file")
			b.Job.DryRun = true
			b.Fail("is the one that the source reads")
			if b.Read(to.Path) != before {
				t.Error("the source is not what it was")
			}
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			if err != nil || !slices.ContainsFunc(found, func(f check.Finding) bool {
				return f.Severity == check.Error && strings.HasPrefix(f.Text(), "destination.csv.path: the file "+to.Path+" of connection drop is the one that the source reads")
			}) {
				t.Errorf("a look found %v, %v", found, err)
			}
		})
	}
}

// A task writes no file of the runner's own, no database, and no task file, whatever the file is called.
func TestCSVSparesOtherFiles(t *testing.T) {
	const (
		ofDatabase = "is the database of connection warehouse, and would be lost; write another file"
		beside     = "is a part of the database of connection warehouse, and would be lost"
		ofRunner   = "is a file of the runner's own, and would be lost"
		ofTask     = "has the name of a task file; give it one that ends in .csv"
		noText     = "is a database, a workbook or an archive and no text, and would be lost; remove it, or write another file"
	)
	link := func(to, name string) func(b *pipelinetest.Bench) {
		return func(b *pipelinetest.Bench) {
			if err := os.Symlink(to, filepath.Join(b.Folder, name)); err != nil {
				b.T.Fatal(err)
			}
		}
	}
	nothing := func(*pipelinetest.Bench) {}
	for name, c := range map[string]struct {
		path, want string
		prepare    func(b *pipelinetest.Bench)
	}{
		"a database":             {"warehouse.db", ofDatabase, nothing},
		"by another way":         {"sub/../warehouse.db", ofDatabase, nothing},
		"a link to it":           {"out.csv", ofDatabase, link("warehouse.db", "out.csv")},
		"its journal":            {"warehouse.db-wal", beside, nothing},
		"a journal to be":        {"sub/../warehouse.db-journal", beside, nothing},
		"behind a linked folder": {"other/warehouse.db-shm", beside, link(".", "other")},
		"the connections":        {"connections.yaml", "is the file of the runner's connections, and would be lost", func(b *pipelinetest.Bench) { b.Write("connections.yaml", "drop: {files: .}\n") }},
		"connections to be":      {"connections.yaml", "is the file of the runner's connections, and would be lost", nothing},
		"a file of the store": {"data/nats/jetstream/1.blk", ofRunner, func(b *pipelinetest.Bench) {
			b.Job.Connections.Guard(filepath.Join(b.Folder, "data", "nats"), "a file of the runner's own")
		}},
		"a key": {"run.key", ofRunner, func(b *pipelinetest.Bench) {
			b.Job.Connections.Guard(filepath.Join(b.Folder, "run.key"), "a file of the runner's own")
		}},
		"a task":                 {"members.yaml", ofTask, nothing},
		"a task of another name": {"sub/members.YML", ofTask, nothing},
		"a database of nobody":   {"old.csv", noText, func(b *pipelinetest.Bench) { b.Write("old.csv", "SQLite format 3\x00 and more") }},
		"a workbook":             {"old.csv", noText, func(b *pipelinetest.Bench) { b.Workbook("old.csv", []string{"ID"}) }},
	} {
		for _, action := range []task.Action{task.Replace, task.Append} {
			t.Run(name+", "+string(action), func(t *testing.T) {
				b := pipelinetest.New(t)
				if err := os.Mkdir(filepath.Join(b.Folder, "sub"), 0o700); err != nil {
					t.Fatal(err)
				}
				b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT); INSERT INTO members VALUES ('1', 'Ann')")
				c.prepare(b)
				b.ToFile(action)
				b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "SELECT id AS ID, name AS Name FROM members"}
				to := b.Job.Task.Destination.(*task.CSVDestination)
				to.Path = c.path
				before := b.Read(c.path)
				b.Fail(c.want)
				b.Job.DryRun = true
				b.Fail(c.want)
				if b.Read(c.path) != before || b.Query("SELECT * FROM members") != "1 Ann" {
					t.Error("the file is not what it was")
				}
				found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
				if err != nil || !slices.ContainsFunc(found, func(f check.Finding) bool {
					return f.Severity == check.Error && strings.HasPrefix(f.Text(), "destination.csv.path: ") && strings.Contains(strings.ToLower(f.Text()), strings.ToLower(c.want))
				}) {
					t.Errorf("a look found %v, %v", found, err)
				}
			})
		}
	}
}

func TestCSVDestinationsThatCannotBeUsed(t *testing.T) {
	for _, action := range []task.Action{task.Replace, task.Append} {
		b := pipelinetest.New(t)
		b.Write("members.csv", "ID,Name\n1,Ann\n")
		b.ToFile(action)
		b.Job.Task.Destination.(*task.CSVDestination).Path = "none/out.csv"
		b.Fail("The folder of the file none/out.csv of connection drop does not exist")
		b.Job.Task.Destination.(*task.CSVDestination).Path = "../out.csv"
		b.Fail("lead out of the connection's folder")
		if err := os.Mkdir(filepath.Join(b.Folder, "out"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.Job.Task.Destination.(*task.CSVDestination).Path = "out"
		b.Fail("is not a file")
	}
}

func TestValuesThatAreNoText(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
	b.ToFile(task.Replace)
	b.Mapping("id", "ID", "list", `ID == "1" ? [ID] : ID`)
	s := b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 1, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 1, Column: "list", Message: "is a list or an object"})
	if got := b.Read("out.csv"); got != "id,list\n2,2\n" {
		t.Errorf("the file is %q", got)
	}
}

// What is in the folder counts when a run begins, also when the folder is another by then.
func TestFolderThatIsReplaced(t *testing.T) {
	b := pipelinetest.New(t)
	b.ToFile(task.Append)
	folder := b.Folder
	set, err := connection.Parse([]byte("drop: {files: ./drop}\n"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
	b.Fail("The folder of connection drop does not exist")
	for _, name := range []string{"Ann", "Bob"} {
		if err := os.RemoveAll(filepath.Join(folder, "drop")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(folder, "drop"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.Write("drop/members.csv", "ID,Name\n1,"+name+"\n")
		b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
		if got, want := b.Read("drop/out.csv"), "id,name\n1,"+name+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Spreadsheet programs write rows that only had a format as delimiters.
func TestLinesOfNothingButDelimiters(t *testing.T) {
	for name, text := range map[string]string{
		"as many as columns": "ID,Name\n1,Ann\n,\n2,Bob\n,\n",
		"more":               "ID,Name\n,,,,\r\n1,Ann\r\n,,,\r\n2,Bob\r\n",
		"spaces and quotes":  "ID,Name\n1,Ann\n , \n\"\",\"\"\n2,Bob\n",
		"semicolons":         "ID;Name\n;\n1;Ann\n2;Bob\n;;;",
	} {
		b := pipelinetest.New(t)
		b.Write("members.csv", text)
		if name == "semicolons" {
			b.Job.Task.Source.(*task.CSVSource).Delimiter = ';'
		}
		b.Succeed(run.Counts{Total: 4, Retrieved: 4, Inserted: 2, Skipped: 2})
		if got, want := b.Query("SELECT id, name FROM members"), "1 Ann; 2 Bob"; got != want {
			t.Errorf("%s: the table has %q, want %q", name, got, want)
		}
		sample, err := pipeline.Preview(t.Context(), b.Job.Kinds, b.Job.Job, 10)
		if err != nil || sample.Counts != (run.Counts{Total: 4, Retrieved: 4, Skipped: 2}) || len(sample.Rows) != 2 {
			t.Errorf("%s: the preview has %+v, %v", name, sample, err)
		}
		found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
		if err != nil || len(found) > 0 {
			t.Errorf("%s: a look found %v, %v", name, found, err)
		}
	}
}

// Files that were put behind each other have their header again.
func TestHeaderAgain(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n ID ,\"Name\"\n2,ID\nID,\n")
	s := b.Succeed(run.Counts{Retrieved: 4, Inserted: 3, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 2, Message: "is the header again"})
}
