package schedule_test

import (
	"strings"
	"testing"
	"time"

	"runhook/shared/schedule"
)

// What is wrong with an expression is said, with what to write.
func TestParseCronRefuses(t *testing.T) {
	t.Parallel()
	for expression, says := range map[string]string{
		"":                        "write five fields (minute, hour, day of the month, month, day of the week)",
		"* * * *":                 "write five",
		"0 0 0 1 1 * 2026":        "write five",
		"60 * * * *":              "the minute 60: write 0 to 59",
		"0 30 6 * *":              "with a second, write six fields, the second first",
		"0 24 * * *":              "the hour 24: write 0 to 23",
		"0 0 0 * *":               "the day of the month 0: write 1 to 31",
		"0 0 * 13 *":              "the month 13: write 1 to 12 or JAN to DEC",
		"0 0 * JNA *":             "did you mean JAN?",
		"0 0 * * 8":               "the day of the week 8: write 0 to 7 or SUN to SAT",
		"0 0 * * MON#2":           "the day of the week MON#2",
		"0 0 L * *":               "the day of the month L",
		"*/0 * * * *":             "the step \"0\" of the minute: write a number from 1 to 60",
		"*/90 * * * *":            "the step \"90\" of the minute",
		"1/ * * * *":              "the step \"\" of the minute: write a number",
		"1- * * * *":              "a part of the minute is empty",
		"+1 * * * *":              "the minute +1",
		"1,,2 * * * *":            "a part of the minute is empty",
		"CRON_TZ=UTC 0 0 * * *":   "write the zone as time_zone",
		"TZ= 0 0 * * *":           "write the zone as time_zone",
		"@every 1s":               "@every 1s: at least 10s",
		"@every 10500ms":          "@every 10.5s: whole seconds only",
		"@every day":              "day is no duration",
		"@dayly":                  "did you mean @daily?",
		"@reboot":                 "@reboot is not known",
		"0 0 * * MON,\x1b[31mTUE": "the day of the week",
	} {
		cron, err := schedule.ParseCron(expression, time.UTC)
		if err == nil {
			t.Errorf("%q is taken: %+v", expression, cron)
		} else if !strings.Contains(err.Error(), says) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%q: %v", expression, err)
		}
	}
}

// The other ways to write the same expression.
func TestParseCronSame(t *testing.T) {
	t.Parallel()
	after := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for one, other := range map[string]string{
		"@daily": "0 0 * * *", "@midnight": "0 0 0 * * *", "@hourly": "0 * * * *", "@WEEKLY": "0 0 * * SUN", "@monthly": "0 0 1 * ?",
		"@yearly": "0 0 1 JAN *", "@annually": "0 0 1 1 *", "0 0 * * 7": "0 0 * * 0", "0 0 * * FRI-MON": "0 0 * * 5,6,0,1",
		"0 0 * * 5-7": "0 0 * * fri-sun", "0 22-2 * * *": "0 22,23,0,1,2 * * *", "5/15 * * * *": "5,20,35,50 * * * *",
		"0 0 28-3/2 * *": "0 0 28,30,1,3 * *", " 0  0 *  * * ": "0 0 * * *", "0 0 * 1-3,5 *": "0 0 * jan,FEB,Mar,5 *",
	} {
		a, b := parse(t, one, "UTC"), parse(t, other, "UTC")
		for first, second := after, after; first.Before(after.AddDate(2, 0, 0)) && first.Equal(second); {
			first, _ = a.Next(first)
			second, _ = b.Next(second)
			if !first.Equal(second) {
				t.Errorf("%s is due at %s, and %s at %s", one, first, other, second)
			}
			if first.Before(after.AddDate(0, 1, 0)) {
				continue
			}
			first, second = first.AddDate(0, 0, 17), second.AddDate(0, 0, 17)
		}
	}
}

// Seconds of a six-field expression, and the multiples of @every since 1970.
func TestNextSeconds(t *testing.T) {
	t.Parallel()
	for expression, wanted := range map[string]string{
		"*/20 * * * * *": "07:00:20 07:00:40 07:01:00", "30 0 8 * * *": "08:00:30 08:00:30 08:00:30",
		"@every 10s": "07:00:10 07:00:20 07:00:30", "@every 1h30m": "07:30:00 09:00:00 10:30:00",
	} {
		cron, at := parse(t, expression, "UTC"), time.Date(2026, 3, 4, 7, 0, 0, 1, time.UTC)
		var due []string
		for range 3 {
			var ok bool
			if at, ok = cron.Next(at); !ok {
				t.Fatal("it never comes")
			}
			due = append(due, at.Format(time.TimeOnly))
		}
		if got := strings.Join(due, " "); got != wanted {
			t.Errorf("%s: %s", expression, got)
		}
	}
	before := time.Unix(-5, 0)
	if due, _ := parse(t, "@every 10s", "UTC").Next(before); !due.Equal(time.Unix(0, 0)) {
		t.Errorf("before 1970: %s", due)
	}
}

// A time that never comes is not looked for without end.
func TestNextNever(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30 2 */2"} {
		if due, ok := parse(t, expression, "America/New_York").Next(time.Now()); ok {
			t.Errorf("%s: %s", expression, due)
		}
	}
	// A leap day past 2100, which is no leap year.
	if due, ok := parse(t, "0 0 29 2 *", "UTC").Next(time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC)); !ok || due.Year() != 2104 {
		t.Errorf("%s, %t", due, ok)
	}
	// A leap day that is a Sunday comes within 40 years, and not always within 28.
	if due, ok := parse(t, "0 0 29 2 */7", "UTC").Next(time.Date(2088, 3, 1, 0, 0, 0, 0, time.UTC)); !ok || due.Year() != 2128 {
		t.Errorf("%s, %t", due, ok)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, expression := range []string{"30 2 * * *", "* * * * * *", "0 0 29 2 *", "0 0 30 2 *"} {
		b.Run(strings.ReplaceAll(expression, " ", "_"), func(b *testing.B) {
			cron, at := parse(b, expression, "Europe/Berlin"), time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
			for b.Loop() {
				cron.Next(at)
			}
		})
	}
}
