package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestTaskPreview(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, connections := s.path("tasks/copy.yaml"), s.path("connections.yaml")
	want := "ROW  id  name\n1    1   Ann\n3    3   Cy\n\nRead all 3 rows of the source: 2 to write, 1 skipped by where, 0 failed. Nothing was written.\n"
	if got := mustCall(t, "task", "preview", file, "-p", "city=Oslo", "--connections", connections); got != want {
		t.Errorf("got\n%s", got)
	}
	s.write("people.csv", "id,name,city\n1,\"A\x1b[2J\tnn\",Oslo\n2,Ben\n3,"+strings.Repeat("ä", 50)+",Rome\n4,Dan,Rome\n")
	want = "ROW  id  name\n1    1   A\\x1b[2J\\tnn\n3    3   " + strings.Repeat("ä", 40) + "…\n\n" +
		"Read the first 3 rows: 2 to write, 0 skipped by where, 1 failed. Nothing was written.\n  row 2 (line 3): "
	if got := mustCall(t, "task", "preview", file, "--rows", "2", "--connections", connections); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s", got)
	}

	var sample struct {
		Rows []struct {
			Row    int64
			Values map[string]any
		}
		RowsRetrieved, RowsFailed int64
		End                       bool
		Errors                    []struct{ Row int64 }
	}
	if err := json.Unmarshal([]byte(mustCall(t, "task", "preview", file, "--json", "--connections", connections)), &sample); err != nil {
		t.Fatal(err)
	}
	if len(sample.Rows) != 3 || sample.Rows[2].Values["name"] != "Dan" || sample.RowsRetrieved != 4 || sample.RowsFailed != 1 || !sample.End || sample.Errors[0].Row != 2 {
		t.Errorf("%+v", sample)
	}
	if _, err := os.Stat(s.path("site.db")); err == nil {
		t.Error("the destination was made")
	}

	for _, wrong := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{file}, exitFailed, "--connections names the file"},
		{[]string{file, "--connections", connections, "-p", "Citty=Oslo"}, exitNoStart, "did you mean City?"},
		{[]string{file, "--connections", connections, "--rows", "0"}, exitNoStart, "--rows must be at least 1, not 0"},
		{[]string{s.path("none.yaml")}, exitFailed, "none.yaml"},
		{[]string{s.dir}, exitFailed, "connections.yaml"},
	} {
		if code, out, messages := ask(t, append([]string{"task", "preview"}, wrong.args...)...); code != wrong.code || out != "" || !strings.Contains(messages, wrong.says) {
			t.Errorf("%v: exit code %d, %s%s", wrong.args, code, out, messages)
		}
	}
}
