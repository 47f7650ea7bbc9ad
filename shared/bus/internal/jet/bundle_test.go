package jet_test

import (
	"reflect"
	"testing"

	"runhook/shared/bus/internal/jet"
)

// A bundle takes up what is stored, once, and keeps what is stored nowhere else.
func TestBundleWith(t *testing.T) {
	t.Parallel()
	kept := func(data string) jet.Kept { return jet.Kept{Task: "t", Time: 1, Note: "note", Data: []byte(data)} }
	has := jet.Bundle{{Number: 3, Request: kept("r3"), Final: kept("f3")}, {Number: 7, Request: kept("r7")}}
	for name, c := range map[string]struct {
		stored, all jet.Bundle
		more        bool
	}{
		"nothing":            {nil, has, false},
		"the same":           {jet.Bundle{{Number: 7, Request: kept("r7")}}, has, false},
		"less":               {jet.Bundle{{Number: 3, Request: kept("r3")}}, has, false},
		"another run":        {jet.Bundle{{Number: 5, Final: kept("f5")}}, jet.Bundle{has[0], {Number: 5, Final: kept("f5")}, has[1]}, true},
		"a missing document": {jet.Bundle{{Number: 7, Final: kept("f7")}}, jet.Bundle{has[0], {Number: 7, Request: kept("r7"), Final: kept("f7")}}, true},
		"another document":   {jet.Bundle{{Number: 3, Final: kept("new")}}, jet.Bundle{{Number: 3, Request: kept("r3"), Final: kept("new")}, has[1]}, true},
	} {
		all, more := has.With(c.stored)
		if !reflect.DeepEqual(all, c.all) || more != c.more {
			t.Errorf("%s: %+v, %t", name, all, more)
		}
		data, err := jet.Pack(all)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := jet.Unpack[jet.Bundle](data); err != nil || !reflect.DeepEqual(again, all) {
			t.Errorf("%s: unpacked it is %+v, %v", name, again, err)
		}
		if _, err := jet.Unpack[jet.Bundle](data[:len(data)-1]); err == nil {
			t.Errorf("%s: it is unpacked though its end is missing", name)
		}
	}
	if string(has[0].Final.Data) != "f3" || len(has) != 2 {
		t.Errorf("it has changed: %+v", has)
	}
}
