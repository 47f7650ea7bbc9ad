package sqldb

import (
	"encoding/json"
	"testing"

	"runhook/services/runner/check"
)

// What is said of kinds before a run is what convert then does with their values.
func TestFitIsWhatConvertDoes(t *testing.T) {
	values := map[check.Kind][]any{
		check.Text:    {"2026-01-31", "18:30", "2026-01-31T18:30:00", "1", "yes", "1.5", "Ann"},
		check.Whole:   {int64(1), int64(20260131)},
		check.Number:  {json.Number("1"), json.Number("1.5"), 2.5},
		check.Boolean: {true, false},
		check.Moment:  {"2026-01-31T00:00:00", "2026-01-31T18:30:00"},
		check.Binary:  {"YWJj/w=="},
	}
	for k := anyKind; k <= timeKind; k++ {
		for kind, all := range values {
			taken := 0
			for _, value := range all {
				if _, problem := k.convert(value); problem == "" {
					taken++
				}
			}
			want := check.Perhaps
			switch taken {
			case 0:
				want = check.Never
			case len(all):
				want = check.Always
			}
			if got := k.takes(kind); got != want {
				t.Errorf("a column of kind %d and values of kind %s: %d, want %d (%d of %d are taken)", k, kind, got, want, taken, len(all))
			}
		}
		if k.takes(check.Unknown) != check.Always {
			t.Errorf("kind %d: something is said of values of which nothing is known", k)
		}
	}
}
