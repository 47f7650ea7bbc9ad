package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Pace is how long the last runs of a task took, by which its pollers are told when to poll again. It is stored as
// JSON. The zero Pace knows of no run.
type Pace struct {
	// LastMs are the times from the start to the end of at most MaxPace runs, in milliseconds, the latest last.
	LastMs []int64
}

// MaxPace is how many runs a pace has.
const MaxPace = 16

// The bounds of how long a poller is asked to wait, and how long that is while no run of the task has ended.
const (
	pollSoonest = time.Second
	pollLatest  = time.Minute
	PollAtFirst = 30 * time.Second
)

// CountsForPace reports whether a run that has ended says how long others may take: it was executed to its end, and
// wrote.
func (d *Document) CountsForPace() bool {
	return d.ExecutionCount > 0 && d.Outcome() != Canceled && d.Trigger != DryRun
}

// With is the pace after further runs, the latest last.
func (p Pace) With(lastMs ...int64) Pace {
	all := slices.Concat(p.LastMs, lastMs)
	return Pace{slices.Clone(all[max(0, len(all)-MaxPace):])}
}

// Encode returns the bytes to store.
func (p Pace) Encode() ([]byte, error) { return json.Marshal(p) }

// DecodePace reads a pace.
func DecodePace(data []byte) (p Pace, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return Pace{}, fmt.Errorf("decode the pace of a task: %w", err)
	}
	if len(p.LastMs) == 0 || len(p.LastMs) > MaxPace {
		return Pace{}, fmt.Errorf("the pace of a task has %d runs, not 1 to %d", len(p.LastMs), MaxPace)
	}
	if slices.ContainsFunc(p.LastMs, func(ms int64) bool { return ms < 0 || ms > longestMs }) {
		return Pace{}, errors.New("the pace of a task has a run of an impossible length")
	}
	return p, nil
}

// longestMs is longer than any run takes.
const longestMs = 10 * 365 * 24 * 3600 * 1000

// Stage is how far a run is that has not ended.
type Stage struct {
	Phase Phase
	// Since is when the run was accepted, or, once it was started, when that was.
	Since time.Time
	// Percent is what is done of it, 0 if that is not known.
	Percent float64
}

// Stage is how far the document's run is.
func (d *Document) Stage() Stage {
	if d.StartedOn == nil {
		return Stage{Phase: d.Status, Since: time.Time(d.CreatedOn)}
	}
	return Stage{Phase: d.Status, Since: time.Time(*d.StartedOn), Percent: d.PercentComplete}
}

// PollAgain is how long a poller of a run that has not ended is asked to wait, in whole seconds from 1 to 60. It is the
// time after which the run may have ended:
//
//   - of a run in progress what is left by its percentage, or by the earlier runs that took longer than it has
//     until now, whichever is less;
//   - of one that takes longer than any before, and has no percentage, an eighth of the time that it has taken;
//   - of a queued one what a run takes, but at least a quarter of the time that it has waited.
//
// A fiftieth of a run's time is the least: a long run is not polled every second before its end.
func (p Pace) PollAgain(at Stage, now time.Time) time.Duration {
	if len(p.LastMs) == 0 {
		return PollAtFirst
	}
	gone := max(0, now.Sub(at.Since))
	var left time.Duration
	if at.Phase == InProgress {
		left = max(p.leftOf(gone, at.Percent), gone/50)
	} else {
		first, _ := p.longerThan(0)
		left = max(first, gone/4)
	}
	left = min(max(left, pollSoonest), pollLatest)
	return (left + time.Second - 1).Truncate(time.Second)
}

// leftOf is how long a run may still take that has taken gone for percent of its work.
func (p Pace) leftOf(gone time.Duration, percent float64) time.Duration {
	longer, some := p.longerThan(gone)
	left := longer - gone
	if !some {
		left = gone / 8
	}
	if !(percent > 0 && percent <= 100) || gone < pollSoonest { // the first moments of a run say little of the rest
		return left
	}
	byPercent := time.Duration(math.Min(float64(gone)*(100-percent)/percent, float64(pollLatest)))
	if !some {
		return byPercent
	}
	return min(left, byPercent)
}

// longerThan is how long those runs took that took longer than gone: three of four as long as that, or longer. ok is
// false if there are none.
func (p Pace) longerThan(gone time.Duration) (took time.Duration, ok bool) {
	sorted, n := p.sorted()
	longer := sorted[:n]
	at, _ := slices.BinarySearch(longer, gone.Milliseconds()+1)
	if longer = longer[at:]; len(longer) == 0 {
		return 0, false
	}
	return time.Duration(longer[(len(longer)-1)/4]) * time.Millisecond, true
}

// sorted are the times from the least to the most.
func (p Pace) sorted() (times [MaxPace]int64, n int) {
	n = copy(times[:], p.LastMs)
	slices.Sort(times[:n])
	return times, n
}

// Differs reports whether pollers are told something else by the other pace: the time that one of four runs ends
// within, that two of four do, or that all do, is another by more than a second and a quarter of it.
func (p Pace) Differs(other Pace) bool {
	mine, n := p.sorted()
	others, m := other.sorted()
	if n == 0 || m == 0 {
		return n != m
	}
	for quarters := 1; quarters <= 4; quarters++ {
		a, b := mine[(n-1)*quarters/4], others[(m-1)*quarters/4]
		if difference := max(a-b, b-a); difference > 1000 && difference > max(a, b)/5 {
			return true
		}
	}
	return false
}
