package imissite

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The names of types in the bodies of entities.
const (
	entityType     = "Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts"
	identityType   = "Asi.Soa.Core.DataContracts.IdentityData, Asi.Contracts"
	propertiesType = "Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts"
	propertyType   = "Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts"
)

// entityData is the body of a write.
type entityData struct {
	Type                        string `json:"$type"`
	EntityTypeName              string
	PrimaryParentEntityTypeName string
	Identity                    *identityData
	PrimaryParentIdentity       *identityData
	Properties                  struct {
		Type   string         `json:"$type"`
		Values []propertyData `json:"$values"`
	}
}

type identityData struct {
	Type             string `json:"$type"`
	EntityTypeName   string
	IdentityElements *texts
}

// texts is a list of texts in its envelope.
type texts struct {
	Type   string   `json:"$type"`
	Values []string `json:"$values"`
}

type propertyData struct {
	Type  string `json:"$type"`
	Name  string
	Value json.RawMessage
}

// readBody decodes the JSON of a request into data, and refuses members that it does not have.
func readBody(r *http.Request, data any) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(r.Body)
	if kind != "application/json" || err != nil {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	return decoder.Decode(data) == nil && !decoder.More()
}

// fits reports whether the envelopes of a write are those of the entity.
func (d *entityData) fits(e *entity) bool {
	is := func(i *identityData, name string) bool {
		return i == nil || i.Type == identityType && i.EntityTypeName == name && (i.IdentityElements == nil || i.IdentityElements.Type == stringsType)
	}
	named := map[string]bool{}
	for _, p := range d.Properties.Values {
		if p.Type != propertyType || p.Name == "" || named[strings.ToLower(p.Name)] {
			return false
		}
		named[strings.ToLower(p.Name)] = true
	}
	return d.Type == entityType && d.EntityTypeName == e.Name && d.PrimaryParentEntityTypeName == e.Parent &&
		is(d.Identity, e.Name) && is(d.PrimaryParentIdentity, e.Parent) && d.Properties.Type == propertiesType
}

// elements are those of an identity.
func (i *identityData) elements() []string {
	if i == nil || i.IdentityElements == nil {
		return nil
	}
	return i.IdentityElements.Values
}

// valueOf reads a property's value from its JSON, and is false where it has not the form that the type asks
// for. That numbers and booleans need their wrapper is what one client says; another sends them bare.
func (p *Property) valueOf(raw json.RawMessage) (value any, ok bool) {
	if len(raw) == 0 { // the vendor's samples have properties without a value so, and none with null
		return nil, true
	}
	var text string
	if p.Type == "String" || p.Type == "Date" {
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	}
	var wrapped struct {
		Type  string          `json:"$type"`
		Value json.RawMessage `json:"$value"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&wrapped) != nil || wrapped.Type != wrappers[p.Type] {
		return nil, false
	}
	raw = wrapped.Value
	switch p.Type {
	case "Boolean":
		return string(raw) == "true", string(raw) == "true" || string(raw) == "false"
	case "Integer":
		number, err := strconv.ParseInt(string(raw), 10, 32)
		return number, err == nil && number <= math.MaxInt32
	case "Binary":
		err := json.Unmarshal(raw, &text)
		data, bad := base64.StdEncoding.DecodeString(text)
		return data, err == nil && bad == nil
	}
	var number json.Number
	err := json.Unmarshal(raw, &number)
	return number, err == nil && raw[0] != '"'
}

// wrappers are the types that stand beside values. That a Monetary is a Decimal is inferred.
var wrappers = map[string]string{
	"Boolean": "System.Boolean", "Integer": "System.Int32", "Decimal": "System.Decimal", "Monetary": "System.Decimal", "Double": "System.Double", "Binary": "System.Byte[], mscorlib",
}

// jsonOf is the value of a property in an answer.
func (p *Property) jsonOf(value any) any {
	if wrapper := wrappers[p.Type]; wrapper != "" {
		return Wrapped{wrapper, value}
	}
	return value
}

// data is a row as the site answers it.
func (e *entity) data(row Row) any {
	if e.Name == partyName {
		return party(row).data(cellText(row["PartyId"]))
	}
	properties := []any{}
	for _, p := range e.Properties {
		property := map[string]any{"$type": propertyType, "Name": p.Name}
		if value, has := row[p.Name]; has {
			property["Value"] = p.jsonOf(value)
		}
		properties = append(properties, property)
	}
	key := e.key(row)
	parent := key[:1]
	return map[string]any{
		"$type": entityType, "EntityTypeName": e.Name, "PrimaryParentEntityTypeName": e.Parent,
		"Identity": identity(e.Name, key), "PrimaryParentIdentity": identity(e.Parent, parent),
		"Properties": map[string]any{"$type": propertiesType, "$values": properties},
	}
}

func identity(name string, elements []string) map[string]any {
	return map[string]any{
		"$type": identityType, "EntityTypeName": name,
		"IdentityElements": map[string]any{"$type": stringsType, "$values": slices.Clone(elements)},
	}
}
