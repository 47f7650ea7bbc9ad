package pipeline

import (
	"context"
	"slices"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
)

// mapper makes the destination's rows of the source's: where and mapping, compiled once for the run.
type mapper struct {
	scope   *mapping.Scope
	where   *mapping.Program // nil keeps every row
	columns []mappedColumn
}

type mappedColumn struct {
	name  string
	value *mapping.Program
}

// compile compiles the task's expressions against the columns that the source really has, and tells a
// recorder which of them they name.
func compile(job connector.Job, from connector.Source) (*mapper, error) {
	var faults check.Report
	m := compileAll(job, from.Columns(), &faults)
	err := faults.Err()
	if named, ok := from.(connector.Named); ok && err != nil {
		err = run.Failf("%s does not fit the task; %v", named.Name(), err)
	}
	if lines, ok := from.(connector.Recorder); ok && err == nil {
		lines.Use(m.scope.Used())
	}
	return m, err
}

// compileAll is compile that reports what is wrong with any expression, and leaves it out.
func compileAll(job connector.Job, columns mapping.Columns, found *check.Report) *mapper {
	var faults check.Report
	m := compileEach(job, columns, &faults)
	if faults.Failed() && !slices.Contains(m.scope.Used(), true) {
		columns.Lost, faults = true, check.Report{}
		m = compileEach(job, columns, &faults)
	}
	found.Findings = append(found.Findings, faults.Findings...)
	return m
}

func compileEach(job connector.Job, columns mapping.Columns, found *check.Report) *mapper {
	m := &mapper{scope: mapping.NewScope(columns, job.Task.ExpressionParams(job.Parameters))}
	if job.Task.Where != "" {
		where, err := m.scope.CompileCondition(job.Task.Where)
		if err != nil {
			found.Errorf(check.At("where"), "where: %v", err)
		}
		m.where = where
		warn(found, check.At("where"), where)
	}
	for _, c := range job.Task.Mapping {
		value, err := m.scope.Compile(c.Expression)
		if err != nil {
			found.Errorf(check.At("mapping", c.Name), "mapping.%s: %v", c.Name, err)
			continue
		}
		m.columns = append(m.columns, mappedColumn{c.Name, value})
		warn(found, check.At("mapping", c.Name), value)
	}
	return m
}

// warn reports what the author of an expression should know of it. p may be nil.
func warn(found *check.Report, at check.Field, p *mapping.Program) {
	if p == nil {
		return
	}
	for _, caution := range p.Cautions() {
		found.Warnf(at, "%s", caution)
	}
}

// target are the columns that the mapping writes.
func (m *mapper) target(from connector.Source) []connector.Column {
	var types []check.Column
	if typed, ok := from.(connector.Typed); ok {
		types = typed.Types()
	}
	names := from.Columns().Names
	columns := make([]connector.Column, len(m.columns))
	for i, c := range m.columns {
		columns[i] = connector.Column{Name: c.name, Kind: c.value.Kind()}
		if name, ok := c.value.Column(); ok && types != nil {
			passed := types[slices.Index(names, name)]
			columns[i].Stored, columns[i].Declared = passed.Stored, passed.Declared
		}
	}
	return columns
}

// apply maps the scope's current row into r, and returns how much memory its values hold. The error is
// ctx's, when that has ended.
func (m *mapper) apply(ctx context.Context, r *row.Row) (size int, err error) {
	// An expression without a loop does not look at it.
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.scope.Begin()
	if m.where != nil {
		keep, err := m.where.True(ctx)
		if err != nil {
			return 0, refuse(ctx, r, "where", hopeless(ctx, "where", m.where), err)
		}
		if !keep {
			r.Skip()
			return 0, nil
		}
	}
	for i, c := range m.columns {
		value, err := c.value.Eval(ctx)
		if err != nil {
			return 0, refuse(ctx, r, c.name, hopeless(ctx, "mapping."+c.name, c.value), err)
		}
		if text, ok := value.(string); ok {
			size += len(text)
		}
		r.Values[i] = value
	}
	return size, nil
}

// refuse fails a row for the error of an expression, unless that is ctx's, or the run's.
func refuse(ctx context.Context, r *row.Row, column string, ofRun, err error) error {
	if ofRun != nil {
		return ofRun
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Reject(row.Faultf(column, "%v", err))
	return nil
}

// check fails a run in which no row could pass because of the values of its parameters, before the first row. Where
// it depends on the rows whether any gets to the mapping, apply finds it at the first that does.
func (m *mapper) check(ctx context.Context) error {
	if m.where != nil {
		if err := hopeless(ctx, "where", m.where); err != nil || m.where.NeedsRow() {
			return err
		}
		m.scope.Begin()
		if keep, err := m.where.True(ctx); err != nil || !keep {
			return ctx.Err()
		}
	}
	for _, c := range m.columns {
		if err := hopeless(ctx, "mapping."+c.name, c.value); err != nil {
			return err
		}
	}
	return nil
}

// hopeless is the failure of a run in which an expression fails for every row because of parameters alone.
func hopeless(ctx context.Context, name string, p *mapping.Program) error {
	err := p.Fault(ctx)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return run.Failf("%s %v. No row can pass, because this depends on the run's parameters alone: correct their values", name, err)
}
