package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
	"runhook/shared/zone"
)

// freshWithin is how long a list waits for the history to catch up with the store.
const freshWithin = 500 * time.Millisecond

// historyState says how far the history is.
type historyState struct {
	// Percent is how much of the store's runs is in it.
	Percent float64
}

// wanted reads which runs a query string wants.
func (s *Service) wanted(query map[string]string) (q history.Query, err error) {
	if text, given := query["task"]; given {
		id, err := task.ParseID(text)
		if err != nil {
			return q, wrongValue("task", err.Error())
		}
		of, known := s.options.Tasks.Of(id)
		if !known {
			return q, wrongValue("task", "no task has the id "+string(id))
		}
		q.Tasks = s.options.Tasks.IDs(of.ID)
	}
	if text, given := query["outcome"]; given {
		outcome, known := wantedOutcomes[text]
		if !known {
			return q, wrongValue("outcome", fmt.Sprintf("%q is not success, failed, canceled or open", text))
		}
		q.Outcome = &outcome
	}
	if text, given := query["trigger"]; given {
		if q.Trigger = text; !slices.Contains(wantedTriggers, run.Trigger(text)) {
			return q, wrongValue("trigger", fmt.Sprintf("%q is not webhook, cli, page, schedule, chain, again, correction or dry run", text))
		}
	}
	if text, given := query["rejected"]; given {
		if q.Rejected = text == "true"; !q.Rejected {
			return q, wrongValue("rejected", fmt.Sprintf("%q is not true", text))
		}
	}
	for name, to := range map[string]*string{"correlation": &q.Correlation, "text": &q.Text} {
		text, given := query[name]
		if *to = text; given && text == "" {
			return q, wrongValue(name, "is empty; leave it out for all runs")
		}
		if strings.ContainsRune(text, 0) { // the index would compare what is before it
			return q, wrongValue(name, "has a character that no text has")
		}
	}
	if text, given := query[repeated]; given {
		for pair := range strings.SplitSeq(text, repeatedBy) {
			name, value, ok := strings.Cut(pair, "=")
			if !ok || name == "" {
				return q, wrongValue(repeated, "give NAME=VALUE")
			}
			q.Parameters = append(q.Parameters, [2]string{name, value})
		}
	}
	if text, given := query["started_by"]; given {
		if q.StartedBy, err = run.ParseNumber(text); err != nil {
			return q, wrongValue("started_by", err.Error())
		}
	}
	if text, given := query["before"]; given {
		if q.Before, err = run.ParseNumber(text); err != nil {
			return q, wrongValue("before", err.Error())
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text, given := query[name]; given {
			if *to, err = time.Parse(time.RFC3339, text); err != nil {
				return q, wrongValue(name, "give a moment like 2031-01-31T12:00:00Z")
			}
		}
	}
	isOpen := q.Outcome != nil && *q.Outcome == ""
	switch {
	case isOpen && q.Text != "":
		return q, wrongValue("text", "is looked for in what runs said when they ended; no run has that and outcome=open")
	case isOpen && q.Rejected:
		return q, wrongValue("rejected", "is known of runs that have ended; no run has that and outcome=open")
	case q.Since.After(time.Now()):
		return q, wrongValue("since", "is in the future")
	case !q.Until.IsZero() && !q.Since.Before(q.Until):
		return q, wrongValue("until", "is not later than since")
	}
	return q, nil
}

// wantedOutcomes are the outcomes by their words in a query string; none is that of an open run.
var wantedOutcomes = map[string]run.Outcome{"success": run.Success, "failed": run.Failed, "canceled": run.Canceled, "open": ""}

var wantedTriggers = []run.Trigger{run.Webhook, run.CLI, run.Page, run.Schedule, run.Chain, run.Again, run.Corrections, run.DryRun}

// search lists the runs of a query. Those of tasks alone come from the store while the history cannot tell. What finds
// the history damaged looks again, and says how far the new one is.
func (s *Service) search(ctx context.Context, q history.Query, limit int) (list runList, err error) {
	if list, err = s.lookFor(ctx, q, limit); errors.Is(err, history.ErrAnew) {
		list, err = s.lookFor(ctx, q, limit)
	}
	if errors.Is(err, history.ErrAnew) {
		return list, noHistory(err)
	}
	return list, err
}

// lookFor is one look of search. The error is history.ErrAnew where a history that was complete is not there any more.
func (s *Service) lookFor(ctx context.Context, q history.Query, limit int) (list runList, err error) {
	state := history.Progress{Missing: errors.New("the history is not kept here")}
	if s.options.History != nil {
		state = s.options.History.Fresh(ctx, freshWithin)
	}
	switch {
	case !state.Complete && q.IsPlain():
		found, err := s.options.Runs.ListBefore(ctx, q.Before, limit+1, q.Tasks...)
		if err == nil {
			list.Runs, err = s.listed(ctx, found)
		}
		return list.page(limit), err
	case state.Missing != nil:
		return list, noHistory(state.Missing)
	case !state.Complete:
		list.History = &historyState{state.Percent}
	}
	before := q.Before
	for list.Runs = []run.Listed{}; len(list.Runs) <= limit; {
		q.Before = before
		page, err := s.options.History.List(ctx, q, limit+1-len(list.Runs))
		switch {
		case errors.Is(err, history.ErrAnew) && state.Complete:
			return list, err
		case err != nil && !errors.Is(err, history.ErrAnew):
			return list, noHistory(err)
		}
		if len(page) == 0 {
			break
		}
		before = page[len(page)-1].ImportID
		shown, err := s.confirm(ctx, page, q)
		if err != nil {
			return list, err
		}
		list.Runs = append(list.Runs, shown...)
	}
	return list.page(limit), nil
}

// page is a list without what is more than limit, with where the next page begins.
func (l runList) page(limit int) runList {
	if len(l.Runs) > limit {
		l.Runs, l.Next = l.Runs[:limit], l.Runs[limit-1].ImportID
	}
	return l
}

// lookingUp is how many runs of a page are asked for at the same time.
const lookingUp = 8

// confirm asks the store for the runs of a page that were open when the history last looked. One that is gone, or has
// ended in another way than is wanted, is left out, and the history is told.
func (s *Service) confirm(ctx context.Context, page []run.Listed, q history.Query) ([]run.Listed, error) {
	keep, failed := make([]bool, len(page)), make([]error, len(page))
	places := make(chan int)
	var looking sync.WaitGroup
	for range lookingUp {
		looking.Go(func() {
			for i := range places {
				keep[i], failed[i] = s.lookUp(ctx, &page[i], q)
			}
		})
	}
	for i := range page {
		if page[i].Status == run.Done {
			keep[i] = true
		} else {
			places <- i
		}
	}
	close(places)
	looking.Wait()
	shown := page[:0]
	for i := range page {
		if failed[i] != nil {
			return nil, failed[i]
		}
		if keep[i] {
			shown = append(shown, page[i])
		}
	}
	return shown, nil
}

// lookUp has a run be what the store says of it; keep is false if it does not belong into the list.
func (s *Service) lookUp(ctx context.Context, listed *run.Listed, q history.Query) (keep bool, err error) {
	status, err := s.options.Runs.Lookup(ctx, listed.ExecuteID, listed.ImportID)
	if errors.Is(err, run.ErrRunGone) || errors.Is(err, run.ErrNoRun) {
		s.options.History.Correct(listed.ImportID, nil)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if status.Final {
		s.options.History.Correct(listed.ImportID, &status.Document)
	}
	now, err := s.listed(ctx, []bus.Status{status})
	if err != nil {
		return false, err
	}
	now[0].Operator = listed.Operator
	*listed = now[0]
	return q.Outcome == nil || *q.Outcome == now[0].Outcome(), nil
}

// noHistory refuses what needs the history.
func noHistory(why error) error {
	return &web.Problem{
		Kind: "no-history", Title: "The history is not there", Status: fasthttp.StatusServiceUnavailable, RetryAfter: 10 * time.Second, Cause: why,
		Detail: "The index of runs cannot be used at the moment; the server's log says why. Without it runs are listed by task alone (task, before, limit).",
	}
}

// countRuns answers GET /api/counts?task=&since=&until=&zone= with how many runs each task had on each day.
func (s *Service) countRuns(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	q, err := s.wanted(query)
	if err != nil {
		return err
	}
	clock := time.UTC
	if name, given := query["zone"]; given {
		if clock, err = zone.Load(name); err != nil {
			return wrongValue("zone", err.Error())
		}
	}
	if s.options.History == nil {
		return noHistory(errors.New("the history is not kept here"))
	}
	state := s.options.History.Fresh(ctx, freshWithin)
	if state.Missing != nil {
		return noHistory(state.Missing)
	}
	answer := struct {
		Days    []history.Count
		History *historyState `json:",omitempty"`
	}{Days: []history.Count{}}
	if !state.Complete {
		answer.History = &historyState{state.Percent}
	}
	counts, err := s.options.History.Counts(ctx, q, clock)
	switch {
	case errors.Is(err, history.ErrAnew):
		answer.History = &historyState{s.options.History.Fresh(ctx, 0).Percent}
	case err != nil:
		return noHistory(err)
	}
	answer.Days = append(answer.Days, counts...)
	return writeJSON(rc, answer)
}
