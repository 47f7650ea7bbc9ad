package console

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/web"
)

// taskPageSize is how many tasks a page lists.
const taskPageSize = 25

// taskRow is a task in the list.
type taskRow struct {
	ID, Name, From, To string
	Enabled            bool
	// Fault: its file has one and is not used. Held: too many of its runs failed in a row.
	Fault, Held bool
	// Last is its newest run; nil if it has none.
	Last *run.Listed
	// Scheduled: it has a schedule. Next is when that has it due next, the zero time for never or not now.
	Scheduled bool
	Next      time.Time
}

// tally is a choice of the list, and how many it has.
type tally struct {
	// Sign is the class of the sign before the words; empty for none.
	Words, Link, Sign string
	Count             int
	Chosen            bool
}

// taskList is what the page of the tasks shows.
type taskList struct {
	Find, State string
	Rows        []taskRow
	// All is how many tasks there are at all, and Found how many of the list's.
	All, Found int
	Tallies    []tally
	// Starts: the page can start runs. Makes: it can make tasks.
	Starts, Makes bool
	// Known: there is a history, which tells the last runs.
	Known bool
	// Away: the store cannot be reached, so this is what was known last.
	Away bool
	// Sorts are the addresses of the list in another order, by column, and Order how it is now.
	Sorts, Order map[string]string
	// Newer and Older are the addresses of the pages beside this one; empty for none.
	Newer, Older string
	Page, Pages  int
}

// The orders of the list of tasks. With a minus before it, the other way round.
var taskOrders = map[string]func(a, b taskRow) int{
	"name":  func(a, b taskRow) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) },
	"state": func(a, b taskRow) int { return cmp.Compare(a.state(), b.state()) },
	"last":  func(a, b taskRow) int { return cmp.Compare(a.lastRun(), b.lastRun()) },
	"next":  func(a, b taskRow) int { return a.nextRun().Compare(b.nextRun()) },
}

// state puts what needs somebody first.
func (r taskRow) state() int {
	switch {
	case r.Fault:
		return 0
	case r.Held:
		return 1
	case !r.Enabled:
		return 2
	}
	return 3
}

// nextRun puts those last that have none.
func (r taskRow) nextRun() time.Time {
	if r.Next.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return r.Next
}

func (r taskRow) lastRun() run.Number {
	if r.Last == nil {
		return 0
	}
	return r.Last.ImportID
}

// taskState is a choice of the list of tasks.
type taskState struct {
	name, words string
	has         func(taskRow) bool
}

var taskStates = []taskState{
	{"", "All", func(taskRow) bool { return true }},
	{"failed", "Last run failed", func(r taskRow) bool { return r.Last != nil && r.Last.Outcome() == run.Failed }},
	{"rows", "Last run with failed rows", func(r taskRow) bool { return r.Last != nil && r.Last.Status == run.Done && r.Last.RowsFailed > 0 }},
	{"held", "Held", func(r taskRow) bool { return r.Held }},
	{"disabled", "Disabled", func(r taskRow) bool { return !r.Enabled }},
	{"fault", "File cannot be used", func(r taskRow) bool { return r.Fault }},
}

// taskList answers GET /console/?q=&state=&sort=&page= with the tasks.
func (p *Page) taskList(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Title, shown.Section = "Tasks", "tasks"
	if err := p.service.Loaded(); err != nil {
		return err
	}
	query := queryOf(rc, "q", "state", "sort", "page")
	list := taskList{Find: query.Get("q"), State: query.Get("state"), Starts: p.startRun != nil, Makes: p.maker != nil, Sorts: map[string]string{}, Order: map[string]string{}}
	if !slices.ContainsFunc(taskStates, func(s taskState) bool { return s.name == list.State }) {
		list.State = ""
	}
	rows, err := p.taskRows(ctx, &list)
	if err != nil {
		return err
	}
	for _, state := range taskStates {
		has := 0
		for _, row := range rows {
			if state.has(row) {
				has++
			}
		}
		if has > 0 || state.name == list.State {
			list.Tallies = append(list.Tallies, tally{Words: state.words, Link: linkWith(query, "state", state.name, "page", ""), Count: has, Chosen: state.name == list.State})
		}
		if state.name == list.State {
			list.Rows = slices.DeleteFunc(slices.Clone(rows), func(row taskRow) bool { return !state.has(row) || !row.fits(list.Find) })
		}
	}
	list.sort(query)
	list.cut(query)
	list.Rows, err = p.refreshed(ctx, list.Rows)
	if list.Away = errors.Is(err, run.ErrUnavailable); err != nil && !list.Away {
		return err
	}
	shown.Data = list
	return show(rc, fasthttp.StatusOK, "tasks.html", *shown)
}

// taskRows are all tasks.
func (p *Page) taskRows(ctx context.Context, list *taskList) ([]taskRow, error) {
	tasks := p.tasks.All()
	list.All = len(tasks)
	last, known, err := p.service.LastRuns(ctx, tasks)
	if err != nil {
		return nil, err
	}
	list.Known = known
	var rows []taskRow
	for _, t := range tasks {
		row := rowOf(t)
		row.Fault = p.service.FileFault(t.ID) != ""
		_, row.Held = p.service.Held(t.ID)
		if next, _ := p.service.Due(t, 1); len(next) > 0 {
			row.Next = next[0].At
		}
		if newest, has := last[t.ID]; has {
			row.Last = &newest
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func rowOf(t bus.Task) taskRow {
	return taskRow{ID: string(t.ID), Name: t.Name, From: plain(t.Source.From()), To: plain(t.Destination.Place()), Enabled: t.Enabled, Scheduled: len(t.Schedules) > 0}
}

// fits reports whether a task has a text in its name, source or destination, in any letter case.
func (r taskRow) fits(text string) bool {
	return strings.Contains(strings.ToLower(r.Name+"\n"+r.From+"\n"+r.To), strings.ToLower(strings.TrimSpace(text)))
}

func (l *taskList) sort(query url.Values) {
	asked := cmp.Or(query.Get("sort"), "name")
	by, backwards := strings.TrimPrefix(asked, "-"), strings.HasPrefix(asked, "-")
	if taskOrders[by] == nil {
		by, backwards = "name", false
	}
	slices.SortStableFunc(l.Rows, func(a, b taskRow) int {
		order := taskOrders[by](a, b)
		if backwards {
			order = -order
		}
		return order
	})
	for name := range taskOrders {
		next := name
		if name == "last" { // the newest first is what is looked for
			next = "-last"
		}
		if name == by {
			l.Order[name] = "ascending"
			if next = "-" + name; backwards {
				l.Order[name], next = "descending", name
			}
		}
		l.Sorts[name] = linkWith(query, "sort", next, "page", "")
	}
}

func (l *taskList) cut(query url.Values) {
	l.Found = len(l.Rows)
	l.Pages = max(1, (l.Found+taskPageSize-1)/taskPageSize)
	page, err := strconv.Atoi(query.Get("page"))
	if err != nil {
		page = 1
	}
	l.Page = min(max(1, page), l.Pages)
	if l.Page > 1 {
		l.Newer = linkWith(query, "page", strconv.Itoa(l.Page-1))
	}
	if l.Page < l.Pages {
		l.Older = linkWith(query, "page", strconv.Itoa(l.Page+1))
	}
	l.Rows = l.Rows[(l.Page-1)*taskPageSize : min(l.Page*taskPageSize, l.Found)]
}

// refreshed are the tasks of a page with their last runs as they are now.
func (p *Page) refreshed(ctx context.Context, rows []taskRow) ([]taskRow, error) {
	for i, row := range rows {
		if row.Last == nil || row.Last.Status == run.Done {
			continue
		}
		now, err := p.service.Refresh(ctx, *row.Last)
		if err != nil {
			return rows, err
		}
		if len(now) > 0 {
			rows[i].Last = &now[0]
		}
	}
	return rows, nil
}

// queryOf reads those names of a query string; what else is in it does not count.
func queryOf(rc *fasthttp.RequestCtx, names ...string) url.Values {
	query := url.Values{}
	for _, name := range names {
		if value := string(rc.QueryArgs().Peek(name)); value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// linkWith is a link to the page with another query string, in which some names have other values, or none.
func linkWith(query url.Values, pairs ...string) string {
	changed := url.Values{}
	for name, values := range query {
		changed[name] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		if changed.Del(pairs[i]); pairs[i+1] != "" {
			changed.Set(pairs[i], pairs[i+1])
		}
	}
	return "?" + changed.Encode()
}

// errNoTask is the answer to an id that no task has.
var errNoTask = &web.Problem{
	Title: "There is no such task", Status: fasthttp.StatusNotFound, Detail: "No task has this id: it was deleted, or the address is not complete. The start of this page lists all tasks.",
}
