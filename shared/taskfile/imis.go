package taskfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var imisSource = form[task.Source]{
	kind: task.IMIS, read: readIMISSource, draft: draftIMISSource, aboutParameters: draftIMISPrompts,
	meaning: "an IQA of an iMIS site; the task's parameters are its prompts",
	fields: []field{
		connectionField("imis-prod", "imis connection it reads"),
		{
			name: "query", kind: kindText, pattern: `^\$/.*[^/]$`, example: `"$/Membership/Lapsed"`, required: true,
			meaning: "the IQA's path, from $/ on",
		},
		{
			name: "page_size", kind: kindWhole, min: 1, max: maxPageSize, byDefault: "500",
			meaning: "how many rows are asked for at a time; the site may give fewer",
		},
		{
			name: "endpoint", kind: kindChoice, byDefault: string(task.QueryEndpoint),
			values:  []string{string(task.QueryEndpoint), string(task.IQAEndpoint)},
			meaning: "the service that runs the IQA: query, which knows prompts by name; or iqa, the only one of iMIS 2017, for which the task must list all prompts of the IQA in its order",
		},
		sinceField("the prompt", field{
			name: "prompt", kind: kindText, max: maxNameLetters, example: "ChangedSince",
			meaning: "the prompt of the IQA that gets the value, by its Search Label; it must not be one of `parameters`",
		}),
	},
}

var imisDestination = form[task.Destination]{
	kind: task.IMIS, read: readIMISDestination,
	meaning: "a panel or business object of an iMIS site, one row at a time",
	fields: []field{
		connectionField("imis-prod", "imis connection it writes to"),
		{
			name: "entity", kind: kindText, max: maxNameLetters, pattern: entityName.String(), example: "My_Panel", required: true,
			meaning: "the panel or business object, by the name that the REST API has for it; Party for contacts",
		},
		{
			name: "action", kind: kindChoice, example: string(task.Upsert), required: true,
			values:  []string{string(task.Insert), string(task.Update), string(task.Upsert), string(task.Delete)},
			meaning: "the action for each row: insert, update, upsert or delete; insert with match inserts only rows that no record matches",
		},
		{
			name: "key", kind: kindTexts, max: maxKeyColumns, example: "[ID, Ordinal]",
			meaning: "the columns of mapping that are the record's identity; update, upsert and delete need it, or match",
		},
		{
			name: "match", kind: kindTexts, max: maxKeyColumns, example: "[ID, Code]",
			meaning: "instead of key: finds a row's record by these columns of mapping",
		},
		{
			name: "on_multiple", kind: kindChoice, byDefault: string(task.SkipRow),
			values:  []string{string(task.SkipRow), string(task.FailRow), string(task.AllRecords)},
			meaning: "with match: what happens to a row that several records match: skip, fail, or all, which updates or deletes each of them",
		},
		{
			name: "on_blank_match", kind: kindChoice, byDefault: string(task.SkipRow), values: []string{string(task.SkipRow), string(task.FailRow)},
			meaning: "with match: what happens to a row without a value in a column of match: skip or fail",
		},
		{
			name: "append", kind: kindTexts, max: maxColumns, example: "[Interests]",
			meaning: "multi-select columns of mapping: an update adds their values instead of replacing the existing ones",
		},
	},
}

// imisFilterWords are those that /api/{Entity} has.
var imisFilterWords = []string{"limit", "offset"}

// readIMISSource makes an imis source, all of whose task's parameters are prompts.
func readIMISSource(r *reader, given content, def *task.Definition) task.Source {
	imis := given.section
	source := &task.IMISSource{
		Connection: imis.text("connection"), Query: imis.text("query"),
		PageSize: imis.contents["page_size"].number, Endpoint: task.Endpoint(imis.text("endpoint")),
	}
	if query, ok := imis.field("query"); ok && !isIQAPath(query.text) {
		r.report(query.line, `source.imis.query must be the IQA's path from $/ on, like "$/Membership/Lapsed", not %s`, wording.Quote(query.text))
	}
	r.sincePrompt(imis, source, def)
	for i, parameter := range def.Parameters {
		switch {
		case source.Endpoint == task.IQAEndpoint && parameter.Multiple:
			r.report(imis.line, "source.imis.endpoint: iqa takes one value for each prompt, and the parameter %s is multiple", def.Key(i))
		case source.Endpoint == task.IQAEndpoint:
		case task.IsReservedPrompt(parameter.Name):
			r.report(imis.line, "source.imis: a prompt named %s cannot be passed by its name, which means something else to iMIS; take endpoint: iqa", parameter.Name)
		case def.Key(i) != parameter.Name:
			r.report(imis.line, "source.imis: %s cannot be passed by its name, which another prompt has too; give its filter a Search Label in the IQA and the parameter that name, or take endpoint: iqa and list all prompts in the IQA's order", def.Key(i))
		}
	}
	return source
}

// sincePrompt reads since, whose prompt goes by its name.
func (r *reader) sincePrompt(imis *fieldSet, source *task.IMISSource, def *task.Definition) {
	const path = "source.imis.since"
	given := imis.contents["since"].section
	source.Since = r.readSince(imis, path, true, given != nil && given.text("prompt") != "", "name the prompt of the IQA that gets it, as in prompt: ChangedSince")
	if source.Since == nil {
		return
	}
	prompt, ok := given.field("prompt")
	if !ok {
		return
	}
	switch {
	case source.Endpoint == task.IQAEndpoint:
		r.report(prompt.line, "%s.prompt: endpoint: iqa takes prompts by position alone; take endpoint: query, or use params.since in where", path)
	case !task.IsPromptName(prompt.text):
		r.report(prompt.line, "%s.prompt: a prompt named %s cannot be passed by its name; give its filter another Search Label in the IQA", path, wording.Quote(prompt.text))
	}
	for i, parameter := range def.Parameters {
		if strings.EqualFold(parameter.Name, prompt.text) || strings.EqualFold(def.Key(i), prompt.text) {
			r.report(prompt.line, "%s.prompt: %s is a parameter of the task, whose value callers pass; remove it from parameters", path, wording.Quote(prompt.text))
		}
	}
}

func isIQAPath(text string) bool {
	return strings.HasPrefix(text, "$/") && !strings.HasSuffix(text, "/") && !strings.Contains(text, "//")
}

var entityName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// imisContacts are the entities that are a contact itself, in lower case; the first is the one by which contacts
// are written, and the next mean the same.
var imisContacts = []string{"party", "person", "organization", "contact", "individual", "cscontact", "cscontactbasic"}

const contactForms = 3

// readIMISDestination makes an imis destination. A mapping that could not be read is nil, and has its
// own problem.
func readIMISDestination(r *reader, given content, def *task.Definition) task.Destination {
	imis := given.section
	d := &task.IMISDestination{
		Connection: imis.text("connection"), Entity: imis.text("entity"), Action: task.Action(imis.text("action")),
		Key: imis.contents["key"].texts, Match: imis.contents["match"].texts, Append: imis.contents["append"].texts,
		OnMultiple: task.RowPolicy(imis.text("on_multiple")), OnBlankMatch: task.RowPolicy(imis.text("on_blank_match")),
	}
	r.checkEntity(imis, d)
	r.checkIdentified(imis, d)
	if def.Mapping == nil {
		return d
	}
	names := r.columnNames(def.Mapping, "iMIS")
	for _, name := range []string{"key", "match", "append"} {
		r.checkColumns(imis.contents[name].line, "destination.imis."+name, imis.contents[name].texts, names)
	}
	if len(d.Key) > 0 && d.Action == task.Update && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(d.Key, n) }) {
		r.report(imis.contents["key"].line, "destination.imis: update has nothing to write; mapping needs a column that is not in key")
	}
	return d
}

// checkEntity refuses what is no entity's name, and contacts.
func (r *reader) checkEntity(imis *fieldSet, d *task.IMISDestination) {
	entity, ok := imis.field("entity")
	contact := slices.Index(imisContacts, strings.ToLower(entity.text))
	switch {
	case !ok:
	case !entityName.MatchString(entity.text):
		r.report(entity.line, "destination.imis.entity must be the name of a panel or business object, like My_Panel, not %s", wording.Quote(entity.text))
	case contact >= 0 && d.Action == task.Delete:
		r.report(entity.line, "destination.imis: %s is a contact, and contacts are never deleted", entity.text)
	case contact > 0 && contact < contactForms:
		r.report(entity.line, "destination.imis: persons and organizations are written as contacts; take entity: Party, not %s", entity.text)
	}
}

// checkIdentified holds key, match and what depends on them against the action.
func (r *reader) checkIdentified(imis *fieldSet, d *task.IMISDestination) {
	key, match := len(d.Key) > 0, len(d.Match) > 0
	switch {
	case d.Action == "" || imis.refused["key"] || imis.refused["match"]:
		return // reported
	case key && match:
		r.report(imis.contents["match"].line, "destination.imis: a record is found by key, its identity, or by match, columns that it has equal; remove one of the two")
	case !key && !match && d.Action != task.Insert:
		r.report(imis.line, "destination.imis: %s needs the columns that identify a record, like key: [ID], or columns to find it by, like match: [ID, Code]", d.Action)
	}
	for _, name := range []string{"on_multiple", "on_blank_match"} {
		// A default has no line.
		if given := imis.contents[name]; given.line > 0 && !match {
			r.report(given.line, "destination.imis.%s means something only with match; add match, or remove it", name)
		}
	}
	if d.OnMultiple == task.AllRecords && d.Action == task.Insert {
		r.report(imis.contents["on_multiple"].line, "destination.imis.on_multiple: all means something only where records are changed, and the action is insert; take skip or fail")
	}
	for _, column := range d.Match {
		if slices.Contains(imisFilterWords, strings.ToLower(column)) {
			r.report(imis.contents["match"].line, "destination.imis.match: a record cannot be found by a column named %s, which means something else to iMIS", column)
		}
	}
	for _, column := range d.Append {
		switch {
		case d.Action != task.Update && d.Action != task.Upsert:
			r.report(imis.contents["append"].line, "destination.imis.append means something only where records are updated, and the action is %s; remove it", d.Action)
			return
		case slices.Contains(d.Key, column) || slices.Contains(d.Match, column):
			r.report(imis.contents["append"].line, "destination.imis.append: %s is what the record is found by, so nothing can be added to it", wording.Quote(column))
		}
	}
}

func draftIMISSource(source task.Source) []string {
	from := source.(*task.IMISSource)
	line := fmt.Sprintf("imis: {connection: %s, query: %s", scalar(from.Connection), scalar(from.Query))
	if from.Endpoint == task.IQAEndpoint {
		line += ", endpoint: iqa"
	}
	return []string{line + "}"}
}

func draftIMISPrompts(source task.Source) []string {
	if source.(*task.IMISSource).Endpoint != task.IQAEndpoint {
		return nil
	}
	return []string{
		"# The names of the IQA's prompts do not tell them apart, so their values go by position: keep all, in this",
		"# order. Callers use these names, which may be changed.",
	}
}
