package task

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"runhook/shared/mapping"
	"runhook/shared/nearest"
)

// Parse reads a task file. file is only how messages name it. An error is an [*Invalid] with
// every problem of the file. The definition keeps text, which must not be changed afterwards.
func Parse(text []byte, file string) (*Definition, error) {
	r := newReader(text, file)
	var def *Definition
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
func (r *reader) define(file *fieldSet) *Definition {
	def := &Definition{
		Name:         file.text("name"),
		Description:  file.text("description"),
		Enabled:      file.contents["enabled"].on,
		Mapping:      file.contents["mapping"].columns,
		OnRowError:   RowErrorPolicy(file.text("on_row_error")),
		MaxRowErrors: file.contents["max_row_errors"].number,
		Concurrency:  file.contents["concurrency"].number,
		Timeout:      file.seconds("timeout"),
		StartWithin:  file.seconds("start_within"),
		Retry:        r.retry(file),
		RetryAfter:   file.seconds("retry_after"),
		FailedStatus: r.failedStatus(file),
		AllowOrigins: r.origins(file),
	}
	if id, ok := file.field("id"); ok {
		var err error
		if def.ID, err = ParseID(strings.TrimSpace(id.text)); err != nil {
			r.report(id.line, "id: %v, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd; `runhook task new` makes one", err)
		}
	}
	def.FormerIDs = r.formerIDs(file.contents["former_ids"].sections, def.ID)
	entries := file.contents["parameters"].sections
	def.Parameters = r.parameters(entries)
	if source, ok := file.field("source"); ok {
		def.Source = r.source(source.section, def)
	}
	if destination, ok := file.field("destination"); ok {
		def.Destination = r.destination(destination.section, def.Mapping)
		r.checkLoop(destination.section, def)
	}
	if where, ok := file.field("where"); ok && strings.TrimSpace(where.text) != "" {
		def.Where, def.WhereLine = where.text, where.line
	}
	// A parameter that could not be read would make every expression wrong that names it.
	if !file.refused["parameters"] && len(def.Parameters) == len(entries) {
		r.checkExpressions(def)
	}
	return def
}

// retry reads the section, or its defaults where the file has none.
func (r *reader) retry(file *fieldSet) Retry {
	section := file.contents["retry"].section
	if section == nil {
		section = r.readSection(&yaml.Node{Kind: yaml.MappingNode}, "retry", retryFields)
	}
	return Retry{Attempts: section.contents["attempts"].number, Backoff: section.seconds("backoff")}
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
			r.report(given.line, "allow_origins: %s must be * or scheme and host alone, like https://example.org", quote(text))
		case origin.Scheme == "https" && origin.Port() == "443" || origin.Scheme == "http" && origin.Port() == "80":
			r.report(given.line, "allow_origins: browsers leave the usual port out; write %s://%s", origin.Scheme, origin.Hostname())
		default:
			origins = append(origins, origin.String())
		}
	}
	return origins
}

// checkPath refuses what no files connection can hold. The runner checks again, with the real folder.
func (r *reader) checkPath(csv *fieldSet, name string) {
	given, ok := csv.field("path")
	if !ok {
		return
	}
	slashed := strings.ReplaceAll(given.text, `\`, "/")
	clean := path.Clean(slashed)
	drive := len(slashed) > 1 && slashed[1] == ':'
	switch extension := strings.ToLower(path.Ext(slashed)); {
	case path.IsAbs(slashed) || drive:
		r.report(given.line, "%s must be relative to the connection's folder, not %s", name, quote(given.text))
	case clean == ".." || strings.HasPrefix(clean, "../"):
		r.report(given.line, "%s: %s leaves the connection's folder", name, quote(given.text))
	case clean == "." || strings.HasSuffix(slashed, "/"):
		r.report(given.line, "%s: %s is a folder, not a file", name, quote(given.text))
	case strings.HasPrefix(name, "destination.") && (extension == ".xlsx" || extension == ".gz"):
		r.report(given.line, "%s: %s files can be read and not written; take another name", name, extension)
	}
}

func (r *reader) destination(kinds *fieldSet, columns []Column) (d Destination) {
	if csv := kinds.contents["csv"].section; csv != nil {
		r.checkPath(csv, "destination.csv.path")
		d.CSV = &CSVDestination{Connection: csv.text("connection"), Path: csv.text("path"), Action: Action(csv.text("action"))}
	}
	if sql := kinds.contents["sql"].section; sql != nil {
		d.SQL = &SQLDestination{
			Connection: sql.text("connection"), Table: sql.text("table"), Key: sql.contents["key"].texts,
			Action: Action(sql.text("action")), Create: sql.contents["create"].on,
		}
		r.checkKey(sql, d.SQL, columns)
	}
	d.HTTP = r.httpDestination(kinds.contents["http"].section)
	d.NATS = r.natsDestination(kinds.contents["nats"].section)
	d.IMIS = r.imisDestination(kinds.contents["imis"].section, columns)
	return d
}

// checkLoop refuses to append to the file that is being read, which would never end.
func (r *reader) checkLoop(kinds *fieldSet, def *Definition) {
	from, to := def.Source.CSV, def.Destination.CSV
	if from != nil && to != nil && to.Action == Append && from.Connection == to.Connection && path.Clean(from.Path) == path.Clean(to.Path) {
		r.report(kinds.contents["csv"].line, "destination.csv: the source reads the file that this appends to, and would never end; take another path")
	}
}

// checkKey holds the key against the action and the mapping. A mapping that could not be read is
// empty, and has its own problem.
func (r *reader) checkKey(sql *fieldSet, d *SQLDestination, columns []Column) {
	line := cmp.Or(sql.contents["key"].line, sql.line)
	if d.Action == "" || sql.refused["key"] {
		return // reported
	}
	if len(d.Key) == 0 && d.Action != Insert {
		r.report(line, "destination.sql.key is missing: %s needs the columns that identify a row, like key: [id]", d.Action)
		return
	}
	if columns == nil {
		return
	}
	names := r.columnNames(columns, "a database")
	r.checkColumns(line, "destination.sql.key", d.Key, names)
	if d.Action == Update && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(d.Key, n) }) {
		r.report(line, "destination.sql: update has nothing to write; mapping needs a column that is not in key")
	}
}

// columnNames are the mapping's, of which none may differ from another by letter case alone: who, as a
// sentence part, does not tell such columns apart.
func (r *reader) columnNames(columns []Column, who string) []string {
	names := make([]string, len(columns))
	folded := map[string]string{}
	for i, column := range columns {
		names[i] = column.Name
		lower := strings.ToLower(column.Name)
		if other, again := folded[lower]; again {
			r.report(column.Line, "mapping: %s and %s are one column to %s", quote(other), quote(column.Name), who)
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
			r.report(line, "%s has %s twice", name, quote(column))
		case slices.Contains(names, column):
		case near != "":
			r.report(line, "%s: mapping has no column %s; did you mean %q?", name, quote(column), near)
		default:
			r.report(line, "%s: mapping has no column %s; it has %s", name, quote(column), strings.Join(names, ", "))
		}
	}
}

// checkExpressions compiles where and mapping, as far as that can be done without the source's columns.
func (r *reader) checkExpressions(def *Definition) {
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
