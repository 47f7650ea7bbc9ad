package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsListCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
	Task  string `placeholder:"TASK" help:"Only the runs of this task: its id, or a unique part of its name."`
	Limit int    `default:"20" help:"How many (${default})."`

	Failed       bool     `help:"Only the runs that failed, as --outcome failed."`
	Outcome      string   `placeholder:"WORD" help:"Only the runs that ended so, or have not: success, failed, canceled or open."`
	WithRejected bool     `help:"Only the runs that ended and of which rows failed."`
	Since        string   `placeholder:"WHEN" help:"Only the runs accepted then or later: 3h or 7d ago, today, yesterday, a date, or a moment like 2031-01-31T12:00."`
	Until        string   `placeholder:"WHEN" help:"Only the runs accepted before then. A day is in it to its end."`
	Text         string   `placeholder:"TEXT" help:"Only the runs that ended with this text in their message. What a run says that has not ended is not searched."`
	Param        []string `short:"p" sep:"none" placeholder:"NAME=VALUE" help:"Only the runs with this value of a parameter. Several must all fit."`
	Trigger      string   `placeholder:"WORD" help:"Only the runs started so: webhook, cli, page, schedule, chain, again or 'dry run'."`
	Correlation  string   `placeholder:"ID" help:"Only the runs with this correlation id."`
	StartedBy    page     `placeholder:"NUMBER" help:"Only the runs that the end of this run has started (then)."`
	Before       page     `placeholder:"NUMBER" help:"Only the runs with a lower number: the next page."`

	Queued bool   `help:"Only the runs that no runner has and that have not ended, oldest first: those that runners would take next. Says what each waits for."`
	Behind uint64 `placeholder:"NUMBER" help:"With --queued: only the runs behind this one, which is the next page."`
}

// Help shows examples.
func (*runsListCommand) Help() string {
	return `Examples:

    runhook runs list --task "Refresh lapsed" --failed --since yesterday
    runhook runs list --with-rejected --since 2026-01-01 --until 2026-01-31
    runhook runs list -p State=AK --limit 5 --json

Days are those of this machine's time zone, or of UTC with --utc.`
}

// filter is what the flags say; the task is looked up by whoever asks a server.
func (c *runsListCommand) filter(now time.Time) (f client.Filter, err error) {
	if c.Limit < 1 {
		return f, fmt.Errorf("--limit must be at least 1, not %d", c.Limit)
	}
	f = client.Filter{
		Outcome: c.Outcome, Trigger: c.Trigger, Correlation: c.Correlation, Text: c.Text, Rejected: c.WithRejected, StartedBy: run.Number(c.StartedBy), Before: run.Number(c.Before),
	}
	if c.Failed && c.Outcome != "" && c.Outcome != "failed" {
		return f, fmt.Errorf("--failed and --outcome %s leave no run; pass one of them", c.Outcome)
	}
	if c.Failed {
		f.Outcome = "failed"
	}
	if outcomes := []string{"", "success", "failed", "canceled", "open"}; !slices.Contains(outcomes, f.Outcome) {
		return f, fmt.Errorf("--outcome %q is not success, failed, canceled or open", f.Outcome)
	}
	if f.Parameters, err = parseParameters(c.Param); err != nil {
		return f, err
	}
	if f.Since, f.Until, err = between(c.Since, c.Until, now.In(c.zone())); err != nil {
		return f, err
	}
	if c.Queued && (f.Outcome != "" || f.Trigger != "" || f.Correlation != "" || f.Text != "" || f.Rejected || f.StartedBy > 0 || f.Before > 0 ||
		!f.Since.IsZero() || !f.Until.IsZero() || len(f.Parameters) > 0) {
		return f, errors.New("--queued goes with --task, --limit and --behind only: leave it out for --outcome open, or leave the others out")
	}
	if !c.Queued && c.Behind > 0 {
		return f, errors.New("--behind goes with --queued only; --before is the next page of other lists")
	}
	if f.Outcome == "open" && (f.Text != "" || f.Rejected) {
		return f, errors.New("--text and --with-rejected are for runs that have ended, so with --outcome open no run fits; `runhook runs list --queued` shows what runs wait for")
	}
	return f, nil
}

// Run lists the runs, newest first, or those that wait, oldest first.
func (c *runsListCommand) Run(ctx context.Context, p *program) error {
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Task != "" {
		if filter.Task, err = server.Find(ctx, c.Task); err != nil {
			return err
		}
	}
	var list client.List
	more := false
	if c.Queued {
		list.Runs, more, err = unended(ctx, server, client.Queued, filter.Task, run.Number(c.Behind), c.Limit)
	} else {
		list, err = pages(ctx, server, filter, c.Limit)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		if list.Runs == nil {
			list.Runs = []run.Listed{}
		}
		p.noteHistory(list.History)
		return p.printJSON(list.Runs)
	}
	switch {
	case len(list.Runs) > 0 && c.Queued:
		if err := p.printQueue(list.Runs, c.zone(), time.Now()); err != nil {
			return err
		}
	case len(list.Runs) > 0:
		if err := p.printRuns(list.Runs, c.zone(), time.Now()); err != nil {
			return err
		}
	case c.Queued && c.Behind > 0:
		p.printf("No run waits behind run %d.\n", c.Behind)
	case c.Queued:
		p.printf("No run waits for a runner.\n")
	case filter.IsAll():
		p.printf("There are no runs.\n")
	default:
		p.printf("No run fits.\n")
	}
	p.noteHistory(list.History)
	switch {
	case more:
		p.notef("More wait: --behind %s lists the next.\n", list.Runs[len(list.Runs)-1].ImportID)
	case list.Next > 0:
		p.notef("There are more: --before %s lists the next.\n", list.Next)
	}
	return nil
}

// noteHistory says that a list lacks runs which the server has not read yet.
func (p *program) noteHistory(h *client.History) {
	if h != nil {
		p.notef("The server's history has %s %% of the runs so far, so this may lack some.\n", strconv.FormatFloat(h.Percent, 'f', -1, 64))
	}
}

// runsPage is how many runs the server lists at once at most.
const runsPage = 500

// pages lists the newest runs, at most limit.
func pages(ctx context.Context, server *client.Client, filter client.Filter, limit int) (all client.List, err error) {
	for {
		page, err := server.Runs(ctx, filter, min(limit-len(all.Runs), runsPage))
		if err != nil {
			return all, err
		}
		page.Runs = append(all.Runs, page.Runs...)
		if all = page; all.Next == 0 || len(all.Runs) >= limit {
			return all, nil
		}
		filter.Before = all.Next
	}
}

// unendedPage is how many runs that have not ended are asked for at once: the server reads the claim of each.
const unendedPage = 100

// unended lists the runs behind a number that have not ended, or those of them that wait, the oldest first and at most
// limit, and reports whether there are more. It asks again where the server cannot reach its store.
func unended(ctx context.Context, server *client.Client, which string, id task.ID, behind run.Number, limit int) (listed []run.Listed, more bool, err error) {
	for {
		var page []run.Listed
		err := whileAway(ctx, func() (err error) {
			page, err = server.Unended(ctx, which, id, behind, min(limit-len(listed)+1, unendedPage))
			return err
		})
		if err != nil || len(page) == 0 {
			return listed, false, err
		}
		listed, behind = append(listed, page...), page[len(page)-1].ImportID
		if len(listed) > limit {
			return listed[:limit], true, nil
		}
	}
}

// between reads --since and --until, in the zone of now.
func between(sinceText, untilText string, now time.Time) (since, until time.Time, err error) {
	if sinceText != "" {
		if since, _, err = parseWhen(sinceText, now); err != nil {
			return since, until, fmt.Errorf("--since: %w", err)
		}
		if since.After(now) {
			return since, until, fmt.Errorf("--since %s is in the future, where there are no runs", sinceText)
		}
	}
	if untilText != "" {
		var isDay bool
		if until, isDay, err = parseWhen(untilText, now); err != nil {
			return since, until, fmt.Errorf("--until: %w", err)
		}
		if isDay {
			until = until.AddDate(0, 0, 1)
		}
	}
	if !until.IsZero() && !since.Before(until) {
		return since, until, fmt.Errorf("--until %s is not later than --since %s, so no run fits", untilText, sinceText)
	}
	return since, until, nil
}

// parseWhen reads a moment in the past: so long ago, a day, of which it is the begin, or a moment.
func parseWhen(text string, now time.Time) (at time.Time, isDay bool, err error) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "now":
		return now, false, nil
	case "today":
		return today, true, nil
	case "tomorrow":
		return today.AddDate(0, 0, 1), true, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), true, nil
	}
	if length, err := parseSpan(strings.TrimSuffix(text, " ago")); err == nil && length >= 0 {
		return now.Add(-length), false, nil
	}
	if at, err = time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return at, true, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if at, err = time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, false, nil
		}
	}
	return at, false, fmt.Errorf("%q is not a time such as 3h, 7d, today, yesterday, 2026-01-31 or 2026-01-31T12:00", text)
}
