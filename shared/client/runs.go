package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// startTries bounds how often a POST is sent whose answer did not come or said to try later.
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
// starting a second run when the server may or may not have stored it.
func (c *Client) Start(ctx context.Context, id task.ID, values map[string][]string) (Started, error) {
	return c.start(ctx, "/task/executepolling/"+string(id), values)
}

// Try starts a dry run, as Start starts a run: it does everything but write to the destination.
func (c *Client) Try(ctx context.Context, id task.ID, values map[string][]string) (Started, error) {
	return c.start(ctx, "/task/dryrun/"+string(id), values)
}

func (c *Client) start(ctx context.Context, path string, values map[string][]string) (Started, error) {
	body, err := json.Marshal(map[string]any{"QueryParameters": parameters(values)})
	if err != nil {
		return Started{}, fmt.Errorf("encode the parameters: %w", err)
	}
	header := http.Header{
		"Content-Type":    {"application/json"},
		"Idempotency-Key": {uuid.NewString()},
	}
	for try := 1; ; try++ {
		got, err := c.ask(ctx, http.MethodPost, path, header, body)
		if err == nil {
			return c.started(got)
		}
		least, again := later(err)
		// A server that takes no connection at all has not seen the POST, and is likely not there.
		if !again || try == startTries || try == 1 && errors.Is(err, syscall.ECONNREFUSED) {
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

// Runs lists the newest runs, newest first, of one task or, with an empty id, of all. limit is how
// many; 0 takes the server's default.
func (c *Client) Runs(ctx context.Context, id task.ID, limit int) ([]run.Document, error) {
	query := url.Values{}
	if id != "" {
		query.Set("task", string(id))
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var list struct{ Runs []run.Document }
	err := c.get(ctx, "/api/runs?"+query.Encode(), &list)
	return list.Runs, err
}

// Queued lists the runs that no runner holds and that have not ended, the oldest first, behind a run, of one
// task or, with an empty id, of all. limit is how many.
func (c *Client) Queued(ctx context.Context, id task.ID, behind run.Number, limit int) ([]run.Document, error) {
	query := url.Values{"queued": {"true"}, "limit": {strconv.Itoa(limit)}}
	if id != "" {
		query.Set("task", string(id))
	}
	if behind > 0 {
		query.Set("behind", behind.String())
	}
	var list struct{ Runs []run.Document }
	err := c.get(ctx, "/api/runs?"+query.Encode(), &list)
	return list.Runs, err
}

// Cancel ends a run that no runner holds, and returns its final document.
func (c *Client) Cancel(ctx context.Context, id task.ID, n run.Number) (run.Document, error) {
	var doc run.Document
	got, err := c.ask(ctx, http.MethodPost, run.CancelPath(id, n), nil, nil)
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
