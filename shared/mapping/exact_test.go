package mapping_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// exactScope has a row of a database or a web service.
func exactScope() *mapping.Scope {
	return typedScope(map[string]any{
		"one": json.Number("1"), "dues": json.Number("19.90"), "big": int64(math.MaxInt64), "least": int64(math.MinInt64), "count": 5, "float": 1.5,
		"list": []any{json.Number("2.5"), json.Number("9007199254740993"), json.Number("1.0")}, "object": map[string]any{"a": json.Number("1")},
		"blob": []byte{0xff, 'A'}, "other": []byte{0xfe, 'A'}, "word": []byte("Zoë"), "accent": "Ëvé", "inf": math.Inf(-1), "nan": math.NaN(), "none": nil,
	})
}

// Numbers with digits are what they are worth, in lists too, and no function rounds them.
func TestExactNumbersInFunctionsAndLists(t *testing.T) {
	t.Parallel()
	expectValues(t, exactScope(), map[string]any{
		`one in [1, 2]`: true, `one in [1.0, "x"]`: true, `one not in [2, 3]`: true, `dues in [19.9]`: true, `one in list`: true, `1 in list`: true, `one in 1..3`: true, `"1" in [one]`: true,
		`none in [1]`: false, `none in [nil]`: true, `[one] in [[1], [2]]`: true, `count in [5]`: true, `float in [1, 1.5]`: true, `any(list, # in [2.5])`: true,
		`list == [2.5, 9007199254740993, 1]`: true, `list != [2.5, 9007199254740992, 1]`: true, `[one] == [1]`: true, `object == {"a": 1.0}`: true, `object == {"a": 2}`: false, `object == {"b": 1}`: false, `uniq([one, 1, 1.0, 2, "1"])`: []any{json.Number("1"), 2, "1"},
		`max(list)`: json.Number("9007199254740993"), `min(list, 2)`: json.Number("1.0"), `max(dues, 19.89)`: json.Number("19.90"), `max(1, count)`: 5, `max(none, 1)`: nil, `max([1, [dues]])`: json.Number("19.90"), `min(0.5, float)`: 0.5,
		`mean(dues, 20.10)`: json.Number("20"), `mean([9007199254740993, 9007199254740995])`: json.Number("9007199254740994"), `mean(1, 2)`: 1.5, `median(list)`: json.Number("2.5"), `median(dues, 20)`: json.Number("19.95"), `median(big, big)`: json.Number("9223372036854775807"), `median(3, 1, 2)`: 2.0,
		`abs(-dues)`: json.Number("19.90"), `floor(number("-9007199254740993.5"))`: json.Number("-9007199254740994"), `ceil(number("9007199254740992.5"))`: json.Number("9007199254740993"), `floor(dues)`: json.Number("19"), `ceil(float)`: 2.0, `abs(least)`: json.Number("9223372036854775808"),
		`sort(list)`: []any{json.Number("1.0"), json.Number("2.5"), json.Number("9007199254740993")}, `sort([dues, 3], "desc")[1]`: 3, `sortBy(list, #)[0]`: json.Number("1.0"), `sortBy(list, -#)[2]`: json.Number("1.0"), `sortBy(["b", "a"], #)[0]`: "a",
		`big + 1`: json.Number("9223372036854775808"), `least - 1`: json.Number("-9223372036854775809"), `big * 2`: json.Number("18446744073709551614"), `-1 * least`: json.Number("9223372036854775808"), `-least`: json.Number("9223372036854775808"), `least + -1 + 1`: json.Number("-9223372036854775808"), `sum([big, big, count])`: json.Number("18446744073709551619"),
		`big - 1`: math.MaxInt64 - 1, `least + 1`: math.MinInt64 + 1, `count * -5`: -25, `count - 9`: -4, `0 * least`: 0, `big + 0`: math.MaxInt64, `least - 0`: math.MinInt64, `date("2026-01-02") - date("2026-01-01") == duration("24h")`: true,
	})
}

// No infinite number, none that is none, and no text of bytes that are none goes on from an expression; the reason
// says what to do.
func TestValuesThatAreNone(t *testing.T) {
	t.Parallel()
	scope := exactScope()
	for expression, why := range map[string]string{
		`float * 1e308 * 10`: "too large", `inf + 1`: "too large", `inf - inf`: "is no number", `1e308 + 1e308`: "too large", `float / 0`: "divides by 0", `nan / 2`: "divides by 0", `nan * 2`: "no number",
		`mean(1e308, 1e308)`: "too large", `abs(inf)`: "too large", `floor(nan)`: "no number", `float("Infinity")`: "not a number", `float("-inf")`: "not a number", `float("NaN")`: "not a number", `string(inf)`: "infinite", `string(nan)`: "NaN", `float ** 9999`: "too large",
		`string(blob)`: "map the column itself", `string(other)`: "base64", `"x" + (string(blob) ?? "")`: "base64", `{"A": 1}[blob]`: "compares binary data with a text",
		`fromBase64("/w==")`: "bytes(…) gives the data", `string(bytes("/w=="))`: "map the column itself", `bytes("%")`: "the text is not base64", `bytes("QUI")`: "the text is not base64", `bytes(7)`: "a text in base64", `accent[:1]`: "cuts a letter in two", `upper(accent[1:])`: "cuts a letter in two", `accent[2:4] + "x"`: "cuts a letter in two", `sort([dues, "a"])`: "a list of numbers", `max(dues, "a")`: "takes numbers",
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got, err := program.Eval(t.Context())
		if fault, ok := errors.AsType[*mapping.Error](err); !ok || !strings.Contains(fault.Reason, why) || fault.At < 1 {
			t.Errorf("%s = %#v, %v; want %q", expression, got, err, why)
		}
	}
	expectValues(t, scope, map[string]any{`string(word)`: "Zoë", `accent[2:3] + accent[:2]`: "vË", `accent[9:]`: "", `none[1:]`: nil, `list[1:2][0]`: json.Number("9007199254740993"), `fromBase64("QQ==")`: "A", `bytes("/wD+")`: []byte{0xff, 0, 0xfe}, `bytes(" QUJD\nRA==\n")`: []byte("ABCD"), `bytes(blob)`: []byte{0xff, 'A'}, `bytes("")`: nil, `bytes(none)`: nil, `toBase64(string(bytes("QQ==")))`: "QQ==", `blob`: []byte{0xff, 'A'}, `len(blob)`: 2, `inf < 0`: true})
}

// A column that is made for the largest or the mean of numbers is one of numbers.
func TestKindsOfExactFunctions(t *testing.T) {
	t.Parallel()
	scope := mapping.NewScope(mapping.Columns{Names: []string{"a"}, Text: true}, nil)
	for expression, want := range map[string]string{
		`max(int(a), 2)`: "int", `min([int(a), float(a)])`: "float64", `mean(int(a), 2)`: "float64", `median([1, int(a)])`: "float64", `max(number(a), 2)`: "interface", `mean([number(a)])`: "interface", `max(1, 2) / 2`: "float64", `-float(a) + 1`: "interface",
	} {
		if program, err := scope.Compile(expression); err != nil || program.Kind().String() != want {
			t.Errorf("%s: %v, %v; want %s", expression, program.Kind(), err, want)
		}
	}
}
