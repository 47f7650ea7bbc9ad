package jet

import (
	"fmt"
	"strings"

	"runhook/shared/run"
)

// Numbers tells a request's run number by its sequence in RUNS, and the other way round. The two are the
// same until the store is restored. Each restore moves the numbers on, past all that may have been given
// out after the backup, and leaves the sequences: nats-server walks through a gap of sequences one by one,
// 12 ns each when a consumer acknowledges across it and 60 ns each at every start within the duplicate
// window (2.15.2).
type Numbers []shift

// shift is by how much numbers are ahead of sequences, behind a sequence.
type shift struct{ behind, by uint64 }

// Of is the number of the request at a sequence.
func (n Numbers) Of(sequence uint64) run.Number {
	for i := len(n) - 1; i >= 0; i-- {
		if sequence > n[i].behind {
			return run.Number(sequence + n[i].by)
		}
	}
	return run.Number(sequence)
}

// Upto is the last sequence with this number or a lower one.
func (n Numbers) Upto(number run.Number) uint64 {
	end := uint64(number)
	for i := len(n) - 1; i >= 0; i-- {
		if uint64(number) > n[i].behind+n[i].by {
			return min(end, uint64(number)-n[i].by)
		}
		end = n[i].behind
	}
	return min(end, uint64(number))
}

// Sequence is the sequence of the request with a number, 0 for a number that a restore has passed over.
func (n Numbers) Sequence(number run.Number) uint64 {
	if sequence := n.Upto(number); n.Of(sequence) == number {
		return sequence
	}
	return 0
}

// Moved has the requests behind a sequence get other numbers: the one at sequence gets this one.
func (n Numbers) Moved(behind, sequence uint64, number run.Number) Numbers {
	return append(n[:len(n):len(n)], shift{behind: behind, by: uint64(number) - sequence})
}

// String is what RUNS says of them in its metadata.
func (n Numbers) String() string {
	shifts := make([]string, len(n))
	for i, s := range n {
		shifts[i] = fmt.Sprintf("%d+%d", s.behind, s.by)
	}
	return strings.Join(shifts, " ")
}

// ParseNumbers is the inverse of String.
func ParseNumbers(text string) (Numbers, error) {
	var numbers Numbers
	for field := range strings.FieldsSeq(text) {
		var s shift
		if _, err := fmt.Sscanf(field, "%d+%d", &s.behind, &s.by); err != nil {
			return nil, fmt.Errorf("stream %s says of its run numbers %q, which is not how Runhook says it: %w", RunsStream, text, err)
		}
		numbers = append(numbers, s)
	}
	return numbers, nil
}

// RequestsOf are the sequences of the requests of a slice: from the first to the one before to.
func (s *Store) RequestsOf(slice Slice) (from, to uint64) {
	return s.Numbers.Upto(slice.First-min(slice.First, 1)) + 1, s.Numbers.Upto(slice.End-1) + 1
}
