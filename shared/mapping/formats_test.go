package mapping_test

import (
	"strings"
	"testing"
	"time"

	"runhook/shared/mapping"
)

// Formats that only a mistake can have written are refused before the run, with what to write: they gave a wrong date in
// each row.
func TestFormatsThatAreMistakes(t *testing.T) {
	t.Parallel()
	const (
		month, minutes, hours = "the month is MM, as in yyyy-MM-dd", "minutes are mm, as in HH:mm", "hours up to 23 are HH, as in HH:mm"
		example               = "write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss"
	)
	for format, want := range map[string]string{
		"yyyy-mm-dd": month, "dd.mm.yyyy": month, "yyyymmdd": month, "m/d/yy": month, "mm/yyyy": month, "d.m.yyyy": month, "yyyy-mm-dd HH:mm:ss": month, "HH:mm dd.mm.yyyy": month, "mm": month, "yyyy-mm HH": month, "dd. 'month' mm": month,
		"yyyy-MM-dd HH:MM": minutes, "HHMMss": minutes, "dd.MM.yyyy H'H'": "has 'H'", "hh:MM a": minutes, "MM:ss": minutes,
		"yyyy-MM-dd hh:mm": hours, "h:mm": hours, "dd.MM.yyyy hh:mm:ss.SSS": hours, "hhmmss": hours,
		"HH:ss": "write them HH:mm:ss", "dd.MM.yyyy ss": "write them HH:mm:ss", "HH:mm.SSS": "HH:mm:ss.SSS", "HH:mm:ss:SSS": "ss.SSS", "yyyyMMddHHmmssSSS": "ss.SSS", "HH:mm:SSS": "HH:mm:ss.SSS",
		"MM/MM/yyyy": example, "dd.dd.yyyy": example, "yyyy-MM-dd HH:HH": example, "yyyy-dd": month, "dd.yyyy": month, "yyyy/d HH:mm": month, "YYYY-MM-DD": example, "yyyy-MM-DD": example, "HH:mm:SS": example,
	} {
		for _, function := range []string{"date", "formatDate"} {
			_, err := mapping.NewScope(mapping.Columns{Names: []string{"v"}, Text: true}, nil).Compile(function + `(v, "` + format + `")`)
			if err == nil || !strings.Contains(err.Error(), "the format \""+format+"\" has ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %s: %v, not %q", function, format, err, want)
			}
		}
	}
	at := time.Date(2026, 1, 31, 18, 5, 9, 7e6, time.FixedZone("", 7200))
	for format, want := range map[string]string{
		"HH:mm": "18:05", "HHmm": "1805", "mm:ss": "05:09", "hh:mm a": "06:05 PM", "a h.mm": "PM 6.05", "HH 'h' mm 'min'": "18 h 05 min", "yyyyMMddHHmmss": "20260131180509", "ss": "09", "ss,SSS": "09,007", "HH": "18", "d MMMM": "31 January", "dddd, d.M.yy": "Saturday, 31.1.26",
		"yyyy/MM/yyyy-MM-dd": "2026/01/2026-01-31", "MM-dd": "01-31", "dd": "31", "ddd HH:mm:ss zzz": "Sat 18:05:09 +02:00", "yyyy-MM-ddTHH:mm:ssZ": "2026-01-31T18:05:09+02:00", "yyyy-MM": "2026-01",
	} {
		if got, err := evalText(t, `formatDate(v, "`+format+`")`, at); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %s", format, got, err, want)
		}
	}
	// A Z is a zone, not a letter.
	for _, text := range []string{"2026-01-31T18:00:00Z", "2026-01-31T20:00:00+02:00"} {
		if got, err := evalText(t, `date(v, "yyyy-MM-ddTHH:mm:ssZ", "Europe/Paris").UTC().Hour()`, text); err != nil || got != 18 {
			t.Errorf("%s is at %v, %v", text, got, err)
		}
	}
}
