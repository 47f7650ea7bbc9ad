package watermark_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"runhook/shared/watermark"
)

func parse(t *testing.T, text string) watermark.Value {
	t.Helper()
	v, err := watermark.Parse(text)
	if err != nil {
		t.Fatalf("%s %v", text, err)
	}
	return v
}

// Values compare by what they are, with all their digits, whatever way they are written in.
func TestCompare(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{
		{
			"-1e300", "-9007199254740993", "-9007199254740992", "-0.1", "0 -0 0.00 0e7", "1e-300", "0.1 1e-1", "0.10000000000000000000000001",
			"1 1.0 1e0 0001 10e-1", "9.99", "10 1e1", "9007199254740992", "9007199254740993", "123456789012345678901234567890",
			"123456789012345678901234567890.1", "1e300",
		},
		{
			"0001-01-01", "2026-01-31 2026-01-31T00:00 2026-01-31T00:00:00.000", "2026-01-31T10:00:00", "2026-01-31T10:00:00.1", "2026-01-31T10:00:00.123456",
			"2026-01-31T10:00:00.1234560001", "2026-01-31T10:00:01,5", "2026-02-01", "9999-12-31T23:59:59.999999999",
		},
		{
			"2026-01-31T09:59:59.9Z", "2026-01-31T10:00:00Z 2026-01-31T12:00:00+02:00 2026-01-31T12:00:00+0200 2026-01-31T05:30:00-04:30 2026-01-31T12:00:00.0+02",
			"2026-01-31T11:00:00+00:59",
		},
	} {
		for i, lower := range list {
			for j, higher := range list[i:] {
				for a := range strings.FieldsSeq(lower) {
					for b := range strings.FieldsSeq(higher) {
						want := -1
						if j == 0 {
							want = 0
						}
						x, y := parse(t, a), parse(t, b)
						got, err := x.Compare(y)
						back, backErr := y.Compare(x)
						if got != want || back != -want || err != nil || backErr != nil {
							t.Errorf("%s and %s: %d and %d, want %d: %v %v", a, b, got, back, want, err, backErr)
						}
					}
				}
			}
		}
	}
	for _, pair := range [][2]string{{"1", "2026-01-31"}, {"2026-01-31T10:00:00", "2026-01-31T10:00:00Z"}} {
		if _, err := parse(t, pair[0]).Compare(parse(t, pair[1])); err == nil {
			t.Errorf("%v are compared", pair)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "abc", "1,5", "--1", "+-1", "1.", ".5", "1e", "1e9999", "0x10", "1_000", "2026-1-31", "2026-02-30", "2026-01-31X10:00", "2026-01-31T", "2026-01-31T25:00",
		"2026-01-31T10:00:00.", "2026-01-31T10:00.5", "2026-01-31T10:00:00.5x", "2026-01-31T10:00:00+25:00", "31.01.2026", "1/31/2026", "2026-01-31T10:00:00Europe/Berlin", strings.Repeat("9", 201),
	} {
		if v, err := watermark.Parse(text); err == nil {
			t.Errorf("%q is %s", text, v.Kind())
		} else if strings.Contains(err.Error(), "abc") {
			t.Errorf("%v has the value", err)
		}
	}
}

// What is in a cell is a value, none, or an error that does not show it.
func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cell   any
		digits bool
		want   string // empty for none
		wrong  string
	}{
		{cell: int64(math.MaxInt64), want: "9223372036854775807"},
		{cell: 0.1, want: "0.1"},
		{cell: json.Number("18446744073709551615"), want: "18446744073709551615"},
		{cell: json.Number("1.10"), want: "1.10"},
		{cell: "2026-01-31T10:00:00.123456Z", want: "2026-01-31T10:00:00.123456Z"},
		{cell: time.Date(2026, 1, 31, 10, 0, 0, 1, time.UTC), want: "2026-01-31T10:00:00.000000001Z"},
		{cell: "104", digits: true, want: "104"},
		{cell: nil},
		{cell: " "},
		{cell: math.NaN()},
		{cell: math.Inf(1)},
		{cell: "infinity"},
		{cell: "-Infinity"},
		{cell: "0000-00-00 00:00:00"},
		{cell: "0044-03-15 BC"},
		{cell: "104", wrong: "orders by its letters"},
		{cell: "SECRET", wrong: "neither a number nor a date"},
		{cell: true, wrong: "neither"},
		{cell: []byte("1"), wrong: "neither"},
		{cell: []any{1}, wrong: "neither"},
	} {
		v, there, err := watermark.Of(c.cell, c.digits)
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v: %v, %v", c.cell, v, err)
			}
		case err != nil, there != (c.want != ""), v.String() != c.want:
			t.Errorf("%v: %s, %v, %v; want %s", c.cell, v, there, err, c.want)
		}
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value string
		span  time.Duration
		count int64
		want  string
	}{
		{"2026-03-01 00:05:00.123456", 10 * time.Minute, 0, "2026-02-28 23:55:00.123456"},
		{"2026-03-29T03:05:00+02:00", 10 * time.Minute, 0, "2026-03-29T02:55:00+02:00"},
		{"2026-01-01T00:00:00Z", time.Second, 0, "2025-12-31T23:59:59Z"},
		{"2026-01-01T00:00", time.Second, 0, "2025-12-31T23:59:59"},
		{"2026-03-01", 10 * time.Minute, 0, "2026-02-28"},
		{"2026-03-01", 24 * time.Hour, 0, "2026-02-28"},
		{"2026-03-01", 25 * time.Hour, 0, "2026-02-27"},
		{"0001-01-01", time.Hour, 0, "0001-01-01"},
		{"100", 0, 30, "70"},
		{"10.25", 0, 11, "-0.75"},
		{"9007199254740993", 0, 1, "9007199254740992"},
		{"1e2", 0, 1, "99"},
		{"100", time.Hour, 0, "100"},
		{"2026-03-01", 0, 7, "2026-03-01"},
	} {
		if got := parse(t, c.value).Before(c.span, c.count).String(); got != c.want {
			t.Errorf("%s less %s or %d is %s, want %s", c.value, c.span, c.count, got, c.want)
		}
	}
}

// Moments that a database compares as text are alike if their letters have their order.
func TestAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b  string
		alike bool
	}{
		{"2026-01-31 10:00:00", "2026-01-31 10:00:00.5", true},
		{"2026-01-31", "2026-01-31 10:00:00", true},
		{"2026-01-31T10:00:00", "2026-01-31 10:00:00", false},
		{"2026-01-31T10:00:00Z", "2026-01-31T10:00:00.5Z", false},
		{"2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z", true},
		{"2026-01-31T10:00:00Z", "2026-01-31T10:00:00+02:00", false},
	} {
		if got := parse(t, c.a).IsAlike(parse(t, c.b)); got != c.alike {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
