package pipeline

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// slow is a source that gives a row every now and then, and a destination that notes what it gets.
type slow struct {
	t     *testing.T
	pause time.Duration
	rows  int
	given int
	// atHand: it says that no row has to be waited for.
	atHand bool
	// batches are the sizes of the batches that were written, at are the times.
	batches []int
	at      []time.Duration
	began   time.Time
	// to is where the rows go, if not to a destination of its own.
	to connector.Destination
}

func (s *slow) Columns() mapping.Columns          { return mapping.Columns{Names: []string{"ID"}, Text: true} }
func (s *slow) Progress() (float64, int64)        { return 0, int64(s.rows) }
func (s *slow) AtHand() bool                      { return s.atHand }
func (s *slow) Close() error                      { return nil }
func (s *slow) Version() (string, error)          { return "", nil }
func (s *slow) Skip(context.Context, int64) error { return nil }
func (s *slow) Finish(context.Context) error      { return nil }
func (s slowDestination) Close() (kept bool)      { return true }

func (s *slow) Next(ctx context.Context, cells []any) (int, error) {
	if s.given == s.rows {
		return 0, io.EOF
	}
	// Not with time.After(0): in a bubble, under the race detector, the runtime crashed once where it met a
	// timer that was due.
	if !wait.For(ctx, s.pause) {
		return 0, ctx.Err()
	}
	s.given++
	cells[0] = "1"
	return 1, nil
}

type slowDestination struct{ *slow }

func (s slowDestination) Write(_ context.Context, batch *row.Batch, before func(int64) error) error {
	for r := range batch.Pending() {
		r.Outcome = row.Inserted
	}
	s.batches = append(s.batches, len(batch.Reached()))
	s.at = append(s.at, time.Since(s.began))
	return before(batch.Last())
}

// run moves the rows, in a time of its own.
func (s *slow) run(rate task.Rate) (took time.Duration, m *Meter) {
	s.t.Helper()
	PassBatches(s.t)
	m = &Meter{}
	synctest.Test(s.t, func(t *testing.T) {
		job := Job{Job: connector.Job{Task: &task.Definition{
			Source: &task.CSVSource{}, Rate: rate, Mapping: []task.Column{{Name: "id", Expression: "ID"}}, MaxRowErrors: 1_000_000,
			Destination: &task.SQLDestination{Table: "members"},
		}}}
		rows, err := compile(job.Job, s)
		if err != nil {
			t.Fatal(err)
		}
		s.began = time.Now()
		if s.to == nil {
			s.to = slowDestination{s}
		}
		if err := transfer(t.Context(), job, m, s, rows, &bounds{job: job, meter: m, to: s.to}); err != nil {
			t.Error(err)
		}
		took = time.Since(s.began)
	})
	return took, m
}

// What a slow source has given is written within a quarter of a second, and nothing is written twice.
func TestSlowSourceIsSeenInTime(t *testing.T) {
	s := &slow{t: t, pause: time.Minute, rows: 5}
	_, m := s.run(task.Rate{})
	if counts := m.Snapshot().Counts; counts.Inserted != 5 || counts.Total != 5 || len(s.batches) != 5 {
		t.Fatalf("%+v in batches of %v", counts, s.batches)
	}
	for i, at := range s.at {
		if late := at - time.Duration(i+1)*time.Minute; late > 2*patience {
			t.Errorf("row %d was written %v after it was read", i+1, late)
		}
	}
}

// What a source gives that never fills a batch in time is written four times a second.
func TestSlowSourceMovesFourTimesASecond(t *testing.T) {
	s := &slow{t: t, pause: time.Millisecond, rows: 10_000}
	took, _ := s.run(task.Rate{})
	if perSecond := float64(len(s.batches)) / took.Seconds(); perSecond < 3.9 || perSecond > 4.1 {
		t.Errorf("%d batches in %v, %.2f a second", len(s.batches), took, perSecond)
	}
}

// A fast source fills its batches.
func TestFastSourceFillsItsBatches(t *testing.T) {
	s := &slow{t: t, pause: time.Microsecond, rows: 3*row.MaxRows + 1}
	s.run(task.Rate{})
	if len(s.batches) != 4 || s.batches[0] != row.MaxRows {
		t.Errorf("batches of %v", s.batches)
	}
}

// bulkDestination has its own size of batches, and takes no row with the value 1 behind the first two.
type bulkDestination struct {
	slowDestination
	prepared *int
}

func (bulkDestination) BatchRows() int { return 3 * row.MaxRows }

func (d bulkDestination) Prepare(values []any) *row.Fault {
	if *d.prepared++; *d.prepared > 2 {
		return row.Faultf("id", "is one too many")
	}
	values[0] = "prepared"
	return nil
}

func (d bulkDestination) Write(ctx context.Context, batch *row.Batch, before func(int64) error) error {
	for r := range batch.Pending() {
		if !r.Prepared || r.Values[0] != "prepared" {
			d.t.Errorf("row %d comes with %v", r.Number, r.Values)
		}
	}
	return d.slowDestination.Write(ctx, batch, before)
}

// A destination that wants larger batches gets them, with rows that it has seen before: those that it does not take fail.
func TestDestinationPreparesRowsOfItsBatches(t *testing.T) {
	s := &slow{t: t, pause: time.Microsecond, rows: 3*row.MaxRows + 1}
	prepared := 0
	s.to = bulkDestination{slowDestination{s}, &prepared}
	_, m := s.run(task.Rate{})
	// The second batch has no row that could be written.
	if len(s.batches) != 1 || s.batches[0] != 3*row.MaxRows || prepared != 3*row.MaxRows+1 {
		t.Errorf("batches of %v, %d rows prepared", s.batches, prepared)
	}
	if c := m.Snapshot().Counts; c.Inserted != 2 || c.Failed != 3*row.MaxRows-1 {
		t.Errorf("%+v", c)
	}
}

// stubborn is a source that waits for as long as the ctx of its first call lasts, as one may that asks a
// server.
type stubborn struct {
	*slow
	first context.Context
}

func (s *stubborn) Skip(ctx context.Context, _ int64) error { s.first = ctx; return nil }

func (s *stubborn) Next(ctx context.Context, cells []any) (int, error) {
	if s.given > 3 {
		<-s.first.Done()
		return 0, s.first.Err()
	}
	return s.slow.Next(ctx, cells)
}

// fullDestination takes no row.
type fullDestination struct{ slowDestination }

func (fullDestination) Write(context.Context, *row.Batch, func(int64) error) error {
	return errors.New("full")
}

// A source that continues is let go when the destination fails.
func TestSourceIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{t: t, rows: 10}
		job := Job{Job: connector.Job{Task: &task.Definition{
			Source:      &task.HTTPSource{},
			Mapping:     []task.Column{{Name: "id", Expression: "ID"}},
			Destination: &task.HTTPDestination{},
		}}}
		rows, err := compile(job.Job, s)
		if err != nil {
			t.Fatal(err)
		}
		var m Meter
		m.Begin(run.Checkpoint{Row: 1, Mark: markOf(row.Cells{"1"})})
		if err := transfer(t.Context(), job, &m, &stubborn{slow: s}, rows, &bounds{job: job, meter: &m, to: fullDestination{slowDestination{s}}}); err == nil || err.Error() != "full" {
			t.Errorf("got %v", err)
		}
	})
}

// Rows at hand are written in batches like others, and where a rate makes them wait, in time.
func TestRowsAtHand(t *testing.T) {
	s := &slow{t: t, atHand: true, rows: 2*row.MaxRows + 1}
	_, m := s.run(task.Rate{})
	if counts := m.Snapshot().Counts; counts.Inserted != int64(s.rows) || counts.Total != int64(s.rows) || len(s.batches) != 3 {
		t.Errorf("%+v in batches of %v", counts, s.batches)
	}
	s = &slow{t: t, atHand: true, rows: 5}
	s.run(task.Rate{Count: 30, Per: time.Minute})
	if len(s.batches) != 5 {
		t.Fatalf("batches of %v", s.batches)
	}
	for i, at := range s.at {
		if late := at - time.Duration(i)*2*time.Second; late > 2*patience {
			t.Errorf("row %d was written %v after it was read", i+1, late)
		}
	}
}

func TestRateIsKept(t *testing.T) {
	for _, c := range []struct {
		rate task.Rate
		rows int
		want time.Duration
	}{
		{task.Rate{Count: 200, Per: time.Second}, 2000, 10 * time.Second},
		{task.Rate{Count: 100_000, Per: time.Second}, 200_000, 2 * time.Second},
		{task.Rate{Count: 30, Per: time.Minute}, 10, 18 * time.Second}, // the first needs no wait
		{task.Rate{Count: 1, Per: time.Hour}, 3, 2 * time.Hour},        // nor does the end
	} {
		s := &slow{t: t, rows: c.rows}
		took, m := s.run(c.rate)
		if took < c.want*95/100 || took > c.want*105/100 {
			t.Errorf("%v: %d rows took %v, want about %v", c.rate, c.rows, took, c.want)
		}
		if n := m.Snapshot().Counts.Inserted; n != int64(c.rows) {
			t.Errorf("%v: %d of %d rows", c.rate, n, c.rows)
		}
	}
	// What was lost to something else is not made up for in a burst.
	synctest.Test(t, func(t *testing.T) {
		b := newBrake(task.Rate{Count: 200, Per: time.Second})
		time.Sleep(time.Minute)
		began := time.Now()
		for range 200 {
			if err := b.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 900*time.Millisecond {
			t.Errorf("200 rows took %v after a pause", took)
		}
	})
}

func TestBrakeLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := newBrake(task.Rate{Count: 1, Per: time.Hour})
		_ = b.wait(ctx)
		began := time.Now()
		if err := b.wait(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
