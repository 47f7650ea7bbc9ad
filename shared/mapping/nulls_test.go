package mapping_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

func typedScope(cells map[string]any) *mapping.Scope {
	names := make([]string, 0, len(cells))
	for name := range cells {
		names = append(names, name)
	}
	scope := mapping.NewScope(mapping.Columns{Names: names}, mapping.Params{"None": []string(nil)})
	for i, name := range names {
		scope.Row[i] = cells[name]
	}
	return scope
}

func expectValues(t *testing.T, scope *mapping.Scope, values map[string]any) {
	t.Helper()
	for expression, want := range values {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		scope.Begin()
		if got, err := program.Eval(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", expression, got, err, want)
		}
	}
}

// What is in a null is null, as what is calculated with one is.
func TestPartsOfNulls(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	scope := typedScope(map[string]any{
		"none": nil, "account": map[string]any{"Name": "Acme", "Owner": nil, "Active": nil, "Tags": nil}, "day": day, "name": "Ann",
		"contacts": []any{map[string]any{"Name": "a", "Ok": true}, map[string]any{"Name": "b", "Ok": nil}, nil},
	})
	expectValues(t, scope, map[string]any{
		`none.Name`: nil, `none.Owner.Name`: nil, `account.Owner.Name`: nil, `account["Owner"]["Name"]`: nil, `account.Owner?.Name`: nil, `account.Missing.Name`: nil, `none[0]`: nil, `none[0].x[1]`: nil,
		`account.Name`: "Acme", `account["Name"]`: "Acme", `account.Owner.Name ?? "nobody"`: "nobody", `upper(account.Owner.Name)`: nil, `account.Owner.Name + "x"`: nil, `account.Owner.Name == "x"`: false, `account.Owner.Name != "x"`: true,
		`none[1:2]`: nil, `none[:2]`: nil, `name[1:]`: "nn", `coalesce(account.Owner.Name, account.Name)`: "Acme", `account.Owner.Name in ["a"]`: false,
		`date(none).Year()`: nil, `date(none).Format("2006")`: nil, `none.Format("2006")`: nil, `day.Format("2006")`: "2026", `date(none).Year() == 2026`: false, `date(none).String() == "x"`: false, `date(none).AddDate(1, 0, 0).Year()`: nil, `day.AddDate(1, 0, 0).Year()`: 2027,
		`map([day, none], #.Format("2006"))`: []any{"2026", nil}, `map([none, day], #?.Format("2006"))`: []any{nil, "2026"}, `map([day, none], #?.Format("2006"))`: []any{"2026", nil},
		`map(contacts, .Name)`: []any{"a", "b", nil}, `filter(contacts, .Ok)`: []any{map[string]any{"Name": "a", "Ok": true}}, `count(contacts, .Ok)`: 1, `any(contacts, .Ok)`: true, `all(contacts, .Ok)`: false,
		`map(none, .Name)`: nil, `filter(account.Tags, # == "x")`: nil, `any(account.Tags, # == "x")`: false, `any(account.Tags, # == "x") ? 1 : 2`: 2, `none(none, true)`: false, `count(account.Tags, true)`: nil, `count(none) == 3`: false, `sum(none)`: nil, `groupBy(none, #)`: nil, `reduce(none, #acc + #, 0)`: nil,
		`count(params.None, true)`: 0, `join(none, ",")`: nil, `keys(none)`: nil, `values(none)`: nil, `sort(none)`: nil, `reverse(none)`: nil, `flatten(none)`: nil, `take(none, 2)`: nil, `fromJSON(none)`: nil, `toBase64(none)`: nil, `duration(none)`: nil, `first(none)`: nil, `last(none)`: nil,
	})
	for expression, part := range map[string]string{`name.Owner`: "Owner", `contacts.Name`: "Name", `contacts[7]`: "["} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := program.Eval(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be computed: "+part+", at character") {
			t.Errorf("%s = %v, %v", expression, got, err)
		}
	}
}

// A null is not true, wherever a condition stands.
func TestNullsAsConditions(t *testing.T) {
	t.Parallel()
	expectValues(t, typedScope(map[string]any{"none": nil, "yes": true, "no": false}), map[string]any{
		`none && yes`: false, `yes && none`: false, `none || yes`: true, `none or none`: false, `!none`: true, `not none`: true, `!yes`: false, `none ? 1 : 2`: 2, `yes ? 1 : 2`: 1, `no and none`: false, `(none > 3) || yes`: true,
		`if none { 1 } else { 2 }`: 2,
	})
	program, err := typedScope(map[string]any{"text": "yes"}).Compile(`text && true`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := program.Eval(t.Context()); err == nil || !strings.Contains(err.Error(), "it is neither true nor false") {
		t.Errorf("a text as condition is %v, %v", got, err)
	}
}

// Signs, powers and sums take nulls and exact numbers, durations have a sign.
func TestSignsPowersAndSums(t *testing.T) {
	t.Parallel()
	expectValues(t, typedScope(map[string]any{
		"none": nil, "price": json.Number("19.90"), "double": 3.3, "whole": 3, "span": -90 * time.Minute,
		"items": []any{map[string]any{"p": json.Number("1.10")}, map[string]any{"p": json.Number("2.20")}},
	}), map[string]any{
		`-none`: nil, `-price`: json.Number("-19.90"), `-double`: -3.3, `-whole`: -3, `-5`: -5, `-(price - price)`: json.Number("0.00"), `none ** 2`: nil, `whole ** 2`: 9, `2 ** 10`: 1024, `price ^ 2`: json.Number("396.0100"),
		`-span`: 90 * time.Minute, `-duration("1h")`: -time.Hour, `duration("-1h30m")`: -90 * time.Minute, `string(span)`: "-1h30m0s", `date("2026-01-01") - date("2026-01-02")`: -24 * time.Hour, `date("2026-01-01") + duration("-1h")`: time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC),
		`span.Hours()`: -1.5, `span < duration("0s")`: true, `span * 2`: -3 * time.Hour, `abs(span)`: 90 * time.Minute,
		`sum(items, .p)`: json.Number("3.30"), `sum([1, 2])`: 3, `sum([whole, none])`: nil, `sum(map(items, .p))`: json.Number("3.30"), `sum(1..10)`: 55, `sum([])`: 0,
	})
}

// What is calculated in floating point shows what a spreadsheet shows.
func TestFloatsShowFifteenDigits(t *testing.T) {
	t.Parallel()
	expectValues(t, typedScope(map[string]any{"a": 1.1, "b": 0.1, "c": 0.2, "exact": 0.1 + 0.2, "large": 9007199254740991.0, "text": "1.1"}), map[string]any{
		`a * 3`: 3.3, `1.1 * 3`: 3.3, `b + c`: 0.3, `float(text) * 3`: 3.3, `1 - 0.9`: 0.1, `a * a`: 1.21, `4.35 * 100`: 435.0, `10 / 3`: 3.33333333333333, `string(a * 3)`: "3.3", `sum([1.1, 2.2])`: 3.3, `mean([1.1, 2.2, 0.3])`: 1.2, `median([1.1, 2.2])`: 1.65,
		`exact`: 0.1 + 0.2, `coalesce(exact, 1)`: 0.1 + 0.2, `large + 0`: 9007199254740991.0, `1e300 * 10`: 1e301,
	})
}

// A part that stands in two comparisons, or is its own condition, is compiled once and computed as written.
func TestPartsThatStandTwice(t *testing.T) {
	t.Parallel()
	expectValues(t, typedScope(map[string]any{"age": "41", "born": "31.01.2026", "none": nil, "ok": true}), map[string]any{
		`18 <= int(age) < 65`: true, `50 < int(age) < 65`: false, `1 < len(age) <= 2`: true, `date("2026-01-01") < date(born, "dd.MM.yyyy") < date("2026-02-01")`: true, `(ok && int(age) > 3) ?: "no"`: true, `(int(age) > 50) ?: "no"`: "no", `none.x ?: "no"`: "no",
	})
}
