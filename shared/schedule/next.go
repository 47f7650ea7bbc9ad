package schedule

import "time"

const (
	// Horizon is how far Next looks, in years.
	Horizon = 40
	// skipped is how far clocks are set forward at most for a time between to be due; what is further skips a day.
	skipped = 3 * time.Hour
)

// Next is the first time strictly after an instant at which the expression is due; ok is false where none comes within
// Horizon years.
//
// It is Debian cron's rule. Where the minute or the hour begins with a star, each instant is due whose clock matches,
// in both passes of a doubled hour, and nothing is made up in a gap. Else a doubled time is due in the first pass only,
// and one that a gap leaves out at the first instant behind the gap, once with all others of that gap, unless the clocks
// are set forward by more than three hours.
func (c *Cron) Next(after time.Time) (due time.Time, ok bool) {
	if c.every > 0 {
		since := after.Unix()
		every := int64(c.every / time.Second)
		passed := since - ((since%every)+every)%every // the last multiple since 1970
		return time.Unix(passed+every, 0).In(c.zone), true
	}
	from := dateOf(after.In(c.zone)).add(-1)
	until := from.year + Horizon
	for day := from; day.year <= until; day = day.add(1) {
		if !c.months.has(day.month) {
			day = day.endOfMonth()
			continue
		}
		if !c.matches(day) {
			continue
		}
		due, ok := c.onDay(day, after)
		if !ok {
			continue
		}
		// Clocks that are set back just behind midnight show times of a day behind times of the next one.
		if next := day.add(1); c.matches(next) {
			if early, is := c.onDay(next, after); is && early.Before(due) {
				due = early
			}
		}
		return due.In(c.zone), !due.After(after.AddDate(Horizon, 0, 0))
	}
	return time.Time{}, false
}

// matches reports whether the expression is due on a date at all.
func (c *Cron) matches(d date) bool {
	byNumber, byWeekday := c.days.has(d.day), c.weekdays.has(d.weekday())
	if c.bothDays {
		return c.months.has(d.month) && byNumber && byWeekday
	}
	return c.months.has(d.month) && (byNumber || byWeekday)
}

// onDay is the first instant after another at which the expression is due by the clock of a date.
func (c *Cron) onDay(d date, after time.Time) (first time.Time, ok bool) {
	stretches := stretchesOf(d, c.zone)
	least, most := stretches[0].offset, stretches[0].offset
	for _, s := range stretches {
		least, most = min(least, s.offset), max(most, s.offset)
	}
	// What the clock shows before that is due before; and what it shows later than the end is due behind the first.
	wall, midnight := d.at(0, 0, 0), d.at(24, 0, 0)
	if begin := after.Add(least).UTC().Truncate(time.Second); begin.After(wall) {
		wall = begin
	}
	for wall, is := c.onClock(wall, midnight); is; wall, is = c.onClock(wall.Add(time.Second), midnight) {
		if ok && wall.Add(-most).After(first) {
			break
		}
		for _, due := range c.instants(stretches, wall) {
			if due.After(after) && (!ok || due.Before(first)) {
				first, ok = due, true
			}
		}
	}
	return first, ok
}

// onClock is the first time of a clock's day, from one on, that the expression has.
func (c *Cron) onClock(from, midnight time.Time) (wall time.Time, ok bool) {
	for wall = from; wall.Before(midnight); {
		hour, minute, second := wall.Clock()
		switch {
		case !c.hours.has(hour):
			wall = wall.Truncate(time.Hour).Add(time.Hour)
		case !c.minutes.has(minute):
			wall = wall.Truncate(time.Minute).Add(time.Minute)
		case !c.seconds.has(second):
			wall = wall.Add(time.Second)
		default:
			return wall, true
		}
	}
	return time.Time{}, false
}

// instants are when a wall clock's time is due.
func (c *Cron) instants(stretches []stretch, wall time.Time) (due []time.Time) {
	for _, s := range stretches {
		if at := wall.Add(-s.offset); !at.Before(s.start) && at.Before(s.end) {
			due = append(due, at)
		}
	}
	switch {
	case c.follows:
		return due
	case len(due) > 0:
		return due[:1]
	}
	for i := 1; i < len(stretches); i++ {
		before, behind := stretches[i-1].offset, stretches[i].offset
		at := stretches[i].start
		if wall.Before(at.Add(before)) || !wall.Before(at.Add(behind)) || behind-before > skipped {
			continue
		}
		return []time.Time{at}
	}
	return nil
}

// stretch is a time over which a zone's clocks keep their distance from UTC.
type stretch struct {
	start, end time.Time
	offset     time.Duration
}

// widest is more than the clock of any zone differs from UTC.
const widest = 26 * time.Hour

// stretchesOf are the stretches of a zone that may have times of a date, the oldest first.
func stretchesOf(d date, zone *time.Location) (all []stretch) {
	from, until := d.at(0, 0, 0).Add(-widest), d.at(24, 0, 0).Add(widest)
	for at := from; at.Before(until); {
		in := at.In(zone)
		_, offset := in.Zone()
		_, end := in.ZoneBounds()
		if end.IsZero() || end.After(until) {
			end = until
		}
		if !end.After(at) { // on the last day of a leap year: findings/go-zonebounds-leap-year.sh
			end = at.Truncate(time.Minute).Add(time.Minute)
		}
		s := stretch{at, end, time.Duration(offset) * time.Second}
		if last := len(all) - 1; last >= 0 && all[last].offset == s.offset {
			all[last].end = end
		} else {
			all = append(all, s)
		}
		at = end
	}
	return all
}

// date is a day of the calendar, without a zone.
type date struct{ year, month, day int }

func dateOf(t time.Time) date { return date{t.Year(), int(t.Month()), t.Day()} }

// at is a time of the date, as if its clock were UTC's.
func (d date) at(hour, minute, second int) time.Time {
	return time.Date(d.year, time.Month(d.month), d.day, hour, minute, second, 0, time.UTC)
}

func (d date) add(days int) date { return dateOf(d.at(0, 0, 0).AddDate(0, 0, days)) }
func (d date) weekday() int      { return int(d.at(0, 0, 0).Weekday()) }
func (d date) endOfMonth() date  { return date{d.year, d.month + 1, 1}.add(-1) }
