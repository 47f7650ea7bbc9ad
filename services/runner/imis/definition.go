package imis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"runhook/shared/nearest"
	"runhook/shared/task"
)

// definition is what the site says an IQA is.
type definition struct {
	// prompts are the names of its prompts, in order.
	prompts []string
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
	d := &definition{}
	parameters, _ := answer["Parameters"].([]any)
	for _, parameter := range parameters {
		if criteria, ok := parameter.(map[string]any); ok {
			name, _ := criteria["PropertyName"].(string)
			d.prompts = append(d.prompts, name)
		}
	}
	return d, nil
}

// compare says what of a task's prompts does not fit the IQA's.
func (d *definition) compare(endpoint task.Endpoint, given []prompt) (wrong []string) {
	has := "it has the prompts " + strings.Join(d.prompts, ", ")
	if len(d.prompts) == 0 {
		has = "it has no prompts"
	}
	if endpoint == task.IQAEndpoint {
		if len(given) > len(d.prompts) {
			wrong = append(wrong, fmt.Sprintf("the task lists %d prompts, and %s", len(given), has))
		}
		return wrong
	}
	for _, p := range given {
		if p.value == "" || slices.ContainsFunc(d.prompts, func(name string) bool { return strings.EqualFold(name, p.name) }) {
			continue
		}
		wrong = append(wrong, "it has no prompt "+p.name+cmp.Or(nearest.Hint(p.name, d.prompts), "; "+has))
	}
	return wrong
}
