package imis

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"runhook/shared/task"
)

// record is one record as the site gives it. What is not changed goes back as it came.
type record struct {
	text string
	// identity are the elements of its identity, in order; nil where it has none.
	identity   []string
	properties []storedProperty
	// contact is the whole of a contact, nil for any other record.
	contact contact
	// end is where another property goes, and empty says that there is none before.
	end   int
	empty bool
}

// storedProperty is one property of a record.
type storedProperty struct {
	name  string
	value any
	// begin and end are where the value stands in the record's text. Where it has none they are the same,
	// and a value goes there with its name.
	begin, end int
	// cut and rest are where the value stands with its name and a comma: between them nothing is left of it.
	cut, rest int
	// kind is the type beside the value, empty for none.
	kind string
}

// The names of types in the bodies of requests.
const (
	entityType     = "Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts"
	identityType   = "Asi.Soa.Core.DataContracts.IdentityData, Asi.Contracts"
	propertiesType = "Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts"
	propertyType   = "Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts"
	textsType      = "System.Collections.ObjectModel.Collection`1[[System.String, mscorlib]], mscorlib"
)

// readRecord reads a record from valid JSON. ok is false if the record is not a generic entity, such as
// a contact.
func readRecord(text string) (r *record, ok bool) {
	r = &record{text: text, end: -1}
	s := scanner{text: text}
	if !s.enter('{') {
		return r, false
	}
	for s.more() {
		switch s.name() {
		case "$type":
			ok = strings.Contains(s.raw(), "GenericEntityData")
		case "Identity":
			identity, _ := s.value().(map[string]any)
			elements, _ := identity["IdentityElements"].([]any)
			for _, element := range elements {
				r.identity = append(r.identity, textOf(element))
			}
		case "Properties":
			r.read(&s)
		default:
			s.raw()
		}
	}
	return r, ok && r.end >= 0
}

// read reads the list of properties, in its envelope or without.
func (r *record) read(s *scanner) {
	enveloped := s.next() == '{'
	if enveloped && !s.member("$values") {
		return
	}
	if !s.enter('[') {
		s.raw()
	} else {
		r.empty = true
		for s.more() {
			if r.empty = false; s.next() == '{' {
				r.properties = append(r.properties, readProperty(s))
			} else {
				s.raw()
			}
		}
		r.end = s.at - 1 // before the bracket
	}
	for enveloped && s.more() {
		s.name()
		s.raw()
	}
}

// readProperty reads the object at which s stands.
func readProperty(s *scanner) (p storedProperty) {
	first, before := true, 0 // before is the end of the member before
	for s.enter('{'); s.more(); first, before = false, s.at {
		s.next()
		begin := s.at
		if p.end > 0 && p.rest == 0 { // the value came first, and takes the comma behind it along
			p.rest = begin
		}
		switch s.name() {
		case "Name":
			p.name = textOf(s.value())
		case "Value":
			s.next()
			p.begin = s.at
			wrapped := scanner{text: s.text, at: s.at}
			if wrapped.next() == '{' && wrapped.member("$type") {
				p.kind = textOf(wrapped.value())
			}
			p.value = s.value()
			p.end, p.cut = s.at, begin
			if !first {
				p.cut, p.rest = before, s.at
			}
		default:
			s.raw()
		}
	}
	if p.rest == 0 {
		p.rest = p.end
	}
	if p.end == 0 {
		p.begin, p.end = s.at-1, s.at-1 // before the brace
	}
	return p
}

// property finds a property of the record, in any letter case; nil where it has none of that name.
func (r *record) property(name string) *storedProperty {
	i := slices.IndexFunc(r.properties, func(p storedProperty) bool { return strings.EqualFold(p.name, name) })
	if i < 0 {
		return nil
	}
	return &r.properties[i]
}

// plain is the value of a property as [field.plain] has it; false where it is none that the property takes.
func (r *record) plain(p *Property) (string, bool) {
	stored := r.property(p.Name)
	if stored == nil || stored.value == nil {
		return "", true
	}
	free := *p
	free.MaxLength, free.Allowed = 0, nil // what is there is there
	f, problem := free.field(stored.value)
	return f.plain, problem == ""
}

// change is the record's text with other values for those fields.
func (r *record) change(fields []field) string {
	type piece struct {
		begin, end int
		text       string
	}
	var pieces []piece
	var added strings.Builder
	for _, f := range fields {
		stored := r.property(f.property.Name)
		switch {
		case stored == nil:
			if !r.empty || added.Len() > 0 {
				added.WriteByte(',')
			}
			added.WriteString(f.member())
		case f.json == none && stored.begin == stored.end:
		case f.json == none:
			pieces = append(pieces, piece{stored.cut, stored.rest, ""})
		case stored.begin == stored.end:
			pieces = append(pieces, piece{stored.begin, stored.end, `,"Value":` + f.json})
		default:
			pieces = append(pieces, piece{stored.begin, stored.end, f.as(stored.kind)})
		}
	}
	pieces = append(pieces, piece{r.end, r.end, added.String()})
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.begin, b.begin) })
	var out strings.Builder
	at := 0
	for _, p := range pieces {
		out.WriteString(r.text[at:p.begin] + p.text)
		at = p.end
	}
	return out.String() + r.text[at:]
}

// member is the field as one of a list of properties. One without a value has no Value.
func (f field) member() string {
	value := `,"Value":` + f.json
	if f.json == none {
		value = ""
	}
	return `{"$type":"` + propertyType + `","Name":` + quote(f.property.Name) + value + `}`
}

// as is the value with the type that a stored number has.
func (f field) as(kind string) string {
	switch kind {
	case "System.Double", "System.Single", "System.Int64", "System.Int16", "System.Byte":
		for _, ours := range []string{"System.Decimal", "System.Int32"} {
			if value, ok := strings.CutPrefix(f.json, `{"$type":"`+ours+`"`); ok {
				return `{"$type":"` + kind + `"` + value
			}
		}
	}
	return f.json
}

// newRecord is the text of a record to insert. Fields without a value are left out, so that the site's own
// defaults apply.
func newRecord(e *Entity, fields []field) string {
	var properties, parent, identity []string
	number := ""
	for _, f := range fields {
		if f.plain != "" {
			properties = append(properties, f.member())
		}
		switch {
		case f.property.Name == e.Contact && e.Parent == party:
			parent = []string{f.plain}
		case f.property.Name == sequence:
			number = f.plain
		}
	}
	if e.Counter == sequence && number != "" && parent != nil {
		identity = []string{parent[0], number}
	}
	under := cmp.Or(e.Parent, standalone)
	return `{"$type":"` + entityType + `","EntityTypeName":` + quote(e.Name) + `,"PrimaryParentEntityTypeName":` + quote(under) +
		`,"Identity":` + identityOf(e.Name, identity) + `,"PrimaryParentIdentity":` + identityOf(under, parent) +
		`,"Properties":{"$type":"` + propertiesType + `","$values":[` + strings.Join(properties, ",") + `]}}`
}

func identityOf(entity string, elements []string) string {
	text := `{"$type":"` + identityType + `","EntityTypeName":` + quote(entity)
	if elements != nil {
		quoted := make([]string, len(elements))
		for i, element := range elements {
			quoted[i] = quote(element)
		}
		text += `,"IdentityElements":{"$type":"` + textsType + `","$values":[` + strings.Join(quoted, ",") + `]}`
	}
	return text + "}"
}

// addressOf is that of the record with an identity: /api/My_Panel/~123|2.
func addressOf(entity string, identity []string) string {
	if len(identity) == 1 {
		return "/api/" + entity + "/" + url.PathEscape(identity[0])
	}
	return "/api/" + entity + "/~" + url.PathEscape(strings.Join(identity, "|"))
}

// unaddressable says why a part of an identity cannot stand in an address; empty where it can.
func unaddressable(element string) string {
	switch {
	case strings.ContainsAny(element, `/\|`):
		return `has a /, \ or | in it, which cannot be a part of a record's address`
	case element == "" || element[0] == '~' || !task.IsSegment(element):
		return "cannot be a part of a record's address"
	}
	return ""
}
