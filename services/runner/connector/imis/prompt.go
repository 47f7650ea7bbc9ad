package imis

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"runhook/shared/run"
	"runhook/shared/task"
)

// prompt is a parameter of a task as it goes to the site.
type prompt struct {
	// name is what iMIS calls it; key is what the task's callers call it.
	name, key string
	// value is empty where the IQA's own default is to apply.
	value string
}

// prompts makes the prompts of a task's parameters, in their order. The error is a [*run.Failure].
func prompts(def *task.Definition, values task.Values) ([]prompt, error) {
	var all []prompt
	for i, parameter := range def.Parameters {
		p := prompt{name: parameter.Name, key: def.Key(i)}
		given := values[p.key].Values
		switch len(given) {
		case 0:
		case 1:
			p.value = plain(given[0])
		default:
			// No way is known to write this character within a list.
			if slices.ContainsFunc(given, func(one string) bool { return strings.Contains(one, "|") }) {
				return nil, run.Failf("a value of the parameter %s has a | in it, which iMIS takes for the end of a value where there are several", p.key)
			}
			p.value = "in:" + strings.Join(given, "|")
		}
		all = append(all, p)
	}
	if since := def.Since(); since != nil && since.Prompt != "" {
		p := prompt{name: since.Prompt, key: task.SinceParam}
		if value, _ := def.ExpressionParams(values)[task.SinceParam].(string); value != "" {
			p.value = plain(value)
		}
		all = append(all, p)
	}
	return all, nil
}

// plain makes of a value one that iMIS cannot take for more. It reads what stands before a colon as
// the name of an operator, and the operator eq takes what follows as it is. The names of operators are
// letters and signs, and any such word counts here: there may be more than are documented.
func plain(value string) string {
	word, _, colon := strings.Cut(value, ":")
	word = strings.TrimSpace(word)
	isName := word != "" && !strings.ContainsFunc(word, func(letter rune) bool {
		return (letter < 'A' || letter > 'Z') && (letter < 'a' || letter > 'z') && !strings.ContainsRune("!=<>", letter)
	})
	if colon && isName || slices.Contains(lonelyOperators, strings.ToLower(word)) {
		return "eq:" + value
	}
	return value
}

// lonelyOperators are those that need no value, and so perhaps no colon. true and false are left out:
// as values they mean the same.
var lonelyOperators = []string{"isempty", "empty", "notempty", "!empty", "istrue", "isfalse"}

// pageQuery is the query of the address of a page.
func pageQuery(from *task.IMISSource, all []prompt, limit, offset int64) string {
	var query strings.Builder
	add := func(name, value string) {
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		query.WriteString(escape(name) + "=" + escape(value))
	}
	add("QueryName", from.Query)
	add("limit", strconv.FormatInt(limit, 10))
	add("offset", strconv.FormatInt(offset, 10))
	for _, p := range all {
		switch {
		case from.Endpoint == task.IQAEndpoint:
			add("parameter", p.value) // by position: empty where there is none
		case p.value != "":
			add(p.name, p.value)
		}
	}
	return query.String()
}

// escape writes a space as %20, which every reader of an address understands.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
