package mapping_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// typed is a row as a database or JSON gives it: nothing is known of its columns when an expression is compiled.
func typed(params mapping.Params) *mapping.Scope {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"id", "price", "half", "code", "padded", "name", "empty", "none", "joined", "born", "active", "photo", "tags", "nums", "account", "took"}}, params)
	copy(scope.Row, []any{
		int64(7), json.Number("19.90"), 0.5, "007", "7  ", "Ann", "", nil, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "2026-01-31", true, []byte("7"),
		[]any{"a", json.Number("7"), nil},
		[]any{json.Number("7"), json.Number("8.0")},
		map[string]any{"Id": json.Number("7"), "Code": "7"},
		time.Hour,
	})
	return scope
}

// Where kinds are known only in the row, a text counts as the number or the ISO date that it plainly is, and what cannot be
// compared fails the row: no comparison keeps or drops all rows because of its kinds.
func TestComparedInTheRow(t *testing.T) {
	scope := typed(mapping.Params{"ID": "7", "Other": "8", "None": "", "L": []string{"6", "7"}, "M": []string{"8", "A7"}, "E": []string{}, "Min": "19.9", "Day": "2026-01-31"})
	for expression, want := range map[string]bool{
		// A number beside a text.
		`id == params.ID`: true, `params.ID == id`: true, `id != params.ID`: false, `id == params.Other`: false, `id != params.Other`: true, `id == "7"`: true, `id == "7.0"`: true, `id != "0"`: true, `id == " 7 "`: true,
		`id == padded`: true, `price == "19.9"`: true, `price != "19.90"`: false, `half == "0.5"`: true, `half == "-0.5"`: false, `account.Id == account.Code`: true, `padded == 7`: true, `int(id) == params.ID`: true, `number(padded) == params.ID`: true, `(id ?? 0) == "7"`: true, `coalesce(none, id) == "7"`: true,
		`len(name) == params.ID`: false, `let x = id; x == "7"`: true,
		// Other texts are no numbers, and equal none.
		`id == "A7"`: false, `id != "A7"`: true, `id == "unknown"`: false, `id == ""`: false, `id != ""`: true, `id == params.None`: false, `id != empty`: true, `id == "-"`: false, `id != name`: true, `name == 7`: false, `joined == ""`: false, `active != ""`: true, `joined != "unknown"`: true,
		// Lists and ranges.
		`id in params.L`: true, `id not in params.L`: false, `id in params.M`: false, `not (id in params.M)`: true, `id in params.E`: false, `id in ["1", "7"]`: true, `id not in ["7"]`: false, `id in ["A", "B"]`: false, `id not in ["A", "8"]`: true, `id in [7, "x"]`: true,
		`padded in [7]`: true, `padded not in 5..10`: false, `id in 5..10`: true, `"7" in tags`: true, `id in tags`: true, `id not in tags`: false, `"8" in nums`: true, `"9" not in nums`: true, `id in {"7": 1}`: true, `id in account`: false, `any(nums, # == params.ID)`: true, `filter(nums, # != "7") == [8]`: true, `7 in params.L`: true, `price in ["19.9"]`: true, `joined in ["2026-01-31"]`: true,
		// A date beside a text.
		`joined == "2026-01-31"`: true, `joined != "2026-01-31"`: false, `joined == "2026-01-31T00:00:00Z"`: true, `joined == born`: true, `joined != born`: false, `born == date(born)`: true, `born != date("2026-02-01")`: true, `joined == params.Day`: true, `date(born) == params.Day`: true, `born not in [date("2026-01-31")]`: false,
		// Orders go by the same rule.
		`id > params.Other`: false, `id >= params.ID`: true, `"6" < id`: true, `price >= params.Min`: true, `joined > "2026-01-30"`: true, `joined <= params.Day`: true, `date("2026-02-01") > born`: true,
		// What is null equals null only.
		`none == params.ID`: false, `none != params.ID`: true, `none in params.L`: false, `none == 7`: false, `nil in tags`: true, `none == nil`: true, `none in ["7"]`: false, `none not in [date("2026-01-31")]`: true, `none == true`: false,
		`active == true`: true, `active in [true]`: true, `took == duration("1h")`: true, `nums == [7, 8]`: true, `name == "Ann"`: true, `code == "007"`: true, `code in ["7", "007"]`: true, `code == "7"`: false,
	} {
		if got, err := evaluate(scope, expression); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", expression, got, err, want)
		}
	}
	const (
		code = "it compares a number with a text like 007 or 1,234.50; convert one of them, as with number(…) or string(…)"
		day  = `it compares a date with a text that is not like 2026-01-31; make a date of the text, as in date(…, "dd.MM.yyyy")`
		yes  = "it compares true or false with a text; write true or false without quotes"
	)
	for expression, want := range map[string]string{
		`code == 7`: code, `code != 7`: code, `code not in [7]`: code, `code in 5..10`: code, `id == "1,234.50"`: code, `id != "07"`: code, `price == "19,90"`: code, `price != "$19.90"`: code, `id == "50%"`: code, `id == "1e3"`: code, `id != "+7"`: code, `id in ["8", "007"]`: code, `id == "2026-01-31"`: code, `id == code`: code,
		`joined == "31.01.2026"`: day, `joined != "2026"`: day, `joined not in ["31 Jan 2026"]`: day, `"1/31/2026" == joined`: day,
		`active == "true"`: yes, `active != "Y"`: yes, `active not in ["true"]`: yes, `name == active`: yes,
		`active == 1`: "it compares true or false with a number, which", `joined == 2026`: "it compares a date with a number, which", `id != joined`: "it compares a number with a date, which", `took == 3600`: "it compares a duration with a number, which", `tags == "a"`: "it compares a list with a text, which", `tags != "a"`: "it compares a list with a text, which",
		`photo == "7"`: "it compares binary data with a text, which", `account != "x"`: "it compares an object with a text, which", `id in [true]`: "it compares a number with true or false, which", `took != "1h"`: "it compares a duration with a text, which", `joined in 1..3`: "it compares a date with a number, which",
	} {
		got, err := evaluate(scope, expression)
		if err == nil || !strings.Contains(err.Error(), " of the expression: "+want) {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, want)
		}
	}
	// Counted or not, the rule is one.
	for _, expression := range []string{`map([1], id == params.ID)`, `map([1], id in params.L)`, `map([1], joined == "2026-01-31")`, `map([1], padded in [7])`} {
		if got, err := evaluate(scope, expression); err != nil || !reflect.DeepEqual(got, []any{true}) {
			t.Errorf("%s = %v, %v", expression, got, err)
		}
	}
}

// Where kinds are known, what could never be equal is refused before the run, in the same way by each operator.
func TestComparedBeforeTheRun(t *testing.T) {
	const (
		number = "make a number of the text, as in number(code), or write the number in quotes"
		quotes = "write the number without quotes, or make a text of the other one with string(…)"
	)
	for expression, want := range map[string]string{
		`code == 7`: "== compares a text with a number; " + number, `code != 7`: "!= compares a text with a number; " + number, `7 == code`: "== compares a text with a number; " + number, `code in [7]`: "in compares a text with a number; " + number, `code not in [7]`: "in compares a text with a number; " + number,
		`not (code in ["x", 7])`: "in compares a text with a number; " + number, `code in 5..10`: "in compares a text with a number; " + number, `code not in 5..10`: "in compares a text with a number; " + number, `code == int(amt)`: "make a number of the text, as in number(code) (", `code == number(amt) * 2`: "make a number of the text, as in number(code) (", `upper(code) != len(amt)`: "make a number of the text, as in number(…) (",
		`number(amt) != "10"`: "!= compares a text with a number; " + quotes, `number(amt) == "10"`: "== compares a text with a number; " + quotes, `number(amt) not in ["10"]`: "in compares a text with a number; " + quotes, `round(number(amt), 2) > "10"`: "> compares a text with a number; " + quotes, `int(amt) in ["1", "2"]`: quotes,
		`date(joined) != "2026-01-31"`: `!= compares a text with a date; make a date of the text, as in date("2026-01-31")`, `date(joined) < "2026-01-31"`: `< compares a text with a date; make a date of the text`, `joined != date("2026-01-31")`: `as in date(joined) or date(joined, "dd.MM.yyyy")`, `date(joined) in ["2026-01-31"]`: "in compares a text with a date", `date(joined) not in split(joined, ",")`: "in looks for a date in a list of which each is a text",
		`date(joined) == 2026`: "== compares a date with a number; take a part of the date, such as its Year()", `date(joined).Year() == "2026"`: quotes, `date(joined).Month() not in ["01"]`: quotes, `date(joined) - date(joined) > 30`: "> compares a duration with a number; convert one of them", `date(joined) - date(joined) == "24h"`: `make a duration of the text, as in duration("1h30m")`,
		`flag == true`: `== compares a text with true or false; write the text in quotes, as in flag == "true"`, `flag != false`: "!= compares a text with true or false", `flag not in [true]`: "in compares a text with true or false", `(code == "x") == "true"`: "write true or false without quotes", `split(code, ",") == "x"`: "== compares a text with a list; a text is looked for with in", `any(split(code, ","), # == 7)`: "== compares a text with a number",
		`joined contains 2026`: "contains looks for a text in a text, and gets a number; write it in quotes", `code startsWith 0`: "startsWith looks for a text in a text, and gets a number; write it in quotes", `date(joined) startsWith "2026"`: "and gets a date; make a text of it with formatDate(…)", `number(amt) endsWith "0"`: "and gets a number; make a text of it with string(…)", `code matches 7`: "matches looks for a text in a text, and gets a number; write it in quotes",
		`"a" in code`: `in looks into a list; a text in a text is found with contains, as in code contains "x"`, `7 in split(code, ",")`: "in looks for a number in a list of which each is a text",
	} {
		for _, nulls := range []bool{false, true} {
			scope := mapping.NewScope(mapping.Columns{Names: []string{"code", "amt", "joined", "flag"}, Text: true, Nulls: nulls}, nil)
			_, err := scope.Compile(expression)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "unknown and") {
				t.Errorf("%s: %v, want %q", expression, err, want)
			}
		}
	}
	texts := mapping.NewScope(mapping.Columns{Names: []string{"code", "amt", "joined", "flag"}, Text: true}, mapping.Params{"ID": "007", "N": "10", "Two": "2", "L": []string{"007"}})
	copy(texts.Row, []any{"007", "10", "2026-01-31", "true"})
	for _, expression := range []string{
		`code == "007"`, `code == params.ID`, `code in params.L`, `len(amt) == params.Two`, `code not in ["7"]`, `number(amt) == 10`, `number(amt) in 5..10`, `int(amt) in [10]`, `number(amt) == params.N`, `int(amt) <= params.N`, `date(joined) == date("2026-01-31")`, `date(joined) > date("2026-01-30")`, `flag == "true"`, `(code == "007") == true`,
		`joined contains "2026"`, `code in split("007,8", ",")`, `(amt == "" ? nil : int(amt)) == 10`, `date(joined).Month() == int("1")`, `date(joined) - date(joined) == duration("0s")`, `code != nil`, `nil != number(amt)`, `code in ["007", nil]`,
	} {
		if got, err := evaluate(texts, expression); err != nil || got != true {
			t.Errorf("%s = %v, %v", expression, got, err)
		}
	}
}
