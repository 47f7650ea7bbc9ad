package sqldb_test

import (
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// intoCopy makes the job copy members, all of it, to the table copy.
func intoCopy(b *pipelinetest.Bench, key string, columns ...string) {
	b.FromQuery("select * from members")
	var pairs []string
	for _, c := range columns {
		pairs = append(pairs, c, c)
	}
	b.Mapping(pairs...)
	b.Job.Task.Destination = &task.SQLDestination{Connection: "warehouse", Table: "copy", Key: []string{key}, Action: task.Upsert, Create: true}
}

// A copy of a table has the types of its columns, and whatever is in them, also what the type's name does not
// promise.
func TestCopyKeepsTypesAndValues(t *testing.T) {
	for name, c := range map[string]struct {
		make, values string
		want         string // the copy's types, where they are others
	}{
		"bytes":              {"id BLOB, v BLOB", "(x'a8828ddf', x''), (x'a9828ddf', x'00ff'), (x'00', 'text'), (7, null)", ""},
		"bytes without type": {"id, v UNIQUEIDENTIFIER", "(x'a8', x'c328'), ('a', '6F9619FF-8B86-D011-B42D-00CF4FC964FF'), (1, 5), (2.5, x'00')", ""},
		"numbers":            {"id INTEGER, v DECIMAL(10,2)", "(1, 1.5), (9007199254740993, 9007199254740993), (3, 'n/a'), (4, 1e300)", ""},
		"texts":              {"id VARCHAR(10), v STRING", "('007', 'a'), ('7', '1'), ('', 'x'), ('8', 1.5)", ""},
		"days and moments":   {"id DATE, v DATETIME", "('2026-01-31', '2026-01-31 18:30:00'), ('31.01.2026', 1769884200), (2461072.5, '24:00')", ""},
		"truths":             {"id DOUBLE PRECISION, v BOOLEAN", "(0.1, 1), (2, 0), (3, 2), (4, 'yes')", ""},
		"a STRICT table":     {"id TEXT, v ANY", "('1', '007'), ('2', 7), ('3', x'07'), ('4', 1.50)", "id TEXT; v "},
		"odd types":          {`id "A-B", v "x) y"`, "('1', 'a'), ('2', x'ff')", "id ; v "},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			strict := ""
			if name == "a STRICT table" {
				strict = " STRICT"
			}
			b.Exec("CREATE TABLE members (" + c.make + ")" + strict + "; INSERT INTO members VALUES " + c.values)
			intoCopy(b, "id", "id", "v")
			s, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			empty := int64(strings.Count(c.values, "('',"))
			b.Counts(s, run.Counts{Retrieved: s.Counts.Retrieved, Inserted: s.Counts.Retrieved - empty, Failed: empty})
			const all = "SELECT typeof(id), quote(id), typeof(v), quote(v) FROM "
			if got, want := b.Query(all+"copy ORDER BY quote(id)"), b.Query(all+"members WHERE id <> '' ORDER BY quote(id)"); got != want {
				t.Errorf("the copy has %s, want %s", got, want)
			}
			want := c.want
			if want == "" {
				want = b.Query("SELECT name, type FROM pragma_table_info('members')")
			}
			if got := b.Query("SELECT name, type FROM pragma_table_info('copy')"); got != want {
				t.Errorf("the copy's columns are %s, want %s", got, want)
			}
			// A check does not disagree with a run.
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Severity == check.Error || empty == 0 && strings.Contains(f.Message, "row") {
					t.Errorf("the check says %s", f.Text())
				}
			}
			b.Counts(b.Succeed(run.Counts{Retrieved: s.Counts.Retrieved, Unchanged: s.Counts.Inserted, Failed: empty}), run.Counts{Retrieved: s.Counts.Retrieved, Unchanged: s.Counts.Inserted, Failed: empty})
		})
	}
}

// ANY keeps everything in a STRICT table only.
func TestAnyOfAStrictTableIntoAnother(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id TEXT, v ANY) STRICT; INSERT INTO members VALUES ('1', '007'), ('2', 7); CREATE TABLE copy (id TEXT PRIMARY KEY, v ANY)")
	intoCopy(b, "id", "id", "v")
	b.RowErrors(b.Succeed(run.Counts{Retrieved: 2, Inserted: 1, Failed: 1}), run.RowError{Row: 1, Column: "v", Message: "is text that SQLite would make another number of"})
}

// Bytes stay bytes in a column of bytes, and are base64 as text.
func TestBytesIntoOtherColumns(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id INTEGER, v BLOB); INSERT INTO members VALUES (1, x'a8828d'), (2, x'a9828d'); CREATE TABLE copy (id INTEGER PRIMARY KEY, raw BLOB, bare, words TEXT, n INTEGER)")
	intoCopy(b, "id", "id")
	b.Mapping("id", "id", "raw", "v", "bare", "v", "words", "v")
	b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
	if got, want := b.Query("SELECT quote(raw), quote(bare), words FROM copy"), "X'A8828D' X'A8828D' qIKN; X'A9828D' X'A9828D' qYKN"; got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
	b.Mapping("id", "id", "n", "v")
	b.RowErrors(b.Fail("n is not a whole number"), run.RowError{Row: 1, Column: "n", Message: "is not a whole number"}, run.RowError{Row: 2, Column: "n", Message: "is not a whole number"})
}

// Binary data that was written to CSV comes back into a column of bytes, whether a run makes it or it is there.
func TestBytesComeBackFromBase64(t *testing.T) {
	for name, c := range map[string]struct{ make, types string }{
		"made by the run": {"", "TEXT BLOB"},
		"there":           {"CREATE TABLE copy (id TEXT PRIMARY KEY, v LONGBLOB)", "TEXT LONGBLOB"},
		"without a type":  {"CREATE TABLE copy (id TEXT PRIMARY KEY, v)", "TEXT "},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY, v BLOB); INSERT INTO members VALUES ('1', x'ff00fe'), ('2', x'41'), ('3', NULL), ('4', x'c3a9');" + c.make)
			from, to := b.Job.Task.Source, b.Job.Task.Destination
			b.FromQuery("select * from members", "id")
			b.Mapping("id", "id", "v", "v")
			b.ToFile(task.Replace)
			b.Succeed(run.Counts{Retrieved: 4, Inserted: 4})
			b.Write("members.csv", b.Read("out.csv"))
			b.Job.Task.Source, b.Job.Task.Destination = from, to
			b.Table().Table = "copy"
			b.Mapping("id", "id", "v", "bytes(v)")
			b.Succeed(run.Counts{Retrieved: 4, Inserted: 4})
			const all = "SELECT id, typeof(v), hex(v) FROM "
			if got, want := b.Query(all+"copy"), b.Query(all+"members"); got != want {
				t.Errorf("the copy has %s, want %s", got, want)
			}
			if got := b.Query("SELECT group_concat(type, ' ') FROM pragma_table_info('copy')"); got != c.types {
				t.Errorf("the columns are %s, want %s", got, c.types)
			}
		})
	}
}
