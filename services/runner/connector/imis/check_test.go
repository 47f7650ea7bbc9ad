package imis

import (
	"encoding/json"
	"testing"

	"runhook/services/runner/check"
)

// What is said of kinds before a run is what a property then does with their values.
func TestFitIsWhatPropertiesTake(t *testing.T) {
	values := map[check.Kind][]any{
		check.Text:    {"2026-01-31", "1", "yes", "1.5", "Ann", "YWJj/w=="},
		check.Whole:   {int64(1), int64(20260131)},
		check.Number:  {json.Number("1"), json.Number("1.5"), 2.5},
		check.Boolean: {true, false},
		check.Moment:  {"2026-01-31T00:00:00", "2026-01-31T18:30:00"},
		check.Binary:  {"YWJj/w=="},
	}
	for _, typeName := range []string{"", "String", "Integer", "Decimal", "Monetary", "Boolean", "Date", "Binary"} {
		p := Property{Name: "P", Type: typeName}
		for kind, all := range values {
			taken := 0
			for _, value := range all {
				if _, problem := p.field(value); problem == "" {
					taken++
				}
			}
			want := check.Perhaps
			switch taken {
			case 0:
				want = check.Never
			case len(all):
				want = check.Always
			}
			if got := kindOf(typeName).takes(kind); got != want {
				t.Errorf("a property of type %q and values of kind %s: %d, want %d (%d of %d are taken)", typeName, kind, got, want, taken, len(all))
			}
		}
		if kindOf(typeName).takes(check.Unknown) != check.Always {
			t.Errorf("type %q: something is said of values of which nothing is known", typeName)
		}
	}
}

// A definition without its envelopes, and with names in places of which not all are documented.
func TestDefinitionsOfOtherShapes(t *testing.T) {
	s := scanner{text: `{"Parameters":[{"PropertyName":"A","Prompt":"Required"},{"PropertyName":"B","Prompt":"REQUIRED","Values":["x"]},{"PropertyName":"C","Prompt":2,"AllowMultiple":true},7],
		"Properties":[{"Name":"guid.ID","Caption":"Id","DataTypeName":"System.Int32"},{"PropertyName":"Full","Alias":"Full Name","DataTypeName":"Odd"},{"DataTypeName":"String"}]}`}
	answer, _ := s.value().(map[string]any)
	d := readDefinition(answer)
	if len(d.prompts) != 3 || !d.prompts[0].required || d.prompts[1].required || d.prompts[2].required || !d.prompts[2].multiple {
		t.Errorf("prompts %+v", d.prompts)
	}
	if len(d.columns) != 2 || d.columns[0].names[0] != "Id" || d.columns[0].kind != check.Whole || d.columns[1].names[0] != "Full Name" || d.columns[1].kind != check.Unknown {
		t.Errorf("columns %+v", d.columns)
	}
	columns, types := d.merge([]string{"Full", "guid.ID", "More"})
	if len(columns.Names) != 3 || types[1].Kind != check.Whole || types[0].Unseen || types[2].Unseen {
		t.Errorf("merged %v %+v", columns.Names, types)
	}
	columns, types = d.merge([]string{"Other"})
	if len(columns.Names) != 3 || columns.Names[1] != "Id" || !types[1].Unseen {
		t.Errorf("merged %v %+v", columns.Names, types)
	}
	if columns, _ := (&definition{}).merge(nil); !columns.Unknown {
		t.Error("columns are known that nobody named")
	}
}
