package console_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The list says when a task is due next, its page when that is in its zone and in UTC, and the form starts a run at a
// time, with and without a script.
func testSchedules(t *testing.T, b *browser) {
	s := open(t, bustest.New(t, bus.Topology{}))
	due := s.apply("Due <nightly>", `schedule: [{cron: "30 2 * * *", time_zone: America/New_York, jitter: 5m, parameters: {State: NY}, missed: skip}, {cron: "0 9 * * MON-FRI", time_zone: Europe/Berlin, parameters: {State: CA}}]`, "parameters: [{name: State}]")
	s.apply("Once", "schedule: [{at: 2031-01-31T06:00:00+01:00}]")
	s.apply("Plain")
	off := s.apply("Off", `enabled: false`, `schedule: [{cron: "* * * * *"}]`)
	p := s.signedIn(b, annToken)
	p.shows("Tasks")
	p.accessible("tasks with schedules")
	next := func(name string) string {
		text, _ := p.eval(fmt.Sprintf(`[...document.querySelectorAll('tbody tr')].find(tr => tr.querySelector('a.name').textContent === %q).cells[3].innerText`, name)).(string)
		return text
	}
	if got := next("Plain") + ", " + next("Off"); got != "No schedule, Not due" {
		t.Errorf("the next runs are %s", got)
	}
	if iso := p.eval(`[...document.querySelectorAll('tbody tr')].find(tr => tr.querySelector('a.name').textContent === 'Once').cells[3].querySelector('time').dateTime`); iso != "2031-01-31T05:00:00.000Z" {
		t.Errorf("the next run is %v", iso)
	}
	// On a phone too.
	p.must(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true})
	if got := p.eval(`[...document.querySelectorAll('tbody tr')].find(tr => tr.querySelector('a.name').textContent === 'Once').innerText.includes('Next 31 Jan 2031, 0')`); got != true {
		t.Errorf("the list of a phone does not say when tasks are due: %s", p.text())
	}
	p.must(p.session, "Emulation.clearDeviceMetricsOverride", nil)
	p.visit(s.url + "/console/?sort=next")
	p.until(`document.querySelector('th[aria-sort=ascending]')?.textContent === 'Next run' && document.querySelector('a.name').textContent === 'Due <nightly>'`)

	path := "/console/tasks/" + string(due.ID)
	p.visit(s.url + path)
	p.shows("Due <nightly>")
	p.accessible("a task with schedules")
	proctest.Until(t, func() error { // a click may fall between two looks of the page
		if p.eval(`document.querySelector('#schedule details').open`) == true {
			return nil
		}
		p.click(`document.querySelector('#schedule summary')`)
		return errors.New("the next times are closed")
	})
	p.eval(`document.querySelector('#schedule').scrollIntoView()`)
	p.accessible("the next times")
	text, _ := p.eval(`document.querySelector('#schedule').innerText`).(string)
	rows, _ := p.eval(`document.querySelectorAll('#schedule tbody tr').length`).(float64)
	for _, want := range []string{"30 2 * * * (America/New_York)", "up to 5m later", "with State", "missed: skip", "0 9 * * MON-FRI (Europe/Berlin)", "The next 10 times"} {
		if !strings.Contains(text, want) {
			t.Errorf("the schedule does not say %q: %s", want, text)
		}
	}
	first := due.Coming(time.Now(), 1)[0]
	if want := first.At.In(first.Schedule.Zone()).Format("15:04"); rows != 10 || !strings.Contains(text, want) {
		t.Errorf("%v rows without %s: %s", rows, want, text)
	}

	at := time.Now().Add(48*time.Hour).UTC().Format("2006-01-02") + "T12:00"
	quiet := b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})
	quiet.must(quiet.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	for i, each := range []*page{p, quiet} {
		each.visit(s.url + path)
		each.click(`document.querySelector('#later summary')`)
		each.until(`document.querySelector('#later').open`)
		// A time that is there and not meant, and a zone that is none, start nothing.
		each.eval(fmt.Sprintf(`document.querySelector('#at').value = %q`, at))
		each.click(`document.querySelector('#run-now .end .pri')`)
		each.until(`document.readyState === 'complete' && document.querySelector('#e-at')?.textContent === 'There is a time: press Start at that time, or empty it to start now.'`)
		each.eval(`document.querySelector('#zone').value = 'Europe/Berln'`)
		each.click(named("Start at that time"))
		each.until(`document.readyState === 'complete' && document.querySelector('#e-at')?.textContent.includes('did you mean Europe/Berlin?')`)
		if kept := each.eval(`document.querySelector('#at').value + ' ' + document.querySelector('#zone').value`); kept != at+" Europe/Berln" {
			t.Errorf("the form has %v", kept)
		}
		if i == 0 { // with a script
			each.accessible("a time refused")
		}
		each.eval(`document.querySelector('#zone').value = 'Asia/Kathmandu'`)
		each.click(named("Start at that time"))
		each.shows(fmt.Sprintf("Run %d of Due <nightly>", i+1))
		request, err := s.Runs.Request(t.Context(), due.ID, run.Number(i+1))
		if want := strings.Replace(at, "T12:00", "T06:15:00Z", 1); err != nil || request.RunAt.UTC().Format(time.RFC3339) != want {
			t.Errorf("it starts at %s, %v; want %s", request.RunAt, err, want)
		}
		if text := each.text(); !strings.Contains(text, "Waiting for "+strings.Replace(at, "T12:00", "T06:15:00Z", 1)) || each.eval(`[...document.querySelectorAll('.facts dt')].find(dt => dt.textContent === 'To start at').nextElementSibling.querySelector('time').dateTime`) != strings.Replace(at, "T12:00", "T06:15:00.000Z", 1) {
			t.Errorf("the run says %s", text)
		}
	}
	s.submit(due, func(r *run.Request) {
		r.Trigger, r.ScheduledFor = run.Schedule, time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)
	})
	p.visit(s.url + "/console/runs/3")
	p.until(`[...document.querySelectorAll('.facts dt')].find(dt => dt.textContent === 'Due')?.nextElementSibling.querySelector('time').dateTime === '2026-03-08T07:00:00.000Z'`)
	p.accessible("a scheduled run")
	p.visit(s.url + "/console/tasks/" + string(off.ID))
	p.until(`document.querySelector('#schedule')?.innerText.includes('Not due while the task is disabled.')`)
}
