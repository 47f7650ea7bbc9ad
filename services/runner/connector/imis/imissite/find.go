package imissite

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// find is GET /api/{Entity}: the rows whose properties pass, a page of them.
func (s *Site) find(e *entity, w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(r, "limit", "offset")
	if !ok {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	type filter struct {
		property        *Property
		operator, value string
	}
	var filters []filter
	for name, given := range p.rest {
		property := e.property(name)
		if property == nil || len(given) > 1 {
			Refuse(w, http.StatusBadRequest, "The request is invalid.") // inferred
			return
		}
		operator, value, colon := strings.Cut(given[0], ":")
		operator = strings.ToLower(strings.TrimSpace(operator))
		if operators[operator] == nil || !colon && !slices.Contains(lonely, operator) {
			operator, value = "eq", given[0]
		}
		filters = append(filters, filter{property, operator, value})
	}
	found := []any{}
	for _, key := range e.keys {
		row, passes := e.rows[key], true
		for _, f := range filters {
			passes = passes && f.property.passes(row[f.property.Name], f.operator, f.value)
		}
		if passes {
			found = append(found, e.data(row))
		}
	}
	p.limit = min(p.limit, s.pageLimit)
	writeJSON(w, http.StatusOK, p.envelope(found))
}

// passes compares a stored value. Numbers are compared as such, and dates with or without their time; both
// is inferred.
func (p *Property) passes(cell any, operator, value string) bool {
	stored := cellText(cell)
	if ordered := ordering[operator]; ordered != nil {
		switch p.Type {
		case "Integer", "Decimal", "Monetary":
			a, errA := strconv.ParseFloat(stored, 64)
			b, errB := strconv.ParseFloat(value, 64)
			if errA == nil && errB == nil {
				return ordered(cmp.Compare(a, b))
			}
		case "Date":
			a, errA := time.Parse(dateLayout, stored)
			b, errB := time.Parse(dateLayout, value)
			if errB != nil {
				b, errB = time.Parse(time.DateOnly, value)
			}
			if errA == nil && errB == nil {
				return ordered(a.Compare(b))
			}
		}
	}
	return operators[operator](stored, value)
}

// listDefinitions is GET /api/BoEntityDefinition. That entities which are not available through the REST API
// are among them is inferred.
func (s *Site) listDefinitions(w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(r, "limit", "offset")
	if !ok || len(p.rest) > 0 {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []any{}
	for _, e := range s.entities {
		if e.Name != partyName {
			all = append(all, e.definition())
		}
	}
	slices.SortFunc(all, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["EntityTypeName"].(string), b.(map[string]any)["EntityTypeName"].(string))
	})
	p.limit = min(p.limit, s.pageLimit)
	writeJSON(w, http.StatusOK, p.envelope(all))
}

// metadata is GET /api/metadata/{Entity}. That its properties are described as in a definition is inferred.
func (s *Site) metadata(e *entity, w http.ResponseWriter, _ *http.Request) {
	if e.NoMetadata {
		notImplemented(w, "Service not implemented")
		return
	}
	definition := e.definition()
	definition["$type"] = "Asi.Soa.Core.DataContracts.EntityDefinitionData, Asi.Contracts"
	writeJSON(w, http.StatusOK, definition)
}

// definition is an entity as iMIS describes it, cut down to what public clients read. Members without a value
// are left out, as they are seen to be.
func (e *entity) definition() map[string]any {
	var properties []any
	for _, p := range e.Properties {
		kind := p.Type
		if kind == "Date" {
			kind = "DateTime"
		}
		property := map[string]any{
			"$type": "Asi.Soa.Core.DataContracts.PropertyType" + kind + "Data, Asi.Contracts", "PropertyTypeName": p.Type, "Name": p.Name,
		}
		if p.MaxLength > 0 {
			property["MaxLength"] = p.MaxLength
		}
		for name, set := range map[string]bool{"Required": p.Required, "IsIdentity": p.Identity} {
			if set {
				property[name] = true
			}
		}
		if p.Default != nil {
			property["DefaultValue"] = p.jsonOf(p.Default)
		}
		if p.Values != nil {
			var values []any
			for _, value := range p.Values {
				values = append(values, map[string]any{"$type": propertyType, "Name": value, "Value": value})
			}
			property["Rule"] = map[string]any{
				"$type": "Asi.Soa.Core.DataContracts.PropertyRuleValueListData, Asi.Contracts", "ValueList": list(values),
			}
		}
		properties = append(properties, property)
	}
	return map[string]any{
		"$type": "Asi.Soa.Core.DataContracts.BOEntityDefinitionData, Asi.Contracts", "EntityTypeName": e.Name, "ObjectTypeName": e.ObjectType,
		"PrimaryParentEntityTypeName": e.Parent, "Properties": list(properties),
	}
}

// envelope is a page of a list.
func (p pageRequest) envelope(all []any) json.RawMessage {
	return p.page(len(all), func(to []byte, i int) []byte { return appendValue(to, all[i]) })
}
