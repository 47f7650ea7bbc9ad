package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/draft"
)

type runsRejectedCommand struct {
	RunArg
	Output string `short:"o" placeholder:"FILE" help:"Write into this file. Default: print. A name that ends in .xlsx makes a workbook."`
	Force  bool   `help:"Replace the file if it is there and has failed rows, when all have arrived."`
	XLSX   bool   `name:"xlsx" help:"A workbook instead of CSV."`
}

// Help says what is in the rows.
func (*runsRejectedCommand) Help() string {
	return `Prints or saves the failed rows of a run. Each row is whole, as it was read, with the columns Row, Column and Reason added. Correct the rows, and run the same task on the corrected file: columns that its mapping does not name do no harm. ` + "`runhook run TASK --file`" + ` names the file to a task whose path is a parameter.

Examples:

    runhook runs rejected 7
    runhook runs rejected 7 --output rejected.csv
    runhook runs rejected 7 --output rejected.xlsx`
}

// Run downloads the rows.
func (c *runsRejectedCommand) Run(ctx context.Context, p *program) error {
	number, err := c.number()
	if err != nil {
		return err
	}
	workbook := c.XLSX || strings.EqualFold(filepath.Ext(c.Output), ".xlsx")
	if _, err := os.Lstat(c.Output); c.Output != "" && err == nil {
		switch {
		case !c.replaces(ctx):
			return fmt.Errorf("--output: %s has other rows than failed ones, which a task may read, and stays as it is; give another name", c.Output)
		case !c.Force:
			return c.taken()
		}
	}
	if workbook && c.Output == "" && isTerminal(p.stdout) {
		return errors.New("a workbook is nothing to read on a terminal; save it with --output rejected.xlsx")
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Output == "" {
		return server.Rejected(ctx, number, workbook, onScreen(p.stdout))
	}
	// Half of the rows must not look like all of them. The file is for its owner: it has their data.
	file, err := os.CreateTemp(filepath.Dir(c.Output), "."+filepath.Base(c.Output)+".*.tmp")
	if err != nil {
		return fmt.Errorf("--output: cannot write into the folder of %s: %w", c.Output, errors.Unwrap(err))
	}
	defer func() { _ = os.Remove(file.Name()) }() // nothing is there after a rename
	err = server.Rejected(ctx, number, workbook, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := c.place(file.Name()); err != nil {
		return err
	}
	p.notef("The rows are in %s.\n", c.Output)
	return nil
}

func (c *runsRejectedCommand) taken() error {
	return fmt.Errorf("--output: %s is there already, and stays as it is; give another name, or replace it with --force", c.Output)
}

// addedColumns are the names that failed rows end in, perhaps with a number.
var addedColumns = regexp.MustCompile(`(^|\n)Row( \d+)?\nColumn( \d+)?\nReason( \d+)?$`)

// replaces reports whether the file may be replaced: there is none, or an empty one, or one of failed rows.
func (c *runsRejectedCommand) replaces(ctx context.Context) bool {
	info, err := os.Stat(c.Output)
	if err != nil || info.Size() == 0 {
		return true
	}
	columns, err := draft.ColumnsOf(ctx, builtin.Kinds(), c.Output)
	return err == nil && addedColumns.MatchString(strings.Join(columns, "\n"))
}

// place gives the whole file its name.
func (c *runsRejectedCommand) place(file string) error {
	if !c.Force {
		// Unlike a rename, a link replaces nothing that came meanwhile. Not every file system has links.
		switch err := os.Link(file, c.Output); {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrExist):
			return c.taken()
		}
	}
	if err := os.Rename(file, c.Output); err != nil {
		return fmt.Errorf("--output: cannot write %s: %w", c.Output, errors.Unwrap(err))
	}
	return nil
}
