//go:build chaos

package chaos

import (
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/run"
	"runhook/shared/task"
)

// work is one task and how it is called. Every run gets a Batch of its own and writes its rows under
// that, so that what one run wrote can be told from what others did.
type work struct {
	name string
	id   task.ID
	// file is the task file without id and name.
	file string
	// every is the mean time between two POSTs, and open how many runs there are at once at most.
	every time.Duration
	open  int
	// rows is how many rows a run writes, and table where: db.table, empty where the rows of a run
	// cannot be told from those of others.
	rows  int64
	table string
	// again: a batch may be sent twice, so that a row which one attempt inserted is updated by the next.
	again bool
	// files: a run writes a file of its own. sql: it is a table whose database keeps its checkpoint.
	files, sql bool
	// overlap is what becomes of a run beside another one; empty where it waits. fails: every run fails, and some in a
	// row hold the task.
	overlap task.Overlap
	fails   bool
}

// ends reports whether a run that has ended so has done what it should, canceled if somebody has asked for that.
func (w *work) ends(doc *run.Document, canceled bool) bool {
	switch doc.Outcome() {
	case run.Success:
		return !w.fails
	case run.Failed:
		return w.fails
	case run.Canceled:
		return canceled || w.overlap == task.SkipOverlap && strings.HasPrefix(doc.Message, "Skipped, because run ") ||
			w.overlap.Supersedes() && strings.Contains(doc.Message, ", a later one of the task,")
	}
	return false
}

const (
	shortRows   = 300
	orderRows   = 2000
	orderRate   = "500/s"
	memberRows  = 900
	catalogRows = 600
	panelRows   = 40
	panelName   = "Chaos_Title"
)

// works lists the tasks: short ones and long ones, which are what a fault hits in the middle.
func works() []*work {
	all := []*work{
		{
			name: "nothing", every: 150 * time.Millisecond, open: 60,
			file: `concurrency: 16
source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {nats: {subject: chaos.nothing}}
`,
		},
		{
			name: "upsert", every: time.Second, open: 12, rows: shortRows, table: "upsert.people",
			file: `concurrency: 8
source: {csv: {connection: here, path: people.csv}}
mapping: {batch: params.Batch, id: id, name: name}
destination: {sql: {connection: upsert, table: people, key: [batch, id], action: upsert, create: true}}
`,
		},
		{
			name: "insert", every: 2 * time.Second, open: 6, rows: orderRows, table: "insert.orders",
			file: `concurrency: 2
source: {csv: {connection: here, path: orders.csv}, rate: ` + orderRate + `}
mapping: {batch: params.Batch, id: id, amount: amount}
destination: {sql: {connection: insert, table: orders, action: insert}}
`,
		},
		{
			name: "iqa", every: 2 * time.Second, open: 6, rows: memberRows, table: "iqa.members",
			file: `concurrency: 2
source: {imis: {connection: site, query: "$/Chaos/Members", page_size: 100}}
mapping: {batch: params.Batch, id: ID, name: FullName}
destination: {sql: {connection: iqa, table: members, key: [batch, id], action: upsert, create: true}}
`,
		},
		{
			name: "panel", every: 3 * time.Second, open: 4, rows: panelRows, table: "site." + panelName, again: true,
			file: `source: {sql: {connection: catalog, query: "select id, title from catalog where id <= ` + strconv.Itoa(panelRows) + `", order_by: [id]}}
mapping: {Code: 'params.Batch + "-" + string(id)', Title: title}
destination: {imis: {connection: site, entity: ` + panelName + `, key: [Code], action: upsert}}
`,
		},
		{
			name: "feed", every: 2 * time.Second, open: 6, rows: shortRows,
			file: `concurrency: 2
source: {csv: {connection: here, path: people.csv}, rate: 200/s}
mapping: {batch: params.Batch, id: id}
destination: {http: {connection: feed, path: /rows, method: POST, batch: 20}}
`,
		},
		{
			name: "export", every: 4 * time.Second, open: 3, rows: catalogRows,
			file: `source: {sql: {connection: catalog, query: "select id, title from catalog", order_by: [id]}, rate: 300/s}
mapping: {id: id, title: title}
destination: {csv: {connection: here, path: export.csv, action: replace}}
`,
		},
	}
	for _, overlap := range []task.Overlap{task.RejectOverlap, task.SkipOverlap, task.LatestOverlap, task.CancelRunningOverlap} {
		all = append(all, &work{
			name: string(overlap), every: 400 * time.Millisecond, open: 20, overlap: overlap,
			file: `overlap: ` + string(overlap) + `
source: {csv: {connection: here, path: people.csv}, rate: 200/s}
where: "false"
mapping: {id: id}
destination: {nats: {subject: chaos.nothing}}
`,
		})
	}
	all = append(all, &work{
		name: "fails", every: time.Second, open: 6, fails: true,
		file: `disable_after_failures: 3
source: {csv: {connection: here, path: none.csv}}
retry: {attempts: 1}
mapping: {id: id}
destination: {nats: {subject: chaos.nothing}}
`,
	})
	for _, name := range []string{"postgres", "mariadb"} {
		all = append(all, databaseWorks(name)...)
	}
	for _, w := range all {
		w.id = task.NewID()
		w.sql = strings.Contains(w.file, "destination: {sql")
		w.files = w.sql || strings.Contains(w.file, "destination: {csv")
	}
	return all
}

// connections are those of the tasks. Each task has a database of its own: a paused runner keeps
// others from one that it is writing to.
func connections(siteURL, feedURL string, servers []*database) string {
	lines := ""
	for _, server := range servers {
		lines += server.line
	}
	return fmt.Sprintf(`here: {files: .}
upsert: {sqlite: ./upsert.db}
insert: {sqlite: ./insert.db}
iqa: {sqlite: ./iqa.db}
catalog: {sqlite: ./catalog.db}
site: {imis: {private: true, url: %q, username: chaos, password: chaos}}
feed: {http: {private: true, url: %q}}
%s`, siteURL, feedURL, lines)
}

// lay writes the files and databases that the tasks read, and those that they do not make themselves.
func lay(t *testing.T, dir, siteURL, feedURL string, all []*work, servers []*database) {
	t.Helper()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("connections.yaml", connections(siteURL, feedURL, servers))
	write("one.csv", "id\n1\n")
	write("people.csv", lines(shortRows, "id,name", func(i int) string { return fmt.Sprintf("%d,Name %d", i, i) }))
	write("orders.csv", lines(orderRows, "id,amount", func(i int) string { return fmt.Sprintf("%d,%d", i, 7*i) }))
	for _, w := range all {
		write("tasks/"+w.name+".yaml", fmt.Sprintf("id: %s\nname: %s\nparameters: [{name: Batch}]\n%s", w.id, w.name, w.file))
	}
	// Nothing but the runs themselves keeps a row from being there twice.
	execute(t, filepath.Join(dir, "insert.db"), "create table orders (batch text, id text, amount text)")
	execute(t, filepath.Join(dir, "catalog.db"), "create table catalog (id integer primary key, title text)",
		fmt.Sprintf("insert into catalog with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) select i, 'Title ' || i from n", catalogRows))
}

func lines(n int, head string, line func(i int) string) string {
	var text strings.Builder
	text.WriteString(head + "\n")
	for i := range n {
		text.WriteString(line(i+1) + "\n")
	}
	return text.String()
}

// members is the IQA of the stand-in site.
func members() imissite.Query {
	return imissite.Query{
		Path:    "$/Chaos/Members",
		Columns: []imissite.Column{{Name: "ID", Type: "String"}, {Name: "FullName", Type: "String"}},
		Count:   memberRows,
		Row:     func(i int) []any { return []any{strconv.Itoa(i + 1), fmt.Sprintf("Member %d", i+1)} },
	}
}

// panel is the business object of the stand-in site.
func panel() imissite.Entity {
	return imissite.Entity{Name: panelName, ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 40, Required: true, Identity: true}, {Name: "Title", Type: "String", MaxLength: 40},
	}}
}

// inPanel counts the rows of each batch in the panel; its key keeps a row from being there twice.
func inPanel(site *imissite.Site) (rows, doubled map[string]int64) {
	rows = map[string]int64{}
	for _, row := range site.Rows(panelName) {
		batch, _, _ := strings.Cut(fmt.Sprint(row["Code"]), "-")
		rows[batch]++
	}
	return rows, map[string]int64{}
}

// written counts the rows of each batch in a table, and how many of them are not there for the first
// time.
func written(t *testing.T, dir, table string) (rows, doubled map[string]int64) {
	t.Helper()
	file, name, _ := strings.Cut(table, ".")
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, file+".db"))
	check(t, err)
	defer db.Close()
	rows, doubled, err = byBatch(db, name)
	check(t, err)
	return rows, doubled
}

func byBatch(db *sql.DB, table string) (rows, doubled map[string]int64, err error) {
	found, err := db.Query("select batch, count(*), count(*) - count(distinct id) from " + table + " group by batch")
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	rows, doubled = map[string]int64{}, map[string]int64{}
	for found.Next() {
		var batch string
		var n, again int64
		if err := found.Scan(&batch, &n, &again); err != nil {
			return nil, nil, err
		}
		rows[batch], doubled[batch] = n, again
	}
	return rows, doubled, found.Err()
}

// exported checks the file that every run of export replaces with the same content, and says what is
// wrong with it.
func exported(dir string) string {
	file, err := os.Open(filepath.Join(dir, "export.csv"))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return "export.csv: " + err.Error()
	}
	if len(records) != catalogRows+1 {
		return fmt.Sprintf("export.csv has %d rows, want %d", len(records)-1, catalogRows)
	}
	for i, record := range records[1:] {
		if record[0] != strconv.Itoa(i+1) || record[1] != fmt.Sprintf("Title %d", i+1) {
			return fmt.Sprintf("export.csv, row %d: %q", i+1, record)
		}
	}
	return ""
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	check(t, err)
	defer db.Close()
	for _, statement := range statements {
		_, err := db.Exec(statement)
		check(t, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
