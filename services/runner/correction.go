package runner

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// corrected is the definition and the kinds of a run that reads the corrected rows of another run. They are read in
// order, and are the same at each attempt, so an interrupted run continues. How many rows a run has to have at least is
// of the task's own source.
func (a *attempt) corrected(def *task.Definition) (*task.Definition, connector.Kinds) {
	kinds := a.runner.options.Kinds
	correction := a.request.Correction
	if correction == nil {
		return def, kinds
	}
	theirs := *def
	theirs.Expect.MinRows = 0
	like, isText := def.Source.(task.TextSource)
	if !isText { // whoever has accepted the run refuses other sources
		like = &task.CSVSource{}
	}
	rows := like.Another("", "the corrected rows of run "+correction.Of.String())
	theirs.Source = rows
	kinds.Sources = maps.Clone(kinds.Sources)
	kinds.Sources[rows.Name()] = correctedKind{a, *correction, rows.Null}
	return &theirs, kinds
}

// correctedKind opens the corrected rows that a run reads.
type correctedKind struct {
	attempt    *attempt
	correction run.Correction
	null       []string
}

// Open reads the first of the rows.
func (k correctedKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	s := &correctedRows{correctedKind: k}
	if err := s.advance(ctx); err != nil {
		return nil, err
	}
	s.columns = s.chunk.Columns
	if job.Total != nil {
		job.Total(k.correction.Rows)
	}
	return s, nil
}

// Check looks at nothing: no task file names these rows.
func (correctedKind) Check(context.Context, connector.Job, *check.Report) (connector.Looked, error) {
	return connector.Unseen(), nil
}

// correctedRows gives the rows of one correction.
type correctedRows struct {
	correctedKind
	columns []string
	chunk   run.RejectedChunk
	// read is how many chunks were read, at the next row in the last one, and given how many rows were.
	read, at int
	given    int64
}

// advance reads the next chunk, for as long as it takes while NATS is away. It returns io.EOF behind the last.
func (s *correctedRows) advance(ctx context.Context) error {
	if s.read == s.correction.Chunks {
		return io.EOF
	}
	a := s.attempt
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 5 * time.Second}
	for {
		chunk, err := a.runner.options.Work.Corrected(ctx, a.request.Task, s.correction, s.read+1)
		switch {
		case err == nil && s.read > 0 && !slices.Equal(chunk.Columns, s.columns):
			return run.Failf("The corrected rows of run %s are not as they were stored; correct them again.", s.correction.Of)
		case err == nil:
			s.chunk, s.at = chunk, 0
			s.read++
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, run.ErrRowsGone):
			return run.Failf("The corrected rows of run %s are gone: they are kept as long as rejected_rows.keep says, or were deleted with the run; correct the source, and run the task.", s.correction.Of)
		case !errors.Is(err, run.ErrUnavailable):
			a.log.Error().Err(err).Msg("corrected rows cannot be read")
			return run.Failf("The corrected rows of run %s cannot be read; the runner's log says why. Correct them again.", s.correction.Of)
		case pause.First():
			a.log.Warn().Err(err).Msg("corrected rows cannot be read now, trying again")
		}
		if !pause.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// Columns are those of which the run has kept its failed rows.
func (s *correctedRows) Columns() mapping.Columns { return mapping.Columns{Names: s.columns} }

// Name begins what is said of expressions that do not fit.
func (s *correctedRows) Name() string { return "the corrected rows of run " + s.correction.Of.String() }

// Next gives the next row. A word that means no value in the task's source means none here.
func (s *correctedRows) Next(ctx context.Context, cells []any) (size int, err error) {
	for s.at == len(s.chunk.Rows) {
		if err := s.advance(ctx); err != nil {
			return 0, err
		}
	}
	row := s.chunk.Rows[s.at]
	s.at++
	s.given++
	for i := range cells {
		if i < len(row.Cells) && !slices.Contains(s.null, row.Cells[i]) {
			cells[i] = row.Cells[i]
			size += len(row.Cells[i])
		}
	}
	return size, nil
}

// Progress is how many of the rows were given.
func (s *correctedRows) Progress() (part float64, total int64) {
	return min(1, float64(s.given)/float64(s.correction.Rows)), s.correction.Rows
}

// Version is the same as long as the rows are.
func (s *correctedRows) Version() (string, error) {
	return "correction " + s.correction.Of.String() + " " + s.correction.Key + " " + strconv.Itoa(s.correction.Chunks), nil
}

// Skip passes over rows.
func (s *correctedRows) Skip(ctx context.Context, rows int64) error {
	for ; rows > 0; rows-- {
		for s.at == len(s.chunk.Rows) {
			if err := s.advance(ctx); err != nil {
				return err
			}
		}
		s.at++
		s.given++
	}
	return nil
}

// Close has nothing to release.
func (s *correctedRows) Close() error { return nil }
