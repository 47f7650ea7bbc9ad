package mapping_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// A power of whole or exact numbers has all digits, as their products do.
func TestPowersAreExact(t *testing.T) {
	t.Parallel()
	expectValues(t, typedScope(map[string]any{
		"three": int64(3), "forty": json.Number("40"), "price": json.Number("19.90"), "half": json.Number("0.5"), "four": json.Number("4.0"), "double": 1.5, "vast": json.Number("99999999999999999999"),
	}), map[string]any{
		`3 ** 40`: json.Number("12157665459056928801"), `3 ^ 40`: json.Number("12157665459056928801"), `number("3") ** 40`: json.Number("12157665459056928801"), `three ** forty`: json.Number("12157665459056928801"), `(-3) ** 41`: json.Number("-36472996377170786403"), `3 ** 39`: 4052555153018976267,
		`10 ** 16 + 1`: 10_000_000_000_000_001, `10 ** 18 - 1`: 999_999_999_999_999_999, `7 ** 22 % 10`: 9, `2 ** 63`: json.Number("9223372036854775808"), `(-2) ** 63`: -1 << 63, `three ** four`: 81, `2 ** number("10.00")`: 1024,
		`price ** 2`: json.Number("396.0100"), `price ** 0`: json.Number("1"), `half ** 3`: json.Number("0.125"), `number("-0.1") ** 3`: json.Number("-0.001"), `0 ** 0`: 1, `0 ** vast`: 0, `1 ** vast`: 1, `(-1) ** vast`: -1,
		`10 ** 999`: json.Number("1" + strings.Repeat("0", 999)), `number("0.1") ** 998`: json.Number("0." + strings.Repeat("0", 997) + "1"), `map(1..3, # ** 30)[1]`: 1 << 30, `reduce(1..3, #acc ** 2, 3)`: 6561, `nil ** 2`: nil, `2 ** nil`: nil,
		`2 ** -1`: 0.5, `number("2") ** -2`: 0.25, `half ** number("-1.0")`: 2.0, `2 ** 0.5`: 1.4142135623731, `double ** 2`: 2.25, `4 ** float(half)`: 2.0, `float(three) ** 40`: 1.21576654590569e19, `four ** -half`: 0.5,
	})
}

// A power that has no exact result, or too long a one, fails its row.
func TestPowersThatAreNone(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{"half": json.Number("0.5"), "seven": 7, "vast": json.Number("99999999999999999999"), "tenth": json.Number("0.1")})
	for expression, why := range map[string]string{
		`4 ** half`: "the exponent is no whole number; float(…)", `seven ** number("1.5")`: "no whole number", `half ** half`: "no whole number", `10 ** 1000`: "more than 1,000 digits", `seven ** vast`: "more than 1,000 digits", `tenth ** 999`: "more than 1,000 digits", `tenth ** vast`: "more than 1,000 digits", `seven ** 9223372036854775807`: "more than 1,000 digits",
		`vast ** vast`: "more than 1,000 digits", `9 ** 9 ** 9`: "more than 1,000 digits", `0 ** -1`: "is no number", `seven ** "a"`: "takes a number, and gets a text",
	} {
		got, err := evaluate(scope, expression)
		if fault, ok := errors.AsType[*mapping.Error](err); !ok && !strings.Contains(err.Error(), "mismatched types") || ok && (!strings.Contains(fault.Reason, why) || fault.At < 1) {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, why)
		}
	}
	for expression, want := range map[string]reflect.Kind{`3 ** 40`: reflect.Int, `int("3") ** 2`: reflect.Int, `2 ** -1`: reflect.Float64, `2 ** 0.5`: reflect.Float64, `2 ** int("3")`: reflect.Float64, `1.5 ** 2`: reflect.Float64, `seven ** 2`: reflect.Interface} {
		if program, err := scope.Compile(expression); err != nil || program.Kind() != want {
			t.Errorf("%s: %v, %v; want %s", expression, program.Kind(), err, want)
		}
	}
}
