package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Compiling takes longer than all else that a short run does, and the runs of a task compile the same
// text against the same columns again and again. A program is not changed by being run, so runs share
// it, as long as no parameter's value is part of it.

// shared is a compiled expression that any scope with the same columns may use.
type shared struct {
	// straight is nil where the expression has to count.
	straight, counted *vm.Program
	// root is the expression's, before anything was done about counting.
	root ast.Node
	// size and most are the texts in it, and the texts up to which it need not count.
	size, most int
	// matches: the straight program counts too.
	matches bool
	// used are the columns that it reads, by their compiled names.
	used map[string]int
	// ofParameters: a part of it computes something of parameters alone.
	ofParameters bool
	// cautions are what its author should know of it.
	cautions []string
}

// sharing says what a program depends on.
type sharing struct {
	columns, text string
	counted       bool
}

const keptPrograms = 512

var programs = func() *lru.Cache[sharing, shared] {
	cache, err := lru.New[sharing, shared](keptPrograms)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return cache
}()

// signature spells columns so that different ones are spelled differently.
func (c Columns) signature() string {
	var b strings.Builder
	b.WriteString(strconv.FormatBool(c.Text))
	b.WriteString(strconv.FormatBool(c.Nulls))
	b.WriteString(strconv.FormatBool(c.Unknown))
	for _, name := range c.Names {
		b.WriteString(strconv.Itoa(len(name)))
		b.WriteByte(' ')
		b.WriteString(name)
	}
	return b.String()
}

// known returns an expression as it was compiled now or before. counted has one count that need not.
func (s *Scope) known(text string, counted bool) (shared, error) {
	key := sharing{s.signature, text, counted}
	if known, ok := programs.Get(key); ok {
		return known, nil
	}
	s.declare()
	look, err := survey(text)
	if err != nil {
		return shared{}, withHabit(text, err)
	}
	names := s.resolver()
	program, err := compile(text, names, s.types, &counting{names, true})
	if err != nil {
		if s.ofRun { // whose errors are of one name each
			return shared{}, fmt.Errorf("%w%s", err, s.spelling(text))
		}
		return shared{}, fmt.Errorf("%w%s%s", err, names.others(), s.spelling(text))
	}
	known := shared{straight: program, root: program.Node(), size: len(text) + names.size, most: look.most(), matches: look.matches, used: names.used, cautions: names.cautions}
	if counted || !look.is {
		again := s.resolver()
		known.straight = nil
		if known.counted, err = compile(text, again, s.types, &counting{again, false}); err != nil {
			return shared{}, err
		}
	}
	known.ofParameters = names.valued && computesOfParameters(known.root)
	if !names.valued {
		programs.Add(key, known)
	}
	return known, nil
}

func (s *Scope) resolver() *resolver {
	return &resolver{columns: s.columns, names: s.names, repeated: s.repeated, lost: s.lost, advice: s.advice, unread: s.unread, params: s.params, texts: s.text, ofRun: s.ofRun, closed: !s.open, used: map[string]int{}}
}
