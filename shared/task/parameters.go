package task

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Key is what a status document, a template and an expression call the i-th parameter: the bare
// column name, or the qualified one where several parameters share a column.
func (d *Definition) Key(i int) string {
	if len(d.sharing(d.Parameters[i].Name)) > 1 {
		return d.Parameters[i].Filter
	}
	return d.Parameters[i].Name
}

// Keys lists the key of every parameter, in file order.
func (d *Definition) Keys() []string {
	keys := make([]string, len(d.Parameters))
	for i := range d.Parameters {
		keys[i] = d.Key(i)
	}
	return keys
}

// sharing lists the parameters whose bare name is name, in any letter case.
func (d *Definition) sharing(name string) (indexes []int) {
	for i, parameter := range d.Parameters {
		if strings.EqualFold(parameter.Name, name) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// Template is the JSON body that passes every parameter, empty, in file order:
// {"QueryParameters":{"FirstName":""}}. A multiple parameter has an empty array. Posted as it is,
// it passes nothing.
func (d *Definition) Template() []byte {
	var body bytes.Buffer
	body.WriteString(`{"QueryParameters":{`)
	for i, parameter := range d.Parameters {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(jsonString(d.Key(i)))
		if parameter.Multiple {
			body.WriteString(`:[]`)
		} else {
			body.WriteString(`:""`)
		}
	}
	body.WriteString(`}}`)
	return body.Bytes()
}

// jsonString writes text as a JSON string, without the escapes that only HTML needs.
func jsonString(text string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string in a buffer cannot fail
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// ExpressionNames lists the names below params that an expression may use: every key, and the
// qualified name of every parameter that has one. A name that is no identifier is reached as
// params["CsContact1.ImisId"].
func (d *Definition) ExpressionNames() []string {
	names := d.Keys()
	for _, parameter := range d.Parameters {
		if parameter.Filter != "" && !slices.Contains(names, parameter.Filter) {
			names = append(names, parameter.Filter)
		}
	}
	return names
}

// ExpressionParams is what an expression sees as params: under every one of ExpressionNames a
// string, empty when there is no value, or, where multiple, a []string, empty but never nil.
func (d *Definition) ExpressionParams(v Values) map[string]any {
	params := make(map[string]any, len(d.Parameters))
	for i, parameter := range d.Parameters {
		key := d.Key(i)
		values := v[key].Values
		var seen any = ""
		switch {
		case parameter.Multiple:
			seen = append([]string{}, values...)
		case len(values) > 0:
			seen = values[0]
		}
		params[key] = seen
		if parameter.Filter != "" {
			params[parameter.Filter] = seen
		}
	}
	return params
}

// IsMultiple reports whether a name of ExpressionNames is that of a parameter with several values.
func (d *Definition) IsMultiple(name string) bool {
	for i, parameter := range d.Parameters {
		if parameter.Multiple && (d.Key(i) == name || parameter.Filter == name) {
			return true
		}
	}
	return false
}

// parameters makes the parameters from their entries in the file.
func (r *reader) parameters(entries []*fieldSet) []Parameter {
	var made []Parameter
	for _, entry := range entries {
		parameter := Parameter{
			Required:      entry.text("prompt") == "required",
			Multiple:      entry.contents["multiple"].on,
			Description:   entry.text("description"),
			Default:       r.parameterDefault(entry, "default"),
			SourceDefault: r.parameterDefault(entry, "source_default"),
		}
		if r.nameParameter(entry, &parameter) {
			r.checkClash(entry, parameter, made)
			made = append(made, parameter)
		}
	}
	return made
}

// nameParameter sets the names from name or filter, of which an entry has exactly one.
func (r *reader) nameParameter(entry *fieldSet, parameter *Parameter) bool {
	name, named := entry.field("name")
	filter, filtered := entry.field("filter")
	switch {
	case entry.refused["name"] || entry.refused["filter"]:
		return false // reported
	case named && filtered:
		r.report(entry.line, "parameters: give name or filter, not both; the key of a filter is its column, %s", quote(filter.text))
		return false
	case filtered:
		dot := strings.LastIndexByte(filter.text, '.')
		if dot <= 0 || dot == len(filter.text)-1 {
			r.report(filter.line, "parameters.filter must be a qualified column, like CsContact.FirstName, not %s", quote(filter.text))
			return false
		}
		parameter.Filter, parameter.Name = filter.text, filter.text[dot+1:]
	case named:
		if strings.Contains(name.text, ".") {
			r.report(name.line, "parameters.name has no dot; write filter: %s for a qualified column", name.text)
			return false
		}
		parameter.Name = name.text
	default:
		r.report(entry.line, "parameters: an entry needs a name, or a filter like CsContact.FirstName")
		return false
	}
	return true
}

// checkClash refuses a parameter that a caller could not tell from an earlier one.
func (r *reader) checkClash(entry *fieldSet, parameter Parameter, earlier []Parameter) {
	for _, other := range earlier {
		if !strings.EqualFold(parameter.Name, other.Name) {
			continue
		}
		switch {
		case parameter.Filter == "" && other.Filter == "", strings.EqualFold(parameter.Filter, other.Filter):
			r.report(entry.line, "parameters: %s is there twice (letter case does not count)", quote(parameter.qualified()))
		case parameter.Filter == "" || other.Filter == "":
			r.report(entry.line, "parameters: %s and %s share a name; give both a filter, so that callers can tell them apart",
				quote(other.qualified()), quote(parameter.qualified()))
		}
	}
}

// qualified is the parameter's full name: the filter, or the name where there is none.
func (p Parameter) qualified() string {
	if p.Filter != "" {
		return p.Filter
	}
	return p.Name
}

// parameterDefault reads a default; empty texts are no values, as they are none in a request.
func (r *reader) parameterDefault(entry *fieldSet, name string) []string {
	given := entry.contents[name]
	if given.list && !entry.contents["multiple"].on && !entry.refused["multiple"] {
		r.report(given.line, "parameters.%s: a list needs multiple: true", name)
	}
	return slices.DeleteFunc(given.texts, func(text string) bool { return text == "" })
}
