package imis_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/task"
)

// newContacts is a stand-in site with the person 201, who has all that a contact may have, and the organization 202.
func newContacts(t testing.TB, action task.Action, columns ...string) *panels {
	t.Helper()
	p := newPanels(t, "party", action, columns...)
	types := strings.NewReplacer("T:Attributes", "Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts", "T:Attribute", "Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts")
	for id, text := range map[string]string{
		"201": `{"$type":"T:PersonData","BirthDate":"1952-05-19T00:00:00","PersonName":{"$type":"T:PersonNameData","FirstName":"Douglas","LastName":"Hunt","NamePrefix":"Mr."},
			"PrimaryOrganization":{"$type":"T:PrimaryOrganizationInformationData","Name":"Prodigy","Title":"President"},
			"Emails":{"$type":"T:EmailDataCollection","$values":[{"$type":"T:EmailData","Address":"doug@example.org","EmailType":"_Primary","IsPrimary":true},{"$type":"T:EmailData","Address":"d.hunt@example.com","EmailType":"Work"}]},
			"Phones":{"$type":"T:PhoneDataCollection","$values":[{"$type":"T:PhoneData","Number":"(201) 346-9989","PhoneType":"_Home Phone"},{"$type":"T:PhoneData","Number":"(411)643-5821","PhoneType":"Mobile"}]},
			"Addresses":{"$type":"T:FullAddressDataCollection","$values":[
				{"$type":"T:FullAddressData","AddressPurpose":"Address","Note":"kept","Phone":"1","Address":{"$type":"T:AddressData","AddressId":"1","AddressLines":{"$type":"T:AddressLineDataCollection","$values":["P.O. Box 4564","Suite 2"]},"CityName":"Newark","PostalCode":"07107"}},
				{"$type":"T:FullAddressData","AddressPurpose":"Home Address","Address":{"$type":"T:AddressData","CityName":"Somerville"}}]},
			"AdditionalAttributes":{"$type":"T:Attributes","$values":[{"$type":"T:Attribute","Name":"CustomerTypeCode","Value":"CM"},{"$type":"T:Attribute","Name":"IsMember","Value":{"$type":"System.Boolean","$value":true}}]}}`,
		"202": `{"$type":"T:OrganizationData","OrganizationName":"Prodigy"}`,
	} {
		text = types.Replace(text)
		for _, name := range []string{"PersonData", "OrganizationData", "PersonNameData", "PrimaryOrganizationInformationData", "EmailDataCollection", "EmailData", "PhoneDataCollection", "PhoneData", "FullAddressDataCollection", "FullAddressData", "AddressData", "AddressLineDataCollection"} {
			text = strings.ReplaceAll(text, `"T:`+name+`"`, `"Asi.Soa.Membership.DataContracts.`+name+`, Asi.Contracts"`)
		}
		if err := p.site.SetContact(id, text); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// is compares what is stored of a contact.
func (p *panels) is(id, want string) {
	p.t.Helper()
	if got := p.site.Contact(id); got != want {
		p.t.Errorf("contact %s is\n%s\nwant\n%s", id, got, want)
	}
}

// steps are the requests that find and change contacts, in order, with the operation of each execution.
func (p *panels) steps() (all []string) {
	for _, r := range p.site.Requests() {
		step := r.Method + " " + r.Path
		if _, operation, ok := strings.Cut(r.Body, `"OperationName":"`); ok {
			step += " " + operation[:strings.IndexByte(operation, '"')]
		}
		if r.Query.Get("limit") != "1" {
			all = append(all, step)
		}
	}
	return all
}

// Persons and organizations are inserted with all that a contact may have, and found again by what the site finds.
func TestContactsAreInserted(t *testing.T) {
	p := newContacts(t, task.Upsert, "FirstName", "LastName", "NamePrefix", "Email", "Email.Work", "Phone.Mobile", "Address.Home Address.AddressLine1", "Address.Home Address.AddressLine2",
		"Address.Home Address.CityName", "Address.Home Address.CountryCode", "Address.Home Address.Fax", "Address.Bill.PostalCode", "PrimaryOrganization.OrganizationPartyId", "BirthDate", "AdditionalAttributes.CustomerTypeCode", "AdditionalAttributes.IsMember")
	p.to.Match = []string{"Email"}
	rows := [][]any{
		{"Zoë", `O'Neil <"&`, "Dr.", "zoe@example.org", "z@example.com", "+1 (5) 6", "1 Main", "Flat 2", "Oslo", "NO", "77", "0123", "202", "1990-02-28", "CM", true},
		{"", "Bo", "", "bo@example.org", "", "", "", "Flat 2", "", "", "", "", "", "", "", nil},
		{"Al", "", "", "al@example.org", "", "", "", "", "", "", "", "", "", "", "", nil},
		{"Al", "Nobody", "", "", "", "", "", "", "", "", "", "", "", "", "", nil},
		{"Al", "Bad", "", "no address", "", "", "", "", "", "", "", "", "", "", "", nil},
	}
	p.expect(rows, "inserted", "inserted", "LastName must not be empty", "skipped", "Email is refused by the site's validation")
	p.is("203", `{"PartyId":"203","Id":"203","BirthDate":"1990-02-28T00:00:00","PersonName":{"FirstName":"Zoë","LastName":"O'Neil \u003c\"\u0026","NamePrefix":"Dr."},"PrimaryOrganization":{"OrganizationPartyId":"202"},`+
		`"Addresses":{"$values":[{"FullAddressId":"1","AddressPurpose":"Home Address","Address":{"AddressLines":{"$values":["1 Main","Flat 2"]},"CityName":"Oslo","CountryCode":"NO"},"Fax":"77"},{"FullAddressId":"2","AddressPurpose":"Bill","Address":{"PostalCode":"0123"}}]},`+
		`"Emails":{"$values":[{"Address":"zoe@example.org","EmailType":"_Primary","IsPrimary":true},{"Address":"z@example.com","EmailType":"Work"}]},"Phones":{"$values":[{"Number":"+1 (5) 6","PhoneType":"Mobile"}]},`+
		`"AdditionalAttributes":{"$values":[{"Name":"CustomerTypeCode","Value":"CM"},{"Name":"IsMember","Value":{"$type":"System.Boolean","$value":true}}]}}`)
	p.is("204", `{"PartyId":"204","Id":"204","PersonName":{"LastName":"Bo"},"Addresses":{"$values":[{"FullAddressId":"1","AddressPurpose":"Home Address","Address":{"AddressLines":{"$values":["","Flat 2"]}}}]},"Emails":{"$values":[{"Address":"bo@example.org","EmailType":"_Primary","IsPrimary":true}]}}`)
	stored := len(p.site.Rows("Party"))
	p.expect(rows[:2], "unchanged", "unchanged")
	if len(p.site.Rows("Party")) != stored || p.asked("/api/party/_execute") != 5 {
		t.Errorf("%d contacts, %q", len(p.site.Rows("Party")), p.steps())
	}

	p = newContacts(t, task.Insert, "OrganizationName", "Phone._Work Phone")
	p.to.Match = []string{"OrganizationName"}
	p.expect([][]any{{"prodigy", "1"}, {"New & Co", "2"}, {"New & Co", "3"}}, "skipped", "inserted", "skipped")
	p.is("203", `{"PartyId":"203","Id":"203","OrganizationName":"New \u0026 Co","Phones":{"$values":[{"Number":"2","PhoneType":"_Work Phone"}]}}`)
}

// Only what differs is changed, all else goes back as it came, and one address alone by its own operation.
func TestContactsAreUpdated(t *testing.T) {
	whole := newContacts(t, task.Update).site.Contact("201")
	for _, c := range []struct {
		column     string
		value      any
		old, new   string // of what is stored
		outcome    string
		operations int
	}{
		{"FirstName", "Doug", `"Douglas","LastName"`, `"Doug","LastName"`, "updated", 0},
		{"FirstName", "Douglas", "", "", "unchanged", 0},
		{"NamePrefix", "", `,"NamePrefix":"Mr."`, ``, "updated", 0},
		{"Email", "new@example.org", `"doug@example.org"`, `"new@example.org"`, "updated", 0},
		{"Email.Work", nil, `,{"Address":"d.hunt@example.com","EmailType":"Work"}`, ``, "updated", 0},
		{"Email.Other", nil, "", "", "unchanged", 0},
		{"Phone.Mobile", "5", `"(411)643-5821"`, `"5"`, "updated", 0},
		{"Phone.Fax", "6", `"PhoneType":"Mobile"}`, `"PhoneType":"Mobile"},{"Number":"6","PhoneType":"Fax"}`, "updated", 0},
		{"PrimaryOrganization.Title", "Member", `"President"`, `"Member"`, "updated", 0},
		{"Address.Address.CityName", "Oslo", `"Newark"`, `"Oslo"`, "updated", 1},
		{"Address.address.AddressLine2", "", `"P.O. Box 4564","Suite 2"`, `"P.O. Box 4564"`, "updated", 1},
		{"Address.Address.AddressLine3", "c", `"Suite 2"`, `"Suite 2","c"`, "updated", 1},
		{"Address.Address.Phone", "2", `"Phone":"1"`, `"Phone":"2"`, "updated", 1},
		{"Address.Mail.PostalCode", "9", `"CityName":"Somerville"}}`, `"CityName":"Somerville"}},{"FullAddressId":"3","AddressPurpose":"Mail","Address":{"PostalCode":"9"}}`, "updated", 1},
		{"AdditionalAttributes.IsMember", "false", `"$value":true`, `"$value":false`, "updated", 0},
		{"AdditionalAttributes.CustomerTypeCode", "", `"Name":"CustomerTypeCode","Value":"CM"`, `"Name":"CustomerTypeCode"`, "updated", 0},
		{"BirthDate", "1952-05-20", `05-19`, `05-20`, "updated", 0},
	} {
		p := newContacts(t, task.Update, "PartyId", c.column)
		p.to.Key = []string{"PartyId"}
		p.expect([][]any{{"201", c.value}, {"999", c.value}, {"", c.value}}, c.outcome, "skipped", "PartyId must not be empty: it is the key")
		want := strings.Replace(whole, c.old, c.new, 1)
		if got := strings.Replace(p.site.Contact("201"), `"Name":"Douglas Hunt",`, "", 1); got != want {
			t.Errorf("%s: stored\n%s\nwant\n%s", c.column, got, want)
		}
		if got := p.asked("/api/party/_execute"); got != c.operations {
			t.Errorf("%s: %q", c.column, p.steps())
		}
	}
	// Two addresses, or an address and more, take the whole contact.
	p := newContacts(t, task.Update, "PartyId", "Address.Address.CityName", "Address.Home Address.CityName", "FirstName")
	p.to.Key = []string{"PartyId"}
	p.expect([][]any{{"201", "A", "B", "Douglas"}, {"201", "C", "B", "Doug"}, {"201", "C", "D", "Doug"}}, "updated", "updated", "updated")
	if got := p.steps(); !slices.Equal(got, []string{"GET /api/party/201", "PUT /api/party/201", "GET /api/party/201", "PUT /api/party/201", "GET /api/party/201", "POST /api/party/_execute AddressUpdate"}) {
		t.Errorf("%q", got)
	}
	// A contact without an address is given with an empty one, which does not come back.
	p = newContacts(t, task.Update, "PartyId", "FirstName")
	p.to.Key = []string{"PartyId"}
	p.expect([][]any{{"101", "Bea"}}, "updated")
	// What a site says no to fails, in an operation's answer too.
	p = newContacts(t, task.Update, "PartyId", "Address.Address.CityName")
	p.to.Key = []string{"PartyId"}
	p.site.Fail(nil, nil, sitetest.Status(204)) // done, and no more to say
	p.expect([][]any{{"201", "Oslo"}}, "updated")
	for answer, want := range map[string]string{
		`{"Result":null,"IsSuccessStatusCode":false,"Message":"SECRET"}`:                                                                          "is refused by the site",
		`{"Result":null,"IsSuccessStatusCode":false,"ValidationResults":{"Errors":{"$values":[{"PropertyName":"CityName","Message":"SECRET"}]}}}`: "is refused by the site's validation",
	} {
		p.site.Fail(nil, nil, sitetest.Answer("application/json", answer))
		p.expect([][]any{{"201", "Oslo"}}, want)
	}
}

// The primary e-mail address is the one that is marked, or of that type, or the only one.
func TestPrimaryEmail(t *testing.T) {
	const kind = `"$type":"Asi.Soa.Membership.DataContracts.Email`
	mail := func(rest string) string { return `{` + kind + `Data, Asi.Contracts",` + rest + `}` }
	for list, want := range map[string]string{
		mail(`"Address":"a@x","EmailType":"_Primary"`) + "," + mail(`"Address":"b@x","EmailType":"Work","IsPrimary":true`): "b@x",
		mail(`"Address":"a@x","EmailType":"Work"`) + "," + mail(`"Address":"b@x","EmailType":"_primary"`):                  "b@x",
		mail(`"Address":"a@x","EmailType":"Address"`):                                                                      "a@x", // as in the vendor's sample
	} {
		p := newContacts(t, task.Update, "PartyId", "Email")
		p.to.Key = []string{"PartyId"}
		if err := p.site.SetContact("205", `{"$type":"Asi.Soa.Membership.DataContracts.OrganizationData, Asi.Contracts","OrganizationName":"O","Emails":{`+kind+`DataCollection, Asi.Contracts","$values":[`+list+`]}}`); err != nil {
			t.Fatal(err)
		}
		before := p.site.Contact("205")
		p.expect([][]any{{"205", want}, {"205", "new@x"}}, "unchanged", "updated")
		if got := p.site.Contact("205"); strings.NewReplacer(`"Name":"O",`, "", `"Addresses":{"$values":[]},`, "").Replace(got) != strings.Replace(before, want, "new@x", 1) {
			t.Errorf("stored %s", got)
		}
	}
}

// A contact is found by the site's own operations; a filter does it where the site has none.
func TestContactsAreFound(t *testing.T) {
	for _, c := range []struct {
		match   []string
		values  []any // FirstName, LastName, Email, Phone.Mobile, Title
		outcome string
		steps   string
	}{
		{[]string{"Email"}, []any{"Doug", "Hunt", "DOUG@example.org", "1", "New"}, "updated", "FindByEmail"},
		{[]string{"Email"}, []any{"Doug", "Hunt", "none@example.org", "1", "New"}, "skipped", "FindByEmail"},
		{[]string{"Email"}, []any{"Doug", "Hunt", "d.hunt@example.com", "1", "New"}, "Email is another in the contact that the site finds for the row; nothing was changed", "FindByEmail"}, // not his primary one
		{[]string{"FirstName", "LastName"}, []any{"douglas", "HUNT", "x@y", "1", "New"}, "updated", "FindByMatch"},
		{[]string{"FirstName", "LastName"}, []any{"Dora", "Hunt", "x@y", "1", "New"}, "FirstName is another in the contact that the site finds for the row; nothing was changed", "FindByMatch"},
		{[]string{"LastName", "Phone.Mobile"}, []any{"Doug", "Hunt", "x@y", "411 6435821", "New"}, "updated", "FindByMatch"},
		{[]string{"LastName", "Phone.Mobile"}, []any{"Doug", "Hunt", "x@y", "411 6435822", "New"}, "Phone.Mobile is another in the contact that the site finds for the row; nothing was changed", "FindByMatch"},
	} {
		p := newContacts(t, task.Update, "FirstName", "LastName", "Email", "Phone.Mobile", "PrimaryOrganization.Title")
		p.to.Match = c.match
		p.expect([][]any{c.values}, c.outcome)
		if steps := p.steps(); !strings.HasSuffix(steps[0], "_execute "+c.steps) || (c.outcome == "updated") != strings.Contains(p.site.Contact("201"), `"New"`) {
			t.Errorf("%v: %q\n%s", c.values, steps, p.site.Contact("201"))
		}
	}
	// Several.
	for policy, want := range map[task.RowPolicy]string{task.SkipRow: "skipped", task.FailRow: "matches more than one record", task.AllRecords: "updated"} {
		p := newContacts(t, task.Update, "LastName", "NamePrefix") // all of the site's first contacts have that name
		p.to.Match, p.to.OnMultiple = []string{"LastName"}, policy
		p.expect([][]any{{"Ann", "Dr."}}, want)
		if changed := strings.Count(p.site.Contact("101")+p.site.Contact("109"), "Dr."); changed != map[task.RowPolicy]int{task.AllRecords: 2}[policy] {
			t.Errorf("%s: %d changed", policy, changed)
		}
	}
	// Many.
	for count, want := range map[int]string{20: "skipped", 21: "is like more than 20 contacts; match by more columns"} {
		p := newContacts(t, task.Update, "LastName", "NamePrefix")
		var alike []imissite.Contact
		for i := range count {
			alike = append(alike, imissite.Contact{ID: strconv.Itoa(1000 + i), LastName: "Alike"})
		}
		p.site.SetContacts(alike...)
		p.to.Match = []string{"LastName"}
		p.expect([][]any{{"Alike", "Dr."}}, want)
	}
	// A site without the operations.
	p := newContacts(t, task.Update, "FirstName", "LastName", "Email", "NamePrefix")
	p.site.SetOperations()
	p.to.Match = []string{"Email", "LastName"}
	p.expect([][]any{{"Doug", "Hunt", "doug@example.org", "Dr."}, {"Doug", "Hunt", "no@example.org", "Dr."}}, "updated", "skipped")
	if got := p.steps(); !slices.Equal(got, []string{"POST /api/party/_execute FindByMatch", "GET /api/party", "GET /api/party/201", "PUT /api/party/201", "GET /api/party"}) {
		t.Errorf("%q", got)
	}
	p = newContacts(t, task.Update, "LastName", "Phone.Mobile", "NamePrefix")
	p.site.SetOperations()
	p.to.Match = []string{"LastName", "Phone.Mobile"}
	p.fail([][]any{{"Hunt", "1", "Dr."}}, "the site does not find contacts by its own operation (_execute), and there is no filter for Phone.Mobile; match by Email, FirstName and LastName")
}

// A person does not become an organization, and nobody is deleted.
func TestContactsThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		action     task.Action
		columns    string
		key, match string
		says       string
	}{
		{task.Insert, "FirstName", "", "", "mapping.LastName: a new contact needs LastName, or OrganizationName for an organization; add one of the two to mapping"},
		{task.Insert, "LastName,FristName", "", "", "mapping.FristName: a contact has no column FristName; did you mean FirstName?"},
		{task.Insert, "LastName,Address.Home.City", "", "", "mapping.Address.Home.City: a contact has no column Address.Home.City; it has FirstName, "},
		{task.Insert, "LastName,Phone.,Email. ,AdditionalAttributes", "", "", "mapping.Phone.: a contact has no column Phone.; "},
		{task.Insert, "LastName,OrganizationName", "", "", "mapping.OrganizationName: a contact is a person, with LastName, or an organization, with OrganizationName; a person's employer is PrimaryOrganization.Name"},
		{task.Insert, "LastName,PartyId", "", "", "mapping.PartyId: the site numbers contacts itself, and takes no PartyId with a new one; remove it from mapping"},
		{task.Upsert, "LastName,PartyId", "PartyId", "", "destination.imis.key: the site numbers contacts itself, so that none can be inserted under a key of yours; find them by match, or take update"},
		{task.Update, "LastName,Email", "Email", "", "destination.imis.key: a contact is identified by PartyId, its iMIS ID; take key: [PartyId], or find contacts by match"},
		{task.Update, "LastName,PartyId", "", "PartyId", "destination.imis.match: PartyId is the contact's identity; take key: [PartyId]"},
		{task.Delete, "PartyId", "PartyId", "", "destination.imis.action: contacts are never deleted"},
	} {
		p := newContacts(t, c.action, strings.Split(c.columns, ",")...)
		if c.key != "" {
			p.to.Key = []string{c.key}
		}
		if c.match != "" {
			p.to.Match = []string{c.match}
		}
		p.fail(nil, "the entity Party of connection prod does not fit the task; ", c.says)
		if said := p.check(); len(said) == 0 || !strings.Contains(strings.Join(said, "\n"), "error "+c.says) {
			t.Errorf("check says %q", said)
		}
	}
	p := newContacts(t, task.Update, "PartyId", "LastName")
	p.to.Key = []string{"PartyId"}
	p.expect([][]any{{"202", "Hunt"}}, "is the name of a person, and the contact is an organization; nothing was changed")
	if p.count(http.MethodDelete) > 0 {
		t.Error("somebody was deleted")
	}
}

// A dry run and a check validate, and write nothing; an insert whose answer is lost is looked for.
func TestContactsAreTried(t *testing.T) {
	p := newContacts(t, task.Upsert, "LastName", "Email", "FirstName")
	p.to.Match, p.dry = []string{"Email"}, true
	rows := [][]any{{"Hunt", "doug@example.org", "D"}, {"New", "new@example.org", "N"}, {"New", "new@example.org", strings.Repeat("n", 21)}}
	p.expect(rows, "updated", "inserted", "FirstName is refused by the site's validation")
	if said := p.check(rows...); !slices.Equal(said, []string{"FirstName is refused by the site's validation"}) {
		t.Errorf("check says %q", said)
	}
	for _, step := range p.steps() {
		if strings.HasPrefix(step, "PUT") || step == "POST /api/party" || strings.HasSuffix(step, "AddressUpdate") {
			t.Errorf("%s was sent", step)
		}
	}
	imis.ShortenPauses(t)
	p = newContacts(t, task.Upsert, "LastName", "Email")
	p.to.Match = []string{"Email"}
	p.site.Fail(nil, nil, imissite.Fault(sitetest.AfterStoring(sitetest.Drop))) // behind the probe and the look
	p.expect([][]any{{"New", "new@example.org"}}, "inserted")
	if got := p.site.Rows("Party"); len(got) != 12 {
		t.Errorf("%d contacts", len(got))
	}
}
