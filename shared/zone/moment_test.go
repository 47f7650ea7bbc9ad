package zone

import (
	"strings"
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-12-01 06:00 Europe/Berlin":           "2026-12-01T05:00:00Z",
		"2026-12-01 06:00:30 Europe/Berlin":        "2026-12-01T05:00:30Z",
		" 2026-07-01  06:00   Asia/Kathmandu ":     "2026-07-01T00:15:00Z",
		"2026-12-01 06:00 UTC":                     "2026-12-01T06:00:00Z",
		"2026-12-01T06:00:00+01:00":                "2026-12-01T05:00:00Z",
		"2026-10-25T02:30:00+01:00":                "2026-10-25T01:30:00Z",
		"2026-12-01 06:00 Pacific/Kiritimati":      "2026-11-30T16:00:00Z",
		"2026-12-31 23:59 America/Argentina/Salta": "2027-01-01T02:59:00Z",
	} {
		if moment, err := ParseMoment(text); err != nil || moment.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v; want %s", text, moment, err, want)
		}
	}
	for text, says := range map[string]string{
		"":                                 "there is no moment: write a date, a time and a zone",
		" ":                                "there is no moment: write",
		"0001-01-01T00:00:00Z":             "0001-01-01T00:00:00Z is before 1970: write the moment that is meant",
		"0001-01-01 00:00 UTC":             "is before 1970",
		"tomorrow":                         "is no moment: write",
		"2026-12-01T06:00:00":              "or with an offset, as 2026-12-01T06:00:00+01:00",
		"2026-12-01 6 Europe/Berlin":       "is no date and time: write them as in 2026-12-01 06:00",
		"2026-02-30 06:00 Europe/Berlin":   "is no date and time",
		"2026-12-01 06:00 Europe/Berln":    "did you mean Europe/Berlin?",
		"2026-12-01 06:00 Local":           "Local is another one on another machine",
		"2026-12-01 06:00 +01:00":          "there is no time zone +01:00 (tzdata 2",
		"2027-03-28 02:30 Europe/Berlin":   "as 2027-03-28T03:30:00+02:00",
		"2026-10-25 02:30 Europe/Berlin":   "as 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00",
		"2026-11-01 01:30 America/Chicago": "as 2026-11-01T01:30:00-05:00 or 2026-11-01T01:30:00-06:00",
	} {
		if moment, err := ParseMoment(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %s, %v; want %s", text, moment, err, says)
		}
	}
}
