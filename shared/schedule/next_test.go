package schedule_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"runhook/shared/schedule"
	"runhook/shared/zone"
)

func parse(t testing.TB, expression, name string) *schedule.Cron {
	t.Helper()
	location, err := zone.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	cron, err := schedule.ParseCron(expression, location)
	if err != nil {
		t.Fatal(err)
	}
	return cron
}

// The times of testdata/times.txt: expression, zone, after, next instants.
func TestNext(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/times.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		rows++
		part := strings.Split(line, "|")
		after, err := time.Parse(time.RFC3339, part[2])
		if err != nil {
			t.Fatal(err)
		}
		cron := parse(t, part[0], part[1])
		var due []string
		for range strings.Fields(part[3]) {
			var ok bool
			if after, ok = cron.Next(after); !ok {
				break
			}
			due = append(due, after.UTC().Format("2006-01-02T15:04Z"))
		}
		if got := strings.Join(due, " "); got != part[3] {
			t.Errorf("%s\n\tdue %s", line, got)
		}
	}
	if rows < 20 {
		t.Fatalf("%d rows", rows)
	}
}

// walk is the same search by another way: it looks at the clock at every minute of UTC, and remembers what it has shown
// to see what it leaves out or shows again.
type walk struct {
	expression [5]string // minute, hour, day, month, weekday
	zone       *time.Location
	has        [5][60]bool
}

func newWalk(expression string, zone *time.Location) *walk {
	w := &walk{zone: zone}
	copy(w.expression[:], strings.Fields(expression))
	for place := range w.has {
		for n := range w.has[place] {
			w.has[place][n] = w.is(place, n)
		}
	}
	return w
}

// is reads a field for one number.
func (w *walk) is(place, n int) bool {
	names := [5]string{3: "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 4: "SUNMONTUEWEDTHUFRISAT"}
	least, most := [5]int{0, 0, 1, 1, 0}[place], [5]int{59, 23, 31, 12, 6}[place]
	number := func(text string) int {
		if i := strings.Index(names[place], strings.ToUpper(text)); i >= 0 && len(text) == 3 {
			return i/3 + least
		}
		n, _ := strconv.Atoi(text)
		return n
	}
	for _, part := range strings.Split(w.expression[place], ",") {
		span, step, _ := strings.Cut(part, "/")
		by := max(number(step), 1)
		from, to, isRange := strings.Cut(span, "-")
		at, end := least, most
		switch {
		case span == "*" || span == "?":
		case isRange:
			at, end = number(from), number(to)
		case step == "":
			at, end = number(from), number(from)
		default:
			at = number(from)
		}
		size := most - least + 1
		distance := ((n-at)%size + size) % size // around the circle
		if distance <= ((end-at)%size+size)%size && distance%by == 0 || place == 4 && at == 0 && end == 7 && n%by == 0 {
			return true
		}
	}
	return false
}

func (w *walk) onDay(t time.Time) bool {
	star := func(place int) bool { return strings.ContainsAny(w.expression[place][:1], "*?") }
	day, weekday := w.has[2][t.Day()], w.has[4][t.Weekday()]
	right := day || weekday
	if star(2) || star(4) {
		right = day && weekday
	}
	return right && w.has[3][t.Month()]
}

// next walks from after to until.
func (w *walk) next(after, until time.Time) (time.Time, bool) {
	follows := strings.ContainsAny(w.expression[0][:1]+w.expression[1][:1], "*?")
	matches := func(wall time.Time) bool {
		return w.has[0][wall.Minute()] && w.has[1][wall.Hour()] && w.onDay(wall)
	}
	wall := func(at time.Time) time.Time { // as if UTC's clock showed it
		in := at.In(w.zone)
		return time.Date(in.Year(), in.Month(), in.Day(), in.Hour(), in.Minute(), 0, 0, time.UTC)
	}
	const step = time.Minute
	// The furthest that the clock had come within a day: what it shows again is below.
	begin := after.Truncate(step).Add(-26 * time.Hour)
	furthest, last := wall(begin), wall(begin)
	for at := begin.Add(step); !at.After(until); at = at.Add(step) {
		now := wall(at)
		gap := now.Sub(last) - step
		due := matches(now) && (follows || now.After(furthest))
		if !follows && gap > 0 && gap <= 3*time.Hour {
			for left := last.Add(step); left.Before(now); left = left.Add(step) {
				due = due || left.After(furthest) && matches(left)
			}
		}
		if due && at.After(after) {
			return at, true
		}
		last = now
		if now.After(furthest) {
			furthest = now
		}
	}
	return time.Time{}, false
}

// someCron is an expression, a zone and a time, as random numbers have it: mostly near a change of the zone's clocks.
func someCron(r *rand.Rand) (expression, name string, after time.Time) {
	names := zone.Names()
	name = names[r.IntN(len(names))]
	some := func(least, most int, usual ...string) string {
		if r.IntN(3) > 0 {
			return usual[r.IntN(len(usual))]
		}
		n := func() int { return least + r.IntN(most-least+1) }
		var parts []string
		for range 1 + r.IntN(3) {
			part := strconv.Itoa(n())
			switch r.IntN(5) {
			case 0:
				part += "-" + strconv.Itoa(n())
			case 1:
				part += "-" + strconv.Itoa(n()) + "/" + strconv.Itoa(1+r.IntN(most-least))
			case 2:
				part += "/" + strconv.Itoa(1+r.IntN(most-least))
			case 3:
				part = "*/" + strconv.Itoa(1+r.IntN(most-least))
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ",")
	}
	expression = strings.Join([]string{
		some(0, 59, "0", "30", "*", "*/15", "0,30", "59", "1"), some(0, 23, "*", "0", "1", "2", "3", "23", "*/2", "0-3", "22-2"),
		some(1, 31, "*", "*", "*", "1-7"), some(1, 12, "*", "*", "*", "MAR-APR"), some(0, 7, "*", "*", "SUN", "FRI-MON", "5-7"),
	}, " ")
	after = time.Unix(time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC).Unix()+r.Int64N(100*365*24*3600), 0)
	location, _ := zone.Load(name)
	if _, end := after.In(location).ZoneBounds(); !end.IsZero() && r.IntN(4) > 0 {
		around := []time.Duration{24 * time.Hour, time.Hour}[r.IntN(2)]
		after = end.Add(time.Duration(r.Int64N(int64(4*around))) - 3*around).Truncate(time.Second)
	}
	return expression, name, after
}

// compare holds Next against a walk of four days.
func compare(t *testing.T, expression, name string, after time.Time) {
	t.Helper()
	cron := parse(t, expression, name)
	until := after.AddDate(0, 0, 4)
	due, ok := cron.Next(after)
	location, _ := zone.Load(name)
	walked, is := newWalk(expression, location).next(after, until)
	if ok && due.After(until) {
		ok = false
	}
	if ok != is || ok && !due.Equal(walked) {
		t.Errorf("%s in %s after %s: due %s (%t), walked to %s (%t)", expression, name, after.UTC().Format(time.RFC3339),
			due.UTC().Format(time.RFC3339), ok, walked.UTC().Format(time.RFC3339), is)
	}
}

// Two searches that share nothing agree.
func TestNextAgreesWithAWalk(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 150 {
		expression, name, after := someCron(r)
		if compare(t, expression, name, after); t.Failed() {
			return
		}
	}
}

func FuzzNext(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		expression, name, after := someCron(rand.New(rand.NewPCG(seed, 1)))
		compare(t, expression, name, after)
	})
}
