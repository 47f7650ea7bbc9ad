package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// TestNewTaskFromACSV goes the way of a newcomer: make a task of a file, add what is printed to the
// connections, look at the rows, run it, and write what came of it into a file again.
func TestNewTaskFromACSV(t *testing.T) {
	s := newSite(t)
	t.Chdir(s.dir)
	t.Setenv("RUNHOOK_CONNECTIONS", "mine.yaml")
	s.write("mine.yaml", "here: {files: ./none}\n")
	s.write("in/Members 2031.csv", "id;Member Type;Größe\n1;Full;\"1;80\"\n2;Lapsed;1,70\n")

	said := mustCall(t, "task", "new", "--from-csv", "in/Members 2031.csv", "--key", "id")
	file := filepath.Join("tasks", "members-2031.yaml")
	if !strings.HasPrefix(said, "Wrote "+file+": 3 columns, mapped to themselves.\n\nmine.yaml lacks what it names; add:\n") || !strings.Contains(said, "runhook run 'Members 2031' --wait\n") {
		t.Fatalf("%s", said)
	}
	def, err := taskfile.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if def.Source.(*task.CSVSource).Delimiter != ';' || def.Destination.(*task.SQLDestination).Table != "members_2031" || def.Destination.(*task.SQLDestination).Action != task.Upsert || len(def.Mapping) != 3 {
		t.Errorf("%s", def.Text)
	}
	if code, _, messages := ask(t, "task", "new", "--from-csv", "in/Members 2031.csv"); code != exitNoStart || !oneLine(messages, "is there already: give another name with --out, or overwrite it with --force") {
		t.Errorf("%d %s", code, messages)
	}

	var lines strings.Builder
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "    ") && strings.Contains(line, "{") {
			lines.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	s.write("mine.yaml", lines.String())
	if preview := mustCall(t, "task", "preview", file); !strings.Contains(preview, "1;80") || !strings.Contains(preview, "2 to write") {
		t.Errorf("%s", preview)
	}
	i := begin(t, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", "data", "--tasks", "tasks").listening()
	defer i.end()
	mustCall(t, "run", "Members 2031", "--wait", "--server", i.url)
	if got := names(t, s.openFile("warehouse.db"), `select "Größe" from members_2031 order by id`); got != "1;80,1,70" {
		t.Errorf("the table has %s", got)
	}

	said = mustCall(t, "task", "new", "--from-table", "warehouse.members_2031", "--to", "in/out.csv", "--name", "Out", "--out", "tasks/out.yaml")
	if strings.Contains(said, "lacks") {
		t.Errorf("%s", said)
	}
	if doc := i.awaitEnd(i.start(i.task(t, "Out"), nil)); doc.Outcome() != run.Success || doc.RowsInserted != 2 {
		t.Errorf("%+v", doc)
	}
	if got := read(t, "in/out.csv"); got != "id,Member Type,Größe\n1,Full,1;80\n2,Lapsed,\"1,70\"\n" {
		t.Errorf("the file has %q", got)
	}
}

// task waits until the server has the task of a name.
func (i *instance) task(t *testing.T, name string) (id task.ID) {
	t.Helper()
	proctest.Until(t, func() (err error) { // the folder is followed; nothing tells us when
		id, err = i.client.Find(t.Context(), name)
		return err
	})
	return id
}

func TestNewTaskWritesWhereItIsTold(t *testing.T) {
	s := newSite(t)
	t.Chdir(s.dir)
	mustCall(t, "task", "new", "--from-csv", "people.csv", "--out", "a.yaml")
	mustCall(t, "task", "new", "--from-csv", "people.csv", "--to", "db.folk", "--out", "a.yaml", "--force")
	if def, err := taskfile.ReadFile("a.yaml"); err != nil || def.Destination.(*task.SQLDestination).Table != "folk" {
		t.Errorf("%v", err)
	}
	s.write("twice.csv", "id,name,name\n1,Ann,x\n")
	if said := mustCall(t, "task", "new", "--from-csv", "twice.csv"); !strings.Contains(said, ": 1 column, mapped to themselves.\nLeft out name, the name of columns 2 and 3: rename all but one of them, and map it.\n") {
		t.Errorf("%s", said)
	}
	// Nothing but a task file is replaced.
	s.write("rows.yaml", "id,name\n1,Ann\n")
	if err := os.Symlink("people.csv", "linked.yaml"); err != nil {
		t.Fatal(err)
	}
	for out, from := range map[string]string{"people.csv": "people.csv", "connections.yaml": "people.csv", "rows.yaml": "rows.yaml", "linked.yaml": "people.csv", "people.db": "people.csv"} {
		s.write("people.db", "SQLite format 3")
		before := read(t, out)
		code, _, messages := ask(t, "task", "new", "--from-csv", from, "--to", "db.folk", "--out", out, "--force")
		if code != exitNoStart || !oneLine(messages, "--out "+out+" is no task file, and is not replaced; give another name") || read(t, out) != before {
			t.Errorf("%s: exit code %d, %s", out, code, messages)
		}
	}
	s.write("none.yaml", "")
	mustCall(t, "task", "new", "--from-csv", "people.csv", "--to", "db.folk", "--out", "none.yaml", "--force")
	s.write("broken.yml", "id: 1\nmapping: [\n")
	mustCall(t, "task", "new", "--from-csv", "people.csv", "--to", "db.folk", "--out", "broken.yml", "--force")
	if text := mustCall(t, "task", "new", "--from-csv", "people.csv", "--out", "-"); !strings.Contains(text, "  id: id\n") {
		t.Errorf("%s", text)
	}
	if _, err := os.Stat("tasks/people.yaml"); err == nil {
		t.Error("a file was written that was to be printed")
	}
}

func TestNewTaskRefuses(t *testing.T) {
	s := newSite(t)
	t.Chdir(s.dir)
	for args, says := range map[string]string{
		"--from-csv people.csv --from-table db.people": "a task has one source",
		"--from-table db.people --header-row 3":        "--header-row is the line of a file, from 1 on, and goes with --from-csv",
		"--from-csv people.csv --header-row=-1":        "--header-row is the line of a file, from 1 on",
		"--from-csv people.csv --header-row 800":       "source.csv.header_row names line 800",
		"--from-csv none.csv":                          "none.csv: no such file",
		"--from-table crm.people":                      "There is no connection crm in connections.yaml. It has db, here.",
		"--to db.people":                               "go with --from-csv, --from-table or --from-iqa",
	} {
		code, out, messages := ask(t, append([]string{"task", "new"}, strings.Fields(args)...)...)
		if code != exitNoStart || out != "" || !strings.Contains(messages, says) {
			t.Errorf("%s: %d %s%s", args, code, out, messages)
		}
	}
	if err := os.Remove("connections.yaml"); err != nil {
		t.Fatal(err)
	}
	if code, _, messages := ask(t, "task", "new", "--from-table", "db.people"); code != exitNoStart || !oneLine(messages, "name the file of connections with --connections") {
		t.Errorf("%d %s", code, messages)
	}
}

func TestTaskNewIsValid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("new.yaml", mustCall(t, "task", "new", "--name", `Ann's "own": #1`))
	if said := mustCall(t, "task", "validate", s.path("new.yaml")); !strings.Contains(said, `Ann's "own": #1 (`) {
		t.Errorf("validate: %s", said)
	}
	for _, name := range []string{"two\nlines", strings.Repeat("x", 201)} {
		if code, out, messages := ask(t, "task", "new", "--name="+name); code != exitNoStart || out != "" || !strings.Contains(messages, "--name") {
			t.Errorf("a task called %q: exit code %d, %s%s", name, code, out, messages)
		}
	}
}
