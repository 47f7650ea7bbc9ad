package sqldb_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func onMariaDB(t *testing.T) *pipelinetest.Bench {
	t.Helper()
	return pipelinetest.NewOf(t, pipelinetest.MariaDB)
}

// Text is what the column's type makes of it, or its row fails: nothing is rounded, cut, made zero, or taken for another
// day.
func TestMySQLTypes(t *testing.T) {
	b := onMariaDB(t)
	var all []string
	mapping := []string{"id", "id"}
	const rounded, large, letters = "has more digits than the column keeps", "is too large a number", "has more than 3 letters"
	for i, c := range []struct {
		declared, text string
		// stored is what is in the table then; fault what is said instead.
		stored, fault string
	}{
		{"tinyint", "-128", "-128", ""},
		{"tinyint", "128", "", large},
		{"tinyint unsigned", "255", "255", ""},
		{"tinyint unsigned", "-1", "", large},
		{"boolean", "Yes", "1", ""},
		{"boolean", "false", "0", ""},
		{"boolean", "7", "7", ""},
		{"smallint", "32768", "", large},
		{"mediumint", "8388607", "8388607", ""},
		{"mediumint", "8388608", "", large},
		{"mediumint unsigned", "16777215", "16777215", ""},
		{"int", "2147483648", "", large},
		{"int unsigned", "4294967295", "4294967295", ""},
		{"int", "1.5", "", "is not a whole number"},
		{"int", "7x", "", "is not a whole number"},
		{"int", "", "<nil>", ""},
		{"bigint", "9223372036854775807", "9223372036854775807", ""},
		{"bigint", "9223372036854775808", "", large},
		{"bigint unsigned", "18446744073709551615", "18446744073709551615", ""},
		{"bigint unsigned", "18446744073709551616", "", large},
		{"bigint unsigned", "-1", "", large},
		{"decimal(38,10)", "1234567890123456789012345678.1234567890", "1234567890123456789012345678.1234567890", ""},
		{"decimal(5,2)", "123.45", "123.45", ""},
		{"decimal(5,2)", "123.450", "123.45", ""},
		{"decimal(5,2)", "1.005", "", rounded},
		{"decimal(5,2)", "1000", "", large},
		{"decimal(5,2) unsigned", "-1", "", large},
		{"decimal(5,2)", "1e2", "100.00", ""},
		{"float", "1.1", "1.1", ""},
		{"float", "1.23456789", "", rounded},
		{"float", "1e39", "", large},
		{"float(5,2)", "1.25", "1.25", ""},
		{"float(5,2)", "1.255", "", rounded},
		{"double", "0.1", "0.1", ""},
		{"double", "1e-310", "1e-310", ""},
		{"double", "1e999", "", large},
		{"double", "NaN", "", "is not a number"},
		{"varchar(3)", "äöü", "äöü", ""},
		{"varchar(3)", "abc ", "", letters},
		{"varchar(3)", "a  ", "a  ", ""},
		{"varchar(3)", "😀😀😀", "😀😀😀", ""},
		{"char(3)", "ab", "ab", ""},
		{"char(3)", "abcd", "", letters},
		{"varchar(9) character set latin1", "ä", "ä", ""},
		{"varchar(9) character set latin1", "ж4711", "", "or a letter that the column's character set does not have"},
		{"varchar(9) character set utf8mb3", "😀", "", "or a letter that the column's character set does not have"},
		{"tinytext", strings.Repeat("x", 255), strings.Repeat("x", 255), ""},
		{"tinytext", strings.Repeat("x", 254) + "  ", "", "has more than 255 bytes"},
		{"longtext", "it's \\ \"quoted\" ?", "it's \\ \"quoted\" ?", ""},
		{"date", "2026-01-31", "2026-01-31", ""},
		{"date", "01.02.03", "", "is not a date"},
		{"date", "0000-00-00", "", "is not a date"},
		{"date", "2026-00-10", "", "is not a date"},
		{"datetime", "2026-01-31 18:30", "2026-01-31 18:30:00", ""},
		{"datetime(6)", "2026-01-31T18:30:00.123456", "2026-01-31 18:30:00.123456", ""},
		{"datetime", "2026-01-31T18:30:00.5", "", "has more digits of a second"},
		{"datetime(6)", "2026-01-31T18:30:00Z", "", "has a time zone"},
		{"datetime", "2026-01-31", "2026-01-31 00:00:00", ""},
		{"timestamp null", "2026-01-31T18:30:00+02:00", "2026-01-31 16:30:00", ""},
		{"timestamp(3) null", "2026-01-31T18:30:00.125Z", "2026-01-31 18:30:00.125", ""},
		{"timestamp null", "2026-01-31T18:30:00", "", "has no time zone"},
		{"timestamp null", "1969-01-31T18:30:00Z", "", "is before 1970"},
		{"timestamp null", "2039-01-31T18:30:00Z", "", "has a value of the wrong type"},
		{"timestamp null", "", "<nil>", ""},
		{"time", "18:30", "18:30:00", ""},
		{"time", "1830", "", "is not a time"},
		{"time", "-100:00:00", "-100:00:00", ""},
		{"time", "839:00:00", "", "is not a time"},
		{"time(6)", "18:30:00.5", "18:30:00.500000", ""},
		{"year", "2026", "2026", ""},
		{"year", "26", "", "is not a year"},
		{"bit(3)", "5", "5", ""},
		{"bit(3)", "8", "", "has more bits"},
		{"bit(64)", "18446744073709551615", "18446744073709551615", ""},
		{"enum('a','it''s','2')", "it's", "it's", ""},
		{"enum('a','b')", "2", "", "is none of the values of the enum"},
		{"enum('a','b')", "A", "a", ""},
		{"set('a','b')", "a,b", "a,b", ""},
		{"set('a','b')", "3", "", "is none of the values of the set"},
		{"json", `{"a": 1.10}`, `{"a": 1.10}`, ""},
		{"json", `{4711secret`, "", "is not JSON"},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", ""},
		{"uuid", "4711secret", "", "has a value of the wrong type"},
		{"inet6", "::1", "::1", ""},
		{"varbinary(9)", "4711", "", "is not binary data"},
		{"point", "4711", "", "is for a column of type point, which is not written"},
		{"varchar(9)", "", "", ""},
		{"varchar(9)", "00501", "00501", ""},
	} {
		t.Run(c.declared+"="+c.text, func(t *testing.T) {
			b.T = t
			table := fmt.Sprintf("types_%d", i)
			b.Exec("CREATE TABLE " + table + " (id varchar(9) PRIMARY KEY CHECK (id <> 'no'), v " + c.declared + ")")
			b.Table().Table = table
			b.Mapping("id", "ID", "v", "V")
			b.Write("members.csv", "ID,V\n1,\""+strings.ReplaceAll(c.text, `"`, `""`)+"\"\n")
			if c.fault != "" {
				s, err := b.Run(t.Context())
				if err == nil || len(s.Errors) != 1 || !strings.Contains(s.Errors[0].Message, c.fault) || s.Errors[0].Column != "v" {
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
			got := b.Query("SELECT coalesce(CAST(v " + map[bool]string{true: "+ 0", false: ""}[strings.HasPrefix(c.declared, "bit")] + " AS CHAR CHARACTER SET utf8mb4), '<nil>') FROM " + table)
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
	b.Exec("SET timestamp = 1; CREATE TABLE whole AS SELECT '1' AS id, " + strings.Join(all, ", ") + "; ALTER TABLE whole ADD PRIMARY KEY (id)")
	b.Table().Table = "whole"
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from whole"}
	b.Mapping(mapping...)
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
	// And into a table that is made of it, in all three makes.
	b.Table().Table = "made"
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
	others(t, b)
	for _, name := range []string{"lite", "pg"} {
		b.Table().Connection = name
		b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
		b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
		b.Table().Connection, b.Table().Table = "warehouse", "whole"
		b.Job.Task.Source = &task.SQLSource{Connection: name, Query: "select * from made"}
		b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
		b.Table().Table = "made"
		b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from whole"}
	}
}

// others gives the bench the connections lite and pg beside its own.
func others(t *testing.T, b *pipelinetest.Bench) {
	t.Helper()
	pg := pipelinetest.NewOf(t, pipelinetest.Postgres)
	set, err := connection.Parse([]byte("drop: {files: .}\nlite: {sqlite: ./lite.db}\nwarehouse: {mysql: '"+mysqlURL(t, b)+"'}\npg: {postgres: '"+pgURL(t, pg)+"'}\n"), b.Folder+"/connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
}

// Each type has one form, in text, in CSV and in JSON.
func TestMySQLCells(t *testing.T) {
	b := onMariaDB(t)
	b.Exec(`CREATE TABLE t (a tinyint, b bigint, c bigint unsigned, d decimal(22,2), e float, f double, g char(5), h date, i datetime(6), j datetime, k timestamp(6) NULL, l time(2), m time,
		n year, o bit(3), p bit(64), q varbinary(5), r blob, s json, u enum('a','b'), v set('a','b'), w uuid, x inet6, y int, z text, aa float, bb varchar(9) CHARACTER SET latin1, cc boolean, dd int(5) unsigned zerofill);
		SET time_zone = '+05:30'; SET sql_mode = '';
		INSERT INTO t VALUES (-1, 9007199254740993, 18446744073709551615, '12345678901234567890.10', 1.1, 0.1, 'ab', '2026-01-31', '2026-01-31 18:30:00.123456', '0000-00-00', '2026-01-31 18:30:00.5', '18:30:00.5', '-100:00:00',
			2026, 5, 18446744073709551615, x'ff00', x'', '{"a": 1.10}', 'b', 'a,b', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1', NULL, '', 16777216, 'ä', true, 42);
		SET time_zone = '+00:00'; SET sql_mode = 'STRICT_ALL_TABLES,ANSI_QUOTES'`)
	want := []any{
		int64(-1), int64(9007199254740993), json.Number("18446744073709551615"), json.Number("12345678901234567890.10"), 1.1, 0.1, "ab", "2026-01-31", "2026-01-31T18:30:00.123456",
		"0000-00-00 00:00:00", "2026-01-31T13:00:00.5Z", "18:30:00.5", "-100:00:00",
		int64(2026), int64(5), json.Number("18446744073709551615"),
		[]byte{0xff, 0},
		[]byte{},
		`{"a": 1.10}`, "b", "a,b", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "::1", nil, "", float64(16777216), "ä", int64(1), int64(42),
	}
	for _, parameter := range []string{"", " where :A = 'x'"} { // with arguments and without
		from := &task.SQLSource{Connection: "warehouse", Query: "select * from t" + parameter}
		s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, from, map[string]any{"A": "x"})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]any, len(want))
		if _, err := s.Next(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		for i, name := range s.Columns().Names {
			if fmt.Sprintf("%T %v", got[i], got[i]) != fmt.Sprintf("%T %v", want[i], want[i]) {
				t.Errorf("%s is %T %v, want %T %v", name, got[i], got[i], want[i], want[i])
			}
		}
		s.Close()
	}
}

// mysqlURL is the address of a bench's database.
func mysqlURL(t *testing.T, b *pipelinetest.Bench) string {
	t.Helper()
	at, err := b.Job.Connections.Database("warehouse")
	if err != nil {
		t.Fatal(err)
	}
	return at.MySQL
}
