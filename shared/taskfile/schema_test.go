package taskfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"runhook/shared/task"
)

// compiledSchema is the schema of task files as an editor loads it.
var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	text, err := Schema()
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("task.schema.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("task.schema.json")
})

// bySchema is what the schema says of a task file.
func bySchema(t testing.TB, text string) error {
	t.Helper()
	schema, err := compiledSchema()
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	return schema.Validate(jsonValue(document.Content[0]))
}

// TestSchemaAccepts holds the schema against files that the parser takes.
func TestSchemaAccepts(t *testing.T) {
	files := map[string]string{
		"the sample":     sample,
		"a new file":     string(NewFile(task.NewID(), "x")),
		"numbers":        with("Refresh lapsed members", "2024") + "max_row_errors: 0\nconcurrency: 3\nfailed_status: 422\n",
		"a number as id": with("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "12345678123412341234123412345678"),
		"id in braces":   with("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", `"{555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD}"`),
		"seconds":        and("retry_after: 90"),
		"no seconds":     and("retry_after: auto"),
		"seconds, text":  and(`retry_after: "90"`),
		"a duration":     and("retry_after: 1m30s"),
		"time limits":    and("timeout: 2h\nstart_within: 90\nretry: {attempts: 1}"),
		"a duration, .5": and("retry_after: 1.5m"),
		"defaults":       with("- name: FirstName", "- {name: FirstName, multiple: true, default: [1, two, false], source_default: 60}"),
		"a filter":       with("- name: FirstName", "- filter: CsContact.FirstName"),
		"no parameters":  with("\n  - name: FirstName", " []"),
		"an empty where": and(`where: ""`),
		"constants":      with("id: ID", "id: 1\n  yes: true"),
		"former ids":     and("former_ids: [{id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01, until: 2031-01-31}, {id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c02, until: 2031-01-31T12:00:00.5+01:00}]"),
		"a webhook":      and("webhook: {id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01, former: [{id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c02, until: 2031-01-31}]}"),
		"an overlap":     and("overlap: cancel_running"),
		"a queue":        and("overlap: queue\nmax_queued: 3\nconcurrency: 2"),
		"a tab":          with("path: in.csv", `path: in.csv, delimiter: "\t"`),
		"words of nulls": with("path: in.csv", `path: in.csv, null: [NULL, "\\N", 0], escape: "\\", quote: none, header_row: 3`),
		"rejected rows":  and("rejected_rows: {columns: all, keep: 3650d, max: 1GiB}"),
		"a part of them": and("rejected_rows: {keep: 1m30s}"),
		"origins":        and("allow_origins: [https://example.org, '*']"),
		"a rate":         with("csv: {connection: drop, path: in.csv}", "csv: {connection: drop, path: in.csv}\n  rate: 200/s"),
	}
	shipped, err := filepath.Glob("../../cmd/runhook/demo/tasks/*.yaml")
	if err != nil || len(shipped) == 0 {
		t.Fatalf("no task files in the demo: %v", err)
	}
	for _, file := range shipped {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = string(text)
	}
	for name, text := range files {
		if _, err := Parse([]byte(text), name); err != nil {
			t.Errorf("the parser refuses %s: %v", name, err)
		}
		if err := bySchema(t, text); err != nil {
			t.Errorf("the schema refuses %s: %v", name, err)
		}
	}
}

// TestSchemaRefuses holds the schema against files that neither takes.
func TestSchemaRefuses(t *testing.T) {
	files := map[string]string{
		"an unknown field":             and("concurency: 2"),
		"a field to come":              and("notify: []"),
		"no id":                        strings.Replace(sample, "id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\n", "", 1),
		"an id that is none":           with("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "lapsed"),
		"an empty name":                with("Refresh lapsed members", `" "`),
		"a name of two lines":          with("Refresh lapsed members", `"a\nb"`),
		"a long name":                  with("Refresh lapsed members", strings.Repeat("x", 201)),
		"a name that is a list":        with("Refresh lapsed members", "[a]"),
		"no value":                     and("description:"),
		"a flag in words":              and("enabled: maybe"),
		"a flag in quotes":             and(`enabled: "true"`),
		"too few":                      and("concurrency: 0"),
		"a fraction":                   and("concurrency: 1.5"),
		"a number in quotes":           and(`concurrency: "2"`),
		"a choice that is none":        and("on_row_error: ignore"),
		"a duration that is none":      and("retry_after: soon"),
		"rows kept for ever":           and("rejected_rows: {keep: ever}"),
		"a size without a unit":        and("rejected_rows: {max: 1000}"),
		"no attempt at all":            and("retry: {attempts: 0}"),
		"no source":                    strings.Replace(sample, "source:\n  csv: {connection: drop, path: in.csv}\n", "", 1),
		"no kind of source":            with("\n  csv: {connection: drop, path: in.csv}", " {}"),
		"an unknown kind of source":    with("csv: {connection: drop, path: in.csv}", "cvs: {}"),
		"two kinds of destination":     with("\n  sql: {connection", "\n  csv: {connection: a, path: b, action: replace}\n  sql: {connection"),
		"a delimiter of two":           with("path: in.csv", `path: in.csv, delimiter: ";;"`),
		"a field missing in a section": with("path: in.csv", ""),
		"an empty mapping":             with("\n  id: ID\n  full_name: FirstName + \" \" + LastName", " {}"),
		"a mapping without expression": with("id: ID", `id: " "`),
		"a mapping of lists":           with("id: ID", "id: [ID]"),
		"a column without a name":      with("id: ID", `" ": ID`),
		"a list that is a text":        with("key: [id]", "key: id"),
		"name and filter":              with("- name: FirstName", "- {name: FirstName, filter: A.FirstName}"),
		"neither name nor filter":      with("- name: FirstName", "- {prompt: required}"),
		"a name with a dot":            with("- name: FirstName", "- name: CsContact.FirstName"),
		"a filter without a dot":       with("- name: FirstName", "- filter: FirstName"),
		"a former id without a date":   and("former_ids: [{id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01}]"),
		"a date that is none":          and("former_ids: [{id: 0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01, until: tomorrow}]"),
		"a former id that is none":     and("former_ids: [{id: x, until: 2031-01-31}]"),
		"a rate without a time":        with("csv: {connection: drop, path: in.csv}", "csv: {connection: drop, path: in.csv}\n  rate: 200"),
	}
	for name, text := range files {
		if text == sample {
			t.Errorf("%s: the sample has no such part", name)
		}
		if def, err := Parse([]byte(text), name); err == nil {
			t.Errorf("the parser takes %s: %+v", name, def)
		}
		if bySchema(t, text) == nil {
			t.Errorf("the schema takes %s", name)
		}
	}
}

// FuzzSchema looks for a file that the parser takes and an editor would mark.
func FuzzSchema(f *testing.F) {
	f.Add(sample)
	f.Add(string(NewFile("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "x")))
	f.Add(and("retry_after: 1h0.5m"))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Parse([]byte(text), "fuzz.yaml"); err != nil {
			return
		}
		if err := bySchema(t, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	})
}
