package deploy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The description for custom connectors is valid Swagger 2.0, and has what callers need and nothing of operators.
func TestDescriptionForConnectors(t *testing.T) {
	needPackages(t)
	s := start(t)
	text := fetch(t, s.url+"/openapi-2.json")
	validate(t, text, []byte(read(t, "examples/node_modules/swagger-schema-official/schema.json")))
	var described struct {
		Paths               map[string]map[string]struct{ OperationID string }
		SecurityDefinitions map[string]any
		Definitions         map[string]any
	}
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range described.Paths {
		for _, operation := range item {
			names = append(names, operation.OperationID)
		}
	}
	slices.Sort(names)
	if want := []string{"cancelRun", "cancelRunByStatus", "dryRun", "execute", "executePolling", "pollRun", "rejectedRows"}; !slices.Equal(names, want) {
		t.Errorf("operations %v, want %v", names, want)
	}
	if ways := slices.Collect(maps.Keys(described.SecurityDefinitions)); !slices.Equal(ways, []string{"callerKey"}) {
		t.Errorf("a connector authenticates in one way, and these are described: %v", ways)
	}
	for name := range described.Definitions {
		if !bytes.Contains(text, []byte(`"#/definitions/`+name+`"`)) {
			t.Errorf("%s is used nowhere", name)
		}
	}
	for rest := string(text); ; {
		_, after, found := strings.Cut(rest, `"$ref": "`)
		if !found {
			break
		}
		reference, _, _ := strings.Cut(after, `"`)
		if described.Definitions[strings.TrimPrefix(reference, "#/definitions/")] == nil {
			t.Errorf("%s leads nowhere", reference)
		}
		rest = after
	}
}

// A final document, which is also an event's, fits the schema that stands at an address of its own.
func TestSchemaOfTheStatusDocument(t *testing.T) {
	s := start(t)
	request, err := http.NewRequest(http.MethodPost, s.url+"/task/executepolling/"+sampleTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=60")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	final, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer.Status, err)
	}
	schema := fetch(t, s.url+"/status-document.schema.json")
	validate(t, final, schema)
	if compiled := compile(t, schema); compiled.Validate(map[string]any{"Status": "D"}) == nil {
		t.Error("the schema takes a document without members")
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s: %s %v", url, answer.Status, err)
	}
	return text
}

func compile(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func validate(t *testing.T, text, schema []byte) {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, schema).Validate(instance); err != nil {
		t.Error(err)
	}
}
