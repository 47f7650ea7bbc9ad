package sqldb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

const someMembers = `create table members (id integer primary key, name text, state text, active boolean, joined date, paid real, data blob, n numeric);
insert into members values
	(9007199254740993, 'Ann', 'CA', 1, '2026-01-31', 12.5, x'616263', '1.10'),
	(2, 'Bob', 'NV', 0, '2026-01-31 18:30:00', 0.1, null, 7),
	(3, null, 'CA', null, null, null, null, null)`

func TestQueryIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		query   string
		orderBy []string
		params  []string
		want    string
	}{
		"all":               {"select * from members order by id", nil, nil, "2,Bob\n3,\n9007199254740993,Ann\n"},
		"ordered":           {"select * from members -- all", []string{"name", "id"}, nil, "3,\n9007199254740993,Ann\n2,Bob\n"},
		"with":              {"with m as (select * from members) select id, name from m order by id desc limit 1;", nil, nil, "9007199254740993,Ann\n"},
		"values":            {"select 1 as id, ':x' as name union all values (2, '''')", nil, nil, "1,:x\n2,'\n"},
		"a parameter":       {"select * from members where state = :State order by id", nil, []string{"State", "CA"}, "3,\n9007199254740993,Ann\n"},
		"twice":             {"select * from members where (:State is null or state = @State) and id > $Least order by id", nil, []string{"State", "", "Least", "2"}, "3,\n9007199254740993,Ann\n"},
		"not SQL":           {"select * from members where state = :State", nil, []string{"State", "CA' or '1'='1"}, ""},
		"a number as text":  {"select * from members where id = :ID", nil, []string{"ID", "2"}, "2,Bob\n"},
		"no rows":           {"select * from members where false", nil, nil, ""},
		"an odd name":       {`select id as "a ""b"" c", id, name from members where id = 2`, []string{`a "b" c`}, nil, "2,Bob\n"},
		"keeps its order":   {"select * from members order by state desc, id", nil, nil, "2,Bob\n3,\n9007199254740993,Ann\n"},
		"a grouped one":     {"select max(id) id, state as name from members group by state order by state", nil, nil, "9007199254740993,CA\n2,NV\n"},
		"a quoted mark":     {"select id, '?;' || name as name from members where id = 2 /* ; :nothing */", nil, nil, "2,?;Bob\n"},
		"a column with dot": {"select id, name from members where id = :CsContact.ID", nil, []string{"CsContact.ID", "2"}, "2,Bob\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(someMembers)
			b.FromQuery(c.query, c.orderBy...)
			b.Parameters(c.params...)
			n := int64(strings.Count(c.want, "\n"))
			b.Succeed(run.Counts{Retrieved: n, Inserted: n})
			if got := b.Read("out.csv"); got != "id,name\n"+c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Values come as what they are, and as they are stored.
func TestQueryGivesTypedCells(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(someMembers)
	b.FromQuery("select * from members order by id")
	b.Mapping("id", "id + 1", "active", "active ? 'yes' : 'no'", "joined", "joined", "paid", "paid", "data", "data", "n", "n")
	b.Job.Task.Where = "active != nil"
	b.Succeed(run.Counts{Retrieved: 3, Inserted: 2, Skipped: 1})
	want := "id,active,joined,paid,data,n\n3,no,2026-01-31 18:30:00,0.1,,7\n9007199254740994,yes,2026-01-31,12.5,YWJj,1.1\n"
	if got := b.Read("out.csv"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQueryIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		query   string
		orderBy string
		want    string
	}{
		"a delete":            {"delete from members", "", "source.sql.query: it must be a select"},
		"several":             {"select 1; drop table members", "", "more than one statement"},
		"a hidden write":      {"with a as (select 1) insert into members(id) select 5", "", "it must be a select"},
		"no such table":       {"select * from member", "", "is refused by the database of connection warehouse: no such table: member"},
		"no such column":      {"select nme from members", "", "no such column: nme"},
		"no SQL":              {"select from where", "", "is refused by the database"},
		"an unknown :name":    {"select :State", "", ":State is no parameter of the task"},
		"a list":              {"select :States", "", ":States is a parameter with several values, and a query takes one"},
		"a column twice":      {"select id, name, id from members", "", "gives two columns named id; give one another name with as"},
		"an unknown order":    {"select id, name from members", "nmae", "source.sql.order_by: the query has no column nmae; did you mean name?"},
		"an unknown order 2":  {"select id, name from members", "x", "source.sql.order_by: the query has no column x; it has id, name"},
		"a bracket":           {"select 1) ; select (2", "", "no beginning or no end"},
		"a bracket alone":     {"select 1) union select (2", "", "no beginning or no end"},
		"an unknown function": {"select nosuch('x')", "", "no such function: nosuch"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(someMembers)
			b.FromQuery(c.query)
			if c.orderBy != "" {
				b.FromQuery(c.query, c.orderBy)
			}
			if name != "an unknown :name" {
				b.Job.Task.Parameters = []task.Parameter{{Name: "States", Multiple: true}}
			}
			s := b.Fail(c.want)
			if s.Counts.Retrieved != 0 || b.Read("out.csv") != "(no file)" || b.Query("select count(*) from members") != "3" {
				t.Errorf("something was done: %+v", s.Counts)
			}
		})
	}
}

func TestDatabaseIsOnlyRead(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromQuery("select 1 as id, 2 as name")
	b.Fail("he database of connection warehouse does not exist; correct the connection")
	if _, err := os.Stat(filepath.Join(b.Folder, "warehouse.db")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the database was made")
	}
	b.Write("warehouse.db", strings.Repeat("not a database", 100))
	b.Fail("is not a SQLite database")
}

// A database that is read may be the one that is written, in whatever mode it is.
func TestQueryAndTableInOneDatabase(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		b := pipelinetest.New(t)
		b.Exec("pragma journal_mode = " + mode)
		b.Exec(someMembers)
		b.Exec("with recursive n(i) as (select 10 union all select i + 1 from n where i < 5009) insert into members(id, name) select i, 'N' || i from n")
		b.FromQuery("select id, name from members", "id")
		b.Job.Task.Destination = &task.SQLDestination{
			Connection: "warehouse", Table: "people", Key: []string{"id"}, Action: task.Upsert, Create: true,
		}
		b.Succeed(run.Counts{Retrieved: 5003, Inserted: 5003})
		if got := b.Query("select count(*), sum(length(name)) from people"); got != b.Query("select count(*), sum(length(name)) from members") {
			t.Errorf("%s: %s", mode, got)
		}
	}
}

func TestCellsThatNothingCanTake(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("create table members (id integer, name text)")
	b.Exec("insert into members values (1, cast(x'ff41' as text)), (2, zeroblob(16 << 20)), (3, 'Ann')")
	b.FromQuery("select id, iif(id = 2, length(name), name) as name from members", "id")
	s := b.Succeed(run.Counts{Retrieved: 3, Inserted: 2, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 1, Column: "name", Message: "is text that is not valid UTF-8"})
}

// A value that is longer than a cell may be does not come into memory, wherever the query has it.
func TestValuesThatAreTooLong(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("create table members (id integer, name text)")
	b.Exec("insert into members values (1, 'Ann'), (2, cast(zeroblob((16 << 20) + 1) as text))")
	for _, query := range []string{
		"select id, name from members",
		"select id, name from members where name like '%n%'",
		"select 1 as id, zeroblob(900000000) as name",
		"with recursive n(i) as (select 1 union all select i + 1 from n where i < 200) select 1 as id, group_concat(hex(zeroblob(100000)), '') as name from n",
	} {
		b.FromQuery(query)
		b.Fail("has a value, or a row that is sorted, of more than 16 MiB; leave its column out of the query, or cut it with substr")
	}
}

// A query that computes for ever behind a row that it has given is ended with its run too.
func TestEndlessQueryIsCanceledBehindARow(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("pragma journal_mode = wal") // the rows are not copied first
	b.Exec(someMembers)
	s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, &task.SQLSource{Connection: "warehouse", Query: "with recursive n(i) as (select 1 union all select i + 1 from n) select i as id from n where i < 2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Next(ctx, make([]any, 1)); err != nil {
		t.Fatal(err)
	}
	go cancel()
	if _, err := s.Next(ctx, make([]any, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A query that computes for ever is ended with its run.
func TestEndlessQueryIsCanceled(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(someMembers)
	b.FromQuery("with recursive n(i) as (select 1 union all select i + 1 from n) select i as id, '' as name from n where i < 0")
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	b.Job.BeforeWrite = func(context.Context, int64) error { return nil }
	go func() {
		// The destination's file is made before the query begins.
		for {
			if files, _ := filepath.Glob(filepath.Join(b.Folder, ".out.csv.*")); len(files) > 0 {
				break
			}
		}
		close(began)
		cancel()
	}()
	_, err := b.Run(ctx)
	<-began
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
