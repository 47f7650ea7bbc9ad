package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/vm"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Compiling takes longer than all else that a short run does, and the runs of a task compile the same
// text against the same columns again and again. A program is not changed by being run, so runs share
// it, as long as no parameter's value is part of it.

// shared is a compiled expression that any scope with the same columns may use.
type shared struct {
	program *vm.Program
	// used are the columns that it reads, by their compiled names.
	used map[string]int
	// cautions are what its author should know of it.
	cautions []string
}

// sharing says what a program depends on.
type sharing struct{ columns, text string }

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

// shared returns the program of an expression, compiled now or before.
func (s *Scope) shared(text string) (shared, error) {
	key := sharing{s.signature, text}
	if known, ok := programs.Get(key); ok {
		return known, nil
	}
	s.declare()
	names := &resolver{columns: s.columns, names: s.names, repeated: s.repeated, params: s.params, closed: !s.open, used: map[string]int{}}
	program, err := compile(text, names, s.types)
	if err != nil {
		return shared{}, fmt.Errorf("%w%s%s", err, names.others(), s.spelling(text))
	}
	compiled := shared{program, names.used, names.cautions}
	if !names.valued {
		programs.Add(key, compiled)
	}
	return compiled, nil
}
