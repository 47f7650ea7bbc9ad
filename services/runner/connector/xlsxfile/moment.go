package xlsxfile

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// lastDay is 9999-12-31, the last day that a workbook can show.
	lastDay = 2958465
	// firstDay is 1900-03-01. Before it, programs count days in different ways: there are ones that
	// begin with 1899-12-31, others have a 29 February 1900, and few agree on days below 0.
	firstDay = 61
	// between1904 is how many days the two systems are apart.
	between1904 = 1462
	// first1904 is the first day of our calendar, 1582-10-15, in a workbook that counts from 1904.
	first1904 = -117320
)

var (
	epoch1900 = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	epoch1904 = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
)

// moment is a number of days as a form shows it, by ISO 8601, or the fault of its cell.
func (f form) moment(days float64, from1904 bool) (text string, failed fault) {
	if math.Abs(days) >= lastDay+1 {
		return "", faultRange
	}
	if f == asClock && days < 0 && !from1904 {
		return "", faultClock
	}
	if f == asClock || f == asElapsed {
		return f.clock(days), 0
	}
	// The last moment of a day is that day, though it may be rounded to the next.
	whole := math.Floor(days)
	clock := min(milliseconds(days-whole), day-time.Millisecond)
	switch {
	case !from1904 && whole < firstDay:
		return "", faultEarly
	case from1904 && (whole < first1904 || whole > lastDay-between1904):
		return "", faultRange
	}
	epoch := epoch1900
	if from1904 {
		epoch = epoch1904
	}
	return f.show(epoch.AddDate(0, 0, int(whole)).Add(clock)), 0
}

// show is a moment as a form shows it.
func (f form) show(at time.Time) string {
	switch f {
	case asDate:
		return at.Format(time.DateOnly)
	case asClock:
		return at.Format("15:04:05.999")
	}
	return at.Format("2006-01-02T15:04:05.999")
}

// clock is a number of days as a time of the day, without the days, or as all the hours that it has.
// Below 0 it has a sign.
func (f form) clock(days float64) string {
	var all int64
	if f == asElapsed { // it can be longer than a time.Duration
		all = int64(math.Round(math.Abs(days) * float64(day/time.Millisecond)))
	} else {
		_, part := math.Modf(math.Abs(days))
		all = min(milliseconds(part), day-time.Millisecond).Milliseconds()
	}
	text := elapsed(all)
	if days < 0 && all > 0 {
		return "-" + text
	}
	return text
}

// milliseconds is a number of days as people mean it: a double holds a moment of our time to the
// microsecond.
func milliseconds(days float64) time.Duration {
	return time.Duration(math.Round(days*float64(day/time.Millisecond))) * time.Millisecond
}

// elapsed is a number of milliseconds as hours, minutes and seconds.
func elapsed(all int64) string {
	const hour = int64(time.Hour / time.Millisecond)
	text := strconv.FormatInt(all/hour, 10) + time.Time{}.Add(time.Duration(all%hour)*time.Millisecond).Format(":04:05.999")
	if all < 10*hour {
		text = "0" + text
	}
	return text
}

// iso is the moment of a cell that holds one as ISO 8601, as its format shows it: what it would be if
// the cell held a number.
func (f format) iso(text string) (shown string, failed fault) {
	// Some programs write a Z, and mean the time that the cell shows.
	text = strings.TrimSuffix(strings.Replace(text, " ", "T", 1), "Z")
	if hours, ok := strings.CutPrefix(text, "PT"); ok {
		if d, err := time.ParseDuration(strings.ToLower(hours)); err == nil && d >= 0 {
			return elapsed(d.Round(time.Millisecond).Milliseconds()), 0
		}
		return "", faultMoment
	}
	for _, kind := range []struct {
		layout string
		form   form
	}{{"2006-01-02T15:04:05", asDateTime}, {"2006-01-02T15:04", asDateTime}, {time.DateOnly, asDate}, {time.TimeOnly, asClock}, {"15:04", asClock}} {
		at, err := time.Parse(kind.layout, text)
		if err != nil {
			continue
		}
		midnight := at.Truncate(day)
		clock := min(at.Sub(midnight).Round(time.Millisecond), day-time.Millisecond)
		as := kind.form
		if as != asClock {
			days := float64(midnight.Unix()-epoch1900.Unix()) / day.Seconds()
			if s := f.of(days + clock.Hours()/24); s.form == asDate || s.form == asDateTime || s.form == asClock {
				as = s.form
			}
		}
		return as.show(midnight.Add(clock)), 0
	}
	return "", faultMoment
}
