package taskfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"runhook/shared/task"
	"runhook/shared/wording"
)

// NewFile is a task file to start from: a task that parses, with every field there is, the
// optional ones commented out. name is the task's name as Parse accepts it: one line, not empty,
// at most 200 letters.
func NewFile(id task.ID, name string) []byte {
	lines := []string{
		"# A task: what happens when somebody POSTs to /task/execute/" + string(id) + ".",
		"# Remove a # to set an optional field; behind it stand the default or an example.",
		"# Check the file with: runhook task validate FILE",
		"",
	}
	for _, f := range taskFields {
		switch f.name {
		case "id":
			f.example = string(id)
		case "name":
			f.example = wording.JSON(name) // which is YAML too
		}
		block := f.starterLines()
		// A field with a body stands apart.
		if len(block) > 1 {
			block = append(append([]string{""}, block...), "")
		}
		lines = append(lines, block...)
	}
	lines = slices.CompactFunc(lines, func(a, b string) bool { return a == "" && b == "" })
	return []byte(strings.Join(alignComments(lines), "\n") + "\n")
}

// starterLines writes the field for a file to start from, with its meaning; commented out unless
// the file needs it. A field of a later version has no lines.
func (f field) starterLines() []string {
	if f.later {
		return nil
	}
	var lines []string
	switch f.kind {
	case kindSection, kindAlternatives, kindSections, kindColumns:
		lines = append(lines, f.name+":"+commentMark+f.meaning)
		lines = append(lines, f.starterBody()...)
	default:
		lines = append(lines, f.name+": "+f.starterValue()+commentMark+f.meaning)
	}
	if !f.required && !f.starter {
		for i, line := range lines {
			lines[i] = "# " + line
		}
	}
	return lines
}

// starterBody writes what stands below the name of a field that has a body.
func (f field) starterBody() (lines []string) {
	switch f.kind {
	case kindColumns:
		lines = strings.Split(f.example, "\n")
	case kindAlternatives:
		first := slices.IndexFunc(f.fields, func(alternative field) bool { return !alternative.later })
		for i, alternative := range f.fields {
			alternative.required = i == first
			lines = append(lines, alternative.starterLines()...)
		}
	default:
		for _, member := range f.fields {
			lines = append(lines, member.starterLines()...)
		}
	}
	for i, line := range lines {
		switch {
		case f.kind == kindSections && i == 0:
			lines[i] = "  - " + line
		case f.kind == kindSections:
			lines[i] = "    " + line
		default:
			lines[i] = "  " + line
		}
	}
	return lines
}

// starterValue is the field's example, or else its default, as YAML.
func (f field) starterValue() string {
	switch {
	case f.example != "":
		return f.example
	case f.kind == kindCharacter:
		return strconv.Quote(f.byDefault)
	case f.kind == kindTexts:
		return "[" + strconv.Quote(f.byDefault) + "]"
	}
	return f.byDefault
}

// commentMark stands between a line and its comment until the comments are aligned; a tab is in
// no example.
const commentMark = "\t# "

// alignComments gives the comments a column of their own; that of a long line goes above it.
func alignComments(lines []string) []string {
	const column = 44
	var aligned []string
	for _, line := range lines {
		text, comment, commented := strings.Cut(line, commentMark)
		switch {
		case !commented:
			aligned = append(aligned, line)
		case len(text) < column:
			aligned = append(aligned, fmt.Sprintf("%-*s # %s", column, text, comment))
		default:
			indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
			aligned = append(aligned, indent+"# "+comment, text)
		}
	}
	return aligned
}
