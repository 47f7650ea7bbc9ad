package draft

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/pgtest"
	"runhook/shared/proctest"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// folder is a folder with files to make tasks of, and what its connections file says of it.
func folder(t *testing.T, connections string) (dir string, set *connection.Set) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"people.csv": "id,name\n1,Ann\n", "empty.csv": "", "one.csv": "id\n1\n", "semicolon.csv": "id;name, all of it;city\n1;\"a;b\";\n",
		"latin.csv": "id,name\n1,Gr\xf6\xdfe\n", "utf16.csv": "\xff\xfei\x00d\x00\n\x00",
		// The first MB, of which the encoding is told, ends inside a letter.
		"cut.csv": "id,name\n1," + strings.Repeat("x", 1<<20-11) + "ö\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if connections == "" {
		return dir, nil
	}
	set, err := connection.Parse([]byte(connections), filepath.Join(dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, set
}

// made is the task that is made of a wish, which has to be valid.
func made(t *testing.T, w Wish) (*Draft, *task.Definition) {
	t.Helper()
	w.Kinds = builtin.Kinds()
	d, err := Make(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	def, err := taskfile.Parse(d.File(), "made.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, d.File())
	}
	return d, def
}

func TestConnectionsAreChosen(t *testing.T) {
	dir, set := folder(t, "here: {files: .}\ndb: {sqlite: ./a.db}\n")
	d, def := made(t, Wish{Connections: set, CSV: filepath.Join(dir, "people.csv")})
	from, to := def.Source.(*task.CSVSource), def.Destination.(*task.SQLDestination)
	if def.Name != "people" || from.Connection != "here" || from.Path != "people.csv" || to.Connection != "db" || to.Table != "people" ||
		to.Action != task.Insert || !to.Create || len(d.Missing) > 0 {
		t.Errorf("%s%q", def.Text, d.Missing)
	}
	d, def = made(t, Wish{Connections: set, CSV: filepath.Join(dir, "people.csv"), To: "dw.folk", Key: []string{"id"}, Name: "Folk"})
	if to := def.Destination.(*task.SQLDestination); def.Name != "Folk" || to.Connection != "dw" || to.Table != "folk" || to.Action != task.Upsert || !slices.Equal(d.Missing, []string{"dw: {sqlite: ./dw.db}"}) {
		t.Errorf("%s%q", def.Text, d.Missing)
	}
	if _, def = made(t, Wish{Connections: set, CSV: filepath.Join(dir, "people.csv"), To: "db.txt"}); def.Destination.(*task.SQLDestination).Table != "txt" {
		t.Errorf("%s", def.Text)
	}
	_, def = made(t, Wish{Connections: set, CSV: filepath.Join(dir, "people.csv"), To: filepath.Join(dir, "deep", "out.csv")})
	if to := def.Destination.(*task.CSVDestination); to.Connection != "here" || to.Path != "deep/out.csv" || to.Action != task.Replace {
		t.Errorf("%s", def.Text)
	}
}

// What no connection covers is printed as a line that makes one, whatever the folder is called.
func TestMissingLinesMakeConnections(t *testing.T) {
	dir, set := folder(t, "files: {sqlite: ./a.db}\n")
	odd := filepath.Join(dir, `${odd} "folder"`)
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "people.csv"), filepath.Join(odd, "people.csv")); err != nil {
		t.Fatal(err)
	}
	d, def := made(t, Wish{Connections: set, CSV: filepath.Join(odd, "people.csv"), To: filepath.Join(odd, "out.csv")})
	if def.Source.(*task.CSVSource).Connection != "files2" || def.Destination.(*task.CSVDestination).Connection != "export" || len(d.Missing) != 2 {
		t.Fatalf("%s%q", def.Text, d.Missing)
	}
	lines, err := connection.Parse([]byte(strings.Join(d.Missing, "\n")), filepath.Join(dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if name, path, ok := lines.Covering(filepath.Join(odd, "people.csv")); !ok || path != "people.csv" || !lines.Has("files2") || !lines.Has("export") {
		t.Errorf("%s %s %v", name, path, ok)
	}
}

func TestDelimiterAndEncodingAreFound(t *testing.T) {
	dir, set := folder(t, "here: {files: .}\n")
	for name, want := range map[string]task.CSVSource{
		"people.csv": {Delimiter: ','}, "semicolon.csv": {Delimiter: ';'}, "one.csv": {}, "utf16.csv": {},
		"latin.csv": {Delimiter: ',', Encoding: "windows-1252"}, "cut.csv": {Delimiter: ','},
	} {
		delimiter, encoding, err := sniff(filepath.Join(dir, name), 0)
		if err != nil || delimiter != want.Delimiter || encoding != want.Encoding {
			t.Errorf("%s: %q %q %v", name, delimiter, encoding, err)
		}
		made(t, Wish{Connections: set, CSV: filepath.Join(dir, name)})
	}
}

// A title may stand above the header, whose line decides what the delimiter is.
func TestMakeBelowATitle(t *testing.T) {
	dir, set := folder(t, "here: {files: .}\ndb: {sqlite: ./a.db}\n")
	if err := os.WriteFile(filepath.Join(dir, "titled.csv"), []byte("Members, all of 2026\n\nid;name\n1;Ann\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, _ := made(t, Wish{Connections: set, CSV: filepath.Join(dir, "titled.csv"), HeaderRow: 3, Key: []string{"id"}})
	if from := d.Source.(*task.CSVSource); !slices.Equal(d.Columns, []string{"id", "name"}) || from.Delimiter != ';' || from.HeaderRow != 3 {
		t.Errorf("%q, %+v", d.Columns, from)
	}
	if text := string(d.File()); !strings.Contains(text, "header_row: 3") {
		t.Error(text)
	}
}

func TestMakeRefuses(t *testing.T) {
	dir, set := folder(t, "here: {files: .}\ndb: {sqlite: ./a.db}\n")
	_, two := folder(t, "db: {sqlite: ./a.db}\nother: {sqlite: ./b.db}\n")
	people := filepath.Join(dir, "people.csv")
	at, filled := folder(t, "db: {sqlite: ./a.db}\n")
	db, err := sql.Open("sqlite", filepath.Join(at, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE people (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		wish Wish
		says string
	}{
		{Wish{Connections: set, CSV: filepath.Join(dir, "none.csv")}, "none.csv: no such file"},
		{Wish{Connections: set, CSV: dir}, "is a folder"},
		{Wish{Connections: set, CSV: filepath.Join(dir, "empty.csv")}, "is empty; its first row must name the columns"},
		{Wish{Connections: set, CSV: people, Key: []string{"nmae"}}, "there is no such column; did you mean name?"},
		{Wish{Connections: set, CSV: people, Key: []string{"nmae"}}, "if that is a title, give the line that names the columns with --header-row"},
		{Wish{Connections: set, CSV: people, HeaderRow: 900}, "source.csv.header_row names line 900"},
		{Wish{Connections: set, CSV: people, To: "people"}, "is neither CONNECTION.TABLE"},
		{Wish{Connections: set, CSV: people, To: "x.csv", Key: []string{"id"}}, "--key is for tables"},
		{Wish{Connections: two, CSV: people}, "Give --to CONNECTION.people; there are db, other"},
		{Wish{Connections: set, Table: "people"}, "is not CONNECTION.TABLE"},
		{Wish{Connections: set, Table: "crm.people"}, "There is no connection crm in connections.yaml. It has db, here."},
		{Wish{Connections: set, CSV: people, To: "people.xlsx"}, "--to people.xlsx: files are written as CSV; give a name that ends in .csv"},
		{Wish{Connections: set, CSV: people, To: "out/people.TSV"}, "files are written as CSV"},
		{Wish{Connections: set, CSV: people, To: "here.people"}, "--to here.people: the connection here is no database; the file of connections has db"},
		{Wish{Connections: filled, Table: "db.people"}, "--from-table db.people: the rows would go into the table that they come from; say where they go with --to"},
		{Wish{Connections: filled, Table: "db.people", To: "db.People"}, "the rows would go into the table that they come from"},
		{Wish{Table: "db.people"}, "name the file of connections with --connections"},
		{Wish{IQA: "prod", Path: "$/Members"}, "name the file of connections with --connections"},
	} {
		c.wish.Kinds = builtin.Kinds()
		if d, err := Make(t.Context(), c.wish); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, not %s", d, err, c.says)
		}
	}
}

// A table of another schema is named with it.
func TestFromAndToATableOfASchema(t *testing.T) {
	schema := pgtest.New(t).Schema(t)
	schema.Exec(`CREATE TABLE "Members" (id int PRIMARY KEY, "Full Name" text)`)
	set, err := connection.Parse([]byte("crm: {postgres: '"+schema.URL+"'}\n"), filepath.Join(t.TempDir(), "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Make(t.Context(), Wish{Kinds: builtin.Kinds(), Connections: set, Table: "crm." + schema.Name + ".Members", To: "crm." + schema.Name + ".people", Key: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	source, to := d.Source.(*task.SQLSource), d.Destination.(*task.SQLDestination)
	if source.Query != `select * from "`+schema.Name+`"."Members"` || to.Table != schema.Name+".people" || !slices.Equal(d.Columns, []string{"id", "Full Name"}) {
		t.Errorf("%+v, %+v, %v", source, to, d.Columns)
	}
}
