package jet_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	var none jet.Numbers
	once := none.Moved(15, 2001, 1_000_000)
	twice := once.Moved(2100, 4001, 5_000_000)
	for _, test := range []struct {
		numbers  jet.Numbers
		sequence uint64
		number   run.Number
	}{
		{none, 0, 0},
		{none, 7, 7},
		{once, 0, 0},
		{once, 15, 15},
		{once, 16, 998_015},
		{once, 2001, 1_000_000},
		{once, 2100, 1_000_099},
		{twice, 15, 15},
		{twice, 2100, 1_000_099},
		{twice, 2101, 4_998_100},
		{twice, 4001, 5_000_000},
	} {
		read, err := jet.ParseNumbers(test.numbers.String())
		if err != nil {
			t.Fatal(err)
		}
		if n := read.Of(test.sequence); n != test.number {
			t.Errorf("%q: the request at %d has the number %s, want %s", read, test.sequence, n, test.number)
		}
		if sequence := read.Sequence(test.number); sequence != test.sequence {
			t.Errorf("%q: run %s is at %d, want %d", read, test.number, sequence, test.sequence)
		}
	}
	for passed, upto := range map[run.Number]uint64{16: 15, 998_014: 15, 1_000_100: 2100, 4_998_099: 2100} {
		if sequence := twice.Sequence(passed); sequence != 0 {
			t.Errorf("run %s, which was passed over, is at %d", passed, sequence)
		}
		if sequence := twice.Upto(passed); sequence != upto {
			t.Errorf("up to run %s are those at %d, want %d", passed, sequence, upto)
		}
	}
	for _, text := range []string{"x", "15", "15+x", "-1+2"} {
		if _, err := jet.ParseNumbers(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// asSequence is a sequence that is taken for a run number, or a number for a sequence.
var asSequence = regexp.MustCompile(`run\.Number\([\w.]*([sS]equence|Stream|Seq)\)|(At|Following)\(.*uint64\((n|\w*[nN]umber|behind)\)`)

// After a restore a run number is no sequence, so nothing else takes one for the other.
func TestNumbersAreNoSequences(t *testing.T) {
	t.Parallel()
	for _, taken := range []string{"run.Number(meta.Sequence.Stream)", "run.Number(info.State.LastSeq)", "s.Runs.At(ctx, uint64(n))", "x.Following(ctx, s, uint64(behind)+1)"} {
		if !asSequence.MatchString(taken) {
			t.Errorf("%s is not found", taken)
		}
	}
	files, err := filepath.Glob("../../*.go")
	below, errBelow := filepath.Glob("../../*/*.go")
	if err != nil || errBelow != nil || len(files) < 10 || len(below) < 4 {
		t.Fatal(len(files), len(below), err, errBelow)
	}
	for _, name := range append(files, below...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, taken := range asSequence.FindAllString(string(text), -1) {
			t.Errorf("%s: %s: jet.Numbers tells one by the other", name, taken)
		}
	}
}
