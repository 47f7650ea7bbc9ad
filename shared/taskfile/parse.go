// Package taskfile holds how a task is written: it reads, checks, explains, makes and edits task files,
// of which each is one task in YAML. What may stand in one is a table of fields, of which each kind of
// source and destination has its own.
package taskfile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"runhook/shared/mapping"
	"runhook/shared/nearest"
	"runhook/shared/task"
	"runhook/shared/wording"
)

// Parse reads a task file. file is only how messages name it. An error is an [*Invalid] with
// every problem of the file. The definition keeps text, which must not be changed afterwards.
func Parse(text []byte, file string) (*task.Definition, error) {
	r := newReader(text, file)
	var def *task.Definition
	if root := r.readDocument(text); root != nil {
		def = r.define(r.readSection(root, "", taskFields))
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &Invalid{Problems: r.problems}
	}
	hash := sha256.Sum256(text)
	def.Text, def.Hash = text, hex.EncodeToString(hash[:])
	return def, nil
}

// define makes the definition from the file's fields and checks what concerns more than one of them.
func (r *reader) define(file *fieldSet) *task.Definition {
	def := &task.Definition{
		Name:                 file.text("name"),
		Description:          file.text("description"),
		Enabled:              file.contents["enabled"].on,
		Mapping:              file.contents["mapping"].columns,
		OnRowError:           task.RowErrorPolicy(file.text("on_row_error")),
		MaxRowErrors:         file.contents["max_row_errors"].number,
		Concurrency:          file.contents["concurrency"].number,
		Overlap:              r.overlap(file),
		DisableAfterFailures: file.contents["disable_after_failures"].number,
		MaxQueued:            file.contents["max_queued"].number,
		Pool:                 file.text("pool"),
		Timeout:              file.seconds("timeout"),
		StartWithin:          file.seconds("start_within"),
		Retry:                r.retry(file),
		RetryAfter:           file.seconds("retry_after"),
		FailedStatus:         r.failedStatus(file),
		AllowOrigins:         r.origins(file),
		Auth:                 r.auth(file),
		RejectedRows:         r.rejectedRows(file),
		Keep:                 file.seconds("keep"),
		RateLimit:            file.contents["rate_limit"].rate,
	}
	if id, ok := file.field("id"); ok {
		var err error
		if def.ID, err = task.ParseID(strings.TrimSpace(id.text)); err != nil {
			r.report(id.line, "id: %v, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd; `runhook task new` makes one", err)
		}
	}
	if pool, ok := file.field("pool"); ok {
		if err := task.CheckPool(pool.text); err != nil {
			r.report(pool.line, "pool: %v", err)
		}
	}
	r.webhook(file, def)
	entries := file.contents["parameters"].sections
	def.Parameters = r.parameters(entries)
	if source, ok := file.field("source"); ok {
		def.Source, def.Rate = made(r, source.section, sourceForms, def), source.section.contents["rate"].rate
	}
	if destination, ok := file.field("destination"); ok {
		def.Destination = made(r, destination.section, destinationForms, def)
	}
	def.Expect = r.expect(file, def.Destination)
	if where, ok := file.field("where"); ok && strings.TrimSpace(where.text) != "" {
		def.Where, def.WhereLine = where.text, where.line
	}
	// A parameter that could not be read would make every expression wrong that names it.
	parametersKnown := !file.refused["parameters"] && len(def.Parameters) == len(entries)
	if parametersKnown {
		r.checkExpressions(def)
	}
	if parametersKnown {
		r.checkSince(def)
	}
	def.Schedules = r.schedules(file, def, parametersKnown)
	def.Then = r.thens(file, def, parametersKnown)
	return def
}

// made is what the section of a kind says. Of several sections, which are a problem of their own, each
// is read and the last counts.
func made[T any](r *reader, kinds *fieldSet, forms []form[T], def *task.Definition) (t T) {
	for _, f := range forms {
		if given, ok := kinds.field(string(f.kind)); ok {
			t = f.read(r, given, def)
		}
	}
	return t
}

// section reads a section, or its defaults where the file has none.
func (r *reader) section(file *fieldSet, name string, table []field) *fieldSet {
	if given := file.contents[name].section; given != nil {
		return given
	}
	return r.readSection(&yaml.Node{Kind: yaml.MappingNode}, name, table)
}

func (r *reader) rejectedRows(file *fieldSet) task.RejectedRows {
	section := r.section(file, "rejected_rows", rejectedFields)
	return task.RejectedRows{
		AllColumns: section.text("columns") == allColumns,
		Keep:       section.seconds("keep"),
		Max:        int64(section.contents["max"].number),
		Link:       section.contents["link"].on,
	}
}

func (r *reader) retry(file *fieldSet) task.Retry {
	section := r.section(file, "retry", retryFields)
	return task.Retry{Attempts: section.contents["attempts"].number, Backoff: section.seconds("backoff")}
}

// expect reads the section, and refuses bounds that the destination cannot be held to.
func (r *reader) expect(file *fieldSet, to task.Destination) (expect task.Expect) {
	section := file.contents["expect"].section
	if section == nil {
		return expect
	}
	expect.MinRows = int64(section.contents["min_rows"].number)
	for _, one := range []struct {
		name  string
		bound **task.Bound
		held  func(task.Traits) bool
	}{
		{"max_delete", &expect.MaxDelete, func(t task.Traits) bool { return t.MaxDelete }},
		{"max_change", &expect.MaxChange, func(t task.Traits) bool { return t.MaxChange }},
	} {
		given, ok := section.field(one.name)
		if !ok {
			continue
		}
		*one.bound = &given.bound
		if to != nil && !one.held(to.Traits()) {
			r.report(given.line, "expect.%s: how many rows of %s a run changes cannot be told before it does; leave it out", one.name, to.Place())
		}
	}
	return expect
}

// overlap reads the field, and refuses what could not be held exactly, or would do nothing, beside it.
func (r *reader) overlap(file *fieldSet) task.Overlap {
	overlap := task.Overlap(file.text("overlap"))
	if overlap == task.QueueOverlap || overlap == "" {
		return ""
	}
	given := file.contents["overlap"]
	if at := file.contents["concurrency"]; at.number > 1 {
		r.report(given.line, "overlap: %s is for one run at a time, and concurrency is %d; leave out one of them", overlap, at.number)
	}
	if most := file.contents["max_queued"]; most.line > 0 {
		r.report(most.line, "max_queued is for overlap: queue, and overlap is %s, with which no more than one run waits; leave it out", overlap)
	}
	return overlap
}

func (r *reader) failedStatus(file *fieldSet) int {
	status := file.contents["failed_status"]
	switch {
	case status.number == 408 || status.number == 429:
		r.report(status.line, "failed_status: clients repeat a request that is answered %d; take another 4xx, like 422", status.number)
	case 200 < status.number && status.number < 400:
		r.report(status.line, "failed_status must be 200 or a 4xx, like 422, not %d", status.number)
	}
	return status.number
}

// origins checks allow_origins and puts each origin into the form that browsers send.
func (r *reader) origins(file *fieldSet) []string {
	given := file.contents["allow_origins"]
	var origins []string
	for _, text := range given.texts {
		origin, err := url.Parse(strings.ToLower(text))
		switch {
		case text == "*":
			origins = append(origins, text)
		case err != nil || origin.Scheme != "https" && origin.Scheme != "http" || origin.Host == "" ||
			origin.Host != strings.TrimPrefix(strings.ToLower(text), origin.Scheme+"://"):
			r.report(given.line, "allow_origins: %s must be * or scheme and host alone, like https://example.org", wording.Quote(text))
		case origin.Scheme == "https" && origin.Port() == "443" || origin.Scheme == "http" && origin.Port() == "80":
			r.report(given.line, "allow_origins: browsers leave the usual port out; write %s://%s", origin.Scheme, origin.Hostname())
		default:
			origins = append(origins, origin.String())
		}
	}
	return origins
}

// columnNames are the mapping's, of which none may differ from another by letter case alone: who, as a
// sentence part, does not tell such columns apart.
func (r *reader) columnNames(columns []task.Column, who string) []string {
	names := make([]string, len(columns))
	folded := map[string]string{}
	for i, column := range columns {
		names[i] = column.Name
		lower := strings.ToLower(column.Name)
		if other, again := folded[lower]; again {
			r.report(column.Line, "mapping: %s and %s are one column to %s", wording.Quote(other), wording.Quote(column.Name), who)
		}
		folded[lower] = column.Name
	}
	return names
}

// checkColumns holds a list of columns against the mapping's names.
func (r *reader) checkColumns(line int, name string, list, names []string) {
	for i, column := range list {
		switch near := nearest.Name(column, names); {
		case slices.Contains(list[:i], column):
			r.report(line, "%s has %s twice", name, wording.Quote(column))
		case slices.Contains(names, column):
		case near != "":
			r.report(line, "%s: mapping has no column %s; did you mean %q?", name, wording.Quote(column), near)
		default:
			r.report(line, "%s: mapping has no column %s; it has %s", name, wording.Quote(column), strings.Join(names, ", "))
		}
	}
}

// checkExpressions compiles where and mapping, as far as that can be done without the source's columns.
func (r *reader) checkExpressions(def *task.Definition) {
	names := def.ExpressionNames()
	check := func(line int, name, expression string) {
		if letters := utf8.RuneCountInString(expression); letters > maxExpressionLetters {
			r.report(line, "%s: the expression has %d letters; it may have %d", name, letters, maxExpressionLetters)
		} else if err := mapping.Check(expression, names); err != nil {
			r.report(line, "%s: %v", name, err)
		}
	}
	if def.Where != "" {
		check(def.WhereLine, "where", def.Where)
	}
	for _, column := range def.Mapping {
		check(column.Line, "mapping."+column.Name, column.Expression)
	}
}

// checkParameter reports a name that is no parameter of the task, or one with several values where
// multiple says what to do about it.
func (r *reader) checkParameter(def *task.Definition, line int, place, name, multiple string) {
	keys := def.ExpressionNames()
	switch {
	case !slices.Contains(keys, name) && len(keys) == 0:
		r.report(line, "%s is no parameter; the task has none", place)
	case !slices.Contains(keys, name):
		hint := cmp.Or(nearest.Hint(name, keys), "; it has "+strings.Join(keys, ", "))
		r.report(line, "%s is no parameter of the task%s", place, hint)
	case multiple != "" && def.IsMultiple(name):
		r.report(line, "%s: the parameter is multiple, and %s", place, multiple)
	}
}
