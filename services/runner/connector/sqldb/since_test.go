package sqldb_test

import (
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// sinceBench reads the table changes of a bench from a value on, as a run does.
type sinceBench struct {
	*pipelinetest.Bench
	mark string
}

func (b *sinceBench) since() *task.Since { return b.Job.Task.Source.(*task.SQLSource).Since }

func newSince(b *pipelinetest.Bench, columnType string) *sinceBench {
	b.Exec("CREATE TABLE changes (id int PRIMARY KEY, name varchar(20), v " + columnType + ")")
	b.FromQuery("select id, name, v from changes where :since is null or v > :since", "id")
	b.Job.Task.Source.(*task.SQLSource).Since = &task.Since{Column: "v"}
	return &sinceBench{Bench: b}
}

// reads runs the job from the watermark, and wants these rows, and another watermark.
func (b *sinceBench) reads(ids, mark string) {
	b.T.Helper()
	b.Job.Parameters = task.Values{}.WithSince(b.mark)
	s, err := b.Run(b.T.Context())
	if err != nil {
		b.T.Errorf("from %q: %v", b.mark, err)
		return
	}
	var got []string
	for line := range strings.Lines(b.Read("out.csv")) {
		id, _, _ := strings.Cut(line, ",")
		got = append(got, id)
	}
	if read := strings.Join(got[1:], " "); read != ids || s.Highest != mark {
		b.T.Errorf("from %q it reads %q up to %q, want %q up to %q", b.mark, read, s.Highest, ids, mark)
	}
	if s.Highest != "" {
		b.mark = s.Highest
	}
}

// What a run has seen is where the next one goes on, with all digits of each type that databases have, and nothing is
// read twice or passed over.
func TestSinceOfEachType(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		for _, c := range []struct {
			columnType string
			values     [4]string // two for the first run, the higher one first, and one for each of the next two
			marks      [3]string
			on         string
		}{
			{"bigint", [4]string{"9007199254740993", "-5", "9007199254740994", "9223372036854775807"}, [3]string{"9007199254740993", "9007199254740994", "9223372036854775807"}, ""},
			{"bigint unsigned", [4]string{"18446744073709551612", "7", "18446744073709551613", "18446744073709551615"}, [3]string{"18446744073709551612", "18446744073709551613", "18446744073709551615"}, "MariaDB"},
			{"numeric(30,12)", [4]string{"123456789012345678.000000000001", "9.5", "123456789012345678.000000000002", "123456789012345678.1"}, [3]string{"123456789012345678.000000000001", "123456789012345678.000000000002", "123456789012345678.100000000000"}, "PostgreSQL MariaDB"},
			{"double precision", [4]string{"0.1", "-1", "0.30000000000000004", "1e300"}, [3]string{"0.1", "0.30000000000000004", "1e+300"}, ""},
			{"date", [4]string{"'2026-02-01'", "'2025-12-31'", "'2026-02-02'", "'2026-10-01'"}, [3]string{"2026-02-01", "2026-02-02", "2026-10-01"}, ""},
			{"timestamp", [4]string{"'2026-02-01 10:00:00.000001'", "'2025-12-31'", "'2026-02-01 10:00:00.000002'", "'2026-02-01 10:00:00.1'"}, [3]string{"2026-02-01T10:00:00.000001", "2026-02-01T10:00:00.000002", "2026-02-01T10:00:00.1"}, "PostgreSQL"},
			{"timestamptz", [4]string{"'2026-02-01 10:00:00.000001+02'", "'2025-12-31'", "'2026-02-01 08:00:00.000002+00'", "'2026-02-01 01:00:00-08'"}, [3]string{"2026-02-01T08:00:00.000001Z", "2026-02-01T08:00:00.000002Z", "2026-02-01T09:00:00Z"}, "PostgreSQL"},
			{"datetime(6)", [4]string{"'2026-02-01 10:00:00.000001'", "'2025-12-31'", "'2026-02-01 10:00:00.000002'", "'2026-02-01 10:00:00.1'"}, [3]string{"2026-02-01T10:00:00.000001", "2026-02-01T10:00:00.000002", "2026-02-01T10:00:00.1"}, "MariaDB"},
			{"timestamp(6) null", [4]string{"'2026-02-01 10:00:00.000001'", "'2025-12-31'", "'2026-02-01 10:00:00.000002'", "'2026-02-01 10:00:00.1'"}, [3]string{"2026-02-01T10:00:00.000001Z", "2026-02-01T10:00:00.000002Z", "2026-02-01T10:00:00.1Z"}, "MariaDB"},
			{"varchar(40)", [4]string{"'2026-02-01T10:00:00Z'", "'2025-12-31T23:59:59Z'", "'2026-02-01T10:00:01Z'", "'2026-02-01T10:00:02Z'"}, [3]string{"2026-02-01T10:00:00Z", "2026-02-01T10:00:01Z", "2026-02-01T10:00:02Z"}, ""},
			{"text", [4]string{"'2026-02-01 10:00:00'", "'2025-12-31 23:59:59.999'", "'2026-02-01 10:00:00.5'", "'2026-02-01 10:00:01'"}, [3]string{"2026-02-01 10:00:00", "2026-02-01 10:00:00.5", "2026-02-01 10:00:01"}, ""},
		} {
			if c.on != "" && !strings.Contains(c.on, string(of)) {
				continue
			}
			b.Exec("DROP TABLE IF EXISTS changes")
			s := newSince(b, c.columnType)
			b.Exec(fmt.Sprintf("INSERT INTO changes VALUES (1, 'a', %s), (2, 'b', %s), (3, 'c', null)", c.values[0], c.values[1]))
			s.reads("1 2 3", c.marks[0])
			s.reads("", "")
			b.Exec("INSERT INTO changes VALUES (4, 'd', " + c.values[2] + ")")
			s.reads("4", c.marks[1])
			b.Exec("INSERT INTO changes VALUES (5, 'e', " + c.values[3] + ")")
			s.reads("5", c.marks[2])
			if t.Failed() {
				t.Fatalf("the column is %s", c.columnType)
			}
		}
	})
}

// Days that are infinite, or none, keep no run from reading what comes after.
func TestSinceIgnoresInfinity(t *testing.T) {
	b := pipelinetest.NewOf(t, pipelinetest.Postgres)
	s := newSince(b, "timestamp")
	b.Exec("INSERT INTO changes VALUES (1, 'a', 'infinity'), (2, 'b', '-infinity'), (3, 'c', '0044-03-15 BC'), (4, 'd', '2026-02-01')")
	s.reads("1 2 3 4", "2026-02-01T00:00:00")
	s.reads("1", "")
}

// What cannot say which rows come after ends the run before it has written any, and says so without a value.
func TestSinceRefusesColumns(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		single := map[pipelinetest.Make]string{pipelinetest.Postgres: "real", pipelinetest.MariaDB: "float"}[of]
		for _, c := range []struct {
			columnType, rows, mark string
			alter                  func(*task.Since)
			want                   string
		}{
			{"varchar(40)", "'SECRET'", "", nil, "Row 1: source.sql.since.column: the column v is neither a number nor a date like 2026-01-31 or 2026-01-31T12:00:00Z"},
			{"varchar(40)", "'104'", "", nil, "the column v is a number in a text, which the database orders by its letters; take a column of numbers or of dates"},
			{"varchar(40)", "'2026-01-31 10:00:00'), (2, 'b', '2026-01-31T11:00:00'", "", nil, "Row 2: source.sql.since.column: the column v is written in another way than the value before"},
			{"varchar(40)", "'2026-01-31T10:00:00'", "2026-01-31 09:00:00", nil, "is written in another way"},
			{"int", "7", "2026-01-31", func(s *task.Since) { s.Start = "2026-01-31" }, ""},
			{"int", "7", "", func(s *task.Since) { s.Column = "w" }, "source.sql.since.column: the source has no column w; it has id, name, v"},
			{"int", "7", "", func(s *task.Since) { s.Column = "nmae" }, "source.sql.since.column: the source has no column nmae; did you mean name?"},
			{"int", "7", "", func(s *task.Since) { s.Overlap = 60e9 }, "the column v is a number, and overlap is a time"},
			{"varchar(40)", "'2026-01-31'", "", func(s *task.Since) { s.OverlapCount = 5 }, "the column v is a date, and overlap is a number"},
			{single, "0.1", "", nil, "source.sql.since.column: the column v is of single precision"},
		} {
			if c.columnType == "" {
				continue
			}
			b.Exec("DROP TABLE IF EXISTS changes")
			s := newSince(b, c.columnType)
			b.Exec("INSERT INTO changes VALUES (1, 'a', " + c.rows + ")")
			if c.alter != nil {
				c.alter(s.since())
			}
			b.Write("out.csv", "old\n")
			b.Job.Parameters = task.Values{}.WithSince(c.mark)
			if c.want == "" { // the database may say it by itself
				if _, err := b.Run(t.Context()); err == nil && of == pipelinetest.Postgres {
					t.Error("a day is compared with a number")
				}
				continue
			}
			if failed := b.Fail(c.want); strings.Contains(failed.Message, "SECRET") {
				t.Errorf("the value is shown: %s", failed.Message)
			}
			if got := b.Read("out.csv"); got != "old\n" {
				t.Errorf("rows were written: %s", got)
			}
			if !strings.Contains(c.want, "has no column") {
				continue
			}
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			if err != nil || len(found) != 1 || found[0].Severity != check.Error || found[0].Message != c.want || found[0].Field.String() != "source.sql.since.column" {
				t.Errorf("the check says %+v, %v", found, err)
			}
		}
	})
}

// The numbers of a query and its text around them stay what they are.
func TestSinceInAQuery(t *testing.T) {
	pipelinetest.EachMake(t, func(_ *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		s := newSince(b, "int")
		b.Exec("INSERT INTO changes VALUES (1, 'x:since', -7), (2, 'b', -6)")
		b.Job.Task.Parameters = []task.Parameter{{Name: "Name"}}
		source := b.Job.Task.Source.(*task.SQLSource)
		source.Query = "select id, name, v, ':since' as s from changes -- all since :since\nwhere v>:since and (name = :Name or name <> ':since' and :Name = 'x') /* :since */;"
		b.Job.Parameters = task.Values{"Name": {Values: []string{"x"}}}.WithSince("-8")
		b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
		b.Job.Parameters = task.Values{"Name": {Values: []string{"b"}}}.WithSince("-7")
		b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
		_ = s
	})
}
