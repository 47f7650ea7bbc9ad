//go:build !bench

package main

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"strings"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/services/runner/pipeline"
	"runhook/shared/run"
	"runhook/shared/taskfile"
)

// panels are runs and rows that a site of iMIS does not take.
func (g *gallery) panels(s *site) {
	panel := imissite.New("runhook", "secret")
	panel.SetContacts(imissite.Contact{ID: "101", LastName: "Ann"})
	panel.SetEntities(
		imissite.Entity{Name: "My_Courses", ObjectType: "Multi", Properties: []imissite.Property{
			{Name: "Code", Type: "String", MaxLength: 5, Required: true},
			{Name: "Passed", Type: "Date"},
			{Name: "Hours", Type: "Integer"},
			{Name: "Fee", Type: "Decimal"},
			{Name: "Paid", Type: "Boolean"},
			{Name: "Kind", Type: "String", Values: []string{"A", "B"}},
		}},
		imissite.Entity{Name: "My_Hidden", NoREST: true},
		imissite.Entity{Name: "My_Profile", Properties: []imissite.Property{{Name: "Motto", Type: "String", MaxLength: 20}}})
	server := httptest.NewServer(panel)
	defer server.Close()
	set, err := connection.Parse([]byte("here: {files: .}\nimis: {imis: {private: true, url: '"+server.URL+"', username: runhook, password: secret}}\n"), filepath.Join(s.dir, "connections.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	s.write("courses.csv", "ID,Code,Passed,Hours,Fee,Paid,Kind\n101,SECRET,,,,,\n101,A,31.01.2026,,,,\n101,A,,one,,,\n101,A,,,1.x,,\n101,A,,,,maybe,\n101,A,,,,,C\n,A,,,,,\n101,,,,,,\n999,A,,,,,\n")
	const all = "ID: ID\n  Code: Code\n  Passed: Passed\n  Hours: Hours\n  Fee: Fee\n  Paid: Paid\n  Kind: Kind"
	try := func(mapping, fields string) {
		text := errorTask("66666666-6666-4666-8666-666666666666", "Courses", "courses.csv", mapping, "imis: {connection: imis, "+fields+"}", "")
		did := strings.ReplaceAll(mapping, "\n ", ",") + " to " + fields
		def, err := taskfile.Parse([]byte(text), "task.yaml")
		if err != nil {
			g.add(did, err.Error())
			return
		}
		var m pipeline.Meter
		err = pipeline.Run(g.t.Context(), pipeline.Job{Kinds: builtin.Kinds(), Job: connector.Job{Task: def, Connections: set}}, &m)
		var said []string
		for _, fault := range m.Snapshot().Errors {
			said = append(said, rowSaid(fault))
		}
		if failure, ok := errors.AsType[*run.Failure](err); ok {
			said = append(said, failure.Message)
		}
		g.add(did, strings.Join(said, "\n"))
	}
	for _, c := range []struct{ mapping, fields string }{
		{"ID: ID", "entity: My_Courses, action: upsert"},
		{"ID: ID", "entity: Party, action: delete, key: [ID]"},
		{"ID: ID", "entity: My_Courses, action: update, match: [Code]"},
		{"ID: ID\n  Code: Code", "entity: My_Coarses, action: insert"},
		{"ID: ID", "entity: My_Hidden, action: insert"},
		{"ID: ID\n  Cod: Code", "entity: My_Courses, action: insert"},
		{"Code: Code", "entity: My_Courses, action: insert"},
		{"ID: ID", "entity: My_Courses, action: delete, key: [ID]"},
		{all, "entity: My_Courses, action: upsert, match: [ID, Code], on_blank_match: fail"},
	} {
		try(c.mapping, c.fields)
	}
	panel.FailWrites(sitetest.AfterStoring(sitetest.Drop), sitetest.Status(409), sitetest.Status(403))
	s.write("courses.csv", "ID,Motto\n101,a\n101,b\n101,c\n101,d\n")
	try("ID: ID", "entity: My_Profile, action: insert")
}
