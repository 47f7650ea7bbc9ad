package task_test

import (
	"reflect"
	"testing"

	"runhook/shared/task"
)

// sharing has two filters on one column, a list, and a name that is no identifier.
const sharingParameters = `{filter: CsContact1.ImisId}, {filter: CsContact2.ImisId}, {filter: CsContact.FirstName}, {name: Member Type, multiple: true}`

func TestKeysAreQualifiedWhereColumnsAreShared(t *testing.T) {
	def := parameterized(t, sharingParameters)
	want := []string{"CsContact1.ImisId", "CsContact2.ImisId", "FirstName", "Member Type"}
	if got := def.Keys(); !reflect.DeepEqual(got, want) {
		t.Errorf("keys: got %q, want %q", got, want)
	}
	if got, want := def.ExpressionNames(), append(want, "CsContact.FirstName"); !reflect.DeepEqual(got, want) {
		t.Errorf("names in expressions: got %q, want %q", got, want)
	}
}

func TestTemplate(t *testing.T) {
	for parameters, want := range map[string]string{
		"":                                     `{"QueryParameters":{}}`,
		"{name: FirstName}, {name: 'a\"<&>é'}": `{"QueryParameters":{"FirstName":"","a\"<&>é":""}}`,
		sharingParameters:                      `{"QueryParameters":{"CsContact1.ImisId":"","CsContact2.ImisId":"","FirstName":"","Member Type":[]}}`,
	} {
		if got := string(parameterized(t, parameters).Template()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestExpressionParamsHaveEveryName(t *testing.T) {
	def := parameterized(t, sharingParameters)
	values, err := def.Resolve([]task.Given{str("CsContact1.ImisId", "7"), str("FirstName", "Ann")})
	if err != nil {
		t.Fatal(err)
	}
	got := def.ExpressionParams(values)
	want := map[string]any{
		"CsContact1.ImisId": "7", "CsContact2.ImisId": "",
		"FirstName": "Ann", "CsContact.FirstName": "Ann", "Member Type": []string{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	for _, name := range def.ExpressionNames() {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is promised to expressions and not given", name)
		}
	}
}
