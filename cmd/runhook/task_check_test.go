package main

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

// checkSite is a site whose database has the tables that tests write to, by tasks with planted faults.
func checkSite(t testing.TB) *site {
	t.Helper()
	s := newSite(t)
	s.exec(`create table people (id integer primary key, name text not null, city text not null default '', born date, member boolean, upper_name text as (upper(name)) stored);
		create table plain (id integer, name text);
		create view names as select name from people;
		insert into plain values (1, 'Ann'), (2, 'Ann')`)
	return s
}

// exec runs statements on the site's database.
func (s *site) exec(statements string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.path("site.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		s.t.Fatal(err)
	}
}

const checkHead = "id: 11111111-1111-4111-8111-111111111111\nname: Checked\n" // 2 lines

// check checks a task of the site, which has the body below checkHead, and returns the findings without
// the file's name.
func (s *site) check(body string, args ...string) (code int, findings string) {
	s.t.Helper()
	s.write("checked.yaml", checkHead+body)
	code, out, messages := ask(s.t, append([]string{"task", "check", s.path("checked.yaml"), "--connections", s.path("connections.yaml")}, args...)...)
	if (code == exitFailed) != strings.Contains(messages, "runhook: ") || code == exitNoStart || out == "" {
		s.t.Fatalf("exit code %d: %s%s", code, out, messages)
	}
	if strings.Contains(out, "SECRET") {
		s.t.Errorf("a cell's value is shown: %s", out)
	}
	return code, strings.ReplaceAll(out, s.path("checked.yaml"), "")
}

// expectFindings checks a task and wants exactly these findings.
func (s *site) expectFindings(body string, want ...string) {
	s.t.Helper()
	code, got := s.check(body)
	lines := strings.SplitAfter(got, "\n")
	// What becomes of an interrupted run is said of each task, with other words by what it is.
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, interruptedNote) })
	if strings.Count(got, interruptedNote) != 1 {
		s.t.Errorf("%s\nit is not said what happens to an interrupted run:\n%s", body, got)
	}
	verdict := len(lines) - 2
	if found := strings.Join(lines[:verdict], ""); found != strings.Join(append(want, ""), "\n") {
		s.t.Errorf("%s\ngot\n%swant\n%s", body, got, strings.Join(want, "\n"))
	}
	errors := 0
	for _, line := range want {
		if strings.Contains(line, ": error: ") {
			errors++
		}
	}
	if (code == exitFailed) != (errors > 0) {
		s.t.Errorf("%s\nexit code %d with %d errors", body, code, errors)
	}
}

const (
	interruptedNote = ": note: destination: an interrupted run "

	fromPeople = "source: {csv: {connection: here, path: people.csv}}\n"
	mapPeople  = "mapping: {id: id, name: name}\n"
)

func toTable(fields string) string {
	return "destination:\n  sql: {connection: db, " + fields + "}\n"
}

// Each fault by itself, with all that is said of it.
func TestCheckFindsEachFault(t *testing.T) {
	t.Parallel()
	s := checkSite(t)
	s.write("short.csv", "id,name\n1\n")
	s.write("empty.csv", "")
	s.write("odd.csv", "id,name,born\n1,Ann,SECRET\n2,Ben,SECRET\n3,Cy,2001-02-03\n4,Dan\nSECRET,Eve,\n6,Fay,SECRET\n")
	s.write("other.csv", "name,id\n")
	s.write("folder.csv/x", "")
	s.write("broken.db", strings.Repeat("not a database ", 100))
	s.write("connections.yaml", siteConnections+"gone: {files: ./gone}\nnone: {sqlite: ./none.db}\nbroken: {sqlite: ./broken.db}\nnowhere: {sqlite: ./gone/x.db}\n")
	upsert := toTable("table: people, key: [id], action: upsert")
	for _, c := range []struct {
		body string
		says []string
	}{
		{fromPeople + mapPeople + upsert, nil},

		// The source.
		{"source: {csv: {connection: hree, path: people.csv}}\n" + mapPeople + upsert, []string{
			":3: error: source.csv.connection: there is no connection hree in connections.yaml; did you mean here? It has broken, db, gone, here, none, nowhere.",
		}},
		{"source: {csv: {connection: db, path: people.csv}}\n" + mapPeople + upsert, []string{
			":3: error: source.csv.connection: the connection db in connections.yaml is of kind sqlite; the task needs one of kind files there",
		}},
		{"source: {csv: {connection: gone, path: people.csv}}\n" + mapPeople + upsert, []string{
			":3: error: source.csv.connection: the folder of connection gone does not exist on the runner; make it, or correct connections.yaml",
		}},
		{"source:\n  csv:\n    connection: here\n    path: nobody.csv\n" + mapPeople + upsert, []string{
			":6: error: source.csv.path: the file nobody.csv of connection here does not exist; put it into the connection's folder, or correct source.csv.path",
		}},
		{"source: {csv: {connection: here, path: empty.csv}}\n" + mapPeople + upsert, []string{
			":3: error: source.csv.path: the file empty.csv of connection here is empty; its first row must name the columns",
		}},
		{"source: {sql: {connection: none, query: select 1 as id}}\n" + mapPeople + upsert, []string{
			":3: error: source.sql.connection: the database of connection none does not exist; correct the connection",
		}},
		{"source:\n  sql:\n    connection: db\n    query: select id, nmae from people\n" + mapPeople + upsert, []string{
			":6: error: source.sql.query is refused by the database of connection db: no such column: nmae",
		}},
		{"source:\n  sql:\n    connection: db\n    query: select id, name from people\n    order_by: [idd, naem]\n" + mapPeople + upsert, []string{
			":7: error: source.sql.order_by: the query has no column idd; did you mean id?",
			":7: error: source.sql.order_by: the query has no column naem; did you mean name?",
		}},
		{"source: {sql: {connection: db, query: 'select id, name from plain', order_by: [name]}}\n" + mapPeople + upsert, []string{
			":3: warning: source.sql.order_by: several rows have the same name, and their order is then not fixed; add the columns that tell each row from all others",
		}},
		{"source: {sql: {connection: db, query: 'select id, name from plain', order_by: [id]}}\n" + mapPeople + upsert, nil},

		// Expressions.
		{fromPeople + "where: ctiy == \"Oslo\"\nmapping:\n  id: id\n  name: nam + citty\n" + upsert, []string{
			":4: error: where: unknown column ctiy; did you mean city? (1:1)\n     | ctiy == \"Oslo\"\n     | ^",
			":7: error: mapping.name: unknown column nam; did you mean name? (1:1)\n     | nam + citty\n     | ^\n    Unknown too: citty (city?).",
		}},
		{fromPeople + "where: date(\"31.01.26\", \"dd.MM.yy\") > date(\"2026-01-01\")\nmapping:\n  id: id\n  name: formatDate(date(\"31.01.26\", \"dd.MM.yy\", 1930))\n" + upsert, []string{
			":4: warning: where: date reads years of two digits: 69 to 99 mean 1969 to 1999, 00 to 68 mean 2000 to 2068; say which hundred years they are by the first, as in date(…, \"dd.MM.yy\", 1930)",
		}},

		// A table.
		{fromPeople + mapPeople + "destination: {sql: {connection: none, table: people, key: [id], action: upsert}}\n", []string{
			":5: error: destination.sql.connection: the database of connection none does not exist; correct the connection, or set create: true in the task",
		}},
		{fromPeople + mapPeople + "destination: {sql: {connection: nowhere, table: people, key: [id], action: upsert, create: true}}\n", []string{
			":5: error: destination.sql.connection: the folder of the database of connection nowhere does not exist; make it",
		}},
		{fromPeople + mapPeople + "destination: {sql: {connection: broken, table: people, key: [id], action: upsert}}\n", []string{
			":5: error: destination.sql.table: the database of connection broken is not a SQLite database",
		}},
		{fromPeople + mapPeople + "destination: {sql: {connection: none, table: people, key: [id], action: upsert, create: true}}\n", []string{
			":5: note: destination.sql.table: there is no table people in connection none yet; the first run makes it",
		}},
		{fromPeople + mapPeople + toTable("table: pepole, key: [id], action: upsert"), []string{
			":6: error: destination.sql.table: there is no table pepole in connection db; did you mean people? Set create: true in the task to have it made",
		}},
		{fromPeople + mapPeople + toTable("table: names, action: insert"), []string{
			":6: error: destination.sql.table: names in connection db is a view; name a table",
		}},
		{fromPeople + mapPeople + toTable("table: plain, key: [id], action: upsert"), []string{
			":6: error: destination.sql.key: upsert needs a primary key or a unique index of the table plain on exactly id; make one, or correct destination.sql.key",
		}},
		{fromPeople + "mapping: {id: id}\n" + upsert, []string{
			":4: error: mapping: the column name of the table people must not be empty and has no default; add it to the mapping",
		}},
		{fromPeople + "mapping:\n  id: id\n  name: name\n  upper_name: name\n" + upsert, []string{
			":7: error: mapping.upper_name: the column upper_name of the table people is computed by the database; take it out of the mapping",
		}},
		{fromPeople + "mapping: {id: id, name: name, born: id == \"1\"}\n" + upsert, []string{
			":4: error: mapping.born: the expression gives true or false, but the column born of the table people does not take that: each row would fail, because it is not a date like 2026-01-31; convert it, or map another column",
		}},
		{fromPeople + "mapping: {id: id, name: name, member: len(name)}\n" + upsert, []string{
			":4: warning: mapping.member: the expression gives a whole number, but the column member of the table people does not take all of that: a row whose value is not true or false (true, t, yes, y or 1; false, f, no, n or 0) fails",
			":4: warning: mapping.member: of the first 3 rows 3 would fail, from row 1 on: member is not true or false (true, t, yes, y or 1; false, f, no, n or 0)",
		}},

		// The first rows.
		{"source: {csv: {connection: here, path: odd.csv}}\nwhere: int(id) > 1\nmapping:\n  id: id\n  name: name\n  born: born\n" + upsert, []string{
			":3: warning: source: of the first 6 rows 1 would fail, from row 4 on: has the wrong number of fields: 2 where the header has 3",
			":4: warning: where: of the first 6 rows 1 would fail, from row 5 on: where cannot be computed: int, at character 1 of the expression: the text is not a whole number",
			":8: warning: mapping.born: of the first 6 rows 2 would fail, from row 2 on: born is not a date like 2026-01-31",
		}},
		{"source: {sql: {connection: db, query: 'select id, name, member from people'}}\nmapping: {id: id, name: name, born: member}\n" + upsert, []string{
			":4: error: mapping.born: the source's column member is true or false, but the column born of the table people does not take that: each row would fail, because it is not a date like 2026-01-31; convert it, or map another column",
		}},

		// A file.
		{fromPeople + mapPeople + "destination: {csv: {connection: here, path: gone/x.csv, action: replace}}\n", []string{
			":5: error: destination.csv.path: the folder of the file gone/x.csv of connection here does not exist; make it",
		}},
		{fromPeople + mapPeople + "destination: {csv: {connection: here, path: folder.csv, action: replace}}\n", []string{
			":5: error: destination.csv.path: the file folder.csv of connection here is not a file, and cannot be replaced",
		}},
		{fromPeople + mapPeople + "destination: {csv: {connection: here, path: other.csv, action: append}}\n", []string{
			":5: error: destination.csv.path: the header of the file other.csv of connection here does not have the columns of the mapping in their order (id,name); nothing was appended",
		}},

		// A subject.
		{fromPeople + mapPeople + "destination: {nats: {subject: people.changed}}\n", []string{
			":5: note: destination.nats.subject: no server is asked here; a run shows whether a stream keeps the messages to people.changed",
		}},
	} {
		s.expectFindings(c.body, c.says...)
	}
	for _, made := range []string{"none.db", "site.db-wal", "site.db-journal"} {
		if _, err := os.Stat(s.path(made)); err == nil {
			t.Errorf("%s was made", made)
		}
	}
}

func TestCheckAsksWebServices(t *testing.T) {
	t.Parallel()
	var methods []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method+" "+r.URL.String())
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/closed":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Query().Get("state") == "none":
			_, _ = w.Write([]byte(`{"people":[]}`))
		default:
			_, _ = w.Write([]byte(`{"people":[{"id":1,"name":"Ann"}]}`))
		}
	}))
	defer service.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	s := checkSite(t)
	s.write("connections.yaml", siteConnections+"api: {http: {private: true, url: '"+service.URL+"'}}\noff: {http: {private: true, url: '"+closed.URL+"'}}\n")
	read := func(path string) string {
		return "parameters:\n  - {name: State, prompt: required}\nsource:\n  http: {connection: api, path: '" + path + "', items: people}\n"
	}
	upsert := toTable("table: people, key: [id], action: upsert")
	send := func(connection, path string) string {
		return fromPeople + mapPeople + "destination: {http: {connection: " + connection + ", path: " + path + ", method: POST}}\n"
	}

	s.expectFindings(read("/people?state={params.State}")+mapPeople+upsert,
		":6: warning: source.http.path: the first page was not asked for, and its columns are not known: the parameter State is required and has no value here; give one with -p State=VALUE")
	if len(methods) != 0 {
		t.Errorf("asked %q", methods)
	}
	if code, got := s.check(read("/people?state={params.State}")+"mapping: {id: id, name: nmae}\n"+upsert, "-p", "State=CA"); code != exitFailed || !strings.Contains(got, "error: mapping.name: unknown column nmae; did you mean name?") {
		t.Errorf("%d %s", code, got)
	}
	if code, got := s.check(read("/people?state={params.State}")+mapPeople+upsert, "-p", "State=none"); code != exitSuccess || !strings.Contains(got, ":6: warning: source.http.path: the first page has no rows, so that the columns that the task names could not be looked up") {
		t.Errorf("%d %s", code, got)
	}
	if code, got := s.check(read("/gone")+mapPeople+upsert, "-p", "State=x"); code != exitFailed || !strings.Contains(got, ":6: error: source.http.path: the page 1 of /gone") && !strings.Contains(got, "is answered 404 Not Found; correct path, or the url of the connection") {
		t.Errorf("%d %s", code, got)
	}
	methods = nil
	s.expectFindings(send("api", "/people"),
		":5: note: destination.http.path: /people of connection api answers; no rows are sent here, and a run shows whether it takes them")
	s.expectFindings(send("api", "/closed"),
		":5: warning: destination.http.path: /closed of connection api answers 401 Unauthorized to HEAD; if it does to POST too, correct the credentials in the headers of the connection",
		":5: note: destination.http.path: /closed of connection api answers; no rows are sent here, and a run shows whether it takes them")
	s.expectFindings(send("api", "/gone"),
		":5: warning: destination.http.path: /gone of connection api answers 404 Not Found to HEAD; if it does to POST too, correct path, or the url of the connection",
		":5: note: destination.http.path: /gone of connection api answers; no rows are sent here, and a run shows whether it takes them")
	s.expectFindings(send("off", "/people"),
		":5: error: destination.http.path: /people of connection off cannot be reached: the service refuses or drops the connection")
	for _, method := range methods {
		if !strings.HasPrefix(method, "HEAD ") {
			t.Errorf("sent %s", method)
		}
	}
}

// Everything that is wrong is said at once.
func TestCheckFindsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	s := checkSite(t)
	s.expectFindings("source:\n  sql:\n    connection: db\n    query: select id, name, member from people\n    order_by: [idd]\nwhere: citty == 1\nmapping:\n  key: id\n  nmae: nam\n  born: member\n  upper_name: name\n"+toTable("table: people, key: [born], action: upsert"),
		":7: error: source.sql.order_by: the query has no column idd; did you mean id?",
		":8: error: where: unknown column citty; the source has id, name, member. A text, the same in each row, stands in quotes, and in a task file in two kinds of them: '\"citty\"' (1:1)\n     | citty == 1\n     | ^",
		":9: error: mapping: the column name of the table people must not be empty and has no default; add it to the mapping",
		":10: error: mapping.key: the table people in connection db has no column key",
		":11: error: mapping.nmae: unknown column nam; did you mean name? (1:1)\n     | nam\n     | ^",
		":11: error: mapping.nmae: the table people in connection db has no column nmae; did you mean name?",
		":12: error: mapping.born: the source's column member is true or false, but the column born of the table people does not take that: each row would fail, because it is not a date like 2026-01-31; convert it, or map another column",
		":13: error: mapping.upper_name: the column upper_name of the table people is computed by the database; take it out of the mapping",
		":15: error: destination.sql.key: upsert needs a primary key or a unique index of the table people on exactly born; make one, or correct destination.sql.key",
	)
}

// Some files of several, as JSON, and what cannot be checked at all.
func TestCheckOfSeveralFiles(t *testing.T) {
	s := checkSite(t)
	s.write("tasks/good.yaml", checkHead+fromPeople+mapPeople+toTable("table: people, key: [id], action: upsert"))
	s.write("tasks/broken.yaml", "nmae: x\n")
	connections := s.path("connections.yaml")
	code, out, messages := call(t, "task", "check", s.path("tasks"), "--connections", connections)
	if code != exitFailed || !strings.Contains(out, "Checked (11111111-1111-4111-8111-111111111111): nothing is wrong\n") || !strings.Contains(out, "Copy people (") ||
		!strings.Contains(messages, "broken.yaml:1: unknown field \"nmae\"; did you mean \"name\"?") {
		t.Errorf("%d %s%s", code, out, messages)
	}
	s.write("bad.yaml", checkHead+fromPeople+"mapping: {id: idd, name: name}\n"+toTable("table: people, key: [id], action: upsert"))
	var all []struct {
		File, Severity, Field, Message string
		Line                           int
	}
	code, out, _ = call(t, "task", "check", s.path("bad.yaml"), "--json", "--connections", connections)
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitFailed || len(all) != 2 || all[0].Line != 4 || all[0].File != s.path("bad.yaml") || all[0].Severity != "error" || all[0].Field != "mapping.id" {
		t.Errorf("%d %v %s", code, err, out)
	}
	if code, out, messages := call(t, "task", "check", s.path("tasks"), "-p", "City=Oslo", "--connections", connections); code != exitNoStart || out != "" || !oneLine(messages, "--param is for one task, and these are 2") {
		t.Errorf("%d %s%s", code, out, messages)
	}
	if code, out, messages := call(t, "task", "check", s.path("tasks/good.yaml"), "-p", "City=Oslo", "--connections", connections); code != exitNoStart || out != "" || !oneLine(messages, "City") {
		t.Errorf("%d %s%s", code, out, messages)
	}
	if code, out, messages := call(t, "task", "check", s.path("tasks/good.yaml"), "--connections", s.path("nothing.yaml")); code != exitNoStart || out != "" || !oneLine(messages, "there is no file") {
		t.Errorf("%d %s%s", code, out, messages)
	}
	t.Chdir(t.TempDir())
	if code, out, _ := call(t, "task", "check", s.path("tasks/good.yaml")); code != exitFailed || !strings.Contains(out, "the runner has no connections; add it to its connections file") {
		t.Errorf("%d %s", code, out)
	}
}

// A task that replaces the file that another one reads is warned of, whatever the connections are called.
func TestCheckOfAFileThatOthersRead(t *testing.T) {
	s := newSite(t)
	s.write("connections.yaml", "drop: {files: .}\nsame: {files: .}\nother: {files: ./tasks}\n")
	s.write("members.csv", "id,name\n1,Ann\n")
	s.write("in.csv", "id,name\n1,Ann\n")
	reads := func(name, id, source string) {
		s.write("tasks/"+name+".yaml", "id: 11111111-1111-4111-8111-11111111111"+id+"\nname: "+name+"\nparameters: [{name: File}]\nsource: {csv: "+source+"}\nmapping: {id: id}\ndestination: {csv: {connection: drop, path: "+name+".out.csv, action: replace}}\n")
	}
	reads("Load", "2", "{connection: drop, path: ./members.csv}")
	reads("Again", "3", "{connection: same, path: members.csv}")
	reads("Named", "4", `{connection: drop, path: "{params.File}"}`)
	reads("Usual", "6", `{connection: drop, path: "{params.File}"}`)
	s.write("tasks/Usual.yaml", strings.Replace(read(t, s.path("tasks/Usual.yaml")), "name: File", "name: File, default: members.csv", 1))
	reads("Other", "5", "{connection: drop, path: in.csv}")
	s.write("tasks/broken.yaml", "nmae: x\n")
	for action, want := range map[string]int{"replace": 3, "append": 0} {
		s.write("tasks/export.yaml", checkHead+"source: {csv: {connection: drop, path: in.csv}}\nmapping: {id: id, name: name}\ndestination:\n  csv: {connection: drop, path: members.csv, action: "+action+"}\n")
		for _, what := range []string{"tasks/export.yaml", "tasks"} {
			_, out, messages := call(t, "task", "check", s.path(what), "--connections", s.path("connections.yaml"))
			if strings.Count(out, " reads the file members.csv, which this task replaces; ") != want {
				t.Errorf("%s of %s: %s%s", action, what, out, messages)
			}
			if want > 0 && (!strings.Contains(out, ":6: warning: destination.csv.path: the task Load reads the file") || !strings.Contains(out, ":6: warning: destination.csv.path: the task Again reads the file")) {
				t.Errorf("%s of %s: %s%s", action, what, out, messages)
			}
		}
	}
}
