package draft

import (
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/pipeline"
	"runhook/shared/making"
)

// isDay reports whether a column holds days that are written in a way of their own.
func (p *proposing) isDay(column string) bool {
	return slices.ContainsFunc(p.Targets, func(t making.Target) bool { return t.Name == column && t.IsDay && t.Choice.Days != "" })
}

// show takes over what was seen of the rows.
func (p *proposing) show(fitted *pipeline.Fitted) {
	for _, found := range fitted.Found {
		words := strings.TrimPrefix(found.Message, found.Field.String()+": ")
		switch {
		case found.Severity == check.Note:
		case found.Severity == check.Warning && len(found.Field) == 2 && found.Field[0] == "mapping" && (p.Text == "" || p.isDay(found.Field[1])):
			// All rows are looked at, which says more.
		case found.Severity == check.Warning:
			p.Warnings = append(p.Warnings, capital(found.Text())+".")
		case len(found.Field) == 2 && found.Field[0] == "mapping" && p.blame(found.Field[1], words):
			p.Problems = append(p.Problems, found.Field[1]+": "+words+".")
		default:
			p.Problems = append(p.Problems, capital(words)+".")
		}
	}
	counts := fitted.Counts
	p.Failed, p.Fit = counts.Failed, counts.Retrieved-counts.Failed-counts.Skipped
	p.EmptyKeys, p.RepeatedKeys = fitted.EmptyKeys, fitted.RepeatedKeys
	for _, fault := range fitted.Faults {
		shown := making.Fault{Words: plainly(fault.Message), Rows: fault.Rows, Which: numbers(fault.Which, fault.Rows)}
		at := slices.IndexFunc(p.Targets, func(t making.Target) bool { return strings.EqualFold(t.Name, fault.Column) })
		if at < 0 {
			shown.Words = strings.TrimSpace(fault.Column + " " + fault.Message)
			p.Others = append(p.Others, shown)
			continue
		}
		if from := slices.IndexFunc(fitted.Source, func(c pipeline.Seen) bool { return c.Name == p.Targets[at].Choice.From }); from >= 0 && from < len(fault.Cells) {
			shown.Example = fault.Cells[from]
		}
		p.Targets[at].Faults = append(p.Targets[at].Faults, shown)
	}
	for _, seen := range fitted.Columns {
		at := slices.IndexFunc(p.Targets, func(t making.Target) bool { return t.Name == seen.Name })
		p.Targets[at].Samples, p.Targets[at].Empty = seen.Samples, seen.Empty
	}
	for _, read := range fitted.First {
		shown := making.Row{Number: read.Number}
		for i := range read.Texts {
			cell := making.Cell{Text: read.Texts[i], Null: read.Null[i]}
			if read.Fault != nil && strings.EqualFold(fitted.Columns[i].Name, read.Fault.Column) {
				cell.Wrong = plainly(read.Fault.Message)
			}
			shown.Cells = append(shown.Cells, cell)
		}
		if read.Fault != nil && !slices.ContainsFunc(shown.Cells, func(c making.Cell) bool { return c.Wrong != "" }) {
			shown.Wrong = read.Fault.Text()
		}
		p.First = append(p.First, shown)
	}
}

// plainly is a fault without where in an expression it is, which whoever chose a column has not written.
func plainly(message string) string {
	if _, why, ok := strings.Cut(message, " of the expression: "); ok && strings.HasPrefix(message, "cannot be computed: ") {
		return strings.TrimPrefix(why, "the text ")
	}
	return message
}

// numbers are those of the first rows, of so many.
func numbers(which []int64, rows int64) string {
	var words []string
	for _, number := range which {
		words = append(words, strconv.FormatInt(number, 10))
	}
	if int64(len(which)) < rows {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}
