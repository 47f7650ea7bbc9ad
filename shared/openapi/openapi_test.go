package openapi_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"runhook/shared/openapi"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// description is what the tests need of the document.
type description struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Tags       []struct{ Name string }
	Components struct {
		Schemas map[string]schema
	}
}

type schema struct {
	Type       any
	Required   []string
	Properties map[string]schema
}

func read(t *testing.T) description {
	t.Helper()
	var doc description
	if err := json.Unmarshal(openapi.Document(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestSchemasHaveTheFieldsOfTheirTypes holds each schema against the Go type that is answered.
func TestSchemasHaveTheFieldsOfTheirTypes(t *testing.T) {
	schemas := read(t).Components.Schemas
	for name, of := range map[string]reflect.Type{
		"StatusDocument":  reflect.TypeFor[run.Document](),
		"RowError":        reflect.TypeFor[run.RowError](),
		"Waiting":         reflect.TypeFor[run.Waiting](),
		"ParameterOrigin": reflect.TypeFor[run.ParameterOrigin](),
		"Problem":         reflect.TypeFor[web.Problem](),
		"Fault":           reflect.TypeFor[web.Fault](),
	} {
		t.Run(name, func(t *testing.T) {
			want := fieldsOf(of)
			if name == "Problem" { // written by web beside the fields
				want["type"] = field{kind: "string", always: true}
			}
			got := schemas[name]
			if missing, surplus := differences(want, got.Properties); len(missing)+len(surplus) > 0 {
				t.Errorf("not described: %v; described and not there: %v", missing, surplus)
			}
			for member, f := range want {
				if required := slices.Contains(got.Required, member); required != f.always {
					t.Errorf("%s: required %v, want %v", member, required, f.always)
				}
				if described := typeOf(got.Properties[member]); f.kind != "" && described != f.kind {
					t.Errorf("%s: type %s, want %s", member, described, f.kind)
				}
			}
		})
	}
}

// field is a member as a Go type makes it.
type field struct {
	// kind is the JSON type, with "|null" where it may be null; empty where anything goes.
	kind string
	// always: the member is there in every document.
	always bool
}

func fieldsOf(of reflect.Type) map[string]field {
	fields := make(map[string]field)
	for f := range of.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch name {
		case "-":
			continue
		case "":
			name = f.Name
		}
		fields[name] = field{kind: jsonType(f.Type), always: options != "omitempty"}
	}
	return fields
}

func jsonType(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[run.Time](), of == reflect.TypeFor[time.Time]():
		return "string"
	case of == reflect.TypeFor[json.RawMessage]():
		return ""
	}
	switch of.Kind() {
	case reflect.Pointer:
		return jsonType(of.Elem()) + "|null"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	}
	return "unknown"
}

func typeOf(s schema) string {
	switch of := s.Type.(type) {
	case string:
		return of
	case []any:
		parts := make([]string, len(of))
		for i, part := range of {
			parts[i], _ = part.(string)
		}
		return strings.Join(parts, "|")
	}
	return ""
}

func differences[A, B any](want map[string]A, got map[string]B) (missing, surplus []string) {
	for name := range want {
		if _, ok := got[name]; !ok {
			missing = append(missing, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			surplus = append(surplus, name)
		}
	}
	return missing, surplus
}

// TestStatusDocumentsFitTheirSchema encodes a document of each phase and holds it against the schema.
func TestStatusDocumentsFitTheirSchema(t *testing.T) {
	compiled := compile(t)("StatusDocument")
	now := time.Now()
	queued := run.QueuedDocument(run.Request{
		Task: task.NewID(), Trigger: run.Webhook, RetryAfter: 30, CreatedOn: now,
		Parameters: task.Values{"FirstName": {From: task.FromRequest, Values: []string{"Ann"}}},
	}, 7)
	running := queued
	running.Begin(now, now, 1)
	running.Errors = []run.RowError{{Row: 3, Column: "Email", Message: "is not a valid address"}}
	documents := []run.Document{queued, running}
	for _, outcome := range []run.Outcome{run.Success, run.Failed, run.Canceled} {
		ended := running
		ended.End(outcome, "ended", now)
		documents = append(documents, ended)
	}
	for _, doc := range documents {
		body, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(instance); err != nil {
			t.Errorf("%s: %v", doc.StatusDescription, err)
		}
	}
}

// TestSchemasAreWellFormed compiles every schema, which also resolves what it refers to.
func TestSchemasAreWellFormed(t *testing.T) {
	compiled := compile(t)
	for name := range read(t).Components.Schemas {
		compiled(name)
	}
}

func compile(t *testing.T) func(name string) *jsonschema.Schema {
	t.Helper()
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return func(name string) *jsonschema.Schema {
		t.Helper()
		compiled, err := compiler.Compile("openapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
}

// TestReferencesAndNames checks what a schema compiler does not see of an OpenAPI document.
func TestReferencesAndNames(t *testing.T) {
	doc := read(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi %q, want 3.1", doc.OpenAPI)
	}
	var whole map[string]any
	if err := json.Unmarshal(openapi.Document(), &whole); err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	eachReference(whole, func(reference string) {
		used[reference] = true
		if !resolves(whole, reference) {
			t.Errorf("%s leads nowhere", reference)
		}
	})
	components, _ := whole["components"].(map[string]any)
	for kind, named := range components {
		named, _ := named.(map[string]any)
		for name := range named {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				t.Errorf("components/%s/%s is used nowhere", kind, name)
			}
		}
	}

	ids := make(map[string]bool)
	for path, item := range doc.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var operation struct {
				OperationID, Summary string
				Tags                 []string
				Responses            map[string]struct {
					Reference   string `json:"$ref"`
					Description string
				}
			}
			if err := json.Unmarshal(raw, &operation); err != nil {
				t.Fatal(err)
			}
			if operation.OperationID == "" || ids[operation.OperationID] {
				t.Errorf("%s %s: operationId %q is missing or there twice", method, path, operation.OperationID)
			}
			ids[operation.OperationID] = true
			if len(operation.Tags) != 1 || !slices.ContainsFunc(doc.Tags, func(tag struct{ Name string }) bool { return tag.Name == operation.Tags[0] }) {
				t.Errorf("%s %s: tags %v", method, path, operation.Tags)
			}
			if len(operation.Responses) == 0 {
				t.Errorf("%s %s has no responses", method, path)
			}
			for code, response := range operation.Responses {
				if response.Reference == "" && response.Description == "" {
					t.Errorf("%s %s: response %s has no description", method, path, code)
				}
			}
		}
	}
}

// TestPathParametersAreDescribed looks for {name} segments without a parameter of that name.
func TestPathParametersAreDescribed(t *testing.T) {
	for path, item := range read(t).Paths {
		var referred []struct {
			Reference string `json:"$ref"`
		}
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &referred); err != nil {
				t.Fatal(err)
			}
		}
		described := make(map[string]bool)
		for _, parameter := range referred {
			described[strings.ToLower(parameter.Reference[strings.LastIndexByte(parameter.Reference, '/')+1:])] = true
		}
		inPath := make(map[string]bool)
		for segment := range strings.SplitSeq(path, "/") {
			if strings.HasPrefix(segment, "{") {
				inPath[strings.Trim(segment, "{}")] = true
			}
		}
		if !maps.Equal(described, inPath) {
			t.Errorf("%s: parameters %v, want %v", path, described, inPath)
		}
	}
}

func eachReference(node any, visit func(string)) {
	switch node := node.(type) {
	case map[string]any:
		for name, child := range node {
			if reference, ok := child.(string); ok && name == "$ref" {
				visit(reference)
				continue
			}
			eachReference(child, visit)
		}
	case []any:
		for _, child := range node {
			eachReference(child, visit)
		}
	}
}

func resolves(whole map[string]any, reference string) bool {
	at := any(whole)
	for step := range strings.SplitSeq(strings.TrimPrefix(reference, "#/"), "/") {
		members, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = members[step]; !ok {
			return false
		}
	}
	return true
}
