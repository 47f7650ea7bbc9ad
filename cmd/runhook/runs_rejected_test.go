package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"runhook/shared/client"
)

// What a run rejected is downloaded, repaired, and read by the same task again.
func TestRunsRejected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", strings.NewReplacer("path: people.csv", `path: people.csv, delimiter: ";"`).Replace(read(t, s.path("tasks/copy.yaml")))+"rejected_rows: {columns: all}\n")
	s.write("people.csv", "id;name;city\n1;Ann;\n;=Ben;Rome\n3;\"Cleo;Ö\";\n;Dora;\n")
	i := begin(t, s.args()...).listening()
	copied := func() client.Started {
		t.Helper()
		started := i.start(s.copy, nil)
		i.awaitEnd(started)
		return started
	}
	first := copied().Number.String()
	if code, out, messages := ask(t, "runs", "show", first, "--server", i.url); code != 0 || !strings.Contains(out, "`runhook runs rejected "+first+"`") {
		t.Errorf("exit code %d, %s%s", code, out, messages)
	}
	rejected := mustCall(t, "runs", "rejected", first, "--server", i.url)
	if lines := strings.Split(rejected, "\n"); len(lines) != 4 || !strings.HasSuffix(lines[0], ";Row;Column;Reason") ||
		lines[1] != ";=Ben;Rome;2;id;must not be empty: it is the key" {
		t.Fatalf("rejected\n%s", rejected)
	}

	// As they are they fail again; repaired they pass.
	out := s.path("people.csv")
	whole := read(t, out)
	if code, _, messages := ask(t, "runs", "rejected", first, "--server", i.url, "--output", out); code == 0 || !oneLine(messages, "people.csv has other rows than failed ones") || read(t, out) != whole {
		t.Errorf("exit code %d, %s; the source is\n%s", code, messages, read(t, out))
	}
	// A file of other rows, such as the one that the task reads, is not replaced at all.
	mustCall(t, "runs", "rejected", first, "--server", i.url, "--output", s.path("rejected.xlsx"))
	s.write("book.csv", string(read(t, s.path("rejected.xlsx"))))
	s.write("empty.csv", "")
	s.write("notes.txt", "Row, Column and Reason\n")
	s.write("zipped.csv", "PK\x03\x04 nothing in it")
	for name, replaced := range map[string]bool{"people.csv": false, "notes.txt": false, "zipped.csv": false, "empty.csv": true, "book.csv": true, "rejected.xlsx": true} {
		before := read(t, s.path(name))
		code, _, messages := ask(t, "runs", "rejected", first, "--server", i.url, "--output", s.path(name), "--force")
		if replaced != (code == 0) || !replaced && (!oneLine(messages, name+" has other rows than failed ones") || read(t, s.path(name)) != before) {
			t.Errorf("%s: exit code %d, %s", name, code, messages)
		}
	}
	if got := read(t, s.path("book.csv")); got != rejected {
		t.Errorf("saved\n%s", got)
	}
	if code, _, messages := ask(t, "runs", "rejected", first, "--server", i.url, "--output", s.path("book.csv")); code == 0 || !oneLine(messages, "is there already, and stays as it is; give another name, or replace it with --force") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	s.write("people.csv", rejected)
	again := copied()
	if got := mustCall(t, "runs", "rejected", again.Number.String(), "--server", i.url); !strings.Contains(got, ";Row;Column;Reason;Row 2;Column 2;Reason 2\n;=Ben;") {
		t.Errorf("rejected again\n%s", got)
	}
	s.write("people.csv", strings.NewReplacer("\n;=Ben", "\n2;=Ben", "\n;Dora", "\n4;Dora").Replace(rejected))
	passed := copied()
	if code, _, messages := ask(t, "runs", "rejected", passed.Number.String(), "--server", i.url); code == 0 || !strings.Contains(messages, "No row of this run failed") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	if got := s.people(); !strings.Contains(got, "=Ben") || !strings.Contains(got, "Dora") {
		t.Errorf("the table has %s", got)
	}

	// The workbook is read by the same task, too.
	s.write("tasks/copy.yaml", strings.Replace(read(t, s.path("tasks/copy.yaml")), `path: people.csv, delimiter: ";"`, "path: people.xlsx", 1))
	mustCall(t, "runs", "rejected", first, "--server", i.url, "--output", s.path("people.xlsx"))
	if info, err := os.Stat(s.path("people.xlsx")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var fromBook client.Started
	for fromBook.Number == 0 || i.awaitEnd(fromBook).RowsFailed != 2 {
		fromBook = copied() // until the edited task is in force
	}
	if got := mustCall(t, "runs", "rejected", fromBook.Number.String(), "--server", i.url); !strings.Contains(got, "\n,=Ben,") {
		t.Errorf("rejected from the workbook\n%s", got)
	}

	for _, c := range []struct{ args, says string }{
		{"99", "Run 99 does not exist"},
		{"x", "is not a run number"},
		{first + " --output " + s.path("nowhere/x.csv"), "cannot write into the folder of"},
	} {
		code, _, messages := ask(t, append([]string{"runs", "rejected", "--server", i.url}, strings.Fields(c.args)...)...)
		if code == 0 || !strings.Contains(messages, c.says) {
			t.Errorf("%s: exit code %d, %s", c.args, code, messages)
		}
	}
}

// A download that breaks off leaves the file that was there.
func TestRunsRejectedThatBreaksOff(t *testing.T) {
	t.Parallel()
	server := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ID,Row\n1,1\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	defer server.Close()
	out := t.TempDir() + "/rows.csv"
	if err := os.WriteFile(out, []byte("ID,Row,Column,Reason\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, messages := ask(t, "runs", "rejected", "7", "--server", server.URL, "--output", out, "--force")
	if code == 0 || !strings.Contains(messages, "no answer from the server") || read(t, out) != "ID,Row,Column,Reason\n" {
		t.Errorf("exit code %d, %s; the file is %s", code, messages, read(t, out))
	}
	if entries, err := os.ReadDir(out[:len(out)-len("/rows.csv")]); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}
