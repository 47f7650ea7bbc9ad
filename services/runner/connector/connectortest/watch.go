package connectortest

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
)

// Watched returns the kinds for a test of the pipeline, with their sources and destinations watched: each
// call that the contract does not allow at that moment, and each one that is not closed when the test
// ends, is an error of the test. In a benchmark nothing is watched.
func Watched(t testing.TB, kinds connector.Kinds) connector.Kinds {
	if _, benchmark := t.(*testing.B); benchmark {
		return kinds
	}
	watched := connector.Kinds{Sources: maps.Clone(kinds.Sources), Destinations: maps.Clone(kinds.Destinations)}
	for name, kind := range kinds.Sources {
		watched.Sources[name] = watchedSources{kind, t}
	}
	for name, kind := range kinds.Destinations {
		watched.Destinations[name] = watchedDestinations{kind, t}
	}
	return watched
}

// watch is what has been called of a source or destination.
type watch struct {
	t    testing.TB
	what string

	mu     sync.Mutex
	busy   string // the call that is under way
	begun  bool   // the first row has been asked for or written
	failed bool   // only Close may follow
	closed bool
}

func newWatch(t testing.TB, what string) *watch {
	w := &watch{t: t, what: what}
	t.Cleanup(func() {
		if !w.closed {
			t.Errorf("%s is not closed", what)
		}
	})
	return w
}

// call notes a call until done; no other may be under way.
func (w *watch) call(name string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.busy != "":
		w.t.Errorf("%s: %s is called in %s", w.what, name, w.busy)
	case w.closed:
		w.t.Errorf("%s: %s is called after Close", w.what, name)
	case w.failed && name != "Close":
		w.t.Errorf("%s: %s is called after an error or the end", w.what, name)
	}
	before := w.busy
	w.busy = name
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy = before
	}
}

// first expects that no row has been asked for or written yet.
func (w *watch) first(name string) {
	if w.begun {
		w.t.Errorf("%s: %s is called after the first row", w.what, name)
	}
}

type watchedSources struct {
	connector.SourceKind
	t testing.TB
}

func (k watchedSources) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	from, err := k.SourceKind.Open(ctx, job)
	if err != nil {
		return nil, err
	}
	s := &watchedSource{Source: from, watch: newWatch(k.t, "the source")}
	if recorder, ok := from.(connector.Recorder); ok {
		return &watchedRecorder{s, recorder}, nil
	}
	if named, ok := from.(connector.Named); ok {
		return &watchedNamed{s, named}, nil
	}
	return s, nil
}

type watchedSource struct {
	connector.Source
	watch   *watch
	ctx     context.Context
	skipped bool
	ended   bool
}

// same expects one ctx in all calls.
func (s *watchedSource) same(ctx context.Context) {
	if s.ctx != nil && s.ctx != ctx {
		s.watch.t.Errorf("the source is called with another ctx")
	}
	s.ctx = ctx
}

func (s *watchedSource) AtHand() bool {
	from, ok := s.Source.(connector.AtHand)
	return ok && from.AtHand()
}

func (s *watchedSource) Types() []check.Column {
	if typed, ok := s.Source.(connector.Typed); ok {
		return typed.Types()
	}
	return nil
}

func (s *watchedSource) Compares(column string) (asText bool, unfit string) {
	if comparing, ok := s.Source.(connector.Comparing); ok {
		return comparing.Compares(column)
	}
	return false, ""
}

func (s *watchedSource) Place(cells []any) string {
	if placed, ok := s.Source.(connector.Placed); ok {
		return placed.Place(cells)
	}
	return ""
}

func (s *watchedSource) SkipTo(ctx context.Context, place string) (found bool, err error) {
	defer s.watch.call("SkipTo")()
	s.same(ctx)
	if placed, ok := s.Source.(connector.Placed); ok {
		return placed.SkipTo(ctx, place)
	}
	return false, nil
}

func (s *watchedSource) Line() int64 {
	defer s.watch.call("Line")()
	if lined, ok := s.Source.(connector.Lined); ok {
		return lined.Line()
	}
	return 0
}

func (s *watchedSource) Version() (string, error) {
	defer s.watch.call("Version")()
	s.watch.first("Version")
	return s.Source.Version()
}

func (s *watchedSource) Skip(ctx context.Context, rows int64) error {
	defer s.watch.call("Skip")()
	s.watch.first("Skip")
	if s.same(ctx); s.skipped || rows < 0 {
		s.watch.t.Errorf("the source is to skip %d rows; has it skipped before: %v", rows, s.skipped)
	}
	s.skipped = true
	err := s.Source.Skip(ctx, rows)
	s.watch.failed = err != nil
	return err
}

func (s *watchedSource) Next(ctx context.Context, cells []any) (int, error) {
	defer s.watch.call("Next")()
	s.same(ctx)
	s.watch.begun = true
	if len(cells) != len(s.Columns().Names) {
		s.watch.t.Errorf("a row of %d columns is read into %d cells", len(s.Columns().Names), len(cells))
	}
	size, err := s.Source.Next(ctx, cells)
	if _, own := row.Own(err); err != nil && !own {
		s.watch.failed = true
		s.ended = errors.Is(err, io.EOF)
	}
	return size, err
}

func (s *watchedSource) Warnings() []string {
	if s.ended { // and only then may anything but Close follow
		s.watch.failed = false
		defer func() { s.watch.failed = true }()
	}
	defer s.watch.call("Warnings")()
	return connector.Warnings(s.Source)
}

func (s *watchedSource) Repeats() (rows int64, warning string) {
	s.watch.failed = false
	defer func() { s.watch.failed = s.ended }()
	defer s.watch.call("Repeats")()
	return connector.Repeats(s.Source)
}

func (s *watchedSource) Progress() (part float64, total int64) {
	defer s.watch.call("Progress")()
	return s.Source.Progress()
}

func (s *watchedSource) Close() error {
	defer s.watch.call("Close")()
	s.watch.closed = true
	return s.Source.Close()
}

type watchedRecorder struct {
	*watchedSource
	recorder connector.Recorder
}

func (s *watchedRecorder) Use(used []bool) {
	defer s.watch.call("Use")()
	s.watch.first("Use")
	s.recorder.Use(used)
}

func (s *watchedRecorder) Record() row.Record {
	defer s.watch.call("Record")()
	if !s.watch.begun {
		s.watch.t.Error("the source is asked for the record of no row")
	}
	return s.recorder.Record()
}

type watchedNamed struct {
	*watchedSource
	connector.Named
}

type watchedDestinations struct {
	connector.DestinationKind
	t testing.TB
}

func (k watchedDestinations) Open(ctx context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	to, err := k.DestinationKind.Open(ctx, job, columns)
	if err != nil {
		return nil, err
	}
	d := &watchedDestination{Destination: to, watch: newWatch(k.t, "the destination"), most: job.Task.Destination.Traits().BatchRows}
	if file, ok := to.(connector.Appended); ok {
		return &watchedAppended{d, file}, nil
	}
	if ledger, ok := to.(connector.Ledger); ok {
		return &watchedLedger{watchedDestination: d, ledger: ledger}, nil
	}
	return d, nil
}

type watchedDestination struct {
	connector.Destination
	watch *watch
	// most rows go into a batch; 0 is any number.
	most int
	last int64
}

func (d *watchedDestination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	defer d.watch.call("Write")()
	d.watch.begun = true
	ready := 0
	for r := range batch.Pending() {
		if ready++; r.Number <= d.last {
			d.watch.t.Errorf("row %d is written after row %d", r.Number, d.last)
		}
		d.last = r.Number
	}
	if ready == 0 || d.most > 0 && ready > d.most {
		d.watch.t.Errorf("a batch has %d rows to be written, of a destination that wants %d", ready, d.most)
	}
	err := d.Destination.Write(ctx, batch, before)
	d.watch.failed = err != nil
	for _, r := range batch.Reached() {
		if err == nil && (r.Outcome == row.Ready || (r.Outcome == row.Failed) != (r.Fault != nil)) {
			d.watch.t.Errorf("row %d has the outcome %d and the fault %v", r.Number, r.Outcome, r.Fault)
		}
	}
	return err
}

func (d *watchedDestination) Size(ctx context.Context) (int64, error) {
	defer d.watch.call("Size")()
	d.watch.first("Size")
	sized, ok := d.Destination.(connector.Sized)
	if !ok {
		return 0, run.Failf("the rows of the destination cannot be counted")
	}
	return sized.Size(ctx)
}

func (d *watchedDestination) Finish(ctx context.Context) error {
	defer d.watch.call("Finish")()
	d.watch.failed = true // nothing may follow
	return d.Destination.Finish(ctx)
}

func (d *watchedDestination) Warnings() []string {
	if d.watch.closed {
		d.watch.t.Error("Warnings is called after Close")
	}
	return connector.Warnings(d.Destination)
}

func (d *watchedDestination) Close() (kept bool) {
	defer d.watch.call("Close")()
	d.watch.closed = true
	return d.Destination.Close()
}

type watchedAppended struct {
	*watchedDestination
	file connector.Appended
}

func (d *watchedAppended) Length() int64 { return d.file.Length() }

func (d *watchedAppended) ContinueBehind(length int64) {
	defer d.watch.call("ContinueBehind")()
	d.watch.first("ContinueBehind")
	d.file.ContinueBehind(length)
}

type watchedLedger struct {
	*watchedDestination
	ledger connector.Ledger
	raised bool
}

func (d *watchedLedger) Raise(ctx context.Context, fence *connector.Fence) (at run.Checkpoint, found bool, err error) {
	defer d.watch.call("Raise")()
	d.watch.first("Raise")
	d.raised = true
	at, found, err = d.ledger.Raise(ctx, fence)
	d.watch.failed = err != nil
	return at, found, err
}

func (d *watchedLedger) Record(ctx context.Context, at run.Checkpoint) error {
	d.watch.mu.Lock()
	if d.watch.busy != "Write" || !d.raised {
		d.watch.t.Errorf("a checkpoint is recorded in %q; was the fence raised: %v", d.watch.busy, d.raised)
	}
	d.watch.mu.Unlock()
	return d.ledger.Record(ctx, at)
}
