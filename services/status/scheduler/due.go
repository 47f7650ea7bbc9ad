package scheduler

import (
	"fmt"
	"reflect"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// due is a time at which a task is due, by an entry of its schedule.
type due struct {
	at    time.Time
	entry int
}

// before reports whether a time comes first.
func (d due) before(other due) bool {
	return d.at.Before(other.at) || d.at.Equal(other.at) && d.entry < other.entry
}

// pending is what a task has due.
type pending struct {
	// first is the next time at which a run is due; ok is false if there is none.
	first due
	ok    bool
	// missed is what came of times before it that make no run, and last the last time of all, also of those; the zero
	// due if there is none.
	missed []run.Dealt
	last   due
}

// look says what a definition has due behind what a timetable says is done, up to a moment.
func look(def *task.Definition, table run.Timetable, upTo, now time.Time) (p pending) {
	type passed struct{ oldest, newest due }
	var left []passed
	for i, s := range def.Schedules {
		after := table.Done
		if i >= table.Entries {
			after = after.Add(-1) // the time at it, too
		}
		oldest, ok := s.Next(def.ID, after)
		if !ok || oldest.After(upTo) {
			continue
		}
		last := lastDue(def.ID, s, after, upTo)
		kept := last
		if now.Sub(oldest) > late {
			kept = afterStandstill(s.Missed, last, now)
		}
		if newest := (due{last[len(last)-1], i}); p.last.before(newest) {
			p.last = newest
		}
		gone := passed{due{oldest, i}, due{oldest, i}}
		for _, at := range last {
			if len(kept) == 0 || at.Before(kept[0]) {
				gone.newest = due{at, i}
			}
		}
		if len(kept) == 0 || oldest.Before(kept[0]) {
			left = append(left, gone)
		}
		for _, at := range kept {
			if one := (due{at, i}); !isTwin(def, one) {
				if !p.ok || one.before(p.first) {
					p.first, p.ok = one, true
				}
				break
			}
		}
	}
	for _, gone := range left {
		if p.ok && !gone.oldest.before(p.first) {
			continue
		}
		p.missed = append(p.missed, run.Dealt{Due: gone.newest.at, Why: missedText(def.Schedules[gone.oldest.entry], gone.oldest.at, gone.newest.at)})
	}
	return p
}

func missedText(s task.Schedule, oldest, newest time.Time) string {
	since := ""
	if newest.After(oldest) {
		since = ", as were those since " + oldest.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("missed%s (missed: %s)", since, s.Missed)
}

// afterStandstill are those of the last times for which runs are made although they were missed.
func afterStandstill(missed task.Missed, last []time.Time, now time.Time) []time.Time {
	switch missed {
	case task.MissedAll:
		return last[max(0, len(last)-task.MaxMissed):]
	case task.MissedSkip:
		for i, at := range last {
			if now.Sub(at) <= late {
				return last[i:]
			}
		}
		return nil
	}
	return last[len(last)-1:]
}

// isTwin reports whether an earlier entry of the schedule has the same run due at the same time.
func isTwin(def *task.Definition, of due) bool {
	for _, s := range def.Schedules[:of.entry] {
		mine := def.Schedules[of.entry]
		if at, ok := s.Next(def.ID, of.at.Add(-1)); ok && at.Equal(of.at) && s.Missed == mine.Missed && reflect.DeepEqual(s.Parameters, mine.Parameters) {
			return true
		}
	}
	return false
}

// lastDue are the last times behind one and up to another, all of those that are not late among them, and one more than
// MaxMissed at least if there are as many. There is at least one.
func lastDue(id task.ID, s task.Schedule, after, upTo time.Time) (last []time.Time) {
	for back := 2 * late; ; back *= 2 {
		from, all := upTo.Add(-back), false
		if back > 1<<62/2 || !from.After(after) {
			from, all = after, true
		}
		last = last[:0]
		for at, ok := s.Next(id, from); ok && !at.After(upTo); at, ok = s.Next(id, at) {
			last = append(last, at)
		}
		if all || len(last) > task.MaxMissed {
			return last
		}
	}
}

// following is the first time behind what a timetable says is done; ok is false if there is none.
func following(def *task.Definition, table run.Timetable) (next time.Time, ok bool) {
	for i, s := range def.Schedules {
		after := table.Done
		if i >= table.Entries {
			after = after.Add(-1)
		}
		if at, is := s.Next(def.ID, after); is && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	return next, ok
}
