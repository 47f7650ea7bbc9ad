package connectortest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
)

// DestinationHarness is how the suite gets at a kind of destination.
type DestinationHarness struct {
	Kind connector.DestinationKind
	// New makes a place that rows can go to, with none in it.
	New func(t *testing.T) *Place
	// Missing is a job whose destination is not there and cannot be made; nil if every one is there.
	Missing func(t *testing.T) connector.Job
	// Refused is a value of the column name that makes its row fail, and no other.
	Refused any
	// Runs is how many runs must leave what ten leave, 0 for a thousand: fewer of a kind whose runs take
	// long, in all ways to work but one.
	Runs int
}

// Place is where a destination is: a folder, a database, a service.
type Place struct {
	// Job writes the columns id and name, which are text, by an action that inserts.
	Job connector.Job
	// Rows are in the place now, in its order, as [Line] writes them.
	Rows func() []string
	// Break has every Write or Finish from now on fail for good.
	Break func()
}

// Line is a row as Place.Rows has it.
func Line(id, name any) string { return fmt.Sprint(id, "=", name) }

// columns are the mapping's.
func columns() []connector.Column {
	return []connector.Column{{Name: "id", Kind: reflect.String}, {Name: "name", Kind: reflect.String}}
}

// Destination holds a kind of destination to the contract.
func Destination(t *testing.T, h DestinationHarness) {
	for name, test := range map[string]func(s *destinationSuite){
		"Write": (*destinationSuite).write, "Many": (*destinationSuite).many, "Limit": (*destinationSuite).limit,
		"Decided": (*destinationSuite).decided, "Before": (*destinationSuite).before, "Canceled": (*destinationSuite).canceled,
		"Close": (*destinationSuite).close, "Kept": (*destinationSuite).kept, "DryRun": (*destinationSuite).dryRun,
		"Broken": (*destinationSuite).broken, "Missing": (*destinationSuite).missing, "Check": (*destinationSuite).check,
		"Continue": (*destinationSuite).continued, "Ledger": (*destinationSuite).ledger,
		"Flat": (*destinationSuite).flat,
	} {
		t.Run(name, func(t *testing.T) { test(&destinationSuite{t: t, h: h, place: h.New(t)}) })
	}
}

type destinationSuite struct {
	t     *testing.T
	h     DestinationHarness
	place *Place
}

func (s *destinationSuite) open() connector.Destination {
	s.t.Helper()
	to, err := s.h.Kind.Open(s.t.Context(), s.place.Job, columns())
	if err != nil {
		s.t.Fatal(err)
	}
	return to
}

// batch has so many rows from one on, of which those are refused.
func (s *destinationSuite) batch(from, count int, refused ...int) *row.Batch {
	batch := row.NewBatch(2)
	for n := from; n < from+count; n++ {
		r := batch.Add(int64(n + 1))
		r.Values[0], r.Values[1] = id(n), name(n)
		if slices.Contains(refused, n) {
			r.Values[1] = s.h.Refused
		}
	}
	return batch
}

// lines are so many rows from one on, without those.
func lines(from, count int, but ...int) (all []string) {
	for n := from; n < from+count; n++ {
		if !slices.Contains(but, n) {
			all = append(all, Line(id(n), name(n)))
		}
	}
	return all
}

func anyTime(int64) error { return nil }

// put writes a batch, of which every row must have an outcome.
func (s *destinationSuite) put(to connector.Destination, batch *row.Batch, refused ...int) {
	s.t.Helper()
	if err := to.Write(s.t.Context(), batch, anyTime); err != nil {
		s.t.Fatal(err)
	}
	s.expectOutcomes(batch, refused...)
}

// expectOutcomes expects that the rows reached were inserted, but for those.
func (s *destinationSuite) expectOutcomes(batch *row.Batch, refused ...int) {
	s.t.Helper()
	for _, r := range batch.Reached() {
		switch {
		case slices.Contains(refused, int(r.Number)-1):
			if r.Outcome != row.Failed {
				s.t.Errorf("row %d, which is refused, has the outcome %d", r.Number, r.Outcome)
			}
			expectFault(s.t, r.Fault)
		case r.Outcome != row.Inserted || r.Fault != nil:
			s.t.Errorf("row %d has the outcome %d: %v", r.Number, r.Outcome, r.Fault)
		}
	}
}

func (s *destinationSuite) finish(to connector.Destination) {
	s.t.Helper()
	if err := to.Finish(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if !to.Close() {
		s.t.Error("rows of a run that succeeded are not kept")
	}
}

func (s *destinationSuite) expect(want []string) {
	s.t.Helper()
	if got := s.place.Rows(); !slices.Equal(got, want) {
		s.t.Errorf("there are the rows %q, want %q", got, want)
	}
}

// A refused row fails alone.
func (s *destinationSuite) write() {
	alone(s.t, "a whole run", func() {
		to := s.open()
		batch := s.batch(0, 5, 2)
		var called []int64
		if err := to.Write(s.t.Context(), batch, func(last int64) error { called = append(called, last); return nil }); err != nil {
			s.t.Fatal(err)
		}
		if !slices.Equal(called, []int64{5}) {
			s.t.Errorf("before was called for the rows %v", called)
		}
		if len(batch.Reached()) != 5 {
			s.t.Errorf("of 5 rows %d were reached", len(batch.Reached()))
		}
		s.expectOutcomes(batch, 2)
		s.put(to, s.batch(5, 3, 5, 6, 7), 5, 6, 7)
		s.put(to, s.batch(8, 1))
		s.finish(to)
	})
	s.expect(lines(0, 9, 2, 5, 6, 7))
}

// Batches of every size, and a destination that is opened again.
func (s *destinationSuite) many() {
	to := s.open()
	s.put(to, s.batch(0, 1))
	s.put(to, s.batch(1, 600))
	s.put(to, s.batch(601, 2))
	s.finish(to)
	s.expect(lines(0, 603))
	s.finish(s.open())
	to = s.open()
	s.put(to, s.batch(603, 300))
	s.finish(to)
	if got := s.place.Rows(); !slices.Equal(got, lines(0, 903)) && !slices.Equal(got, lines(603, 300)) { // it may replace
		s.t.Errorf("there are %d rows", len(got))
	}
}

// No row after the one that passes the limit is written.
func (s *destinationSuite) limit() {
	to := s.open()
	batch := s.batch(0, 6, 1, 3)
	batch.Limit = 1
	s.put(to, batch, 1, 3)
	if !batch.Stopped() || batch.Last() != 4 {
		s.t.Errorf("reached row %d, stopped %v", batch.Last(), batch.Stopped())
	}
	s.finish(to)
	s.expect(lines(0, 3, 1))
}

// Rows that were skipped or failed before are not written, and keep their outcome.
func (s *destinationSuite) decided() {
	to := s.open()
	batch := row.NewBatch(2)
	for n := range 6 {
		r := batch.Add(int64(n + 1))
		r.Values[0], r.Values[1] = id(n), name(n)
		switch n {
		case 1:
			r.Skip()
		case 2, 5:
			r.Reject(row.Faultf("name", "was wrong before"))
		}
	}
	last := int64(0)
	if err := to.Write(s.t.Context(), batch, func(row int64) error { last = row; return nil }); err != nil {
		s.t.Fatal(err)
	}
	if last != 6 {
		s.t.Errorf("before was called for row %d", last)
	}
	want := []row.Outcome{row.Inserted, row.Skipped, row.Failed, row.Inserted, row.Inserted, row.Failed}
	for i, r := range batch.Reached() {
		if r.Outcome != want[i] {
			s.t.Errorf("row %d has the outcome %d, want %d", r.Number, r.Outcome, want[i])
		}
	}
	s.finish(to)
	s.expect(lines(0, 5, 1, 2))
}

var errBefore = errors.New("not now")

// refuseBatch writes a batch, to which before does not agree.
func (s *destinationSuite) refuseBatch(to connector.Destination, from, count int) {
	s.t.Helper()
	called := 0
	err := to.Write(s.t.Context(), s.batch(from, count), func(int64) error { called++; return errBefore })
	if !errors.Is(err, errBefore) || called != 1 {
		s.t.Errorf("got %v after %d calls, want before's error", err, called)
	}
}

// Nothing is written of a batch to which before does not agree.
func (s *destinationSuite) before() {
	alone(s.t, "refused first", func() {
		to := s.open()
		s.refuseBatch(to, 0, 5)
		to.Close()
	})
	s.expect(nil)
	alone(s.t, "refused then", func() {
		to := s.open()
		s.put(to, s.batch(0, 3))
		s.refuseBatch(to, 3, 5)
		if to.Close() {
			s.expect(lines(0, 3))
		} else {
			s.expect(nil)
		}
	})
}

// Nothing is written of a batch of a run that has been canceled.
func (s *destinationSuite) canceled() {
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	alone(s.t, "canceled before Open", func() {
		if to, err := s.h.Kind.Open(ended, s.place.Job, columns()); err == nil {
			to.Close()
		} else if !errors.Is(err, context.Canceled) {
			s.t.Errorf("canceled before Open: %v", err)
		}
	})
	alone(s.t, "canceled before Write", func() {
		to := s.open()
		defer to.Close()
		if err := to.Write(ended, s.batch(0, 5), anyTime); !errors.Is(err, context.Canceled) {
			s.t.Errorf("canceled before Write: %v", err)
		}
	})
	s.expect(nil)
}

func (s *destinationSuite) close() {
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	for what, do := range map[string]func(to connector.Destination){
		"after Open":       func(connector.Destination) {},
		"after refusals":   func(to connector.Destination) { s.put(to, s.batch(0, 2, 0, 1), 0, 1) },
		"after before":     func(to connector.Destination) { s.refuseBatch(to, 0, 2) },
		"in the middle":    func(to connector.Destination) { s.put(to, s.batch(0, 2)); s.refuseBatch(to, 2, 2) },
		"before Finish":    func(to connector.Destination) { s.put(to, s.batch(0, 2)) },
		"after Finish":     func(to connector.Destination) { s.put(to, s.batch(0, 2)); _ = to.Finish(s.t.Context()) },
		"after no row":     func(to connector.Destination) { _ = to.Finish(s.t.Context()) },
		"after a canceled": func(to connector.Destination) { _ = to.Write(ended, s.batch(0, 2), anyTime) },
	} {
		s.place = s.h.New(s.t)
		alone(s.t, "closed "+what, func() {
			to := s.open()
			do(to)
			to.Close()
		})
		// Nothing is in the way of the next run.
		to := s.open()
		s.put(to, s.batch(10, 1))
		s.finish(to)
		if got := s.place.Rows(); len(got) == 0 || got[len(got)-1] != Line(id(10), name(10)) {
			s.t.Errorf("closed %s, then another run: %q", what, got)
		}
	}
}

// kept says what became of the rows of a run without Finish.
func (s *destinationSuite) kept() {
	to := s.open()
	s.put(to, s.batch(0, 3))
	s.put(to, s.batch(3, 2))
	if to.Close() {
		s.expect(lines(0, 5))
	} else {
		s.expect(nil)
	}
}

// A dry run gives the outcomes that the run then has, and changes nothing.
func (s *destinationSuite) dryRun() {
	s.place.Job.DryRun = true
	write := func() {
		to := s.open()
		s.put(to, s.batch(0, 3, 1), 1)
		s.put(to, s.batch(3, 2))
		s.finish(to)
	}
	alone(s.t, "a dry run", write)
	s.expect(nil)
	alone(s.t, "a dry run that ends early", func() {
		to := s.open()
		s.put(to, s.batch(0, 3))
		if !to.Close() {
			s.t.Error("the rows of a dry run are not kept")
		}
	})
	s.expect(nil)
	s.place.Job.DryRun = false
	write()
	s.expect(lines(0, 5, 1))
	s.place.Job.DryRun = true
	to := s.open()
	s.put(to, s.batch(10, 3))
	s.finish(to)
	s.expect(lines(0, 5, 1))
}

// Nothing is written after an error, but where rows may arrive more than once.
func (s *destinationSuite) broken() {
	alone(s.t, "broken", func() {
		to := s.open()
		s.place.Break()
		err := to.Write(s.t.Context(), s.batch(0, 3), anyTime)
		if err == nil {
			err = to.Finish(s.t.Context())
		}
		expectFailure(s.t, err)
		to.Close()
	})
	if got := s.place.Rows(); len(got) > 0 && !s.place.Job.Task.Destination.Traits().AtLeastOnce {
		s.t.Errorf("there are the rows %q", got)
	}
}

func (s *destinationSuite) missing() {
	if s.h.Missing == nil {
		return
	}
	job := s.h.Missing(s.t)
	alone(s.t, "missing", func() {
		for _, job.DryRun = range []bool{false, true} {
			_, err := s.h.Kind.Open(s.t.Context(), job, columns())
			expectFailure(s.t, err)
		}
		var found check.Report
		if _, err := s.h.Kind.Check(s.t.Context(), job, mapped(), &found); err != nil {
			s.t.Error(err)
		}
		expectFinding(s.t, found, "destination")
	})
}

func mapped() []check.Column {
	return []check.Column{{Name: "id", Kind: check.Text}, {Name: "name", Kind: check.Text}}
}

// A look changes nothing, and takes what a run takes.
func (s *destinationSuite) check() {
	look := func() {
		s.t.Helper()
		var found check.Report
		takes, err := s.h.Kind.Check(s.t.Context(), s.place.Job, mapped(), &found)
		if err != nil || found.Failed() {
			s.t.Fatalf("found %v, %v", found.Findings, err)
		}
		if takes == nil {
			return
		}
		if fault := takes([]any{id(0), name(0)}); fault != nil {
			s.t.Errorf("a good row: %v", fault)
		}
	}
	alone(s.t, "a look", look)
	s.expect(nil)
	to := s.open()
	s.put(to, s.batch(0, 2))
	s.finish(to)
	alone(s.t, "a look at rows", look)
	s.expect(lines(0, 2))
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	alone(s.t, "a look that is canceled", func() {
		var found check.Report
		if _, err := s.h.Kind.Check(ended, s.place.Job, mapped(), &found); err != nil && !errors.Is(err, context.Canceled) || found.Failed() {
			s.t.Errorf("found %v, %v", found.Findings, err)
		}
	})
}

// What an interrupted attempt has put behind its checkpoint is not put there again.
func (s *destinationSuite) continued() {
	for _, after := range []int{0, 3} { // rows that the checkpoint has
		s.place = s.h.New(s.t)
		if !s.place.Job.Task.Destination.Traits().Continues {
			return
		}
		to := s.open()
		file, ok := to.(connector.Appended)
		if !ok {
			to.Close()
			return
		}
		length := file.Length()
		if after > 0 {
			s.put(to, s.batch(0, after))
			length = file.Length()
		}
		s.put(to, s.batch(after, 4))
		to.Close()

		to = s.open()
		to.(connector.Appended).ContinueBehind(length)
		s.put(to, s.batch(after, 2)) // other batches than before
		s.put(to, s.batch(after+2, 5))
		length = to.(connector.Appended).Length()
		s.finish(to)
		s.expect(lines(0, after+7))

		s.place = s.h.New(s.t)
		to = s.open()
		s.put(to, s.batch(0, after+7))
		if whole := to.(connector.Appended).Length(); whole != length {
			s.t.Errorf("the length is %d, and %d of a run that was not interrupted", length, whole)
		}
		to.Close()
	}
}

// The checkpoint moves with the rows, by the attempt that may.
func (s *destinationSuite) ledger() {
	kind, ok := s.h.Kind.(connector.LedgerKind)
	to := s.open()
	_, has := to.(connector.Ledger)
	if to.Close(); ok != has {
		s.t.Fatalf("the kind keeps checkpoints: %v, its destinations do: %v", ok, has)
	}
	if !ok {
		return
	}
	raise := func(token uint64) (ledger connector.Ledger, at run.Checkpoint, found bool, err error) {
		ledger = s.open().(connector.Ledger)
		at, found, err = ledger.Raise(s.t.Context(), &connector.Fence{Store: "store", Task: "task", Number: 1, Token: token})
		return ledger, at, found, err
	}
	writeAt := func(ledger connector.Ledger, from, count int) error {
		return ledger.Write(s.t.Context(), s.batch(from, count), func(last int64) error {
			return ledger.Record(s.t.Context(), run.Checkpoint{Row: last})
		})
	}
	ledger, _, found, err := raise(3)
	if found || err != nil {
		s.t.Fatalf("at first: %v, %v", found, err)
	}
	if err := writeAt(ledger, 0, 3); err != nil {
		s.t.Fatal(err)
	}
	// Neither the rows nor the checkpoint of a batch that is taken back.
	if err := ledger.Write(s.t.Context(), s.batch(3, 2), func(last int64) error {
		return errors.Join(ledger.Record(s.t.Context(), run.Checkpoint{Row: last}), errBefore)
	}); !errors.Is(err, errBefore) {
		s.t.Errorf("got %v, want before's error", err)
	}
	later, at, found, err := raise(5)
	if !found || err != nil || at.Row != 3 {
		s.t.Fatalf("the later attempt: %v, %v, %v", at, found, err)
	}
	if err := writeAt(ledger, 3, 2); !errors.Is(err, connector.ErrLost) {
		s.t.Errorf("the earlier attempt, after a later one: %v", err)
	}
	ledger.Close()
	stale, _, _, err := raise(4)
	if !errors.Is(err, connector.ErrLost) {
		s.t.Errorf("an attempt that comes late: %v", err)
	}
	stale.Close()
	if err := writeAt(later, 3, 1); err != nil {
		s.t.Fatal(err)
	}
	s.finish(later)
	s.expect(lines(0, 4))

	job := s.place.Job
	for _, token := range []uint64{4, 5} { // the run's last attempt alone ends it
		job.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: token}
		alone(s.t, "Forget", func() {
			if err := kind.Forget(s.t.Context(), job); err != nil {
				s.t.Error(err)
			}
		})
		last, at, found, err := raise(5)
		if last.Close(); err != nil || found != (token == 4) {
			s.t.Errorf("after Forget with token %d: %v, %v, %v", token, at, found, err)
		}
	}
	s.expect(lines(0, 4))
}

// Many runs that succeed, are broken off, and are dry, leave what ten leave, with their checkpoints.
func (s *destinationSuite) flat() {
	flat(s.t, s.h.Runs, func(n int) {
		job := s.place.Job
		job.DryRun = n%3 == 1
		to, err := s.h.Kind.Open(s.t.Context(), job, columns())
		if err != nil {
			s.t.Fatal(err)
		}
		before := anyTime
		ledger, keeps := to.(connector.Ledger)
		if keeps = keeps && !job.DryRun; keeps {
			job.Fence = &connector.Fence{Store: "store", Task: "task", Number: run.Number(n + 1), Token: 1}
			if _, _, err := ledger.Raise(s.t.Context(), job.Fence); err != nil {
				s.t.Fatal(err)
			}
			before = func(last int64) error { return ledger.Record(s.t.Context(), run.Checkpoint{Row: last}) }
		}
		if err := to.Write(s.t.Context(), s.batch(n, 1), before); err != nil {
			s.t.Fatal(err)
		}
		if n%3 != 2 {
			if err := to.Finish(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
		to.Close()
		if keeps {
			if err := s.h.Kind.(connector.LedgerKind).Forget(s.t.Context(), job); err != nil {
				s.t.Fatal(err)
			}
		}
		if n%10 == 0 {
			var found check.Report
			if _, err := s.h.Kind.Check(s.t.Context(), s.place.Job, mapped(), &found); err != nil {
				s.t.Fatal(err)
			}
		}
	})
}
