package imissite_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
)

// visits is a panel with several rows a contact, and every type of property.
var visits = imissite.Entity{Name: "My_Visits", ObjectType: "Multi", Properties: []imissite.Property{
	{Name: "Place", Type: "String", MaxLength: 5, Required: true},
	{Name: "Arrived", Type: "Date"},
	{Name: "Guests", Type: "Integer", Default: int64(1)},
	{Name: "Fee", Type: "Decimal"},
	{Name: "Done", Type: "Boolean"},
	{Name: "Kind", Type: "String", Values: []string{"A", "B"}, Multiple: true},
}, Check: func(row imissite.Row) (property, message string) {
	if row["Place"] == "Nice" {
		return "Place", "No more visits to Nice."
	}
	return "", ""
}}

// newEntities is a site with a panel of each kind, and two contacts.
func newEntities(t *testing.T) (site *imissite.Site, token string) {
	t.Helper()
	site = newSite()
	site.SetContacts(imissite.Contact{ID: "101", FirstName: "Ann", LastName: "A"}, imissite.Contact{ID: "102", LastName: "B"})
	site.SetEntities(visits,
		imissite.Entity{Name: "My_Single", Properties: []imissite.Property{{Name: "Note", Type: "String"}}},
		imissite.Entity{Name: "My_Table", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
			{Name: "Code", Type: "String", MaxLength: 8, Required: true, Identity: true}, {Name: "Price", Type: "Monetary"},
		}},
		imissite.Entity{Name: "My_Hidden", NoREST: true},
		imissite.Entity{Name: "My_Mute", NoMetadata: true, NoValidate: true},
	)
	return site, signIn(t, site)
}

// body is a write of an entity of Party: its key, and "Name": value pairs of its properties.
func body(entity, contact string, key []string, properties string) string {
	const identity = `{"$type":"Asi.Soa.Core.DataContracts.IdentityData, Asi.Contracts","EntityTypeName":"%s"%s}`
	elements := func(values []string) string {
		if values == nil {
			return ""
		}
		text, _ := json.Marshal(values)
		return `,"IdentityElements":{"$type":"System.Collections.ObjectModel.Collection` + "`" + `1[[System.String, mscorlib]], mscorlib","$values":` + string(text) + `}`
	}
	parent, parentKey := "Party", []string{contact}
	if contact == "" {
		parent, parentKey = "Standalone", nil
	}
	var all []string
	for line := range strings.Lines(properties) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			all = append(all, `{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts","Name":"`+name+`","Value":`+value+`}`)
		}
	}
	return `{"$type":"Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts","EntityTypeName":"` + entity + `","PrimaryParentEntityTypeName":"` + parent + `",` +
		`"Identity":` + fmt.Sprintf(identity, entity, elements(key)) + `,"PrimaryParentIdentity":` + fmt.Sprintf(identity, parent, elements(parentKey)) + `,` +
		`"Properties":{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts","$values":[` + strings.Join(all, ",") + `]}}`
}

const whole = `ID="101"
Place="Rome"
Arrived="2026-01-31T00:00:00"
Guests={"$type":"System.Int32","$value":3}
Fee={"$type":"System.Decimal","$value":12.50}
Done={"$type":"System.Boolean","$value":true}
Kind="A,B"`

var stored = imissite.Row{
	"ID": "101", "Ordinal": int64(1), "Place": "Rome", "Arrived": "2026-01-31T00:00:00", "Guests": int64(3),
	"Fee": json.Number("12.50"), "Done": true, "Kind": "A,B",
}

func TestInsertUpdateDelete(t *testing.T) {
	site, token := newEntities(t)
	expect := func(want int, method, target, sent string) string {
		t.Helper()
		status, text := ask(site, method, target, token, "application/json", sent)
		if status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, target, status, text, want)
		}
		return text
	}
	// The answer to an insert does not say which Ordinal it got.
	if text := expect(201, "POST", "/api/My_Visits", body("My_Visits", "101", nil, whole)); !strings.Contains(text, `"$values":["101","0"]`) {
		t.Errorf("got %s", text)
	}
	if rows := site.Rows("My_Visits"); len(rows) != 1 || !reflect.DeepEqual(rows[0], stored) {
		t.Errorf("stored %v", rows)
	}
	expect(201, "POST", "/api/my_visits", body("My_Visits", "101", nil, "ID=\"101\"\nPlace=\"Zürch\""))
	if rows := site.Rows("My_Visits"); rows[1]["Ordinal"] != int64(2) || rows[1]["Guests"] != int64(1) {
		t.Errorf("stored %v", rows)
	}
	got := expect(200, "GET", "/api/My_Visits/~101%7C1", "")
	if again := expect(200, "PUT", "/api/My_Visits/~101|1", got); again != got {
		t.Errorf("got %s\n then %s", got, again)
	}
	expect(404, "GET", "/api/My_Visits/101", "")
	expect(404, "GET", "/api/My_Visits/101%7C1", "")
	expect(404, "GET", "/api/My_Visits/~101%7C3", "")
	expect(404, "PUT", "/api/My_Visits/~101%7C3", got)

	// What a PUT leaves out is gone, unless the site is one of those where it stays.
	change := body("My_Visits", "101", []string{"101", "1"}, "ID=\"101\"\nPlace=\"Bern\"")
	expect(200, "PUT", "/api/My_Visits/~101%7C1", change)
	if row := site.Rows("My_Visits")[0]; !reflect.DeepEqual(row, imissite.Row{"ID": "101", "Ordinal": int64(1), "Place": "Bern"}) {
		t.Errorf("stored %v", row)
	}
	expect(400, "PUT", "/api/My_Visits/~101%7C1", body("My_Visits", "101", []string{"101", "1"}, `ID="101"`))
	expect(400, "PUT", "/api/My_Visits/~101%7C1", body("My_Visits", "101", []string{"101", "2"}, whole))
	expect(400, "PUT", "/api/My_Visits/~101%7C1", body("My_Visits", "102", []string{"101", "1"}, strings.Replace(whole, "101", "102", 1)))
	site.SetPartialUpdates(true)
	expect(200, "PUT", "/api/My_Visits/~101%7C1", body("My_Visits", "101", []string{"101", "1"}, `Kind="A"`))
	if row := site.Rows("My_Visits")[0]; row["Place"] != "Bern" || row["Kind"] != "A" {
		t.Errorf("stored %v", row)
	}

	expect(201, "POST", "/api/My_Single", body("My_Single", "101", nil, "ID=\"101\"\nNote=\"x\""))
	expect(409, "POST", "/api/My_Single", body("My_Single", "101", nil, "ID=\"101\"\nNote=\"y\""))
	expect(201, "POST", "/api/My_Table", body("My_Table", "", nil, "Code=\"a\"\nPrice={\"$type\":\"System.Decimal\",\"$value\":1}"))
	expect(409, "POST", "/api/My_Table", body("My_Table", "", nil, `Code="A"`))
	expect(200, "GET", "/api/My_Table/A", "")
	expect(204, "DELETE", "/api/My_Visits/~101%7C2", "")
	expect(404, "DELETE", "/api/My_Visits/~101%7C2", "")

	expect(204, "DELETE", "/api/Party/101", "")
	if len(site.Rows("My_Visits"))+len(site.Rows("My_Single")) != 0 || len(site.Rows("Party")) != 1 {
		t.Error("what belongs to a contact is still there")
	}
	requests := site.Requests()
	if last := requests[len(requests)-1]; last.Method != "DELETE" || last.Path != "/api/party/101" {
		t.Errorf("recorded %v", last)
	}
}

// The stand-in lets nothing pass that iMIS might refuse.
func TestRefusedWrites(t *testing.T) {
	site, token := newEntities(t)
	sent := body("My_Visits", "101", nil, whole)
	replace := func(old, by string) string {
		t.Helper()
		if !strings.Contains(sent, old) {
			t.Fatalf("%q is not in the body", old)
		}
		return strings.Replace(sent, old, by, 1)
	}
	for name, c := range map[string]struct {
		body string
		says string // of a validation; empty where the request is refused as a whole
	}{
		"another type":            {replace(`"$type":"Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts"`, `"$type":"X"`), ""},
		"no type":                 {replace(`"$type":"Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts",`, ``), ""},
		"no entity":               {replace(`"EntityTypeName":"My_Visits",`, ``), ""},
		"another entity":          {replace(`"EntityTypeName":"My_Visits",`, `"EntityTypeName":"My_Single",`), ""},
		"no parent":               {replace(`"PrimaryParentEntityTypeName":"Party",`, ``), ""},
		"no contact":              {replace(`["101"]`, `[]`), ""},
		"another contact":         {replace(`["101"]`, `["102"]`), ""},
		"a key at an insert":      {body("My_Visits", "101", []string{"101", "1"}, whole), ""},
		"more members":            {replace(`"Properties"`, `"More":1,"Properties"`), ""},
		"no list of properties":   {replace(`"$type":"Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts",`, ``), ""},
		"a property of no type":   {replace(`{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts","Name":"Place"`, `{"Name":"Place"`), ""},
		"a property twice":        {body("My_Visits", "101", nil, whole+"\nplace=\"x\""), ""},
		"a bare boolean":          {replace(`{"$type":"System.Boolean","$value":true}`, `true`), ""},
		"a bare number":           {replace(`{"$type":"System.Int32","$value":3}`, `3`), ""},
		"a wrapped text":          {replace(`"Rome"`, `{"$type":"System.String","$value":"Rome"}`), ""},
		"another wrapper":         {replace(`System.Int32`, `System.Int64`), ""},
		"a text in the wrapper":   {replace(`"$value":3`, `"$value":"3"`), ""},
		"a part of a number":      {replace(`"$value":3`, `"$value":3.5`), ""},
		"too large a number":      {replace(`"$value":3`, `"$value":3000000000`), ""},
		"a decimal in quotes":     {replace(`12.50`, `"12.50"`), ""},
		"no JSON":                 {sent[1:], ""},
		"more than JSON":          {sent + "1", ""},
		"another contact's panel": {body("My_Visits", "103", nil, strings.Replace(whole, "101", "103", 1)), "ID is not that of a contact."},
		"unknown property":        {replace(`"Name":"Place"`, `"Name":"Plaec"`), "Plaec is not a property of My_Visits."},
		"too long":                {replace(`"Rome"`, `"Zürich"`), "Place must not be longer than 5 characters."},
		"missing":                 {replace(`"Rome"`, `null`), "Place is required."},
		"blank":                   {replace(`"Rome"`, `" "`), "Place is required."},
		"no date":                 {replace(`2026-01-31T00:00:00`, `31.01.2026`), "Arrived is not a date."},
		"a day that is none":      {replace(`2026-01-31T00:00:00`, `2026-02-31T00:00:00`), "Arrived is not a date."},
		"a date alone":            {replace(`2026-01-31T00:00:00`, `2026-01-31`), "Arrived is not a date."},
		"against a rule":          {replace(`"Rome"`, `"Nice"`), "No more visits to Nice."},
		"not in the list":         {replace(`A,B`, `A,C`), "Kind has a value that is not in its list."},
		"an Ordinal":              {body("My_Visits", "101", nil, whole+"\nOrdinal={\"$type\":\"System.Int32\",\"$value\":7}"), "Ordinal is given by the site and cannot be set."},
	} {
		status, text := ask(site, "POST", "/api/My_Visits", token, "application/json", c.body)
		isValidation := strings.Contains(text, "ValidationResultsData")
		if status != 400 || isValidation != (c.says != "") || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
		status, text = ask(site, "POST", "/api/My_Visits/_validate", token, "application/json", c.body)
		if name == "a key at an insert" {
			continue // it may be validated, with a view to an update
		}
		if c.says == "" && status != 400 || c.says != "" && c.says[:2] != "Or" && (status != 200 || !strings.Contains(text, c.says)) {
			t.Errorf("%s, not stored: %d %s", name, status, text)
		}
	}
	for target, want := range map[string]int{
		"/api/My_Hidden": 501, "/api/My_Mute/_validate": 501, "/api/My_None": 501, "/api/My_Visits/_bulkInsert": 501,
	} {
		if status, text := ask(site, "POST", target, token, "application/json", sent); status != want {
			t.Errorf("%s: %d %s", target, status, text)
		}
	}
	if status, _ := ask(site, "POST", "/api/My_Visits", "", "application/json", sent); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	if status, _ := ask(site, "POST", "/api/My_Visits", token, "text/plain", sent); status != 400 {
		t.Errorf("as plain text: %d", status)
	}
	if rows := site.Rows("My_Visits"); len(rows) != 0 {
		t.Errorf("stored %v", rows)
	}
	if status, text := ask(site, "POST", "/api/My_Visits/_validate", token, "application/json", sent); status != 200 || !strings.Contains(text, `"$values":[]`) || len(site.Rows("My_Visits")) != 0 {
		t.Errorf("a good one, not stored: %d %s", status, text)
	}
}

// A validation error is told by its reason phrase too, and so is what is missing of the site.
func TestReasonPhrases(t *testing.T) {
	site, token := newEntities(t)
	server := httptest.NewServer(site)
	defer server.Close()
	for target, want := range map[string]string{
		"/api/My_Visits": "400 Validation error", "/api/My_Hidden": "501 Service not implemented", "/api/My_Mute/_validate": "501 Operation not implemented",
	} {
		request, _ := http.NewRequestWithContext(t.Context(), "POST", server.URL+target, strings.NewReader(body("My_Visits", "101", nil, `ID="101"`)))
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.Status != want {
			t.Errorf("%s: %s, want %s", target, answer.Status, want)
		}
	}
}

func TestFind(t *testing.T) {
	site, token := newEntities(t)
	for i := range 12 {
		site.SetRows("My_Visits", imissite.Row{
			"ID": fmt.Sprint(101 + i%2), "Ordinal": i + 1, "Place": []string{"Rome", "Oslo"}[i/6], "Guests": i, "Done": i > 5,
			"Arrived": fmt.Sprintf("2026-01-%02dT00:00:00", i+1), "Fee": json.Number(fmt.Sprintf("%d.50", i)),
		})
	}
	for query, want := range map[string]int{
		"":                                12,
		"ID=eq:101":                       6,
		"ID=101&Place=eq:rome":            3,
		"Guests=gt:9":                     2,
		"Fee=eq:3.5":                      1,
		"Arrived=eq:2026-01-03":           1,
		"Arrived=ge:2026-01-03":           10,
		"arrived=eq:2026-01-03T00:00:00":  1,
		"Place=in:Bern|Oslo":              6,
		"Place=eq:eq:Oslo":                0,
		"Kind=isEmpty":                    12,
		"Done=eq:true":                    6,
		"Place=contains:o&Place=Rome":     400,
		"Nowhere=eq:1":                    400,
		"limit=501":                       400,
		"ID=eq:101&limit=2":               6,
		"Place=startsWith:Os&Guests=ne:7": 5,
	} {
		status, text := ask(site, "GET", "/api/My_Visits?"+query, token, "", "")
		var page struct{ TotalCount, Count int }
		_ = json.Unmarshal([]byte(text), &page)
		if want == 400 && status != 400 || want != 400 && (status != 200 || page.TotalCount != want) {
			t.Errorf("%s: %d, %d rows, want %d", query, status, page.TotalCount, want)
		}
		if strings.Contains(query, "limit=2") && page.Count != 2 {
			t.Errorf("%s: %d on the page", query, page.Count)
		}
	}
}

func TestDefinitions(t *testing.T) {
	site, token := newEntities(t)
	status, text := ask(site, "GET", "/api/BoEntityDefinition?limit=2&offset=2", token, "", "")
	if status != 200 || !strings.Contains(text, `"EntityTypeName":"My_Single"`) || !strings.Contains(text, `"TotalCount":5`) || strings.Contains(text, "My_Mute") {
		t.Errorf("%d %s", status, text)
	}
	status, text = ask(site, "GET", "/api/metadata/my_visits", token, "", "")
	for _, part := range []string{
		`"EntityTypeName":"My_Visits","ObjectTypeName":"Multi","PrimaryParentEntityTypeName":"Party"`,
		`"IsIdentity":true,"MaxLength":10,"Name":"ID","PropertyTypeName":"String","Required":true`,
		`"Name":"Arrived","PropertyTypeName":"Date"`, `"DefaultValue":{"$type":"System.Int32","$value":1}`, `PropertyRuleValueListData`,
	} {
		if status != 200 || !strings.Contains(text, part) {
			t.Errorf("%d %s, want %s", status, text, part)
		}
	}
	for target, want := range map[string]int{
		"/api/metadata/My_Mute": 501, "/api/metadata/My_Hidden": 501, "/api/metadata/Party": 501,
		"/api/BoEntityDefinition?EntityTypeName=My_Visits": 400, "/api/My_Hidden": 501,
	} {
		if status, text := ask(site, "GET", target, token, "", ""); status != want {
			t.Errorf("%s: %d %s", target, status, text)
		}
	}
}

func TestContacts(t *testing.T) {
	site, token := newEntities(t)
	const person = `{"$type":"Asi.Soa.Membership.DataContracts.PersonData, Asi.Soa.Membership.Contracts",%s` +
		`"PersonName":{"$type":"Asi.Soa.Membership.DataContracts.PersonNameData, Asi.Soa.Membership.Contracts","FirstName":"Cy","LastName":"%s"}}`
	for name, c := range map[string]struct {
		method, target, body string
		status               int
	}{
		"a new one":             {"POST", "/api/Party", fmt.Sprintf(person, "", "C"), 201},
		"one of no name":        {"POST", "/api/Party", fmt.Sprintf(person, "", ""), 400},
		"one with an ID":        {"POST", "/api/Party", fmt.Sprintf(person, `"PartyId":"200",`, "C"), 400},
		"a member that is none": {"POST", "/api/Party", fmt.Sprintf(person, `"Nickname":"c",`, "C"), 400},
		"another type":          {"POST", "/api/Party", strings.Replace(fmt.Sprintf(person, "", "C"), "PersonData", "PartyData", 1), 400},
		"as an entity":          {"POST", "/api/Party", body("Party", "", nil, `LastName="C"`), 400},
		"a change":              {"PUT", "/api/Party/102", fmt.Sprintf(person, `"PartyId":"102",`, "New"), 200},
		"a change of another":   {"PUT", "/api/Party/102", fmt.Sprintf(person, `"PartyId":"101",`, "New"), 400},
		"a change of none":      {"PUT", "/api/Party/300", fmt.Sprintf(person, `"PartyId":"300",`, "New"), 404},
		"the first":             {"GET", "/api/party?limit=1", "", 200},
		"by name":               {"GET", "/api/Party?LastName=eq:A", "", 200},
	} {
		if status, text := ask(site, c.method, c.target, token, "application/json", c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, text, c.status)
		}
	}
	rows := site.Rows("Party")
	if len(rows) != 3 || rows[1]["LastName"] != "New" || rows[2]["PartyId"] != "103" || rows[2]["LastName"] != "C" {
		t.Errorf("stored %v", rows)
	}
}
