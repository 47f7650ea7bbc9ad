package mapping

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// firstOfHundred is the first year that a year of two digits means, unless date is told another.
const firstOfHundred = 1969 // as the package time has it

// letters are what a format is written with, longest first, and Go's words for them.
var letters = []struct{ format, layout string }{
	{"yyyy", "2006"},
	{"yy", "06"},
	{"MMMM", "January"},
	{"MMM", "Jan"},
	{"MM", "01"},
	{"M", "1"},
	{"dddd", "Monday"},
	{"ddd", "Mon"},
	{"dd", "02"},
	{"d", "2"},
	{"HH", "15"},
	{"hh", "03"},
	{"h", "3"},
	{"mm", "04"},
	{"m", "4"},
	{"ss", "05"},
	{"s", "5"},
	{"SSS", "000"},
	{"a", "PM"},
	{"zzz", "-07:00"},
	{"Z", "Z07:00"},
}

// mistaken are orders of parts that nobody can mean, most often because of letters that mean something else in other
// languages, and what to write. A part is the first letter of its format, and E for a weekday.
var mistaken = []struct {
	order *regexp.Regexp
	says  string
}{
	{regexp.MustCompile(`[Hh]M|Ms`), "has M, which is the month, where minutes must be; minutes are mm, as in HH:mm"},
	{regexp.MustCompile(`(^|[^Hh])m([^s]|$)`), "has m, which are minutes, without hours before; the month is MM, as in yyyy-MM-dd, and minutes stand behind hours, as in HH:mm"},
	{regexp.MustCompile(`^[^a]*h[^a]*$`), "has h, the hours up to 12, without a for AM or PM; hours up to 23 are HH, as in HH:mm, and the others hh:mm a"},
	{regexp.MustCompile(`[^m]s`), "has s, which are seconds, without minutes before; write them HH:mm:ss"},
	{regexp.MustCompile(`(^|[^s])S`), "has SSS, which are milliseconds, without seconds before; write them HH:mm:ss.SSS"},
	{regexp.MustCompile(`yy|MM|dd|HH|hh|mm|ss|SS`), "has the same part twice; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss"},
	{regexp.MustCompile(`^[^M]*(y[^M]*d|d[^M]*y)[^M]*$`), "has a day and a year without a month; the month is MM, as in yyyy-MM-dd"},
}

// layoutOf translates a format such as dd.MM.yyyy. The error goes on after the format's text.
func layoutOf(format string) (layout string, err error) {
	var out, order strings.Builder
next:
	for rest := format; rest != ""; {
		for _, l := range letters {
			if strings.HasPrefix(rest, l.format) {
				if after := rest[len(l.format):]; after != "" && after[0] == rest[0] {
					return "", fmt.Errorf("has too many of the letter %c", rest[0])
				}
				switch before := strings.TrimRight(out.String(), ".,"); {
				case l.format == "SSS" && len(before) == out.Len() && strings.HasSuffix(order.String(), "s"):
					return "", fmt.Errorf("has SSS, which are milliseconds, without a point before; write them ss.SSS")
				case l.layout == "Monday" || l.layout == "Mon":
					order.WriteByte('E')
				default:
					order.WriteByte(rest[0])
				}
				out.WriteString(l.layout)
				rest = rest[len(l.format):]
				continue next
			}
		}
		switch c := rest[0]; {
		case c == '\'':
			text, after, ok := strings.Cut(rest[1:], "'")
			if !ok || strings.ContainsAny(text, "0123456789") {
				return "", fmt.Errorf("has a text in ' that does not end, or has digits in it")
			}
			out.WriteString(text)
			rest = after
		case c == 'T' || strings.IndexByte(" -./:,", c) >= 0:
			out.WriteByte(c)
			rest = rest[1:]
		default:
			return "", fmt.Errorf("has %q, which is no part of a date; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss", []rune(rest)[0])
		}
	}
	for _, mistake := range mistaken {
		if mistake.order.MatchString(order.String()) {
			return "", fmt.Errorf("%s", mistake.says)
		}
	}
	if order.Len() == 0 {
		return "", fmt.Errorf("has no part of a date in it; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss")
	}
	return out.String(), nil
}

// formatOf is the format of a layout.
func formatOf(layout string) string {
	var out strings.Builder
	for rest := layout; rest != ""; {
		format, length := rest[:1], 1
		for _, l := range letters {
			if strings.HasPrefix(rest, l.layout) && (len(l.layout) > length || format == rest[:1]) {
				format, length = l.format, len(l.layout)
			}
		}
		out.WriteString(format)
		rest = rest[length:]
	}
	return out.String()
}

// hasShortYear reports whether a layout has a year of two digits.
func hasShortYear(layout string) bool {
	return strings.Contains(strings.ReplaceAll(layout, "2006", ""), "06")
}

// zones are other ways to write the zone that zzz stands for.
var zones = []string{"Z07:00", "-0700", "-07"}

// parseFormat reads a text in a layout. The error is a [reason].
func parseFormat(text, layout string, zone *time.Location) (time.Time, error) {
	parsed, err := time.ParseInLocation(layout, text, zone)
	for _, other := range zones {
		if err == nil || !strings.Contains(layout, "-07:00") {
			break
		}
		parsed, err = time.ParseInLocation(strings.Replace(layout, "-07:00", other, 1), text, zone)
	}
	if err != nil {
		return parsed, reason("the text is not a date like " + formatOf(layout))
	}
	if zone == time.UTC || strings.Contains(layout, "07:00") {
		return parsed, nil
	}
	clock, _ := time.Parse(layout, text)
	return inZone(parsed, clock)
}

// inZone is a date in its zone, of a text that names none and shows the clock. A time that the zone's clocks show twice is
// the first; one that they skip is an error, which is a [reason].
func inZone(parsed, clock time.Time) (time.Time, error) {
	_, offset := parsed.Zone()
	if !parsed.Add(time.Duration(offset) * time.Second).Equal(clock) {
		return parsed, reason("the clocks of the time zone skip the time that the text has, as an hour in spring")
	}
	if change, _ := parsed.ZoneBounds(); !change.IsZero() {
		_, before := change.Add(-1).Zone()
		if first := parsed.Add(time.Duration(offset-before) * time.Second); first.Before(change) {
			return first, nil
		}
	}
	return parsed, nil
}

// inHundred is the date in the hundred years from first, which a text with a year of two digits means. ok is
// false for a 29 February that the year there does not have.
func inHundred(parsed time.Time, first int) (moved time.Time, ok bool) {
	year := first + ((parsed.Year()-first)%100+100)%100
	moved = parsed.AddDate(year-parsed.Year(), 0, 0)
	return moved, moved.Day() == parsed.Day()
}

// parseISO reads an ISO date, perhaps with a time and a zone as programs write them: behind a T or a space,
// with or without seconds and their fraction, and Z, UTC, +02:00, +0200 or +02.
func parseISO(text string, zone *time.Location) (time.Time, error) {
	layout, normal := time.DateOnly, text
	if len(text) > len(time.DateOnly) {
		day, clock := text[:len(time.DateOnly)], text[len(time.DateOnly)+1:]
		if strings.IndexByte("Tt ", text[len(time.DateOnly)]) < 0 {
			return time.Time{}, notISO
		}
		offset := ""
		if at := strings.IndexAny(clock, "Zz+-U"); at > 0 {
			clock, offset = strings.TrimSuffix(clock[:at], " "), clock[at:]
		}
		switch {
		case offset == "z" || offset == "UTC":
			offset = "Z"
		case len(offset) == len("+02"):
			offset += ":00"
		case len(offset) == len("+0200"):
			offset = offset[:3] + ":" + offset[3:]
		}
		layout = "2006-01-02T15:04:05"
		if strings.Count(clock, ":") == 1 {
			layout = "2006-01-02T15:04"
		}
		if offset != "" {
			layout += "Z07:00"
		}
		normal = day + "T" + clock + offset
	}
	parsed, err := time.ParseInLocation(layout, normal, zone)
	if err != nil {
		return parsed, notISO
	}
	return parsed, nil
}

const notISO = reason("the text is not a date like 2026-01-31 or 2026-01-31 18:30:00; give its format, as in date(…, \"dd.MM.yyyy\")")

// plainMonth is a month or a weekday as a whole number: the package time has types of their own for them, which
// equal no number.
func plainMonth(args ...any) (any, error) {
	switch v := args[0].(type) {
	case time.Month:
		return int(v), nil
	case time.Weekday:
		return int(v), nil
	}
	return args[0], nil
}
