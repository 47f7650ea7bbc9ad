package imis_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/task"
)

// withCertificates has the contact 101 hold CPA once and CFA twice, and 102 the code empty.
func withCertificates(p *panels) {
	p.site.SetRows("My_Certificates",
		imissite.Row{"ID": "101", "Ordinal": 1, "Code": "CPA", "Hours": 1, "Topics": "A"},
		imissite.Row{"ID": "101", "Ordinal": 2, "Code": "CFA", "Hours": 1},
		imissite.Row{"ID": "101", "Ordinal": 3, "Code": "CFA", "Hours": 1},
		imissite.Row{"ID": "103", "Ordinal": 4, "Code": "empty", "Hours": 1},
	)
}

func TestMatch(t *testing.T) {
	rows := [][]any{
		{"101", "CPA", "5"}, // one
		{"101", "cpa", "1"}, // the same, as iMIS compares
		{"101", "CFA", "5"}, // two
		{"102", "NEW", "5"}, // none
		{"102", "", "5"},    // nothing to match by
		{"102", "NEW", "5"}, // there by now
	}
	for action, want := range map[task.Action]struct {
		skip, fail string
		rows       int
	}{
		task.Insert: {"skipped skipped skipped inserted skipped skipped", "skipped skipped several inserted blank skipped", 5},
		task.Update: {"updated updated skipped skipped skipped skipped", "updated updated several skipped blank skipped", 4},
		task.Upsert: {"updated updated skipped inserted skipped unchanged", "updated updated several inserted blank unchanged", 5},
		task.Delete: {"deleted skipped skipped skipped skipped skipped", "deleted skipped several skipped blank skipped", 3},
	} {
		for policy, outcomes := range map[task.RowPolicy]string{task.SkipRow: want.skip, task.FailRow: want.fail} {
			t.Run(string(action)+" "+string(policy), func(t *testing.T) {
				p := newPanels(t, "My_Certificates", action, "ID", "Code", "Hours")
				p.to.Match = []string{"ID", "Code"}
				p.to.OnMultiple, p.to.OnBlankMatch = policy, policy
				withCertificates(p)
				outcomes = strings.ReplaceAll(strings.ReplaceAll(outcomes, " ", ";"), "several", "matches more than one record")
				p.expect(rows, strings.Split(strings.ReplaceAll(outcomes, "blank", "Code must not be empty: records are matched by it"), ";")...)
				if got := p.site.Rows("My_Certificates"); len(got) != want.rows {
					t.Errorf("stored %v", got)
				}
			})
		}
	}
}

// A value is a value, whatever it looks like: no operator, no other parameter, no other address.
func TestMatchValuesAreNothingElse(t *testing.T) {
	for _, value := range []string{"ne:x", "empty", "eq:", "in:A|B", "a&Hours=eq:1", "a?b#c", "%41", "é +", "contains:"} {
		p := newPanels(t, "My_Prices", task.Update, "Product", "Price")
		p.to.Match = []string{"Product"}
		p.site.SetRows("My_Prices", imissite.Row{"Product": "A", "Price": json.Number("1")}, imissite.Row{"Product": "x", "Price": json.Number("1")})
		p.expect([][]any{{value, "2"}}, "skipped")
		p.site.SetRows("My_Prices", imissite.Row{"Product": value, "Price": json.Number("1")})
		want := "updated"
		if strings.ContainsAny(value, "|") {
			want = `matches a record whose identity has a /, \ or | in it, which cannot be a part of a record's address`
		}
		p.expect([][]any{{value, "2"}}, want)
		for _, r := range p.site.Rows("My_Prices") {
			if (r["Price"] == json.Number("2")) != (r["Product"] == value && want == "updated") {
				t.Errorf("%s: stored %v", value, r)
			}
		}
	}
}

// A site that does not filter must not make a row change the record of another.
func TestSiteThatDoesNotFilter(t *testing.T) {
	for _, action := range []task.Action{task.Update, task.Delete, task.Upsert} {
		p := newPanels(t, "My_Profile", action, "ID", "Motto")
		p.to.Match = []string{"Motto"}
		p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "other"})
		p.behind(func(r *http.Request) {
			if r.URL.Query().Has("Motto") {
				r.URL.RawQuery = "limit=2"
			}
		})
		p.expect([][]any{{"101", "mine"}}, "Motto is another in the record that the site gives for it; nothing was changed")
		p.stored(imissite.Row{"ID": "101", "Motto": "other"})
	}
}

// The identity of the record that was found stays.
func TestMatchDoesNotMoveARecord(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Upsert, "ID", "Code")
	p.to.Match = []string{"Code"}
	withCertificates(p)
	p.expect([][]any{{"102", "CPA"}, {"101", "CPA"}}, "ID is another in the record found, whose identity cannot be changed", "unchanged")
	if got := p.count("PUT"); got != 0 {
		t.Errorf("%d PUTs", got)
	}
}

// Every record that a row matches is changed where the task wants that.
func TestAllMatches(t *testing.T) {
	imis.ShortenPauses(t)
	for action, want := range map[task.Action][]string{
		task.Update: {"updated", "unchanged", "skipped", "updated"}, task.Upsert: {"updated", "unchanged", "inserted", "updated"}, task.Delete: {"deleted", "skipped", "skipped", "deleted"},
	} {
		p := newPanels(t, "My_Certificates", action, "ID", "Code", "Hours")
		p.to.Match, p.to.OnMultiple = []string{"ID", "Code"}, task.AllRecords
		withCertificates(p)
		p.expect([][]any{{"101", "CFA", "5"}, {"101", "CFA", "5"}, {"102", "NEW", "5"}, {"101", "CPA", "5"}}, want...)
		five := 0
		for _, r := range p.site.Rows("My_Certificates") {
			if r["Hours"] == int64(5) {
				five++
			}
		}
		if rows := len(p.site.Rows("My_Certificates")); five != map[task.Action]int{task.Update: 3, task.Upsert: 4}[action] || rows != map[task.Action]int{task.Update: 4, task.Upsert: 5, task.Delete: 1}[action] {
			t.Errorf("%s: stored %v", action, p.site.Rows("My_Certificates"))
		}
	}
	p := newPanels(t, "My_Certificates", task.Update, "ID", "Code", "Hours")
	p.to.Match, p.to.OnMultiple = []string{"Code"}, task.AllRecords
	withCertificates(p)
	p.columns = []string{"Code", "Hours"}
	p.site.FailWrites(nil, sitetest.Status(400))
	p.expect([][]any{{"CFA", "5"}}, "is refused with status 400; 1 of the 2 records that the row matches were done before")
	p.site.SetPageLimit(1)
	p.expect([][]any{{"CFA", "6"}, {"CPA", "6"}}, "matches more than 1 records, or than the site gives at a time; match by more columns", "updated")
}

// Values are added to those of a multi-select, and none twice.
func TestAppend(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Upsert, "ID", "Code", "Topics")
	p.to.Match, p.to.Append = []string{"ID", "Code"}, []string{"Topics"}
	withCertificates(p)
	p.expect([][]any{
		{"101", "CPA", "B,A"}, {"101", "CPA", "B"}, {"101", "CPA", ""}, {"101", "CPA", "C, B"}, {"101", "CPA", "LONGER"}, {"102", "NEW", "A,C"}, {"103", "empty", "C"},
	}, "updated", "unchanged", "unchanged", "updated", "Topics is too long (max 10), together with what is there", "inserted", "updated")
	rows := p.site.Rows("My_Certificates")
	if got := []any{rows[0]["Topics"], rows[3]["Topics"], rows[4]["Topics"]}; got[0] != "A,B,C" || got[1] != "C" || got[2] != "A,C" {
		t.Errorf("stored %v", got)
	}
}

// Dates, numbers and booleans match as such.
func TestMatchByType(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Update, "Earned", "Hours", "Fee", "Paid", "Code")
	p.to.Match = []string{"Earned", "Hours", "Fee", "Paid"}
	p.site.SetRows("My_Certificates", imissite.Row{"ID": "101", "Ordinal": 1, "Code": "A", "Earned": "2026-01-31T00:00:00", "Hours": 3, "Fee": json.Number("1.50"), "Paid": true})
	p.expect([][]any{{"2026-01-31", "3", "1.5", "yes", "B"}, {"2026-01-30", "3", "1.5", "yes", "B"}}, "updated", "skipped")
}
