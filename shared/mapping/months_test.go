package mapping_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// The months and weekdays of a date are whole numbers, whatever is known of the date when it is compiled.
func TestMonthsAreNumbers(t *testing.T) {
	moment := time.Date(2026, 1, 31, 18, 30, 0, 0, time.UTC) // a Saturday
	scope := mapping.NewScope(mapping.Columns{Names: []string{"text", "day", "none", "days"}}, nil)
	copy(scope.Row, []any{"2026-01-31", moment, nil, []any{moment, moment.AddDate(0, 1, 1)}})
	texts := mapping.NewScope(mapping.Columns{Names: []string{"text", "none"}, Text: true}, nil)
	copy(texts.Row, []any{"2026-01-31", ""})
	both := []*mapping.Scope{scope, texts}
	for expression, want := range map[string]any{
		`date(text).Month()`: 1, `date(text).Weekday()`: 6, `date(text).Month() == 1`: true, `date(text).Month() != 1`: false, `date(text).Month() in [1, 2]`: true, `date(text).Month() not in [1]`: false,
		`date(text).Weekday() in 1..5`: false, `date(text).Weekday() not in [0, 6]`: false, `date(text).Month() == 1 ? "Jan" : "other"`: "Jan", `{1: "Jan"}[date(text).Month()]`: "Jan", `{"6": "Sat"}[date(text).Weekday()]`: "Sat",
		`date(text).Month() > 1`: false, `date(text).Month() + 1`: 2, `-date(text).Month()`: -1, `int(date(text).Month())`: 1, `string(date(text).Weekday())`: "6", `date(text).Month() * number("1.5")`: json.Number("1.5"),
		`let d = date(text); d.Month() == d.Day()`: false, `date(text)?.Month() == 1`: true, `date(none)?.Month()`: nil, `date(none).Weekday() == 6`: false, `max(date(text).Month(), 0)`: 1, `(date(text) - date(text)).Hours()`: 0.0,
	} {
		for _, scope := range both {
			if got, err := evaluate(scope, expression); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s = %#v, %v; want %#v", expression, got, err, want)
			}
		}
	}
	for expression, want := range map[string]any{
		`day.Month()`: 1, `day.Weekday() == 6`: true, `none.Month()`: nil, `day.Month() in [1]`: true, `map(days, #.Month())`: []any{1, 3}, `days[1].Weekday()`: 3, `day.UTC().Month() != 1`: false, `[1, 2, 3][day.Month()]`: 2,
	} {
		if got, err := evaluate(scope, expression); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", expression, got, err, want)
		}
	}
	if program, err := texts.Compile(`date(text).Month()`); err != nil || program.Kind() != reflect.Int {
		t.Errorf("a month is of kind %v, %v", program.Kind(), err)
	}
}
