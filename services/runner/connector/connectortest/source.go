package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
)

// Row is a row of a source, with the columns id and name, which are text.
type Row struct {
	ID, Name string
	// Faulty: the row cannot be read, for a reason of its own.
	Faulty bool
	// Broken: the source cannot be read any further than to here.
	Broken bool
}

// SourceHarness is how the suite gets at a kind of source.
type SourceHarness struct {
	Kind connector.SourceKind
	// New makes a place for a source: a folder, a database, a service. fill puts these rows there, in
	// place of those that are there, and returns the job that reads them, in this order.
	New func(t *testing.T) (fill func(rows []Row) connector.Job)
	// Missing is a job whose source is not there, though its connection is.
	Missing func(t *testing.T) connector.Job
	// Warned is a job whose source, a Warner, has some rows and something to say of the first; nil if the kind
	// never has.
	Warned func(t *testing.T) connector.Job
	// Faultless: the kind has no rows that it cannot read.
	Faultless bool
	// Versioned: the kind can tell that a source has changed.
	Versioned bool
	// Runs is how many runs must leave what ten leave, 0 for a thousand.
	Runs int
}

// Source holds a kind of source to the contract.
func Source(t *testing.T, h SourceHarness) {
	for name, test := range map[string]func(s *sourceSuite){
		"Rows": (*sourceSuite).rows, "Skip": (*sourceSuite).skip, "SkipInMany": (*sourceSuite).skipInMany,
		"Version": (*sourceSuite).version, "Close": (*sourceSuite).close, "Canceled": (*sourceSuite).canceled,
		"Broken": (*sourceSuite).broken, "Missing": (*sourceSuite).missing, "Check": (*sourceSuite).check,
		"Use": (*sourceSuite).use, "Warned": (*sourceSuite).warned, "TwoAtOnce": (*sourceSuite).twoAtOnce, "Flat": (*sourceSuite).flat,
	} {
		t.Run(name, func(t *testing.T) { test(&sourceSuite{t: t, h: h, fill: h.New(t)}) })
	}
}

type sourceSuite struct {
	t    *testing.T
	h    SourceHarness
	fill func(rows []Row) connector.Job
}

// some are so many rows, of which every third and the last are faulty.
func (s *sourceSuite) some(count int) []Row {
	rows := make([]Row, count)
	for i := range rows {
		rows[i] = Row{ID: id(i), Name: name(i), Faulty: !s.h.Faultless && (i%3 == 2 || i > 0 && i == count-1)}
	}
	return rows
}

// seen is a row as a source gave it.
type seen struct {
	cells  []any
	fault  string
	record []string
	// part and total are the progress behind the row.
	part  float64
	total int64
}

func (s *sourceSuite) open(job connector.Job) connector.Source {
	s.t.Helper()
	from, err := s.h.Kind.Open(s.t.Context(), job)
	if err != nil {
		s.t.Fatal(err)
	}
	return from
}

// next reads a row; err is nil for a row that is faulty too.
func (s *sourceSuite) next(ctx context.Context, from connector.Source) (seen, error) {
	s.t.Helper()
	cells := make([]any, len(from.Columns().Names))
	size, err := from.Next(ctx, cells)
	if size < 0 {
		s.t.Errorf("a row has the size %d", size)
	}
	fault, own := row.Own(err)
	if err != nil && !own {
		return seen{}, err
	}
	got := seen{cells: cells}
	if fault != nil {
		expectFault(s.t, fault)
		got = seen{fault: fault.Error()}
	}
	if recorder, ok := from.(connector.Recorder); ok {
		got.record = recorder.Record().Texts()
	}
	return got, nil
}

// rest reads to the end, which must be the end in every further call too.
func (s *sourceSuite) rest(from connector.Source) (rows []seen) {
	s.t.Helper()
	part, total := 0.0, int64(0)
	var records []row.Record
	for {
		got, err := s.next(s.t.Context(), from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatalf("row %d: %v", len(rows)+1, err)
		}
		if recorder, ok := from.(connector.Recorder); ok {
			records = append(records, recorder.Record())
		}
		now, all := from.Progress()
		if now < part || now > 1 || total > 0 && all != total {
			s.t.Errorf("the progress went from %v of %d to %v of %d", part, total, now, all)
		}
		part, total = now, all
		got.part, got.total = now, all
		rows = append(rows, got)
	}
	for range 2 {
		if _, err := s.next(s.t.Context(), from); !errors.Is(err, io.EOF) {
			s.t.Errorf("behind the end comes %v", err)
		}
	}
	s.expectSentences(connector.Warnings(from))
	for i, record := range records {
		if got := record.Texts(); !slices.Equal(got, rows[i].record) {
			s.t.Errorf("the record of row %d became %q of %q", i+1, got, rows[i].record)
		}
	}
	return rows
}

// all opens the job's source and reads it.
func (s *sourceSuite) all(job connector.Job) []seen {
	s.t.Helper()
	from := s.open(job)
	defer from.Close()
	return s.rest(from)
}

// expect compares what was read with what is there.
func (s *sourceSuite) expect(got []seen, want []Row) {
	s.t.Helper()
	if len(got) != len(want) {
		s.t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i, r := range want {
		if (got[i].fault != "") != r.Faulty {
			s.t.Errorf("row %d is %v, want %v", i+1, got[i], r)
		}
		if !r.Faulty && !reflect.DeepEqual(got[i].cells, []any{r.ID, r.Name}) {
			s.t.Errorf("row %d is %v, want %v", i+1, got[i].cells, r)
		}
	}
}

func (s *sourceSuite) rows() {
	for _, count := range []int{0, 1, 7, 2500} {
		want := s.some(count)
		job := s.fill(want)
		alone(s.t, "a whole read", func() { s.expect(s.all(job), want) })
		if count == 0 {
			continue // some kinds know columns by rows only
		}
		from := s.open(job)
		if columns := from.Columns(); columns.Unknown || !slices.Equal(columns.Names, []string{"id", "name"}) {
			s.t.Errorf("the columns are %v", columns)
		}
		from.Close()
	}
}

// skipTo opens the source, skips, and reads the rest.
func (s *sourceSuite) skipTo(job connector.Job, rows int) []seen {
	s.t.Helper()
	from := s.open(job)
	defer from.Close()
	if _, err := from.Version(); err != nil {
		s.t.Fatal(err)
	}
	if err := from.Skip(s.t.Context(), int64(rows)); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("skip %d: %v", rows, err)
	} else if err != nil {
		return nil
	}
	return s.rest(from)
}

// expectSkips expects that a skip comes to the same as reading, also in the progress.
func (s *sourceSuite) expectSkips(job connector.Job, skips ...int) {
	s.t.Helper()
	all := s.all(job)
	for _, n := range skips {
		want := all[min(n, len(all)):]
		if got := s.skipTo(job, n); len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			s.t.Errorf("behind %d of %d rows come %v, want %v", n, len(all), got, want)
		}
	}
}

func (s *sourceSuite) skip() {
	for _, count := range []int{0, 1, 11} {
		job := s.fill(s.some(count))
		for n := range count + 3 {
			s.expectSkips(job, n)
		}
	}
}

func (s *sourceSuite) skipInMany() {
	const count = 1250
	s.expectSkips(s.fill(s.some(count)), 1, 499, 500, 501, 999, 1000, 1001, count-1, count, count+1, 10*count)
}

// seenVersion is the version of a source, before and after others look at it.
func (s *sourceSuite) seenVersion(job connector.Job) string {
	s.t.Helper()
	from := s.open(job)
	defer from.Close()
	version, err := from.Version()
	if err != nil {
		s.t.Fatal(err)
	}
	if again, err := from.Version(); err != nil || again != version {
		s.t.Errorf("asked again, the version is %q, not %q: %v", again, version, err)
	}
	return version
}

func (s *sourceSuite) version() {
	for _, count := range []int{7, 2500} {
		rows := s.some(count)
		job := s.fill(rows)
		version := s.seenVersion(job)
		if again := s.seenVersion(job); again != version {
			s.t.Errorf("opened again, the version is %q, not %q", again, version)
		}
		if (version != "") != s.h.Versioned {
			s.t.Fatalf("the version is %q", version)
		}
		changed := slices.Clone(rows)
		changed[0].Name = name(9) // of the same length
		for what, other := range map[string][]Row{"a row less": rows[:count-2], "a row more": append(slices.Clone(rows), Row{ID: id(count), Name: name(count)}), "another name": changed} {
			if got := s.seenVersion(s.fill(other)); s.h.Versioned && got == version {
				s.t.Errorf("with %s the version stays %q", what, got)
			}
		}
	}
}

func (s *sourceSuite) close() {
	rows := s.some(7)
	job := s.fill(rows)
	read := func(count int) func(from connector.Source) {
		return func(from connector.Source) {
			for range count {
				if _, err := s.next(s.t.Context(), from); err != nil {
					s.t.Fatal(err)
				}
			}
		}
	}
	skip := func(count int64) func(from connector.Source) {
		return func(from connector.Source) {
			if err := from.Skip(s.t.Context(), count); err != nil && !errors.Is(err, io.EOF) {
				s.t.Fatal(err)
			}
		}
	}
	for what, do := range map[string]func(from connector.Source){
		"after Open":      func(connector.Source) {},
		"after Version":   func(from connector.Source) { _, _ = from.Version() },
		"after a row":     read(1),
		"after a fault":   read(3),
		"in the middle":   read(5),
		"before the end":  read(len(rows)),
		"after the end":   func(from connector.Source) { s.rest(from) },
		"after a skip":    skip(4),
		"after all":       skip(100),
		"after no skip":   skip(0),
		"between a fault": func(from connector.Source) { skip(2)(from); read(1)(from) },
	} {
		alone(s.t, "closed "+what, func() {
			from := s.open(job)
			do(from)
			if err := from.Close(); err != nil {
				s.t.Errorf("closed %s: %v", what, err)
			}
		})
	}
	s.expect(s.all(job), rows)
}

// A run that is canceled gives ctx's error, or goes on to the end: to a kind that waits for nothing the
// pipeline looks after ctx.
func (s *sourceSuite) canceled() {
	rows := s.some(2500)
	job := s.fill(rows)
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	alone(s.t, "canceled before Open", func() {
		if from, err := s.h.Kind.Open(ended, job); err == nil {
			from.Close()
		} else if !errors.Is(err, context.Canceled) {
			s.t.Errorf("canceled before Open: %v", err)
		}
	})
	for _, after := range []int{0, 1, 1500} {
		alone(s.t, "canceled in Next", func() {
			ctx, cancel := context.WithCancel(s.t.Context())
			defer cancel()
			from := s.open(job)
			defer from.Close()
			for n := range len(rows) + 1 {
				if n == after {
					cancel()
				}
				_, err := s.next(ctx, from)
				if err != nil && (n < after || !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF)) {
					s.t.Errorf("canceled behind row %d, at row %d: %v", after, n, err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	alone(s.t, "canceled in Skip", func() {
		from := s.open(job)
		defer from.Close()
		if err := from.Skip(ended, 2400); err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("canceled in Skip: %v", err)
		}
	})
}

// A source that cannot be read further than to some row fails there, whether it reads or skips, or when it
// is opened, if that reads the first rows.
func (s *sourceSuite) broken() {
	rows := s.some(5)
	job := s.fill(append(slices.Clone(rows), Row{ID: id(5), Name: name(5), Broken: true}))
	for what, read := range map[string]func(from connector.Source) error{
		"broken in Next": func(from connector.Source) error {
			for range rows {
				if _, err := s.next(s.t.Context(), from); err != nil {
					return err
				}
			}
			_, err := s.next(s.t.Context(), from)
			return err
		},
		"broken in Skip": func(from connector.Source) error {
			if err := from.Skip(s.t.Context(), int64(len(rows))); err != nil {
				return err
			}
			_, err := s.next(s.t.Context(), from)
			return err
		},
	} {
		alone(s.t, what, func() {
			from, err := s.h.Kind.Open(s.t.Context(), job)
			if err == nil {
				defer from.Close()
				err = read(from)
			}
			expectFailure(s.t, err)
		})
	}
}

func (s *sourceSuite) missing() {
	job := s.h.Missing(s.t)
	alone(s.t, "missing", func() {
		_, err := s.h.Kind.Open(s.t.Context(), job)
		expectFailure(s.t, err)
		var found check.Report
		if looked, err := s.h.Kind.Check(s.t.Context(), job, &found); err != nil || !looked.Columns.Unknown || len(looked.First) > 0 {
			s.t.Errorf("looked at what is missing: %v, %v", looked, err)
		}
		expectFinding(s.t, found, "source")
	})
}

// A look at a source finds what a run reads.
func (s *sourceSuite) check() {
	rows := s.some(7)
	job := s.fill(rows)
	alone(s.t, "a look", func() {
		var found check.Report
		looked, err := s.h.Kind.Check(s.t.Context(), job, &found)
		if err != nil || found.Failed() {
			s.t.Fatalf("found %v, %v", found.Findings, err)
		}
		if looked.Columns.Unknown || !slices.Equal(looked.Columns.Names, []string{"id", "name"}) {
			s.t.Errorf("the columns are %v", looked.Columns)
		}
		if len(looked.Types) != 0 && len(looked.Types) != 2 {
			s.t.Errorf("the types are %v", looked.Types)
		}
		var got []seen
		for _, cells := range looked.First {
			one := seen{cells: cells.Values}
			if cells.Fault != nil {
				one = seen{fault: cells.Fault.Error()}
			}
			got = append(got, one)
		}
		// A page may have fewer.
		if len(got) == 0 || len(got) > len(rows) {
			s.t.Fatalf("the first rows are %v", got)
		}
		s.expect(got, rows[:len(got)])
	})
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	alone(s.t, "a look that is canceled", func() {
		var found check.Report
		if _, err := s.h.Kind.Check(ended, job, &found); err != nil && !errors.Is(err, context.Canceled) || found.Failed() {
			s.t.Errorf("found %v, %v", found.Findings, err)
		}
	})
	s.expect(s.all(job), rows)
}

// A column that the task does not name may be left out of the cells, but not of the record.
func (s *sourceSuite) use() {
	rows := s.some(7)
	from := s.open(s.fill(rows))
	defer from.Close()
	recorder, ok := from.(connector.Recorder)
	if !ok {
		return
	}
	recorder.Use([]bool{false, true})
	for i, r := range rows {
		got, err := s.next(s.t.Context(), from)
		if err != nil {
			s.t.Fatal(err)
		}
		if !r.Faulty && (got.cells[1] != r.Name || !slices.Equal(got.record, []string{r.ID, r.Name})) || len(got.record) != 2 {
			s.t.Errorf("row %d is %v with the record %q, want %v", i+1, got.cells, got.record, r)
		}
	}
}

// expectSentences expects what may stand in a run's Message.
func (s *sourceSuite) expectSentences(warnings []string) {
	s.t.Helper()
	if len(warnings) > connector.MostWarnings {
		s.t.Errorf("there are %d warnings", len(warnings))
	}
	for i, warning := range warnings {
		expectMessage(s.t, warning)
		if strings.HasSuffix(warning, ".") || strings.Contains(warning, "\n") || slices.Contains(warnings[:i], warning) {
			s.t.Errorf("%q is no warning: it ends in a full stop, has several lines, or comes twice", warning)
		}
	}
}

// A source says the same behind each row from its first on, behind all, once more, and when it is looked at.
func (s *sourceSuite) warned() {
	if s.h.Warned == nil {
		return
	}
	job := s.h.Warned(s.t)
	var found check.Report
	looked, err := s.h.Kind.Check(s.t.Context(), job, &found)
	if err != nil || len(looked.First) == 0 || len(looked.Warnings) == 0 {
		s.t.Fatalf("a look saw %v, %v", looked, err)
	}
	s.expectSentences(looked.Warnings)
	from := s.open(job)
	defer from.Close()
	if _, err := s.next(s.t.Context(), from); err != nil {
		s.t.Fatal(err)
	}
	first := slices.Clone(connector.Warnings(from))
	s.rest(from)
	for range 2 {
		if all := connector.Warnings(from); len(first) == 0 || !slices.Equal(all, looked.Warnings) {
			s.t.Errorf("the source warns of %q behind its first row, of %q behind its last, and of %q when it is looked at", first, all, looked.Warnings)
		}
	}
}

// Two runs read the same source.
func (s *sourceSuite) twoAtOnce() {
	rows := s.some(11)
	job := s.fill(rows)
	one, other := s.open(job), s.open(job)
	defer one.Close()
	got, err := s.next(s.t.Context(), one)
	if err != nil {
		s.t.Fatal(err)
	}
	s.expect(s.rest(other), rows)
	if err := other.Close(); err != nil {
		s.t.Error(err)
	}
	s.expect(append([]seen{got}, s.rest(one)...), rows)
}

// String shows a row in a test's message.
func (r Row) String() string { return fmt.Sprintf("%s=%s faulty %v", r.ID, r.Name, r.Faulty) }

// A thousand runs, to the end, continued, and broken off, leave what ten leave; so do looks at the source.
func (s *sourceSuite) flat() {
	job := s.fill(s.some(5))
	flat(s.t, s.h.Runs, func(n int) {
		from := s.open(job)
		switch n % 3 {
		case 0:
			s.rest(from)
		case 1:
			if err := from.Skip(s.t.Context(), 2); err != nil {
				s.t.Fatal(err)
			}
			s.rest(from)
		case 2:
			if _, err := s.next(s.t.Context(), from); err != nil {
				s.t.Fatal(err)
			}
		}
		from.Close()
		if n%10 == 0 {
			var found check.Report
			if _, err := s.h.Kind.Check(s.t.Context(), job, &found); err != nil {
				s.t.Fatal(err)
			}
		}
	})
}
