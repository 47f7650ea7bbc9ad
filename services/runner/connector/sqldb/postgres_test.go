package sqldb_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

func onPostgres(t *testing.T) *pipelinetest.Bench {
	t.Helper()
	return pipelinetest.NewOf(t, pipelinetest.Postgres)
}

// Text is what the column's type makes of it, or its row fails: nothing is rounded, cut, or taken for another day.
func TestPostgresTypes(t *testing.T) {
	b := onPostgres(t)
	b.Exec(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN zip AS varchar(5) CHECK (VALUE <> 'no')`)
	var all []string
	mapping := []string{"id", "id"}
	const rounded, large = "has more digits than the column keeps", "is too large a number"
	for i, c := range []struct {
		declared, text string
		// stored is what is in the table then; fault what is said instead.
		stored, fault string
	}{
		{"smallint", "32767", "32767", ""},
		{"smallint", "32768", "", large},
		{"int", "2147483648", "", large},
		{"int", "1.5", "", "is not a whole number"},
		{"int", "", "<nil>", ""},
		{"bigint", "9223372036854775807", "9223372036854775807", ""},
		{"bigint", "9223372036854775808", "", large},
		{"numeric", "12345678901234567890.1234567890", "12345678901234567890.1234567890", ""},
		{"numeric", "NaN", "NaN", ""},
		{"numeric", "-Infinity", "-Infinity", ""},
		{"numeric(5,2)", "123.45", "123.45", ""},
		{"numeric(5,2)", "123.450", "123.45", ""},
		{"numeric(5,2)", "1.005", "", rounded},
		{"numeric(5,2)", "1000", "", large},
		{"numeric(5,2)", "Infinity", "", "is not a number"},
		{"numeric(2,-3)", "12000", "12000", ""},
		{"numeric(2,-3)", "12500", "", rounded},
		{"real", "1.1", "1.1", ""},
		{"real", "1.23456789", "", rounded},
		{"real", "1e39", "", large},
		{"double precision", "Infinity", "Infinity", ""},
		{"double precision", "1e999", "", large},
		{"double precision", "0.1234567890123456789", "", rounded},
		{"boolean", "Yes", "true", ""},
		{"boolean", "2", "", "is not true or false"},
		{"varchar(3)", "abc", "abc", ""},
		{"varchar(3)", "äöü", "äöü", ""},
		{"varchar(3)", "abc ", "", "has more than 3 letters"},
		{"varchar(3)", "abcd", "", "has more than 3 letters"},
		{"char(3)", "ab", "ab ", ""},
		{"char(3)", "abcd", "", "has more than 3 letters"},
		{"zip", "12345", "12345", ""},
		{"zip", "123456", "", "has more than 5 letters"},
		{"zip", "no", "", "breaks a check rule"},
		{"name", strings.Repeat("x", 64), "", "has more than 63 letters"},
		{"date", "2026-01-31", "2026-01-31", ""},
		{"date", "01.02.2026", "", "is not a date"},
		{"date", "infinity", "infinity", ""},
		{"date", "0044-03-15 BC", "0044-03-15 BC", ""},
		{"timestamp", "2026-01-31 18:30", "2026-01-31T18:30:00", ""},
		{"timestamp", "2026-01-31T18:30:00.123456", "2026-01-31T18:30:00.123456", ""},
		{"timestamp", "2026-01-31T18:30:00.1234567", "", "has more digits of a second"},
		{"timestamp(0)", "2026-01-31T18:30:00.5", "", "has more digits of a second"},
		{"timestamp", "2026-01-31T18:30:00+02:00", "", "has a time zone"},
		{"timestamp", "2026-01-31", "2026-01-31T00:00:00", ""},
		{"timestamptz", "2026-01-31T18:30:00+02:00", "2026-01-31T22:00:00+05:30", ""},
		{"timestamptz", "2026-01-31T18:30:00Z", "2026-02-01T00:00:00+05:30", ""},
		{"timestamptz", "2026-01-31T18:30:00", "", "has no time zone"},
		{"timestamptz", "2026-01-31", "", "has no time zone"},
		{"timestamptz", "-infinity", "-infinity", ""},
		{"time", "18:30", "18:30:00", ""},
		{"time", "25:00", "", "is not a time"},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", ""},
		{"uuid", "4711secret", "", "is not a UUID"},
		{"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380axy", "", "has a value of the wrong type"},
		{"json", `{"a": 1.10}`, `{"a": 1.10}`, ""},
		{"json", `{4711secret`, "", "is not JSON"},
		{"jsonb", `[1.10]`, `[1.10]`, ""},
		{"mood", "ok", "ok", ""},
		{"mood", "4711secret", "", "has a value of the wrong type"},
		{"int[]", "{1,2}", "[1,2]", ""},
		{"int[]", "{4711secret}", "", "has a value of the wrong type"},
		{"numeric(5,2)[]", "{1.5}", "[1.50]", ""},
		{"inet", "10.0.0.1/8", "10.0.0.1/8", ""},
		{"interval", "1 day 02:03:04", "1 day 02:03:04", ""},
		{"int4range", "[1,5)", "[1,5)", ""},
		{"bytea", "4711", "", "is not binary data"},
		{"point", "(1,2)", "(1,2)", ""},
		{"xml", "<a/>", "<a/>", ""},
		{"money", "12.50", "$12.50", ""},
		{"bit(3)", "101", "101", ""},
		{"text", "", "", ""},
		{"text", "00501", "00501", ""},
	} {
		t.Run(c.declared+"="+c.text, func(t *testing.T) {
			b.T = t
			table := fmt.Sprintf("types_%d", i)
			b.Exec("CREATE TABLE " + table + " (id text PRIMARY KEY CHECK (id <> 'no'), v " + c.declared + ")")
			b.Table().Table = table
			b.Mapping("id", "ID", "v", "V")
			b.Write("members.csv", "ID,V\n1,\""+strings.ReplaceAll(c.text, `"`, `""`)+"\"\n")
			if c.fault != "" {
				s, err := b.Run(t.Context())
				if err == nil || len(s.Errors) != 1 || !strings.Contains(s.Errors[0].Message, c.fault) {
					t.Fatalf("got %v, %+v, want %s", err, s.Errors, c.fault)
				}
				if said := fmt.Sprint(s.Errors, err); strings.Contains(said, "4711") {
					t.Errorf("a value is shown: %s", said)
				}
				return
			}
			// A row that is refused has the whole batch written again.
			b.Write("members.csv", "ID,V\n1,\""+strings.ReplaceAll(c.text, `"`, `""`)+"\"\nno,\""+strings.ReplaceAll(c.text, `"`, `""`)+"\"\n")
			b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 1, Failed: 1})
			got := b.Query("SELECT coalesce(row_to_json(q)->>'v', '<nil>') FROM (SELECT v FROM " + table + ") AS q")
			if got != c.stored {
				t.Errorf("stored %q, want %q", got, c.stored)
			}
			// What was stored compares as what was given.
			b.Succeed(run.Counts{Total: 2, Retrieved: 2, Unchanged: 1, Failed: 1})
			all = append(all, "(SELECT v FROM "+table+") AS v"+fmt.Sprint(i))
			mapping = append(mapping, "v"+fmt.Sprint(i), "v"+fmt.Sprint(i))
		})
	}
	// All of it comes as what is taken again, whole.
	b.T = t
	b.Exec("CREATE TABLE whole AS SELECT '1'::text AS id, " + strings.Join(all, ", ") + "; ALTER TABLE whole ADD PRIMARY KEY (id)")
	b.Table().Table = "whole"
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from whole"}
	b.Mapping(mapping...)
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
	b.Exec("UPDATE whole SET v0 = NULL")
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
}

// Each type has one form, in text, in CSV and in JSON.
func TestPostgresCells(t *testing.T) {
	b := onPostgres(t)
	b.Exec(`CREATE TYPE mood AS ENUM ('sad', 'ok')`)
	const query = `select 1::smallint as a, 9007199254740993 as b, 12345678901234567890.10::numeric as c, 1.1::real as d, 'NaN'::float8 as e, 'Infinity'::numeric as f,
		true as g, 'ab'::char(5) as h, '2026-01-31'::date as i, '0044-03-15 BC'::date as j, 'infinity'::date as k,
		'2026-01-31 18:30:00.123456'::timestamp as l, '2026-01-31 18:30:00+02'::timestamptz as m, '18:30:00.5'::time as n, '18:30+02'::timetz as o,
		'\xff00'::bytea as p, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as q, '{"a": 1.10}'::json as r, '{"a": null}'::jsonb as s,
		array[1,null,3] as t, '1 year 2 days 03:04:05'::interval as u, int4range(1,5) as v, '10.0.0.1'::inet as w, 'ok'::mood as x, null::int as y, ''::text as z,
		'null'::jsonb as aa, '<a/>'::xml as bb, b'101' as cc, '10000-01-01 00:00:00'::timestamp as dd`
	want := []any{
		int64(1), int64(9007199254740993), json.Number("12345678901234567890.10"), 1.1, "NaN", "Infinity",
		true, "ab", "2026-01-31", "0044-03-15 BC", "infinity",
		"2026-01-31T18:30:00.123456", "2026-01-31T16:30:00Z", "18:30:00.5", "18:30:00+02",
		[]byte{0xff, 0},
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", `{"a": 1.10}`, `{"a": null}`,
		"{1,NULL,3}", "P1Y2DT3H4M5S", "[1,5)", "10.0.0.1", "ok", nil, "",
		"null", "<a/>", "101", "10000-01-01T00:00:00",
	}
	s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, &task.SQLSource{Connection: "warehouse", Query: query}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := make([]any, len(want))
	if _, err := s.Next(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	for i, name := range s.Columns().Names {
		if fmt.Sprintf("%T %v", got[i], got[i]) != fmt.Sprintf("%T %v", want[i], want[i]) {
			t.Errorf("%s is %T %v, want %T %v", name, got[i], got[i], want[i], want[i])
		}
	}
	if object, fault := row.AppendObject(nil, []string{"c", "d"}, []any{got[2], got[3]}); fault != nil || string(object) != `{"c":12345678901234567890.10,"d":1.1}` {
		t.Errorf("the JSON is %s, %v", object, fault)
	}
}

// A table that a run makes of another has its types, and all its values.
func TestPostgresCopyIsMade(t *testing.T) {
	b := onPostgres(t)
	b.Exec(`CREATE TABLE people (id int PRIMARY KEY, name varchar(20), paid numeric(10,2), joined timestamptz, active boolean, photo bytea, tags text[], doc jsonb);
		INSERT INTO people VALUES (1, 'Ann', 12.50, '2026-01-31 18:30:00.123456+02', true, '\xff', '{a,"b c"}', '{"a": 1}'), (2, NULL, NULL, 'infinity', NULL, NULL, NULL, NULL)`)
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from people", OrderBy: []string{"id"}}
	b.Mapping("id", "id", "name", "name", "paid", "paid", "joined", "joined", "active", "active", "photo", "photo", "tags", "tags", "doc", "doc")
	b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
	b.Succeed(run.Counts{Retrieved: 2, Unchanged: 2})
	const types = `SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = `
	if made, there := b.Query(types+"'members'::regclass"), b.Query(types+"'people'::regclass"); made != there {
		t.Errorf("the table has the types %s, want %s", made, there)
	}
	if got := b.Query("SELECT count(*) FROM (SELECT * FROM people EXCEPT SELECT * FROM members) AS d"); got != "0" {
		t.Errorf("%s rows differ", got)
	}
	// Into another make, and back.
	lite := pipelinetest.New(t)
	set, err := connection.Parse([]byte("lite: {sqlite: ./warehouse.db}\nwarehouse: {postgres: '"+pgURL(t, b)+"'}\n"), lite.Folder+"/connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
	b.Table().Connection = "lite"
	b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
	b.Job.Task.Source = &task.SQLSource{Connection: "lite", Query: "select * from members", OrderBy: []string{"id"}}
	b.Table().Connection = "warehouse"
	b.Table().Create = false
	b.Succeed(run.Counts{Retrieved: 2, Unchanged: 2})
}

// pgURL is the address of a bench's database.
func pgURL(t *testing.T, b *pipelinetest.Bench) string {
	t.Helper()
	at, err := b.Job.Connections.Database("warehouse")
	if err != nil {
		t.Fatal(err)
	}
	return at.Postgres
}

// What is inserted by COPY is what was given, whatever letters it has, and a row that is refused fails alone.
func TestPostgresInsertsByCopy(t *testing.T) {
	b := onPostgres(t)
	b.Exec(`CREATE TABLE odd (id int PRIMARY KEY, v text, b bytea, n numeric(5,2), j jsonb, a text[]);
		INSERT INTO odd VALUES (1, E'a\tb\nc\rd\\e', '\x00ff5c', 1.25, '{"a": "x\\y"}', E'{"a\\"b",NULL}'), (2, '\N', '', NULL, NULL, NULL), (3, '\.', NULL, 0, '[]', '{}'), (4, '', '\x', -1, 'null', NULL), (5, NULL, NULL, NULL, NULL, NULL), (6, 'ж😀''"', NULL, NULL, NULL, NULL);
		CREATE TABLE members (id int PRIMARY KEY, v text CHECK (v <> 'no'), b bytea, n numeric(5,2), j jsonb, a text[], rest text DEFAULT 'kept')`)
	b.Table().Action, b.Table().Key = task.Insert, nil
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from odd", OrderBy: []string{"id"}}
	b.Mapping("id", "id", "v", "v", "b", "b", "n", "n", "j", "j", "a", "a")
	b.Succeed(run.Counts{Retrieved: 6, Inserted: 6})
	if got := b.Query("SELECT count(*) FROM (SELECT * FROM odd EXCEPT SELECT id, v, b, n, j, a FROM members WHERE rest = 'kept') AS d"); got != "0" {
		t.Errorf("%s rows differ", got)
	}
	b.Exec("INSERT INTO odd VALUES (7, 'no'), (8, 'yes')")
	s := b.Succeed(run.Counts{Retrieved: 8, Inserted: 1, Failed: 7})
	if last := s.Errors[6]; last.Row != 7 || !strings.Contains(last.Message, "breaks a check rule of the table: members_v_check (SQLSTATE 23514)") {
		t.Errorf("got %+v", last)
	}
	// Policies are asked for each row, which COPY cannot.
	b.Exec("ALTER TABLE members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON members USING (true) WITH CHECK (id <> 10); INSERT INTO odd VALUES (9), (10); DELETE FROM odd WHERE id < 9")
	s = b.Succeed(run.Counts{Retrieved: 2, Inserted: 1, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 2, Message: "is refused by a row security policy"})
}

// The rows of a batch are found by the key's index, and not by a plan that depends on what is known of the table.
func TestPostgresPlansOnce(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text)")
	d := openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	for range 2 {
		batch := row.NewBatch(2)
		r := batch.Add(1)
		r.Values[0], r.Values[1] = "1", "Ann"
		if err := d.Write(t.Context(), batch, func(int64) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.Ask(t.Context(), "SELECT sum(custom_plans) || ' ' || (sum(generic_plans) > 2) FROM pg_prepared_statements WHERE statement LIKE '%unnest(%' AND statement NOT LIKE '%pg_class%'"); err != nil || got != "0 true" {
		t.Errorf("got %s, %v", got, err)
	}
}
