package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// load takes up how far the file is, and holds that against the store: a file that is ahead of it, or of another one
// with the same id, has to be made anew.
func (k *keeper) load(ctx context.Context) error {
	k.stretches = map[string]*stretch{}
	rows, err := k.file.write.QueryContext(ctx, "select name, sequence, stored, first, behind, done from streams")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var s stretch
		var stored int64
		if err := rows.Scan(&s.Name, &s.mark.Sequence, &stored, &s.First, &s.End, &s.done); err != nil {
			return err
		}
		s.mark.StoredOn = time.Unix(0, stored)
		if s.Name == bus.RequestsName {
			k.requests = s.mark
			continue
		}
		k.stretches[s.Name] = &s
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return k.fits(ctx)
}

// fits reports whether the store goes on from where the file is. It waits for a store that cannot be reached.
func (k *keeper) fits(ctx context.Context) error {
	marks := map[string]bus.Mark{bus.RequestsName: k.requests}
	for name, s := range k.stretches {
		if !s.done {
			marks[name] = s.mark
		}
	}
	for name, mark := range marks {
		for {
			goes, err := k.feed.Goes(ctx, name, mark)
			if errors.Is(err, run.ErrRunGone) {
				break // refresh removes its rows
			}
			if err == nil && !goes {
				return &damage{k.file.path, "the store has lost its end, of which the history tells"}
			}
			if err == nil {
				break
			}
			if !wait.For(ctx, lookEvery) {
				return ctx.Err()
			}
		}
	}
	return nil
}

const (
	putRun = `insert into runs (number, task, name, trigger, operator, repeats, outcome, created, started, completed, duration, processed, failed, attempts, correlation, message, percent, starter)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) on conflict (number) do update set `
	// A final document says all but who started the run.
	putEnded = putRun + `name = ?3, trigger = ?4, operator = case ?5 when 2 then operator else ?5 end, repeats = max(repeats, ?6), outcome = ?7, created = ?8,
started = ?9, completed = ?10, duration = ?11, processed = ?12, failed = ?13, attempts = ?14, correlation = ?15, message = ?16, percent = ?17, starter = max(starter, ?18) where task = ?2`
	// A request says who has started the run, and whose it is; mostly the final document has said so.
	putOpen = putRun + `task = ?2, operator = ?5, repeats = ?6, starter = ?18, outcome = case task when ?2 then outcome else 0 end
where task <> ?2 or operator <> ?5 or repeats <> ?6 or starter <> ?18`
	// A run that was erased in between stays away.
	putParameter = "insert or ignore into parameters select ?1, ?2 where exists (select 1 from runs where number = ?2)"
)

// put writes a batch.
func (f *file) put(ctx context.Context, b *batch) error {
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	w := writing{ctx: ctx, tx: tx, words: map[string]int64{"webhook": 1, "": 2}}
	for _, text := range []struct {
		to  **sql.Stmt
		sql string
	}{{&w.ended, putEnded}, {&w.open, putOpen}, {&w.parameter, putParameter}} {
		if *text.to, err = tx.PrepareContext(ctx, text.sql); err != nil {
			return err
		}
	}
	for _, e := range b.entries {
		if err := w.put(e); err != nil {
			return err
		}
	}
	for name, mark := range b.marks {
		_, err := tx.ExecContext(ctx, `insert into streams values (?1, ?2, ?3, 0, 0, 0) on conflict (name) do update set sequence = ?2, stored = ?3`,
			name, mark.Sequence, mark.StoredOn.UnixNano())
		if err != nil {
			return err
		}
	}
	for _, s := range b.done {
		_, err := tx.ExecContext(ctx, "update streams set done = 1 where name = ?", s.Name)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// writing is one transaction.
type writing struct {
	ctx                    context.Context
	tx                     *sql.Tx
	ended, open, parameter *sql.Stmt
	// words are the ids of words that were met.
	words map[string]int64
}

// word is the id of a word, which is made if there is none.
func (w *writing) word(word string) (id int64, err error) {
	if id, known := w.words[word]; known {
		return id, nil
	}
	err = w.tx.QueryRowContext(w.ctx, "insert into words (word) values (?) on conflict (word) do update set word = word returning id", word).Scan(&id)
	w.words[word] = id
	return id, err
}

func (w *writing) put(e *entry) error {
	if e.shown {
		return w.putParameters(e)
	}
	values := []any{int64(e.number), nil, nil, nil, nil, int64(e.repeats), int64(e.outcome), e.created, e.started, e.completed, e.duration, e.processed, e.failed, e.attempts, e.correlation, e.message, e.percent, int64(e.starter)}
	for i, word := range []string{string(e.task), e.name, e.trigger, e.operator} {
		id, err := w.word(word)
		if err != nil {
			return err
		}
		values[1+i] = id
	}
	statement := w.open
	if e.outcome != Open {
		statement = w.ended
	}
	if _, err := statement.ExecContext(w.ctx, values...); err != nil {
		return fmt.Errorf("run %s: %w", e.number, err)
	}
	return w.putParameters(e)
}

func (w *writing) putParameters(e *entry) error {
	for _, hash := range e.parameters {
		if _, err := w.parameter.ExecContext(w.ctx, hash, int64(e.number)); err != nil {
			return err
		}
	}
	return nil
}

// know adds a stretch of which nothing was read yet.
func (f *file) know(ctx context.Context, s bus.Stretch) error {
	_, err := f.write.ExecContext(ctx, "insert into streams values (?, 0, 0, ?, ?, 0)", s.Name, int64(s.First), int64(min(s.End, 1<<62)))
	return err
}

// remove removes a run.
func (f *file) remove(ctx context.Context, n run.Number) error {
	return f.drop(ctx, "number = ?", int64(n))
}

// forget removes the runs of a stretch.
func (f *file) forget(ctx context.Context, s *stretch) error {
	err := f.drop(ctx, "number >= ? and number < ?", int64(s.First), int64(min(s.End, 1<<62)))
	if err == nil {
		_, err = f.write.ExecContext(ctx, "delete from streams where name = ?", s.Name)
	}
	return err
}

// drop removes the rows of runs, with all that goes with them.
func (f *file) drop(ctx context.Context, where string, values ...any) error {
	for _, table := range []string{"parameters", "runs"} {
		if _, err := f.write.ExecContext(ctx, "delete from "+table+" where "+where, values...); err != nil {
			return err
		}
	}
	return nil
}

// expireRuns is how many of the oldest runs are looked at together. A run of long ago that goes on for long does not
// keep those behind it.
const expireRuns = 500

// expire removes runs that are past the retention, the oldest first.
func (f *file) expire(ctx context.Context, retention time.Duration) error {
	before := millis(time.Now().Add(-retention))
	for {
		var removed int64
		var last sql.NullInt64
		const oldest = `select number from (select number, max(created, completed) as at from runs order by number limit ?) where at < ?`
		err := f.write.QueryRowContext(ctx, "select count(*), max(number) from ("+oldest+")", expireRuns, before).Scan(&removed, &last)
		if err != nil || removed == 0 {
			return err
		}
		for _, table := range []string{"parameters", "runs"} {
			if _, err := f.write.ExecContext(ctx, "delete from "+table+" where number in ("+oldest+")", expireRuns, before); err != nil {
				return err
			}
		}
	}
}
