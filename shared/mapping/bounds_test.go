package mapping_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/builtin"

	"runhook/shared/mapping"
	"runhook/shared/proctest"
)

// evalIn evaluates an expression over the cells note and pattern, and fails where that does not end.
func evalIn(t *testing.T, ctx context.Context, expression string, cells ...any) (any, error) {
	t.Helper()
	scope := mapping.NewScope(mapping.Columns{Names: []string{"note", "pattern"}}, mapping.Params{"Pattern": "(y|a){500}b"})
	copy(scope.Row, cells)
	program, err := scope.Compile(expression)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		value any
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		value, err := program.Eval(ctx)
		ended <- result{value, err}
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-time.After(proctest.Limit):
		t.Fatalf("%s goes on when its time is over", expression)
		return nil, nil
	}
}

// Every function that evaluates an expression for each value of a list, and everything else that may take
// long, ends with the context.
func TestExpressionsEndWithTheContext(t *testing.T) {
	t.Parallel()
	expressions := map[string]string{
		"uniq":                      `uniq(1..900000)`,
		"uniq of what is not known": `uniq(note == nil ? nil : 1..900000)`,
		"matches":                   `note matches "(x|a){500}b"`,
		"matches a cell":            `note matches pattern`,
		"matches a parameter":       `note matches params.Pattern`,
	}
	for _, f := range builtin.Builtins {
		if !f.Predicate {
			continue
		}
		body := `max(big) < 0`
		switch f.Name {
		case "all":
			body = `max(big) > 0`
		case "map", "groupBy", "sortBy", "reduce", "sum":
			body = `max(big)`
		}
		expressions[f.Name] = `let big = 1..400000; ` + f.Name + `(big, ` + body + `)`
	}
	for name, expression := range expressions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			value, err := evalIn(t, ctx, expression, strings.Repeat("a", 8<<20), "(z|a){500}b")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s gives %.100v, %v", expression, value, err)
			}
		})
	}
}

// A list that holds another twice, and so on, is a few values in memory, and more than can be gone through:
// whatever would do that refuses.
func TestListsThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	uses := []string{
		`x`, `max(x)`, `x == x`, `min(x)`, `mean(x)`, `median(x)`, `flatten([x])`, `toJSON(x)`, `string(x)`, `uniq([x, x])`, `fromPairs([x])`,
		`x != x`, `x in [x]`, `note in [x]`, `{"a": x}[1:2]`, `{"a": 1}[x]`, `{"a": note}[x]`, `get({"a": note}, x)`,
	}
	for name, list := range map[string]struct {
		of   string
		uses []string
	}{
		"deep": {`reduce(1..100000, [#acc], [1])`, uses}, "wide": {`reduce(1..60, [#acc, #acc], [1])`, uses[:3]},
		"of maps": {`reduce(1..60, ({"a": #acc, "b": #acc}), {"a": 1})`, uses[:1]},
	} {
		for _, use := range list.uses {
			t.Run(name+" "+use, func(t *testing.T) {
				t.Parallel()
				_, err := evalIn(t, t.Context(), `let x = `+list.of+`; `+use, []any{1})
				fault, ok := errors.AsType[*mapping.Error](err)
				if !ok || fault.Reason != "it goes through more than 1,000,000 values, or through lists that are nested more than 100 times" {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	if _, err := evalIn(t, t.Context(), `trim(note, pattern)`, "x", strings.Repeat("é", 600)); err == nil || !strings.Contains(err.Error(), "trims at most") {
		t.Errorf("trim: %v", err)
	}
}

// What the bounds stand around means what it means without them.
func TestBoundsChangeNothingElse(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]any{
		`note matches "^a+$"`:                        true,
		`note matches "b"`:                           false,
		`note matches pattern`:                       true,
		`nil matches "b"`:                            false,
		`count(uniq([1, 1.0, "1", [1], [1]]), true)`: 3,
		`max([1, [5, 2]], 3)`:                        5,
		`len(flatten([[1], [2, [3]]]))`:              3,
		`"a" in ["a", pattern]`:                      true,
		`trim("xxaxx", "x")`:                         "a",
		`trim(pattern, "$")`:                         "a$|^b",
		`filter(1..5, # > 3 and # < 5)`:              []any{4},
		`all(1..3, # > 0) && all(1..3, # < 4)`:       true,
		`map(filter(1..3, # > 1), # * 2)[0]`:         4,
		`reduce(1..4, #acc + #, 0)`:                  10,
	} {
		got, err := evalIn(t, t.Context(), expression, strings.Repeat("a", 70_000), "a$|^b")
		if list, ok := want.([]any); ok && err == nil {
			if have, ok := got.([]any); !ok || len(have) != len(list) || have[0] != list[0] {
				t.Errorf("%s gives %v, want %v", expression, got, want)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s gives %#v, %v; want %#v", expression, got, err, want)
		}
	}
	if _, err := mapping.NewScope(mapping.Columns{Names: []string{"a"}}, nil).Compile(`a matches "("`); err == nil {
		t.Error("a pattern that is none compiles")
	}
}
