package taskfile

import (
	"fmt"
	"strings"
)

// Reference is the page that explains every field of a task file, in Markdown, made from the table
// of fields.
func Reference() []byte {
	var page strings.Builder
	page.WriteString("# The fields of a task file\n\n" +
		"<!-- `go run ./cmd/runhook task fields > deploy/docs/fields.md` writes this page. -->\n\n" +
		"With this page you can look up every field of a task file. A required field is in bold.\n\n" +
		"```sh\n" +
		"runhook task validate tasks/mine.yaml            # is every field correct?\n" +
		"runhook task schema > tasks/task.schema.json     # completion and checks in your editor\n" +
		"```\n\n" +
		"For the editor, begin a task file with `# yaml-language-server: $schema=task.schema.json`. A field\n" +
		"that is not listed here is an error.\n")
	referTo(&page, "", taskFields)
	return []byte(page.String())
}

// referTo writes the table of one section's fields, and then the sections among them.
func referTo(page *strings.Builder, path string, table []field) {
	if path != "" {
		fmt.Fprintf(page, "\n## `%s`\n", path)
	}
	page.WriteString("\n| field | value | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range table {
		if f.later {
			continue
		}
		name := "`" + f.name + "`"
		if f.required {
			name = "**" + name + "**"
		}
		fallback := ""
		if f.byDefault != "" {
			fallback = "`" + f.byDefault + "`"
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", name, cell(f.value()), fallback, cell(f.meaning))
	}
	for _, f := range table {
		if !f.later && len(f.fields) > 0 {
			referTo(page, join(path, f.name), f.fields)
		}
	}
}

// value says what a field takes, sections included.
func (f field) value() string {
	switch f.kind {
	case kindSection:
		return "fields, see below"
	case kindSections:
		return "a list of entries with fields, see below"
	case kindAlternatives:
		return "exactly one kind, see below"
	case kindColumns:
		return "column: expression, one or more"
	case kindExpressions:
		return "parameter: expression, one or more"
	case kindValues:
		return "parameter: value, one or more"
	}
	return f.takes()
}

// cell makes text fit a cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
