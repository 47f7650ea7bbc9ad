package imis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Entity is what a site says of a panel or business object. Anything but its name may be missing: iMIS
// does not say all of everything.
type Entity struct {
	Name string
	// Kind is Single for one record of each contact, Multi for any number, and Standard.
	Kind string
	// Parent is the type of what a record belongs to: Party for contacts, or Standalone.
	Parent string
	// Properties are its columns. Where the site tells none, any name may be one.
	Properties []Property
	// Contact is the property that has the contact to which a record of Party belongs, and Counter the one by
	// which the records of one contact are told apart.
	Contact, Counter string
}

// Property is one column of an entity.
type Property struct {
	Name string
	// Type is iMIS's own name: String, Integer, Decimal, Monetary, Boolean, Date or Binary.
	Type string
	// MaxLength bounds a String; 0 does not.
	MaxLength int
	Required  bool
	// Identity: it is a part of what identifies a record.
	Identity bool
	// ReadOnly: the site gives its value, perhaps by counting.
	ReadOnly bool
	// HasDefault: a new record without a value gets one.
	HasDefault bool
	// Allowed are the only values that it may have; nil for any. Looked up says that the site has its values
	// in a query.
	Allowed  []string
	LookedUp bool
}

// The parents that an entity may have and be inserted.
const (
	party      = "Party"
	standalone = "Standalone"
)

// definitionsPage is how many definitions are asked for at a time: each has all properties of its entity.
const definitionsPage = 100

// entityAsked names an entity in messages.
func entityAsked(name, connection string) string {
	return "the entity " + name + " of connection " + connection
}

// entity asks what the site says of an entity, by its name in any letter case: among the definitions of
// business objects, or in its metadata. The error is a [*run.Failure] or ctx's.
func (c *client) entity(ctx context.Context, name string) (*Entity, error) {
	e, names, err := c.definedEntity(ctx, name)
	if _, refused := errors.AsType[*refusal](err); err != nil && !refused {
		return nil, err
	}
	if e != nil && len(e.Properties) > 0 {
		return e, nil
	}
	asked := "the metadata of " + entityAsked(name, c.connection.Name)
	text, metadataErr := c.ask(ctx, asked, "/api/metadata/"+name, "")
	refused, isRefused := errors.AsType[*refusal](metadataErr)
	switch {
	case metadataErr == nil:
		described := readEntity(&scanner{text: text})
		if e != nil {
			described.Name, described.Kind, described.Parent = e.Name, cmp.Or(described.Kind, e.Kind), cmp.Or(described.Parent, e.Parent)
		}
		described.Name = cmp.Or(described.Name, name)
		return described, nil
	case !isRefused:
		return nil, metadataErr
	case e != nil:
		return e, nil
	case refused.status == statusNotFound || refused.status == statusNotImplemented || refused.status == statusBadRequest:
		if definitions, ok := errors.AsType[*refusal](err); ok && definitions.status == http.StatusForbidden {
			return nil, definitions.failure("the list of business objects (BoEntityDefinition) of connection " + c.connection.Name)
		}
		return nil, run.Failf("there is no panel or business object %s on the site of connection %s, or its account cannot see it%s", name, c.connection.Name,
			cmp.Or(nearest.Hint(name, names), "; correct destination.imis.entity"))
	}
	return nil, refused.failure(asked)
}

// definedEntity looks for an entity among the definitions of business objects, page by page. names are those
// that it saw. The error may also be a [*refusal].
func (c *client) definedEntity(ctx context.Context, name string) (found *Entity, names []string, err error) {
	asked := "the list of business objects (BoEntityDefinition) of connection " + c.connection.Name
	for offset := int64(0); ; {
		text, err := c.ask(ctx, asked, "/api/BoEntityDefinition?limit="+strconv.Itoa(definitionsPage)+"&offset="+strconv.FormatInt(offset, 10), "")
		if err != nil {
			return nil, names, err
		}
		list := listing{}
		if !list.read(text) {
			return nil, names, run.Failf("%s is not a list as iMIS gives it", asked)
		}
		for _, definition := range list.items {
			s := scanner{text: definition}
			if !s.member("EntityTypeName") {
				continue
			}
			is, _ := s.value().(string)
			if strings.EqualFold(is, name) {
				return readEntity(&scanner{text: definition}), names, nil
			}
			names = append(names, is)
		}
		if !list.more || list.next <= offset {
			return nil, names, nil
		}
		offset = list.next
	}
}

// listing is one page of entities, each as its JSON.
type listing struct {
	items []string
	more  bool
	next  int64
	total int64
}

// read is false for what is no page.
func (l *listing) read(text string) bool {
	s, found := scanner{text: text}, false
	if !s.enter('{') {
		return false
	}
	for s.more() {
		switch s.name() {
		case "Items":
			s.next()
			inside := scanner{text: s.raw()}
			found = inside.next() == '[' || inside.next() == 'n' || inside.member("$values")
			if inside.enter('[') {
				for inside.more() {
					l.items = append(l.items, inside.raw())
				}
			}
		case "HasNext":
			l.more, _ = s.yes()
		case "NextOffset":
			l.next, _ = s.whole()
		case "TotalCount":
			l.total, _ = s.whole()
		default:
			s.raw()
		}
	}
	return found
}

// readEntity reads a definition, or the metadata, which have the same members as far as they are used.
func readEntity(s *scanner) *Entity {
	d, _ := s.value().(map[string]any)
	e := &Entity{Name: textOf(d["EntityTypeName"]), Kind: textOf(d["ObjectTypeName"]), Parent: textOf(d["PrimaryParentEntityTypeName"])}
	for p := range objects(d["Properties"]) {
		if textOf(p["Name"]) == "" {
			continue
		}
		length, _ := p["MaxLength"].(int64)
		property := Property{
			Name: textOf(p["Name"]), Type: textOf(p["PropertyTypeName"]), MaxLength: int(max(0, length)),
			Required: p["Required"] == true, Identity: p["IsIdentity"] == true, HasDefault: p["DefaultValue"] != nil && p["DefaultValue"] != "",
		}
		if more, ok := p["ExtendedPropertyInformation"].(map[string]any); ok {
			property.ReadOnly = more["IsReadOnly"] == true || more["IsDbIdentity"] == true
		}
		if rule, ok := p["Rule"].(map[string]any); ok {
			property.LookedUp = rule["Query"] != nil
			for value := range objects(rule["ValueList"]) {
				// A value's Name is what people see.
				if text, problem := row.Text(value["Value"]); problem == "" {
					property.Allowed = append(property.Allowed, text)
				}
			}
		}
		e.Properties = append(e.Properties, property)
	}
	e.settle(nil)
	return e
}

func textOf(value any) string {
	text, _ := value.(string)
	return text
}

// property finds a property by its name, nil where there is none.
func (e *Entity) property(name string) *Property {
	i := slices.IndexFunc(e.Properties, func(p Property) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &e.Properties[i]
}

// isMulti reports whether a contact has any number of its records.
func (e *Entity) isMulti() bool { return strings.EqualFold(e.Kind, "Multi") }

// identity are the names of what identifies a record, in order; nil where the site does not say.
func (e *Entity) identity() (names []string) {
	for _, p := range e.Properties {
		if p.Identity {
			names = append(names, p.Name)
		}
	}
	return names
}

// The names of Contact and Counter: those of panels, whose site counts Ordinal up by itself, and those of
// user-defined tables of the desktop era, whose SEQN a new record may bring.
const (
	panelContact = "ID"
	ordinal      = "Ordinal"
	tableContact = "PartyId"
	sequence     = "SEQN"
)

// settle finds Contact and Counter, by the properties, or by the mapping's columns where the site tells none.
func (e *Entity) settle(columns []string) {
	has := func(name string) bool {
		if len(e.Properties) == 0 {
			return slices.Contains(columns, name)
		}
		p := e.property(name)
		return p != nil && (p.Identity || len(e.identity()) == 0)
	}
	e.Contact, e.Counter = panelContact, ordinal
	if has(tableContact) && !has(panelContact) {
		e.Contact = tableContact
	}
	if has(sequence) && !has(ordinal) {
		e.Counter = sequence
	}
}

// Misfit is something in a task that an entity does not take.
type Misfit struct {
	// Field is where in the task file it stands: the last of destination.imis's fields, or the column of the
	// mapping.
	Field, Column string
	Message       string
}

func (m Misfit) String() string {
	switch {
	case m.Column != "":
		return "mapping." + m.Column + ": " + m.Message
	case m.Field != "":
		return "destination.imis." + m.Field + ": " + m.Message
	}
	return m.Message
}

// Fit holds a destination, and the names of the mapping's columns, against the entity, and says all that does
// not fit.
func (e *Entity) Fit(to *task.IMISDestination, columns []string) (misfits []Misfit) {
	add := func(field, column, format string, args ...any) {
		misfits = append(misfits, Misfit{field, column, fmt.Sprintf(format, args...)})
	}
	names := make([]string, len(e.Properties))
	for i, p := range e.Properties {
		names[i] = p.Name
	}
	for _, column := range columns {
		if len(names) > 0 && !slices.Contains(names, column) {
			add("", column, "%s has no column %s%s", e.Name, column, cmp.Or(nearest.Hint(column, names), "; it has "+some(names)))
		}
	}
	inserts := to.Action == task.Insert || to.Action == task.Upsert
	if identity := e.identity(); len(to.Key) > 0 && len(identity) > 0 && !sameNames(identity, to.Key) {
		add("key", "", "a record of %s is identified by %s; give all of it, or find records by match", e.Name, strings.Join(identity, ", "))
	} else if len(identity) == 0 && len(to.Key) > 0 && e.isMulti() && e.property(e.Counter) != nil && !slices.Contains(to.Key, e.Counter) {
		add("key", "", "a contact has several records of %s; add %s to key, or find records by match", e.Name, e.Counter)
	}
	if inserts {
		e.fitInsert(to, columns, add)
	}
	if to.Action == task.Delete && e.Parent == party && strings.EqualFold(e.Kind, "Standard") {
		add("action", "", "%s is no panel but an object of iMIS itself, whose records may be contacts, and contacts are never deleted", e.Name)
	}
	for _, column := range to.Match {
		if p := e.property(column); p != nil && kindOf(p.Type) == binaryKind {
			add("match", "", "a record cannot be found by %s, which has binary data", column)
		}
	}
	for _, column := range to.Append {
		if p := e.property(column); p != nil && kindOf(p.Type) != textKind && kindOf(p.Type) != anyKind {
			add("append", "", "%s has no text that values can be added to", column)
		}
	}
	return misfits
}

// fitInsert says what of a destination that inserts does not fit.
func (e *Entity) fitInsert(to *task.IMISDestination, columns []string, add func(field, column, format string, args ...any)) {
	switch {
	case e.Parent == party && !slices.Contains(columns, e.Contact):
		add("", e.Contact, "a record of %s belongs to a contact; map the column %s, the contact's iMIS ID", e.Name, e.Contact)
	case e.Parent != "" && e.Parent != party && e.Parent != standalone:
		add("action", "", "to insert records that belong to a record of %s, as those of %s do, is not supported yet; take update", e.Parent, e.Name)
	}
	if e.isMulti() && e.Counter == ordinal && e.property(ordinal) != nil && slices.Contains(columns, ordinal) {
		if len(to.Key) > 0 && to.Action == task.Upsert {
			add("key", "", "the site counts %s up by itself, so that a record cannot be inserted under a key of yours; find records by match, and remove %s from mapping", ordinal, ordinal)
		} else {
			add("", ordinal, "the site counts %s up by itself, and takes none with a new record; remove it from mapping", ordinal)
		}
	}
	for _, p := range e.Properties {
		given := p.HasDefault || p.ReadOnly || p.Name == e.Counter || p.Name == e.Contact && e.Parent == party
		if p.Required && !given && !slices.Contains(columns, p.Name) {
			add("", p.Name, "%s does not take a record without %s; add it to mapping", e.Name, p.Name)
		}
	}
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// some lists names, if there are not too many.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " more"
	}
	return strings.Join(names, ", ")
}
