package console

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status"
	"runhook/services/status/history"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
)

// runPageSize is how many runs a page lists.
const runPageSize = 25

// runList is what the page of the runs shows.
type runList struct {
	// The filters as they are set.
	Find, Task, Status, By, From, To string
	// Fault says which filter cannot be used, and why.
	Fault    string
	Filtered bool
	Tasks    []choice
	Statuses []choice
	Triggers []choice
	Tallies  []tally
	Runs     []run.Listed
	// Percent is how much of the store's runs the list is made of.
	Percent float64
	// Newest and Older are the addresses of other pages; empty for none.
	Newest, Older string
}

// choice is one of a select.
type choice struct {
	Value, Words string
	Chosen       bool
}

// runStatuses are the choices of the list of runs.
var runStatuses = []struct {
	value, words, sign string
	narrow             func(*history.Query)
}{
	{"", "Any", "", func(*history.Query) {}},
	{"open", "Queued or in progress", "go", func(q *history.Query) { q.Outcome = new(run.Outcome("")) }},
	{"success", "Success", "ok", func(q *history.Query) { q.Outcome = new(run.Success) }},
	{"rows", "With failed rows", "part", func(q *history.Query) { q.Rejected = true }},
	{"failed", "Failed", "bad", func(q *history.Query) { q.Outcome = new(run.Failed) }},
	{"canceled", "Canceled", "stop", func(q *history.Query) { q.Outcome = new(run.Canceled) }},
}

var runTriggers = []run.Trigger{run.Webhook, run.CLI, run.Page, run.Schedule, run.Chain, run.Again, run.Corrections, run.DryRun}

// runList answers GET /console/runs?q=&task=&status=&by=&from=&to=&before=, and leads to a run with go=.
func (p *Page) runList(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Title, shown.Section = "Runs", "runs"
	if err := p.service.Loaded(); err != nil {
		return err
	}
	if number := strings.TrimSpace(string(rc.QueryArgs().Peek("go"))); number != "" {
		if n, err := run.ParseNumber(number); err == nil {
			return lead(rc, "runs/"+n.String())
		}
		return web.Refuse(fasthttp.StatusNotFound, "A run has a number, such as 48213.")
	}
	query := queryOf(rc, "q", "task", "status", "by", "from", "to", "before")
	list := runList{
		Find: query.Get("q"), Task: query.Get("task"), Status: query.Get("status"), By: query.Get("by"), From: query.Get("from"), To: query.Get("to"), Percent: 100,
	}
	list.choices(p, query)
	code := fasthttp.StatusOK
	q, fault := p.wanted(query)
	if fault == "" && len(q.Parameters) > 0 && visit.ReadOnly {
		fault = "You only read, so you do not see the values of parameters and cannot look for one."
	}
	if fault != "" {
		list.Fault, code = fault, fasthttp.StatusBadRequest
	} else {
		page, err := p.service.Search(ctx, q, runPageSize)
		if err != nil {
			return err
		}
		list.show(page, query)
	}
	shown.Data = list
	return show(rc, code, "runs.html", *shown)
}

func (l *runList) choices(p *Page, query url.Values) {
	for _, t := range p.tasks.All() {
		l.Tasks = append(l.Tasks, choice{string(t.ID), t.Name, string(t.ID) == l.Task})
	}
	for _, s := range runStatuses {
		l.Statuses = append(l.Statuses, choice{s.value, s.words, s.value == l.Status})
		l.Tallies = append(l.Tallies, tally{Words: s.words, Sign: s.sign, Link: linkWith(query, "status", s.value, "before", ""), Chosen: s.value == l.Status})
	}
	l.Tallies[0].Words = "All"
	for _, trigger := range runTriggers {
		l.Triggers = append(l.Triggers, choice{string(trigger), string(trigger), string(trigger) == l.By})
	}
	for name := range query {
		l.Filtered = l.Filtered || name != "before"
	}
}

func (l *runList) show(page status.RunPage, query url.Values) {
	l.Runs, l.Percent = page.Runs, page.Percent
	if query.Get("before") != "" {
		l.Newest = linkWith(query, "before", "")
	}
	if page.Next > 0 {
		l.Older = linkWith(query, "before", page.Next.String())
	}
}

// wanted reads the filters; fault says which of them cannot be used. What is looked for is NAME=VALUE of a parameter, or
// a part of the message, or the correlation id.
func (p *Page) wanted(query url.Values) (q history.Query, fault string) {
	if text := query.Get("task"); text != "" {
		id, err := task.ParseID(text)
		of, known := p.tasks.Of(id)
		if err != nil || !known {
			return q, "No task has this id; choose one of the list."
		}
		q.Tasks = p.tasks.IDs(of.ID)
	}
	known := false
	for _, s := range runStatuses {
		if s.value == query.Get("status") {
			s.narrow(&q)
			known = true
		}
	}
	if !known {
		return q, "There is no such status; choose one of the list."
	}
	if q.Trigger = query.Get("by"); q.Trigger != "" && !slices.Contains(runTriggers, run.Trigger(q.Trigger)) {
		return q, "Nothing starts runs in this way; choose one of the list."
	}
	if text := strings.TrimSpace(query.Get("q")); strings.ContainsRune(text, 0) {
		return q, "What is looked for has a character that no text has."
	} else if name, value, ok := strings.Cut(text, "="); ok && name != "" {
		q.Parameters = [][2]string{{name, value}}
	} else {
		q.Words = text
	}
	for name, to := range map[string]*time.Time{"from": &q.Since, "to": &q.Until} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return q, "A day is written like 2026-01-31."
		}
		if *to = day; name == "to" {
			*to = day.AddDate(0, 0, 1)
		}
	}
	if !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, "The last day is before the first."
	}
	if text := query.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || n == 0 {
			return q, "The page's address is not complete."
		}
		q.Before = run.Number(n)
	}
	return q, ""
}
