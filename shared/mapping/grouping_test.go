package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// A separator that does not part groups of digits is a decimal mark of somebody else: to take it out would
// make 999 of 9,99.
func TestNumbersWithGroups(t *testing.T) {
	t.Parallel()
	scope := mapping.NewScope(mapping.Columns{Names: []string{"n"}, Text: true}, nil)
	evalNumber := func(text, mark string) (any, error) {
		program, err := scope.Compile(`number(n, "` + mark + `")`)
		if err != nil {
			t.Fatal(err)
		}
		scope.Row[0] = text
		return program.Eval(t.Context())
	}
	for _, c := range []struct{ text, mark, want string }{
		{"1,234.50", ".", "1234.50"},
		{"1.234,50", ",", "1234.50"},
		{"1 234 567,89", ",", "1234567.89"},
		{"1\u00a0234\u00a0567,89", ",", "1234567.89"},
		{"1\u202f234,5", ",", "1234.5"},
		{"12\u2009345.5", ".", "12345.5"},
		{"1'234'567.8", ".", "1234567.8"},
		{"1’234.05", ".", "1234.05"},
		{"12,34,567.89", ".", "1234567.89"},
		{"1,23,45,678", ".", "12345678"},
		{"-1,234", ".", "-1234"},
		{"+12.345.678", ",", "12345678"},
		{"999", ".", "999"},
		{"1234.5", ".", "1234.5"},
		{" 0,5 ", ",", "0.5"},
		{"9,99", ",", "9.99"},
		{"1,234", ",", "1.234"},
		{"0.123", ".", "0.123"},
		{"1.5e3", ".", "1500"},
		{"-.5", ".", "-0.5"},
		{"100,000", ".", "100000"},
		{"1,000,000.00", ".", "1000000.00"},
	} {
		if got, err := evalNumber(c.text, c.mark); err != nil || got != json.Number(c.want) {
			t.Errorf("%q with the mark %s is %v, %v; want %s", c.text, c.mark, got, err, c.want)
		}
	}
	for _, c := range []struct{ text, mark string }{
		{"9,99", "."},
		{"9.99", ","},
		{"1,2345", "."},
		{"1,23,45", "."},
		{"1234,567", "."},
		{"1,234,56", "."},
		{"0,123", "."},
		{"00,123", "."},
		{"1,,234", "."},
		{",123", "."},
		{"1,234,", "."},
		{"1,234.567,8", "."},
		{"1.234.5", "."},
		{"1 234,567.5", "."},
		{"1.2,345", "."},
		{"123,45,678", "."},
		{"1 2", "."},
		{"12'34", "."},
		{"1,234,56,789", "."},
		{"1.5.0", "."},
		{"1,234e1,5", "."},
		{"1e1,234", "."},
		{"--1,234", "."},
		{"1,a34", "."},
	} {
		got, err := evalNumber(c.text, c.mark)
		if err == nil || !strings.Contains(err.Error(), "the text is not a number") {
			t.Errorf("%q with the mark %s is %v, %v", c.text, c.mark, got, err)
		}
	}
}
