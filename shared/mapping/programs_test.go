package mapping

import (
	"fmt"
	"sync"
	"testing"
)

// eval compiles an expression in a scope of its own and evaluates it for one row.
func eval(t *testing.T, columns Columns, params Params, text string, row ...any) (any, *Program) {
	t.Helper()
	s := NewScope(columns, params)
	p, err := s.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	copy(s.Row, row)
	value, err := p.Eval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return value, p
}

func TestRunsShareAProgram(t *testing.T) {
	columns := Columns{Names: []string{"first", "last"}, Text: true}
	const text = `first + " " + last`
	_, one := eval(t, columns, nil, text, "Ann", "Lee")
	value, other := eval(t, columns, nil, text, "Ben", "Roe")
	if value != "Ben Roe" {
		t.Errorf("got %v", value)
	}
	if one.straight != other.straight {
		t.Error("the expression was compiled twice")
	}
	if used := other.scope.Used(); !used[0] || !used[1] {
		t.Errorf("the columns that it reads: %v", used)
	}
}

func TestProgramsAreOnlySharedWhereTheyAreTheSame(t *testing.T) {
	swapped := Columns{Names: []string{"last", "first"}, Text: true}
	columns := Columns{Names: []string{"first", "last"}, Text: true}
	const text = `upper(first)`
	if value, _ := eval(t, columns, nil, text, "Ann", "Lee"); value != "ANN" {
		t.Errorf("got %v", value)
	}
	if value, _ := eval(t, swapped, nil, text, "Lee", "Ann"); value != "ANN" {
		t.Errorf("columns in another order: got %v", value)
	}
	for _, name := range []string{"Ann", "Ben"} {
		if value, _ := eval(t, columns, Params{"Name": name}, `params.Name + last`, "", "!"); value != name+"!" {
			t.Errorf("a parameter's value: got %v, want %s!", value, name)
		}
	}
	if _, err := NewScope(columns, nil).Compile(`first * 2`); err == nil {
		t.Error("a text was multiplied")
	}
	if _, err := NewScope(Columns{Names: columns.Names}, nil).Compile(`first * 2`); err != nil {
		t.Errorf("a column that may hold numbers: %v", err)
	}
	if _, err := NewScope(columns, nil).Compile(`first * 2`); err == nil {
		t.Error("a text was multiplied by what another source compiled")
	}
}

func TestSharedProgramRunsAtTheSameTime(t *testing.T) {
	columns := Columns{Names: []string{"id"}, Text: true}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				want := fmt.Sprint(i, "-", j)
				if value, _ := eval(t, columns, nil, `trim(id) + ""`, " "+want+" "); value != want {
					t.Errorf("got %v, want %s", value, want)
				}
			}
		})
	}
	all.Wait()
}
