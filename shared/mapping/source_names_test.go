package mapping_test

import (
	"reflect"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// A name that looks like a column's is that column, unless there are two; messages show what nobody sees.
func TestNamesWithWhatNobodySees(t *testing.T) {
	for _, c := range []struct {
		columns    []string
		expression string
		want       any // a cell, or what the error says
	}{
		{[]string{"na\u00a0me"}, `row["na me"]`, "0"},
		{[]string{"\ufeffid", "name"}, `id`, "0"},
		{[]string{"First\nName"}, `row["First Name"]`, "0"},
		{[]string{"First\nName"}, `row["First\nName"]`, "0"},
		{[]string{"na me", "na\u00a0me"}, `row["na me"]`, "0"},
		{[]string{"na me", "na\u00a0me"}, `row["na\u00a0me"]`, "1"},
		{[]string{"na\u202fme", "na\u00a0me"}, `row["na me"]`, error(nil)},
		{[]string{"First\nName"}, `FirstNme`, `did you mean First\nName?`},
		{[]string{"\u200bx", "Amount\u00a0due"}, `city`, `the source has \u200bx, Amount\u00a0due.`},
	} {
		scope := mapping.NewScope(mapping.Columns{Names: c.columns, Text: true}, nil)
		for i := range scope.Row {
			scope.Row[i] = string(rune('0' + i))
		}
		program, err := scope.Compile(c.expression)
		if err != nil {
			if message, ok := c.want.(string); c.want != nil && (!ok || !strings.Contains(err.Error(), message)) {
				t.Errorf("%q in %q: %v, want %v", c.expression, c.columns, err, c.want)
			}
			continue
		}
		if got, err := program.Eval(t.Context()); err != nil || got != c.want {
			t.Errorf("%q in %q gives %v, %v, want %v", c.expression, c.columns, got, err, c.want)
		}
	}
}

// What a source names twice is refused where an expression names it, and nowhere else.
func TestNamesThatColumnsRepeat(t *testing.T) {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"id"}, Text: true, Repeated: map[string]string{"note": "columns 2 and 3"}}, nil)
	if _, err := scope.Compile("id"); err != nil {
		t.Error(err)
	}
	for _, expression := range []string{"note", `row["note"]`, `id + note`} {
		if _, err := scope.Compile(expression); err == nil || !strings.Contains(err.Error(), "the source has the name note more than once, in columns 2 and 3; rename all but one of them") {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// Texts that may be null are texts to a table that is made, and null to an expression.
func TestTextsThatMayBeNull(t *testing.T) {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"a"}, Text: true, Nulls: true}, nil)
	for expression, want := range map[string]any{"a": nil, `a + "x"`: nil, `a == nil`: true, `a ?? "none"`: "none", "number(a)": nil} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := program.Eval(t.Context()); err != nil || got != want {
			t.Errorf("%s gives %v, %v", expression, got, err)
		}
		if expression == "a" && program.Kind() != reflect.String {
			t.Errorf("the kind of the column is %v", program.Kind())
		}
	}
}
