package task

import (
	"bytes"
	"slices"
	"strings"

	"runhook/shared/wording"
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
		body.WriteString(wording.JSON(d.Key(i)))
		if parameter.Multiple {
			body.WriteString(`:[]`)
		} else {
			body.WriteString(`:""`)
		}
	}
	body.WriteString(`}}`)
	return body.Bytes()
}

// ExpressionNames lists the names below params that an expression may use: every key, the
// qualified name of every parameter that has one, and SinceParam of a task with since. A name that is no identifier is reached as
// params["CsContact1.ImisId"].
func (d *Definition) ExpressionNames() []string {
	names := d.parameterNames()
	if d.Since() != nil {
		names = append(names, SinceParam)
	}
	return names
}

// parameterNames are the names that the task's parameters have.
func (d *Definition) parameterNames() []string {
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
	if d.Since() != nil {
		params[SinceParam] = d.since(v)
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
