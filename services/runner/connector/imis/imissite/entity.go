package imissite

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Entity is a business object of the site: a panel of contacts, or a table of its own.
type Entity struct {
	// Name is its EntityTypeName, such as My_Panel.
	Name string
	// ObjectType is Single (one row a contact), Multi (several, told apart by an Ordinal) or Standard;
	// empty is Single.
	ObjectType string
	// Parent is Party, whose contacts the rows belong to, or Standalone; empty is Party.
	Parent string
	// Properties are listed without ID, which every entity of Party has, and without Ordinal, which
	// every Multi has. Both are added in front, and are its key, followed by those with Identity.
	Properties []Property
	// Check is a rule of the site's own that no metadata tell, nil for none: it says what of a row is not valid,
	// and of which property; an empty message is none.
	Check func(row Row) (property, message string)
	// Legacy: it is a user-defined table of the desktop era, with PartyId and SEQN instead of ID and Ordinal. A new
	// record may bring its SEQN. That the site counts it up otherwise is inferred.
	Legacy bool
	// Denied are the operations that the account may not do: Create, Update, Delete. Their names are inferred.
	Denied []string
	// NoREST: it is not available through the REST API.
	NoREST bool
	// NoMetadata: the site has no metadata of it. NoValidate: it does not validate without saving.
	NoMetadata, NoValidate bool
}

// Property is one property of an entity.
type Property struct {
	Name string
	// Type is its PropertyTypeName: String, Integer, Decimal, Monetary, Boolean, Date or Binary.
	Type string
	// MaxLength bounds a String; 0 does not.
	MaxLength int
	Required  bool
	// Identity: it is part of the key.
	Identity bool
	// Generated: the site gives the value at an insert, counting up. It is an Integer. Settable: unless it is given.
	Generated, Settable bool
	// Default is what an insert without a value gets.
	Default any
	// Values is its rule, a list of the values that it may have; any where it is empty.
	Values []string
	// Multiple: it may have several of them, with commas between: seen in one client.
	Multiple bool
}

// Row is a stored entity: string, int64, json.Number, bool or []byte by the name of the property. Dates
// are text. A property without a value is not in it.
type Row map[string]any

// Contact is a person whom the site knows.
type Contact struct {
	ID, FirstName, LastName string
}

// partyName is the entity type of contacts.
const partyName = "Party"

// entity is an Entity with what is stored of it.
type entity struct {
	Entity
	// keys are in the order of insertion, in lower case; rows are by them.
	keys []string
	rows map[string]Row
	last int64 // of what is generated
}

// SetEntities adds entities, or replaces those of the same name, with nothing stored.
func (s *Site) SetEntities(entities ...Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entities {
		e.ObjectType, e.Parent = cmp.Or(e.ObjectType, "Single"), cmp.Or(e.Parent, partyName)
		var key []Property
		contact, counter := "ID", "Ordinal"
		if e.Legacy {
			contact, counter = "PartyId", "SEQN"
		}
		if e.Parent == partyName {
			key = append(key, Property{Name: contact, Type: "String", MaxLength: 10, Required: true, Identity: true})
		}
		if e.ObjectType == "Multi" {
			key = append(key, Property{Name: counter, Type: "Integer", Identity: true, Generated: true, Settable: e.Legacy})
		}
		e.Properties = append(key, e.Properties...)
		s.entities[strings.ToLower(e.Name)] = &entity{Entity: e, rows: map[string]Row{}}
	}
}

// SetContacts adds contacts, or replaces those of the same ID. Only what belongs to one of them can be stored
// in an entity of Party.
func (s *Site) SetContacts(contacts ...Contact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	party := s.entities[strings.ToLower(partyName)]
	for _, c := range contacts {
		party.put(Row{"PartyId": c.ID, "FirstName": c.FirstName, "LastName": c.LastName})
	}
}

// SetRows adds rows to an entity as they are, or replaces those of the same key.
func (s *Site) SetRows(name string, rows ...Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[strings.ToLower(name)]
	for _, given := range rows {
		row := Row{}
		for property, value := range given {
			if number, ok := value.(int); ok {
				value = int64(number)
			}
			row[property] = value
		}
		e.put(row)
	}
}

// Rows are those stored of an entity, in the order in which they were inserted; Party has the contacts.
func (s *Site) Rows(name string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Row
	if e := s.entities[strings.ToLower(name)]; e != nil {
		for _, key := range e.keys {
			rows = append(rows, maps.Clone(e.rows[key]))
		}
	}
	return rows
}

// SetPartialUpdates makes a PUT leave alone the properties that it does not name. It is not known what iMIS
// does: most clients send the whole entity, one does not. Here a PUT replaces the whole entity unless
// this is set, so that a client that leaves something out shows.
func (s *Site) SetPartialUpdates(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = on
}

// put stores a row under its key.
func (e *entity) put(row Row) {
	key := strings.ToLower(strings.Join(e.key(row), "|"))
	if _, known := e.rows[key]; !known {
		e.keys = append(e.keys, key)
	}
	e.rows[key] = row
	for _, p := range e.Properties {
		if p.Generated {
			if number, err := strconv.ParseInt(cellText(row[p.Name]), 10, 64); err == nil {
				e.last = max(e.last, number)
			}
		}
	}
}

// remove takes a row away.
func (e *entity) remove(key string) {
	delete(e.rows, key)
	e.keys = slices.DeleteFunc(e.keys, func(one string) bool { return one == key })
}

// key lists the values of a row's key.
func (e *entity) key(row Row) (elements []string) {
	for _, p := range e.Properties {
		if p.Identity {
			elements = append(elements, cellText(row[p.Name]))
		}
	}
	return elements
}

// contact is the contact to which a row of Party belongs.
func (e *entity) contact(row Row) string { return cellText(row[e.Properties[0].Name]) }

// property finds a property by its name, in any letter case.
func (e *entity) property(name string) *Property {
	i := slices.IndexFunc(e.Properties, func(p Property) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return nil
	}
	return &e.Properties[i]
}

// entity finds an entity by its name, in any letter case; s.mu is held.
func (s *Site) entity(name string) *entity { return s.entities[strings.ToLower(name)] }

// newParty is the entity of contacts, as far as it is a table: the columns that lists can be filtered by.
func newParty() *entity {
	return &entity{rows: map[string]Row{}, Entity: Entity{
		Name: partyName, ObjectType: "Standard", Parent: "Standalone", NoMetadata: true,
		Properties: []Property{
			{Name: "PartyId", Type: "String", Identity: true, Generated: true},
			{Name: "FirstName", Type: "String"},
			{Name: "LastName", Type: "String"},
			{Name: "Email", Type: "String"},
		},
	}}
}

// cellText is a value as it stands in keys and is compared.
func cellText(value any) string {
	switch v := value.(type) {
	case nil, Absent:
		return ""
	case Wrapped:
		return fmt.Sprint(v.Value)
	}
	return fmt.Sprint(value)
}
