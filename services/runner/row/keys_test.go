package row_test

import (
	"encoding/json"
	"testing"

	"runhook/services/runner/row"
)

// What comes first is remembered, up to the bound; a key is the same however its values are held.
func TestKeys(t *testing.T) {
	const most = 786_432
	keys := row.NewKeys()
	of := func(values ...any) uint64 {
		hash, _ := keys.Hash(values, []int{0, 1})
		return hash
	}
	for n := range int64(most + 1000) {
		hash := of(n, "x")
		if keys.Has(hash) {
			t.Fatalf("key %d has come before", n)
		}
		keys.Add(hash)
	}
	for n, want := range map[int64]bool{0: true, 1: true, most - 1: true, most: false, most + 999: false} {
		if keys.Has(of(n, "x")) != want {
			t.Errorf("key %d is remembered: %t", n, !want)
		}
	}
	if hash := of(int64(7), nil); hash != of("7", "") || hash != of(json.Number("7"), nil) || hash == of("", "7") || hash == of("77", nil) {
		t.Error("a key is not its values as text, each for itself")
	}
	apart, one := of("Ann@x.org", " 7"), func(values ...any) uint64 {
		keys.Folds = true
		defer func() { keys.Folds = false }()
		return of(values...)
	}
	if same := one("Ann@x.org", " 7"); apart == of("ANN@X.ORG", "7") || same != one("ANN@X.ORG", int64(7)) || same != one("\tann@x.org ", "7 ") || same == one("ann@x.or", "7") {
		t.Error("letter case, and spaces around a value, make a difference where keys are folded, or none elsewhere")
	}
	for _, c := range []struct {
		values []any
		empty  bool
	}{{[]any{nil, ""}, true}, {[]any{nil, int64(0)}, false}, {[]any{"", " "}, false}, {[]any{json.Number("1"), nil}, false}} {
		if _, empty := keys.Hash(c.values, []int{0, 1}); empty != c.empty {
			t.Errorf("%v is empty: %t", c.values, empty)
		}
	}
}
