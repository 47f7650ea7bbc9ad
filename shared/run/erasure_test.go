package run_test

import (
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
