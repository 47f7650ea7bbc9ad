package watermark_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/watermark"
)

var on = time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)

func pending(n run.Number, column, value string) watermark.Pending {
	return watermark.Pending{Run: n, Hold: "h", Column: column, Value: value, On: on}
}

// settle settles a record by the fates of its runs.
func settle(t *testing.T, r watermark.Record, fates map[run.Number]watermark.Fate) watermark.Record {
	t.Helper()
	next, _, err := r.Settled(func(p watermark.Pending) (watermark.Fate, error) { return fates[p.Run], nil })
	if err != nil {
		t.Fatal(err)
	}
	data, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := watermark.Decode(data)
	if err != nil || !reflect.DeepEqual(again, next) {
		t.Errorf("%+v is read as %+v, %v", next, again, err)
	}
	return next
}

func TestRecord(t *testing.T) {
	t.Parallel()
	r := watermark.Record{}.With(pending(7, "id", "10")).With(pending(5, "id", "30")).With(pending(7, "id", "20"))
	if len(r.Pending) != 2 || r.Pending[0].Run != 5 || r.Pending[1].Value != "20" || r.Of("id") != "" {
		t.Errorf("%+v", r)
	}
	r = settle(t, r, map[run.Number]watermark.Fate{7: watermark.Succeeded})
	if r.Of("id") != "20" || r.Run != 7 || len(r.Pending) != 1 {
		t.Errorf("%+v", r)
	}
	if r.Moves("id", "20", 0) || r.Moves("id", "19", 0) || !r.Moves("id", "21", 0) || r.Moves("id", "21", 1) || !r.Moves("changed", "2026-01-31", 0) {
		t.Error("what moves it is wrong")
	}
	if next := settle(t, r, map[run.Number]watermark.Fate{5: watermark.Passed}); next.Of("id") != "20" || len(next.Pending) != 0 {
		t.Errorf("%+v", next)
	}
	r = settle(t, r, map[run.Number]watermark.Fate{5: watermark.Succeeded})
	if r.Of("id") != "30" || r.Run != 5 || len(r.Pending) != 0 {
		t.Errorf("%+v", r)
	}
	// A lower value of a run that ends later moves it nowhere; another column does.
	r = settle(t, r.With(pending(8, "id", "25")), map[run.Number]watermark.Fate{8: watermark.Succeeded})
	if r.Of("id") != "30" || r.Run != 5 {
		t.Errorf("%+v", r)
	}
	other := settle(t, r.With(pending(9, "changed", "2026-01-31")), map[run.Number]watermark.Fate{9: watermark.Succeeded})
	if other.Of("id") != "" || other.Of("changed") != "2026-01-31" {
		t.Errorf("%+v", other)
	}
	// What an operator sets holds against those that are under way.
	set := r.With(pending(10, "id", "40")).SetTo("id", "3", "ann", on)
	if set.Of("id") != "3" || set.Set != 1 || len(set.Pending) != 0 || set.Moves("id", "40", 0) || !set.Moves("id", "40", 1) {
		t.Errorf("%+v", set)
	}
	if reset := settle(t, set.SetTo("id", "", "ann", on), nil); reset.Of("id") != "" || reset.Set != 2 {
		t.Errorf("%+v", reset)
	}
	broken := errors.New("broken")
	if _, _, err := r.With(pending(10, "id", "40")).Settled(func(watermark.Pending) (watermark.Fate, error) { return watermark.Passed, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		``, `[]`, `{}`, `{"Column":"id","Value":"abc"}`, `{"Column":"id","Pending":[{"Run":1,"Column":"id","Value":""}]}`,
		`{"Column":"id","Pending":[{"Run":2,"Column":"id","Value":"1"},{"Run":1,"Column":"id","Value":"1"}]}`, `{"Column":"id","Pending":[{"Run":2,"Value":"1"}]}`,
	} {
		if r, err := watermark.Decode([]byte(data)); err == nil {
			t.Errorf("%s is %+v", data, r)
		}
	}
}
