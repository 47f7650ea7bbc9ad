package imissite

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// contactType is the name of a type of contacts. Answers have this assembly; that of versions before 20.2, which the
// documentation still shows, is taken too.
func contactType(name string) string {
	return "Asi.Soa.Membership.DataContracts." + name + ", Asi.Contracts"
}

func isContactType(given, name string) bool {
	return given == contactType(name) || given == "Asi.Soa.Membership.DataContracts."+name+", Asi.Soa.Membership.Contracts"
}

// partyData is a PersonData or an OrganizationData, with the members of the vendor's sample that are kept here.
type partyData struct {
	Type                string             `json:"$type"`
	PartyID             string             `json:"PartyId,omitempty"`
	ID                  string             `json:"Id,omitempty"`
	Name                string             `json:",omitempty"`
	BirthDate           string             `json:",omitempty"`
	OrganizationName    string             `json:",omitempty"`
	PersonName          *personName        `json:",omitempty"`
	PrimaryOrganization *employer          `json:",omitempty"`
	Addresses           *listOf[address]   `json:",omitempty"`
	Emails              *listOf[mailbox]   `json:",omitempty"`
	Phones              *listOf[telephone] `json:",omitempty"`
	Attributes          *listOf[attribute] `json:"AdditionalAttributes,omitempty"`
}

type personName struct {
	Type         string `json:"$type"`
	FirstName    string `json:",omitempty"`
	MiddleName   string `json:",omitempty"`
	LastName     string `json:",omitempty"`
	InformalName string `json:",omitempty"`
	NamePrefix   string `json:",omitempty"`
	NameSuffix   string `json:",omitempty"`
	FullName     string `json:",omitempty"`
}

type employer struct {
	Type                string `json:"$type"`
	OrganizationPartyID string `json:"OrganizationPartyId,omitempty"`
	Name                string `json:",omitempty"`
	Title               string `json:",omitempty"`
}

type listOf[T any] struct {
	Type   string `json:"$type"`
	Values []T    `json:"$values"`
}

type address struct {
	Type           string `json:"$type"`
	FullAddressID  string `json:"FullAddressId,omitempty"`
	AddressPurpose string `json:",omitempty"`
	Address        *place
	Email          string `json:",omitempty"`
	Phone          string `json:",omitempty"`
	Fax            string `json:",omitempty"`
	Note           string `json:",omitempty"`
}

type place struct {
	Type                 string          `json:"$type"`
	AddressID            string          `json:"AddressId,omitempty"`
	AddressLines         *listOf[string] `json:",omitempty"`
	CityName             string          `json:",omitempty"`
	PostalCode           string          `json:",omitempty"`
	CountrySubEntityCode string          `json:",omitempty"`
	CountryCode          string          `json:",omitempty"`
}

type mailbox struct {
	Type      string `json:"$type"`
	Address   string
	EmailType string `json:",omitempty"`
	IsPrimary bool   `json:",omitempty"`
}

type telephone struct {
	Type      string `json:"$type"`
	Number    string
	PhoneType string `json:",omitempty"`
	IsPrimary bool   `json:",omitempty"`
}

type attribute struct {
	Type  string `json:"$type"`
	Name  string
	Value json.RawMessage `json:",omitempty"`
}

// isPerson reports which of the two a contact is.
func (p *partyData) isPerson() bool { return isContactType(p.Type, "PersonData") }

// fits reports whether the envelopes of a write are those of a contact.
func (p *partyData) fits() bool {
	ok := p.isPerson() && p.OrganizationName == "" || isContactType(p.Type, "OrganizationData") && p.PersonName == nil
	if p.PersonName != nil {
		ok = ok && isContactType(p.PersonName.Type, "PersonNameData")
	}
	if p.PrimaryOrganization != nil {
		ok = ok && isContactType(p.PrimaryOrganization.Type, "PrimaryOrganizationInformationData")
	}
	if p.Addresses != nil {
		ok = ok && isContactType(p.Addresses.Type, "FullAddressDataCollection")
		for _, one := range p.Addresses.Values {
			ok = ok && one.fits()
		}
	}
	if p.Emails != nil {
		ok = ok && isContactType(p.Emails.Type, "EmailDataCollection")
		for _, one := range p.Emails.Values {
			ok = ok && isContactType(one.Type, "EmailData") && one.EmailType != ""
		}
	}
	if p.Phones != nil {
		ok = ok && isContactType(p.Phones.Type, "PhoneDataCollection")
		for _, one := range p.Phones.Values {
			ok = ok && isContactType(one.Type, "PhoneData") && one.PhoneType != ""
		}
	}
	if p.Attributes != nil {
		ok = ok && p.Attributes.Type == propertiesType
		for _, one := range p.Attributes.Values {
			ok = ok && one.Type == propertyType && one.Name != "" && string(one.Value) != "null"
		}
	}
	return ok
}

func (a *address) fits() bool {
	return isContactType(a.Type, "FullAddressData") && (a.Address == nil || isContactType(a.Address.Type, "AddressData") &&
		(a.Address.AddressLines == nil || isContactType(a.Address.AddressLines.Type, "AddressLineDataCollection")))
}

// isBlank: there is nothing in it.
func (a *address) isBlank() bool {
	bare := *a
	bare.Type, bare.FullAddressID, bare.AddressPurpose, bare.Address = "", "", "", nil
	if bare != (address{}) || a.Address == nil {
		return bare == (address{})
	}
	inside := *a.Address
	lines := inside.AddressLines
	inside.Type, inside.AddressID, inside.AddressLines = "", "", nil
	return inside == (place{}) && (lines == nil || len(lines.Values) == 0)
}

// wrong is what is not valid of a contact; the rules are inferred, but for the sample's list of addresses by purpose.
func (p *partyData) wrong() (all []invalid) {
	add := func(property, message string) { all = append(all, invalid{property, property + " " + message, nil}) }
	if p.isPerson() && (p.PersonName == nil || strings.TrimSpace(p.PersonName.LastName) == "") {
		add("LastName", "is required.")
	}
	if p.PersonName != nil && len(p.PersonName.FirstName) > 20 {
		add("FirstName", "must not be longer than 20 characters.")
	}
	if !p.isPerson() && strings.TrimSpace(p.OrganizationName) == "" {
		add("OrganizationName", "is required.")
	}
	if p.Emails != nil {
		for _, one := range p.Emails.Values {
			if !strings.Contains(one.Address, "@") {
				add("Email", "is not an address.")
			}
		}
	}
	if p.Addresses != nil {
		purposes := map[string]bool{}
		for _, one := range p.Addresses.Values {
			switch lower := strings.ToLower(one.AddressPurpose); {
			case one.isBlank():
				add("Addresses", "has one with nothing in it.")
			case lower == "" || purposes[lower]:
				add("AddressPurpose", "is missing, or there twice.")
			default:
				purposes[lower] = true
			}
		}
	}
	return all
}

// email is the primary address.
func (p *partyData) email() string {
	if p.Emails == nil {
		return ""
	}
	for _, one := range p.Emails.Values {
		if one.IsPrimary || len(p.Emails.Values) == 1 {
			return one.Address
		}
	}
	return ""
}

// readParty reads a contact from a request. It is nil where the body is not one at all.
func readParty(r *http.Request) *partyData {
	var given partyData
	if !readBody(r, &given) || !given.fits() {
		return nil
	}
	return &given
}

// party is what is stored of a contact; a row of [Site.SetContacts] has its name alone.
func party(row Row) *partyData {
	if stored, ok := row["Party"].(*partyData); ok {
		return stored
	}
	return &partyData{Type: contactType("PersonData"), PersonName: &personName{
		Type: contactType("PersonNameData"), FirstName: cellText(row["FirstName"]), LastName: cellText(row["LastName"]),
	}}
}

// rowOf is a contact as it is stored: whole, and what can be filtered by beside it.
func (p *partyData) rowOf(id string) Row {
	p.PartyID, p.ID = id, id
	row := Row{"PartyId": id, "Party": p}
	if p.PersonName != nil {
		row["FirstName"], row["LastName"] = p.PersonName.FirstName, p.PersonName.LastName
	}
	if email := p.email(); email != "" {
		row["Email"] = email
	}
	return row
}

// data is a contact as the site answers it. One without an address has an empty one in its list: seen in one client.
func (p *partyData) data(id string) *partyData {
	given := *p
	given.PartyID, given.ID = id, id
	if given.Name = p.OrganizationName; p.PersonName != nil {
		given.Name = p.PersonName.FirstName + " " + p.PersonName.LastName
	}
	if given.Addresses == nil || len(given.Addresses.Values) == 0 {
		given.Addresses = &listOf[address]{contactType("FullAddressDataCollection"), []address{{
			Type: contactType("FullAddressData"), Address: &place{Type: contactType("AddressData")},
		}}}
	}
	return &given
}

// SetContact adds a contact, or replaces it, by the JSON of a PersonData or an OrganizationData.
func (s *Site) SetContact(id, text string) error {
	var given partyData
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	given.numberAddresses(&partyData{})
	s.entity(partyName).put(given.rowOf(id))
	return nil
}

// Contact is what is stored of a contact, as JSON without types; empty for none.
func (s *Site) Contact(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.entity(partyName).rows[strings.ToLower(id)]
	if row == nil {
		return ""
	}
	text, err := json.Marshal(party(row))
	if err != nil {
		panic(err) // decoded from JSON
	}
	return contactTypes.ReplaceAllString(string(text), "")
}

// contactTypes are the types in a contact's JSON, but for those beside values.
var contactTypes = regexp.MustCompile(`"\$type":"Asi[^"]*",?`)

// writeParty is POST /api/Party, and PUT /api/Party/{id} with a row to change.
func (s *Site) writeParty(e *entity, old Row, w http.ResponseWriter, r *http.Request) {
	given := readParty(r)
	id := cellText(old["PartyId"])
	switch {
	case given == nil || given.PartyID != id || given.ID != "" && given.ID != id: // a new one brings none
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	case len(given.wrong()) > 0:
		refuseInvalid(w, given.wrong())
		return
	case old != nil && !given.numberAddresses(party(old)):
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
		e.last++
		id = strconv.FormatInt(e.last, 10)
		given.numberAddresses(&partyData{})
	}
	e.put(given.rowOf(id))
	writeJSON(w, status, given.data(id))
}

// numberAddresses gives new addresses their FullAddressId. It is false where one has an id that is not the contact's: that
// this is refused is inferred.
func (p *partyData) numberAddresses(old *partyData) bool {
	known := map[string]bool{}
	if old.Addresses != nil {
		for _, one := range old.Addresses.Values {
			known[one.FullAddressID] = true
		}
	}
	if p.Addresses == nil {
		return true
	}
	for i := range p.Addresses.Values {
		one := &p.Addresses.Values[i]
		if one.FullAddressID != "" && !known[one.FullAddressID] {
			return false
		}
		for n := 1; one.FullAddressID == ""; n++ {
			if id := strconv.Itoa(n); !known[id] {
				one.FullAddressID, known[id] = id, true
			}
		}
	}
	return true
}

// validateParty is POST /api/Party/_validate.
func (s *Site) validateParty(_ *entity, w http.ResponseWriter, r *http.Request) {
	given := readParty(r)
	if given == nil {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"$type": "Asi.Soa.Core.DataContracts.ValidateResultsData, Asi.Contracts", "Entity": given, "ValidationResults": validationResults(given.wrong()),
	})
}

// SetOperations says which operations of Party the site carries out; without a call it is all that the documentation
// has and this site knows: FindByEmail, FindByMatch, AddressUpdate.
func (s *Site) SetOperations(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operations = names
}

// executeParty is POST /api/Party/_execute. The bodies are documented, but for the member EmailAddress of FindByEmail, and
// Party of FindByMatch, which are inferred, as are all answers.
func (s *Site) executeParty(e *entity, w http.ResponseWriter, r *http.Request) {
	var request struct {
		Type           string `json:"$type"`
		EntityTypeName string
		OperationName  string
		PartyID        string `json:"PartyId"`
		AddressUpdated *address
		EmailAddress   string
		Party          *partyData
	}
	if !readBody(r, &request) || request.EntityTypeName != partyName {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	if !slices.Contains(s.operations, request.OperationName) {
		notImplemented(w, "Operation not implemented")
		return
	}
	switch request.OperationName {
	case "FindByEmail":
		if !isContactType(request.Type, "PartyFindByEmailRequest") || request.EmailAddress == "" {
			break
		}
		answerFound(w, e, func(p *partyData) bool {
			return p.Emails != nil && slices.ContainsFunc(p.Emails.Values, func(m mailbox) bool { return strings.EqualFold(m.Address, request.EmailAddress) })
		})
		return
	case "FindByMatch":
		if !isContactType(request.Type, "PartyMatchRequest") || request.Party == nil || !request.Party.fits() {
			break
		}
		answerFound(w, e, request.Party.isLike)
		return
	case "AddressUpdate":
		row := e.rows[strings.ToLower(request.PartyID)]
		if !isContactType(request.Type, "AddressUpdateRequest") || request.AddressUpdated == nil || !request.AddressUpdated.fits() {
			break
		}
		if row == nil {
			answerExecuted(w, nil, nil)
			return
		}
		answerExecuted(w, request.AddressUpdated, e.updateAddress(row, *request.AddressUpdated))
		return
	}
	Refuse(w, http.StatusBadRequest, "The request is invalid.")
}

// updateAddress puts an address in the place of the one of its id or purpose, or behind the others.
func (e *entity) updateAddress(row Row, updated address) (wrong []invalid) {
	changed := *party(row)
	var all []address
	if changed.Addresses != nil {
		all = slices.Clone(changed.Addresses.Values)
	}
	at := slices.IndexFunc(all, func(one address) bool {
		return one.FullAddressID == updated.FullAddressID || updated.FullAddressID == "" && strings.EqualFold(one.AddressPurpose, updated.AddressPurpose)
	})
	if at < 0 {
		all = append(all, updated)
	} else {
		all[at] = updated
	}
	changed.Addresses = &listOf[address]{contactType("FullAddressDataCollection"), all}
	if wrong := changed.wrong(); len(wrong) > 0 {
		return wrong
	}
	if !changed.numberAddresses(party(row)) {
		return []invalid{{"FullAddressId", "FullAddressId is not one of the contact.", nil}}
	}
	e.put(changed.rowOf(cellText(row["PartyId"])))
	return nil
}

// isLike is this site's rule for duplicates: the same e-mail address, or the same last name and first letter. Each site has
// rules of its own.
func (p *partyData) isLike(other *partyData) bool {
	if p.email() != "" && strings.EqualFold(p.email(), other.email()) {
		return true
	}
	if p.PersonName == nil || other.PersonName == nil {
		return p.OrganizationName != "" && strings.EqualFold(p.OrganizationName, other.OrganizationName)
	}
	initial := func(name string) string { return strings.ToLower(name)[:min(1, len(name))] }
	return p.PersonName.LastName != "" && strings.EqualFold(p.PersonName.LastName, other.PersonName.LastName) &&
		(p.PersonName.FirstName == "" || initial(p.PersonName.FirstName) == initial(other.PersonName.FirstName))
}

func answerFound(w http.ResponseWriter, e *entity, is func(*partyData) bool) {
	found := []any{}
	for _, key := range e.keys {
		if one := party(e.rows[key]); is(one) {
			found = append(found, one.data(cellText(e.rows[key]["PartyId"])))
		}
	}
	answerExecuted(w, list(found), nil)
}

func answerExecuted(w http.ResponseWriter, result any, wrong []invalid) {
	answer := map[string]any{
		"$type": resultType, "Result": result, "IsSuccessStatusCode": len(wrong) == 0, "Message": nil, "StatusCode": 200, "ValidationResults": nil,
	}
	if len(wrong) > 0 {
		answer["StatusCode"], answer["ValidationResults"] = 400, validationResults(wrong)
	} else if result == nil {
		answer["Message"] = "NotFound"
	}
	writeJSON(w, http.StatusOK, answer)
}
