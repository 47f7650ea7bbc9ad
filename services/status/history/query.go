package history

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Query says which runs are wanted. The zero Query is all.
type Query struct {
	// Tasks are the ids of the tasks; none are all.
	Tasks []task.ID
	// Outcome is that of runs that have ended, or none for open ones; nil is all.
	Outcome *run.Outcome
	// Trigger and Correlation are all of it, Text a part of the message in any letter case; empty is all. Words are the
	// correlation id or a part of the message.
	Trigger, Correlation, Text, Words string
	// StartedBy has only the runs that the end of a run has started; 0 is all.
	StartedBy run.Number
	// Since and Until bound when a run was accepted: Since is in it, Until is not. Zero is no bound.
	Since, Until time.Time
	// Parameters are values that a run must have, each a name in any letter case and a value.
	Parameters [][2]string
	// Rejected: only runs of which rows have failed.
	Rejected bool
	// Before has only runs with a lower number; 0 is all.
	Before run.Number
}

// IsPlain reports whether a query is by task and number alone.
func (q *Query) IsPlain() bool {
	return q.Outcome == nil && q.Trigger == "" && q.Correlation == "" && q.Text == "" && q.Words == "" && q.StartedBy == 0 && q.Since.IsZero() && q.Until.IsZero() && len(q.Parameters) == 0 && !q.Rejected
}

// List lists runs, the newest first, at most limit. Of a run that was open when the index last looked, only the store
// can say how it stands. The error may be ErrAnew.
func (x *Index) List(ctx context.Context, q Query, limit int) (listed []run.Listed, err error) {
	err = x.reading(func(f *file) error {
		listed, err = f.list(ctx, q, limit, x.options.Runs.Retention())
		return err
	})
	return listed, err
}

// ErrAnew: there is nothing to read at the moment, because the index is made anew. Fresh tells how far it is.
var ErrAnew = errors.New("the history is made anew")

// reading reads the file, if there is one.
func (x *Index) reading(read func(*file) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.file == nil {
		return cmp.Or(x.why, ErrAnew)
	}
	err := x.file.explain(read(x.file))
	if _, broken := errors.AsType[*damage](err); broken {
		x.broken.Store(&err)
		select {
		case x.wake <- struct{}{}:
		default:
		}
		return ErrAnew
	}
	return err
}

// condition is a part of a query's where.
type condition struct {
	all    []string
	values []any
}

func (c *condition) and(sql string, values ...any) {
	c.all = append(c.all, sql)
	c.values = append(c.values, values...)
}

// of wants runs of some tasks, or of all if there are none.
func (c *condition) of(tasks []task.ID) {
	var ids []any
	for _, id := range tasks {
		ids = append(ids, string(id))
	}
	switch len(ids) {
	case 0:
	case 1:
		c.and("runs.task = (select id from words where word = ?)", ids...)
	default:
		c.and("runs.task in (select id from words where word in (?"+strings.Repeat(", ?", len(ids)-1)+"))", ids...)
	}
}

// where is the query as SQL.
func (f *file) where(ctx context.Context, q Query, retention time.Duration) (condition, error) {
	var c condition
	c.and("max(runs.created, runs.completed) >= ?", millis(time.Now().Add(-retention)))
	c.of(q.Tasks)
	if q.Outcome != nil {
		outcome := outcomes[*q.Outcome]
		c.and("runs.outcome = ?", int64(outcome))
		if outcome != Success {
			c.and("runs.outcome <> 1") // which has an index
		}
	}
	if q.Trigger != "" {
		c.and("runs.trigger = (select id from words where word = ?)", q.Trigger)
		if q.Trigger != string(run.Webhook) {
			c.and("runs.trigger <> 1")
		}
	}
	if q.Correlation != "" {
		c.and("runs.correlation = ? and runs.correlation <> ''", q.Correlation)
	}
	if q.StartedBy > 0 {
		c.and("runs.starter = ? and runs.starter > 0", int64(min(q.StartedBy, 1<<62)))
	}
	if q.Text != "" {
		inMessage, values := messageHas(q.Text)
		c.and(inMessage, values...)
	}
	if q.Words != "" {
		inMessage, values := messageHas(q.Words)
		c.and("(runs.correlation = ? or "+inMessage+")", append([]any{q.Words}, values...)...)
	}
	for _, parameter := range q.Parameters {
		c.and("runs.number in (select number from parameters where hash = ?)", hash(parameter[0], parameter[1]))
	}
	if q.Rejected {
		c.and("runs.failed > 0")
	}
	if q.Before > 0 {
		c.and("runs.number < ?", int64(min(q.Before, 1<<62)))
	}
	return c, f.bound(ctx, q, &c)
}

// astray is how far a run may be from its place among the numbers, because the clocks of those who accept runs differ.
const astray = 10 * time.Minute

// bound bounds the time. Runs are accepted in the order of their numbers, so few others need be looked at.
func (f *file) bound(ctx context.Context, q Query, c *condition) error {
	for _, of := range []struct {
		at   time.Time
		away time.Duration
		sql  string
		than string
	}{{q.Since, -astray, "runs.created >= ?", ">="}, {q.Until, astray, "runs.created < ?", "<"}} {
		if of.at.IsZero() {
			continue
		}
		n, err := f.firstSince(ctx, millis(of.at.Add(of.away)))
		if err != nil {
			return err
		}
		c.and(of.sql+" and runs.number "+of.than+" ?", millis(of.at), n)
	}
	return nil
}

// firstSince is about the first number of a run that was accepted at a time or later.
func (f *file) firstSince(ctx context.Context, at int64) (int64, error) {
	var low, high sql.NullInt64
	if err := f.read.QueryRowContext(ctx, "select (select min(number) from runs), (select max(number) + 1 from runs)").Scan(&low, &high); err != nil {
		return 0, err
	}
	for low.Int64 < high.Int64 {
		middle := low.Int64 + (high.Int64-low.Int64)/2
		var n, created int64
		if err := f.read.QueryRowContext(ctx, "select number, created from runs where number >= ? order by number limit 1", middle).Scan(&n, &created); err != nil {
			return 0, err
		}
		if created < at {
			low.Int64 = n + 1
		} else {
			high.Int64 = middle
		}
	}
	return low.Int64, nil
}

func (f *file) list(ctx context.Context, q Query, limit int, retention time.Duration) ([]run.Listed, error) {
	c, err := f.where(ctx, q, retention)
	if err != nil {
		return nil, err
	}
	// The page is found first, so that no words are looked up of what is not in it.
	rows, err := f.read.QueryContext(ctx, `select runs.number, task.word, name.word, trigger.word, operator.word, repeats, starter, outcome, created, started, completed,
	duration, processed, failed, attempts, correlation, message, percent
from (select * from runs where `+strings.Join(c.all, " and ")+` order by runs.number desc limit ?) as runs
join words as task on task.id = runs.task join words as name on name.id = runs.name
join words as trigger on trigger.id = runs.trigger join words as operator on operator.id = runs.operator
order by runs.number desc`, append(c.values, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	var listed []run.Listed
	for rows.Next() {
		var l run.Listed
		var outcome Outcome
		var created, started, completed int64
		err := rows.Scan(&l.ImportID, &l.ExecuteID, &l.TaskName, &l.Trigger, &l.Operator, &l.RepeatOf, &l.StartedBy, &outcome, &created, &started, &completed,
			&l.DurationMs, &l.RowsProcessed, &l.RowsFailed, &l.ExecutionCount, &l.CorrelationID, &l.Message, &l.PercentComplete)
		if err != nil {
			return nil, err
		}
		l.CreatedOn, l.StartedOn, l.CompletedOn = run.Time(time.UnixMilli(created)), momentOf(started), momentOf(completed)
		l.Status, l.StatusDescription = run.Queued, "Queued"
		for word, is := range outcomes {
			if is == outcome {
				l.Status, l.StatusDescription = run.Done, string(word)
				l.Success = new(word == run.Success)
			}
		}
		listed = append(listed, l)
	}
	return listed, rows.Err()
}

func momentOf(at int64) *run.Time {
	if at == 0 {
		return nil
	}
	return new(run.Time(time.UnixMilli(at)))
}

// Count is how many runs of a task were accepted on a day.
type Count struct {
	// Day is such as 2026-01-31, in the zone that was asked for.
	Day      string
	Task     task.ID `json:"ExecuteId"`
	TaskName string
	// Runs is how many in all; each has one of the outcomes, or is Open.
	Runs, Success, Failed, Canceled, Open int64
}

// Counts counts the runs of a query by day, in a zone, and task: the newest day first, and on each day by the tasks'
// names. Tasks, Since and Until are what counts of a query.
func (x *Index) Counts(ctx context.Context, q Query, zone *time.Location) (counts []Count, err error) {
	err = x.reading(func(f *file) error {
		counts, err = f.counts(ctx, q, zone)
		return err
	})
	return counts, err
}

// quarter is the unit in which runs are counted: zones differ by multiples of it.
const quarter = 15 * time.Minute

func (f *file) counts(ctx context.Context, q Query, zone *time.Location) ([]Count, error) {
	var c condition
	c.and("true")
	c.of(q.Tasks)
	if !q.Since.IsZero() {
		c.and("created / 900000 >= ?", q.Since.UnixMilli()/quarter.Milliseconds())
	}
	if !q.Until.IsZero() {
		c.and("created / 900000 < ?", (q.Until.UnixMilli()+quarter.Milliseconds()-1)/quarter.Milliseconds())
	}
	rows, err := f.read.QueryContext(ctx, "select created / 900000, task, outcome, count(*) from runs where "+strings.Join(c.all, " and ")+" group by 1, 2, 3", c.values...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	type place struct {
		day  string
		task int64
	}
	days := map[place]*Count{}
	for rows.Next() {
		var quarters, of, runs int64
		var outcome Outcome
		if err := rows.Scan(&quarters, &of, &outcome, &runs); err != nil {
			return nil, err
		}
		at := place{time.UnixMilli(quarters * quarter.Milliseconds()).In(zone).Format(time.DateOnly), of}
		if days[at] == nil {
			days[at] = &Count{Day: at.day}
		}
		days[at].add(outcome, runs)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	names := map[int64][2]string{}
	var counts []Count
	for at, count := range days {
		name, known := names[at.task]
		if !known {
			err := f.read.QueryRowContext(ctx, `select word, (select word from words where id = (select name from runs where task = ?1 order by number desc limit 1))
from words where id = ?1`, at.task).Scan(&name[0], &name[1])
			if err != nil {
				return nil, err
			}
			names[at.task] = name
		}
		count.Task, count.TaskName = task.ID(name[0]), name[1]
		counts = append(counts, *count)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(strings.Compare(b.Day, a.Day), strings.Compare(a.TaskName, b.TaskName), strings.Compare(string(a.Task), string(b.Task)))
	})
	return counts, nil
}

func (c *Count) add(outcome Outcome, runs int64) {
	c.Runs += runs
	switch outcome {
	case Success:
		c.Success += runs
	case Failed:
		c.Failed += runs
	case Canceled:
		c.Canceled += runs
	default:
		c.Open += runs
	}
}
