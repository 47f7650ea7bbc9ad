package task_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// parameterized is a task with these parameters, in YAML.
func parameterized(t testing.TB, parameters ...string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse([]byte("id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: x\nparameters: ["+strings.Join(parameters, ", ")+"]\n"+
		"source: {csv: {connection: c, path: p}}\nmapping: {id: ID}\ndestination: {csv: {connection: c, path: q, action: replace}}\n"), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func str(key, value string) task.Given {
	return task.Given{key, task.GivenValue{Kind: task.GivenString, Text: value}}
}
func null(key string) task.Given { return task.Given{key, task.GivenValue{Kind: task.GivenNull}} }
func array(key string, items ...task.GivenValue) task.Given {
	return task.Given{key, task.GivenValue{Kind: task.GivenArray, Items: items}}
}

func item(value string) task.GivenValue { return task.GivenValue{Kind: task.GivenString, Text: value} }

func TestResolve(t *testing.T) {
	ask := func(given ...task.Given) []task.Given { return given }
	from := func(origin task.Origin, values ...string) task.Value { return task.Value{Values: values, From: origin} }
	list := func(origin task.Origin, values ...string) task.Value {
		return task.Value{Values: values, From: origin, Multiple: true}
	}
	tests := []struct {
		name       string
		parameters string
		given      []task.Given
		want       task.Values
	}{
		{"the request's value", "{name: A, default: task}", ask(str("A", "request")), task.Values{"A": from(task.FromRequest, "request")}},
		{"the task's where there is none", "{name: A, default: task}", nil, task.Values{"A": from(task.FromTask, "task")}},
		{"the task's for null", "{name: A, default: task}", ask(null("A")), task.Values{"A": from(task.FromTask, "task")}},
		{"the task's for an empty text", "{name: A, default: task}", ask(str("A", "")), task.Values{"A": from(task.FromTask, "task")}},
		{"the source's own, which is not known here", "{name: A}", nil, task.Values{"A": from(task.FromSource)}},
		{"the source's own for an empty default", `{name: A, default: ""}`, nil, task.Values{"A": from(task.FromSource)}},
		{"the source's own as the task knows it", "{name: A, source_default: source}", nil, task.Values{"A": from(task.FromSource, "source")}},
		{"the task's before the source's", "{name: A, default: task, source_default: source}", nil, task.Values{"A": from(task.FromTask, "task")}},
		{"required, by the request", "{name: A, prompt: required}", ask(str("A", "x")), task.Values{"A": from(task.FromRequest, "x")}},
		{"required, by the task", "{name: A, prompt: required, default: task}", ask(null("A")), task.Values{"A": from(task.FromTask, "task")}},
		{"required, by the source", "{name: A, prompt: required, source_default: s}", nil, task.Values{"A": from(task.FromSource, "s")}},
		{"a blank is a value", "{name: A, default: task}", ask(str("A", " ")), task.Values{"A": from(task.FromRequest, " ")}},
		{
			"a number, digit for digit", "{name: A}", ask(task.Given{"A", task.GivenValue{Kind: task.GivenNumber, Text: "9007199254740993.10"}}),
			task.Values{"A": from(task.FromRequest, "9007199254740993.10")},
		},
		{"a boolean", "{name: A}", ask(task.Given{"A", task.GivenValue{Kind: task.GivenBool, Text: "false"}}), task.Values{"A": from(task.FromRequest, "false")}},
		{"an array", "{name: A, multiple: true}", ask(array("A", item("x"), task.GivenValue{Kind: task.GivenNumber, Text: "1"})), task.Values{"A": list(task.FromRequest, "x", "1")}},
		{"an array without its empty elements", "{name: A, multiple: true}", ask(array("A", item(""), item("x"), task.GivenValue{})), task.Values{"A": list(task.FromRequest, "x")}},
		{"an empty array is no value", "{name: A, multiple: true, default: [d, e]}", ask(array("A")), task.Values{"A": list(task.FromTask, "d", "e")}},
		{"one value where several may be", "{name: A, multiple: true, default: d}", ask(str("A", "x")), task.Values{"A": list(task.FromRequest, "x")}},
		{"a key in another letter case", "{name: FirstName}", ask(str("FIRSTNAME", "x")), task.Values{"FirstName": from(task.FromRequest, "x")}},
		{"the column of a filter", "{filter: CsContact.FirstName}", ask(str("firstName", "x")), task.Values{"FirstName": from(task.FromRequest, "x")}},
		{"the qualified name of a filter", "{filter: CsContact.FirstName}", ask(str("cscontact.firstname", "x")), task.Values{"FirstName": from(task.FromRequest, "x")}},
		{
			"two filters on one column", "{filter: CsContact1.ImisId}, {filter: CsContact2.ImisId}, {name: ID}",
			ask(str("CsContact2.imisid", "2"), str("CsContact1.ImisId", "1")),
			task.Values{"CsContact1.ImisId": from(task.FromRequest, "1"), "CsContact2.ImisId": from(task.FromRequest, "2"), "ID": from(task.FromSource)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parameterized(t, tt.parameters).Resolve(tt.given)
			if err != nil {
				t.Fatal(err)
			}
			// Through JSON, as a request message carries them.
			if stored := reread(t, got); !reflect.DeepEqual(stored, reread(t, tt.want)) {
				t.Errorf("got %+v, want %+v", stored, tt.want)
			}
		})
	}
}

func reread(t *testing.T, v task.Values) (stored task.Values) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestResolveRefuses(t *testing.T) {
	tests := []struct {
		name       string
		parameters string
		given      []task.Given
		want       string
	}{
		{
			"an unknown parameter", "{name: FirstName}, {name: LastName}",
			[]task.Given{str("Colour", "x")},
			`"Colour" is not a parameter of this task; its parameters are FirstName, LastName`,
		},
		{
			"a misspelled parameter", "{name: FirstName}, {name: LastName}",
			[]task.Given{str("FristName", "x")},
			`"FristName" is not a parameter of this task; did you mean FirstName? Its parameters are FirstName, LastName`,
		},
		{
			"a parameter where there are none", "",
			[]task.Given{null("FirstName")},
			`"FirstName" is not a parameter of this task, which has none`,
		},
		{
			"a wrong qualified name", "{filter: CsContact.FirstName}",
			[]task.Given{str("CsContac.FirstName", "x")},
			`"CsContac.FirstName" is not a parameter of this task; did you mean CsContact.FirstName? Its parameters are FirstName`,
		},
		{
			"an ambiguous name", "{filter: CsContact1.ImisId}, {filter: CsContact2.ImisId}",
			[]task.Given{str("imisid", "x")},
			`"imisid" is ambiguous; send CsContact1.ImisId or CsContact2.ImisId`,
		},
		{
			"two keys equal but for case", "{name: FirstName}",
			[]task.Given{str("FirstName", "x"), str("firstname", "x")},
			`"FirstName" and "firstname" are both the parameter FirstName; send one of them`,
		},
		{
			"a key twice", "{name: A}",
			[]task.Given{null("A"), str("A", "x")},
			`"A" and "A" are both the parameter A; send one of them`,
		},
		{
			"a bare and a qualified key", "{filter: CsContact.FirstName}",
			[]task.Given{str("FirstName", "x"), str("CsContact.FirstName", "x")},
			`"FirstName" and "CsContact.FirstName" are both the parameter FirstName; send one of them`,
		},
		{
			"an array where one value is meant", "{name: A}",
			[]task.Given{array("A", item("x"))},
			"A takes one value, not an array",
		},
		{
			"an object", "{name: A}",
			[]task.Given{{"a", task.GivenValue{Kind: task.GivenObject}}},
			"A cannot be an object; send text, a number, true, false or null",
		},
		{
			"an array in an array", "{name: A, multiple: true}",
			[]task.Given{array("A", task.GivenValue{Kind: task.GivenArray})},
			"A takes an array of single values, without arrays or objects in it",
		},
		{
			"an object in an array", "{name: A, multiple: true}",
			[]task.Given{array("A", task.GivenValue{Kind: task.GivenObject})},
			"A takes an array of single values, without arrays or objects in it",
		},
		{
			"a required parameter without value", "{name: A, prompt: required}, {name: B, prompt: required}",
			[]task.Given{str("A", "")},
			"A is required and has no value; B is required and has no value",
		},
		{
			"a required list without value", `{name: A, prompt: required, multiple: true, default: [""]}`,
			[]task.Given{array("A", item(""))},
			"A is required and has no value",
		},
		{
			"everything at once", "{name: A, prompt: required}, {name: B, prompt: required}",
			[]task.Given{str("C", "x"), array("B", item("x"))},
			`"C" is not a parameter of this task; its parameters are A, B; B takes one value, not an array; A is required and has no value`,
		},
		{
			"a long key", "{name: A}",
			[]task.Given{str(strings.Repeat("é", 1000), "x")},
			`"` + strings.Repeat("é", 60) + `…" is not a parameter of this task; its parameters are A`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			values, err := parameterized(t, tt.parameters).Resolve(tt.given)
			if err == nil {
				t.Fatalf("accepted: %+v", values)
			}
			if err.Error() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", err, tt.want)
			}
		})
	}
}

func TestResolveNamesTheParameterOfEachProblem(t *testing.T) {
	_, err := parameterized(t, "{name: A, prompt: required}, {name: B}").Resolve([]task.Given{array("b"), str("nope", "secret")})
	wrong, ok := err.(*task.ParameterError)
	if !ok {
		t.Fatalf("got %T, want a *ParameterError", err)
	}
	var keys []string
	for _, problem := range wrong.Problems {
		keys = append(keys, problem.Parameter)
	}
	if want := []string{"b", "nope", "A"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a value: %v", err)
	}
}

func TestResolveBoundsItsAnswer(t *testing.T) {
	given := make([]task.Given, 1000)
	for i := range given {
		given[i] = str("wrong", "x")
	}
	_, err := parameterized(t, "{name: A}").Resolve(given)
	wrong, ok := err.(*task.ParameterError)
	if !ok || len(wrong.Problems) != 20 || wrong.More != 980 {
		t.Fatalf("got %v", err)
	}
	if !strings.HasSuffix(err.Error(), "; and 980 more") {
		t.Errorf("the error does not say how many more there are: …%s", err.Error()[len(err.Error())-40:])
	}
}

func TestHashTellsRequestsApart(t *testing.T) {
	def := parameterized(t, "{filter: T.A, default: x}, {name: B, multiple: true}, {name: C}")
	edited := parameterized(t, "{filter: T.A, default: y}, {name: B, multiple: true}, {name: C, source_default: z}")
	hash := func(d *task.Definition, given ...task.Given) string {
		t.Helper()
		values, err := d.Resolve(given)
		if err != nil {
			t.Fatal(err)
		}
		stored := reread(t, values)
		if values.Hash() != stored.Hash() {
			t.Errorf("the hash changes when %v is stored", values)
		}
		return values.Hash()
	}
	same := map[string][2]string{
		"nothing, under edited defaults": {hash(def), hash(edited)},
		"nothing and empty":              {hash(def), hash(def, null("A"), array("B"), str("C", ""))},
		"order and spelling of keys":     {hash(def, str("A", "1"), str("C", "2")), hash(def, str("c", "2"), str("t.a", "1"))},
		"a number and its digits":        {hash(def, str("A", "1")), hash(def, task.Given{"A", task.GivenValue{Kind: task.GivenNumber, Text: "1"}})},
		"one value and a list of it":     {hash(def, str("B", "1")), hash(def, array("B", item("1")))},
	}
	for name, pair := range same {
		if pair[0] != pair[1] {
			t.Errorf("%s: the hashes differ", name)
		}
	}
	different := map[string]string{}
	for name, h := range map[string]string{
		"nothing": hash(def), "the default, given": hash(def, str("A", "x")), "another value": hash(def, str("A", "xx")),
		"another parameter": hash(def, str("C", "x")), "a list": hash(def, array("B", item("x"), item("y"))),
		"the list in another order": hash(def, array("B", item("y"), item("x"))), "joined": hash(def, array("B", item("xy"))),
	} {
		if other, again := different[h]; again {
			t.Errorf("%s and %s have one hash", name, other)
		}
		different[h] = name
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("FirstName", "x", "firstname", "y", byte(0x11))
	f.Add("ImisId", "", "CsContact1.ImisId", "1", byte(0x21))
	f.Add("Group", "a", "GROUP", "b", byte(0x45))
	f.Add("Straße", "a", "STRASSE", "\xff", byte(0x35))
	def := parameterized(f, "{name: FirstName, prompt: required, default: d}", "{filter: CsContact1.ImisId}", "{filter: CsContact2.ImisId}", "{name: Group, multiple: true}")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string, kinds byte) {
		kind := func(n byte) task.GivenKind { return task.GivenKind(n % 6) }
		first := task.GivenValue{Kind: kind(kinds & 0xf), Text: value1}
		second := task.GivenValue{Kind: kind(kinds >> 4), Text: value2, Items: []task.GivenValue{first}}
		values, err := def.Resolve([]task.Given{{key1, first}, {key2, second}})
		if err != nil {
			if wrong, ok := err.(*task.ParameterError); !ok || len(wrong.Problems) == 0 || values != nil {
				t.Fatalf("got %v, %v", values, err)
			}
			return
		}
		if len(values) != 4 || len(values.Hash()) != 64 {
			t.Fatalf("got %v", values)
		}
		for key, value := range values {
			if !value.Multiple && len(value.Values) > 1 || (len(value.Values) == 0) != (value.From == task.FromSource) {
				t.Errorf("%s: got %+v", key, value)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	def := parameterized(b, "{filter: CsContact.FirstName}", "{filter: CsContact.LastName}", "{filter: CsContact.Email, default: x}")
	given := []task.Given{str("FirstName", "Ann"), str("LastName", "Smith")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := def.Resolve(given); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPathOfAFileWithParameters(t *testing.T) {
	from := &task.CSVSource{Path: "in/{params.Year}/{params.File}"}
	for _, c := range []struct {
		params map[string]any
		want   string
	}{
		{map[string]any{"Year": "2026", "File": "a.csv"}, "in/2026/a.csv"},
		{map[string]any{"Year": "{params.File}", "File": "a.XLSM"}, "in/{params.File}/a.XLSM"},
		{map[string]any{"Year": "", "File": "a.csv"}, "{params.Year} in source.csv.path needs one value; pass -p Year=FILE"},
		{map[string]any{"Year": "2026", "File": []string{"a", "b"}}, "{params.File} in source.csv.path needs one value; pass -p File=FILE"},
	} {
		got, err := from.Expand(c.params)
		switch {
		case err != nil && err.Error() != c.want:
			t.Errorf("%v: %v", c.params, err)
		case err == nil && (got.Named() != c.want || got.Path != from.Path || got.IsWorkbook() != strings.HasSuffix(c.want, "XLSM")):
			t.Errorf("%v: %+v", c.params, got)
		}
	}
	if plain := (&task.CSVSource{Path: "a{b}.csv"}); plain.Named() != "a{b}.csv" || len(plain.PathParameters()) > 0 {
		t.Errorf("%+v", plain)
	}
}
