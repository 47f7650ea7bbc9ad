package taskfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"runhook/shared/schedule"
	"runhook/shared/task"
	"runhook/shared/wording"
	"runhook/shared/zone"
)

const (
	maxSchedules = 100
	maxJitter    = 30 * 24 * 3600
)

var scheduleFields = []field{
	{
		name: "cron", kind: kindText, max: maxNameLetters, example: `"0 6 * * MON-FRI"`, starter: true,
		meaning: "when the task runs, again and again: minute, hour, day of the month, month, day of the week; with six fields the second comes first. Or @daily, @hourly, @every 90s and the like",
	},
	{
		name: "time_zone", kind: kindText, max: maxNameLetters, byDefault: "UTC", example: "Europe/Berlin", starter: true,
		meaning: "whose clocks `cron` follows: a name of the tz database",
	},
	{
		name: "jitter", kind: kindSeconds, min: 1, max: maxJitter, example: "5m",
		meaning: "each time is up to this much later, by a share that the task's id and the time decide, so that many tasks do not start at once",
	},
	{
		name: "missed", kind: kindChoice, byDefault: string(task.MissedOnce),
		values:  []string{string(task.MissedOnce), string(task.MissedSkip), string(task.MissedAll)},
		meaning: "what becomes of times more than a minute ago, as after a standstill: one run for all of them (once), none (skip), or one for each of the last 100 (all)",
	},
	{
		name: "at", kind: kindInstant, example: "2031-01-31T06:00:00+01:00",
		meaning: "instead of cron: the one moment at which the task runs",
	},
	{
		name: "parameters", kind: kindValues, max: maxParameters, example: "{LastName: Smith}",
		meaning: "what the runs get as QueryParameters",
	},
}

// schedules makes the schedules from their entries in the file.
func (r *reader) schedules(file *fieldSet, def *task.Definition, parametersKnown bool) (made []task.Schedule) {
	given, ok := file.field("schedule")
	if ok && len(given.sections) == 0 {
		r.report(given.line, "schedule has no entry; remove it, or give it one, as in - cron: \"0 6 * * *\"")
	}
	for _, entry := range given.sections {
		s := task.Schedule{
			TimeZone: entry.text("time_zone"), Jitter: entry.seconds("jitter"), Missed: task.Missed(entry.text("missed")),
			Parameters: entry.contents["parameters"].given, Line: entry.line,
		}
		cron, again := entry.field("cron")
		at, once := entry.field("at")
		switch {
		case entry.refused["cron"] || entry.refused["at"]: // reported
		case again && once:
			r.report(entry.line, "schedule: an entry has cron or at, not both")
		case again:
			r.cron(entry, cron, &s)
		case once:
			s.At, s.TimeZone, s.Missed = at.moment, "", task.MissedOnce
			for _, name := range []string{"time_zone", "jitter", "missed"} {
				if other := entry.contents[name]; other.line > 0 {
					r.report(other.line, "schedule.%s goes with cron; remove it: at is one moment, with its own offset", name)
				}
			}
		default:
			r.report(entry.line, "schedule: an entry needs a cron, like \"0 6 * * *\", or an at, like 2031-01-31T06:00:00Z")
		}
		if parametersKnown && !entry.refused["parameters"] {
			_, err := def.Resolve(s.Parameters)
			if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
				r.report(cmp.Or(entry.contents["parameters"].line, entry.line), "schedule.parameters: %v", wrong)
			}
		}
		made = append(made, s)
	}
	return made
}

// cron reads the expression of an entry, in its zone.
func (r *reader) cron(entry *fieldSet, given content, s *task.Schedule) {
	s.Expression = given.text
	named, ok := entry.field("time_zone")
	if !ok {
		return // reported
	}
	location, err := zone.Load(named.text)
	if err != nil {
		r.report(cmp.Or(named.line, entry.line), "schedule.time_zone: %v", err)
		return
	}
	if s.Cron, err = schedule.ParseCron(given.text, location); err != nil {
		r.report(given.line, "schedule.cron: %v", err)
		return
	}
	first, ok := s.Cron.Next(time.Now())
	if !ok {
		r.report(given.line, "schedule.cron: %s is not due within %d years; is there such a date?", wording.Quote(given.text), schedule.Horizon)
		return
	}
	if s.Jitter > 0 {
		if period := shortestPeriod(s.Cron, first); s.Jitter > period {
			r.report(entry.contents["jitter"].line, "schedule.jitter: %s is longer than the %s between two times of %s; write at most that", spanText(s.Jitter), spanText(period), wording.Quote(given.text))
		}
	}
}

// periodsLooked is at how many times the shortest period is looked for.
const periodsLooked = 60

// shortestPeriod is the shortest time between two times of a cron expression, of the next ones.
func shortestPeriod(cron *schedule.Cron, first time.Time) time.Duration {
	shortest := time.Duration(0)
	for range periodsLooked {
		next, ok := cron.Next(first)
		if !ok {
			break
		}
		if period := next.Sub(first); shortest == 0 || period < shortest {
			shortest = period
		}
		first = next
	}
	if shortest == 0 { // it comes once in all these years
		return maxJitter * time.Second
	}
	return shortest
}

// spanText is a length of time without parts that are zero: 5m, not 5m0s.
func spanText(d time.Duration) string {
	text := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if len(text) > len(none) && text[len(text)-len(none):] == none {
			text = text[:len(text)-2]
		}
	}
	return text
}

// CheckMoments reports the moments of a definition that have passed, unless before, the task's definition until now,
// has them too; nil is none. A passed one would never make a run. The error is an [*Invalid]; file is how it names the
// file.
func CheckMoments(def, before *task.Definition, file string, now time.Time) error {
	var problems []Problem
	for _, s := range def.Schedules {
		if s.Cron != nil || s.At.After(now) {
			continue
		}
		if before != nil && slices.ContainsFunc(before.Schedules, func(old task.Schedule) bool { return old.Cron == nil && old.At.Equal(s.At) }) {
			continue
		}
		problems = append(problems, Problem{File: file, Line: s.Line, Message: fmt.Sprintf("schedule.at: %s has passed; write a moment to come, or remove the entry", s.At.Format(time.RFC3339))})
	}
	if problems == nil {
		return nil
	}
	return &Invalid{Problems: problems}
}

// readValues reads values by the names of parameters.
func (r *reader) readValues(node *yaml.Node, name string) (content, bool) {
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		r.report(node.Line, "%s must have at least one line, parameter: value", name)
		return content{}, false
	}
	var c content
	first := map[string]int{}
	before := len(r.problems)
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.report(key.Line, "%s has a key that is not a name", name)
			continue
		}
		if line, again := first[key.Value]; again {
			r.report(key.Line, "%s: %s is given twice; first on line %d", name, wording.Quote(key.Value), line)
		}
		first[key.Value] = key.Line
		given, ok := givenValue(value)
		if !ok {
			r.report(value.Line, "%s: %s must be a text, a number, true, false, or a list of them, not %s", name, wording.Quote(key.Value), shape(value))
		}
		c.given = append(c.given, task.Given{Key: key.Value, GivenValue: given})
	}
	return c, len(r.problems) == before
}

// givenValue is a value as a request would pass it: a scalar, letter for letter, or a list of them.
func givenValue(node *yaml.Node) (v task.GivenValue, ok bool) {
	switch node.Kind {
	case yaml.SequenceNode:
		v.Kind, ok = task.GivenArray, true
		for _, item := range node.Content {
			one, fits := givenValue(item)
			ok = ok && fits && one.Kind != task.GivenArray
			v.Items = append(v.Items, one)
		}
		return v, ok
	case yaml.ScalarNode:
	default:
		return v, false
	}
	v.Text = node.Value
	switch node.ShortTag() {
	case "!!null":
		v.Kind, v.Text = task.GivenNull, ""
	case "!!bool":
		v.Kind = task.GivenBool
	case "!!int", "!!float":
		v.Kind = task.GivenNumber
	default:
		v.Kind = task.GivenString
	}
	return v, true
}
