package mapping_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

var members = mapping.Columns{Names: []string{"ID", "FirstName", "LastName", "Member Type", "date", "Age"}, Text: true}

func textScope(cells ...any) *mapping.Scope {
	scope := mapping.NewScope(members, mapping.Params{
		"FirstName": "Ann", "Empty": "", "States": []string{"CA", "NV"}, "None": []string(nil), "A.Id": "7",
	})
	copy(scope.Row, []any{"00042", "Ann", "Lee", "REG", "2026-01-31", "41"})
	copy(scope.Row, cells)
	return scope
}

func TestEval(t *testing.T) {
	for expression, want := range map[string]any{
		`ID`:                         "00042",
		`  ID `:                      "00042",
		`row["Member Type"]`:         "REG",
		`row.ID`:                     "00042",
		`FirstName + " " + LastName`: "Ann Lee",
		`upper(LastName)`:            "LEE",
		`int(Age) + 1`:               42,
		`date(date).Year()`:          2026,
		`params.FirstName`:           "Ann",
		`params["A.Id"]`:             "7",
		`params.FirstName == "" || FirstName == params.FirstName`:  true,
		`params.Empty == "" || FirstName == params.Empty`:          true,
		`"NV" in params.States`:                                    true,
		`"NV" in params.None`:                                      false,
		`len(params.None)`:                                         0,
		`let FullName = FirstName + LastName; FullName + FullName`: "AnnLeeAnnLee",
		`FirstName + (Age == "" ? nil : nil)`:                      nil,
		`(Age == "41" ? nil : Age) + "x"`:                          nil,
		`nil + "a"`:                                                nil,
		`nil < 3`:                                                  false,
		`filter(params.States, # startsWith "C")`:                  []any{"CA"},
		`"a" < LastName`:                                           false,
		`LastName matches "^L"`:                                    true,
	} {
		t.Run(expression, func(t *testing.T) {
			program, err := textScope().Compile(expression)
			if err != nil {
				t.Fatal(err)
			}
			got, err := program.Eval(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

// Typed cells, as a database gives them, may be null; none of these may panic.
func TestNulls(t *testing.T) {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"n", "s", "i"}}, nil)
	copy(scope.Row, []any{nil, "text", int64(9007199254740993)})
	for expression, want := range map[string]any{
		`n + s`: nil, `s + n`: nil, `n + 1`: nil, `1 - n`: nil, `n * 2`: nil, `i / n`: nil, `i % n`: nil,
		`n < 1`: false, `1 <= n`: false, `n > n`: false, `n >= s`: false, `n == nil`: true, `n == s`: false,
		`n contains "x"`: false, `s + "!"`: "text!", `i`: int64(9007199254740993), `n`: nil,
		`n ?? "none"`: "none", `let x = n; x + "a"`: nil,
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := program.Eval(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", expression, got, err, want)
		}
	}
}

// The numbers of a database and of JSON are exact, and stay so in what is calculated from them.
func TestExactNumbers(t *testing.T) {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"big", "price", "whole", "float", "none", "text"}}, nil)
	copy(scope.Row, []any{json.Number("9007199254740993"), json.Number("19.90"), int64(9007199254740993), 1.5, nil, "x"})
	for expression, want := range map[string]any{
		`big + 1`: json.Number("9007199254740994"), `price * 3`: json.Number("59.70"), `price + 0.1`: json.Number("20.00"),
		`3 - price`: json.Number("-16.90"), `price / 2`: json.Number("9.95"), `big % 10`: json.Number("3"), `-0.05 * price`: json.Number("-0.9950"),
		`big == whole`: true, `big != whole`: false, `price == 19.9`: true, `price > 19`: true, `19.9 >= price`: true, `price < none`: false,
		`none == nil`: true, `price != none`: true, `none != none`: false, `none == none`: true, `price == text`: false, `text == "x"`: true, `upper(none) == "X"`: false,
		`int(price)`: 19, `int(big)`: 9007199254740993, `int(none)`: nil, `float(price)`: 19.9, `string(price)`: "19.90", `string(none)`: nil, `string(whole)`: "9007199254740993",
		`round(price)`: json.Number("20"), `round(price, 1)`: json.Number("19.9"), `round(float)`: 2.0, `round(whole)`: json.Number("9007199254740993"), `round(none, 2)`: nil,
		`number(price)`: json.Number("19.90"), `number("1e3")`: json.Number("1000"), `number("-.5")`: json.Number("-0.5"), `number(whole)`: int64(9007199254740993),
		`upper(none)`: nil, `trim(none) ?? "-"`: "-", `len(none)`: nil, `abs(price)`: json.Number("19.90"), `coalesce(none, "", price)`: json.Number("19.90"),
		`{"19.90": "a"}[price]`: "a", `{"a": 1}[none]`: nil, `{"a": 1, "x": nil}[text]`: nil, `date(none)`: nil, `formatDate(none)`: nil, `date(none)?.Year()`: nil,
		`int(none) == 5`: false, `int(none) + 1`: nil,
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := program.Eval(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", expression, got, err, want)
		}
	}
	for expression, why := range map[string]string{
		`price / 0`: "divides by 0", `float / int("0")`: "divides by 0", `whole / 0`: "divides by 0", `number(text)`: "the text is not a number", `int(text)`: "the text is not a whole number", `float(text)`: "the text is not a number",
		`date(text)`: "the text is not a date like 2026-01-31", `date(text, "yyyy")`: "the text is not a date like yyyy", `date(float)`: "it takes a text or a date",
		`date("2026-01-31", "yyyy-MM-dd", "Nowhere")`: "is a time zone", `number("1", ";")`: "decimal mark", `round(text)`: "the text is not a number",
		`number("1e999999")`: "not a number", `price + text`: "it cannot take a number and a text together", `round(1.5, -1)`: "how many digits",
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := program.Eval(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s = %#v, %v; want %q", expression, got, err, why)
		}
	}
}

func FuzzDate(f *testing.F) {
	f.Add("31.01.2026", "dd.MM.yyyy")
	f.Add("3 Feb 26, 'x'", "d MMM yy, 'x'")
	f.Fuzz(func(t *testing.T, text, format string) {
		scope := mapping.NewScope(mapping.Columns{Names: []string{"d"}, Text: true}, nil)
		program, err := scope.Compile(fmt.Sprintf("formatDate(date(d, %q), %q)", format, format))
		if err != nil {
			return
		}
		scope.Row[0] = text
		first, err := program.Eval(t.Context())
		if err != nil || first == nil {
			return
		}
		scope.Row[0] = first
		if again, err := program.Eval(t.Context()); err == nil && again != nil && again != first {
			t.Errorf("%q in %q is %q, and that is %q", text, format, first, again)
		}
	})
}

func TestCompileErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`FristName`:                            "unknown column FristName; did you mean FirstName? (1:1)\n | FristName\n | ^",
		`FristName + Lastname + Q + FristName`: " | FristName + Lastname + Q + FristName\n | ^\nUnknown too: Lastname (LastName?), Q.",
		`FristName + uppr(Lastname)`:           "unknown function uppr; did you mean upper? (1:13)\n | FristName + uppr(Lastname)\n | ............^\nUnknown too: FristName (FirstName?), Lastname (LastName?).",
		`"x" + row["MemberType"]`:              "unknown column MemberType; did you mean Member Type? (1:10)",
		`params.FristName`:                     "unknown parameter FristName; did you mean FirstName?",
		`uper(LastName)`:                       "unknown function uper; did you mean upper? (1:1)",
		`FirstName +`:                          "unexpected token EOF",
		`Age > 18`:                             "> compares a text with a number; make a number of the text, as in number(Age) (1:5)\n | Age > 18\n | ....^",
		`Age * 2`:                              "* calculates with a text; make a number of it, as in number(Age)",
		`"x" + 2`:                              "+ joins a text and a number; make a text of the number with string(…)",
		`Member Type`:                          "\nThe column Member Type is written row[\"Member Type\"].",
		`US`:                                   `unknown column US; the source has ID, FirstName, LastName, Member Type, date, Age. A text, the same in each row, stands in quotes, and in a task file in two kinds of them: '"US"' (1:1)`,
		`nubmer(Age)`:                          "unknown function nubmer; did you mean number?",
		`date(date, "DD.MM")`:                  `the format "DD.MM" has 'D', which is no part of a date; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss (1:12)`,
		`date(date, "2006-01-02")`:             "has '2', which is no part of a date",
		`date(date, "ddddd")`:                  "has too many of the letter d",
		`date(date, ID)`:                       `the format of date must be a text in quotes, such as "dd.MM.yyyy"`,
		`number()`:                             "not enough arguments to call",
		`row`:                                  "row must be followed by a column's name",
		`keys(params)`:                         "params must be followed by a parameter's name",
		`row[ID]`:                              "row must be followed by a column's name",
		`$env`:                                 "unknown name $env",
		``:                                     "unexpected token EOF",
	} {
		_, err := textScope().Compile(expression)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "column of") {
			t.Errorf("%s: the error shows an internal name: %v", expression, err)
		}
	}
}

func TestCondition(t *testing.T) {
	if _, err := textScope().CompileCondition(`FirstName`); err == nil || !strings.Contains(err.Error(), "true or false, not string") {
		t.Errorf("a text as condition: %v", err)
	}
	scope := mapping.NewScope(mapping.Columns{Names: []string{"active"}}, nil)
	condition, err := scope.CompileCondition("active")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cell any
		want bool
		ok   bool
	}{{true, true, true}, {false, false, true}, {nil, false, true}, {"yes", false, false}} {
		scope.Row[0] = c.cell
		if got, err := condition.True(t.Context()); got != c.want || (err == nil) != c.ok {
			t.Errorf("%v: %v, %v", c.cell, got, err)
		}
	}
}

// A row's fault names the part of the expression and never shows the cell.
func TestRowFault(t *testing.T) {
	scope := textScope("", "", "", "", "", "4711secret")
	for expression, part := range map[string]string{
		`FirstName + string(int(Age))`: "int, at character 20",
		`LastName matches Age + "["`:   "matches, at character 10",
		`[1,2][int("7")]`:              "[, at character 6",
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		_, err = program.Eval(t.Context())
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "cannot be computed: ") {
			t.Errorf("%s: %v", expression, err)
		}
		if err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v does not name %s", expression, err, part)
		}
	}
	// The parameter's value is the caller's; no compile error may show it.
	secret := mapping.NewScope(members, mapping.Params{"P": "[4711secret"})
	copy(secret.Row, []any{"1", "Ann", "Lee", "REG", "", ""})
	program, err := secret.Compile(`LastName matches params.P`)
	if err == nil {
		_, err = program.Eval(t.Context())
	}
	if err == nil || strings.Contains(err.Error(), "4711") {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, good := range []string{
		`FirstName + " " + LastName`, `params.FirstName == "" || Any == params.FirstName`, `row["Member Type"]`,
		`int(Age) > 18 ? "adult" : nil`, `params.FirstName in ["a", "b"]`, `"x" in params.FirstName`,
	} {
		if err := mapping.Check(good, []string{"FirstName"}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		`FirstName +`:       "^",
		`params.LastName`:   "unknown parameter LastName (1:8)\n | params.LastName\n | .......^",
		`params.FristName`:  "did you mean FirstName?",
		`nosuch(FirstName)`: "unknown function nosuch",
		`uper(FirstName)`:   "did you mean upper",
		`"a" - `:            "^",
	} {
		if err := mapping.Check(bad, []string{"FirstName"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", bad, err, want)
		}
	}
	if err := mapping.Check(`params.X`, nil); err == nil || !strings.Contains(err.Error(), "the task has none") {
		t.Errorf("no parameters: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`FirstName + " " + LastName`)
	f.Add(`let x = row["a"]; params.P ?? x`)
	f.Add(`filter([1,2], # > 1) | map(# + nil)`)
	f.Fuzz(func(t *testing.T, text string) {
		checked := mapping.Check(text, []string{"P"})
		scope := mapping.NewScope(mapping.Columns{Names: []string{"FirstName", "LastName", "a"}}, mapping.Params{"P": "v"})
		program, err := scope.Compile(text)
		if err == nil {
			_, _ = program.Eval(t.Context())
			if checked != nil {
				t.Errorf("%q compiles with columns and fails Check: %v", text, checked)
			}
		}
	})
}

func BenchmarkEval(b *testing.B) {
	for _, expression := range []string{`ID`, `FirstName + " " + LastName`, `params.FirstName == "" || FirstName == params.FirstName`, `upper(LastName)`, `int(Age)`} {
		b.Run(expression, func(b *testing.B) {
			scope := textScope()
			program, err := scope.Compile(expression)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				scope.Begin()
				if _, err := program.Eval(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTenExpressions is a row of a usual mapping: the project's aim is 1.5 µs.
func BenchmarkTenExpressions(b *testing.B) {
	scope := textScope()
	var programs []*mapping.Program
	for _, expression := range []string{
		`ID`, `FirstName`, `row["Member Type"]`, `FirstName + " " + LastName`, `upper(LastName)`, `int(Age)`,
		`{"REG": "Regular", "STU": "Student"}[row["Member Type"]] ?? "Other"`, `params.FirstName == FirstName`, `trim(LastName)`, `Age == "" ? nil : Age`,
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			b.Fatal(err)
		}
		programs = append(programs, program)
	}
	b.ReportAllocs()
	for b.Loop() {
		scope.Begin()
		for _, program := range programs {
			if _, err := program.Eval(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	scope := textScope()
	for b.Loop() {
		if _, err := scope.Compile("ID"); err != nil {
			b.Fatal(err)
		}
	}
}
