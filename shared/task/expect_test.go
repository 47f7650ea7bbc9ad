package task

import "testing"

func TestBound(t *testing.T) {
	for _, c := range []struct {
		bound Bound
		size  int64
		most  int64
		text  string
	}{
		{Bound{Rows: 7}, 3, 7, "7"},
		{Bound{}, 100, 0, "0"},
		{Bound{Percent: 10}, 30, 3, "10%"},
		{Bound{Percent: 10}, 29, 2, "10%"},
		{Bound{Percent: 10}, 0, 0, "10%"},
		{Bound{Percent: 0.1}, 3000, 3, "0.1%"},
		{Bound{Percent: 100}, 1_000_003, 1_000_003, "100%"},
	} {
		if most := c.bound.Of(c.size); most != c.most || c.bound.String() != c.text {
			t.Errorf("%v of %d is %d, want %s and %d", c.bound, c.size, most, c.text, c.most)
		}
	}
}
