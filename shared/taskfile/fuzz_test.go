package taskfile

import (
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
)

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		sample, string(NewFile("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "x")), "", "a: &a [*a]", "? {a: b}\n: c", "- - - ?", "\ufeff---\n...\n---\n",
		and(`where: 'params["x"] == row["y"]'`), with("[id]", "{id: }"), with("- name: FirstName", "- {filter: a.b, default: [[]]}"), "<<: *x", "a: !!binary x", fromSQL("select 1 where :FirstName"), fromHTTP("path: /x?y={params.FirstName}, next: {link: a.b}"), "\"\\x00\": 1",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		def, err := Parse(text, "fuzz.yaml")
		if err != nil {
			// YAML has more line breaks than one.
			breaks := strings.NewReplacer("\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(text))
			expectUsable(t, err, strings.Count(breaks, "\n")+1)
			return
		}
		// A definition that was accepted has everything that the services rely on.
		if id, err := task.ParseID(string(def.ID)); err != nil || id != def.ID {
			t.Errorf("the id is %q", def.ID)
		}
		if def.Name == "" || len(def.Mapping) == 0 || def.Source == nil || def.Destination == nil {
			t.Errorf("incomplete: %+v", def)
		}
		if def.Concurrency < 1 || def.MaxRowErrors < 0 || def.RetryAfter != 0 && def.RetryAfter < 1e9 || def.FailedStatus < 200 || len(def.Hash) != 64 {
			t.Errorf("out of bounds: %+v", def)
		}
		// Every key that the task shows is one that it takes.
		for _, key := range def.Keys() {
			if _, err := def.Resolve([]task.Given{{Key: key}}); err != nil && strings.Contains(err.Error(), "not a parameter") {
				t.Errorf("the task does not know its own key %q: %v", key, err)
			}
		}
		again, err := Parse(def.Text, "fuzz.yaml")
		if err != nil || !reflect.DeepEqual(def, again) {
			t.Errorf("read again: %+v, %v", again, err)
		}
	})
}

func expectUsable(t *testing.T, err error, lines int) {
	invalid, ok := err.(*Invalid)
	if !ok || len(invalid.Problems) == 0 {
		t.Fatalf("got %v", err)
	}
	for _, problem := range invalid.Problems {
		if problem.Line < 1 || problem.Line > lines || problem.Message == "" || problem.File != "fuzz.yaml" {
			t.Errorf("got %+v in a file of %d lines", problem, lines)
		}
	}
}
