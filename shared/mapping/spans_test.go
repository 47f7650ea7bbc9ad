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
	for expression, why := range map[string]string{`hour * hour`: "multiplies a duration by a duration", `duration("1h") * duration("1h")`: "multiplies a duration by a duration", `hour + 1`: "a duration and a whole number together", `hour * "a"`: "a duration and a text together"} {
		if got, err := evaluate(scope, expression); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, why)
		}
	}
	expectValues(t, scope, map[string]any{
		`hour * 2`: 2 * time.Hour, `2 * duration("1h")`: 2 * time.Hour, `hour * -2`: -2 * time.Hour, `hour * two`: 2 * time.Hour, `hour * 1.5`: 90 * time.Minute, `half * hour`: 30 * time.Minute, `hour * half * two`: time.Hour, `hour * nil`: nil,
		`duration("2562047h") + duration("40m")`: 2_562_047*time.Hour + 40*time.Minute, `hour - duration("2h")`: -time.Hour, `least + hour`: math.MinInt64 + time.Hour, `abs(-hour)`: time.Hour, `-hour`: -time.Hour,
		`date("2190-01-01") - date("1900-01-01")`: 105_921 * 24 * time.Hour, `day.Sub(date("2026-01-30"))`: 24 * time.Hour, `date(nil).Sub(day)`: nil, `day.Sub(day).Hours()`: 0.0, `(duration("1h") + duration("30m")).Hours()`: 1.5, `duration("90m").Hours()`: 1.5,
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
