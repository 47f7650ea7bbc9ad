package main

import (
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// A task is made of what iMIS says of an IQA; it is valid, passes its check, and copies the rows.
func TestNewTaskFromAnIQA(t *testing.T) {
	s := newIMISSite(t)
	t.Chdir(s.dir)
	columns := []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Member Type", Type: "String"}}
	row := func(i int) []any { return []any{i + 1, "Full"} }
	odd := func(names ...string) (all []imissite.Prompt) {
		for _, name := range names {
			all = append(all, imissite.Prompt{Property: name, Column: "Member Type"})
		}
		return all
	}
	s.imis.SetQueries(
		imissite.Query{Path: "$/A folder/Odd & new", Columns: columns, Count: 2, Row: row, Prompts: odd("Limit", "CsContact.State", "State", "", "no: yes")},
		imissite.Query{Path: "$/Labeled", Columns: columns, Count: 2, Row: row, Prompts: []imissite.Prompt{
			{Property: "Member Type", Label: "From", Column: "Member Type"}, {Property: "Member Type", Label: "To", Column: "Member Type", Required: true},
		}},
		imissite.Query{Path: "$/Plain", Columns: columns, Count: 2, Row: row},
	)
	for _, c := range []struct {
		path       string
		endpoint   task.Endpoint
		parameters []string // keys, ! behind those that are required
		columns    int
	}{
		{"$/Members", task.QueryEndpoint, []string{"State", "FullName"}, 6},
		{"$/Required", task.QueryEndpoint, []string{"State!", "FullName"}, 6},
		{"$/Twice", task.IQAEndpoint, []string{"Prompt1.State", "FullName", "Prompt3.State"}, 6},
		{"$/Labeled", task.QueryEndpoint, []string{"From", "To!"}, 2},
		{"$/Empty", task.QueryEndpoint, nil, 6},
		{"$/Plain", task.QueryEndpoint, nil, 2},
		{"$/A folder/Odd & new", task.IQAEndpoint, []string{"Limit", "Prompt2.State", "Prompt3.State", "Prompt4", "no: yes"}, 2},
	} {
		said := mustCall(t, "task", "new", "--from-iqa", "prod", c.path, "--to", "db.copied", "--key", "ID", "--out", "made.yaml", "--force")
		def, err := taskfile.ReadFile("made.yaml")
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		var keys, give []string
		for i, parameter := range def.Parameters {
			key := def.Key(i)
			if parameter.Required {
				give = append(give, "-p", key+"=CA")
				if !strings.Contains(said, "-p "+key+"=VALUE") {
					t.Errorf("%s: %s", c.path, said)
				}
				key += "!"
			}
			keys = append(keys, key)
		}
		to := def.Destination.(*task.SQLDestination)
		if def.Source.(*task.IMISSource).Query != c.path || def.Source.(*task.IMISSource).Connection != "prod" || def.Source.(*task.IMISSource).Endpoint != c.endpoint || !slices.Equal(keys, c.parameters) || len(def.Mapping) != c.columns ||
			to.Table != "copied" || !slices.Equal(to.Key, []string{"ID"}) || to.Action != task.Upsert || !to.Create {
			t.Errorf("%s:\n%s", c.path, def.Text)
		}
		mustCall(t, "task", "validate", "made.yaml")
		out := mustCall(t, append([]string{"task", "check", "made.yaml"}, give...)...)
		if !strings.HasSuffix(out, "): nothing is wrong\n") {
			t.Errorf("%s: %s\n%s", c.path, out, def.Text)
		}
	}

	mustCall(t, "task", "new", "--from-iqa", "prod", "$/Required", "--out", "tasks/required.yaml")
	i := begin(t, s.args()...).listening()
	defer i.end()
	if doc := i.awaitEnd(i.start(i.task(t, "Required"), map[string][]string{"State": {"CA"}})); doc.Outcome() != run.Success || doc.RowsInserted != 3 {
		t.Errorf("%+v", doc)
	}
	if got := names(t, s.openFile("site.db"), `select "Full Name" from required order by "ID"`); got != "Ann 1,Ann 2,Ann 3" {
		t.Errorf("the table has %s", got)
	}
}

// What a person has to decide stands in the file.
func TestNewTaskFromAnIQASaysWhatToDecide(t *testing.T) {
	s := newIMISSite(t)
	t.Chdir(s.dir)
	for path, says := range map[string][]string{
		"$/Required": {"# The IQA requires a value: a POST without one is refused.", "  - {name: State, prompt: required}\n  - name: FullName\n", "# Every run adds all rows."},
		"$/Twice":    {"do not tell them apart, so their values go by position", "endpoint: iqa}"},
	} {
		text := mustCall(t, "task", "new", "--from-iqa", "prod", path, "--out", "-")
		for _, part := range says {
			if !strings.Contains(text, part) {
				t.Errorf("%s:\n%swant %s", path, text, part)
			}
		}
	}
}

func TestNewTaskFromAnIQARefuses(t *testing.T) {
	s := newIMISSite(t)
	t.Chdir(s.dir)
	for args, says := range map[string]string{
		"--from-iqa prod":                           "needs the path of an IQA behind it, as in --from-iqa prod '$/Membership/Lapsed'",
		"--from-iqa prod Members":                   "needs the path of an IQA behind it",
		"$/Members":                                 `"$/Members": only the path of an IQA stands alone, behind --from-iqa CONNECTION`,
		"--from-iqa prod $/Members --from-csv x":    "a task has one source",
		"--from-iqa prod $/Membrs":                  "--from-iqa prod $/Membrs: there is no IQA $/Membrs on the site of connection prod",
		"--from-iqa prod $/Hidden":                  "is not available through the REST API",
		"--from-iqa db $/Members":                   "is of kind sqlite; the task needs one of kind imis",
		"--from-iqa prod $/Members --key id":        "there is no such column; did you mean ID?",
		"--from-iqa prod $/Members --connections x": "there is no file x",
	} {
		if code, out, messages := ask(t, append([]string{"task", "new"}, strings.Fields(args)...)...); code != exitNoStart || out != "" || !oneLine(messages, says) {
			t.Errorf("%s: %d %s%s", args, code, out, messages)
		}
	}
	s.connect(s.url, "wrong-SECRET")
	for range 2 {
		if code, out, messages := ask(t, "task", "new", "--from-iqa", "prod", "$/Members"); code != exitNoStart || out != "" || !oneLine(messages, "refuses its username and password") || strings.Contains(messages, "SECRET") {
			t.Errorf("%d %s%s", code, out, messages)
		}
	}
}
