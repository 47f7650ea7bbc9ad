package mapping

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What fails for every row because of parameters alone is known before the first, and nothing else is taken for it.
func TestFault(t *testing.T) {
	t.Parallel()
	params := Params{"Bad": "no date", "Good": "2026-01-31", "None": "", "Few": []string{"1", "2"}, "Odd": []string{"1", "x"}, "No": []string{}, "Digits": "7", "Open": "(", "Word": "^x$", "Mighty": strings.Repeat("(abcdefgh){999}", 9)}
	row := []any{"2026-01-01", "x", nil}
	for _, c := range []struct {
		text string
		// part is the one that fails, "" for no fault; fails: the row fails all the same.
		part  string
		fails bool
	}{
		{`date(params.Bad)`, "date", true},
		{`date(params.Good)`, "", false},
		{`date(Joined) > date(params.Bad)`, "date", true},
		{`Joined == "" || date(Joined) > date(params.Bad)`, "", true},
		{`params.None == "" || date(params.None) < date(Joined)`, "", false},
		{`params.Bad == "" || date(params.Bad) < date(Joined)`, "date", true},
		{`params.Bad != "" && date(params.Bad) < date(Joined)`, "date", true},
		{`params.Bad == "" && date(params.Bad) < date(Joined)`, "", false},
		{`not (params.Bad == "" && date(params.Bad) < date(Joined))`, "", false},
		{`Name == "y" && date(params.Bad) < date(Joined)`, "", false},
		{`Name == "y" ? date(params.Bad) : date(Joined)`, "", false},
		{`Name == "x" ? date(params.Bad) : date(Joined)`, "", true},
		{`params.None == "" ? Joined : date(params.None)`, "", false},
		{`params.None == "" ? date(params.None) : Joined`, "", false},
		{`params.Bad == "" ? Joined : string(date(params.Bad)) + Name`, "date", true},
		{`params.Bad == "no date" ? string(date(params.Bad)) + Name : Joined`, "date", true},
		{`Empty ?? date(params.Bad)`, "", true},
		{`"" + (Name ?? date(params.Bad))`, "", false},
		{`nil ?? date(params.Bad)`, "date", true},
		{`int(params.Digits) + len(Name)`, "", false},
		{`int(params.Bad) + len(Name)`, "int", true},
		{`[Name, int(params.Bad)]`, "int", true},
		{`{"a": Name, "b": int(params.Bad)}`, "int", true},
		{`upper(Name) + string(int(params.Bad))`, "int", true},
		{`let since = date(params.Bad); date(Joined) < since`, "date", true},
		{`let name = Name; name == "y" ? int(params.Bad) : 1`, "", false},
		{`map(params.Odd, int(#))`, "int", true},
		{`map(params.Few, int(#))`, "", false},
		{`map(params.No, int(params.Bad))`, "", false},
		{`any(params.Few, # == Name)`, "", false},
		{`any(params.Odd, int(#) == 2 + len(Name))`, "", true},
		{`map([Name], int(params.Bad))`, "", true},
		{`Name[int(params.Bad):]`, "", true}, // a null has no parts
		{`Empty[int(params.Bad):]`, "", false},
		{`int("x") + len(Name)`, "", true}, // no parameter's fault
		{`Name in params.Few`, "", false},
		{`date(params.Bad) == nil or Name == "x"`, "date", true},
		{`Name matches params.Open`, "matches", true},
		{`Name matches params.Word`, "", false},
		{`Name matches params.Mighty`, "matches", true},
		{`Name matches "x" + params.Open`, "matches", true},
		{`Empty matches params.Open`, "matches", true},
		{`Empty matches params.Word`, "", false},
		{`params.Open == "" || Name matches params.Open`, "matches", true},
		{`params.None == "" || Name matches params.Open`, "", false},
		{`Name == "y" && Name matches params.Open`, "", false},
		{`Name == "x" ? Name matches params.Open : false`, "", true},
		{`any(params.Few, Name matches params.Open)`, "", true},
		{`params.Bad matches params.Open`, "matches", true},
		{`Name matches params.Open + Name`, "", true},
		{`not (Name matches params.Open)`, "matches", true},
		{`string(int(Joined[:4]) + 1) matches params.Open`, "matches", true},
		{`Name`, "", false},
		{`params.Bad`, "", false},
	} {
		scope := NewScope(Columns{Names: []string{"Joined", "Name", "Empty"}}, params)
		p, err := scope.Compile(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		fault := p.Fault(t.Context())
		if c.part == "" && fault != nil || c.part != "" && (fault == nil || !strings.Contains(fault.Error(), ": "+c.part+", at character")) {
			t.Errorf("%s has the fault %v, want %q", c.text, fault, c.part)
		}
		copy(scope.Row, row)
		scope.Begin()
		if _, err := p.Eval(t.Context()); (err != nil) != c.fails {
			t.Errorf("%s: the row gives %v", c.text, err)
		} else if fault != nil && fault.Error() != err.Error() {
			t.Errorf("%s: the fault is %v, and the row's is %v", c.text, fault, err)
		}
		if fault != nil && (strings.Contains(fault.Error(), "no date") || p.Fault(t.Context()) != fault) {
			t.Errorf("%s: %v", c.text, fault)
		}
	}
	scope := NewScope(Columns{Names: []string{"Name"}}, Params{"List": make([]string, 1000)})
	p, err := scope.Compile(`len(Name) + sum(params.List, sum(params.List, sum(params.List, len(#))))`)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Fault(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that has ended goes on: %v", err)
	}
	if err := p.Fault(t.Context()); err == nil || !strings.Contains(err.Error(), "it takes more than 1,000,000 steps") {
		t.Errorf("it is not bounded: %v", err)
	}
}
