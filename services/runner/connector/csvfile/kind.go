package csvfile

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

var (
	_ connector.Source      = (*Source)(nil)
	_ connector.Recorder    = (*Source)(nil)
	_ connector.AtHand      = (*Source)(nil)
	_ connector.Warner      = (*Source)(nil)
	_ connector.Lined       = (*Source)(nil)
	_ connector.Destination = (*Destination)(nil)
	_ connector.Appended    = (*Destination)(nil)
	_ connector.Sized       = (*Destination)(nil)
)

// SourceKind reads files of text, and leaves workbooks to Workbook.
type SourceKind struct {
	// Workbook opens an .xlsx file.
	Workbook func(ctx context.Context, connections *connection.Set, from *task.CSVSource) (connector.Source, error)
}

// Open opens the job's file.
func (k SourceKind) Open(ctx context.Context, job connector.Job) (connector.Source, error) {
	from, err := expanded(job)
	if err != nil {
		return nil, run.Failf("%v", err)
	}
	if !from.IsWorkbook() {
		text, err := Open(ctx, job.Connections, from)
		if err == nil {
			return text, nil
		}
		if !errors.Is(err, errWorkbook) {
			return nil, err
		}
	}
	return k.Workbook(ctx, job.Connections, from)
}

// Check looks at the folder, the file's header and its first rows.
func (k SourceKind) Check(ctx context.Context, job connector.Job, found *check.Report) (connector.Looked, error) {
	root, err := job.Connections.Files(source(job).Connection)
	if err != nil {
		found.Fail(check.At("source", "csv", "connection"), err)
		return connector.Unseen(), nil
	}
	root.Close()
	from, err := expanded(job)
	if err != nil {
		found.Warnf(check.At("source", "csv", "path"), "no file was looked at, and its columns are not known: %v", err)
		return connector.Unseen(), nil
	}
	file, err := k.Open(ctx, job)
	if err != nil {
		found.Fail(check.At("source", "csv", "path"), err)
		return connector.Unseen(), ctx.Err()
	}
	defer file.Close()
	columns := file.Columns()
	if recorder, ok := file.(connector.Recorder); ok && len(job.Task.Mapping) > 0 {
		recorder.Use(named(job, columns)) // the others may have errors
	}
	looked := connector.Looked{Columns: columns}
	looked.First = check.First(ctx, len(columns.Names), func(ctx context.Context, cells []any) (int, error) {
		size, err := file.Next(ctx, cells)
		if failure, ok := errors.AsType[*run.Failure](err); ok {
			found.Fail(check.At("source", "csv", "path"), failure)
		}
		return size, err
	})
	looked.Warnings = connector.Warnings(file)
	if header, ok := file.(interface {
		Doubt(first []check.Cells) string
	}); ok {
		if doubt := header.Doubt(looked.First); doubt != "" {
			found.Warnf(check.At("source", "csv", "header_row"), "%s", doubt)
		}
	}
	if _, text := file.(*Source); text {
		checkWords(from, columns.Names, looked.First, found)
	} else if !from.IsWorkbook() {
		found.Warnf(check.At("source", "csv", "path"), "%s is a workbook, whatever its name says, and is read as one; give it a name that ends in .xlsx", place(from))
	}
	return looked, nil
}

// named says which columns the task's expressions name, as far as they can be compiled.
func named(job connector.Job, columns mapping.Columns) []bool {
	scope := mapping.NewScope(columns, job.Task.ExpressionParams(job.Parameters))
	if job.Task.Where != "" {
		_, _ = scope.CompileCondition(job.Task.Where) // what is wrong with it is found later
	}
	for _, c := range job.Task.Mapping {
		_, _ = scope.Compile(c.Expression)
	}
	return scope.Used()
}

// DestinationKind writes files of text.
type DestinationKind struct{}

// Open prepares the job's file.
func (DestinationKind) Open(_ context.Context, job connector.Job, columns []connector.Column) (connector.Destination, error) {
	to, names := destination(job), connector.Names(columns)
	if err := spare(job); err != nil {
		return nil, err
	}
	if job.DryRun {
		return Try(job.Connections, to, names)
	}
	return Create(job.Connections, to, names)
}

// Check looks at the file and its folder, and makes nothing. It takes any row.
func (DestinationKind) Check(_ context.Context, job connector.Job, columns []check.Column, found *check.Report) (check.Takes, error) {
	d, err := locate(job.Connections, destination(job), check.Names(columns))
	if err != nil {
		found.Fail(check.At("destination", "csv", "connection"), err)
		return nil, nil
	}
	defer d.Close()
	at := check.At("destination", "csv", "path")
	if err := cmp.Or(spare(job), d.try()); err != nil {
		found.Fail(at, err)
		return nil, nil
	}
	folder := filepath.Join(d.root.Name(), filepath.Dir(d.path))
	// A file that is there is appended to as it is; any other is made in its folder.
	_, missing := d.root.Stat(d.path)
	if (!d.appends || missing != nil) && !check.Writable(folder) {
		found.Errorf(at, "the folder of %s may not be written by this user; correct its permissions", d.place)
	}
	return nil, nil
}

// spare refuses to write what the runner or a database has in the file, what is a task by its name, and to replace
// the file that the job reads: whatever either is called, behind a parameter, a link, or another connection.
func spare(job connector.Job) error {
	to := destination(job)
	if what := job.Connections.Guarded(to.Connection, to.Path); what != "" {
		return run.Failf("the file %s of connection %s is %s, and would be lost; write another file", to.Path, to.Connection, what)
	}
	if extension := strings.ToLower(filepath.Ext(to.Path)); extension == ".yaml" || extension == ".yml" {
		return run.Failf("the file %s of connection %s has the name of a task file; give it one that ends in .csv", to.Path, to.Connection)
	}
	if _, ok := job.Task.Source.(*task.CSVSource); !ok || to.Action != task.Replace {
		return nil
	}
	from, err := expanded(job)
	if err != nil {
		return nil // nothing is read
	}
	read, replaced := stat(job.Connections, from.Connection, from.Named()), stat(job.Connections, to.Connection, to.Path)
	if read == nil || replaced == nil || !os.SameFile(read, replaced) {
		return nil
	}
	return run.Failf("the file %s of connection %s is the one that the source reads, and its rows would be lost; write another file", to.Path, to.Connection)
}

// stat is what a file of a connection is, nil if there is none.
func stat(connections *connection.Set, name, path string) os.FileInfo {
	root, err := connections.Files(name)
	if err != nil {
		return nil
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(path))
	if err != nil {
		return nil
	}
	return info
}

// expanded is the source with the run's parameters in its path.
func expanded(job connector.Job) (*task.CSVSource, error) {
	return source(job).Expand(job.Task.ExpressionParams(job.Parameters))
}

func source(job connector.Job) *task.CSVSource { return job.Task.Source.(*task.CSVSource) }

func destination(job connector.Job) *task.CSVDestination {
	return job.Task.Destination.(*task.CSVDestination)
}
