package draft

import (
	"testing"

	"runhook/shared/making"
)

// Columns are suggested by their names, the same before similar ones, and none twice.
func TestSuggestions(t *testing.T) {
	for _, c := range []struct {
		targets, columns []string
		want             []making.Choice
		why              []string
	}{
		{
			[]string{"id", "email", "joined", "member_type"},
			[]string{"Member ID", "E-mail", "Join date", "Type", "Fax"},
			[]making.Choice{{From: "Member ID"}, {From: "E-mail"}, {From: "Join date"}, {From: "Type"}},
			[]string{similarName, similarName, similarName, similarName},
		},
		{[]string{"ID", "memberId"}, []string{"MemberID", "id"}, []making.Choice{{From: "id"}, {From: "MemberID"}}, []string{sameName, sameName}},
		{[]string{"full_name"}, []string{"First name", "Surname"}, []making.Choice{{Formulated: true, Formula: `row["First name"] + " " + Surname`}}, []string{fromTwo}},
		{[]string{"name"}, []string{"First name", "Last name"}, []making.Choice{{Formulated: true, Formula: `row["First name"] + " " + row["Last name"]`}}, []string{fromTwo}},
		{[]string{"name", "company_name"}, []string{"Company name", "Name"}, []making.Choice{{From: "Name"}, {From: "Company name"}}, []string{sameName, similarName}},
		// Which of two is meant cannot be told.
		{[]string{"phone"}, []string{"Phone private", "Phone office"}, []making.Choice{{}}, []string{""}},
		{[]string{"city", "zip"}, []string{"Capacity", "Zipper"}, []making.Choice{{}, {}}, []string{"", ""}},
		{[]string{"жизнь", ""}, []string{"Жизнь", "%"}, []making.Choice{{From: "Жизнь"}, {}}, []string{sameName, ""}},
	} {
		choices, why := suggested(c.targets, c.columns)
		for i := range c.targets {
			if choices[i] != c.want[i] || why[i] != c.why[i] {
				t.Errorf("%v of %v: %q is %+v, %q", c.targets, c.columns, c.targets[i], choices[i], why[i])
			}
		}
	}
}
