package mapping_test

import (
	"reflect"
	"testing"

	"runhook/shared/mapping"
)

// What calculates with numbers has a kind, by which a column is made for it.
func TestKindsOfNumbers(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]reflect.Kind{
		"len(v)": reflect.Int, "len(v) + 1": reflect.Int, "len(v) / 2": reflect.Float64, "len(v) / 2 * 100": reflect.Float64,
		"1 - len(v) * 0.5": reflect.Float64, "len(v) ** 2": reflect.Int, "len(v) / 2 > 1": reflect.Bool,
		`number(v, ".") / 2`: reflect.Interface, "v": reflect.String,
	} {
		program, err := mapping.NewScope(mapping.Columns{Names: []string{"v"}, Text: true}, nil).Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
		} else if got := program.Kind(); got != want {
			t.Errorf("%s is of kind %s, want %s", expression, got, want)
		}
	}
}
