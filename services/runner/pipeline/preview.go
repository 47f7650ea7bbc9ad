package pipeline

import (
	"context"
	"errors"
	"io"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
)

// Sample is what Preview read: the first rows that the destination would be given.
type Sample struct {
	// Columns are the mapping's, in its order.
	Columns []string
	Rows    []SampleRow
	// Counts are of the rows read: Retrieved, Skipped and Failed. Total is 0 unless End.
	Counts run.Counts
	// Errors are the first row errors, at most run.MaxListedErrors.
	Errors []run.RowError
	// Warnings are what the source says of the rows read.
	Warnings []string
	// End says that the source has no more rows.
	End bool
}

// SampleRow is one mapped row.
type SampleRow struct {
	// Number counts the source's data rows from 1.
	Number int64
	// Values are as the expressions gave them, one for each column.
	Values []any
}

// Preview reads the job's source until most rows have passed where and mapping, or it ends. It opens
// no destination and writes nothing, so that what only the destination can tell, such as whether a
// text fits its column, is not seen. Errors are as in Run.
func Preview(ctx context.Context, kinds connector.Kinds, job connector.Job, most int) (sample *Sample, err error) {
	defer func() { err = told(ctx, err) }()
	defer catchPanic(&err)

	job.Preview = true
	sample = &Sample{}
	for _, c := range job.Task.Mapping {
		sample.Columns = append(sample.Columns, c.Name)
	}
	sample.End, sample.Warnings, err = browse(ctx, kinds, job, func(r *row.Row) bool {
		sample.add(r)
		return len(sample.Rows) < most
	})
	if err != nil {
		return nil, err
	}
	if sample.End {
		sample.Counts.Total = sample.Counts.Retrieved
	}
	return sample, nil
}

// browse reads the job's source and maps its rows, as long as each of them is followed by more or until the
// source ends. The rows are each's to keep. warnings are the source's behind them.
func browse(ctx context.Context, kinds connector.Kinds, job connector.Job, each func(r *row.Row) (more bool)) (ended bool, warnings []string, err error) {
	from, err := openSource(ctx, kinds, job)
	if err != nil {
		return false, nil, err
	}
	defer from.Close()
	rows, err := compile(job, from)
	if err != nil {
		return false, nil, err
	}
	brake := newBrake(job.Task.Rate)
	for number, more := int64(1), true; more; number++ {
		clear(rows.scope.Row)
		_, err := from.Next(ctx, rows.scope.Row)
		fault, own := row.Own(err)
		switch {
		case errors.Is(err, io.EOF):
			return true, connector.Warnings(from), nil
		case err != nil && !own:
			return false, nil, err
		}
		read := row.Row{Number: number, Values: make([]any, len(rows.columns))}
		if lined, ok := from.(connector.Lined); ok {
			read.Line = lined.Line()
		}
		switch {
		case fault != nil:
			read.Reject(fault)
		case own:
			read.Skip()
		default:
			if _, err := rows.apply(ctx, &read); err != nil {
				return false, nil, err
			}
		}
		more = each(&read)
		if brake != nil {
			if err := brake.wait(ctx); err != nil {
				return false, nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return false, nil, err
		}
	}
	return false, connector.Warnings(from), nil
}

func (s *Sample) add(r *row.Row) {
	s.Counts.Retrieved++
	switch r.Outcome {
	case row.Skipped:
		s.Counts.Skipped++
	case row.Failed:
		s.Counts.Failed++
		s.Errors = list(s.Errors, *r)
	default:
		s.Rows = append(s.Rows, SampleRow{Number: r.Number, Values: r.Values})
	}
}

// Columns opens the job's source and returns its columns. Of the job's task it needs no more than the source.
// Errors are as in Run.
func Columns(ctx context.Context, kinds connector.Kinds, job connector.Job) (columns mapping.Columns, err error) {
	defer func() { err = sentence(err) }()
	defer catchPanic(&err)
	from, err := openSource(ctx, kinds, job)
	if err != nil {
		return columns, err
	}
	defer from.Close()
	return from.Columns(), nil
}
