package mapping_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// A null gives null in every function of the page, wherever it stands in the arguments, and in a list that is calculated with.
func TestNullsInFunctions(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{"none": nil, "list": []any{1, nil, 3}, "deep": []any{[]any{json.Number("1.5"), nil}}, "texts": []any{"a", nil}, "name": "Ann", "dues": json.Number("19.90")})
	values := map[string]any{`join(["a", "b"], "-")`: "a-b", `max([1, [2]])`: 2, `sort([2, 1])`: []any{1, 2}, `mean([])`: 0.0, `sum([1, none])`: nil, `uniq([1, nil, nil])`: []any{1, nil}, `coalesce(none, name)`: "Ann", `len(list)`: 3, `split("a-b", "-")[1]`: "b"}
	for _, expression := range []string{
		`max(1, nil)`, `max(list)`, `max([1, nil])`, `max(deep, 7)`, `min(none, 1)`, `min(1, none)`, `min([nil])`, `mean(list)`, `mean(1, nil)`, `mean([dues, nil])`, `median(list)`, `median(dues, none)`, `sort(list)`, `sort([2, nil])`, `sort(none)`, `join(texts, ",")`, `join(["a", nil])`, `join(["a", none], "-")`, `join(["a"], none)`,
		`split("a,b", none)`, `split(name, none)`, `replace("abc", none, "x")`, `replace(name, "A", none)`, `trim("x", none)`, `trimPrefix("x", none)`, `indexOf("abc", none)`, `repeat("a", none)`, `round(dues, none)`, `take([1], none)`, `abs(none)`, `upper(none)`,
	} {
		values[expression] = nil
	}
	expectValues(t, scope, values)
}

// The one rule of comparing holds where values are compared inside others, and nothing but a text is one.
func TestKindsInEveryOperator(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{
		"seven": "7", "code": "007", "name": "Ann", "i": int64(7), "exact": json.Number("7.0"), "half": 1.5, "photo": []byte("7"), "day": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "born": "2026-01-31", "yes": true, "none": nil,
		"list": []any{"7", nil}, "object": map[string]any{"7": "x", "a": json.Number("7")}, "took": time.Hour,
	})
	expectValues(t, scope, map[string]any{
		`[seven] == [7]`: true, `[seven] != [7]`: false, `[7] == [seven]`: true, `[name] == [7]`: false, `list == [7, nil]`: true, `[[seven]] == [[exact]]`: true, `{"a": seven} == {"a": 7}`: true, `{"a": [seven]} != {"a": [8]}`: true, `[day] == [born]`: true, `[none] == [nil]`: true, `[none] == ["x"]`: false, `[seven] == [7, 8]`: false, `[seven] in [[7]]`: true, `[name] in [[7], ["Ann"]]`: true,
		`{"7": 1}[i]`: 1, `{"7": 1}[exact]`: 1, `{"7": 1}[seven]`: 1, `{"7": 1}[none]`: nil, `{"7": 1}[8]`: nil, `{"7.0": 1}[i]`: 1, `{"2026-01-31": 1}[day]`: 1, `{"x": 1}[day]`: nil, `{"x": 1}[7]`: nil,
		`i in {"7": 1}`: true, `exact in object`: true, `day in {"2026-01-31": 1}`: true, `none in object`: false, `8 in object`: false,
		`[1, 2, 3][1.0]`: 2, `[1, 2, 3][number("1.0")]`: 2, `list[0.0]`: "7", `len(groupBy([1.5, half, 2.0, 2], #))`: 2, `len(groupBy([1.5, half, 2.0, 2], #)[half])`: 2, `len(groupBy([1.5, half, 2.0, 2], #)[exact - 5])`: 2, `name matches "^A"`: true, `none matches "x"`: false, `seven contains "7"`: true, `none startsWith "x"`: false, `uniq([7, "7", exact])`: []any{7, "7"}, `len(groupBy([7, "7", exact], #))`: 2,
	})
	for expression, why := range map[string]string{
		`{"7": 1}[photo]`: "compares", `photo in {"7": 1}`: "compares", `7 in photo`: "binary data", `photo matches "^7"`: "makes a text", `{"a": photo} == {"a": "7"}`: "compares", `[photo] == ["7"]`: "compares", `photo == seven`: "compares", `photo contains "7"`: "binary data", `photo startsWith "7"`: "binary data", `seven endsWith photo`: "binary data", `photo ? 1 : 2`: "neither true nor false", `sort([photo, seven])`: "", `photo < seven`: "", `photo + seven`: "", `max(1, photo)`: "binary data", `max([1, [photo]])`: "binary data", `sort(photo)`: "binary data", `mean(photo)`: "binary data", `join(photo)`: "binary data",
		`[code] == [7]`: "007", `[[code]] != [[7]]`: "007", `{"a": yes} == {"a": "true"}`: "true or false", `[day] == ["31.01.2026"]`: "2026-01-31", `{"007": 1}[i]`: "007", `i in {"007": 1}`: "007", `{"true": 1}[yes]`: "true or false", `yes in {"true": 1}`: "true or false", `{"1h": 1}[took]`: "compares", `{"31.01.2026": 1}[day]`: "2026-01-31",
		`[1, 2, 3][1.5]`: "whole number", `list[half]`: "whole number", `take([1, 2], 1.5)`: "whole number", `repeat("a", half)`: "whole number", `name[half:]`: "whole number", `len(1..half)`: "whole number", `[1, 2, 3][number("0.5")]`: "a whole number, and gets a number", `split("a", "b", half)`: "whole number",
		`i matches "^7"`: "a text", `exact contains "7"`: "a text", `day startsWith "2026"`: "a text", `yes endsWith "e"`: "a text", `sort([7, "a"])`: "", `sort([i, seven])`: "", `sortBy([i, name], #)`: "", `seven ? 1 : 2`: "neither true nor false", `i and true`: "neither true nor false", `name in "Anna"`: "", `i > name`: "", `max(i, seven)`: "", `sum([i, seven])`: "",
	} {
		program, err := scope.Compile(expression)
		if err != nil {
			continue // refused before the run
		}
		scope.Begin()
		got, err := program.Eval(t.Context())
		if fault, ok := errors.AsType[*mapping.Error](err); !ok || !strings.Contains(strings.ReplaceAll(fault.Reason, "make a text", "makes a text"), why) {
			t.Errorf("%s = %#v, %v; want %q", expression, got, err, why)
		}
	}
}
