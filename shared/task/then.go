package task

import (
	"slices"
	"strings"
)

// MaxChain is how many runs a chain has at most, the first among them.
const MaxChain = 20

// The ways in which a run ends, as then.on names them.
const (
	OnSuccess  = "success"
	OnFailed   = "failed"
	OnCanceled = "canceled"
)

// Then is a task of which a run is started when one of this task has ended.
type Then struct {
	// Task is the name or the id of the other task, as the file has it.
	Task string
	// On are the ways to end after which it is started; at least one.
	On []string
	// When is an expression over the run that has ended; empty for always.
	When string
	// Parameters are those of the run that is started, each with an expression over the run that has ended, in file
	// order.
	Parameters []Column
	// Line, WhenLine and ParametersLine are where the entry, its condition and its parameters stand in the file; 0 for
	// what is not there.
	Line, WhenLine, ParametersLine int
}

// Fits reports whether a run is started after one that has ended so, in any letter case.
func (t Then) Fits(outcome string) bool {
	return slices.ContainsFunc(t.On, func(on string) bool { return strings.EqualFold(on, outcome) })
}

// Referred are the definitions that a file means by the name or the id of a task: none, the one, or several of one
// name. Where no name is the same letter for letter, the letter case does not count.
func Referred(name string, all []*Definition) (meant []*Definition) {
	if id, err := ParseID(name); err == nil {
		if i := slices.IndexFunc(all, func(d *Definition) bool { return d.ID == id }); i >= 0 {
			return all[i : i+1]
		}
	}
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for _, d := range all {
			if same(d.Name, name) {
				meant = append(meant, d)
			}
		}
		if len(meant) > 0 {
			return meant
		}
	}
	return nil
}
