package taskfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"runhook/shared/mapping"
	"runhook/shared/task"
	"runhook/shared/wording"
)

// Draft is a task that copies what is there: every column of a source to the column of the same name.
type Draft struct {
	ID   task.ID
	Name string
	// Source is a csv, a sql or an imis one. Of an imis one with the endpoint iqa the parameters are all
	// prompts of the IQA, in its order.
	Source     task.Source
	Parameters []task.Parameter
	// Columns are the source's, of which there is at least one.
	Columns []string
	// Mapping is the task's; empty for every column of the source to the one of its name.
	Mapping []task.Column
	// Destination is a csv or a sql one. Create is set for a table.
	Destination task.Destination
}

// File is the draft's task file. It parses if the draft's names are what Parse accepts.
func (d Draft) File() []byte {
	lines := []string{
		"# A task: what happens when somebody POSTs to its webhook. `runhook task fields` explains every field.",
		"id: " + string(d.ID),
		"name: " + scalar(d.Name),
	}
	lines = append(lines, d.parameterLines()...)
	lines = append(lines, "source:")
	for _, line := range formOf(sourceForms, d.Source.Name()).draft(d.Source) {
		lines = append(lines, "  "+line)
	}
	lines = append(lines, "mapping:"+strings.Repeat(" ", 36)+" # destination column: expression over the row")
	used := map[string]bool{}
	for _, column := range d.Mapping {
		lines = append(lines, "  "+scalar(column.Name)+": "+expressionScalar(column.Expression))
	}
	for _, column := range d.Columns {
		if len(d.Mapping) > 0 {
			break
		}
		lines = append(lines, "  "+scalar(Unused(column, used))+": "+expressionScalar(ColumnExpression(column)))
	}
	lines = append(lines, "destination:")
	for _, line := range formOf(destinationForms, d.Destination.Name()).draft(d.Destination) {
		lines = append(lines, "  "+line)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// Unused is the name that a column gets in the destination: its own, with a number where another
// column differs by letter case only, which a database does not see. used are the names so far, in lower case; the name
// is added to them.
func Unused(column string, used map[string]bool) string {
	name := wording.Seen(column)
	for n := 2; used[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s_%d", wording.Seen(column), n)
	}
	used[strings.ToLower(name)] = true
	return name
}

// parameterLines write the parameters, with what a person has to decide about them.
func (d Draft) parameterLines() []string {
	if len(d.Parameters) == 0 {
		return nil
	}
	lines := []string{"# The parameters that callers may pass. Without a value the default applies, or else the source's own."}
	if about := formOf(sourceForms, d.Source.Name()).aboutParameters; about != nil {
		lines = append(lines, about(d.Source)...)
	}
	lines = append(lines, "parameters:")
	for _, p := range d.Parameters {
		name := "name: " + scalar(p.Name)
		if p.Filter != "" {
			name = "filter: " + scalar(p.Filter)
		}
		more := ""
		if p.Multiple {
			more = ", multiple: true"
		}
		if p.Required {
			lines = append(lines,
				"  # The IQA requires a value: a POST without one is refused. Or give it a default, as in default: CA, instead",
				"  # of prompt: required.")
			more = ", prompt: required" + more
		}
		if more != "" {
			name = "{" + name + more + "}"
		}
		lines = append(lines, "  - "+name)
	}
	return lines
}

var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// plainText needs no quotes as a YAML scalar, but for the words in otherWords.
	plainText = regexp.MustCompile(`^[A-Za-z_/.][A-Za-z0-9_ ./-]*$`)
	// otherWords mean something else than themselves to a reader of YAML.
	otherWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	// keywords mean something else than a column in an expression.
	keywords = []string{
		"row", "params", "true", "false", "nil", "and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "let", "if", "else",
	}
)

// ColumnExpression is the expression that passes a column untouched: its bare name where that is one.
func ColumnExpression(column string) string {
	if identifier.MatchString(column) && !slices.Contains(keywords, column) && mapping.Check(column, nil) == nil {
		return column
	}
	return "row[" + wording.JSON(column) + "]"
}

// scalar writes a text as a YAML scalar.
func scalar(text string) string {
	if plainText.MatchString(text) && strings.TrimSpace(text) == text && !slices.Contains(otherWords, strings.ToLower(text)) {
		return text
	}
	return wording.JSON(text) // which is YAML too
}

// expressionScalar writes an expression as a YAML scalar that reads as the expression does.
func expressionScalar(expression string) string {
	if strings.Contains(expression, ": ") || strings.Contains(expression, " #") || strings.HasSuffix(expression, ":") {
		return "'" + strings.ReplaceAll(expression, "'", "''") + "'"
	}
	if slices.Contains(otherWords, strings.ToLower(expression)) {
		return wording.JSON(expression)
	}
	return expression
}
