package task

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"runhook/shared/schedule"
)

// Missed says what becomes of times that have passed while no status service was at work.
type Missed string

// The values of missed.
const (
	// MissedOnce makes one run for all of them, that of the last.
	MissedOnce Missed = "once"
	// MissedSkip makes none.
	MissedSkip Missed = "skip"
	// MissedAll makes a run for each, at most MaxMissed: those of the last.
	MissedAll Missed = "all"
)

// MaxMissed is how many missed times MissedAll makes runs for.
const MaxMissed = 100

// Schedule is when a task is due by itself: by a cron expression, or once.
type Schedule struct {
	// Cron is nil where At is set.
	Cron *schedule.Cron
	// Expression is that of Cron, and TimeZone the zone of its clocks.
	Expression, TimeZone string
	// At is the only time; the zero time where Cron is set.
	At time.Time
	// Jitter is by how much each time is set back at most, whole seconds.
	Jitter time.Duration
	Missed Missed
	// Parameters are what each run gets as the parameters of its request, in file order.
	Parameters []Given
	// Line is where the entry stands in the file.
	Line int
}

// String is the schedule as a file has it, in short.
func (s Schedule) String() string {
	if s.Cron == nil {
		return "at " + s.At.Format(time.RFC3339)
	}
	return s.Expression + " (" + s.TimeZone + ")"
}

// Zone is that of the schedule's times: UTC, or what the file names.
func (s Schedule) Zone() *time.Location {
	if s.Cron == nil {
		return s.At.Location()
	}
	return s.Cron.Zone()
}

// Next is the first time strictly after an instant at which a task of an id is due by the schedule; ok is false if there
// is none.
func (s Schedule) Next(id ID, after time.Time) (due time.Time, ok bool) {
	if s.Cron == nil {
		return s.At, s.At.After(after)
	}
	if s.Jitter == 0 {
		return s.Cron.Next(after)
	}
	for from := after.Add(-s.Jitter); ; {
		due, ok = s.Cron.Next(from)
		if !ok {
			return time.Time{}, false
		}
		// Where clocks are set forward two times may be nearer to each other than the jitter is long: they keep their order.
		room := s.Jitter
		if following, ok := s.Cron.Next(due); ok {
			room = min(room, following.Sub(due))
		}
		if moved := due.Add(share(id, due, room)); moved.After(after) {
			return moved, true
		}
		from = due
	}
}

// share is by how much the time of a task is set back: the same for every process, below jitter, whole seconds.
func share(id ID, due time.Time, jitter time.Duration) time.Duration {
	seconds := uint64(jitter / time.Second)
	if seconds == 0 {
		return 0
	}
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(id), uint64(due.Unix())))
	return time.Duration(binary.BigEndian.Uint64(hash[:])%seconds) * time.Second
}

// Due is a time at which a task is due, and the schedule that says so.
type Due struct {
	At       time.Time
	Schedule Schedule
}

// Local is the time by the clocks of the schedule's zone, with their distance from UTC.
func (d Due) Local() string { return d.At.In(d.Schedule.Zone()).Format(time.RFC3339) }

// Coming are the first times strictly after an instant at which the task is due, in their order. A time at which several
// entries are due is there for each of them.
func (d *Definition) Coming(after time.Time, most int) (coming []Due) {
	for _, s := range d.Schedules {
		at, ok := s.Next(d.ID, after)
		for n := 0; ok && n < most; n++ {
			coming = append(coming, Due{at, s})
			at, ok = s.Next(d.ID, at)
		}
	}
	slices.SortStableFunc(coming, func(a, b Due) int { return a.At.Compare(b.At) })
	return coming[:min(most, len(coming))]
}
