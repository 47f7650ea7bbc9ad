package mapping_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// A duration is what was calculated, or the row fails: it does not turn negative, and does not stop at the longest.
func TestDurationsAreExactOrNone(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{
		"hour": time.Hour, "long": 2_562_047 * time.Hour, "least": time.Duration(math.MinInt64), "many": int64(100_000_000_000), "two": json.Number("2"), "half": json.Number("0.5"),
		"old": time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC), "day": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
	})
	for _, expression := range []string{
		`duration("1h") * 100000000000`, `100000000000 * duration("1h")`, `hour * many`, `many * hour`, `hour * 1e10`, `hour * number("1e12")`, `duration("2562047h") + duration("10h")`, `long + long`, `-duration("2562047h") - duration("10h")`, `-long - long`, `hour - least`,
		`date("2300-01-01") - date("1900-01-01")`, `date("1900-01-01") - date("2300-01-01")`, `day - old`, `day.Sub(old)`, `old.Sub(date("2026-01-01"))`, `now() - old`, `now().Sub(old)`, `-least`, `abs(least)`, `reduce([1, 2], #acc + long, hour)`, `map([old], day - #)`, `map(1..2, long * #)`,
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got, err := program.Eval(t.Context())
		if fault, ok := errors.AsType[*mapping.Error](err); !ok || fault.Reason != "a duration has at most 292 years; compare the dates themselves, or calculate with their Year()" || fault.At < 1 {
			t.Errorf("%s = %v, %v", expression, got, err)
		}
	}
	for expression, why := range map[string]string{
		`hour * hour`: "multiplies a duration by a duration", `duration("1h") * duration("1h")`: "multiplies a duration by a duration", `hour + 1`: "a duration and a number together", `hour * "a"`: "a duration and a text together", `hour / 0`: "divides by 0", `hour / duration("0s")`: "divides by 0", `long / 0.5`: "292 years", `hour / "a"`: "a duration and a text together", `2 / hour`: "a duration and a number together", `hour - many`: "Hours(), Minutes() and Seconds() are numbers", `"a" + hour`: "a duration and a text together",
		`duration("1h") + 1`: "+ cannot take a duration and a number together; a duration's Hours()", `1 - duration("1h")`: "- cannot take a duration", `duration("1h") % 2`: "% cannot take a duration", `date("2026-01-31") + 1`: `+ cannot take a date and a number together`, `date("2026-01-31") * 2`: "* cannot take a date",
	} {
		if got, err := evaluate(scope, expression); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, why)
		}
	}
	expectValues(t, scope, map[string]any{
		`hour * 2`: 2 * time.Hour, `2 * duration("1h")`: 2 * time.Hour, `hour * -2`: -2 * time.Hour, `hour * two`: 2 * time.Hour, `hour * 1.5`: 90 * time.Minute, `half * hour`: 30 * time.Minute, `hour * half * two`: time.Hour, `hour * nil`: nil,
		`duration("2562047h") + duration("40m")`: 2_562_047*time.Hour + 40*time.Minute, `hour - duration("2h")`: -time.Hour, `least + hour`: math.MinInt64 + time.Hour, `abs(-hour)`: time.Hour, `-hour`: -time.Hour,
		`date("2190-01-01") - date("1900-01-01")`: 105_921 * 24 * time.Hour, `day.Sub(date("2026-01-30"))`: 24 * time.Hour, `date(nil).Sub(day)`: nil, `day.Sub(day).Hours()`: 0.0, `(duration("1h") + duration("30m")).Hours()`: 1.5, `duration("90m").Hours()`: 1.5,
		`duration("1h") / 2`: 30 * time.Minute, `hour / two`: 30 * time.Minute, `hour / half`: 2 * time.Hour, `hour / 3`: 20 * time.Minute, `hour / duration("40m")`: json.Number("1.5"), `hour / nil`: nil, `least / 2`: time.Duration(math.MinInt64 / 2),
		`day + hour`: day(1), `day - duration("-1h")`: day(1), `hour + day`: day(1), `day - date("2026-01-31") == duration("0s")`: true,
	})
}

func day(hour int) time.Time { return time.Date(2026, 1, 31, hour, 0, 0, 0, time.UTC) }

// Whole numbers that are written out have more than 64 bits where they need them, as columns do.
func TestLiteralsDoNotWrap(t *testing.T) {
	t.Parallel()
	scope := mapping.NewScope(mapping.Columns{Names: []string{"ID"}, Text: true}, nil)
	scope.Row[0] = ""
	expectValues(t, scope, map[string]any{
		`9223372036854775807 + 1`: json.Number("9223372036854775808"), `9223372036854775807 * 2`: json.Number("18446744073709551614"), `3000000000 * 3000000000 * 3`: json.Number("27000000000000000000"), `0 - 9223372036854775807 - 2`: json.Number("-9223372036854775809"),
		`2147483648 * 2147483648`: 1 << 62, `(len(ID) + 1) * 3`: 3, `(len(ID) - 9223372036854775807) * 9`: json.Number("-83010348331692982263"), `7 - 9`: -2,
	})
}

// A zero has no sign, and JSON has a duration as a text.
func TestZerosAndDurationsAsTexts(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{"zero": math.Copysign(0, -1), "half": -0.5, "took": 90 * time.Minute, "list": []any{time.Hour, map[string]any{"a": time.Second, "b": []any{json.Number("1.0"), nil}}}})
	expectValues(t, scope, map[string]any{
		`string(ceil(-0.5))`: "0", `string(ceil(half))`: "0", `string(float("-0"))`: "0", `string(float("-0.0"))`: "0", `string(zero)`: "0", `string(-float("0"))`: "0", `string(half * 0)`: "0", `string(round(half / 2))`: "0", `string(float(zero))`: "0", `string(min(zero, 0.5))`: "0", `string(abs(zero))`: "0", `string(-half)`: "0.5",
		`toJSON(took)`: `"1h30m0s"`, `toJSON(duration("1h"))`: `"1h0m0s"`, `toJSON([took])[4:13]`: `"1h30m0s"`, `fromJSON(toJSON(list))`: []any{"1h0m0s", map[string]any{"a": "1s", "b": []any{1.0, nil}}}, `toJSON(nil)`: "null", `toJSON(float("-0"))`: "0", `toJSON(float(zero))`: "0", `toJSON("x")`: `"x"`, `toJSON({"a": took}) contains "1h30m0s"`: true,
	})
	for _, expression := range []string{`toJSON(reduce(1..60, [#acc, #acc], [1]))`, `toJSON(reduce(1..1000, [#acc], [1]))`} {
		if got, err := evaluate(scope, expression); err == nil {
			t.Errorf("%s has %d bytes", expression, len(got.(string)))
		}
	}
	if got := mapping.Shown(math.Copysign(0, -1)); math.Signbit(got) {
		t.Error("a negative zero is shown")
	}
}
