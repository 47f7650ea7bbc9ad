package taskfile

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"runhook/shared/task"
	"runhook/shared/wording"
)

func draft(columns ...string) Draft {
	return Draft{
		ID: task.NewID(), Name: "Members", Columns: columns,
		Source:      &task.CSVSource{Connection: "drop", Path: "in/members 2031.csv", Delimiter: ';', Encoding: "windows-1252"},
		Destination: &task.SQLDestination{Connection: "warehouse", Table: "members", Action: task.Insert, Create: true},
	}
}

func TestDraftIsATask(t *testing.T) {
	d := draft(
		"id", "Member Type", "Größe", "date", "in", "row", "true", "no", "y", "a: b", "a #b", `say "hi"`, "it's", "1st", "-", "a,b", "{x}", "ID", "Id",
		"*", "back\\slash", "end:", "a.b", "?", "params", "%", "null", "nil", "[x]", "#", "&a", "!t", "@", "`", "|",
	)
	def, err := Parse(d.File(), "draft.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, d.File())
	}
	if def.ID != d.ID || def.Name != d.Name || !reflect.DeepEqual(def.Source, d.Source) || def.Destination.(*task.SQLDestination).Table != "members" || !def.Destination.(*task.SQLDestination).Create {
		t.Errorf("%+v\n%s", def, d.File())
	}
	var names []string
	for _, column := range def.Mapping {
		names = append(names, column.Name)
	}
	want := slices.Clone(d.Columns)
	want[slices.Index(want, "ID")], want[slices.Index(want, "Id")] = "ID_2", "Id_3"
	if !slices.Equal(names, want) {
		t.Errorf("columns %q, want %q", names, want)
	}
	for i, expression := range []string{"id", `row["Member Type"]`} {
		if def.Mapping[i].Expression != expression {
			t.Errorf("%s is read by %s", def.Mapping[i].Name, def.Mapping[i].Expression)
		}
	}
	if def.Mapping[2].Expression != `row["Größe"]` || def.Mapping[5].Expression != `row["row"]` {
		t.Errorf("%+v", def.Mapping[:6])
	}
}

func TestDraftOfTables(t *testing.T) {
	d := draft("id", "name")
	d.Source = &task.SQLSource{Connection: "crm", Query: `select * from "old members"`}
	d.Destination.(*task.SQLDestination).Key, d.Destination.(*task.SQLDestination).Action = []string{"id"}, task.Upsert
	def, err := Parse(d.File(), "draft.yaml")
	if err != nil || def.Source.(*task.SQLSource).Query != d.Source.(*task.SQLSource).Query || !slices.Equal(def.Destination.(*task.SQLDestination).Key, []string{"id"}) {
		t.Errorf("%v\n%s", err, d.File())
	}
	d.Destination = &task.CSVDestination{Connection: "drop", Path: "out.csv", Action: task.Replace}
	if def, err = Parse(d.File(), "draft.yaml"); err != nil || def.Destination.(*task.CSVDestination).Path != "out.csv" {
		t.Errorf("%v\n%s", err, d.File())
	}
}

// FuzzDraft looks for a column's name that breaks the file.
func FuzzDraft(f *testing.F) {
	f.Add("Member Type", "x")
	f.Add("a: b", "'")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{a, b} {
			if strings.TrimSpace(name) != name || name == "" || strings.ContainsFunc(name, wording.IsControl) || strings.ToValidUTF8(name, "") != name || strings.ContainsRune(name, '\ufeff') {
				return // no source has such a column
			}
		}
		if strings.EqualFold(a, b) {
			return
		}
		def, err := Parse(draft(a, b).File(), "draft.yaml")
		if err != nil || def.Mapping[0].Name != a || def.Mapping[1].Name != b {
			t.Errorf("%v\n%s", err, draft(a, b).File())
		}
	})
}
