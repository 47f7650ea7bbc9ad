package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/draft"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

type taskNewCommand struct {
	ConnectionsFlag
	Name      string   `help:"The task's name. Default: that of the file or table."`
	FromCSV   string   `name:"from-csv" placeholder:"FILE" help:"Read the rows of this CSV file, with its columns mapped to themselves."`
	HeaderRow int      `placeholder:"LINE" help:"The line of the file, or row of the sheet, that names the columns. Default: the first with anything in it."`
	FromTable string   `name:"from-table" placeholder:"CONNECTION.TABLE" help:"Read the rows of this table, with its columns mapped to themselves."`
	FromIQA   string   `name:"from-iqa" placeholder:"CONNECTION" help:"Read the rows of the IQA at PATH on this iMIS site, with its prompts as parameters and its columns mapped to themselves."`
	To        string   `placeholder:"WHERE" help:"Write them to CONNECTION.TABLE, or to a file ending in .csv. Default: a table of the same name."`
	Key       []string `placeholder:"COLUMN" help:"The columns that identify a row: existing rows are updated. Default: every run adds rows."`
	Out       string   `short:"o" placeholder:"FILE" help:"The task file to write; - prints it. Default: tasks/, and the task's name."`
	Force     bool     `help:"Overwrite the task file."`
	Path      string   `arg:"" optional:"" help:"The path of the IQA, for --from-iqa."`
}

// from says whether a source is given, and that it is one.
func (c *taskNewCommand) from() (given bool, err error) {
	sources := 0
	for _, source := range []string{c.FromCSV, c.FromTable, c.FromIQA} {
		if source != "" {
			sources++
		}
	}
	switch {
	case c.HeaderRow < 0 || c.HeaderRow > 0 && c.FromCSV == "":
		return true, errors.New("--header-row is the line of a file, from 1 on, and goes with --from-csv")
	case sources > 1:
		return true, errors.New("--from-csv, --from-table and --from-iqa: a task has one source; leave the others out")
	case c.Path != "" && c.FromIQA == "":
		return true, fmt.Errorf("%q: only the path of an IQA stands alone, behind --from-iqa CONNECTION", c.Path)
	case c.FromIQA != "" && !strings.HasPrefix(c.Path, "$/"):
		return true, fmt.Errorf("--from-iqa %s needs the path of an IQA behind it, as in --from-iqa %[1]s '$/Membership/Lapsed'", c.FromIQA)
	}
	return sources == 1, nil
}

// Help shows examples.
func (*taskNewCommand) Help() string {
	return `Writes a task file that is complete and valid. On a terminal, without flags, it asks. Without a terminal, and without --from-csv, --from-table or --from-iqa, it prints a file that explains every field.

Examples:

    runhook task new
    runhook task new --from-csv members.csv --key id
    runhook task new --from-csv members.csv --to warehouse.members --key id --name "Refresh members"
    runhook task new --from-table crm.members --to export/members.csv
    runhook task new --from-iqa imis-prod '$/Membership/Lapsed' --to warehouse.lapsed --key ID
    runhook task new --name "Refresh lapsed members" > tasks/lapsed.yaml`
}

// Run makes the file and says what comes next.
func (c *taskNewCommand) Run(ctx context.Context, p *program) error {
	given, err := c.from()
	if err != nil {
		return err
	}
	if !given && c.Out == "" && p.asks() && isTerminal(p.stdout) {
		if err := c.ask(ctx, p); err != nil {
			return err
		}
		if given, err = c.from(); err != nil {
			return err
		}
	}
	if !given {
		if c.To != "" || len(c.Key) > 0 {
			return errors.New("--to and --key go with --from-csv, --from-table or --from-iqa; without them the file shows every field there is")
		}
		name := cmp.Or(c.Name, "My task")
		return c.write(p, name, taskfile.NewFile(task.NewID(), name), nil)
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	made, err := draft.Make(ctx, draft.Wish{
		Kinds: builtin.Kinds(), Connections: connections,
		Name: c.Name, CSV: c.FromCSV, Table: c.FromTable, IQA: c.FromIQA, Path: c.Path, HeaderRow: c.HeaderRow, To: c.To, Key: c.Key,
	})
	if err != nil {
		return err
	}
	return c.write(p, made.Name, made.File(), made)
}

// ask fills in the flags from what a person answers.
func (c *taskNewCommand) ask(ctx context.Context, p *program) error {
	none := func() bool { return c.FromCSV == "" && c.FromTable == "" && c.FromIQA == "" }
	questions := []struct {
		question string
		take     func(answer string)
		skip     func() bool
	}{
		{"Rows come from (a CSV file, CONNECTION.TABLE, or CONNECTION $/PATH for an IQA; Enter for a file with every field explained): ", func(answer string) {
			connection, path, isIQA := strings.Cut(answer, " $/")
			switch {
			case isIQA:
				c.FromIQA, c.Path = strings.TrimSpace(connection), "$/"+strings.TrimSpace(path)
			case looksLikeFile(answer):
				c.FromCSV = answer
			default:
				c.FromTable = answer
			}
		}, func() bool { return false }},
		{"They go to (CONNECTION.TABLE, or a file ending in .csv; Enter for a table of the same name): ", func(answer string) { c.To = answer }, func() bool { return none() || c.To != "" }},
		{"Columns that identify a row, with commas (Enter for none: every run adds rows): ", func(answer string) {
			for name := range strings.SplitSeq(answer, ",") {
				if name = strings.TrimSpace(name); name != "" {
					c.Key = append(c.Key, name)
				}
			}
		}, func() bool {
			return none() || len(c.Key) > 0 || draft.IsCSV(c.To)
		}},
		{"The task's name (Enter for the name of what is read): ", func(answer string) { c.Name = answer }, func() bool { return c.Name != "" }},
	}
	for _, q := range questions {
		if q.skip() {
			continue
		}
		answer, err := p.ask(ctx, q.question)
		if err != nil {
			return err
		}
		if answer != "" {
			q.take(answer)
		}
	}
	return nil
}

// looksLikeFile tells a file from CONNECTION.TABLE.
func looksLikeFile(text string) bool {
	if _, err := os.Stat(text); err == nil {
		return true
	}
	lower := strings.ToLower(text)
	return draft.IsCSV(text) || strings.ContainsAny(text, `/\`) || strings.HasSuffix(lower, ".xlsx") || strings.HasSuffix(lower, ".gz")
}

// taskLike is in each task file, and in no file of rows or connections.
var taskLike = regexp.MustCompile(`(?m)^mapping:`)

// write puts the file where it belongs and says what comes next. made is nil for a file with every
// field explained.
func (c *taskNewCommand) write(p *program, name string, text []byte, made *draft.Draft) error {
	if _, err := taskfile.Parse(text, "the new file"); err != nil {
		if _, err := taskfile.Parse(taskfile.NewFile(task.NewID(), name), "--name"); err != nil {
			return fmt.Errorf("--name %q cannot be a task's name: it is one line, not empty, of at most 200 letters", name)
		}
		return fmt.Errorf("no valid task can be made of this: %w", err)
	}
	path := c.Out
	if path == "-" || path == "" && made == nil && !(p.asks() && isTerminal(p.stdout)) {
		_, err := onScreen(p.stdout).Write(text)
		return err
	}
	if path == "" {
		path = filepath.Join("tasks", draft.FileName(name))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of the task file: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		if before, err := os.ReadFile(path); err == nil && len(before) > 0 && !taskLike.Match(before) {
			return fmt.Errorf("--out %s is no task file, and is not replaced; give another name", path)
		}
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: give another name with --out, or overwrite it with --force", path)
	}
	if err != nil {
		return fmt.Errorf("cannot write the task file: %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot write the task file: %w", err)
	}
	c.sayNext(p, path, name, made)
	return nil
}

// sayNext prints what there is now, and the commands to go on with.
func (c *taskNewCommand) sayNext(p *program, path, name string, made *draft.Draft) {
	if made == nil {
		p.printf("Wrote %s, with every field explained.\n\nNext: edit it, and\n    runhook task validate %s\n", path, quoted(path))
		return
	}
	connections := cmp.Or(c.Connections, "connections.yaml")
	p.printf("Wrote %s: %s, mapped to themselves.\n", path, plural(len(made.Columns), "column"))
	for _, repeated := range slices.Sorted(maps.Keys(made.Repeated)) {
		p.printf("Left out %s, the name of %s: rename all but one of them, and map it.\n", shown(repeated), made.Repeated[repeated])
	}
	if len(made.Missing) > 0 {
		p.printf("\n%s lacks what it names; add:\n    %s\n", connections, strings.Join(made.Missing, "\n    "))
	}
	required := ""
	for _, parameter := range made.Parameters {
		if parameter.Required {
			required += " -p " + quoted(cmp.Or(parameter.Filter, parameter.Name)) + "=VALUE"
		}
	}
	p.printf("\nNext:\n    runhook task check %[1]s --connections %[2]s%[5]s\n    runhook task preview %[1]s --connections %[2]s%[5]s\n    runhook serve --tasks %[3]s --connections %[2]s\n    runhook run %[4]s --wait%[5]s\n",
		quoted(path), quoted(connections), quoted(filepath.Dir(path)), quoted(name), required)
}
