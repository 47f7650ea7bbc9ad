package taskfile

import (
	"cmp"
	"slices"
	"strings"

	"runhook/shared/task"
	"runhook/shared/wording"
)

// parameters makes the parameters from their entries in the file.
func (r *reader) parameters(entries []*fieldSet) []task.Parameter {
	var made []task.Parameter
	for _, entry := range entries {
		parameter := task.Parameter{
			Required:      entry.text("prompt") == "required",
			Multiple:      entry.contents["multiple"].on,
			MaxBytes:      entry.contents["max_bytes"].number,
			AnyPath:       entry.contents["path"].on,
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
func (r *reader) nameParameter(entry *fieldSet, parameter *task.Parameter) bool {
	name, named := entry.field("name")
	filter, filtered := entry.field("filter")
	switch {
	case entry.refused["name"] || entry.refused["filter"]:
		return false // reported
	case named && filtered:
		r.report(entry.line, "parameters: give name or filter, not both; the key of a filter is its column, %s", wording.Quote(filter.text))
		return false
	case filtered:
		dot := strings.LastIndexByte(filter.text, '.')
		if dot <= 0 || dot == len(filter.text)-1 {
			r.report(filter.line, "parameters.filter must be a qualified column, like CsContact.FirstName, not %s", wording.Quote(filter.text))
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
func (r *reader) checkClash(entry *fieldSet, parameter task.Parameter, earlier []task.Parameter) {
	for _, other := range earlier {
		if !strings.EqualFold(parameter.Name, other.Name) {
			continue
		}
		switch {
		case parameter.Filter == "" && other.Filter == "", strings.EqualFold(parameter.Filter, other.Filter):
			r.report(entry.line, "parameters: %s is there twice (letter case does not count)", wording.Quote(cmp.Or(parameter.Filter, parameter.Name)))
		case parameter.Filter == "" || other.Filter == "":
			r.report(entry.line, "parameters: %s and %s share a name; give both a filter, so that callers can tell them apart",
				wording.Quote(cmp.Or(other.Filter, other.Name)), wording.Quote(cmp.Or(parameter.Filter, parameter.Name)))
		}
	}
}

// parameterDefault reads a default; empty texts are no values, as they are none in a request.
func (r *reader) parameterDefault(entry *fieldSet, name string) []string {
	given := entry.contents[name]
	if given.list && !entry.contents["multiple"].on && !entry.refused["multiple"] {
		r.report(given.line, "parameters.%s: a list needs multiple: true", name)
	}
	return slices.DeleteFunc(given.texts, func(text string) bool { return text == "" })
}
