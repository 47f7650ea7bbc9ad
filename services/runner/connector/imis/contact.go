package imis

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"runhook/shared/nearest"
	"runhook/shared/task"
)

// isContacts reports whether an entity are the contacts themselves, whose records have a form of their own.
func isContacts(entity string) bool { return strings.EqualFold(entity, party) }

// place is where a column of a mapping has its value in a contact: a member of the object in, or of the
// contact itself where that is empty. In a list it is the element whose member by is key.
type place struct {
	list, by, key string
	in, member    string
	// line is that of an address, from 1.
	line int
}

// The columns of contacts, but for those that name an element of a list.
var (
	personColumns  = []string{"FirstName", "MiddleName", "LastName", "InformalName", "NamePrefix", "NameSuffix"}
	contactColumns = append(slices.Clone(personColumns), tableContact, organizationName, "BirthDate", email,
		"PrimaryOrganization.OrganizationPartyId", "PrimaryOrganization.Name", "PrimaryOrganization.Title")
	addressColumns = []string{"AddressLine1", "AddressLine2", "AddressLine3", "CityName", "PostalCode", "CountrySubEntityCode", "CountryCode", "Phone", "Fax", "Email"}
)

const (
	organizationName = "OrganizationName"
	email            = "Email"
	primaryEmail     = "_Primary" // the type of a new primary address
)

// placeOf reads the name of a column; ok is false where it is none of a contact.
func placeOf(column string) (at place, ok bool) {
	list, rest, dotted := strings.Cut(column, ".")
	switch {
	case slices.Contains(personColumns, column):
		return place{in: "PersonName", member: column}, true
	case column == email:
		return place{list: "Emails", by: "EmailType", member: "Address"}, true
	case list == "PrimaryOrganization" && slices.Contains(contactColumns, column):
		return place{in: list, member: rest}, true
	case slices.Contains(contactColumns, column):
		return place{member: column}, true
	case !dotted || strings.TrimSpace(rest) == "":
		return place{}, false
	}
	switch list {
	case email:
		return place{list: "Emails", by: "EmailType", key: rest, member: "Address"}, true
	case "Phone":
		return place{list: "Phones", by: "PhoneType", key: rest, member: "Number"}, true
	case "AdditionalAttributes":
		return place{list: list, by: "Name", key: rest, member: "Value"}, true
	case "Address":
		dot := strings.LastIndexByte(rest, '.')
		if dot <= 0 || !slices.Contains(addressColumns, rest[dot+1:]) {
			return place{}, false
		}
		at = place{list: "Addresses", by: "AddressPurpose", key: rest[:dot], member: rest[dot+1:]}
		if number, isLine := strings.CutPrefix(at.member, "AddressLine"); isLine {
			at.line, _ = strconv.Atoi(number)
			at.member = "AddressLines"
		}
		if !slices.Contains([]string{"Phone", "Fax", "Email"}, at.member) {
			at.in = "Address"
		}
		return at, true
	}
	return place{}, false
}

// contactTypes are the types of what stands below a contact; those of its lists come with those of their elements.
var contactTypes = map[string][2]string{
	"PersonName": {"PersonNameData"}, "PrimaryOrganization": {"PrimaryOrganizationInformationData"}, "Address": {"AddressData"},
	"AddressLines": {"AddressLineDataCollection"}, "Emails": {"EmailDataCollection", "EmailData"}, "Phones": {"PhoneDataCollection", "PhoneData"},
	"Addresses": {"FullAddressDataCollection", "FullAddressData"},
}

// contactType is the name of a type of contacts in an assembly, which is another one in old versions.
func contactType(name, assembly string) string {
	return "Asi.Soa.Membership.DataContracts." + name + ", " + assembly
}

// contact is a contact's JSON.
type contact map[string]any

// assembly is that of the contact's own type.
func (c contact) assembly() string {
	_, assembly, _ := strings.Cut(textOf(c["$type"]), ", ")
	return cmp.Or(assembly, "Asi.Contracts")
}

// kind is the contact's type, such as PersonData.
func (c contact) kind() string {
	name, _, _ := strings.Cut(textOf(c["$type"]), ",")
	return name[strings.LastIndexByte(name, '.')+1:]
}

// values are the elements of a list in its envelope.
func values(list any) []any {
	enveloped, _ := list.(map[string]any)
	all, _ := enveloped["$values"].([]any)
	return all
}

// element finds the element of a list that the place is in, nil where there is none.
func (c contact) element(at place) map[string]any {
	var typed map[string]any
	all := values(c[at.list])
	for _, one := range all {
		element, _ := one.(map[string]any)
		if at.key == "" && element["IsPrimary"] == true {
			return element
		}
		if typed == nil && strings.EqualFold(textOf(element[at.by]), cmp.Or(at.key, primaryEmail)) {
			typed = element
		}
	}
	if typed == nil && at.key == "" && len(all) == 1 { // the vendor's sample marks none
		typed, _ = all[0].(map[string]any)
	}
	return typed
}

// value is what stands at the place, nil for nothing.
func (c contact) value(at place) any {
	object := map[string]any(c)
	if at.list != "" {
		object = c.element(at)
	}
	if at.in != "" {
		object, _ = object[at.in].(map[string]any)
	}
	value := object[at.member]
	if at.line > 0 {
		if value = nil; at.line <= len(values(object[at.member])) {
			value = values(object[at.member])[at.line-1]
		}
	}
	if wrapped, ok := value.(map[string]any); ok {
		value = wrapped["$value"]
	}
	return value
}

// set puts a value at the place, and makes what it stands in. An empty one goes with its member; an address for
// mail or a phone number goes with its element.
func (c contact) set(at place, f field) {
	object := map[string]any(c)
	if at.list != "" {
		object = c.element(at)
		if f.plain == "" && (object == nil || at.list == "Emails" || at.list == "Phones") {
			c.remove(at, object)
			return
		}
		if object == nil {
			object = c.add(at)
		}
	}
	if at.in != "" {
		object = c.below(object, at.in)
	}
	switch {
	case at.line > 0:
		lines := c.below(object, at.member)
		all := values(lines)
		all = slices.Concat(all, make([]any, max(0, at.line-len(all))))
		for i, line := range all {
			all[i] = textOf(line)
		}
		all[at.line-1] = f.plain
		for len(all) > 0 && all[len(all)-1] == "" {
			all = all[:len(all)-1]
		}
		lines["$values"] = all
	case f.plain == "":
		delete(object, at.member)
	default:
		object[at.member] = attribute(object[at.member], f)
	}
}

// attribute is a field's value: text, or what has its type beside it, as the one before.
func attribute(before any, f field) any {
	wrapped, _ := before.(map[string]any)
	kind := textOf(wrapped["$type"])
	switch isTruth := f.json == "true" || f.json == "false"; {
	case isTruth, kind == "System.Boolean" && (strings.EqualFold(f.plain, "true") || strings.EqualFold(f.plain, "false")):
		return map[string]any{"$type": "System.Boolean", "$value": strings.EqualFold(f.plain, "true")}
	case kind != "":
		return map[string]any{"$type": kind, "$value": json.RawMessage(f.json)}
	case f.json[0] == '"':
		return f.plain
	}
	return json.RawMessage(f.json)
}

// below is an object below another.
func (c contact) below(object map[string]any, member string) map[string]any {
	if there, ok := object[member].(map[string]any); ok {
		return there
	}
	made := map[string]any{"$type": contactType(contactTypes[member][0], c.assembly())}
	object[member] = made
	return made
}

// add puts another element into a list.
func (c contact) add(at place) map[string]any {
	list, element := propertiesType, propertyType
	if types, ok := contactTypes[at.list]; ok {
		list, element = contactType(types[0], c.assembly()), contactType(types[1], c.assembly())
	}
	made := map[string]any{"$type": element, at.by: cmp.Or(at.key, primaryEmail)}
	if at.key == "" {
		made["IsPrimary"] = true
	}
	enveloped, ok := c[at.list].(map[string]any)
	if !ok {
		enveloped = map[string]any{"$type": list}
		c[at.list] = enveloped
	}
	enveloped["$values"] = append(values(enveloped), made)
	return made
}

// remove takes an element out of a list.
func (c contact) remove(at place, element map[string]any) {
	if enveloped, ok := c[at.list].(map[string]any); ok && element != nil {
		enveloped["$values"] = slices.DeleteFunc(values(enveloped), func(one any) bool {
			other, _ := one.(map[string]any)
			return textOf(other[at.by]) == textOf(element[at.by])
		})
	}
}

// withoutBlanks leaves out addresses of nothing: a contact without any is given with one, and it must not come back
// as a new one.
func (c contact) withoutBlanks() {
	enveloped, ok := c["Addresses"].(map[string]any)
	if !ok {
		return
	}
	enveloped["$values"] = slices.DeleteFunc(values(enveloped), func(one any) bool {
		address, _ := one.(map[string]any)
		inside, _ := address["Address"].(map[string]any)
		for _, member := range addressColumns {
			if textOf(address[member])+textOf(inside[member]) != "" {
				return false
			}
		}
		return len(values(inside["AddressLines"])) == 0
	})
}

// text is the contact's JSON.
func (c contact) text() string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(c) // made of what JSON has; $type sorts before all other members
	return strings.TrimSpace(out.String())
}

// newContact is a contact of those values.
func newContact(fields []field) contact {
	kind := "PersonData"
	if slices.ContainsFunc(fields, func(f field) bool { return f.property.Name == organizationName }) {
		kind = "OrganizationData"
	}
	made := contact{"$type": contactType(kind, "Asi.Contracts")}
	for _, f := range fields {
		if at, ok := placeOf(f.property.Name); ok && f.plain != "" && f.property.Name != tableContact {
			made.set(at, f)
		}
	}
	return made
}

// readContact reads a contact from valid JSON, as a record with those columns.
func readContact(text string, columns []*Property) (*record, bool) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var c contact
	if decoder.Decode(&c) != nil || !strings.HasSuffix(c.kind(), "Data") {
		return nil, false
	}
	r := &record{text: text, contact: c}
	if id := cmp.Or(textOf(c[tableContact]), textOf(c["Id"])); id != "" {
		r.identity = []string{id}
		c[tableContact] = id
	}
	for _, p := range columns {
		if at, ok := placeOf(p.Name); ok {
			r.properties = append(r.properties, storedProperty{name: p.Name, value: c.value(at)})
		}
	}
	return r, true
}

// contactEntity is what is known of contacts, as far as the mapping's columns go.
func contactEntity(columns []string) *Entity {
	e := &Entity{Name: party, Contact: tableContact}
	for _, name := range columns {
		p := Property{Name: name, Type: "String", Identity: name == tableContact, Required: name == "LastName" || name == organizationName}
		switch {
		case name == "BirthDate":
			p.Type = "Date"
		case strings.HasPrefix(name, "AdditionalAttributes."):
			p.Type = ""
		}
		e.Properties = append(e.Properties, p)
	}
	return e
}

// fitContact is Fit for contacts.
func fitContact(to *task.IMISDestination, columns []string) (misfits []Misfit) {
	add := func(field, column, format string, args ...any) {
		misfits = append(misfits, Misfit{field, column, fmt.Sprintf(format, args...)})
	}
	inserts := to.Action == task.Insert || to.Action == task.Upsert
	person := slices.IndexFunc(columns, func(c string) bool { return slices.Contains(personColumns, c) })
	organization := slices.Contains(columns, organizationName)
	for _, column := range columns {
		if _, ok := placeOf(column); !ok {
			add("", column, "a contact has no column %s%s", column, cmp.Or(nearest.Hint(column, contactColumns),
				"; it has "+strings.Join(contactColumns, ", ")+", Email.TYPE, Phone.TYPE, Address.PURPOSE.CityName and the like, and AdditionalAttributes.NAME"))
		}
	}
	switch {
	case person >= 0 && organization:
		add("", organizationName, "a contact is a person, with %s, or an organization, with OrganizationName; a person's employer is PrimaryOrganization.Name", columns[person])
	case inserts && !organization && !slices.Contains(columns, "LastName"):
		add("", "LastName", "a new contact needs LastName, or OrganizationName for an organization; add one of the two to mapping")
	}
	switch {
	case inserts && len(to.Key) > 0:
		add("key", "", "the site numbers contacts itself, so that none can be inserted under a key of yours; find them by match, or take update")
	case inserts && slices.Contains(columns, tableContact):
		add("", tableContact, "the site numbers contacts itself, and takes no PartyId with a new one; remove it from mapping")
	case len(to.Key) > 0 && !slices.Equal(to.Key, []string{tableContact}):
		add("key", "", "a contact is identified by PartyId, its iMIS ID; take key: [PartyId], or find contacts by match")
	case slices.Contains(to.Match, tableContact):
		add("match", "", "PartyId is the contact's identity; take key: [PartyId]")
	}
	if to.Action == task.Delete {
		add("action", "", "contacts are never deleted")
	}
	if len(to.Append) > 0 {
		add("append", "", "a contact has no multi-select columns")
	}
	return misfits
}
