package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// The reason of a failed row says what was wrong with its values, and shows none of them.
func TestReasons(t *testing.T) {
	values := map[string]any{
		"text": "secret", "bytes": []byte("secret"), "whole": int64(4711), "exact": json.Number("47.11"), "float": 47.5, "yes": true,
		"day": time.Date(2047, 11, 1, 0, 0, 0, 0, time.UTC), "list": []any{4711, "secret"}, "object": map[string]any{"secret": 1},
	}
	var columns mapping.Columns
	for name := range values {
		columns.Names = append(columns.Names, name)
	}
	scope := mapping.NewScope(columns, nil)
	for i, name := range columns.Names {
		scope.Row[i] = values[name]
	}
	const asText = "; make a text of it with string(…)"
	together := func(a, b string) string {
		return "it cannot take " + a + " and " + b + " together; convert one of them, as with string(…) or number(…)"
	}
	for expression, want := range map[string]string{
		`upper(bytes)`: "it takes a text, and gets binary data" + asText, `trim(whole)`: "it takes a text, and gets a whole number" + asText,
		`split(exact, ",")`: "it takes a text, and gets a number" + asText, `yes contains "a"`: "it takes a text, and gets true or false" + asText,
		`day startsWith "a"`: "it takes a text, and gets a date" + asText, `lower(list)`: "it gets a list, and takes a text", `replace(object, "a", "b")`: "it gets an object, and takes a text",
		`bytes + "x"`: together("binary data", "a text"), `whole + text`: together("a whole number", "a text"), `text - 1`: together("a text", "a whole number"),
		`day > 1`: together("a date", "a whole number"), `list + "x"`: together("a list", "a text"), `-text`: "it takes a number, and gets a text",
		`repeat(text, -1)`: "it cannot repeat a text less than 0 times", `repeat(text, text)`: "it takes a whole number, and gets a text",
		`list[7]`: "the list or text has no such place", `text[100]`: "the list or text has no such place", `whole.secret`: "a whole number has no such part", `any(whole, # > 1)`: "it takes a list, and gets a whole number",
		`1 in whole`: "it looks into a list or an object, and gets a whole number", `keys(list)`: "it takes an object, and gets a list", `abs(text)`: "it does not take a text", `len(whole)`: "it does not take a whole number",
		`whole % 0`: "it divides by 0", `duration(text)`: "the text is not a duration like 1h30m, of at most 292 years", `fromJSON(text)`: "the text is not JSON", `fromBase64("%")`: "the text is not base64",
		`date(text, "dd.MM.yyyy")`: "the text is not a date like dd.MM.yyyy", `date(text, "d MMM yy, HH:mm")`: "the text is not a date like d MMM yy, HH:mm",
		`date(text, "dddd, MMMM h:m:s a zzz")`: "the text is not a date like dddd, MMMM h:m:s a zzz", `date(text, "ddd HH:mm:ss.SSS M")`: "the text is not a date like ddd HH:mm:ss.SSS M",
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got, err := program.Eval(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), " of the expression: "+want) || strings.Contains(err.Error(), "secret:") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, want)
		}
	}
}

// A format that is not written out is refused as one, and a text that is repeated too often before the run.
func TestRefusedArguments(t *testing.T) {
	const format = `must be a text in quotes, such as "dd.MM.yyyy" (`
	for expression, want := range map[string]string{
		`formatDate(d, params.F)`: "the format of formatDate " + format, `formatDate(d, "dd" + ".MM")`: "the format of formatDate " + format, `formatDate(date(d), f)`: "the format of formatDate " + format,
		`date(d, d == "" ? "yyyy" : "yy")`: "the format of date " + format, `formatDat(d, f)`: "unknown function formatDat; did you mean formatDate?",
		`repeat(d, 1000001)`: "it repeats a text more than 1,000,000 times (", `d + repeat("x", 2000000)`: "it repeats a text more than 1,000,000 times (", `repeat("", 1000000000)`: "it repeats a text more than 1,000,000 times (",
	} {
		scope := mapping.NewScope(mapping.Columns{Names: []string{"d", "f"}, Text: true}, mapping.Params{"F": "dd"})
		if _, err := scope.Compile(expression); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
		if err := mapping.Check(expression, []string{"F"}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s before the columns are known: %v, want %q", expression, err, want)
		}
	}
}
