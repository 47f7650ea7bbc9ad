package run_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
)

// erasure is one of runs 3 to 9 without 5.
func erasure() run.Erasure {
	before := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	return run.Erasure{
		Task: "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", TaskName: "members", First: 3, Last: 9, Left: []run.Number{5},
		By: "ann", On: before.Add(time.Hour), Before: &before,
	}
}

func TestAnErasureHasTheRunsThatDoNotStay(t *testing.T) {
	t.Parallel()
	e := erasure()
	for n, want := range map[run.Number]bool{2: false, 3: true, 5: false, 9: true, 10: false} {
		if e.Has(n) != want {
			t.Errorf("run %s: %t, want %t", n, !want, want)
		}
	}
}

// An erasure names all runs between its own that stay, and the others as long as there is room.
func TestAnErasureNamesTheRunsThatStay(t *testing.T) {
	t.Parallel()
	e := erasure()
	e.Name([]run.Number{1, 4, 9, 12})
	if !slices.Equal(e.Left, []run.Number{1, 4, 9, 12}) || e.MoreLeft != 0 || !slices.Equal(e.Between(), []run.Number{4, 9}) {
		t.Errorf("%+v, between %v", e, e.Between())
	}
	for n, want := range map[run.Number]bool{1: false, 3: true, 4: false, 9: false, 12: false} {
		if e.Has(n) != want {
			t.Errorf("run %s: %t, want %t", n, !want, want)
		}
	}
	all := []run.Number{1, 4, 9}
	for n := range run.Number(run.MostLeft) {
		all = append(all, 10+n)
	}
	e = erasure()
	e.Name(all)
	if len(e.Left) != run.MostLeft || e.MoreLeft != 3 || !slices.Equal(e.Left[:4], []run.Number{1, 4, 9, 10}) {
		t.Errorf("%d are named, from %v on, and %d are more", len(e.Left), e.Left[:4], e.MoreLeft)
	}
	data, err := e.Encode()
	if err == nil {
		_, err = run.DecodeErasure(data)
	}
	if err != nil {
		t.Error(err)
	}
	between := slices.Clone(all[3:])
	e = erasure()
	e.Last = 20_000
	if e.Name(append(between, 30_000)); len(e.Between()) != run.MostLeft || e.MoreLeft != 1 {
		t.Errorf("%d between are named, and %d are more", len(e.Between()), e.MoreLeft)
	}
}

// TestAnErasureIsStoredAndReadAgain also changes one thing at a time to what is refused.
func TestAnErasureIsStoredAndReadAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*run.Erasure){
		"":                 func(*run.Erasure) {},
		"names no task":    func(e *run.Erasure) { e.Task = "x" },
		"of the runs":      func(e *run.Erasure) { e.Last = 2 },
		"runs 0":           func(e *run.Erasure) { e.First = 0 },
		"more than one":    func(e *run.Erasure) { e.Before = nil },
		"which runs stay":  func(e *run.Erasure) { e.Left = []run.Number{6, 5} },
		"by whom it is":    func(e *run.Erasure) { e.By = "" },
		"by whom it is, o": func(e *run.Erasure) { e.On = time.Time{} },
	} {
		e := erasure()
		change(&e)
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = run.DecodeErasure(data)
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
