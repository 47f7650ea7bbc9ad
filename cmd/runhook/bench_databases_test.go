//go:build bench

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
)

// init adds the tasks that copy a file into a table, and a table into another one.
func init() {
	for _, kind := range []string{"postgres", "mysql"} {
		for name, say := range map[string][2]string{
			"insert": {"big.csv", "insert"}, "upsert": {"big.csv", "upsert"}, "a tenth": {"tenth.csv", "upsert"},
		} {
			flatTasks[kind+" "+name] = fmt.Sprintf(`source: {csv: {connection: here, path: %s}}
mapping: {id: id, first: first, last: last, email: email, city: city}
destination: {sql: {connection: %s, table: people, key: [id], action: %s}}
`, say[0], kind, say[1])
		}
		flatTasks[kind+" to itself"] = fmt.Sprintf(`source: {sql: {connection: %s, query: "select * from people", order_by: [id]}}
mapping: {id: id, first: first, last: last, email: email, city: city}
destination: {sql: {connection: %s, table: copied, key: [id], action: insert}}
`, kind, kind)
	}
}

// TestBenchDatabases measures the databases alone.
func TestBenchDatabases(t *testing.T) {
	b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	b.databases()
	_ = b.out.Flush()
}

// benchedDatabase is a database of this process's tests, with the fastest way into it that its own programs have.
type benchedDatabase struct {
	kind, label string
	exec        func(statements string)
	query       func(text string) string
	// load loads a file into the table people, copy the table people into copied, and peer does so as another program
	// of this size; peer is nil if there is none.
	load               func(file string) *exec.Cmd
	copy, peer         func() *exec.Cmd
	loadedBy, copiedBy string
	// fill fills the table people with so many rows, as a file has them.
	fill string
}

// sling is the program Sling that BENCH_SLING names, empty for none: it is built apart from this one, because it takes as
// many modules as there are databases.
func sling() string { return os.Getenv("BENCH_SLING") }

// databases: rows/s of a large file into a server's table, beside the server's own program with the same file: into an
// empty table, again with no row changed, and again with a tenth of them changed; and of a table into another one.
func (b *bench) databases() {
	rows := csvRows
	if text := os.Getenv("BENCH_ROWS"); text != "" {
		var err error
		rows, err = strconv.Atoi(text)
		b.check(err)
	}
	schema := pgtest.New(b.t).Schema(b.t)
	database := mariatest.New(b.t).Database(b.t)
	address := mariatest.New(b.t).Address()
	host, port, _ := strings.Cut(address, ":")
	mariadb := func(extra string) *exec.Cmd {
		command := exec.Command("mariadb", "--no-defaults", "--local-infile=1", "-h", host, "-P", port, "-u", "app", database.Name, "-e", extra)
		command.Env = append(os.Environ(), "MYSQL_PWD="+mariatest.Password)
		return command
	}
	libpq := strings.Replace(schema.Own, "search_path=", "options=-csearch_path%3D", 1) // as its own programs take it
	names := []string{}
	for _, kind := range []string{"postgres", "mysql"} {
		for _, name := range []string{"insert", "upsert", "a tenth", "to itself"} {
			names = append(names, kind+" "+name)
		}
	}
	s := b.serveOn("interval", "here: {files: .}\npostgres: {postgres: '"+schema.URL+"'}\nmysql: {mysql: '"+database.URL+"'}\n", names...)
	defer s.stop()
	b.peopleFile(filepath.Join(s.dir, "big.csv"), rows, 0)
	b.peopleFile(filepath.Join(s.dir, "tenth.csv"), rows, 10)
	const table = "(id int PRIMARY KEY, first varchar(40), last varchar(40), email varchar(60), city varchar(40))"
	for _, d := range []benchedDatabase{
		{
			kind: "postgres", label: "PostgreSQL", exec: schema.Exec, query: schema.Query, loadedBy: `psql's \copy of the same file`, copiedBy: "pg_dump | psql",
			load: func(file string) *exec.Cmd {
				return exec.Command("psql", libpq, "-qc", `\copy people from '`+file+`' csv header`)
			},
			copy: func() *exec.Cmd {
				return exec.Command("sh", "-c", `pg_dump -a -t "$2.people" "$1" | sed 's/^COPY [^ ]*/COPY '"$2"'.copied/' | psql -q "$1" >/dev/null`, "sh", libpq, schema.Name)
			},
			peer: func() *exec.Cmd {
				command := exec.Command(sling(), "run", "--src-conn", "PG", "--src-stream", schema.Name+".people", "--tgt-conn", "PG", "--tgt-object", schema.Name+".copied", "--mode", "truncate")
				command.Env = append(os.Environ(), "PG="+schema.Own, "SLING_DISABLE_TELEMETRY=true")
				return command
			},
			fill: "INSERT INTO people SELECT i, 'First' || i, 'Last' || i, 'person' || i || '@example.org', 'Springfield' FROM generate_series(1, %d) AS i",
		},
		{
			kind: "mysql", label: "MariaDB", exec: database.Exec, query: database.Query, loadedBy: "LOAD DATA LOCAL of the same file", copiedBy: "INSERT … SELECT in the server",
			load: func(file string) *exec.Cmd {
				return mariadb(`LOAD DATA LOCAL INFILE '` + file + `' INTO TABLE people FIELDS TERMINATED BY ',' IGNORE 1 LINES`)
			},
			copy: func() *exec.Cmd { return mariadb(`INSERT INTO copied SELECT * FROM people`) },
			fill: "INSERT INTO people SELECT seq, concat('First', seq), concat('Last', seq), concat('person', seq, '@example.org'), 'Springfield' FROM seq_1_to_%d",
		},
	} {
		d.exec("CREATE TABLE people " + table + "; CREATE TABLE copied " + table)
		samples := map[string][]float64{}
		ran := func(name string) (took float64, doc benchDocument) {
			doc = s.document(b, s.postAndWait(b, s.task(d.kind+" "+name)))
			if doc.StatusDescription != "Success" {
				b.t.Fatalf("%s: %+v", name, doc)
			}
			return float64(doc.RowsInserted+doc.RowsUpdated+doc.RowsUnchanged) / (float64(doc.DurationMs) / 1000), doc
		}
		bare := func(command *exec.Cmd, table string, rows int) float64 {
			began := time.Now()
			if said, err := command.CombinedOutput(); err != nil {
				b.t.Fatalf("%s: %v\n%s", command, err, said)
			}
			took := time.Since(began).Seconds()
			if got := d.query("SELECT count(*) FROM " + table); got != strconv.Itoa(rows) {
				b.t.Fatalf("%s: %s rows", command, got)
			}
			return float64(rows) / took
		}
		for range rounds {
			d.exec("TRUNCATE TABLE people")
			samples["load"] = append(samples["load"], bare(d.load(filepath.Join(s.dir, "big.csv")), "people", rows))
			d.exec("TRUNCATE TABLE people")
			rate, doc := ran("insert")
			if doc.RowsInserted != int64(rows) {
				b.t.Fatalf("insert: %+v", doc)
			}
			samples["insert"] = append(samples["insert"], rate)
			rate, doc = ran("upsert")
			if doc.RowsUnchanged != int64(rows) {
				b.t.Fatalf("upsert: %+v", doc)
			}
			samples["upsert"] = append(samples["upsert"], rate)
			rate, doc = ran("a tenth")
			if doc.RowsUpdated != int64(rows/10) {
				b.t.Fatalf("upsert of a tenth: %+v", doc)
			}
			samples["tenth"] = append(samples["tenth"], rate)
		}
		d.exec("TRUNCATE TABLE people; " + fmt.Sprintf(d.fill, 2*rows))
		for range rounds {
			d.exec("TRUNCATE TABLE copied")
			samples["bare copy"] = append(samples["bare copy"], bare(d.copy(), "copied", 2*rows))
			d.exec("TRUNCATE TABLE copied")
			rate, doc := ran("to itself")
			if doc.RowsInserted != int64(2*rows) {
				b.t.Fatalf("copy: %+v", doc)
			}
			samples["copy"] = append(samples["copy"], rate)
			if d.peer != nil && sling() != "" {
				samples["peer"] = append(samples["peer"], bare(d.peer(), "copied", 2*rows))
			}
		}
		insert := median(samples["insert"])
		b.compare("rows CSV to "+d.label+", insert", insert, median(samples["load"]), "/s", d.loadedBy)
		b.compare("the same again by upsert, none changed", median(samples["upsert"]), insert, "/s", "the insert")
		b.compare("a tenth of them changed", median(samples["tenth"]), insert, "/s", "the insert")
		b.compare("rows of a table of "+d.label+" to another, insert", median(samples["copy"]), median(samples["bare copy"]), "/s", d.copiedBy)
		if len(samples["peer"]) > 0 {
			b.compare("", median(samples["copy"]), median(samples["peer"]), "/s", "Sling")
		} else if d.peer != nil {
			b.row("", "", "", "", "Sling was not measured: BENCH_SLING names no program")
		}
	}
	b.row("peak memory of these", fmt.Sprintf("%d MB", s.peakMemory(b)), "100 MB", "", "what they may take at any number of rows")
}

// peopleFile writes a file of people, of which every nth lives elsewhere, 0 for none.
func (b *bench) peopleFile(path string, rows, nth int) {
	file, err := os.Create(path)
	b.check(err)
	out := bufio.NewWriter(file)
	_, err = out.WriteString("id,first,last,email,city\n")
	b.check(err)
	for i := 1; i <= rows; i++ {
		city := "Springfield"
		if nth > 0 && i%nth == 0 {
			city = "Shelbyville"
		}
		_, err = fmt.Fprintf(out, "%d,First%d,Last%d,person%d@example.org,%s\n", i, i, i, i, city)
		b.check(err)
	}
	b.check(out.Flush())
	b.check(file.Close())
}
