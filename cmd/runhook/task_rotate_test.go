package main

import (
	"testing"
	"time"
)

func TestRotateUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "30d": now.AddDate(0, 0, 30), "12h": now.Add(12 * time.Hour),
		"2031-01-31": time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC), "2031-01-31T10:00:00+01:00": time.Date(2031, 1, 31, 9, 0, 0, 0, time.UTC),
	} {
		if m, err := parseMoment(text); err != nil || !m.after(now).Equal(want) {
			t.Errorf("%s: %v, %v", text, m.after(now), err)
		}
	}
	if code, _, messages := call(t, "task", "rotate", "x", "--until", "soon"); code != exitNoStart || !oneLine(messages, `"soon" is not now, a length of time`) {
		t.Errorf("%d %s", code, messages)
	}
}
