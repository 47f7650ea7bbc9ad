package taskfile

import (
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
)

// toIMIS is a task whose rows have the columns ID, Ordinal, Code and Tags, for a destination with those fields.
func toIMIS(fields string) string {
	return "id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: x\nsource: {csv: {connection: drop, path: in.csv}}\n" +
		"mapping: {ID: ID, Ordinal: Ordinal, Code: Code, Tags: Tags}\ndestination:\n  imis:\n    {connection: prod, " + fields + "}\n"
}

func TestParseIMISDestinations(t *testing.T) {
	for _, c := range []struct {
		fields      string
		want        task.IMISDestination
		restartable bool
		atLeastOnce bool
	}{
		{"entity: My_Panel, action: insert", task.IMISDestination{Entity: "My_Panel", Action: task.Insert}, false, true},
		{"entity: My_Panel, action: insert, key: [ID]", task.IMISDestination{Entity: "My_Panel", Action: task.Insert, Key: []string{"ID"}}, false, true},
		{"entity: My_Panel, action: insert, match: [ID, Code]", task.IMISDestination{Entity: "My_Panel", Action: task.Insert, Match: []string{"ID", "Code"}}, true, false},
		{"entity: X, action: update, key: [ID, Ordinal], append: [Tags]", task.IMISDestination{Entity: "X", Action: task.Update, Key: []string{"ID", "Ordinal"}, Append: []string{"Tags"}}, true, false},
		{"entity: X, action: upsert, match: [Code], on_multiple: fail, on_blank_match: fail", task.IMISDestination{Entity: "X", Action: task.Upsert, Match: []string{"Code"}, OnMultiple: task.FailRow, OnBlankMatch: task.FailRow}, true, false},
		{"entity: Party, action: upsert, match: [Code]", task.IMISDestination{Entity: "Party", Action: task.Upsert, Match: []string{"Code"}}, true, false},
		{"entity: CsContact, action: update, key: [ID]", task.IMISDestination{Entity: "CsContact", Action: task.Update, Key: []string{"ID"}}, true, false},
		{"entity: X, action: delete, match: [ID], on_multiple: all", task.IMISDestination{Entity: "X", Action: task.Delete, Match: []string{"ID"}, OnMultiple: task.AllRecords, OnBlankMatch: task.SkipRow}, true, false},
		{"entity: X.Y-2, action: delete, key: [ID, Ordinal]", task.IMISDestination{Entity: "X.Y-2", Action: task.Delete, Key: []string{"ID", "Ordinal"}}, true, false},
	} {
		def, err := Parse([]byte(toIMIS(c.fields)), "x.yaml")
		if err != nil {
			t.Errorf("%s: %v", c.fields, err)
			continue
		}
		c.want.Connection = "prod"
		if c.want.OnMultiple == "" {
			c.want.OnMultiple, c.want.OnBlankMatch = task.SkipRow, task.SkipRow
		}
		got := def.Destination
		if !reflect.DeepEqual(got, &c.want) || got.Traits().Restartable != c.restartable || got.Traits().AtLeastOnce != c.atLeastOnce {
			t.Errorf("%s: %+v, restartable %v, at least once %v", c.fields, got, got.Traits().Restartable, got.Traits().AtLeastOnce)
		}
		if err := bySchema(t, toIMIS(c.fields)); err != nil {
			t.Errorf("the schema refuses %s: %v", c.fields, err)
		}
	}
}

func TestParseRefusesIMISDestinations(t *testing.T) {
	var all []refusal
	for fields, says := range map[string]string{
		"entity: My Panel, action: insert":                            `destination.imis.entity must be the name of a panel or business object, like My_Panel, not "My Panel"`,
		"entity: ../token, action: insert":                            `destination.imis.entity must be the name of a panel or business object, like My_Panel, not "../token"`,
		"entity: 'X?a=b', action: insert":                             `destination.imis.entity must be the name of a panel or business object, like My_Panel, not "X?a=b"`,
		"entity: _validate, action: insert":                           `destination.imis.entity must be the name of a panel or business object, like My_Panel, not "_validate"`,
		"entity: party, action: delete, key: [ID]":                    "destination.imis: party is a contact, and contacts are never deleted",
		"entity: CsContact, action: delete, key: [ID]":                "destination.imis: CsContact is a contact, and contacts are never deleted",
		"entity: Person, action: insert":                              "destination.imis: persons and organizations are written as contacts; take entity: Party, not Person",
		"entity: X, action: replace":                                  `destination.imis.action must be insert, update, upsert or delete, not "replace"`,
		"entity: X, action: upsert":                                   "destination.imis: upsert needs the columns that identify a record, like key: [ID], or columns to find it by, like match: [ID, Code]",
		"entity: X, action: update, key: [ID], match: [Code]":         "destination.imis: a record is found by key, its identity, or by match, columns that it has equal; remove one of the two",
		"entity: X, action: update, key: [Id]":                        `destination.imis.key: mapping has no column "Id"; did you mean "ID"?`,
		"entity: X, action: update, match: [Code, Code]":              `destination.imis.match has "Code" twice`,
		"entity: X, action: update, key: [ID, Ordinal, Code, Tags]":   "destination.imis: update has nothing to write; mapping needs a column that is not in key",
		"entity: X, action: update, key: [ID], on_multiple: fail":     "destination.imis.on_multiple means something only with match; add match, or remove it",
		"entity: X, action: insert, on_blank_match: skip":             "destination.imis.on_blank_match means something only with match; add match, or remove it",
		"entity: X, action: update, match: [ID], on_multiple: first":  `destination.imis.on_multiple must be skip, fail or all, not "first"`,
		"entity: X, action: update, match: [ID], on_blank_match: all": `destination.imis.on_blank_match must be skip or fail, not "all"`,
		"entity: X, action: insert, match: [ID], on_multiple: all":    "destination.imis.on_multiple: all means something only where records are changed, and the action is insert; take skip or fail",
		"entity: X, action: insert, append: [Tags]":                   "destination.imis.append means something only where records are updated, and the action is insert; remove it",
		"entity: X, action: update, key: [ID], append: [ID]":          `destination.imis.append: "ID" is what the record is found by, so nothing can be added to it`,
		"entity: X, action: update, key: [ID], append: [Interests]":   `destination.imis.append: mapping has no column "Interests"; it has ID, Ordinal, Code, Tags`,
		"entity: X, action: update, key: [ID], partial: true":         `unknown field "partial" in destination.imis; the fields are connection, entity, action, key, match, on_multiple, on_blank_match, append`,
	} {
		all = append(all, refusal{fields, toIMIS(fields), "7: " + says})
	}
	limit := strings.Replace(toIMIS("entity: X, action: update, match: [Limit]"), "Code: Code", "Limit: Code", 1)
	all = append(all, refusal{"a column named limit", limit, "7: destination.imis.match: a record cannot be found by a column named Limit, which means something else to iMIS"})
	again := strings.Replace(toIMIS("entity: X, action: insert"), "Code: Code", "id: Code", 1)
	all = append(all, refusal{"two columns but for case", again, `4: mapping: "ID" and "id" are one column to iMIS`})
	expectRefusals(t, all)
}
