package imis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// name is what /api/query calls it: the filter's Search Label, or else its property. A caller may also
	// use the property.
	name, property string
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
	d := readDefinition(answer)
	if from.Endpoint == task.IQAEndpoint { // by position, whatever the names
		return d, nil
	}
	labeled, err := c.labels(ctx, from)
	if err != nil {
		return nil, err
	}
	d.label(labeled)
	return d, nil
}

// labels asks for the prompts of an IQA as /api/query knows them, in order; none where the site does not say.
// The error is a [*run.Failure] or ctx's.
func (c *client) labels(ctx context.Context, from *task.IMISSource) ([]iqaPrompt, error) {
	text, err := c.ask(ctx, "the prompts of the IQA "+from.Query+" of connection "+from.Connection, "/api/QueryParameterDefinition?QueryPath="+escape(from.Query), "")
	if _, refused := errors.AsType[*refusal](err); refused {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := listing{}
	list.read(text)
	var prompts []iqaPrompt
	for _, item := range list.items {
		s := scanner{text: item}
		given, _ := s.value().(map[string]any)
		property := textOf(given["PropertyName"])
		prompts = append(prompts, iqaPrompt{name: cmp.Or(strings.TrimSpace(textOf(given["Prompt"])), property), property: property, required: isRequired(given["FilterType"])})
	}
	return prompts, nil
}

// label gives the prompts the names that /api/query knows them by, and leaves out those that it does not.
func (d *definition) label(labeled []iqaPrompt) {
	if len(labeled) == 0 {
		return
	}
	known := d.prompts
	for i := range labeled {
		at := i
		if at >= len(known) || !strings.EqualFold(known[at].property, labeled[i].property) {
			at = slices.IndexFunc(known, func(p iqaPrompt) bool { return strings.EqualFold(p.property, labeled[i].property) })
		}
		if at >= 0 {
			labeled[i].required = labeled[i].required || known[at].required
			labeled[i].multiple = known[at].multiple
		}
	}
	d.prompts = labeled
}

// readDefinition reads the members of an IqaQueryDefinitionData, any of which may be missing.
func readDefinition(answer map[string]any) *definition {
	d := &definition{}
	for criteria := range objects(answer["Parameters"]) {
		property := textOf(criteria["PropertyName"])
		d.prompts = append(d.prompts, iqaPrompt{
			name: property, property: property, required: isRequired(criteria["Prompt"]) && !hasValue(criteria["Values"]), multiple: criteria["AllowMultiple"] == true,
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

// prompt finds the prompt that a parameter's name means: the one with that Search Label, or else the only one
// of that property. It is nil where there is none; wrong says so.
func (d *definition) prompt(name string) (found *iqaPrompt, wrong string) {
	of := func(field func(p iqaPrompt) string) (all []int) {
		for i, p := range d.prompts {
			if strings.EqualFold(field(p), name) {
				all = append(all, i)
			}
		}
		return all
	}
	at := of(func(p iqaPrompt) string { return p.name })
	if len(at) == 0 {
		at = of(func(p iqaPrompt) string { return p.property })
	}
	switch {
	case len(at) == 0:
		return nil, "it has no prompt " + name + cmp.Or(nearest.Hint(name, d.promptNames()), "; "+d.have())
	case len(at) == 1 && task.IsReservedPrompt(d.prompts[at[0]].name):
		return nil, "it has a prompt " + d.prompts[at[0]].name + ", which cannot be passed by that name: it means something else to iMIS; give the filter another Search Label"
	case len(at) == 1:
		return &d.prompts[at[0]], ""
	}
	var labels []string
	for _, i := range at {
		labels = append(labels, d.prompts[i].name)
	}
	if slices.ContainsFunc(labels, func(label string) bool { return !strings.EqualFold(label, labels[0]) }) {
		return nil, "it has several prompts for " + name + "; take the Search Label of one, " + strings.Join(labels, ", ")
	}
	return nil, "it has several prompts named " + name + "; give their filters different Search Labels in the IQA"
}

// compare says what of a task's prompts does not fit the IQA's.
func (d *definition) compare(endpoint task.Endpoint, given []prompt) (wrong []string) {
	if endpoint == task.IQAEndpoint {
		if len(given) > len(d.prompts) {
			wrong = append(wrong, fmt.Sprintf("the task lists %d prompts, and %s", len(given), d.have()))
		}
		return wrong
	}
	by := map[*iqaPrompt]string{}
	for _, p := range given {
		if p.value == "" {
			continue
		}
		found, problem := d.prompt(p.name)
		if other, taken := by[found]; taken && found != nil {
			problem = "it has one prompt for " + other + " and " + p.name + ", the parameters of the task; remove one of the two"
		}
		if by[found] = p.name; problem != "" {
			wrong = append(wrong, problem)
		}
	}
	return wrong
}

// is reports whether the name is one of the prompt's own.
func (p iqaPrompt) is(name string) bool {
	return strings.EqualFold(bare(p.name), name) || strings.EqualFold(bare(p.property), name)
}

// repeated are the names that several prompts have.
func (d *definition) repeated() (names []string) {
	for i, p := range d.prompts {
		if hasName(d.promptNames()[:i], p.name) && !hasName(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}
