package sqldb

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// Values that are not text, as expressions and typed sources give them. Text is tested with a real
// table, in package pipeline.
func TestConvertTypedValues(t *testing.T) {
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	const notNumber, notWhole = "is an infinite number or none (NaN); give another value for it in the mapping, or correct it in the source", "is not a whole number"
	for _, c := range []struct {
		kind  kind
		value any
		want  any
		fault string
	}{
		{integerKind, 42, int64(42), ""},
		{integerKind, int64(math.MaxInt64), int64(math.MaxInt64), ""},
		{integerKind, 42.0, int64(42), ""},
		{integerKind, 42.5, nil, notWhole},
		{integerKind, 1e300, nil, notWhole},
		{integerKind, true, int64(1), ""},
		{integerKind, json.Number("9007199254740993"), int64(9007199254740993), ""},
		{integerKind, json.Number("1.5"), nil, notWhole},
		{integerKind, []any{1}, nil, "is a list or an object, not a single value"},
		{integerKind, noon, nil, notWhole},
		{realKind, 1.5, 1.5, ""},
		{realKind, 2, int64(2), ""},
		{realKind, math.NaN(), nil, notNumber},
		{realKind, math.Inf(1), nil, notNumber},
		{numericKind, json.Number("123456789012345678901.25"), "123456789012345678901.25", ""},
		{numericKind, 1.5, 1.5, ""},
		{booleanKind, false, false, ""},
		{booleanKind, 1, true, ""},
		{booleanKind, 2, nil, booleanKind.problem()},
		{booleanKind, 0.5, nil, booleanKind.problem()},
		{dateKind, noon.Truncate(24 * time.Hour), "2026-01-31", ""},
		{dateKind, noon, nil, dateKind.problem()},
		{dateKind, 20260131, nil, dateKind.problem()},
		{dateKind, true, nil, dateKind.problem()},
		{dateTimeKind, noon, "2026-01-31T12:00:00Z", ""},
		{timeKind, time.Hour, nil, timeKind.problem()},
		{textKind, 42, "42", ""},
		{textKind, true, "true", ""},
		{textKind, json.Number("1.10"), "1.10", ""},
		{textKind, map[string]any{}, nil, "is a list or an object, not a single value"},
		{anyKind, 42, int64(42), ""},
		{anyKind, json.Number("7"), int64(7), ""},
		{anyKind, json.Number("1.10"), 1.1, ""},
		{anyKind, json.Number("-0"), int64(0), ""},
		{anyKind, json.Number("1e3"), 1000.0, ""},
		{anyKind, json.Number("12345678901234567890"), nil, tooExact},
		{anyKind, json.Number("0.1000000000000000055511151231257827"), 0.1, ""},
		{anyKind, json.Number("0.1000000000000000055511151231257828"), nil, tooExact},
		{anyKind, math.NaN(), nil, notNumber},
		{anyKind, math.Inf(-1), nil, notNumber},
		{realKind, int64(1) << 53, int64(1) << 53, ""},
		{realKind, int64(1)<<53 + 1, nil, tooExact},
		{realKind, int64(math.MaxInt64), nil, tooExact},
		{realKind, json.Number("9007199254740993"), nil, tooExact},
		{realKind, "0.10000000000000001", 0.1, ""}, // as programs write a double in 17 digits
		{realKind, "0.100000000000000011", nil, tooExact},
		{realKind, "5e-324", 5e-324, ""},
		{realKind, "4e-324", nil, tooExact},
		{realKind, "1e-400", nil, tooExact},
		{integerKind, "12.0", int64(12), ""},
		{integerKind, "1e3", int64(1000), ""},
		{integerKind, "1e+05", int64(100000), ""},
		{integerKind, "-1000000000000000.0", int64(-1000000000000000), ""},
		{integerKind, "1.5e1", int64(15), ""},
		{integerKind, json.Number("9007199254740993.0"), int64(9007199254740993), ""},
		{integerKind, "1.5", nil, notWhole},
		{integerKind, "1e-1", nil, notWhole},
		{integerKind, "1e19", nil, tooLarge},
		{integerKind, "1e999999999999999999999", nil, tooLarge},
		{integerKind, "1e", nil, notWhole},
		{integerKind, "e5", nil, notWhole},
		{dateKind, "2026-01-31 00:00:00+00", "2026-01-31", ""},
		{dateKind, "2026-01-31T00:00:00.000 +0000", "2026-01-31", ""},
		{dateKind, "2026-01-31 00:00:00+01", nil, dateKind.problem()},
		{dateTimeKind, "2026-01-31 12:00:00+00", "2026-01-31 12:00:00+00:00", ""},
		{dateTimeKind, "2026-01-31T12:00:00-0530", "2026-01-31T12:00:00-05:30", ""},
		{dateTimeKind, "2026-01-31 12:00:00 +02:00", "2026-01-31 12:00:00 +02:00", ""},
		{dateTimeKind, "2026-01-31 12:00:00.1234567 +0200", "2026-01-31 12:00:00.1234567 +02:00", ""},
		{dateTimeKind, "2026-01-31T12:00:00,123", "2026-01-31T12:00:00.123", ""},
		{dateTimeKind, "2026-01-31 9:30", "2026-01-31 09:30", ""},
		{dateTimeKind, "2026-01-31t12:00:00z", "2026-01-31T12:00:00Z", ""},
		{dateTimeKind, "2026-01-31 12:00:00 UTC", "2026-01-31 12:00:00 Z", ""},
		{dateTimeKind, "2026-01-31 12:00:00 EST", nil, dateTimeKind.problem()},
		{dateTimeKind, "2026-01-31 12:00:00+2", nil, dateTimeKind.problem()},
		{dateTimeKind, "2026-01-31T24:00:00", nil, dateTimeKind.problem()},
		{timeKind, "12:00:00,123", "12:00:00.123", ""},
		{timeKind, "9:30", "09:30", ""},
		{timeKind, "12:00:00+02", nil, timeKind.problem()},
		{anyKind, noon, "2026-01-31T12:00:00Z", ""},
		{anyKind, []string{"a"}, nil, "is a list or an object, not a single value"},
		{integerKind, nil, nil, ""},
		{textKind, nil, nil, ""},
	} {
		got, fault := c.kind.convert(c.value)
		if got != c.want || fault != c.fault {
			t.Errorf("kind %d, %T %v: %#v, %q; want %#v, %q", c.kind, c.value, c.value, got, fault, c.want, c.fault)
		}
		if fault != "" {
			continue
		}
		// A batch that is written again converts what was converted.
		if again, fault := c.kind.convert(got); again != got || fault != "" {
			t.Errorf("kind %d: %#v converted again is %#v, %q", c.kind, got, again, fault)
		}
	}
}

func FuzzConvertText(f *testing.F) {
	for _, text := range []string{"", "1", "-1.5e3", "yes", "2026-01-31", "2026-01-31T00:00:00Z", "18:30", "+-1", ".", "1e", "e5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for k := anyKind; k <= timeKind; k++ {
			got, fault := k.convert(text)
			if (fault != "") && got != nil {
				t.Errorf("kind %d, %q: %v and %q", k, text, got, fault)
			}
			if again, fault2 := k.convert(got); fault == "" && (again != got || fault2 != "") {
				t.Errorf("kind %d, %q: %#v converted again is %#v, %q", k, text, got, again, fault2)
			}
		}
	})
}
