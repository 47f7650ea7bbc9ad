package imis_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/task"
)

// Values of every type arrive as the site stores them, from text as a CSV has it and typed.
func TestInsert(t *testing.T) {
	p := newPanels(t, "my_certificates", task.Insert, "ID", "Code", "Earned", "Hours", "Fee", "Paid", "Topics", "Scan")
	p.expect([][]any{
		{"101", "CPA", "2026-01-31", "12", "7.50", "yes", "A,B", "AQI="},
		{int64(102), "<&\"ü", time.Date(2026, 1, 31, 18, 30, 0, 0, time.UTC), int64(-3), json.Number("1234567890123.45"), false, "B", []byte{1, 2}},
		{"103", "X", nil, "", nil, "", nil, nil},
		{"101", "CPA", "2026-01-31 18:30:00+02:00", float64(4), 1e-3, "0", "", nil},
	}, "inserted", "inserted", "inserted", "inserted")
	p.to.Entity = "My_Certificates"
	p.stored(
		imissite.Row{"ID": "101", "Ordinal": int64(1), "Code": "CPA", "Earned": "2026-01-31T00:00:00", "Hours": int64(12), "Fee": json.Number("7.5"), "Paid": true, "Topics": "A,B", "Scan": []byte{1, 2}},
		imissite.Row{"ID": "102", "Ordinal": int64(2), "Code": "<&\"ü", "Earned": "2026-01-31T18:30:00", "Hours": int64(-3), "Fee": json.Number("1234567890123.45"), "Paid": false, "Topics": "B", "Scan": []byte{1, 2}},
		imissite.Row{"ID": "103", "Ordinal": int64(3), "Code": "X", "Hours": int64(1)},
		imissite.Row{"ID": "101", "Ordinal": int64(4), "Code": "CPA", "Earned": "2026-01-31T18:30:00", "Hours": int64(4), "Fee": json.Number("0.001"), "Paid": false},
	)
	if p.site.MostAtOnce() != 1 || p.site.Logins() != 1 {
		t.Errorf("%d requests at once, %d logins", p.site.MostAtOnce(), p.site.Logins())
	}
}

// A table of its own belongs to nothing.
func TestInsertStandalone(t *testing.T) {
	p := newPanels(t, "My_Prices", task.Insert, "Product", "Price")
	p.expect([][]any{{"a b", "+10.00"}, {"A B", "1"}}, "inserted", "is there already (a duplicate key)")
	p.stored(imissite.Row{"Product": "a b", "Price": json.Number("10")})
}

// What does not fit is found before anything is sent, and without the value in the message.
func TestValuesThatDoNotFit(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code", "Earned", "Hours", "Fee", "Paid", "Topics", "Scan")
	good := []any{"101", "CPA", "2026-01-31", "1", "1", "1", "A", "AQI="}
	var rows [][]any
	var want []string
	for _, c := range []struct {
		column int
		value  any
		says   string
	}{
		{0, "", "ID must not be empty: the record belongs to that contact"},
		{1, "SECRET", "Code is too long (max 5)"},
		{1, "😀😀😀", "Code is too long (max 5)"}, // six, as iMIS counts
		{1, "", "Code must not be empty"},
		{1, nil, "Code must not be empty"},
		{2, "31.01.2026", "Earned is not a date like 2026-01-31 or 2026-01-31T18:30:00"},
		{2, "2026-02-30", "Earned is not a date like 2026-01-31 or 2026-01-31T18:30:00"},
		{3, "1.5", "Hours is not a whole number"},
		{3, 1.5, "Hours is not a whole number"},
		{3, "2147483648", "Hours is too large a number"},
		{3, "99999999999999999999", "Hours is too large a number"},
		{4, "12,50", "Fee is not a number"},
		{4, strings.Repeat("9", 29), "Fee has too many digits"},
		{4, "1e99", "Fee is not a number, or too large a one"},
		{5, "maybe", "Paid is not true or false (true, t, yes, y or 1; false, f, no, n or 0)"},
		{6, "D", "Topics is not one of the allowed values (A, B, C, LONG, LONGER)"},
		{6, "a", "Topics is not one of the allowed values (A, B, C, LONG, LONGER)"},
		{6, "A,D", "Topics is not one of the allowed values (A, B, C, LONG, LONGER)"},
		{7, "no base64!", "Scan is not binary data in base64"},
		{1, []any{"a"}, "Code is a list or an object, not a single value"},
	} {
		values := append([]any(nil), good...)
		values[c.column] = c.value
		rows, want = append(rows, values), append(want, c.says)
	}
	p.expect(rows, want...)
	if got := p.requests(); len(got) != 0 {
		t.Errorf("sent %v", got)
	}
}

// Only what differs is written, and what the row does not name stays.
func TestUpdate(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Update, "ID", "Ordinal", "Hours", "Earned", "Fee", "Paid")
	p.to.Key = []string{"ID", "Ordinal"}
	p.site.SetRows("My_Certificates",
		imissite.Row{"ID": "101", "Ordinal": 1, "Code": "CPA", "Hours": 3, "Earned": "2026-01-31T00:00:00", "Fee": json.Number("7.50"), "Paid": true, "Topics": "A"},
		imissite.Row{"ID": "101", "Ordinal": 2, "Code": "CFA"},
	)
	p.expect([][]any{
		{"101", "1", "3", "2026-01-31", "7.5", "Y"},
		{"101", "1", "4", "2026-01-31", "7.5", "Y"},
		{"101", "2", "", nil, "0.0", "n"},
		{"101", "3", "1", nil, nil, nil},
		{"999", "1", "1", nil, nil, nil},
		{"101", "1", "", nil, "7.5", "Y"},
		{"", "1", "", nil, "7.5", "Y"},
		{"1/1", "1", "", nil, "7.5", "Y"},
		{"..", "1", "", nil, "7.5", "Y"},
	}, "unchanged", "updated", "updated", "skipped", "skipped", "updated", "ID must not be empty: it is the key",
		`ID has a /, \ or | in it, which cannot be a part of a record's address`, "ID cannot be a part of a record's address")
	p.stored(
		imissite.Row{"ID": "101", "Ordinal": int64(1), "Code": "CPA", "Fee": json.Number("7.50"), "Paid": true, "Topics": "A"},
		imissite.Row{"ID": "101", "Ordinal": int64(2), "Code": "CFA", "Fee": json.Number("0"), "Paid": false},
	)
	if got := p.count("PUT"); got != 3 {
		t.Errorf("%d PUTs: %v", got, p.requests())
	}
}

// Tables of the desktop era have PartyId and SEQN, and a new record may bring its SEQN.
func TestTablesOfTheDesktopEra(t *testing.T) {
	p := newPanels(t, "Name_CEU", task.Upsert, "PartyId", "SEQN", "CEU_Course", "CEU_Hours", "CEU_Date_Reported")
	p.to.Key = []string{"SEQN", "PartyId"}
	p.site.SetRows("Name_CEU", imissite.Row{"PartyId": "101", "SEQN": 2, "CEU_Course": "Law", "CEU_Hours": json.Number("1.5"), "CEU_Date_Reported": "2026-01-31T00:00:00"})
	rows := [][]any{
		{"101", "2", "Law", "1.50", "2026-01-31"}, {"101", 2, "Tax", "20", ""}, {"102", "7", "Law", "", nil}, {"102", "7", "", "", nil}, {"777", "1", "Law", "1", nil}, {"101", "", "Law", "1", nil},
	}
	p.expect(rows, "unchanged", "updated", "inserted", "updated", "PartyId is refused by the site's validation", "SEQN must not be empty: it is the key")
	p.stored(
		imissite.Row{"PartyId": "101", "SEQN": int64(2), "CEU_Course": "Tax", "CEU_Hours": json.Number("20")},
		imissite.Row{"PartyId": "102", "SEQN": int64(7)},
	)
	p = newPanels(t, "Name_CEU", task.Upsert, "PartyId", "CEU_Course", "CEU_Hours")
	p.to.Match = []string{"PartyId", "CEU_Course"}
	p.expect([][]any{{"101", "Law", "2"}, {"101", "Tax", "3"}, {"101", "Law", "4"}, {"", "Law", "4"}}, "inserted", "inserted", "updated", "skipped")
	p.stored(
		imissite.Row{"PartyId": "101", "SEQN": int64(1), "CEU_Course": "Law", "CEU_Hours": json.Number("4")},
		imissite.Row{"PartyId": "101", "SEQN": int64(2), "CEU_Course": "Tax", "CEU_Hours": json.Number("3")},
	)
	p = newPanels(t, "Name_CEU", task.Delete, "PartyId", "SEQN")
	p.to.Key = []string{"PartyId", "SEQN"}
	p.site.SetRows("Name_CEU", imissite.Row{"PartyId": "101", "SEQN": 2})
	p.expect([][]any{{"101", "2"}, {"101", "3"}}, "deleted", "skipped")
	p.stored()

	p = newPanels(t, "Name_Demo", task.Upsert, "PartyId", "Spouse", "Board")
	p.to.Key = []string{"PartyId"}
	p.site.SetRows("Name_Demo", imissite.Row{"PartyId": "101", "Spouse": "Louisa", "Board": true})
	p.expect([][]any{{"101", "", "no"}, {"102", "Ann", "yes"}, {"101", nil, "no"}}, "updated", "inserted", "unchanged")
	p.stored(imissite.Row{"PartyId": "101", "Board": false}, imissite.Row{"PartyId": "102", "Spouse": "Ann", "Board": true})
	p = newPanels(t, "Name_Demo", task.Insert, "Spouse")
	p.fail(nil, "mapping.PartyId: a record of Name_Demo belongs to a contact; map the column PartyId, the contact's iMIS ID")
	p = newPanels(t, "Name_CEU", task.Update, "PartyId", "CEU_Course")
	p.to.Key = []string{"PartyId"}
	p.fail(nil, "destination.imis.key: a record of Name_CEU is identified by PartyId, SEQN; give all of it, or find records by match")
}

func TestUpsert(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Upsert, "ID", "Motto", "Since")
	p.to.Key = []string{"ID"}
	p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old", "Level": 7})
	rows := [][]any{{"101", "new", "2026-01-31"}, {"102", "first", nil}, {"101", "old", nil}, {"102", "first", nil}, {"777", "x", nil}}
	p.expect(rows, "updated", "inserted", "updated", "unchanged", "ID is refused by the site's validation")
	p.expect(rows, "updated", "unchanged", "updated", "unchanged", "ID is refused by the site's validation")
	p.stored(imissite.Row{"ID": "101", "Motto": "old", "Level": int64(7)}, imissite.Row{"ID": "102", "Motto": "first"})
}

func TestDelete(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Delete, "ID", "Ordinal")
	p.to.Key = []string{"ID", "Ordinal"}
	p.site.SetRows("My_Certificates", imissite.Row{"ID": "101", "Ordinal": 1, "Code": "A"}, imissite.Row{"ID": "101", "Ordinal": 2, "Code": "B"})
	p.expect([][]any{{"101", "2"}, {"101", "2"}, {"102", "1"}}, "deleted", "skipped", "skipped")
	p.stored(imissite.Row{"ID": "101", "Ordinal": int64(1), "Code": "A"})
}

// The order of key's columns is not that of the identity.
func TestKeyInAnotherOrder(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Delete, "Ordinal", "ID")
	p.to.Key = []string{"Ordinal", "ID"}
	p.site.SetRows("My_Certificates", imissite.Row{"ID": "101", "Ordinal": 2, "Code": "A"}, imissite.Row{"ID": "102", "Ordinal": 101, "Code": "B"})
	p.expect([][]any{{"2", "101"}}, "deleted")
	p.stored(imissite.Row{"ID": "102", "Ordinal": int64(101), "Code": "B"})
}
