package imis_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/task"
)

// check looks at the destination, and lets it look at those rows. It returns what it finds, and the rows' faults.
func (p *panels) check(rows ...[]any) (said []string) {
	p.t.Helper()
	var found check.Report
	job := connector.Job{Connections: p.connections, Task: &task.Definition{Destination: p.to}}
	columns := make([]check.Column, len(p.columns))
	for i, name := range p.columns {
		columns[i].Name = name
	}
	takes, err := imis.DestinationKind{}.Check(p.t.Context(), job, columns, &found)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range found.Findings {
		said = append(said, string(f.Severity)+" "+f.Text())
	}
	for _, values := range rows {
		if fault := takes(slices.Clone(values)); fault != nil {
			said = append(said, fault.Error())
		}
	}
	return said
}

func (p *panels) wrote() bool {
	return p.count(http.MethodPost)-p.asked("_haspermission/") > 0 || p.count(http.MethodPut)+p.count(http.MethodDelete) > 0
}

// asked counts the requests to a part of an address.
func (p *panels) asked(part string) (n int) {
	for _, r := range p.site.Requests() {
		if strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// An account that may not write is found out before a run, without a write.
func TestCheckAsksForRights(t *testing.T) {
	const no = "error destination.imis.entity: the site says that the account may not %s records of My_Guarded (_haspermission); give it the right, or write with another account"
	for _, c := range []struct {
		action task.Action
		denied []string
		want   []string
	}{
		{task.Insert, []string{"Create"}, []string{"create"}},
		{task.Insert, []string{"Update", "Delete"}, nil},
		{task.Update, []string{"Update"}, []string{"update"}},
		{task.Upsert, []string{"Create", "Update"}, []string{"create", "update"}},
		{task.Delete, []string{"Delete"}, []string{"delete"}},
		{task.Delete, nil, nil},
	} {
		guarded := func(denied []string, answers ...imissite.Fault) *panels {
			p := newPanels(t, "My_Guarded", c.action, "ID", "Motto")
			if c.action != task.Insert {
				p.to.Key = []string{"ID"}
			}
			p.site.SetEntities(imissite.Entity{Name: "My_Guarded", Denied: denied, Properties: []imissite.Property{{Name: "Motto", Type: "String"}}})
			p.site.Fail(answers...) // the entity, the probe, and then the rights
			return p
		}
		var want []string
		for _, operation := range c.want {
			want = append(want, strings.Replace(no, "%s", operation, 1))
		}
		p := guarded(c.denied)
		if said := p.check(); !slices.Equal(said, want) || p.wrote() {
			t.Errorf("%s without %v: %q", c.action, c.denied, said)
		}
		// A site that says nothing clear is not asked further.
		for _, answer := range []imissite.Fault{sitetest.Status(501), sitetest.Status(403), sitetest.Answer("application/json", `{"a":1}`), sitetest.Answer("application/json", `"false?"`)} {
			if said := guarded(nil, nil, nil, answer, answer).check(); len(said) != 0 {
				t.Errorf("%s: %q", c.action, said)
			}
		}
		no := sitetest.Answer("application/json", `{"$type":"x","Result":{"$type":"System.Boolean","$value":false}}`)
		if said := guarded(nil, nil, nil, no).check(); len(said) == 0 {
			t.Errorf("%s: a no in an envelope is passed over", c.action)
		}
	}
}

// The site validates what the first rows would write, a few of them, and nothing is written.
func TestCheckHasTheSiteValidate(t *testing.T) {
	for _, action := range []task.Action{task.Insert, task.Update, task.Upsert, task.Delete} {
		p := newPanels(t, "My_Certificates", action, "ID", "Code", "Hours")
		p.to.Match = []string{"ID", "Code"}
		strict := certificates
		strict.Check = func(row imissite.Row) (property, message string) {
			if row["Code"] == "BAD" {
				return "Code", "Code SECRET is retired."
			}
			return "", ""
		}
		p.site.SetEntities(strict)
		p.site.SetRows("My_Certificates", imissite.Row{"ID": "101", "Ordinal": 1, "Code": "BAD", "Hours": 1})
		rows := [][]any{{"101", "BAD", "5"}, {"102", "BAD", "1"}, {"103", "OK", "x"}, {"103", "OK", "1"}, {"104", "BAD", "1"}, {"105", "BAD", "1"}}
		bad, text := "Code is refused by the site's validation", "Hours is not a whole number"
		want := map[task.Action][]string{
			task.Insert: {bad, text}, task.Update: {bad, text}, task.Upsert: {bad, bad, text}, task.Delete: {text},
		}[action]
		if said := p.check(rows...); !slices.Equal(said, want) || p.wrote() {
			t.Errorf("%s: %q", action, said)
		}
		if looks := p.asked("_validate"); looks > 3 || action == task.Upsert && looks != 3 {
			t.Errorf("%s: the site was asked about %d rows", action, looks)
		}
	}
	// What does not fit is enough.
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Cod")
	if said := p.check([]any{"101", "A"}); len(said) != 2 || p.asked("_validate") != 0 {
		t.Errorf("%q", said)
	}
}
