package taskfile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// scheduledFile is a task with parameters, and with lines below schedule.
func scheduledFile(lines string) []byte {
	return []byte("id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: Due\nparameters: [{name: State}, {name: Ids, multiple: true}]\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\nschedule:\n" + lines)
}

// Each schedule has what its entry says, and what it leaves out.
func TestSchedules(t *testing.T) {
	t.Parallel()
	def, err := taskfile.Parse(scheduledFile(`  - cron: "30 2 * * MON-FRI"
    time_zone: Europe/Berlin
    jitter: 5m
    missed: skip
    parameters: {state: 01, Ids: [1, two, true], }
  - cron: "@every 90s"
  - at: 2031-01-31T06:00:00+01:00
    parameters: {Ids: null}
`), "due.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := def.Schedules[0], def.Schedules[1], def.Schedules[2]
	if one.Expression != "30 2 * * MON-FRI" || one.TimeZone != "Europe/Berlin" || one.Zone().String() != "Europe/Berlin" || one.Jitter != 5*time.Minute || one.Missed != task.MissedSkip || one.Line != 8 {
		t.Errorf("%+v", one)
	}
	if two.TimeZone != "UTC" || two.Jitter != 0 || two.Missed != task.MissedOnce || two.Parameters != nil || two.String() != "@every 90s (UTC)" {
		t.Errorf("%+v", two)
	}
	if !three.At.Equal(time.Date(2031, 1, 31, 5, 0, 0, 0, time.UTC)) || three.Cron != nil || three.String() != "at 2031-01-31T06:00:00+01:00" {
		t.Errorf("%+v", three)
	}
	values, err := def.Resolve(one.Parameters)
	if err != nil || !slices.Equal(values["State"].Values, []string{"01"}) || !slices.Equal(values["Ids"].Values, []string{"1", "two", "true"}) {
		t.Errorf("%+v, %v", values, err)
	}
	// What is stored is the file, which says the same again.
	again, err := taskfile.Parse(def.Text, "the stored definition")
	if err != nil || again.Hash != def.Hash || again.Schedules[0].String() != one.String() || len(again.Schedules) != 3 {
		t.Errorf("%+v, %v", again, err)
	}
}

// What cannot be is refused, with the line and what to write.
func TestSchedulesRefused(t *testing.T) {
	t.Parallel()
	for _, one := range [][2]string{
		{"  {cron: x}", "8: schedule must be a list: each entry begins with a hyphen, as in - cron: \"0 6 * * MON-FRI\""},
		{"  []", "7: schedule has no entry; remove it"},
		{"  - daily", "8: schedule: each entry must be a mapping, as in - cron:"},
		{"  - cron: */5 * * * *", "put text that begins with * in quotes"},
		{"  - cron: 0 30 6 * *", "8: schedule.cron: the hour 30: write 0 to 23; with a second, write six fields, the second first"},
		{"  - cron: 0 0 30 2 *", `8: schedule.cron: "0 0 30 2 *" is not due within 40 years`},
		{"  - cron: '@every 1s'", "8: schedule.cron: @every 1s: at least 10s"},
		{"  - {cron: '@daily', time_zone: Local}", "8: schedule.time_zone: the time zone Local is another one on another machine"},
		{"  - {cron: '@daily', time_zone: Europa/X}", "8: schedule.time_zone: there is no time zone Europa/X"},
		{"  - cron: 'TZ=UTC 0 0 * * *'", "write the zone as time_zone beside it"},
		{"  - cron: '@hourly'\n    jitter: 61m", `9: schedule.jitter: 1h1m is longer than the 1h between two times of "@hourly"`},
		{"  - {cron: '0,5 0 * * *', jitter: 6m}", "8: schedule.jitter: 6m is longer than the 5m between"},
		{"  - {cron: '@daily', parameters: {Sate: NY}}", `8: schedule.parameters: "Sate" is not a parameter of this task; did you mean State?`},
		{"  - {cron: '@daily', parameters: {State: [NY]}}", "8: schedule.parameters: State takes one value, not an array"},
		{"  - {cron: '@daily', parameters: {State: {a: b}}}", `8: schedule.parameters: "State" must be a text, a number, true, false, or a list of them, not a mapping`},
		{"  - {cron: '@daily', parameters: {State: a, state: b}}", `"State" and "state" are both the parameter State`},
		{"  - {cron: '@daily', parameters: NY}", "schedule.parameters must have at least one line, parameter: value"},
		{"  - {cron: '@daily', missed: never}", "8: schedule.missed must be once, skip or all"},
		{"  - {cron: '@daily', at: 2031-01-31T06:00:00Z}", "8: schedule: an entry has cron or at, not both"},
		{"  - {missed: all}", "8: schedule: an entry needs a cron"},
		{"  - at: 2031-01-31", "8: schedule.at must be a moment with its offset"},
		{"  - at: 2031-01-31T06:00:00.5Z", "8: schedule.at must be a moment with its offset"},
		{"  - {at: 2031-01-31T06:00:00Z, time_zone: UTC}", "8: schedule.time_zone goes with cron; remove it"},
		{"  - {cron: '@daily', then: x}", `8: unknown field "then" in schedule; the fields are cron, time_zone, jitter, missed, at, parameters`},
	} {
		lines, says := one[0], one[1]
		_, err := taskfile.Parse(scheduledFile(lines+"\n"), "due.yaml")
		if err == nil {
			t.Errorf("%s is taken", lines)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%s\n%v\nwant %s", lines, err, says)
		}
	}
	required := strings.Replace(string(scheduledFile("  - cron: '@daily'\n")), "{name: State}", "{name: State, prompt: required}", 1)
	if _, err := taskfile.Parse([]byte(required), "due.yaml"); err == nil || !strings.Contains(err.Error(), "8: schedule.parameters: State is required and has no value") {
		t.Errorf("a required parameter without a value: %v", err)
	}
}

// A moment that has passed is refused, unless the task has it already.
func TestCheckMoments(t *testing.T) {
	t.Parallel()
	def, err := taskfile.Parse(scheduledFile("  - cron: '@daily'\n  - at: 2020-01-31T06:00:00Z\n"), "due.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before, err := taskfile.Parse(scheduledFile("  - at: 2020-01-31T07:00:00+01:00\n"), "due.yaml")
	if err != nil {
		t.Fatal(err)
	}
	invalid, ok := errors.AsType[*taskfile.Invalid](taskfile.CheckMoments(def, nil, "due.yaml", time.Now()))
	if !ok || invalid.Error() != "due.yaml:9: schedule.at: 2020-01-31T06:00:00Z has passed; write a moment to come, or remove the entry" {
		t.Errorf("%v", invalid)
	}
	if err := taskfile.CheckMoments(def, before, "due.yaml", time.Now()); err != nil {
		t.Errorf("the task has it: %v", err)
	}
	if err := taskfile.CheckMoments(def, nil, "due.yaml", time.Date(2020, 1, 31, 5, 59, 59, 0, time.UTC)); err != nil {
		t.Errorf("a second before: %v", err)
	}
	if err := taskfile.CheckMoments(def, nil, "due.yaml", time.Date(2020, 1, 31, 6, 0, 0, 0, time.UTC)); err == nil {
		t.Error("the moment itself is taken")
	}
}
