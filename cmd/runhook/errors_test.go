//go:build !bench

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/shared/caller"
	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

var update = flag.Bool("update", false, "write testdata/errors.txt anew")

// gallery collects what people are told when something is wrong.
type gallery struct {
	t    testing.TB
	text strings.Builder
	// plain takes out what differs from run to run.
	plain *strings.Replacer
}

func (g *gallery) chapter(name string) { fmt.Fprintf(&g.text, "\n== %s\n", name) }

// add says what was done and what is said of it.
func (g *gallery) add(did, said string) {
	said = strings.TrimRight(said, "\n")
	if said == "" {
		g.t.Errorf("%s: nothing is said", did)
	}
	said = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`).ReplaceAllString(g.plain.Replace(said), "127.0.0.1:PORT")
	fmt.Fprintf(&g.text, "\n%s\n    %s\n", did, strings.ReplaceAll(said, "\n", "\n    "))
}

// What people are told when something is wrong, all in one place, to be read as a newcomer would:
// what was wrong, where, and what to do. A change shows in the diff of testdata/errors.txt, which
// `go test -run TestErrorsReadWell . -update` writes.
func TestErrorsReadWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/list.yaml", errorTask("11111111-1111-4111-8111-111111111111", "Refresh lapsed", "people.csv", "id: id", "sql: {connection: db, table: lapsed, action: insert, create: true}",
		"parameters:\n  - {name: State, prompt: required}\n  - {name: Types, multiple: true}\n"))
	s.write("tasks/off.yaml", errorTask("22222222-2222-4222-8222-222222222222", "Retired", "people.csv", "id: id", "sql: {connection: db, table: off, action: insert, create: true}", "enabled: false\n"))
	shop := "auth: [{key: partner}]\n"
	for id, more := range map[string]string{"33333333-3333-4333-8333-333333333333": shop, "44444444-4444-4444-8444-444444444444": strings.Replace(shop, "partner", "nobody", 1), "55555555-5555-4555-8555-555555555555": "allow_origins: [https://shop.example]\nrate_limit: 1/h\n"} {
		s.write("tasks/"+id+".yaml", errorTask(id, "Shop "+id[:1], "people.csv", "id: id", "sql: {connection: db, table: shop, action: insert, create: true}", more))
	}
	s.writeFor(0o600, "secrets.yaml", "partner: a key of the partner\n")
	i := begin(t, s.args("--secrets", s.path("secrets.yaml"))...).listening()
	g := &gallery{t: t, plain: strings.NewReplacer(s.dir, "DIR", i.url, "http://SERVER", string(s.copy), "COPY-PEOPLE")}

	g.chapter("The command line")
	g.commands(s, i.url)
	g.chapter("Task files")
	g.taskFiles()
	g.chapter("Tasks that do not fit what they name")
	g.checks()
	g.chapter("Connections files")
	g.connections()
	g.chapter("Secrets files")
	g.secrets(s)
	g.chapter("Webhooks and polls")
	g.webhooks(i, s.copy)
	g.chapter("Runs that fail")
	g.runs(s, i)
	g.chapter("Rows that fail")
	g.rows(s, i)
	g.chapter("Panels of iMIS")
	g.panels(s)

	got := strings.TrimLeft(g.text.String(), "\n")
	const golden = "testdata/errors.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if testing.Verbose() {
		t.Log("\n" + got)
	}
	if got != string(want) {
		t.Errorf("what is said has changed; read it, and run with -update if it is better:\n%s", difference(string(want), got))
	}
}

// difference are the lines that only one of the texts has.
func difference(want, got string) string {
	var out strings.Builder
	only := func(sign, text, other string) {
		there := map[string]bool{}
		for line := range strings.Lines(other) {
			there[line] = true
		}
		for line := range strings.Lines(text) {
			if !there[line] {
				out.WriteString(sign + line)
			}
		}
	}
	only("-", want, got)
	only("+", got, want)
	return out.String()
}

func errorTask(id, name, path, mapping, destination, more string) string {
	return "id: " + id + "\nname: " + name + "\n" + more + "source: {csv: {connection: here, path: " + path + "}}\nmapping:\n  " + mapping + "\ndestination:\n  " + destination + "\n"
}

func (g *gallery) commands(s *site, server string) {
	s.write("broken.yaml", "id: 1\nnmae: Broken\n")
	s.write("empty/readme.txt", "")
	s.writeFor(0o600, "two lines.token", "a\nb\n")
	s.write("open.token", "0123456789abcdef")
	s.writeFor(0o600, "other.token", "0123456789abcdef")
	for _, line := range []string{
		"nosuch", "serve --nosuch", "serve --listen nowhere --data DIR/fresh", "serve --listen 0.0.0.0:8080", "serve --nats-listen 0.0.0.0:4222", "serve --demo --tasks tasks",
		"serve --data DIR/data --listen 127.0.0.1:0", "serve --slots 0", "serve --slots -1", "serve --slots many", "serve --slots", "serve --max-waiting -1", "serve --max-body 0", "serve --grace -1s", "serve --grace 5", "serve --lease 0s", "serve --lease -1s", "serve --lease --hold", "serve --idempotency-window 0s", "serve --events-retention 30m", "serve --retention 0s", "serve --retention soon", "serve --retention 1m", "serve --durability never",
		"serve --data DIR/people.csv --listen 127.0.0.1:0", "serve --connections DIR/none.yaml --data DIR/other --listen 127.0.0.1:0",
		"runner", "ingress --nats nats://127.0.0.1:1", "init --nats nats://127.0.0.1:1 --replicas 9", "init --nats nats://127.0.0.1:1 --max-bytes 1MB", "init --nats nats://127.0.0.1:1 --max-bytes much", "init --nats nats://127.0.0.1:1 --max-bytes 0", "init --nats nats://127.0.0.1:1 --max-consumers 0", "init --nats nats://127.0.0.1:1 --replicas 0", "init --nats nats://127.0.0.1:1 --lease 0s",
		"run", "run people", "run people --server localhost:8080", "run people --server http://127.0.0.1:1", "run people --server SERVER -p City",
		"run people --server SERVER -p Citty=Oslo", "run Lapsd --server SERVER", "run nothing --server SERVER", "run e --server SERVER", "run lapsed --server SERVER", "run retired --server SERVER",
		"run people --server SERVER --token-file DIR/none", "run people --server SERVER --token-file DIR/two_lines.token", "run people --server SERVER --token-file DIR/open.token", "run people --server SERVER --token-file DIR/other.token",
		"runs show --server SERVER", "runs show x --server SERVER", "runs show 999 --server SERVER", "runs list --limit 0 --server SERVER", "runs rejected 999 --server SERVER", "runs cancel --server SERVER", "runs cancel 999 --server SERVER",
		"task validate DIR/none.yaml", "task validate DIR/broken.yaml", "task apply DIR/empty --server SERVER", "task show 00000000-0000-4000-8000-000000000000 --server SERVER",
		"task preview DIR/tasks/list.yaml --connections DIR/connections.yaml", "task preview DIR/tasks/copy.yaml", "task preview DIR/tasks/copy.yaml --rows 0",
		"task rotate nothing --server SERVER", "task rotate nothing --until 0s", "task rotate nothing --until -1d", "task delete nothing --server SERVER",
		"backup DIR/new.backup --data DIR/data", "backup DIR/new.backup --data DIR/tasks", "backup DIR/new.backup --nats nats://127.0.0.1:1",
		"restore DIR/people.csv --data DIR/new", "restore DIR/none.backup --data DIR/new", "restore DIR/none.backup --replicas 0",
	} {
		args := strings.Fields(strings.NewReplacer("SERVER", server, "DIR", s.dir).Replace(line))
		for n := range args {
			args[n] = strings.ReplaceAll(args[n], "two_lines", "two lines")
		}
		switch line {
		case "run people":
			args = append(args, "--server", "http://127.0.0.1:1")
		case "serve --listen nowhere --data DIR/fresh":
			args = append(args, "--nats-listen", "127.0.0.1:0") // not the usual port, which somebody may have
		}
		code, _, said := ask(g.t, args...)
		if code == exitSuccess {
			g.t.Errorf("runhook %s succeeds", line)
		}
		g.add("runhook "+strings.ReplaceAll(line, "SERVER", "http://SERVER"), said)
	}
}

// checks are what `runhook task check` says.
func (g *gallery) checks() {
	s := newIMISSite(g.t)
	for _, file := range []string{
		errorTask("11111111-1111-4111-8111-111111111111", "T", "poeple.csv", "id: id\n  nmae: name", "sql: {connection: bd, table: people, key: [id], action: upsert}", ""),
		errorTask("11111111-1111-4111-8111-111111111111", "T", "people.csv", "ID: idd + nme\n  born: id == \"1\"", "sql: {connection: db, table: people, key: [born], action: upsert}", ""),
		"id: 11111111-1111-4111-8111-111111111111\nname: T\nparameters: [{name: State}, {name: Country}]\nsource: {imis: {connection: prod, query: $/Required}}\nmapping: {Code: FullNam, Hours: Member, Hour: 1}\ndestination: {imis: {connection: prod, entity: My_Panel, key: [Code], action: upsert}}\n",
		"id: 11111111-1111-4111-8111-111111111111\nname: T\nsource: {imis: {connection: prod, query: $/Mebmers}}\nmapping: {ID: ID}\ndestination: {imis: {connection: prod, entity: My_Panl, action: insert}}\n",
	} {
		s.write("checked.yaml", file)
		code, out, messages := ask(g.t, "task", "check", s.path("checked.yaml"), "--connections", s.path("connections.yaml"))
		if code != exitFailed {
			g.t.Errorf("exit code %d: %s%s", code, out, messages)
		}
		g.add("  | "+strings.ReplaceAll(strings.TrimRight(file, "\n"), "\n", "\n  | "), strings.ReplaceAll(out+messages, s.dir, "DIR"))
	}
	for _, args := range []string{"", " Members", " $/Mebmers", " $/Hidden"} {
		_, _, messages := ask(g.t, append([]string{"task", "new", "--connections", s.path("connections.yaml"), "--from-iqa", "prod"}, strings.Fields(args)...)...)
		g.add("runhook task new --from-iqa prod"+args, messages)
	}
}

func (g *gallery) taskFiles() {
	for _, file := range []string{
		"", "id: 1", "name: [", "- a list", "id: x\nname: y\nscedule: daily",
		"schedule: {cron: '* * * * *'}\n" + errorTask("11111111-1111-4111-8111-111111111111", "T", "a.csv", "id: id", "csv: {connection: here, path: b.csv, action: replace}", ""),
		errorTask("11111111-1111-4111-8111-111111111111", "T", "../a.csv", "id: id", "csv: {connection: here, path: /b.csv, action: overwrite}", ""),
		errorTask("11111111-1111-4111-8111-111111111111", "T", "a.csv", "id: upper(", "sql: {connection: db, table: t, action: upsert}", "where: params.Sate == ''\nparameters: [{name: State}, {name: state}]\n"),
		errorTask("11111111-1111-4111-8111-111111111111", "T", "a.csv", "full name: uper(Name)", "sql: {connection: db, table: t, key: [ID], action: upsert}", "max_row_errors: many\nconcurrency: 0\nretry_after: 1ms\n"),
		"id: 11111111-1111-4111-8111-111111111111\nname: T\nsource: {http: {connection: partner, path: /people, items: data, total: data.total, next: {cursor: after, from: data.id}}}\nmapping: {id: id}\ndestination: {csv: {connection: here, path: b.csv, action: replace}}",
		errorTask("11111111-1111-4111-8111-111111111111", "T", "a.csv", "joined: 'date(Joined, \"dd.mm.jjjj\")'", "sql: {connection: db, table: t, action: insert}\n  csv: {connection: here, path: b.csv, action: replace}", ""),
	} {
		_, err := taskfile.Parse([]byte(file), "tasks/mine.yaml")
		g.add("  | "+strings.ReplaceAll(strings.TrimRight(file, "\n"), "\n", "\n  | "), fmt.Sprint(err))
	}
}

func (g *gallery) connections() {
	for _, file := range []string{
		"- warehouse", "warehouse: ./a.db", "warehouse: {sqlight: ./a.db}", "warehouse: {sqlite: }", "a: {sqlite: ./a.db, files: .}", "a: {files: .}\na: {files: .}",
		"a: {files: ${RUNHOOK_TEST_NOWHERE}}", "a: {files: '${x'}", "partner: {http: {url: ftp://example.org}}", "partner: {http: {headers: {A: b}}}", "crm: {postgres: x}", "crm: {postgres: 'postgres://app@db.example.org'}", "crm: {mysql: x}", "crm: {mysql: 'mysql://app@db.example.org/crm?ssl_mode=REQUIRED;'}", "crm: {mysql: 'mysql://app@db.example.org/crm?sql_mode=ANSI'}", "crm: {sqlserver: x}",
	} {
		_, err := connection.Parse([]byte(file), "connections.yaml")
		if err == nil {
			g.t.Errorf("%s is taken", file)
		}
		g.add("  | "+strings.ReplaceAll(file, "\n", "\n  | "), fmt.Sprint(err))
	}
}

func (g *gallery) secrets(s *site) {
	for _, file := range []string{
		"- partner", "partner: abc", "partner:", "partner: {key: abc}", "partner: sha256:abc", "partner: [a key of the partner, another key of it, a third one of it]",
		"partner: ${RUNHOOK_TEST_NOWHERE}", "partner: a key of the partner\npartner: another key of it", "partner: 'abc",
	} {
		s.writeFor(0o600, "wrong.yaml", file)
		_, err := caller.LoadSecrets(s.path("wrong.yaml"), zerolog.Nop())
		g.add("  | "+strings.ReplaceAll(file, "\n", "\n  | "), fmt.Sprint(err))
	}
}

func (g *gallery) webhooks(i *instance, copyPeople task.ID) {
	server, token := i.url, i.token()
	const lapsed = "/task/execute/11111111-1111-4111-8111-111111111111"
	for _, c := range []struct{ method, path, body, header string }{
		{"POST", lapsed, "", ""},
		{"POST", lapsed, `{"QueryParameters":{"Sate":"CA"}}`, ""},
		{"POST", lapsed, `{"State":"CA"}`, ""},
		{"POST", lapsed + "?State=CA", "", ""},
		{"POST", lapsed, `{"QueryParameters":{"State":["CA","NV"]}}`, ""},
		{"POST", lapsed, `{"QueryParameters":{"State":{"is":"CA"}}}`, ""},
		{"POST", lapsed, `{"QueryParameters":["State"]}`, ""},
		{"POST", lapsed, `State=CA`, ""},
		{"POST", lapsed, `{"QueryParameters":{"State":"CA","state":"NV"}}`, ""},
		{"POST", lapsed, `{"QueryParameters":{"State":"CA"}}`, "Content-Encoding: gzip"},
		{"POST", lapsed, `{"QueryParameters":{"State":"CA"}}`, "Idempotency-Key: ü"},
		{"POST", lapsed, strings.Repeat(" ", 300<<10), ""},
		{"POST", "/task/execute/22222222-2222-4222-8222-222222222222", "", ""},
		{"POST", "/task/execute/00000000-0000-4000-8000-000000000000", "", ""},
		{"POST", "/task/execute/members", "", ""},
		{"POST", "/task/execute/33333333-3333-4333-8333-333333333333", "", "X-Api-Key: wrong"},
		{"GET", "/task/executepolling/33333333-3333-4333-8333-333333333333/1/status", "", "X-Api-Key: wrong"},
		{"POST", "/task/execute/44444444-4444-4444-8444-444444444444", "", "X-Api-Key: a key of the partner"},
		{"POST", "/task/execute/55555555-5555-4555-8555-555555555555", "", "Origin: https://evil.example"},
		{"POST", "/task/execute/55555555-5555-4555-8555-555555555555", `{"QueryParameters":{"State":"CA"}}`, ""},
		{"POST", "/task/execute/55555555-5555-4555-8555-555555555555", "", ""},
		{"POST", "/task/run/11111111-1111-4111-8111-111111111111", "", ""},
		{"GET", lapsed, "", ""},
		{"GET", "/task/executepolling/11111111-1111-4111-8111-111111111111/999/status", "", ""},
		{"GET", "/task/executepolling/11111111-1111-4111-8111-111111111111/x/status", "", ""},
		{"GET", "/task/executepolling/11111111-1111-4111-8111-111111111111/999/rejected", "", ""},
		{"GET", "/api/runs/999", "", ""},
		{"GET", "/api/runs?limit=many", "", ""},
		{"PUT", "/api/tasks/11111111-1111-4111-8111-111111111111", "id: 1", ""},
		{"GET", "/api/runs", "", "Authorization: none"},
		{"GET", "/api/runs", "", "Origin: https://evil.example"},
	} {
		request, err := http.NewRequestWithContext(g.t.Context(), c.method, server+c.path, strings.NewReader(c.body))
		if err != nil {
			g.t.Fatal(err)
		}
		if strings.HasPrefix(c.path, "/api/") {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			request.Header.Set(name, value)
		}
		did := c.method + " " + strings.ReplaceAll(c.path, string(copyPeople), "COPY-PEOPLE") + strings.TrimRight(" "+c.header, " ")
		if body := strings.TrimSpace(c.body); body != "" {
			did += " " + body
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			g.t.Errorf("%s: %v", did, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		var problem struct {
			Title, Detail string
			Errors        []struct {
				Line            int
				Message, Detail string
			}
		}
		if err != nil || answer.StatusCode < 400 || json.Unmarshal(body, &problem) != nil {
			g.t.Errorf("%s: %d %v %s", did, answer.StatusCode, err, body)
		}
		said := fmt.Sprintf("%d %s: %s", answer.StatusCode, problem.Title, problem.Detail)
		for _, fault := range problem.Errors {
			if fault.Line > 0 {
				said += fmt.Sprintf("\n  line %d: %s", fault.Line, fault.Message)
			}
		}
		g.add(did, said)
	}
	http.DefaultClient.CloseIdleConnections()
}

// tried is the document of a run of a task file that is applied for it.
func (g *gallery) tried(s *site, i *instance, text string) run.Document {
	def, err := taskfile.Parse([]byte(text), "mine.yaml")
	if err != nil {
		g.t.Fatalf("%v\n%s", err, text)
	}
	if _, _, err := i.client.Apply(g.t.Context(), def.ID, def.Text); err != nil {
		g.t.Fatal(err)
	}
	var started client.Started
	for limit := time.Now().Add(limit); ; {
		started, err = i.client.Start(g.t.Context(), def.ID, nil)
		doc := started.Document
		if err != nil || doc.TaskName != def.Name && time.Now().Before(limit) {
			if time.Now().After(limit) {
				g.t.Fatal(err)
			}
			continue // it is not yet seen
		}
		break
	}
	return i.awaitEnd(started)
}

func (g *gallery) runs(s *site, i *instance) {
	s.execute("create table there (id integer primary key, name text, code text not null)")
	s.execute("create view seen as select 1 as id")
	for _, name := range []string{"empty.csv", "twice.csv", "latin.csv", "unequal.csv", "titled.csv", "semicolons.csv"} {
		s.write(name, map[string]string{"titled.csv": "Example Club\n\nid,name\n1,Ann\n", "semicolons.csv": "id;name\n1;Ann\n", "empty.csv": "", "twice.csv": "id,name,id\n1,2,3\n", "latin.csv": "id,name\n1,Zo\xeb\n", "unequal.csv": "id,name\n1\n"}[name])
	}
	n := 0
	for _, c := range []struct{ path, mapping, destination, more string }{
		{"none.csv", "id: id", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"empty.csv", "id: id", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"titled.csv", "id: id", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"semicolons.csv", "id: id", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"twice.csv", "id: id", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"people.csv", "id: ID", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"people.csv", "id: id\n  country: '\"US\" + US'", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"people.csv", "age: id + 1", "sql: {connection: db, table: a, action: insert, create: true}", ""},
		{"people.csv", "id: id", "sql: {connection: warehose, table: a, action: insert, create: true}", ""},
		{"people.csv", "id: id", "sql: {connection: here, table: a, action: insert, create: true}", ""},
		{"people.csv", "id: id", "sql: {connection: db, table: ther, action: insert}", ""},
		{"people.csv", "id: id\n  nmae: name", "sql: {connection: db, table: there, action: insert}", ""},
		{"people.csv", "id: id\n  name: name", "sql: {connection: db, table: there, action: insert}", ""},
		{"people.csv", "id: id\n  name: name", "sql: {connection: db, table: there, key: [name], action: upsert}", ""},
		{"people.csv", "id: id", "sql: {connection: db, table: seen, action: insert}", ""},
		{"people.csv", "id: id", "csv: {connection: here, path: nowhere/out.csv, action: replace}", ""},
		{"people.csv", "id: id", "csv: {connection: here, path: people.csv, action: append}", ""},
		{"people.csv", "id: int(name)", "csv: {connection: here, path: out.csv, action: replace}", "max_row_errors: 1\n"},
		{"people.csv", "id: int(name)", "csv: {connection: here, path: out.csv, action: replace}", "on_row_error: stop\n"},
	} {
		n++
		if c.path == "people.csv" && strings.Contains(c.destination, "path: people.csv") {
			s.write("log.csv", "a,b\n1,2\n")
			c.destination = strings.Replace(c.destination, "people.csv", "log.csv", 1)
		}
		doc := g.tried(s, i, errorTask(fmt.Sprintf("33333333-3333-4333-8333-%012d", n), fmt.Sprintf("T%d", n), c.path, c.mapping, c.destination, c.more))
		if doc.Outcome() != run.Failed {
			g.t.Errorf("%+v: %s", c, doc.StatusDescription)
		}
		g.add(strings.TrimSpace(c.more+"from "+c.path+", "+strings.ReplaceAll(c.mapping, "\n ", ",")+" to "+c.destination), doc.Message)
	}
	defer s.hold()()
	doc := g.tried(s, i, errorTask("33333333-3333-4333-8444-333333333333", "Held", "people.csv", "id: id\n  name: name", "sql: {connection: db, table: there, key: [id], action: update}", "timeout: 1s\n"))
	g.add("timeout: 1s, and the database is locked", doc.Message)
}

// rowSaid is what a document says of a row, as people read it.
func rowSaid(fault run.RowError) string {
	place := fmt.Sprintf("row %d", fault.Row)
	if fault.Column != "" {
		place += ", " + fault.Column
	}
	return place + ": " + fault.Message
}

func (g *gallery) rows(s *site, i *instance) {
	s.execute("create table kinds (id integer primary key, whole integer, amount real, on_day date, yes boolean, code text unique not null check (length(code) < 5))")
	s.write("kinds.csv", "id,whole,amount,on_day,yes,code\n1,x,,,,a\n2,,x,,,b\n3,,,x,,c\n4,,,,x,d\n5,,,,,toolong\n6,,,,,e\n7,,,,,e\n8\n9,\"x\"y,,,,f\n10,\x00,,,,g\n,,,,,h\n")
	doc := g.tried(s, i, errorTask("44444444-4444-4444-8444-444444444444", "Kinds", "kinds.csv",
		"id: id\n  whole: whole\n  amount: amount\n  on_day: on_day\n  yes: yes\n  code: code", "sql: {connection: db, table: kinds, key: [id], action: upsert}", ""))
	lines := bytes.Split([]byte(read(g.t, s.path("kinds.csv"))), []byte("\n"))
	for _, fault := range doc.Errors {
		g.add(fmt.Sprintf("%q", lines[min(int(fault.Row), len(lines)-1)]), rowSaid(fault))
	}
	s.write("values.csv", "text\nforty\n")
	for n, expression := range []string{"int(text)", "float(text)", "number(text)", "date(text)", `date(text, "dd.MM.yyyy")`, `split(text, ",")[7]`, `text matches text + "["`, "number(1) / 0", `repeat(text + "!", int("30000000"))`} {
		doc := g.tried(s, i, errorTask(fmt.Sprintf("55555555-5555-4555-8555-%012d", n), fmt.Sprintf("V%d", n), "values.csv", "value: '"+expression+"'", "csv: {connection: here, path: values-out.csv, action: replace}", ""))
		if len(doc.Errors) != 1 {
			g.t.Errorf("%s: %+v", expression, doc)
			continue
		}
		g.add("value: "+expression, rowSaid(doc.Errors[0]))
	}
	_ = os.Remove(filepath.Join(s.dir, "values-out.csv"))
}
