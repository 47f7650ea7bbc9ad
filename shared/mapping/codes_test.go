package mapping_test

import (
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// A code, a date or a phone number without quotes is no calculation.
func TestCodesAreNotCalculated(t *testing.T) {
	for _, expression := range []string{"007", "00501", "2026-01-31", " 555-1234", "1-800-555-1234", "01/31/2026", "08-15"} {
		if err := mapping.Check(expression, nil); err == nil || !strings.Contains(err.Error(), `in two kinds of them: '"`+strings.TrimSpace(expression)+`"'`) {
			t.Errorf("%s: %v", expression, err)
		}
	}
	for _, expression := range []string{"0", "42", "-1", "1.5", "0.5", "1e3", "24*60", "1/3", `"007"`, "x - 1", "0x1f"} {
		if err := mapping.Check(expression, nil); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// Nor is it one as a part of an expression.
func TestCodesInExpressions(t *testing.T) {
	for expression, code := range map[string]string{
		`x == "unknown" ? 2026-01-31 : x`: "2026-01-31", `x == "" ? 555-1234 : x`: "555-1234", `x == "" ? 001 : 002`: "001", `coalesce(x, 00501)`: "00501", `{"1": 01}[x]`: "01", `string(007)`: "007",
		`x in [007, 8]`: "007", `x == -007`: "007", `int(x) - 007`: "007", `{01: 02}[x]`: "02", `x ?? 1-800-555-1234`: "1-800-555-1234", `x == 1/31/2026`: "1/31/2026", `[2026-12]`: "2026-12", `x ?? 2025/26`: "2025/26", `coalesce(x, 90210-1234)`: "90210-1234", `x ?? +1-555-1234`: "1-555-1234",
		`x ?? 12-31-1999 + 1`: "12-31-1999", `date(2026-1-31)`: "2026-1-31", `"x" + string( 010 )`: "010", `/* as it was */ x ?? 003`: "003", `x in 01..12`: "01", "x == \"\" ?\n 0042 : x": "0042", `"é" + string(007)`: "007",
	} {
		err := mapping.Check(expression, nil)
		if err == nil || !strings.HasPrefix(err.Error(), code+" would be calculated; a text stands in quotes, as in \""+code+"\"") || !strings.Contains(err.Error(), "^") {
			t.Errorf("%s: %v", expression, err)
		}
	}
	for _, expression := range []string{
		`year - 1900`, `year-1900`, `x == "" ? 10-2 : x`, `int(x) + 10-2`, `int(x)-555-1234`, `(int(x))-10-20-30`, `list[1]-555-1234`, `2026 - 1 - 31`, `coalesce(x, 555 - 1234)`, `coalesce(x, 1000/12)`, `1 / 3`, `coalesce(x, 24*60*60)`, `0.5 + int(x)`, `[0, 10, 100]`, `1..10`, `x[0:3]`, `0x1f - 0b01`, `1_000-500`, `1e-05 + 0`,
		`x == "007"`, `x == '2026-01-31'`, `x == "555-1234" ? "001" : "a 002"`, "x == `007`", `{01: "Jan", 02: "Feb"}[x]`, `{"007": "Bond"}[x]`, `row["Line 02"]`, `x matches "^0[0-9]{3}-[0-9]{4}$"`, `date(x, "dd.MM.yy", 1930)`, `"it's" + x + "007"`, `"\"" + x + "007"`, `/* 007 */ x`,
	} {
		if err := mapping.Check(expression, nil); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// What stands behind // would not be read, which nobody expects of a division.
func TestTwoSlashesDivideNothing(t *testing.T) {
	for _, expression := range []string{`int(x) // 3`, `int(x)//3`, `x // params.N`, `(int(x) + 1) // (2 + 1)`, "int(x) // 3\n + 1", `"a" + x // 2`, `/* whole */ int(x) // 3`, `int(x) /* by */ // 3`} {
		err := mapping.Check(expression, []string{"N"})
		if err == nil || !strings.HasPrefix(err.Error(), "what follows // is a comment and not read; whole numbers are divided as in int(a / b), and a comment stands between /* and */") || !strings.Contains(err.Error(), "^") {
			t.Errorf("%s: %v", expression, err)
		}
	}
	for _, expression := range []string{"x // what the site calls it", "// int(x)\nx", "x +\n// the 2nd part\n\"b\"", `x + "// 3"`, "x /* https://example.org // 3 */", `x == "http://example.org/1"`, `x //`, "int(x) / 3 // 3 is the number of parts", "x == \"a\" /* one */ && /* // 2 */ x != \"b\""} {
		if err := mapping.Check(expression, nil); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
