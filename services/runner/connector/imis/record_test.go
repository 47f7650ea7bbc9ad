package imis_test

import (
	"encoding/json"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis"
)

const generic = `"$type":"Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts"`

// A record goes back as it came, but for the values that change: also what nobody here has heard of.
func TestRecordIsChanged(t *testing.T) {
	for text, want := range map[string]string{
		`{` + generic + `, "New" : [1, {"a":"}"}],"Properties":{"$type":"x","$values":[{"$type":"p","Name":"A","Value":{"$type":"System.Int32","$value":1},"More":2},{"Name":"B"} ]},"After":"\u00e9"}`: `{` + generic +
			`, "New" : [1, {"a":"}"}],"Properties":{"$type":"x","$values":[{"$type":"p","Name":"A","Value":7,"More":2},{"Name":"B","Value":"b"} ]},"After":"\u00e9"}`,
		`{"Properties":[{"Value":"old","Name":"a"},{"Value":null,"Name":"B"}],` + generic + `}`: `{"Properties":[{"Value":7,"Name":"a"},{"Value":"b","Name":"B"}],` + generic + `}`,
		`{` + generic + `,"Properties":{"$values":[{"Name":"A","Value":"]"}],"Count":1}}`: `{` + generic + `,"Properties":{"$values":[{"Name":"A","Value":7},` +
			`{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts","Name":"B","Value":"b"}],"Count":1}}`,
	} {
		got, ok := imis.ChangeRecord(text, map[string]string{"A": "7", "B": `"b"`})
		if !ok || got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	none, _ := imis.ChangeRecord(`{`+generic+`,"Properties":{"$values":[]}}`, map[string]string{"A": "1"})
	if !json.Valid([]byte(none)) || !strings.Contains(none, `"$values":[{"$type"`) {
		t.Errorf("got %s", none)
	}
	for _, text := range []string{`7`, `{}`, `[]`, `null`, `1`, `{` + generic + `}`, `{` + generic + `,"Properties":null}`, `{` + generic + `,"Properties":{"$values":null}}`, `{"$type":"PersonData","Properties":[]}`} {
		if got, ok := imis.ChangeRecord(text, nil); ok {
			t.Errorf("%s is taken for a record: %s", text, got)
		}
	}
}

// A property without a value has its name left, and neither null nor an empty text.
func TestValueIsCleared(t *testing.T) {
	for text, want := range map[string]string{
		`{"$type":"p","Name":"A","Value":"x"}`:                          `{"$type":"p","Name":"A"}`,
		`{"Name":"A" , "Value" : {"$type":"System.Int32","$value":7} }`: `{"Name":"A" }`,
		`{"Value":"x","Name":"A"}`:                                      `{"Name":"A"}`,
		`{"Name":"A","Value":"x","More":1}`:                             `{"Name":"A","More":1}`,
		`{"Name":"A"}`:                                                  `{"Name":"A"}`,
		`{"Name":"A","Value":null}`:                                     `{"Name":"A"}`,
		`{"Name":"B"}`:                                                  `{"Name":"B"},{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts","Name":"A"}`,
	} {
		record := `{` + generic + `,"Properties":[%]}`
		if got, ok := imis.ChangeRecord(strings.Replace(record, "%", text, 1), map[string]string{"A": "null"}); !ok || got != strings.Replace(record, "%", want, 1) {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// A number keeps the type that it has in the record.
func TestNumbersKeepTheirTypes(t *testing.T) {
	for stored, want := range map[string]string{
		"System.Double": "System.Double", "System.Single": "System.Single", "System.Int64": "System.Int64",
		"System.Decimal": "System.Decimal", "System.String": "System.Decimal", "System.Boolean": "System.Decimal",
	} {
		record := `{` + generic + `,"Properties":[{"Name":"A","Value":{"$type":"%","$value":%%}}]}`
		text := func(kind, value string) string {
			return strings.Replace(strings.Replace(record, "%%", value, 1), "%", kind, 1)
		}
		if got, ok := imis.ChangeRecord(text(stored, "1"), map[string]string{"A": `{"$type":"System.Decimal","$value":20}`}); !ok || got != text(want, "20") {
			t.Errorf("%s: got %s", stored, got)
		}
	}
}

// Whatever the JSON: no panic, and what a record becomes is JSON that has the new value.
func FuzzRecord(f *testing.F) {
	f.Add(`{`+generic+`,"Identity":{"IdentityElements":{"$values":["1"]}},"Properties":{"$values":[{"Name":"A","Value":1},{"Name":"B"}]}}`, "A")
	f.Add(`{`+generic+`,"Properties":[]}`, "x")
	f.Add(`{`+generic+`,"Properties":[{"Value":1,"Name":"A","Value":2},{"Value":3}]}`, "A")
	f.Fuzz(func(t *testing.T, text, name string) {
		if !json.Valid([]byte(text)) {
			return
		}
		changed, ok := imis.ChangeRecord(text, map[string]string{name: `"a new value"`})
		if ok && (!json.Valid([]byte(changed)) || !strings.Contains(changed, `"a new value"`)) {
			t.Errorf("%q of %s becomes %s", name, text, changed)
		}
		if changed, ok := imis.ChangeRecord(text, map[string]string{name: "null"}); ok && !json.Valid([]byte(changed)) {
			t.Errorf("%q of %s, cleared, becomes %s", name, text, changed)
		}
	})
}
