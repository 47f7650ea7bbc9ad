package sqldb_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"testing"

	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// What a table would give back as another value is a failed row, and two keys never become one.
func TestWhatWouldNotComeBackIsAFailedRow(t *testing.T) {
	const numberOfText, rounded = "is text that SQLite would make another number of", "has more digits than the column keeps"
	for name, c := range map[string]struct {
		make, rows string
		failed     []run.RowError
		after      string
	}{
		"GUID as the key": {
			"id GUID PRIMARY KEY, name TEXT", "007,Ann\n7,Bob\n1e2,Cy\n100,Dee\n1e2f,Eve\n1.50,Fay\n1.5,Gus\n",
			[]run.RowError{{Row: 1, Column: "id", Message: numberOfText}, {Row: 3, Column: "id", Message: numberOfText}, {Row: 6, Column: "id", Message: numberOfText}},
			"1.5 Gus; 7 Bob; 100 Dee; 1e2f Eve",
		},
		"a type of no meaning": {
			"id TEXT PRIMARY KEY, name ZIPCODE", "1,00501\n2,94105\n3,94105-1234\n4, 5\n5,+5\n6,\n",
			[]run.RowError{{Row: 1, Column: "name", Message: numberOfText}, {Row: 4, Column: "name", Message: numberOfText}, {Row: 5, Column: "name", Message: numberOfText}},
			"2 94105; 3 94105-1234; 6 ",
		},
		"a type with INT in it": {
			"id TEXT PRIMARY KEY, name POINT", "1,1 2\n2,010\n3,10\n",
			[]run.RowError{{Row: 2, Column: "name", Message: numberOfText}},
			"1 1 2; 3 10",
		},
		"ENUM": {"id TEXT PRIMARY KEY, name ENUM", "1,active\n2,0x10\n3,\n", nil, "1 active; 2 0x10; 3 "},
		"a STRICT table": {
			"id TEXT PRIMARY KEY, name ANY) STRICT; CREATE TABLE other (x", "1,007\n2,1e3\n3,7\n", nil, "1 007; 2 1e3; 3 7",
		},
		"numbers as the key": {
			"id NUMERIC(30) PRIMARY KEY, name TEXT", "98765432109876543210,Ann\n98765432109876543211,Bob\n9007199254740993,Cy\n9007199254740993.0,Cyd\n0.10,Dee\n0.1,Dot\n0.10000000000000001,Eve\n",
			[]run.RowError{{Row: 1, Column: "id", Message: rounded}, {Row: 2, Column: "id", Message: rounded}, {Row: 7, Column: "id", Message: rounded}},
			"0.1 Dot; 9007199254740993 Cyd",
		},
		"zeros before a whole number as the key": {
			"id INTEGER PRIMARY KEY, name TEXT", "00042,Ann\n42,Bob\n+07,Cy\n0,Dee\n-0,Eve\n1e1,Fay\n",
			[]run.RowError{{Row: 1, Column: "id", Message: "begins with a zero"}, {Row: 3, Column: "id", Message: "begins with a zero"}},
			"0 Eve; 10 Fay; 42 Bob",
		},
		"zeros before a decimal as the key": {
			"id DECIMAL(10) PRIMARY KEY, name TEXT", "007,Ann\n00.5,Bob\n0.5,Cy\n7,Dee\n",
			[]run.RowError{{Row: 1, Column: "id", Message: "begins with a zero"}, {Row: 2, Column: "id", Message: "begins with a zero"}},
			"0.5 Cy; 7 Dee",
		},
		"decimals": {
			"id TEXT PRIMARY KEY, name MONEY", "1,92233720368.5807\n2,92233720368547758.07\n3,1234567890123456789.5\n4,0.10\n5,0.10000000000000001\n",
			[]run.RowError{{Row: 2, Column: "name", Message: rounded}, {Row: 3, Column: "name", Message: rounded}},
			"1 9.22337203685807e+10; 4 0.1; 5 0.1",
		},
		"doubles": {
			"id TEXT PRIMARY KEY, name DOUBLE PRECISION", "1,9007199254740992\n2,9007199254740993\n3,3.3000000000000003\n4,0.1234567890123456789\n",
			[]run.RowError{{Row: 2, Column: "name", Message: rounded}, {Row: 4, Column: "name", Message: rounded}},
			"1 9.007199254740992e+15; 3 3.3000000000000003",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE members (" + c.make + ")")
			b.Write("members.csv", "ID,Name\n"+c.rows)
			s, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.RowErrors(s, c.failed...)
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
			// What was taken is what is there.
			if s, err := b.Run(t.Context()); err != nil || s.Counts.Inserted != 0 || int(s.Counts.Failed) != len(c.failed) {
				t.Errorf("again: %+v, %v", s.Counts, err)
			}
		})
	}
}

// JSON has many ways to write one number. As a key they are one; elsewhere a text column keeps the digits, and
// a column without a type has numbers.
func TestNumbersOfJSON(t *testing.T) {
	for _, c := range []struct{ make, pages, want string }{
		{"id TEXT PRIMARY KEY, name TEXT", `{"id":1,"name":1.10},{"id":1.0,"name":1.20},{"id":10e-1,"name":1e2},{"id":1.5,"name":""},{"id":1.50,"name":2}`, "1 100; 1.5 2"},
		{"id INTEGER PRIMARY KEY, name", `{"id":1,"name":1.10},{"id":1.0,"name":1.20},{"id":1e0,"name":1e2},{"id":100e-1,"name":12345678901234567}`, "1 100; 10 12345678901234567"},
		{"id PRIMARY KEY, name NUMERIC", `{"id":1,"name":1.10},{"id":1.0,"name":1.20},{"id":0.5,"name":"1.0"},{"id":5e-1,"name":"7.50"}`, "0.5 7.5; 1 1.2"},
	} {
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (" + c.make + ")")
		b.FromService(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "["+c.pages+"]") }, task.HTTPSource{})
		b.Job.Task.Destination = b.Table()
		b.Table().Action = task.Upsert
		if _, err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.want {
			t.Errorf("%s: the table has %s, want %s", c.make, got, c.want)
		}
	}
}

// Also where the task names no key, a primary key does not take one number twice.
func TestNumbersOfJSONInAPrimaryKey(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT)")
	b.FromService(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":1,"name":"Ann"},{"id":1.0,"name":"Bob"},{"id":1e1,"name":"Cy"}]`)
	}, task.HTTPSource{})
	b.Table().Action, b.Table().Key = task.Insert, nil
	b.RowErrors(b.Succeed(run.Counts{Retrieved: 3, Inserted: 2, Failed: 1}), run.RowError{Row: 2, Column: "id", Message: "breaks a uniqueness rule"})
	if got := b.Query("SELECT id, name FROM members"); got != "1 Ann; 10 Cy" {
		t.Errorf("the table has %s", got)
	}
}

// The rules for texts in columns of types that SQLite does not know are those that it has.
func TestLooseTextsAreWhatSQLiteMakesOfThem(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (x UUID)"); err != nil {
		t.Fatal(err)
	}
	insert, err := db.Prepare("INSERT INTO t VALUES (?) RETURNING CAST(x AS BLOB), typeof(x)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	letters := []string{"", "0", "1", "9", "+", "-", ".", "e", "E", " ", "\t", "x"}
	for n := range len(letters) * len(letters) * len(letters) * len(letters) {
		if n > 2000 && n%7 != 0 {
			continue
		}
		text := ""
		for i := n; i > 0; i /= len(letters) {
			text += letters[i%len(letters)]
		}
		var back, kind string
		if err := insert.QueryRow(text).Scan(&back, &kind); err != nil {
			t.Fatal(err)
		}
		if taken := sqldb.TakesLoose(text); taken && back != text {
			t.Errorf("%q is taken, and comes back as the %s %q", text, kind, back)
		} else if !taken && kind == "text" {
			t.Errorf("%q is refused, and would stay text", text)
		}
	}
}
