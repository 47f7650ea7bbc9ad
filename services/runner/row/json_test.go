package row_test

import (
	"encoding/json"
	"strings"
	"testing"

	"runhook/services/runner/row"
)

// What stands in texts does not count, and half a text is read to its end.
func TestExceeds(t *testing.T) {
	deep := func(levels int) string { return strings.Repeat(`{"a":[`, levels/2) + strings.Repeat("]}", levels/2) }
	for text, want := range map[string]bool{
		deep(100):                                 false,
		deep(102):                                 true,
		`"` + strings.Repeat("[", 200) + `"`:      false,
		`"\"` + strings.Repeat("[", 200) + `\\"`:  false,
		`"\\"` + strings.Repeat("[", 200):         true,
		strings.Repeat("[],", 200):                false,
		"[" + strings.Repeat("1,", 1000) + "1]":   true,
		"[" + strings.Repeat("1,", 998) + "1]":    false,
		`["` + strings.Repeat(",", 2000) + `"]`:   false,
		`"` + strings.Repeat("[", 200) + `\`:      false,
		strings.Repeat("{},", 400):                false,
		strings.Repeat("{},", 501) + "[]" + "   ": true,
	} {
		if got := row.Exceeds([]byte(text), 1000); got != want {
			t.Errorf("%.40s… of %d bytes: %v", text, len(text), got)
		}
	}
}

// JSON that does not exceed the bounds is as deep as they say at most.
func FuzzExceeds(f *testing.F) {
	f.Add(`[{"a":["\\"[["]}]`)
	f.Add(strings.Repeat("[", 101) + strings.Repeat("]", 101))
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		if deep := depth(value) > row.MaxDepth; row.Exceeds([]byte(text), len(text)+1) != deep {
			t.Errorf("%q: deep %v", text, deep)
		}
	})
}

func depth(value any) (most int) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			most = max(most, depth(one))
		}
		return most + 1
	case map[string]any:
		for _, one := range v {
			most = max(most, depth(one))
		}
		return most + 1
	}
	return 0
}
