package mapping_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/expr-lang/expr/builtin"

	"runhook/shared/mapping"
)

// hostile are the columns of the rows that are to hold a core or memory.
var hostile = mapping.Columns{Names: []string{"size", "text", "list", "deep", "texts", "json", "base64", "pairs", "object", "pattern", "digits", "thue", "part", "long"}}

var hostileRow = sync.OnceValue(func() []any {
	list := make([]any, 20_000)
	texts, pairs, object := make([]any, len(list)), make([]any, len(list)), map[string]any{}
	for i := range list {
		key := strings.Repeat("k", i%7) + string(rune('0'+i%64)) + string(rune('0'+i/64))
		list[i], texts[i], pairs[i], object[key] = i, key, []any{key, i}, i
	}
	var deep any = 1
	for range 99_000 {
		deep = []any{deep}
	}
	return []any{
		int64(3000), strings.Repeat("a", 1<<20), list, deep, texts, "[" + strings.Repeat(`{"a":[1,2]},`, 40_000) + "1]", strings.Repeat("YWFh", 200_000), pairs, object, "(z|a){500}b",
		"0." + strings.Repeat("123", 150), thueMorse(18), thueMorse(14) + "c", json.Number(strings.Repeat("0", 990) + "1"),
	}
})

func hostileScope() *mapping.Scope {
	scope := mapping.NewScope(hostile, mapping.Params{"Pattern": "(y|a){500}b", "Big": hostileRow()[1]})
	copy(scope.Row, hostileRow())
	return scope
}

// thueMorse is a text whose parts of the same length have the same sum, where sums are looked for.
func thueMorse(doublings int) string {
	text := "a"
	for range doublings {
		text += strings.NewReplacer("a", "b", "b", "a").Replace(text)
	}
	return text
}

// smallBounds are a tenth of what they are, which saves the time of many evaluations that go to their end.
func smallBounds() (undo func()) { return mapping.SetBounds(100_000, 32<<20/10) }

// evalHostile evaluates an expression over the hostile row.
func evalHostile(ctx context.Context, expression string) (any, error) {
	program, err := hostileScope().Compile(expression)
	if err != nil {
		return nil, err
	}
	return program.Eval(ctx)
}

// expectStopped wants an expression to be stopped at the bounds, before it has taken much memory.
func expectStopped(t *testing.T, expression string) {
	t.Helper()
	program, err := hostileScope().Compile(expression)
	if err != nil {
		if !strings.Contains(err.Error(), "it takes more than") && !strings.Contains(err.Error(), "it needs more than") {
			t.Errorf("%s: %v", expression, err)
		}
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = program.Eval(t.Context())
	runtime.ReadMemStats(&after)
	fault, ok := errors.AsType[*mapping.Error](err)
	if !ok || fault.Expression == "" || fault.At < 1 || !strings.HasPrefix(fault.Reason, "it ") || !strings.Contains(err.Error(), "at character ") {
		t.Errorf("%s is not stopped at the bounds: %v", expression, err)
	}
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 20 {
		t.Errorf("%s has made %d MiB of garbage and values", expression, made)
	}
}

// Every function of the language, with what it would go through or make the most of, many times: none gets
// further than the bounds. A function that is not in the list has to be thought of.
func TestNoFunctionGoesBeyondTheBounds(t *testing.T) {
	defer smallBounds()()
	calls := map[string]string{
		"len": `len(text)`, "string": `string(list)`, "trim": `trim(text, "a")`, "trimPrefix": `trimPrefix(text, "b")`, "trimSuffix": `trimSuffix(text, "b")`, "upper": `upper(text)`, "lower": `lower(text)`,
		"split": `split(text, "a")`, "splitAfter": `splitAfter(text, "")`, "replace": `replace(text, "a", "bb")`, "repeat": `repeat(text, 2)`, "join": `join(texts, ",")`, "indexOf": `indexOf(thue, part)`, "lastIndexOf": `lastIndexOf(text, "b")`,
		"hasPrefix": `hasPrefix(text, text)`, "hasSuffix": `hasSuffix(text, text)`, "max": `max(list)`, "min": `min(list)`, "mean": `mean(list)`, "median": `median(list)`, "toJSON": `toJSON(list)`, "fromJSON": `fromJSON(json)`,
		"toBase64": `toBase64(text)`, "fromBase64": `fromBase64(base64)`, "bytes": `bytes(base64)`, "keys": `keys(object)`, "values": `values(object)`, "toPairs": `toPairs(object)`, "fromPairs": `fromPairs(pairs)`, "reverse": `reverse(list)`, "uniq": `uniq(list)`,
		"concat": `concat(list, list)`, "flatten": `flatten([list, list])`, "sort": `sort(texts)`, "get": `get(object, text)`, "timezone": `timezone("Europe/Paris")`,
		"coalesce": `coalesce(text + "x")`, "number": `number(digits) * number(digits) + number(digits) * number(digits) + number(digits) * number(digits)`, "round": `round(size, 900) + round(size, 900) + round(size, 900) + round(size, 900) + round(size, 900) + round(size, 900) + round(size, 900)+ round(size, 900)`, "formatDate": `formatDate("2026-01-31", "` + strings.Repeat("MMMM dddd ", 2000) + `")`,
		"date": `date(text, "yyyy") ?? date(text)`, "int": `int(digits + "0") ?? 1`, "float": `float("1" + text) ?? 1`, "duration": `duration("1h" + text)`,
		"now": `now().Format(text)`, "type": `type(text + text)`, "abs": `abs(len(text))`, "ceil": `ceil(len(text))`, "floor": `floor(len(text))`, "first": `first([text + text])`, "last": `last([text + text])`, "take": `take([text + text], 1)`,
		"bitand": `bitand(len(text), 1)`, "bitor": `bitor(len(text), 1)`, "bitxor": `bitxor(len(text), 1)`, "bitnand": `bitnand(len(text), 1)`, "bitshl": `bitshl(len(text), 60)`, "bitshr": `bitshr(len(text), 60)`, "bitushr": `bitushr(len(text), 60)`, "bitnot": `bitnot(len(text))`,
	}
	// These end at a text that they do not read, and are looked at in a loop of nothing else below.
	ends := map[string]bool{"date": true, "int": true, "float": true, "duration": true}
	predicates := map[string]string{"reduce": `reduce(1..size*300, #acc + #, 0)`, "sum": `sum(1..size*300, #)`, "sortBy": `sortBy(1..size*300, # % 7)`, "groupBy": `groupBy(1..size*300, #)`}
	names := []string{"coalesce", "formatDate", "number"}
	for _, f := range builtin.Builtins {
		names = append(names, f.Name)
	}
	for _, name := range names {
		expression, known := calls[name]
		switch {
		case known && ends[name]:
			continue
		case known:
			expression = `count(1..size, ` + expression + ` == nil)`
		case predicates[name] != "":
			expression = predicates[name]
		case builtin.Builtins[builtin.Index[name]].Predicate:
			expression = name + `(1..size*300, # ` + map[bool]string{true: ">", false: "<"}[name == "all"] + ` 0)`
		default:
			t.Errorf("nobody has thought of what %s may do to a core or to memory", name)
			continue
		}
		t.Run(name, func(t *testing.T) { expectStopped(t, expression) })
	}
}

// What would hold a core or memory by any other way that there is.
func TestNothingGoesBeyondTheBounds(t *testing.T) {
	defer smallBounds()()
	doubled := `let a0 = digits; `
	for i := range 18 {
		doubled += fmt.Sprintf("let a%d = a%d + a%d; ", i+1, i, i)
	}
	for _, expression := range []string{
		doubled + `a18`, strings.Repeat(`params.Big + `, 20) + `"!"`, `repeat(text, 1000000)`, `repeat("x", size * 100000)`, `repeat("xxxx", size * 10000000)`, `1..size*1000000`, `1..9223372036854775807`, `-9223372036854775807..9223372036854775807`, `filter(1..2000000, # > 5)`, `map(1..2000, map(1..2000, # + size))`,
		`let big = 1..100000; map(big, sum(big))`, `let a = text + text; let b = a + a; let c = b + b; let d = c + c; let e = d + d; let f = e + e; f + f`, `reduce(1..size, #acc + #acc, "x")`, `reduce(1..size, #acc + text, "")`,
		strings.Repeat("text + ", 2000) + `""`, `reduce(1..60, replace(#acc, "x", "xx"), "x")`, `replace(text, "", text)`, strings.Repeat(`replace(`, 9) + `text` + strings.Repeat(`, "a", "aaaaaaaaaa")`, 9), strings.Repeat(`toJSON(`, 60) + `text` + strings.Repeat(`)`, 60),
		strings.Repeat(`toBase64(`, 60) + `text` + strings.Repeat(`)`, 60), `join(map(1..size, text))`, `map(1..size, text)`, `{"a": map(1..size, text)}`, `reduce(1..60, [#acc, #acc], [1])`, `reduce(1..60, ({"a": #acc, "b": #acc}), {"a": 1})`, `toJSON(reduce(1..60, [#acc, #acc], [1]))`,
		`reduce(1..60, [#acc, #acc], [1]) == reduce(1..60, [#acc, #acc], [1])`, `any(1..size, text == upper(text) + "x")`, `any(1..size, upper(text) < upper(text))`, `any(1..size, -# in list)`, `any(1..size, text contains "b")`, `all(1..9, not (thue contains part))`, `map(1..9, split(thue, part))`, `map(1..9, replace(thue, part, "x"))`,
		`any(1..size, text startsWith text) && false || any(1..size, text endsWith upper(text))`, `text matches "(x|a){500}b"`, `text matches pattern`, `text matches params.Pattern`, `any(1..size*100, "x" matches "^[a-z]+$" and # < 0)`,
		`map(1..size*30, number("1e1000"))`, `map(1..size*30, round(#, 1000))`, `count(1..size*30, 7 ** 1000 == #)`, `count(1..size*30, number("0.7") ^ 900 == #)`, `len(map(1..size*2, ({"a": #, "b": #})))`, `reduce(1..60, date("2026-11-22").Format(#acc), "` + strings.Repeat("2", 60) + `")`, `map(1..size, date("2026-11-22").Format(text))`,
		`reduce(1..size, concat(#acc, [#]), [])`, `map(1..size*20, "` + strings.Repeat("x", 4000) + `" + upper("x"))`, `count(1..size*300)`, `map(1..size*100, timezone("Europe/Paris"))`, `map(1..size*100, date("2026-01-31 10:00", "yyyy-MM-dd HH:mm", "Europe/Paris"))`,
		`sortBy(1..size, text + "x")`, `any(1..size*30, list[long] == -1)`, `string(map(1..size, text))`, `fromPairs(map(1..size, [text, text]))`, `{"a": 1}[map(1..size, text)]`, `take(map(1..size*300, #), 1)`, `get(object, map(1..size, text))`, `deep in [deep]`, `count(1..size*20, text[:1000000] == "")`,
	} {
		name := expression[:min(len(expression), 60)]
		t.Run(name, func(t *testing.T) { expectStopped(t, expression) })
	}
}

// Lists that are nested too deep for the functions that go through them are refused by each of these.
func TestDeepListsAreRefused(t *testing.T) {
	for _, expression := range []string{`deep == deep`, `max(deep)`, `flatten(deep)`, `toJSON(deep)`, `string(deep)`, `uniq([deep])`, `coalesce(deep, 1)`, `[deep]`, `size in deep`, `fromPairs(deep)`, `{"a": 1}[deep]`} {
		_, err := evalHostile(t.Context(), expression)
		fault, ok := errors.AsType[*mapping.Error](err)
		if !ok || fault.Reason != "it goes through lists that are nested more than 100 times" {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// An expression that no row could pass is refused when it is compiled, as is one that is too large to be.
func TestExpressionsBeyondTheBoundsAreRefused(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`Name + repeat("x", 100000000)`:                                 `it repeats a text more than 1,000,000 times (1:8)`,
		`filter(1..5000000, # > int(Age))`:                              `it takes more than 1,000,000 steps (1:9)`,
		`Name ?? map(1..2000, map(1..2000, Age))`:                       `it takes more than 1,000,000 steps`,
		`let days = 1..3000; sum(days, count(days, # > 3))`:             `it takes more than 1,000,000 steps`,
		`Name matches "` + strings.Repeat("(abcdefgh){999}", 9) + `"`:   `the regular expression has more than 10,000 parts`,
		strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300):       `has brackets that are nested more than 200 times`,
		strings.Repeat("!", 10_001) + "true":                            `has more than 10,000 parts`,
		strings.Repeat("(", 60) + "Name" + strings.Repeat(" ?: 1)", 60): `has more than 10,000 parts`,
		strings.Repeat("1 < (", 60) + "2" + strings.Repeat(") < 3", 60): `has more than 10,000 parts`,
	} {
		if err := mapping.Check(expression, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v; want %s", expression, err, want)
		}
		if _, err := mapping.NewScope(mapping.Columns{Names: []string{"Name", "Age"}}, nil).Compile(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s with columns: %v; want %s", expression, err, want)
		}
	}
	for _, expression := range []string{
		`any(1..900000, # > 3)`, `map(1..1000, # > 5 ? 0 : sum(1..1000, #))`, `filter(1..20000, # > 3)`, `Name == "x" || count(1..30000, # > 3) > 2`, `repeat(Name, 1000)`, `int(Age) in 1..2000000`, `"((((((" + Name`,
		strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150), `{` + strings.Repeat(`"A": "Active", `, 500) + `"B": "b"}[Name]`,
	} {
		if err := mapping.Check(expression, nil); err != nil && !strings.Contains(expression, "2000000") {
			t.Errorf("%.80s: %v", expression, err)
		}
	}
}

// What an evaluation may do is as much as any row needs, and means what it means without counting.
func TestBoundsChangeNothingElse(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{"note": strings.Repeat("a", 70_000), "large": strings.Repeat("é", 4<<20), "pattern": "a$|^b", "tags": []any{"a", "b", "a"}, "size": 3})
	expectValues(t, scope, map[string]any{
		`note matches "^a+$"`: true, `note matches "b"`: false, `note matches pattern`: true, `nil matches "b"`: false, `count(uniq([1, 1.0, "1", [1], [1]]), true)`: 3, `max([1, [5, 2]], 3)`: 5, `len(flatten([[1], [2, [3]]]))`: 3, `"a" in ["a", pattern]`: true,
		`trim("xxaxx", "x")`: "a", `trim(pattern, "$")`: "a$|^b", `filter(1..5, # > 3 and # < 5)`: []any{4}, `all(1..3, # > 0) && all(1..3, # < 4)`: true, `map(filter(1..3, # > 1), # * 2)[0]`: 4, `reduce(1..4, #acc + #, 0)`: 10,
		`len(large)`: 4 << 20, `len(upper(large) + "x")`: 4<<20 + 1, `large == large`: true, `large startsWith "é"`: true, `len(split(note, "a"))`: 70_001, `len(repeat("ab", 1000000))`: 2_000_000, `sum(1..100000)`: 5_000_050_000,
		`join(sort(uniq(tags)), "+")`: "a+b", `toJSON(groupBy(tags, #)["a"])`: "[\n  \"a\",\n  \"a\"\n]", `let x = split("Lee, Ann", ", "); x[1] + " " + x[0]`: "Ann Lee", `size in 1..5`: true, `size in 4..5`: false, `len(map(1..size, #))`: 3, `any(tags, # contains "b")`: true, `tags == ["a", "b", "a"]`: true,
		`fromJSON(toJSON({"a": [1, 2]})).a[1]`: 2.0, `replace("a.b.c", ".", "")`: "abc", `replace("a.b.c", ".", "", 1)`: "ab.c", `keys({"a": size})`: []any{"a"}, `tags[0] in tags`: true, `sortBy(tags, #, "desc")[0]`: "b",
	})
	if _, err := mapping.NewScope(mapping.Columns{Names: []string{"a"}}, nil).Compile(`a matches "("`); err == nil || !strings.Contains(err.Error(), "error parsing regexp") {
		t.Errorf("a pattern that is none: %v", err)
	}
}

// A loop ends with its context, which it looks at before its bounds end it.
func TestLoopsEndWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, expression := range []string{`count(1..size*10, # > 3)`, `upper(upper(text))+ upper(text)`, `text matches "a$"`, `sum(list)`} {
		if _, err := evalHostile(ctx, expression); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// The language repeats a text no oftener than it says.
func TestRepeatingTooOften(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{`repeat("x", size * 1000)`, `repeat("x", 1000001)`, `repeat("", size * 1000)`, `repeat("x", size * 1000.0)`} {
		if _, err := evalHostile(t.Context(), expression); err == nil || !strings.Contains(err.Error(), "it repeats a text more than 1,000,000 times") {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// What the expressions of a row give is bounded together, and a row begins anew.
func TestMemoryIsThatOfARow(t *testing.T) {
	defer mapping.SetBounds(1_000_000, 4<<20)()
	for name, expression := range map[string]string{
		"a text that is made": `repeat("xy", 700000)`, "a text of a column": `text + "!"`, "a list": `1..60000`, "a list of texts": `split(texts, ",")`, "texts of a loop": `map(1..20, texts + "")`, "an object": `{"a": text + "", "b": ""}`,
	} {
		scope := typedScope(map[string]any{"text": strings.Repeat("a", 1_300_000), "texts": strings.Repeat("a,", 40_000), "small": "a"})
		large, err := scope.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		small, err := scope.Compile(`small + "!"`)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			scope.Begin()
			var fault *mapping.Error
			values := 0
			for ; fault == nil && values < 10; values++ {
				_, err = large.Eval(t.Context())
				fault, _ = errors.AsType[*mapping.Error](err)
			}
			if values < 2 || values > 8 || fault == nil || !strings.Contains(err.Error(), "the row's values need more than 32 MiB") || !strings.Contains(err.Error(), expression) {
				t.Errorf("%s: value %d of the row: %v", name, values, err)
			}
			if _, err := small.Eval(t.Context()); err != nil {
				t.Errorf("%s: a small value: %v", name, err)
			}
		}
	}
}

// The steps that the expressions of a row take are bounded together, where they count and where they need not as long
// as they are few, and a row begins anew.
func TestStepsAreThoseOfARow(t *testing.T) {
	defer mapping.SetBounds(10_000, 32<<20)()
	for name, of := range map[string]struct {
		expression string
		most       int
	}{
		"a loop": {`len(filter(1..700, # % 7 == 0))`, 10}, "a sum": {`sum(1..900) > 3`, 10}, "a large text": {`upper(text) == "x"`, 500}, "a regular expression": {`text matches "b$"`, 20}, "a loop's regular expression": {`any(1..5, note matches "b$")`, 20}, "a list": {`1..500`, 60},
		"a text without a loop": {`upper(note) == "x"`, 5000}, "a text with parts": {`trim(note) + "!" == upper(note) + "?"`, 2000},
	} {
		scope := typedScope(map[string]any{"text": strings.Repeat("a", 40_000), "note": strings.Repeat("a", 3000), "small": "a"})
		dear, err := scope.Compile(of.expression)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			scope.Begin()
			values := 0
			for ; err == nil && values < of.most; values++ {
				_, err = dear.Eval(t.Context())
			}
			fault, ok := errors.AsType[*mapping.Error](err)
			if !ok || fault.Reason != "with it, the row's expressions take more than 2,000,000 steps" || fault.Expression != of.expression || values < 2 {
				t.Errorf("%s: value %d of the row: %v", name, values, err)
			}
			scope.Begin()
			_, err = dear.Eval(t.Context())
		}
	}
}

// A row of many ordinary expressions is far from its bound.
func TestOrdinaryRowsHaveStepsEnough(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{"note": strings.Repeat("a, ", 1000), "price": json.Number("1234.50"), "day": "31.01.2026", "text": strings.Repeat("é", 1<<19)})
	scope.Begin()
	for range 300 {
		for _, expression := range []string{`trim(note) + "!"`, `split(note, ", ")[1]`, `note matches "^a"`, `round(price * 3, 2)`, `formatDate(date(day, "dd.MM.yyyy"))`, `any(split(day, "."), # == "31")`, `{"A": "Active"}[day] ?? "x"`} {
			if _, err := evaluate(scope, expression); err != nil {
				t.Fatalf("%s: %v", expression, err)
			}
		}
	}
	for range 10 {
		if _, err := evaluate(scope, `len(upper(trim(text)))`); err != nil {
			t.Fatal(err)
		}
	}
}
