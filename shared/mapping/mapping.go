// Package mapping compiles and evaluates the expressions of a task: where and mapping. The
// language is expr-lang/expr; a row's columns are names, row["Member Type"] is any column, and
// params.FirstName is a resolved parameter.
package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"runhook/shared/wording"
)

// Check reports whether text compiles, as far as that can be told before the source's columns
// are known: syntax, functions, and params.X only for the parameters in params. The error shows
// the expression with a caret where it is wrong.
func Check(text string, params []string) error {
	values := make(Params, len(params))
	for _, name := range params {
		values[name] = nil
	}
	if err := refuseCode(text); err != nil {
		return err
	}
	look, err := survey(text)
	if err != nil {
		return withHabit(text, err)
	}
	names := &resolver{params: values}
	_, err = compile(text, names, types.Map{types.Extra: types.Any}, &counting{names, look.is})
	return err
}

// Params are the values of params.X by X: a string, or a []string for a parameter that takes
// several. A nil value stands for one that is not known yet.
type Params map[string]any

// Columns are the columns of a source in the order of its rows' cells.
type Columns struct {
	Names []string
	// Text says that every cell is a string, as in a CSV file, and never nil unless Nulls. It lets the
	// compiler find an expression that could fit no row.
	Text, Nulls bool
	// Repeated are names that the source has more than once, each with its places ("columns 3 and 4").
	// They are not among Names, because nobody can tell which of them an expression means.
	Repeated map[string]string
	// Unknown says that the source has no row, and so nothing to tell its columns by: any name is one.
	Unknown bool
	// Lost says that no expression of the task names a column of the source: what was taken for the names of
	// its columns may be something else. Advice then says what to do.
	Lost   bool
	Advice string
	// Unread says why columns have no name that can be read, and what to do; "" if there are none.
	Unread string
}

// Scope is what the expressions of one run see: the columns, the parameters, and the current row.
// A scope and the programs compiled in it belong to one goroutine.
type Scope struct {
	// Row holds the current row's cells. Whoever reads the rows overwrites them in place.
	Row []any

	names       []string
	text, nulls bool
	repeated    map[string]string
	lost        bool
	advice      string
	unread      string
	// ofRun: there are no rows, and the columns are the fields of a run that has ended.
	ofRun bool
	// signature tells the columns from those of other sources.
	signature string
	open      bool
	params    Params
	// columns and types are what is compiled against, nil until anything is.
	columns map[string]int
	types   types.Map
	// used are the columns that the programs read.
	used []bool
	// env is what a program reads: the cells it uses, copied there before it runs.
	env     map[string]any
	machine vm.VM
	// budget is that of the evaluation, and row what the row's evaluations have used.
	budget
	row rowBudget
}

// NewScope returns the scope for rows with these columns.
func NewScope(columns Columns, params Params) *Scope {
	s := &Scope{
		Row:       make([]any, len(columns.Names)),
		names:     columns.Names,
		text:      columns.Text,
		nulls:     columns.Nulls,
		repeated:  columns.Repeated,
		lost:      columns.Lost,
		advice:    columns.Advice,
		unread:    columns.Unread,
		signature: columns.signature(),
		open:      columns.Unknown,
		params:    params,
		used:      make([]bool, len(columns.Names)),
		env:       make(map[string]any),
	}
	s.machine.MemoryBudget = math.MaxUint // the budget is ours
	s.env[scopeName] = s
	return s
}

// declare says what the columns are, for the compiler.
func (s *Scope) declare() {
	if s.columns != nil {
		return
	}
	s.columns = make(map[string]int, len(s.names))
	s.types = make(types.Map, len(s.names)+1)
	s.types[scopeName] = types.Any
	var kind types.Type = types.Any
	if s.text && !s.nulls {
		kind = types.String
	}
	if s.open {
		s.types[types.Extra] = types.Any
	}
	for i, name := range s.names {
		s.columns[name] = i
		s.types[columnPrefix+name] = kind
	}
}

// Begin begins a row, whose evaluations are held against its bounds together.
func (s *Scope) Begin() { s.row, s.given = rowBudget{}, s.steps }

// Program is a compiled expression.
type Program struct {
	scope *Scope
	text  []rune
	// column is the only cell of an expression that is a bare column, else -1.
	column int
	// straight is the program that does not count, nil for one that has to; counted is compiled when it is needed.
	straight, counted *vm.Program
	// size is that of the texts in the expression, and most that of all texts up to which it is not counted.
	// growth is how many times its texts a straight program goes through, at most.
	size, most, growth int
	// matches: the straight program counts too.
	matches bool
	// reads are the cells that the program uses, by their names in the environment.
	reads    []cell
	cautions []string
	kind     reflect.Kind
	// ofParameters: a part of it computes something of parameters alone. fault is that of [Program.Fault], once
	// it is known.
	ofParameters, faultKnown bool
	fault                    *Error
}

type cell struct {
	name  string
	index int
}

// Compile compiles an expression against the scope's columns. An unknown column or parameter is an
// error that names the nearest one.
func (s *Scope) Compile(text string) (*Program, error) {
	known, err := s.known(text, false)
	if err != nil {
		return nil, err
	}
	for _, i := range known.used {
		s.used[i] = true
	}
	p := &Program{
		scope: s, text: []rune(text), column: -1, straight: known.straight, counted: known.counted,
		size: known.size, most: known.most, growth: mostMemory / max(known.most, 1), matches: known.matches, cautions: known.cautions, kind: kindOf(known.root),
		ofParameters: known.ofParameters,
	}
	if root, ok := known.root.(*ast.IdentifierNode); ok {
		if i, ok := known.used[root.Value]; ok {
			// A bare column needs no machine.
			p.column = i
			if s.text {
				p.kind = reflect.String // or null
			}
			return p, nil
		}
	}
	for name, i := range known.used {
		p.reads = append(p.reads, cell{name, i})
	}
	return p, nil
}

// spelling goes on after an error where a column's name that needs brackets stands without them.
func (s *Scope) spelling(text string) string {
	if s.ofRun {
		return ""
	}
	for _, name := range s.names {
		if !isName(name) && strings.Contains(text, name) && !strings.Contains(text, `"`+name) && !strings.Contains(text, "'"+name) {
			return fmt.Sprintf("\nThe column %s is written row[%q].", wording.Name(name), name)
		}
	}
	return ""
}

// Used says of each column whether a program compiled so far reads it.
func (s *Scope) Used() []bool { return s.used }

// CompileCondition is Compile for an expression that must give true or false.
func (s *Scope) CompileCondition(text string) (*Program, error) {
	p, err := s.Compile(text)
	if err != nil {
		return nil, err
	}
	if kind := p.Kind(); kind != reflect.Bool && kind != reflect.Interface {
		return nil, fmt.Errorf("must give true or false, not %s\n | %s", kind, strings.TrimSpace(text))
	}
	return p, nil
}

// Column is the column that the expression passes untouched; ok is false for any other expression.
func (p *Program) Column() (name string, ok bool) {
	if p.column < 0 {
		return "", false
	}
	return p.scope.names[p.column], true
}

// Cautions are sentences for the expression's author: it compiles, and may not mean what is meant.
func (p *Program) Cautions() []string { return p.cautions }

// Kind is that of the program's values as far as the compiler knows it, and reflect.Interface otherwise.
func (p *Program) Kind() reflect.Kind { return p.kind }

// Error is what an expression that fails for a row returns. It shows no value.
type Error struct {
	// Part is the operator or function that failed, as the task file has it, and At the character
	// of the expression at which it stands, from 1. Part is empty where that is not known.
	Part string
	At   int
	// Reason says why; empty where that is not known.
	Reason string
	// Expression is what an evaluation was stopped in at its bounds; empty for any other reason.
	Expression string
}

func (e *Error) Error() string {
	if e.Part == "" {
		return "cannot be computed for this row"
	}
	place := fmt.Sprintf("cannot be computed: %s, at character %d of the expression", e.Part, e.At)
	if e.Expression != "" && e.Expression != e.Part {
		place += " " + e.Expression
	}
	if e.Reason == "" {
		return place + ", fails for this row"
	}
	return place + ": " + e.Reason
}

// Eval evaluates the program for the scope's current row. A bare column is returned untouched. The
// error is an [*Error], or ctx's when ctx has ended, which an expression that loops notices.
func (p *Program) Eval(ctx context.Context) (any, error) {
	if p.column >= 0 {
		return p.scope.Row[p.column], nil
	}
	s, size := p.scope, p.size
	for _, c := range p.reads {
		cell := s.Row[c.index]
		if text, ok := cell.(string); ok {
			size += len(text)
		} else if !isSmall(cell) {
			size = math.MaxInt32
		}
		s.env[c.name] = cell
	}
	program := p.straight
	counts := program == nil || size > p.most
	if !counts {
		s.row.uncounted += size * p.growth
		counts = s.row.uncounted > mostMemory
	}
	if counts {
		if program = p.counting(); program == nil {
			return nil, &Error{}
		}
	}
	if counts || p.matches {
		s.renew(ctx)
	}
	value, err := s.machine.Run(program, s.env)
	if text, isText := value.(string); err == nil && (!isText || len(text) >= light || counts) {
		err = s.keep(ctx, value, counts || p.matches)
	}
	if err == nil {
		return value, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, p.locate(err)
}

// isSmall is true for a cell that is one value of a few bytes.
func isSmall(cell any) bool {
	switch cell := cell.(type) {
	case nil, int64, float64, bool, time.Time, time.Duration, int:
		return true
	case json.Number:
		return len(cell) <= maxDigits
	}
	return false
}

// counting is the program that counts.
func (p *Program) counting() *vm.Program {
	if p.counted == nil {
		if known, err := p.scope.known(string(p.text), true); err == nil {
			p.counted = known.counted
		}
	}
	return p.counted
}

// True evaluates a condition. A null is not true; anything else but true or false is an error.
func (p *Program) True(ctx context.Context) (bool, error) {
	value, err := p.Eval(ctx)
	if err != nil {
		return false, err
	}
	switch value := value.(type) {
	case bool:
		return value, nil
	case nil:
		return false, nil
	}
	return false, &Error{}
}

// locate keeps of an error where the machine was. Its own words may quote a cell.
func (p *Program) locate(err error) *Error {
	located := &Error{}
	at, known := errors.AsType[*file.Error](err)
	if known && at.From < at.To && at.To <= len(p.text) {
		located.Part, located.At = string(p.text[at.From:at.To]), at.From+1
	}
	if why, ok := errors.AsType[bound](err); ok {
		located.Reason, located.Expression = why.Error(), p.shown()
		if located.Part == "" {
			located.Part, located.At = located.Expression, 1
		}
	} else if why, ok := errors.AsType[reason](err); ok {
		located.Reason = string(why)
	} else if known {
		located.Reason = reasonOf(at.Message)
	}
	return located
}

// shown is the expression, or its beginning.
func (p *Program) shown() string {
	const most = 80
	text := strings.Join(strings.Fields(string(p.text)), " ")
	if short := []rune(text); len(short) > most {
		return string(short[:most]) + "…"
	}
	return text
}

// compiledFunctions are those that a compiled expression may call. The compiler only reads them.
var compiledFunctions = func() conf.FunctionsTable {
	c := conf.CreateNew()
	for _, option := range slices.Concat(nullSafeFunctions, functionOptions, countingOptions) {
		option(c)
	}
	return c.Functions
}()

// compile is what Check and Compile share. A panic of the compiler is an error of the expression.
func compile(text string, names *resolver, env types.Map, passes ...ast.Visitor) (program *vm.Program, err error) {
	defer func() {
		if recover() != nil {
			program, err = nil, fmt.Errorf("cannot be compiled\n | %s", strings.TrimSpace(text))
		}
	}()
	options := []expr.Option{
		expr.Env(env),
		func(c *conf.Config) { c.Functions = compiledFunctions },
		expr.Patch((*calls)(names)),
	}
	if names.ofRun {
		options = append(options, expr.Patch((*runFields)(names)), expr.Patch((*runLeftovers)(names)))
	}
	options = append(
		options,
		expr.Patch(names),
		expr.Patch((*leftovers)(names)),
		expr.Patch((*mismatches)(names)),
		expr.Patch(&nullSafe{texts: names.texts}),
	)
	for _, pass := range passes {
		options = append(options, expr.Patch(pass))
	}
	program, err = expr.Compile(text, options...)
	err = withHabit(text, err)
	if names.err != nil {
		// What the names are comes before what the compiler made of them.
		return nil, names.err.Bind(file.NewSource(text))
	}
	return program, err
}
