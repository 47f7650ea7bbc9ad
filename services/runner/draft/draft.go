// Package draft makes a task of what is there: a CSV file, a table, or an IQA of iMIS.
package draft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/shared/nearest"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// Wish says what a task is to copy, and where to.
type Wish struct {
	// Kinds are the kinds of source that there are.
	Kinds connector.Kinds
	// Connections are those of the connections file, nil for none.
	Connections *connection.Set
	// Name is the task's. Default: the name of the file, table or IQA.
	Name string
	// CSV is the path of a CSV file or a workbook, Table is CONNECTION.TABLE, and IQA is the connection
	// of an iMIS site, with the IQA at Path. One of them is set.
	CSV, Table, IQA, Path string
	// HeaderRow is the line of the CSV file, or the row of the sheet, that names the columns, from 1. Default: the
	// first with anything in it.
	HeaderRow int
	// To is CONNECTION.TABLE, or a file ending in .csv. Default: a table that is called as what is read.
	To string
	// Key are the columns that identify a row. Default: none, and every run adds rows.
	Key []string
}

// Draft is a task, with what its connections file lacks.
type Draft struct {
	taskfile.Draft
	// Missing are lines for the connections file.
	Missing []string
	// Repeated are names that several columns of the source have, with their places. No task can read them.
	Repeated map[string]string
}

// Make makes the task from its source's columns. Errors name the flags of `runhook task new`.
func Make(ctx context.Context, w Wish) (*Draft, error) {
	d := &Draft{Draft: taskfile.Draft{ID: task.NewID()}}
	read := d.fromTable
	if w.CSV != "" {
		read = d.fromCSV
	} else if w.IQA != "" {
		read = d.fromIQA
	}
	base, err := read(ctx, w)
	if err != nil {
		return nil, err
	}
	d.Name = cmp.Or(w.Name, base)
	if err := d.addDestination(w, base); err != nil {
		return nil, err
	}
	return d, nil
}

// fromTable reads the columns of a table.
func (d *Draft) fromTable(ctx context.Context, w Wish) (base string, err error) {
	name, table, ok := strings.Cut(w.Table, ".")
	if !ok || name == "" || table == "" {
		return "", fmt.Errorf("--from-table %q is not CONNECTION.TABLE, like crm.members", w.Table)
	}
	if w.Connections == nil {
		return "", fmt.Errorf("--from-table %s: there is no connections.yaml here; name the file of connections with --connections", w.Table)
	}
	d.Source = &task.SQLSource{Connection: name, Query: sqldb.SelectAll(w.Connections, name, table)}
	if err := d.takeColumns(ctx, w, w.Connections); err != nil {
		return "", fmt.Errorf("--from-table %s: %w", w.Table, err)
	}
	return table, nil
}

// takeColumns reads the columns of the source.
func (d *Draft) takeColumns(ctx context.Context, w Wish, connections *connection.Set) error {
	columns, err := pipeline.Columns(ctx, w.Kinds, connector.Job{Task: &task.Definition{Source: d.Source}, Connections: connections})
	d.Columns, d.Repeated = columns.Names, columns.Repeated
	return err
}

// fromIQA asks the site what the IQA is.
func (d *Draft) fromIQA(ctx context.Context, w Wish) (base string, err error) {
	if w.Connections == nil {
		return "", fmt.Errorf("--from-iqa %s: there is no connections.yaml here; name the file of connections with --connections", w.IQA)
	}
	source := &task.IMISSource{Connection: w.IQA, Query: w.Path}
	iqa, err := imis.Describe(ctx, w.Connections, source)
	if err != nil {
		return "", fmt.Errorf("--from-iqa %s %s: %w", w.IQA, w.Path, err)
	}
	source.Endpoint = iqa.Endpoint
	d.Source, d.Parameters, d.Columns = source, iqa.Parameters, iqa.Columns
	return path.Base(w.Path), nil
}

// addDestination adds where the rows go: as the wish says, or a table with the source's name.
func (d *Draft) addDestination(w Wish, base string) error {
	if IsCSV(w.To) {
		if len(w.Key) > 0 {
			return errors.New("--key is for tables; a CSV file is replaced as a whole")
		}
		name, path, ok := w.Connections.Covering(w.To)
		if !ok {
			absolute, err := filepath.Abs(w.To)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			name, path = w.spare("export"), filepath.Base(absolute)
			d.Missing = append(d.Missing, folderLine(name, absolute))
		}
		d.Destination = &task.CSVDestination{Connection: name, Path: path, Action: task.Replace}
		return nil
	}
	if named, ending, _ := strings.Cut(filepath.Base(w.To), "."); slices.Contains(otherFiles, strings.ToLower(ending)) && !w.Connections.Has(named) {
		return fmt.Errorf("--to %s: files are written as CSV; give a name that ends in .csv", w.To)
	}
	to := &task.SQLDestination{Table: identifierOf(base), Action: task.Insert, Create: true}
	if w.To != "" {
		name, table, ok := strings.Cut(w.To, ".")
		if !ok || name == "" || table == "" {
			return fmt.Errorf("--to %q is neither CONNECTION.TABLE, like warehouse.members, nor a file ending in .csv", w.To)
		}
		to.Connection, to.Table = name, table
	} else if databases := w.Connections.Databases(); len(databases) == 1 {
		to.Connection = databases[0]
	} else if len(databases) > 1 {
		return fmt.Errorf("which database do the rows go to? Give --to CONNECTION.%s; there are %s", to.Table, strings.Join(databases, ", "))
	} else {
		to.Connection = w.spare("warehouse")
	}
	switch known := w.Connections.Has(to.Connection); {
	case known && !slices.Contains(w.Connections.Databases(), to.Connection):
		return fmt.Errorf("--to %s.%s: the connection %[1]s is no database; the file of connections has %[3]s", to.Connection, to.Table, cmp.Or(strings.Join(w.Connections.Databases(), ", "), "none"))
	case strings.EqualFold(to.Connection+"."+to.Table, w.Table):
		return fmt.Errorf("--from-table %s: the rows would go into the table that they come from; say where they go with --to", w.Table)
	case !known:
		d.Missing = append(d.Missing, fmt.Sprintf("%s: {sqlite: ./%s.db}", to.Connection, to.Connection))
	}
	for _, key := range w.Key {
		if !slices.Contains(d.Columns, key) {
			advice := ""
			if w.CSV != "" && w.HeaderRow == 0 {
				advice = "; if that is a title, give the line that names the columns with --header-row"
			}
			return fmt.Errorf("--key %s: there is no such column%s The columns are %s%s", key, cmp.Or(nearest.Hint(key, d.Columns), "."), strings.Join(d.Columns, ", "), advice)
		}
	}
	if len(w.Key) > 0 {
		to.Key, to.Action = w.Key, task.Upsert
	}
	d.Destination = to
	return nil
}

// otherFiles are endings of files that no task writes.
var otherFiles = []string{"xlsx", "xlsm", "xls", "ods", "tsv", "txt", "json", "csv.gz"}

// folderLine is the connections file's line for the folder of a file.
func folderLine(connection, file string) string {
	folder := strings.ReplaceAll(filepath.ToSlash(filepath.Dir(file)), "${", "$${")
	return fmt.Sprintf("%s: {files: %s}", connection, strconv.Quote(folder))
}

// spare is a name that no connection has.
func (w Wish) spare(name string) string {
	free := name
	for n := 2; w.Connections.Has(free); n++ {
		free = name + strconv.Itoa(n)
	}
	return free
}

// IsCSV reports whether a place for rows is a CSV file, and not a table.
func IsCSV(place string) bool { return strings.EqualFold(filepath.Ext(place), ".csv") }

// FileName is the usual name of a task's file: letters, digits and hyphens, in lower case.
func FileName(name string) string {
	return strings.ReplaceAll(identifierOf(name), "_", "-") + ".yaml"
}

// identifierOf makes a table's name of a file's: letters and digits, in lower case.
func identifierOf(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(letter rune) bool { return !unicode.IsLetter(letter) && !unicode.IsDigit(letter) })
	return cmp.Or(strings.Join(words, "_"), "rows")
}
