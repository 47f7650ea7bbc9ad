package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"runhook/shared/taskfile"
)

func TestTaskSchemaAndFields(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(mustCall(t, "task", "schema")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("task.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	if _, err := compiler.Compile("task.schema.json"); err != nil {
		t.Error(err)
	}
	if page := mustCall(t, "task", "fields"); !bytes.Equal([]byte(page), taskfile.Reference()) {
		t.Errorf("fields: %.200s", page)
	}
}
