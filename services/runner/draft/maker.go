package draft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/connector/xlsxfile"
	"runhook/services/runner/pipeline"
	"runhook/shared/making"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// MakerOptions are what a Maker works with.
type MakerOptions struct {
	Kinds connector.Kinds
	// Connections are the runner's. Uploads is the folder that its connection making.Uploads has where the file of
	// connections names no other.
	Connections *connection.Set
	Uploads     string
	// Create writes a new task file and applies it; its error for a name that is taken is one of errors.Is Taken.
	Create func(ctx context.Context, name string, text []byte) error
	Taken  error
	// Known reports whether there is a task of an id.
	Known func(task.ID) bool
	// Writable reports whether Create can write.
	Writable func() bool
	Log      zerolog.Logger
}

// Maker makes tasks of uploaded files. It is safe for concurrent use.
type Maker struct {
	options MakerOptions
	mu      sync.Mutex
}

// NewMaker makes a Maker.
func NewMaker(o MakerOptions) *Maker { return &Maker{options: o} }

// proposing is a proposal that is being made.
type proposing struct {
	*making.Proposal
	options MakerOptions
	root    *os.Root
	// file is the draft's path in the folder of the uploads, and kept the name that it will have there.
	file, kept string
	from       task.CSVSource
	seen       *pipeline.Fitted
}

// Propose says what becomes of a wish: what it leaves open is suggested, and the rows are looked at. It changes
// nothing. The error is making.ErrNoDraft, or one of the folder's or ctx's.
func (m *Maker) Propose(ctx context.Context, w making.Wish) (*making.Proposal, error) {
	root, err := m.folder()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	p, err := m.propose(ctx, root, w)
	if err != nil {
		return nil, err
	}
	return p.Proposal, nil
}

func (m *Maker) propose(ctx context.Context, root *os.Root, w making.Wish) (p *proposing, err error) {
	p = &proposing{Proposal: &making.Proposal{Wish: w, Writable: m.options.Writable()}, options: m.options, root: root}
	if p.file, err = find(root, w.Draft); err != nil {
		return nil, err
	}
	if p.kept, err = place(root, p.file); err != nil {
		return nil, err
	}
	p.FileName = called(p.file)
	if err := p.read(ctx); err != nil || p.seen == nil {
		return p, err
	}
	if err := p.direct(ctx); err != nil || len(p.Targets) == 0 {
		return p, err
	}
	return p, p.fit(ctx)
}

// fault has a failure keep the task from being saved. Any other error is returned.
func (p *proposing) fault(err error) error {
	if failure, ok := errors.AsType[*run.Failure](err); ok {
		p.Problems = append(p.Problems, capital(failure.Message))
		return nil
	}
	return err
}

// read looks at the file: its sheets, its columns and all its rows.
func (p *proposing) read(ctx context.Context) error {
	p.from = task.CSVSource{Connection: making.Uploads, Path: p.file, HeaderRow: p.HeaderRow}
	if p.Workbook = p.from.IsWorkbook(); p.Workbook {
		sheets, err := xlsxfile.Sheets(ctx, p.options.Connections, &p.from)
		if err != nil {
			return p.fault(err)
		}
		if p.Sheets = sheets; !slices.Contains(sheets, p.Sheet) {
			if p.Sheet = ""; len(sheets) > 0 {
				p.Sheet = sheets[0]
			}
		}
		p.from.Sheet = p.Sheet
	} else {
		var err error
		p.Sheet = ""
		if p.from.Delimiter, p.from.Encoding, err = sniff(filepath.Join(p.root.Name(), filepath.FromSlash(p.file)), p.HeaderRow); err != nil {
			return err
		}
	}
	seen, err := pipeline.Fit(ctx, p.options.Kinds, connector.Job{Task: &task.Definition{Source: &p.from}, Connections: p.options.Connections}, nil)
	if err != nil {
		return p.fault(err)
	}
	p.seen, p.Rows, p.All = seen, seen.Counts.Retrieved, seen.Counts.Total > 0 || seen.Counts.Retrieved == 0
	for _, c := range seen.Source {
		p.Columns = append(p.Columns, making.Column{Name: c.Name, Samples: c.Samples, Empty: c.Empty})
	}
	for _, name := range slices.Sorted(keysOf(seen.Repeated)) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is the name of %s, so that neither can be used: rename all but one of them in the file.", name, seen.Repeated[name]))
	}
	for _, warning := range seen.Warnings {
		p.Warnings = append(p.Warnings, capital(warning))
	}
	return nil
}

func keysOf(of map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range of {
			if !yield(name) {
				return
			}
		}
	}
}

// direct decides where the rows go, and which column goes where.
func (p *proposing) direct(ctx context.Context) error {
	p.Connections = p.options.Connections.Databases()
	if len(p.Connections) == 0 {
		p.Problems = append(p.Problems, "The server knows no database, so the rows can go nowhere. Whoever runs it adds one to connections.yaml, like warehouse: {sqlite: ./warehouse.db}.")
		return nil
	}
	if !slices.Contains(p.Connections, p.Connection) {
		p.Connection, p.Table, p.New = p.Connections[0], "", false
	}
	tables, err := sqldb.TableNames(ctx, p.options.Connections, p.Connection)
	if err != nil {
		return p.fault(err)
	}
	p.Tables = tables
	if p.Table == "" && !p.New {
		p.Table = nearestTable(path.Base(p.FileName), tables)
		p.New = p.Table == ""
	}
	p.Table = strings.TrimSpace(p.Table)
	if p.New && p.Table == "" {
		p.Table = identifierOf(strings.TrimSuffix(p.FileName, path.Ext(p.FileName)))
	}
	described, found, err := sqldb.Describe(ctx, p.options.Connections, p.Connection, p.Table)
	switch {
	case err != nil:
		return p.fault(err)
	case found && p.New:
		p.Problems = append(p.Problems, "There is a table "+p.Table+" already. Choose it above, or give the new one another name.")
		return nil
	case !found && !p.New:
		p.Problems = append(p.Problems, "There is no table "+p.Table+". Choose one of the list, or a new table.")
		return nil
	}
	p.TableWidth = len(described)
	if p.New {
		used := map[string]bool{}
		for _, c := range p.Columns {
			p.Targets = append(p.Targets, making.Target{Name: taskfile.Unused(c.Name, used), Type: "text", Choice: making.Choice{From: c.Name}})
		}
	}
	for _, c := range described {
		if c.Written {
			p.Targets = append(p.Targets, making.Target{Name: c.Name, Type: c.Type, Key: c.Key, Required: c.Required, IsDay: c.Type == "date" || c.Type == "date and time"})
		}
	}
	p.choose()
	return nil
}

// nearestTable is the table that a file is called after, empty if there is none.
func nearestTable(file string, tables []string) string {
	words := wordsOf(strings.TrimSuffix(file, path.Ext(file)))
	for _, table := range tables {
		if of := wordsOf(table); len(of) > 0 && len(words) >= len(of) && slices.Equal(of, words[:len(of)]) {
			return table
		}
	}
	return ""
}

// choose takes the choices that were made, and suggests the others.
func (p *proposing) choose() {
	var names, columns []string
	for _, t := range p.Targets {
		names = append(names, t.Name)
	}
	days, whole := map[string]string{}, map[string]bool{}
	for _, c := range p.seen.Source {
		columns = append(columns, c.Name)
		days[c.Name], whole[c.Name] = c.Days, c.Whole
	}
	choices, why := suggested(names, columns)
	used := map[string]bool{}
	for i := range p.Targets {
		t := &p.Targets[i]
		chosen, made := p.Choices[t.Name]
		if made && !chosen.Formulated && chosen.From != "" && !slices.Contains(columns, chosen.From) {
			made = false // of another sheet
		}
		switch {
		case made:
			t.Choice = chosen
		case p.New:
			t.Why = sameName
			if t.Choice.Type = "text"; days[t.Choice.From] != "" {
				t.Choice.Type, t.Why = "date", "its values are days"
			} else if whole[t.Choice.From] {
				t.Choice.Type, t.Why = "whole number", "its values are whole numbers"
			}
		default:
			t.Choice, t.Why = choices[i], why[i]
		}
		if p.New {
			t.Type, t.IsDay = t.Choice.Type, t.Choice.Type == "date"
		}
		if from := t.Choice.From; t.IsDay && from != "" && !t.Choice.DaysChosen {
			if t.Choice.Days = days[from]; t.Choice.Days == pipeline.DayFormats[0] {
				t.Choice.Days = ""
			}
		}
		if t.Choice.From != "" || t.Choice.Formulated {
			p.Matched++
		}
		used[t.Choice.From] = true
		if t.Choice.Formulated {
			for _, column := range columns {
				used[column] = used[column] || strings.Contains(t.Choice.Formula, column)
			}
		}
	}
	for _, column := range columns {
		if !used[column] {
			p.Unused = append(p.Unused, column)
		}
	}
}

// expression is what a choice writes into the task's mapping, empty for nothing.
func (p *proposing) expression(t making.Target) string {
	switch c := t.Choice; {
	case c.Formulated:
		return strings.TrimSpace(c.Formula)
	case c.From == "":
		return ""
	case t.IsDay && c.Days != "":
		return "date(" + taskfile.ColumnExpression(c.From) + ", " + strconv.Quote(c.Days) + ")"
	case p.New && t.Type == "date":
		return "date(" + taskfile.ColumnExpression(c.From) + ")"
	case p.New && t.Type == "whole number":
		return "int(" + taskfile.ColumnExpression(c.From) + ")"
	case p.New && t.Type == "number":
		return "number(" + taskfile.ColumnExpression(c.From) + ")"
	default:
		return taskfile.ColumnExpression(c.From)
	}
}

// fit makes the task, and holds all rows against it.
func (p *proposing) fit(ctx context.Context) error {
	var mapping []task.Column
	for _, t := range p.Targets {
		if expression := p.expression(t); expression != "" {
			mapping = append(mapping, task.Column{Name: t.Name, Expression: expression})
		}
	}
	if len(mapping) == 0 {
		p.Problems = append(p.Problems, "No column goes anywhere yet. Choose a column of the file for at least one of the table's.")
		return nil
	}
	if !p.Chosen {
		p.suggestKey(mapping)
	}
	p.Key = slices.DeleteFunc(slices.Clone(p.Key), func(key string) bool {
		return !slices.ContainsFunc(mapping, func(c task.Column) bool { return c.Name == key })
	})
	fitted, err := p.hold(ctx, mapping)
	if err != nil {
		return p.fault(err)
	}
	if fitted != nil && !p.Chosen && p.New && fitted.EmptyKeys+fitted.RepeatedKeys > 0 {
		p.Key, p.Action = nil, string(task.Insert)
		if fitted, err = p.hold(ctx, mapping); err != nil {
			return p.fault(err)
		}
	}
	if fitted != nil {
		p.show(fitted)
	}
	return nil
}

// suggestKey suggests what tells rows apart: the table's primary key, or, of a new table, the first column with a name
// like that.
func (p *proposing) suggestKey(mapping []task.Column) {
	p.Key, p.Action = nil, string(task.Insert)
	mapped := func(name string) bool {
		return slices.ContainsFunc(mapping, func(c task.Column) bool { return c.Name == name })
	}
	for _, t := range p.Targets {
		if p.New && looksLikeKey(t.Name) && mapped(t.Name) {
			p.Key, p.Action = []string{t.Name}, string(task.Upsert)
			return
		}
		if t.Key && !mapped(t.Name) {
			p.Key, p.Action = nil, string(task.Insert)
			return
		}
		if t.Key {
			p.Key, p.Action = append(p.Key, t.Name), string(task.Upsert)
		}
	}
}

// hold writes the task's file, and looks at what it makes of the rows; nil if there is no task yet.
func (p *proposing) hold(ctx context.Context, mapping []task.Column) (*pipeline.Fitted, error) {
	p.Name = cmp.Or(strings.TrimSpace(p.Name), taskName(p.FileName))
	p.File = cmp.Or(strings.TrimSpace(p.File), FileName(plainName(p.Name)))
	p.write(mapping, p.kept)
	def, err := taskfile.Parse([]byte(p.Text), p.File)
	if invalid, ok := errors.AsType[*taskfile.Invalid](err); ok {
		for _, problem := range invalid.Problems {
			if name, rest, ok := mappingProblem(problem.Message); ok && p.blame(name, rest) {
				continue
			}
			p.Problems = append(p.Problems, capital(problem.Message)+".")
		}
		if len(p.Problems) == 0 {
			p.Problems = append(p.Problems, "A formula has a fault, which is shown where it is.")
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tried := *def
	tried.Source = &p.from
	return pipeline.Fit(ctx, p.options.Kinds, connector.Job{Task: &tried, Connections: p.options.Connections}, p.Key)
}

// write is the task's file, which reads the uploaded file under a name.
func (p *proposing) write(mapping []task.Column, kept string) {
	from := p.from
	from.Path = kept
	p.Text = string(taskfile.Draft{
		ID: p.id(), Name: p.Name, Source: &from, Mapping: mapping,
		Destination: &task.SQLDestination{Connection: p.Connection, Table: p.Table, Key: p.Key, Action: task.Action(cmp.Or(p.Action, string(task.Insert))), Create: p.New},
	}.File())
}

// id is the task's, the same each time: nobody can guess it who does not know the draft.
func (p *proposing) id() task.ID {
	return task.ID(uuid.NewSHA1(uuid.NameSpaceOID, []byte("runhook draft "+p.Draft)).String())
}

// taskName makes a task's name of a file's.
func taskName(file string) string {
	return capital(strings.ReplaceAll(strings.TrimSuffix(file, path.Ext(file)), "-", " "))
}

// capital begins a sentence.
func capital(text string) string {
	for i, letter := range text {
		return string(unicode.ToUpper(letter)) + text[i+len(string(letter)):]
	}
	return text
}

var mappingField = regexp.MustCompile(`^mapping\.(.+?): ((?s:.*))$`)

// mappingProblem is the column of the mapping that a problem is about, and the rest of its words.
func mappingProblem(message string) (column, rest string, ok bool) {
	found := mappingField.FindStringSubmatch(message)
	if found == nil {
		return "", "", false
	}
	return found[1], found[2], true
}

// blame puts what is wrong at a column; false if there is none of the name.
func (p *proposing) blame(column, words string) bool {
	at := slices.IndexFunc(p.Targets, func(t making.Target) bool { return strings.EqualFold(t.Name, column) })
	if at < 0 {
		return false
	}
	p.Targets[at].Wrong = capital(words)
	return true
}
