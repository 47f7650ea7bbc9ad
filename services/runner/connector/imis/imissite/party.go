package imissite

import (
	"encoding/json"
	"net/http"
	"slices"
)

// The names of types in the bodies of contacts. The documentation of the API names the first assembly, and
// answers of live sites the second.
var (
	personTypes     = []string{"Asi.Soa.Membership.DataContracts.PersonData, Asi.Soa.Membership.Contracts", "Asi.Soa.Membership.DataContracts.PersonData, Asi.Contracts"}
	personNameTypes = []string{"Asi.Soa.Membership.DataContracts.PersonNameData, Asi.Soa.Membership.Contracts", "Asi.Soa.Membership.DataContracts.PersonNameData, Asi.Contracts"}
)

// readPerson reads a PersonData as if it were an entity's. Only the members that the documentation shows are
// known.
func readPerson(r *http.Request) (data entityData, ok bool) {
	var given struct {
		Type       string `json:"$type"`
		PartyID    string `json:"PartyId"`
		PersonName *struct {
			Type                                          string `json:"$type"`
			FirstName, LastName, InformalName, NamePrefix *string
		}
	}
	if !readBody(r, &given) || !slices.Contains(personTypes, given.Type) || given.PersonName != nil && !slices.Contains(personNameTypes, given.PersonName.Type) {
		return data, false
	}
	if given.PartyID != "" {
		data.Identity = &identityData{IdentityElements: &texts{Values: []string{given.PartyID}}}
	}
	if name := given.PersonName; name != nil {
		for property, value := range map[string]*string{
			"FirstName": name.FirstName, "LastName": name.LastName, "InformalName": name.InformalName, "NamePrefix": name.NamePrefix,
		} {
			if value != nil {
				text, _ := json.Marshal(*value) // a string cannot fail
				data.Properties.Values = append(data.Properties.Values, propertyData{Name: property, Value: text})
			}
		}
	}
	return data, true
}

// person is a contact as the site answers it, cut down to what it keeps.
func person(row Row) map[string]any {
	name := map[string]any{"$type": personNameTypes[1]}
	for _, property := range []string{"FirstName", "LastName", "InformalName", "NamePrefix"} {
		if value, has := row[property]; has {
			name[property] = value
		}
	}
	return map[string]any{
		"$type": personTypes[1], "PartyId": row["PartyId"], "Id": row["PartyId"], "PersonName": name,
		"Name": cellText(row["FirstName"]) + " " + cellText(row["LastName"]),
	}
}
