package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The bounds of a look at all rows of a source.
const (
	fitRows = 200_000
	fitTime = 5 * time.Second
)

// How much of what Fit sees it returns: samples of a column, rows, and places of a fault.
const (
	fitSamples = 3
	fitFirst   = 10
	fitPlaces  = 5
)

// Fitted is what Fit saw.
type Fitted struct {
	// Source are the source's columns. Repeated are names that several of them have, with their places: no task can read
	// those.
	Source   []Seen
	Repeated map[string]string
	// Columns are the mapping's, in its order.
	Columns []Seen
	// First are the first rows that are not skipped, at most ten.
	First []FitRow
	// Counts are Retrieved, Skipped and Failed; Total is 0 unless all rows were looked at.
	Counts run.Counts
	// Faults are those of rows, those of a kind together, in the order of their first rows.
	Faults []FitFault
	// EmptyKeys and RepeatedKeys are how many rows have no key, or one that a row before has.
	EmptyKeys, RepeatedKeys int64
	// Found is what is wrong with the task, whatever the rows are.
	Found []check.Finding
	// Warnings are what the source says of its rows.
	Warnings []string
}

// Seen is what was seen of a column's values.
type Seen struct {
	Name string
	// Samples are the first values that differ, and Empty is how many rows have none.
	Samples []string
	Empty   int64
	// Whole: each value is a whole number without zeros before it, and there is one.
	Whole bool
	// Days is how most of the values are written that are days, like dd.MM.yyyy, one of DayFormats; empty if most are none.
	Days string

	// rows has the values, and days how many of them each of DayFormats fits.
	rows int64
	days [len(DayFormats)]int64
}

// DayFormats are ways in which people write days, as expressions have them. The first is that which every column takes.
var DayFormats = [...]string{"yyyy-MM-dd", "dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy", "d/M/yyyy", "M/d/yyyy", "dd-MM-yyyy", "yyyy/MM/dd", "dd.MM.yy"}

// dayLayouts are DayFormats as package time has them.
var dayLayouts = [...]string{"2006-01-02", "02.01.2006", "2.1.2006", "02/01/2006", "01/02/2006", "2/1/2006", "1/2/2006", "02-01-2006", "2006/01/02", "02.01.06"}

// FitRow is one row, as far as it was mapped.
type FitRow struct {
	Number int64
	// Texts are its values, in the mapping's order, and Null those that are none. Behind one that could not be computed
	// nothing is known.
	Texts []string
	Null  []bool
	// Fault is why it would fail; nil if it would not, as far as can be told.
	Fault *row.Fault
}

// FitFault is one fault of one or several rows.
type FitFault struct {
	Column, Message string
	Rows            int64
	// Which are the numbers of the first rows, and Cells what the source has in the first of them, in the order of its
	// columns; nil where it cannot be read.
	Which []int64
	Cells []string
}

// Fit looks at all rows of the job's source, up to a bound, as a run would meet them: what its columns have, what the
// mapping makes of them, and which would fail. The destination is looked at, and nothing is changed. key are the
// columns of the mapping that identify a row. Errors are as in Run, and of a source that cannot be opened.
func Fit(ctx context.Context, kinds connector.Kinds, job connector.Job, key []string) (fitted *Fitted, err error) {
	defer func() { err = told(ctx, err) }()
	defer catchPanic(&err)

	job.Preview = true
	from, err := openSource(ctx, kinds, job)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	columns := from.Columns()
	fitted = &Fitted{Repeated: columns.Repeated}
	for _, name := range columns.Names {
		fitted.Source = append(fitted.Source, Seen{Name: name})
	}
	for _, c := range job.Task.Mapping {
		fitted.Columns = append(fitted.Columns, Seen{Name: c.Name})
	}
	var report check.Report
	rows := compileAll(job, columns, &report)
	looked := connector.Looked{Columns: columns}
	if typed, ok := from.(connector.Typed); ok {
		looked.Types = typed.Types()
	}
	var takes check.Takes
	if job.Task.Destination != nil {
		destination, err := kinds.Destination(job.Task.Destination)
		if err != nil {
			return nil, err
		}
		if takes, err = destination.Check(ctx, job, mappedColumns(job, looked, rows, &report), &report); err != nil {
			return nil, err
		}
	}
	fitted.Found = report.Findings
	look := &fit{Fitted: fitted, from: from, rows: rows, takes: takes, keys: row.NewKeys()}
	for _, name := range key {
		at := slices.IndexFunc(job.Task.Mapping, func(c task.Column) bool { return strings.EqualFold(c.Name, name) })
		if at >= 0 {
			look.key = append(look.key, at)
		}
	}
	if len(look.key) < len(key) || len(rows.columns) < len(job.Task.Mapping) {
		look.key = nil
	}
	look.maps = len(rows.columns) == len(job.Task.Mapping) && len(rows.columns) > 0
	return fitted, look.all(ctx)
}

// fit is a look at the rows of a source.
type fit struct {
	*Fitted
	from  connector.Source
	rows  *mapper
	takes check.Takes
	keys  *row.Keys
	// key are the places of the key in the mapping, none if there is none. maps: the mapping can be used.
	key  []int
	maps bool
}

// all looks at the rows.
func (f *fit) all(ctx context.Context) error {
	deadline := time.Now().Add(fitTime)
	for number := int64(1); number <= fitRows; number++ {
		cells := f.rows.scope.Row
		clear(cells)
		_, err := f.from.Next(ctx, cells)
		fault, own := row.Own(err)
		switch {
		case errors.Is(err, io.EOF):
			f.Counts.Total = f.Counts.Retrieved
			f.Warnings = connector.Warnings(f.from)
			f.finish()
			return nil
		case err != nil && !own:
			return err
		}
		f.Counts.Retrieved++
		if err := f.one(ctx, number, cells, fault, own); err != nil {
			return err
		}
		if number%1000 == 0 && time.Now().After(deadline) {
			break
		}
	}
	f.Warnings = connector.Warnings(f.from)
	f.finish()
	return nil
}

// one looks at a row. blank: there is nothing in it, unless it has a fault.
func (f *fit) one(ctx context.Context, number int64, cells []any, fault *row.Fault, blank bool) error {
	if fault == nil && blank {
		f.Counts.Skipped++
		return nil
	}
	read := row.Row{Number: number, Values: make([]any, len(f.rows.columns))}
	if fault != nil {
		read.Reject(fault)
	} else {
		for i, cell := range cells {
			f.Source[i].see(cell)
		}
	}
	if !f.maps {
		return nil
	}
	if fault == nil {
		if _, err := f.rows.apply(ctx, &read); err != nil {
			return err
		}
	}
	if read.Outcome == row.Skipped {
		f.Counts.Skipped++
		return nil
	}
	var raw []any
	if read.Outcome == row.Ready {
		raw = slices.Clone(read.Values)
		if f.takes != nil {
			if fault := f.takes(read.Values); fault != nil {
				read.Reject(fault)
			}
		}
	}
	if read.Outcome == row.Failed {
		f.Counts.Failed++
		f.blame(number, read.Fault, cells)
	} else {
		for i, value := range read.Values {
			f.Columns[i].see(value)
		}
		f.seeKey(read.Values)
	}
	if len(f.First) < fitFirst {
		shown := FitRow{Number: number, Fault: read.Fault}
		known := true
		for i, value := range read.Values {
			if read.Outcome == row.Failed && raw != nil {
				value = raw[i]
			} else if read.Fault != nil && (raw == nil && strings.EqualFold(f.Columns[i].Name, read.Fault.Column) || fault != nil) {
				known = false
			}
			text, _ := row.Text(value)
			shown.Texts, shown.Null = append(shown.Texts, text), append(shown.Null, value == nil && known)
		}
		f.First = append(f.First, shown)
	}
	return nil
}

func (f *fit) seeKey(values []any) {
	if len(f.key) == 0 {
		return
	}
	hash, empty := f.keys.Hash(values, f.key)
	switch {
	case empty:
		f.EmptyKeys++
	case f.keys.Has(hash):
		f.RepeatedKeys++
	default:
		f.keys.Add(hash)
	}
}

// blame counts the fault of a row, with what the source has in it.
func (f *fit) blame(number int64, fault *row.Fault, cells []any) {
	at := slices.IndexFunc(f.Faults, func(k FitFault) bool { return k.Column == fault.Column && k.Message == fault.Message })
	if at < 0 {
		const mostFaults = 100
		if len(f.Faults) == mostFaults {
			return
		}
		f.Faults = append(f.Faults, FitFault{Column: fault.Column, Message: fault.Message})
		at = len(f.Faults) - 1
		for _, cell := range cells {
			text, _ := row.Text(cell)
			f.Faults[at].Cells = append(f.Faults[at].Cells, text)
		}
	}
	k := &f.Faults[at]
	if k.Rows++; len(k.Which) < fitPlaces {
		k.Which = append(k.Which, number)
	}
}

// finish decides how the days of the source's columns are written: as most are, the first way if several fit as many.
func (f *fit) finish() {
	for i := range f.Source {
		c := &f.Source[i]
		most := c.rows / 2
		for at, fitting := range c.days {
			if fitting > most {
				c.Days, most = DayFormats[at], fitting
			}
		}
	}
}

// see takes note of a value.
func (s *Seen) see(value any) {
	text, problem := row.Text(value)
	if problem != "" {
		text = "(" + problem + ")"
	}
	if text == "" {
		s.Empty++
		return
	}
	s.Whole = isPlainWhole(text) && (s.Whole || s.rows == 0)
	s.rows++
	if len(text) <= len("2006-01-02") && text[0] <= '9' {
		for i, layout := range dayLayouts {
			if _, err := time.Parse(layout, text); err == nil {
				s.days[i]++
			}
		}
	}
	if len(s.Samples) < fitSamples && !slices.Contains(s.Samples, text) {
		s.Samples = append(s.Samples, text)
	}
}

// isPlainWhole reports whether a text is a whole number that loses nothing as a number.
func isPlainWhole(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 18 || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}
