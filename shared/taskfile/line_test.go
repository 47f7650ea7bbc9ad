package taskfile

import "testing"

func TestLine(t *testing.T) {
	def, err := Parse([]byte(`# a task
id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
name: Lapsed
parameters:
  - name: State
  - {filter: CsContact.FirstName, prompt: required}
source:
  imis:
    connection: prod
    query: $/Membership/Lapsed
mapping:
  id: ID
  full.name: row["Full Name"]
destination:
  sql: {connection: db, table: lapsed,
    key: [id], action: upsert}
`), "lapsed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line  int
		field []string
	}{
		{3, []string{"name"}},
		{5, []string{"parameters", "State"}},
		{6, []string{"parameters", "CsContact.FirstName"}},
		{4, []string{"parameters", "Other"}},
		{10, []string{"source", "imis", "query"}},
		{8, []string{"source", "imis", "endpoint"}},
		{13, []string{"mapping", "full.name"}},
		{15, []string{"destination", "sql", "table"}},
		{16, []string{"destination", "sql", "key"}},
		{1, []string{"where"}},
		{1, nil},
	} {
		if got := Line(def, c.field...); got != c.line {
			t.Errorf("%q: line %d, want %d", c.field, got, c.line)
		}
	}
}
