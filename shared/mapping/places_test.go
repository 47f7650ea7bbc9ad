package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A whole number is one however JSON writes it: as the place in a list or a text, as how many, as the key of a group
// and of a lookup.
func TestWholeNumbersOfJSONArePlaces(t *testing.T) {
	t.Parallel()
	scope := typedScope(map[string]any{
		"one": json.Number("1"), "pointed": json.Number("1.0"), "half": json.Number("1.5"), "big": int64(2), "list": []any{"a", "b", "c"}, "text": "abc", "day": "31.01.45",
		"values": []any{json.Number("1"), json.Number("1.0"), 1, int64(1), 1.0, "1", json.Number("1.5"), json.Number("1.50"), nil, json.Number("1e400")}, "object": map[string]any{"n": json.Number("2.0"), "list": []any{1, 2, 3}},
		"vast": json.Number("10000000000000000000000"),
	})
	expectValues(t, scope, map[string]any{
		`list[one]`: "b", `list[pointed]`: "b", `list[object.n]`: "c", `list[-one]`: "c", `list?.[pointed]`: "b", `list[big]`: "c", `let i = object.n; list[i]`: "c", `split("a,b", ",")[pointed]`: "b", `[1, 2, 3][object.n]`: 3, `list[1.0]`: "b", `list[fromJSON("1")]`: "b", `fromJSON("[1,2]")[one]`: 2.0, `map([one], list[#])[0]`: "b",
		`take(list, pointed)`: []any{"a"}, `take([1, 2, 3], object.n)`: []any{1, 2}, `take(list, 1.0)`: []any{"a"}, `take(list, fromJSON("1"))`: []any{"a"}, `list[:object.n]`: []any{"a", "b"}, `list[pointed:object.n]`: []any{"b"}, `text[one:]`: "bc", `text[:pointed]`: "a", `repeat("x", object.n)`: "xx", `repeat(text, one)`: "abc",
		`len(1..object.n)`: 2, `len(one..3)`: 3, `get(list, pointed)`: "b", `get(object, "n")`: json.Number("2.0"), `split("a,b,c", ",", object.n)`: []string{"a", "b,c"}, `replace("aaa", "a", "b", pointed)`: "baa", `round(2.345, object.n)`: 2.35, `round(number("2.345"), pointed)`: json.Number("2.3"), `object["list"][one]`: 2, `object["n"]`: json.Number("2.0"),
		`groupBy(values, #)[1]`: []any{json.Number("1"), json.Number("1.0"), 1, int64(1), 1.0}, `len(groupBy(values, #)[pointed])`: 5, `len(groupBy(values, #)[1.0])`: 5, `len(groupBy(values, #)[half])`: 2, `len(groupBy(values, #)["1"])`: 1, `len(groupBy(values, #))`: 5, `len(groupBy(list, #))`: 3, `groupBy(list, # == "a")[true]`: []any{"a"},
		`{"1": "x"}[one]`: "x", `{"1": "x"}[pointed]`: "x", `{"1.5": "x"}[number("1.50")]`: "x", `{"1.0": "y", "1": "x"}[pointed]`: "y", `{"1": "x"}[half]`: nil, `{"10000000000000000000000": "x"}[vast]`: "x", `{"1": "x"}[1.0]`: "x", `{"1": nil, "x": 2}[pointed]`: nil,
	})
	for expression, why := range map[string]string{
		`list[half]`: "it takes a whole number, and gets a number", `list[number("7")]`: "has no such place", `list[vast]`: "takes a whole number", `repeat("x", half)`: "takes a whole number", `list[:half]`: "takes a whole number", `round(2.5, half)`: "how many digits", `take(list, half)`: "take, at character 1", `1..half`: "takes a whole number",
	} {
		if got, err := evaluate(scope, expression); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s = %v, %v; want %q", expression, got, err, why)
		}
	}
}
