package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"runhook/shared/nearest"
	"runhook/shared/wording"
)

// Cron is a schedule of times that come again, in a zone. It is safe for concurrent use.
//
// The grammar is that of robfig/cron: five fields (minute, hour, day of the month, month, day of the week) or six, with
// the second first; names of months and weekdays, lists, ranges and steps; @yearly, @annually, @monthly, @weekly,
// @daily, @midnight, @hourly and @every with a duration. Besides, 7 is Sunday, and a range may wrap (FRI-MON). A zone
// within the expression is refused.
type Cron struct {
	seconds, minutes, hours, days, months, weekdays set
	// follows: the expression follows the clock through both passes of a doubled hour, and makes nothing up in a gap,
	// since its minute or its hour begins with a star.
	follows bool
	// bothDays: a day must be right by its number and by its weekday, since one of the two begins with a star.
	bothDays bool
	// every is the distance of the times of @every, 0 for another expression.
	every time.Duration
	zone  *time.Location
}

// set has the bit n set for each number n that is in it.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// field is what a field may have.
type field struct {
	name     string
	min, max int
	names    []string // of the numbers from min on
}

var (
	seconds  = field{"second", 0, 59, nil}
	minutes  = field{"minute", 0, 59, nil}
	hours    = field{"hour", 0, 23, nil}
	days     = field{"day of the month", 1, 31, nil}
	months   = field{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdays = field{"day of the week", 0, 6, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
)

// named are expressions that have a name.
var named = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Shortest is the shortest distance that @every takes.
const Shortest = 10 * time.Second

// ParseCron reads an expression whose times are those of a zone's clocks. Its error says what is wrong and what to
// write. Whether a time ever comes is for Next to say.
func ParseCron(expression string, zone *time.Location) (*Cron, error) {
	c := &Cron{zone: zone}
	text := strings.TrimSpace(expression)
	if before, _, ok := strings.Cut(text, "="); ok && (before == "TZ" || before == "CRON_TZ") {
		return nil, fmt.Errorf("%s: write the zone as time_zone beside it", wording.Name(before+"=…"))
	}
	if span, ok := strings.CutPrefix(text, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(span))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s is no duration; write one as in @every 1h30m", wording.Name(strings.TrimSpace(span)))
		case every < Shortest:
			return nil, fmt.Errorf("@every %s: at least %s", every, Shortest)
		case every%time.Second != 0:
			return nil, fmt.Errorf("@every %s: whole seconds only", every)
		}
		c.every = every
		return c, nil
	}
	if strings.HasPrefix(text, "@") {
		known, ok := named[strings.ToLower(text)]
		if !ok {
			names := []string{"@every 1h"}
			for name := range named {
				names = append(names, name)
			}
			slices.Sort(names)
			return nil, fmt.Errorf("%s is not known%s: %s", wording.Name(text), nearest.Hint(text, names), strings.Join(names, ", "))
		}
		text = known
	}
	fields := strings.Fields(text)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 {
		return nil, fmt.Errorf("%s: write five fields (minute, hour, day of the month, month, day of the week), or six with the second first",
			wording.Name(expression))
	}
	var err error
	star := [6]bool{}
	for i, part := range []struct {
		of   field
		into *set
	}{{seconds, &c.seconds}, {minutes, &c.minutes}, {hours, &c.hours}, {days, &c.days}, {months, &c.months}, {weekdays, &c.weekdays}} {
		if *part.into, err = part.of.parse(fields[i]); err != nil {
			return nil, err
		}
		star[i] = strings.HasPrefix(fields[i], "*") || strings.HasPrefix(fields[i], "?")
	}
	c.follows, c.bothDays = star[1] || star[2], star[3] || star[5]
	return c, nil
}

// parse reads one field: a list of ranges.
func (f field) parse(text string) (set, error) {
	var all set
	for part := range strings.SplitSeq(text, ",") {
		some, err := f.span(part)
		if err != nil {
			return 0, err
		}
		all |= some
	}
	return all, nil
}

// span reads *, ?, N, N-M, each with /STEP; N/STEP goes on to the end.
func (f field) span(text string) (all set, err error) {
	span, step, stepped := strings.Cut(text, "/")
	low, high := f.min, f.max
	if span != "*" && span != "?" {
		from, to, isRange := strings.Cut(span, "-")
		if low, err = f.number(from); err != nil {
			return 0, err
		}
		if isRange {
			if high, err = f.number(to); err != nil {
				return 0, err
			}
		} else if !stepped {
			high = low
		}
	}
	by := 1
	if stepped {
		if by, err = strconv.Atoi(step); err != nil || by < 1 || by > f.max-f.min+1 {
			return 0, fmt.Errorf("the step %s of the %s: write a number from 1 to %d", wording.Quote(step), f.name, f.max-f.min+1)
		}
	}
	size := f.max - f.min + 1
	length := high - low
	if length < 0 { // it wraps
		length += size
	}
	for i := 0; i <= length; i += by {
		all |= 1 << (f.min + (low-f.min+i)%size)
	}
	return all, nil
}

// number reads a number or a name of the field.
func (f field) number(text string) (int, error) {
	if text == "" {
		return 0, fmt.Errorf("a part of the %s is empty", f.name)
	}
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return f.min + i, nil
	}
	highest := f.max
	if f.name == weekdays.name {
		highest = 7 // Sunday too
	}
	n, err := strconv.Atoi(text)
	if err == nil && n >= f.min && n <= highest && text[0] != '+' {
		return n, nil
	}
	allowed := fmt.Sprintf("%d to %d", f.min, highest)
	if f.names != nil {
		allowed += fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	if err == nil && f.name == hours.name && n <= minutes.max {
		allowed += "; with a second, write six fields, the second first"
	}
	return 0, fmt.Errorf("the %s %s: write %s%s", f.name, wording.Name(text), allowed, nearest.Hint(text, f.names))
}

// Zone is the zone of the clocks whose times these are.
func (c *Cron) Zone() *time.Location { return c.zone }
