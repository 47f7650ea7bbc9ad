package row_test

import (
	"encoding/json"
	"testing"
	"time"

	"runhook/services/runner/row"
)

// fill adds rows by letters: r is ready, s skipped, f failed before writing.
func fill(b *row.Batch, kinds string) {
	for i, kind := range kinds {
		r := b.Add(int64(i + 1))
		switch kind {
		case 's':
			r.Skip()
		case 'f':
			r.Reject(row.Faultf("a", "is wrong"))
		}
	}
}

func TestPendingEndsWhereTheLimitIsPassed(t *testing.T) {
	for _, c := range []struct {
		kinds   string
		refuse  string // the rows that the destination refuses, as bytes 1 to 9
		limit   int
		last    int64
		stopped bool
	}{
		{"rrsr", "", -1, 4, false},
		{"rrsr", "", 0, 4, false},
		{"rrsr", "2", 0, 2, true},
		{"rfrr", "", 0, 2, true},
		{"rfrfr", "3", 1, 3, true},
		{"rfrfr", "3", 2, 4, true},
		{"rfrfr", "3", 3, 5, false},
		{"fff", "", -1, 3, false},
		{"ssr", "3", 0, 3, true},
		{"", "", 0, 0, false},
	} {
		b := row.NewBatch(1)
		fill(b, c.kinds)
		b.Limit = c.limit
		// A second pass must come to the same.
		for range 2 {
			for r := range b.Pending() {
				r.Outcome = row.Inserted
				for _, refused := range c.refuse {
					if r.Number == int64(refused-'0') {
						r.Fail(row.Faultf("a", "is refused"))
					}
				}
			}
			if b.Last() != c.last || b.Stopped() != c.stopped || len(b.Reached()) != int(c.last) {
				t.Errorf("%+v: reached %d, stopped %v", c, b.Last(), b.Stopped())
			}
		}
		for _, r := range b.Reached() {
			if r.Outcome == row.Ready || (r.Outcome == row.Failed) != (r.Fault != nil) {
				t.Errorf("%+v: row %d is %+v", c, r.Number, r)
			}
		}
	}
}

func TestBatchIsUsedAgain(t *testing.T) {
	b := row.NewBatch(2)
	for round := range 3 {
		b.Reset()
		for i := range int64(5000) {
			r := b.Add(i)
			if len(r.Values) != 2 || r.Values[0] != nil || r.Fault != nil || r.Outcome != row.Ready {
				t.Fatalf("round %d: row %d begins as %+v", round, i, r)
			}
			r.Values[0], r.Values[1] = i, "x"
		}
		n := int64(0)
		for r := range b.Pending() {
			if r.Values[0] != n || r.Number != n {
				t.Fatalf("round %d: row %d holds %v", round, n, r.Values)
			}
			n++
			r.Fail(row.Faultf("a", "is wrong"))
		}
	}
	// A destination that leaves a row out must be found out, in a second pass too.
	for range b.Pending() {
	}
	if got := b.Reached()[0].Outcome; got != row.Ready {
		t.Errorf("a row without an outcome has %d from the pass before", got)
	}
	b.Reset()
	b.Add(1)
	if b.Full() {
		t.Error("one row fills the batch")
	}
	b.Grow(row.MaxBytes)
	if !b.Full() {
		t.Error("a batch of MaxBytes is not full")
	}
	b.Reset()
	b.Rows = 3
	for i := range int64(3) {
		if b.Full() {
			t.Errorf("%d rows fill a batch of 3", i)
		}
		b.Add(i)
	}
	if !b.Full() {
		t.Error("3 rows do not fill a batch of 3")
	}
}

func TestText(t *testing.T) {
	for want, value := range map[string]any{
		"a": "a", "": nil, "true": true, "-5": -5, "9007199254740993": int64(9007199254740993),
		"0.1": 0.1, "1000000": 1e6, "12345678901234567890.10": json.Number("12345678901234567890.10"), "Ynl0ZXM=": []byte("bytes"),
		"2026-01-31T06:00:00Z": time.Date(2026, 1, 31, 6, 0, 0, 0, time.UTC), "1h0m0s": time.Hour,
	} {
		if got, problem := row.Text(value); got != want || problem != "" {
			t.Errorf("Text(%v) = %q, %q; want %q", value, got, problem, want)
		}
	}
	for _, value := range []any{[]any{1}, map[string]any{}, struct{}{}} {
		if got, problem := row.Text(value); problem == "" || got != "" {
			t.Errorf("Text(%v) = %q", value, got)
		}
	}
}
