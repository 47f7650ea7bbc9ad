package task

import (
	"slices"
	"strings"
)

// imisQueryWords are the names that /api/query has for itself, in lower case.
var imisQueryWords = []string{"queryname", "limit", "offset"}

// imisSource makes an imis source, all of whose task's parameters are prompts.
func (r *reader) imisSource(imis *fieldSet, def *Definition) *IMISSource {
	if imis == nil {
		return nil
	}
	source := &IMISSource{
		Connection: imis.text("connection"), Query: imis.text("query"),
		PageSize: imis.contents["page_size"].number, Endpoint: Endpoint(imis.text("endpoint")),
	}
	if query, ok := imis.field("query"); ok && !isIQAPath(query.text) {
		r.report(query.line, `source.imis.query must be the IQA's path from $/ on, like "$/Membership/Lapsed", not %s`, quote(query.text))
	}
	for i, parameter := range def.Parameters {
		switch {
		case source.Endpoint == IQAEndpoint && parameter.Multiple:
			r.report(imis.line, "source.imis.endpoint: iqa takes one value for each prompt, and the parameter %s is multiple", def.Key(i))
		case source.Endpoint == IQAEndpoint:
		case slices.Contains(imisQueryWords, strings.ToLower(parameter.Name)):
			r.report(imis.line, "source.imis: a prompt named %s cannot be passed by its name, which means something else to iMIS; take endpoint: iqa", parameter.Name)
		case len(def.sharing(parameter.Name)) > 1:
			r.report(imis.line, "source.imis: %s cannot be passed by its name, which another prompt has too; take endpoint: iqa, and list all prompts in the IQA's order", def.Key(i))
		}
	}
	return source
}

func isIQAPath(text string) bool {
	return strings.HasPrefix(text, "$/") && !strings.HasSuffix(text, "/") && !strings.Contains(text, "//")
}
