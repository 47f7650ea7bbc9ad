package imis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/shared/nearest"
	"runhook/shared/task"
)

// definition is what the site says an IQA is.
type definition struct {
	// prompts and columns are in order.
	prompts []iqaPrompt
	columns []iqaColumn
}

// iqaPrompt is a prompt of an IQA.
type iqaPrompt struct {
	name string
	// required: without a value the site refuses to run the IQA, which has none of its own.
	required bool
	// multiple: it takes several values.
	multiple bool
}

// iqaColumn is a column of an IQA. Which of its names the rows have for it is not documented for all
// versions.
type iqaColumn struct {
	// names begin with the likeliest.
	names []string
	kind  check.Kind
}

// promptNames are the names of the prompts, in order.
func (d *definition) promptNames() []string {
	names := make([]string, len(d.prompts))
	for i, p := range d.prompts {
		names[i] = p.name
	}
	return names
}

// findByPath is the body of the request for the definition of the IQA at a path.
func findByPath(path string) string {
	quoted, _ := json.Marshal(path) // a string cannot fail
	return `{"$type":"Asi.Soa.Core.DataContracts.GenericExecuteRequest, Asi.Contracts","OperationName":"FindByPath","EntityTypeName":"QueryDefinition",` +
		`"Parameters":{"$type":"System.Collections.ObjectModel.Collection` + "`" + `1[[System.Object, mscorlib]], mscorlib",` +
		`"$values":[{"$type":"System.String","$value":` + string(quoted) + `}]},` +
		`"ParameterTypeName":{"$type":"System.Collections.ObjectModel.Collection` + "`" + `1[[System.String, mscorlib]], mscorlib","$values":["System.String"]},` +
		`"UseJson":false}`
}

// definition asks for the definition of an IQA, nil where there is none at the path.
func (c *client) definition(ctx context.Context, from *task.IMISSource) (*definition, error) {
	text, err := c.ask(ctx, "the definition of the IQA "+from.Query+" of connection "+from.Connection, "/api/QueryDefinition/_execute", findByPath(from.Query))
	if err != nil {
		return nil, err
	}
	s := scanner{text: text}
	answer, _ := s.value().(map[string]any)
	// iMIS 2017 answers without the envelope.
	if result, enveloped := answer["Result"]; enveloped {
		answer, _ = result.(map[string]any)
	}
	if answer == nil {
		return nil, nil
	}
	return readDefinition(answer), nil
}

// readDefinition reads the members of an IqaQueryDefinitionData, any of which may be missing.
func readDefinition(answer map[string]any) *definition {
	d := &definition{}
	for criteria := range objects(answer["Parameters"]) {
		d.prompts = append(d.prompts, iqaPrompt{
			name: textOf(criteria["PropertyName"]), required: isRequired(criteria["Prompt"]) && !hasValue(criteria["Values"]), multiple: criteria["AllowMultiple"] == true,
		})
	}
	for property := range objects(answer["Properties"]) {
		var c iqaColumn
		for _, member := range []string{"Alias", "Caption", "PropertyName", "Name"} {
			if name := textOf(property[member]); name != "" && !slices.Contains(c.names, name) {
				c.names = append(c.names, name)
			}
		}
		if len(c.names) == 0 {
			continue
		}
		c.kind = columnKinds[strings.TrimPrefix(textOf(property["DataTypeName"]), "System.")]
		d.columns = append(d.columns, c)
	}
	return d
}

// objects yields the objects of a list.
func objects(list any) func(yield func(map[string]any) bool) {
	elements, _ := list.([]any)
	return func(yield func(map[string]any) bool) {
		for _, element := range elements {
			if object, ok := element.(map[string]any); ok && !yield(object) {
				return
			}
		}
	}
}

// isRequired reads a prompt's Prompt, whose values are not documented: the word is that of iMIS's own
// pages.
func isRequired(prompt any) bool {
	return strings.EqualFold(textOf(prompt), "required")
}

// hasValue reports whether a prompt has a value of its own.
func hasValue(values any) bool {
	list, _ := values.([]any)
	return slices.ContainsFunc(list, func(value any) bool { return value != nil && value != "" })
}

// columnKinds are those of a column's DataTypeName.
var columnKinds = map[string]check.Kind{
	"String": check.Text, "Guid": check.Text, "Boolean": check.Boolean, "DateTime": check.Moment,
	"Byte": check.Whole, "SByte": check.Whole, "Int16": check.Whole, "Int32": check.Whole, "Int64": check.Whole,
	"Decimal": check.Number, "Double": check.Number, "Single": check.Number, "Byte[]": check.Binary,
}

// compare says what of a task's prompts does not fit the IQA's.
func (d *definition) compare(endpoint task.Endpoint, given []prompt) (wrong []string) {
	names := d.promptNames()
	if endpoint == task.IQAEndpoint {
		if len(given) > len(d.prompts) {
			wrong = append(wrong, fmt.Sprintf("the task lists %d prompts, and %s", len(given), d.have()))
		}
		return wrong
	}
	for _, p := range given {
		if p.value == "" || hasName(names, p.name) {
			continue
		}
		wrong = append(wrong, "it has no prompt "+p.name+cmp.Or(nearest.Hint(p.name, names), "; "+d.have()))
	}
	return wrong
}
