package status_test

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"runhook/shared/openapi"
)

// schemas compiles the schemas of /openapi.json.
var schemas = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler, compiler.AddResource("openapi.json", document)
})

// compiling guards the compiler, which tests in parallel share.
var compiling sync.Mutex

// conforms holds an answer against a schema of the API's description, and fails on members that the
// schema does not have.
func conforms(t testing.TB, name string, body []byte) {
	t.Helper()
	compiling.Lock()
	defer compiling.Unlock()
	compiler, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := schema.Validate(answer); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	for member := range members {
		if _, ok := schema.Properties[member]; !ok {
			t.Errorf("%s has no member %s", name, member)
		}
	}
}
