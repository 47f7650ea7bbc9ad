package zone

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"runhook/shared/wording"
)

// ParseMoment reads a moment that somebody has written: RFC 3339, or a date, a time and a zone, as in
// 2026-12-01 06:00 Europe/Berlin. A time that the clocks of the zone pass over, or show twice, is refused. The error says
// what to write.
func ParseMoment(text string) (time.Time, error) {
	if strings.TrimSpace(text) == "" {
		return time.Time{}, errors.New("there is no moment: write a date, a time and a zone, as 2026-12-01 06:00 Europe/Berlin, or with an offset, as 2026-12-01T06:00:00+01:00")
	}
	if moment, err := time.Parse(time.RFC3339, text); err == nil {
		return since1970(moment, text)
	}
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return time.Time{}, fmt.Errorf("%s is no moment: write a date, a time and a zone, as 2026-12-01 06:00 Europe/Berlin, or with an offset, as 2026-12-01T06:00:00+01:00", wording.Name(text))
	}
	layout := "2006-01-02 15:04"
	if strings.Count(fields[1], ":") == 2 {
		layout += ":05"
	}
	wall, err := time.Parse(layout, fields[0]+" "+fields[1])
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no date and time: write them as in 2026-12-01 06:00", wording.Name(fields[0]+" "+fields[1]))
	}
	zone, err := Load(fields[2])
	if err != nil {
		return time.Time{}, err
	}
	switch moments := showing(wall, zone); len(moments) {
	case 1:
		return since1970(moments[0], text)
	case 0:
		later := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
		return time.Time{}, fmt.Errorf("the clocks of %s do not show %s %s, they are set forward then: write a time before or after that, as %s",
			fields[2], fields[0], fields[1], later.Format(time.RFC3339))
	default:
		return time.Time{}, fmt.Errorf("the clocks of %s show %s %s twice: write which one, as %s or %s",
			fields[2], fields[0], fields[1], moments[0].Format(time.RFC3339), moments[1].Format(time.RFC3339))
	}
}

// since1970 refuses moments that nobody means: a program has sent a date that it did not set, as 0001-01-01.
func since1970(moment time.Time, text string) (time.Time, error) {
	if moment.Unix() < 0 {
		return time.Time{}, fmt.Errorf("%s is before 1970: write the moment that is meant", wording.Name(text))
	}
	return moment, nil
}

// showing are the moments at which the clocks of a zone show what a wall clock does, the earlier one first.
func showing(wall time.Time, zone *time.Location) (moments []time.Time) {
	const around = 26 * time.Hour // farther away than any zone is from UTC
	for _, near := range []time.Time{wall.Add(-around), wall, wall.Add(around)} {
		_, offset := near.In(zone).Zone()
		moment := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		shown := moment.Format(time.DateTime) == wall.Format(time.DateTime)
		if shown && !slices.ContainsFunc(moments, moment.Equal) {
			moments = append(moments, moment)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	return moments
}
