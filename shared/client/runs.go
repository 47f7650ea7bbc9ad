package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// startTries bounds how often a POST is sent whose answer did not come or said to try later. Patience may be longer.
	startTries = 4
)

// Started is a run that was accepted.
type Started struct {
	Task   task.ID
	Number run.Number
	// Document is the status document of the answer.
	Document run.Document
	// Query is what the status URL ends with, such as a signature: empty or beginning with "?".
	Query string
}

// Start starts a run. values holds the parameters' values by name; one value is sent as a string,
// several as an array. The POST carries an idempotency key of its own, so it is repeated without
// starting a second run when the server may or may not have stored it, and for as long as Patience while the server cannot
// reach its store.
func (c *Client) Start(ctx context.Context, id task.ID, values map[string][]string) (Started, error) {
	return c.start(ctx, "/task/executepolling/"+string(id), values, nil, time.Time{})
}

// StartAt accepts a run, as Start does, that starts at a time.
func (c *Client) StartAt(ctx context.Context, id task.ID, values map[string][]string, at time.Time) (Started, error) {
	return c.start(ctx, "/task/executepolling/"+string(id), values, nil, at)
}

// Full starts a run as Start, StartAt, unless at is the zero time, or, if it is dry, Try does, that reads from the start,
// whatever the task's runs have read. It needs the admin token.
func (c *Client) Full(ctx context.Context, id task.ID, values map[string][]string, dry bool, at time.Time) (Started, error) {
	return c.start(ctx, startPath(dry)+string(id), values, http.Header{run.FullHeader: {"true"}}, at)
}

// Repeat starts a run as Start or, if it is dry, as Try does, which says that it is a repeat of another one. It needs
// the admin token.
func (c *Client) Repeat(ctx context.Context, id task.ID, values map[string][]string, of run.Number, dry bool) (Started, error) {
	return c.start(ctx, startPath(dry)+string(id), values, http.Header{run.RepeatHeader: {of.String()}}, time.Time{})
}

func startPath(dry bool) string {
	if dry {
		return "/task/dryrun/"
	}
	return "/task/executepolling/"
}

// Try starts a dry run, as Start starts a run: it does everything but write to the destination.
func (c *Client) Try(ctx context.Context, id task.ID, values map[string][]string) (Started, error) {
	return c.start(ctx, "/task/dryrun/"+string(id), values, nil, time.Time{})
}

func (c *Client) start(ctx context.Context, path string, values map[string][]string, more http.Header, at time.Time) (Started, error) {
	sent := map[string]any{"QueryParameters": parameters(values)}
	if !at.IsZero() {
		sent["RunAt"] = at.Format(time.RFC3339)
	}
	body, err := json.Marshal(sent)
	if err != nil {
		return Started{}, fmt.Errorf("encode the parameters: %w", err)
	}
	header := http.Header{
		"Content-Type":    {"application/json"},
		"Idempotency-Key": {uuid.NewString()},
		run.TriggerHeader: {string(run.CLI)},
	}
	maps.Copy(header, more)
	began := time.Now()
	for try := 1; ; try++ {
		got, err := c.ask(ctx, http.MethodPost, path, header, body)
		if err == nil {
			return c.started(got)
		}
		least, again := later(err)
		enough := try >= startTries && !(Away(err) && time.Since(began) < c.Patience)
		// A server that takes no connection at all has not seen the POST, and is likely not there.
		if !again || enough || try == 1 && errors.Is(err, syscall.ECONNREFUSED) {
			return Started{}, err
		}
		if !wait.For(ctx, max(least, wait.Doubled(firstPause, lastPause, try))) {
			return Started{}, context.Cause(ctx)
		}
	}
}

func parameters(values map[string][]string) map[string]any {
	sent := make(map[string]any, len(values))
	for name, list := range values {
		if len(list) == 1 {
			sent[name] = list[0]
		} else {
			sent[name] = list
		}
	}
	return sent
}

func (c *Client) started(got answer) (Started, error) {
	var s Started
	if err := c.decode(got, &s.Document); err != nil {
		return s, err
	}
	s.Task, s.Number = s.Document.ExecuteID, s.Document.ImportID
	if s.Number == 0 {
		return s, fmt.Errorf("the answer of %s names no run; is --server right?", c.base)
	}
	// Only the query of Location is used: its host may be one that this machine cannot reach.
	if location, err := url.Parse(got.header.Get("Location")); err == nil && location.RawQuery != "" {
		s.Query = "?" + location.RawQuery
	}
	return s, nil
}

// Status polls a run once. The server is asked to hold the answer until the run ends, at most wait
// (whole seconds). ended reports whether the document is final.
func (c *Client) Status(ctx context.Context, s Started, wait time.Duration) (doc run.Document, ended bool, err error) {
	header := http.Header{}
	if seconds := int(wait / time.Second); seconds > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(seconds))
	}
	got, err := c.do(ctx, http.MethodGet, run.StatusPath(s.Task, s.Number)+s.Query, header, nil, wait)
	if err != nil {
		return doc, false, err
	}
	if !got.isJSON() {
		return doc, false, problemOf(got)
	}
	err = c.decode(got, &doc)
	return doc, doc.Status == run.Done, err
}

// Wait polls a run until it has ended and returns the final document. It goes on while the server
// is away, for as long as ctx lasts. update, if not nil, is called with every document, about once
// in every; away, if not nil, once for each outage.
func (c *Client) Wait(ctx context.Context, s Started, every time.Duration, update func(run.Document), away func(error)) (run.Document, error) {
	for failed := 0; ; {
		asked := time.Now()
		doc, ended, err := c.Status(ctx, s, every)
		if err != nil {
			least, again := later(err)
			if !again {
				return run.Document{}, err
			}
			if failed++; failed == 1 && away != nil {
				away(err)
			}
			if !wait.For(ctx, min(lastPause, max(least, wait.Doubled(firstPause, lastPause, failed)))) {
				return run.Document{}, context.Cause(ctx)
			}
			continue
		}
		failed = 0
		if update != nil {
			update(doc)
		}
		if ended {
			return doc, nil
		}
		// A proxy may have dropped the wish to wait.
		if !wait.For(ctx, every-time.Since(asked)) {
			return run.Document{}, context.Cause(ctx)
		}
	}
}

// later says whether a request that failed may be repeated, and not before which time.
func later(err error) (least time.Duration, again bool) {
	if problem, ok := errors.AsType[*Problem](err); ok {
		return problem.RetryAfter, problem.passing()
	}
	_, away := errors.AsType[*Unreachable](err)
	return 0, away
}

// Filter says which runs a list has. The zero Filter is all.
type Filter struct {
	// Task is the id of the task; empty is all.
	Task task.ID
	// Outcome is success, failed, canceled or open, Trigger what started the run, Correlation its correlation id, and
	// Text a part of its message; empty is any.
	Outcome, Trigger, Correlation, Text string
	// StartedBy has only the runs that the end of a run has started; 0 is all.
	StartedBy run.Number
	// Since and Until bound when the run was accepted: Since is in it, Until is not. Zero is no bound.
	Since, Until time.Time
	// Parameters are values that the run must have.
	Parameters map[string][]string
	// Rejected: only runs of which rows have failed.
	Rejected bool
	// Before has only runs with a lower number; 0 is all.
	Before run.Number
}

// IsAll reports whether a filter leaves all runs.
func (f *Filter) IsAll() bool { return len(f.query()) == 0 }

func (f *Filter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"task": string(f.Task), "outcome": f.Outcome, "trigger": f.Trigger, "correlation": f.Correlation, "text": f.Text} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	for name, values := range f.Parameters {
		for _, value := range values {
			query.Add("parameter", name+"="+value)
		}
	}
	if f.Rejected {
		query.Set("rejected", "true")
	}
	if f.StartedBy > 0 {
		query.Set("started_by", f.StartedBy.String())
	}
	if f.Before > 0 {
		query.Set("before", f.Before.String())
	}
	return query
}

// List is some runs.
type List struct {
	Runs []run.Listed
	// Next is the Before of the next page, 0 if there is none.
	Next run.Number
	// History says how far the server's history is, nil where nothing is missing from the list.
	History *History
}

// History says how far a server's history is.
type History struct{ Percent float64 }

// Runs lists runs, the newest first. limit is how many; 0 takes the server's default.
func (c *Client) Runs(ctx context.Context, f Filter, limit int) (List, error) {
	query := f.query()
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var list List
	err := c.get(ctx, "/api/runs?"+query.Encode(), &list)
	return list, err
}

// The runs that Unended lists.
const (
	// Queued are those that no runner holds.
	Queued = "queued"
	// Open are all.
	Open = "open"
)

// Unended lists the runs that have not ended, the oldest first, behind a run, of one task or, with an empty id, of
// all. which is Queued or Open, and limit how many.
func (c *Client) Unended(ctx context.Context, which string, id task.ID, behind run.Number, limit int) ([]run.Listed, error) {
	query := url.Values{which: {"true"}, "limit": {strconv.Itoa(limit)}}
	if id != "" {
		query.Set("task", string(id))
	}
	if behind > 0 {
		query.Set("behind", behind.String())
	}
	var list List
	err := c.get(ctx, "/api/runs?"+query.Encode(), &list)
	return list.Runs, err
}

// Day is how many runs of a task were accepted on a day.
type Day struct {
	// Day is such as 2026-01-31.
	Day                                   string
	Task                                  task.ID `json:"ExecuteId"`
	TaskName                              string
	Runs, Success, Failed, Canceled, Open int64
}

// Counts counts the runs of each task by day, the newest first: of Task, Since and Until of a filter. zone is the IANA
// name of the days' time zone, empty for UTC.
func (c *Client) Counts(ctx context.Context, f Filter, zone string) (days []Day, history *History, err error) {
	query := f.query()
	if zone != "" {
		query.Set("zone", zone)
	}
	var list struct {
		Days    []Day
		History *History
	}
	err = c.get(ctx, "/api/counts?"+query.Encode(), &list)
	return list.Days, list.History, err
}

// Request is what a run was started with, which only an administrator sees.
type Request struct {
	Task       task.ID    `json:"ExecuteId"`
	Number     run.Number `json:"ImportId"`
	TaskName   string
	Definition string
	Trigger    run.Trigger
	// Operator is the name of the admin token that the run was started with; empty if there was none.
	Operator string `json:",omitempty"`
	// RepeatOf is the run whose values the run has; 0 if it is no repeat.
	RepeatOf   run.Number `json:",omitempty"`
	DryRun     bool       `json:",omitempty"`
	Parameters map[string]Value
	// Hidden: the token only reads, so the Parameters are without their values.
	Hidden bool `json:",omitempty"`
}

// Value is a parameter's value; without any Values the source's own default counts.
type Value struct {
	Values   []string
	Multiple bool `json:",omitempty"`
	From     task.Origin
}

// Request returns what a run was started with.
func (c *Client) Request(ctx context.Context, n run.Number) (Request, error) {
	var request Request
	err := c.get(ctx, "/api/runs/"+n.String()+"/request", &request)
	return request, err
}

// Chain is the chain that a run is part of.
type Chain struct {
	// Runs are its runs, each behind the one whose end has started it. More says that there are more.
	Runs []run.Listed
	More bool `json:",omitempty"`
	// None are what was not started at the ends of the runs.
	None []struct {
		Run       run.Number
		Task, Why string
	}
	// History says how far the server's history is, nil where nothing is missing.
	History *History `json:",omitempty"`
}

// Chain returns the chain that a run is part of; only the run if it has none.
func (c *Client) Chain(ctx context.Context, n run.Number) (Chain, error) {
	var chain Chain
	err := c.get(ctx, "/api/runs/"+n.String()+"/chain", &chain)
	return chain, err
}

// Cancel cancels a run, and returns its document: the final one, unless a runner holds the run, which ends it as soon
// as it has heard. With queued only a run that no runner holds is canceled. why may be empty.
func (c *Client) Cancel(ctx context.Context, id task.ID, n run.Number, why string, queued bool) (run.Document, error) {
	query := url.Values{}
	if why != "" {
		query.Set("why", why)
	}
	if queued {
		query.Set("queued", "true")
	}
	var doc run.Document
	got, err := c.ask(ctx, http.MethodPost, run.CancelPath(id, n)+"?"+query.Encode(), nil, nil)
	if err == nil {
		err = c.decode(got, &doc)
	}
	return doc, err
}

// Run returns the status document of a run.
func (c *Client) Run(ctx context.Context, n run.Number) (run.Document, error) {
	var doc run.Document
	err := c.get(ctx, "/api/runs/"+n.String(), &doc)
	return doc, err
}

// Summary says in one line how far a run has come, or how it ended.
func Summary(doc run.Document) string {
	but := ""
	if doc.Outcome() == run.Success && doc.RowsFailed > 0 {
		but = fmt.Sprintf(", but %d rows failed,", doc.RowsFailed)
		if doc.RowsFailed == 1 {
			but = ", but 1 row failed,"
		}
	}
	return fmt.Sprintf("%s%s after %.2f s: %s", doc.StatusDescription, but, (time.Duration(doc.DurationMs) * time.Millisecond).Seconds(), Rows(doc))
}

// Rows counts a run's rows by what became of them, without the counts that are 0.
func Rows(doc run.Document) string {
	said := strconv.FormatInt(doc.RowsRetrieved, 10)
	if doc.RowCount > doc.RowsRetrieved {
		said += " of " + strconv.FormatInt(doc.RowCount, 10)
	}
	if said == "1" {
		said += " row read"
	} else {
		said += " rows read"
	}
	for _, part := range []struct {
		n    int64
		what string
	}{
		{doc.RowsInserted, "inserted"},
		{doc.RowsUpdated, "updated"},
		{doc.RowsUnchanged, "unchanged"},
		{doc.RowsDeleted, "deleted"},
		{doc.RowsSkipped, "skipped"},
		{doc.RowsFailed, "failed"},
	} {
		if part.n > 0 {
			said += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return said
}
