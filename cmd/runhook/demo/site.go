package demo

import (
	"encoding/json"
	"strconv"
	"strings"

	"runhook/services/runner/connector/imis/imissite"
)

// The account of the stand-in site. Only programs of this machine reach it.
const username, password = "demo", "demo"

// firstContact is the ID of the first airport, which is a contact of the site as all others are.
const firstContact = 10001

// newSite is a stand-in for an iMIS site: the airports are its contacts, an IQA with two prompts gives them, and
// a panel takes what is known about each.
func newSite(airports []airport) *imissite.Site {
	id := func(i int) string { return strconv.Itoa(firstContact + i) }
	site := imissite.New(username, password, imissite.Query{
		Path: "$/Demo/Airports",
		Columns: []imissite.Column{
			{Name: "ID", Type: "String"},
			{Name: "IATA", Type: "String"},
			{Name: "Name", Type: "String"},
			{Name: "City", Type: "String"},
			{Name: "State", Type: "String"},
			{Name: "Latitude", Type: "Decimal"},
			{Name: "Longitude", Type: "Decimal"},
		},
		Prompts: []imissite.Prompt{{Property: "State", Column: "State"}, {Property: "City", Column: "City", Contains: true}},
		Count:   len(airports),
		Row: func(i int) []any {
			a := airports[i]
			return []any{id(i), a.IATA, a.Name, a.City, a.State, json.Number(a.Latitude), json.Number(a.Longitude)}
		},
	})
	contacts := make([]imissite.Contact, len(airports))
	for i, a := range airports {
		contacts[i] = imissite.Contact{ID: id(i), LastName: a.Name}
	}
	site.SetContacts(contacts...)
	// Five airports of California do not fit: two have too long a name, and three are refused by a rule that the
	// site does not tell before.
	site.SetEntities(imissite.Entity{
		Name: "Demo_Airfield",
		Properties: []imissite.Property{
			{Name: "Code", Type: "String", MaxLength: 4, Required: true},
			{Name: "Title", Type: "String", MaxLength: 35},
			{Name: "Place", Type: "String", MaxLength: 40},
			{Name: "Latitude", Type: "Decimal"},
		},
		Check: func(row imissite.Row) (property, message string) {
			if place, _ := row["Place"].(string); strings.Contains(place, "/") {
				return "Place", "Place must name one city only."
			}
			return "", ""
		},
	})
	return site
}
