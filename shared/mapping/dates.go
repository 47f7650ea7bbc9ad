package mapping

import (
	"fmt"
	"strings"
	"time"
)

// isoLayouts are what date reads without a format: ISO 8601, and a space for its T. A fraction of a
// second is read too.
var isoLayouts = []string{
	time.DateOnly, "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", "2006-01-02 15:04",
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
}

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
}

// layoutOf translates a format such as dd.MM.yyyy. The error goes on after the format's text.
func layoutOf(format string) (layout string, err error) {
	var out strings.Builder
	any := false
next:
	for rest := format; rest != ""; {
		for _, l := range letters {
			if strings.HasPrefix(rest, l.format) {
				if after := rest[len(l.format):]; after != "" && after[0] == rest[0] {
					return "", fmt.Errorf("has too many of the letter %c", rest[0])
				}
				out.WriteString(l.layout)
				rest, any = rest[len(l.format):], true
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
		case c == 'T' || c == 'Z' && rest == "Z" || strings.IndexByte(" -./:,", c) >= 0:
			out.WriteByte(c)
			rest = rest[1:]
		default:
			return "", fmt.Errorf("has %q, which is no part of a date; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss", []rune(rest)[0])
		}
	}
	if !any {
		return "", fmt.Errorf("has no part of a date in it; write it like dd.MM.yyyy or yyyy-MM-dd HH:mm:ss")
	}
	return out.String(), nil
}

// parseDate reads a text; empty is null.
func parseDate(text string, layouts []string, zone *time.Location) (any, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil
	}
	for _, layout := range layouts {
		if parsed, err := time.ParseInLocation(layout, text, zone); err == nil {
			return parsed, nil
		}
	}
	if len(layouts) > 1 {
		return nil, reason("the text is not a date like 2026-01-31 or 2026-01-31 18:30:00; give its format, as in date(…, \"dd.MM.yyyy\")")
	}
	return nil, reason("the text is not a date of that format")
}
