package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// evalText evaluates an expression for a row of the one column v, a text.
func evalText(t *testing.T, expression string, cell any) (any, error) {
	t.Helper()
	scope := mapping.NewScope(mapping.Columns{Names: []string{"v"}}, nil)
	program, err := scope.Compile(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	scope.Row[0] = cell
	return program.Eval(t.Context())
}

// Zones are read as PostgreSQL, DuckDB, Java, Python and SQL Server write them.
func TestMomentsAsProgramsWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-31 12:00:00+00": "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+0000": "2026-01-31T12:00:00Z", "2026-01-31 12:00:00 +02:00": "2026-01-31T12:00:00+02:00",
		"2026-01-31 12:00:00-05": "2026-01-31T12:00:00-05:00", "2026-01-31 12:00:00.123456+00": "2026-01-31T12:00:00.123456Z", "2026-01-31 12:00 -0330": "2026-01-31T12:00:00-03:30",
		"2026-01-31 12:00:00 UTC": "2026-01-31T12:00:00Z", "2026-01-31t12:00:00z": "2026-01-31T12:00:00Z", "2026-01-31T12:00Z": "2026-01-31T12:00:00Z", "2026-01-31 12:00:00.1234567 +02:00": "2026-01-31T12:00:00.1234567+02:00",
		"2026-01-31T12:00:00,123": "2026-01-31T12:00:00.123Z", "2026-01-31 12:00": "2026-01-31T12:00:00Z", "2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31 12:00:00+05:45": "2026-01-31T12:00:00+05:45",
	} {
		got, err := evalText(t, `date(v)`, text)
		if at, ok := got.(time.Time); err != nil || !ok || at.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"2026-01-31T24:00:00", "2026-06-30T23:59:60Z", "2026-01-31 12:00:00 EST", "2026-01-31 12:00:00+", "2026-01-31 12:00:00+2", "2026-01-31 12:00:00 +02:0", "2026-01-31 ", "2026-01-31x12:00:00", "2026-01-31 12", "2026-02-30", "20260131", "2026-01-31 +02:00",
	} {
		if got, err := evalText(t, `date(v + "")`, text); err == nil && text != "2026-01-31 " {
			t.Errorf("%q is %v", text, got)
		}
	}
	for text, want := range map[string]string{"31.01.2026 12:00 +02:00": "10", "31.01.2026 12:00 +0200": "10", "31.01.2026 12:00 +02": "10", "31.01.2026 12:00 Z": "12"} {
		if got, err := evalText(t, `formatDate(date(v, "dd.MM.yyyy HH:mm zzz").UTC(), "HH")`, text); err != nil || got != want {
			t.Errorf("%q in a format with zzz is at %v, %v; want %s", text, got, err, want)
		}
	}
	// No rounding makes the next day of a day's last moment.
	for _, last := range []string{"2026-01-31 23:59:59.999999", "2026-01-31T23:59:59.9999999Z", "2026-01-31 23:59:59,9996+00"} {
		if got, err := evalText(t, `formatDate(v, "yyyy-MM-dd HH:mm:ss.SSS")`, last); err != nil || got != "2026-01-31 23:59:59.999" {
			t.Errorf("%q is %v, %v", last, got, err)
		}
	}
}

// Years of two digits are in the hundred years that the page says, or that date is told.
func TestYearsOfTwoDigits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, text, want string }{
		{`date(v, "dd.MM.yy")`, "31.01.69", "1969"},
		{`date(v, "dd.MM.yy")`, "31.01.68", "2068"},
		{`date(v, "dd.MM.yy")`, "31.01.00", "2000"},
		{`date(v, "dd.MM.yy", 1930)`, "31.01.30", "1930"},
		{`date(v, "dd.MM.yy", 1930)`, "31.01.29", "2029"},
		{`date(v, "dd.MM.yy", 1930)`, "31.01.99", "1999"},
		{`date(v, "dd.MM.yy", 1930)`, "31.01.45", "1945"},
		{`date(v, "MM/dd/yy", 1900)`, "01/31/26", "1926"},
		{`date(v, "MM/dd/yy", 2000)`, "01/31/99", "2099"},
		{`date(v, "MM/dd/yy", 1850)`, "01/31/49", "1949"},
		{`date(v, "yyMMdd", "Europe/Paris", 1927)`, "260131", "2026"},
		{`date(v, "yyMMdd", "Europe/Paris", 1926)`, "260131", "1926"},
		{`date(v, "dd.MM.yy", 1930)`, "29.02.00", "2000"},
		{`date(v, "dd.MM.yy", 1930)`, "29.02.36", "1936"},
	} {
		if got, err := evalText(t, `formatDate(`+c.expression+`, "yyyy")`, c.text); err != nil || got != c.want {
			t.Errorf("%s of %s is in %v, %v; want %s", c.expression, c.text, got, err, c.want)
		}
	}
	if got, err := evalText(t, `date(v, "dd.MM.yy", 1900)`, "29.02.00"); err == nil || !strings.Contains(err.Error(), "a year that has none") {
		t.Errorf("29.02.1900 is %v, %v", got, err)
	}
	scope := mapping.NewScope(mapping.Columns{Names: []string{"v"}, Text: true}, nil)
	for expression, want := range map[string]string{
		`date(v, "dd.MM.yyyy", 1930)`: "takes a first year only for a format with yy", `date(v, "dd.MM.yy", 0)`: "must be one like 1930", `date(v, "dd.MM.yy", 99999)`: "must be one like 1930",
	} {
		if _, err := scope.Compile(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", expression, err)
		}
	}
	for expression, cautions := range map[string]int{
		`date(v, "dd.MM.yy")`: 1, `formatDate(date(v, "MM/dd/yy"), "yyyy")`: 1, `date(v, "dd.MM.yy", "Europe/Paris")`: 1, `date(v, "dd.MM.yy", 1930)`: 0, `date(v, "dd.MM.yyyy")`: 0, `formatDate(v, "dd.MM.yy")`: 0,
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		got := program.Cautions()
		if len(got) != cautions || cautions == 1 && !strings.Contains(got[0], "69 to 99 mean 1969 to 1999") {
			t.Errorf("%s has the cautions %q", expression, got)
		}
	}
}

// Whole numbers are read as programs write them, and none becomes another.
func TestWholeNumbersAsProgramsWriteThem(t *testing.T) {
	t.Parallel()
	for cell, want := range map[any]int{
		"1e+05": 100000, "100.0": 100, "1000000000000000.0": 1_000_000_000_000_000, "1E3": 1000, "-12.00": -12, " 42 ": 42, "1.5e1": 15, "0.0": 0, "9223372036854775807": 9223372036854775807, "9223372036854775807.0": 9223372036854775807,
		1e15: 1_000_000_000_000_000, 12.0: 12,
	} {
		if got, err := evalText(t, `int(v)`, cell); err != nil || got != want {
			t.Errorf("int of %v is %v, %v; want %d", cell, got, err, want)
		}
	}
	for _, cell := range []any{"1e-1", "100.5", "1e30", "9223372036854775808", "1,000", "1e", "", "0x10", "1_000", 1e300, -1e19, 9.3e18} {
		if got, err := evalText(t, `int(v)`, cell); err == nil {
			t.Errorf("int of %v is %v", fmt.Sprint(cell), got)
		}
	}
}

// A time that the clocks of a zone skip is no time, and one that they show twice is the first.
func TestClocksThatChange(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"2026-10-25 02:30", "Europe/Paris", "2026-10-25T00:30:00Z"},
		{"2026-11-01 01:30", "America/New_York", "2026-11-01T05:30:00Z"},
		{"2026-04-05 01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"},
		{"2026-10-25 03:00", "Europe/Paris", "2026-10-25T02:00:00Z"},
		{"2026-10-25 01:59", "Europe/Paris", "2026-10-24T23:59:00Z"},
		{"2026-03-29 03:00", "Europe/Paris", "2026-03-29T01:00:00Z"},
		{"2026-03-29 01:59", "Europe/Paris", "2026-03-29T00:59:00Z"},
		{"2026-07-01 12:00", "Asia/Tokyo", "2026-07-01T03:00:00Z"},
		{"2026-03-29 02:30", "Europe/Paris", ""},
		{"2026-03-29 02:00", "Europe/Berlin", ""},
		{"2026-03-08 02:59", "America/New_York", ""},
		{"2026-10-04 02:15", "Australia/Lord_Howe", ""},
		{"2011-12-30 12:00", "Pacific/Apia", ""},
		{"2026-03-29 02:30", "UTC", "2026-03-29T02:30:00Z"},
	} {
		got, err := evalText(t, `date(v, "yyyy-MM-dd HH:mm", "`+c[1]+`").UTC()`, c[0])
		if at, _ := got.(time.Time); c[2] == "" && (err == nil || !strings.Contains(err.Error(), "skip the time")) || c[2] != "" && (err != nil || at.Format(time.RFC3339) != c[2]) {
			t.Errorf("%s in %s is %v, %v; want %s", c[0], c[1], got, err, c[2])
		}
	}
	if got, err := evalText(t, `date(v, "yyyy-MM-dd HH:mm zzz", "Europe/Paris").UTC().Hour()`, "2026-03-29 02:30 +02:00"); err != nil || got != 0 {
		t.Errorf("a text with a zone: %v, %v", got, err)
	}
}
