package taskfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"runhook/shared/task"
	"runhook/shared/watermark"
	"runhook/shared/wording"
)

// overlapPattern fits the forms of overlap.
const overlapPattern = `^([0-9]+|[1-9][0-9]*d|\+?([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$`

const (
	maxOverlap      = 366 * secondsADay
	maxOverlapCount = 1_000_000_000_000
)

// sinceField is the field since of a source that can be read incrementally. how is where its value goes.
func sinceField(how string, more ...field) field {
	return field{
		name: "since", kind: kindSection, fields: append([]field{
			{
				name: "column", kind: kindText, max: maxNameLetters, example: "changed", required: true,
				meaning: "the source's column that grows: of numbers, dates or moments",
			},
			{
				name: "start", kind: kindText, max: watermark.MaxText, example: "2026-01-01",
				meaning: "the value of the first run, and of `runhook run --full`; without it they have none",
			},
			{
				name: "overlap", kind: kindText, pattern: overlapPattern, example: "10m",
				meaning: "how much the value goes back, so that rows that come late are read: a time such as 10m, or a number for a column of numbers",
			},
		}, more...),
		meaning: "reads what is new: the highest value of a column that a successful run has seen is what the next run gets as " + how,
	}
}

// readSince reads the field of a source; nil if it has none. path is how messages name it, and uses is whether the source
// itself has the parameter, and how it would.
func (r *reader) readSince(source *fieldSet, path string, digits, uses bool, how string) *task.Since {
	given, ok := source.field("since")
	if !ok {
		return nil
	}
	set := given.section
	since := &task.Since{Column: set.text("column"), Start: set.text("start"), Prompt: set.text("prompt"), Digits: digits}
	r.increments = &increment{since: since, line: given.line, path: path, uses: uses || set.refused["prompt"], how: how}
	start, ok := set.field("start")
	value, err := watermark.Parse(since.Start)
	if ok && err != nil {
		r.report(start.line, "%s.start %v", path, err)
	}
	overlap, overlaps := set.field("overlap")
	if !overlaps {
		return since
	}
	r.increments.overlap = overlap.line
	count, countErr := strconv.ParseInt(overlap.text, 10, 64)
	seconds, isSpan := parseSpan(overlap.text)
	switch {
	case countErr == nil && 0 < count && count <= maxOverlapCount && strconv.FormatInt(count, 10) == overlap.text:
		since.OverlapCount = count
		if ok && err == nil && !value.IsNumber() {
			r.report(overlap.line, "%s.overlap is a number, and start is %s; write a time, such as 10m", path, value.Kind())
		}
	case isSpan && 0 < seconds && seconds <= maxOverlap:
		since.Overlap = time.Duration(seconds) * time.Second
		if ok && err == nil && value.IsNumber() {
			r.report(overlap.line, "%s.overlap is a time, and start is a number; write a number, such as 100", path)
		}
	default:
		r.report(overlap.line, "%s.overlap must be a time from 1s to 366d, such as 10m, or a whole number for a column of numbers, not %s", path, wording.Quote(overlap.text))
	}
	return since
}

// increment is a task's since, and what is to be checked of it once the rest of the task is known.
type increment struct {
	since         *task.Since
	line, overlap int
	path          string
	uses          bool
	how           string
}

// checkSince holds since against the rest of the task.
func (r *reader) checkSince(def *task.Definition) {
	i := r.increments
	if i == nil || def.Source == nil || def.Since() != i.since {
		return
	}
	for n, parameter := range def.Parameters {
		if strings.EqualFold(parameter.Name, task.SinceParam) || strings.EqualFold(def.Key(n), task.SinceParam) {
			r.report(i.line, "%s gives the parameter %s its value, so no caller can; call the task's parameter %s something else", i.path, task.SinceParam, parameter.Name)
		}
	}
	if !i.uses && !inExpressions(def) {
		r.report(i.line, "%s changes nothing, because nothing uses its value: %s", i.path, i.how)
	}
	if def.Destination == nil || def.Destination.Traits().Restartable {
		return
	}
	twice := fmt.Sprintf("%s would %s them twice", def.Destination.Place(), def.Destination.Traits().Repeats)
	switch {
	case i.overlap > 0:
		r.report(i.overlap, "%s.overlap reads rows again, and %s; take an action that finds them, such as upsert with a key, or leave overlap out", i.path, twice)
	case def.Concurrency > 1:
		r.report(i.line, "%s: runs at the same time (concurrency: %d) read the same rows, and %s; take concurrency: 1, or upsert with a key", i.path, def.Concurrency, twice)
	case len(def.Parameters) > 0:
		r.report(i.line, "%s: a run that is given values for parameters may not read all rows, so the next one reads them again, and %s; remove the parameters, or take upsert with a key", i.path, twice)
	}
}

// inExpressions reports whether an expression of the task may use the value.
func inExpressions(def *task.Definition) bool {
	uses := func(expression string) bool {
		return strings.Contains(expression, "params."+task.SinceParam) || strings.Contains(expression, "params[")
	}
	used := uses(def.Where)
	for _, column := range def.Mapping {
		used = used || uses(column.Expression)
	}
	return used
}
