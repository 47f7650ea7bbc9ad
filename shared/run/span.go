package run

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Span writes a length of time as task files do: 2h, 90s. It is rounded to seconds.
func Span(d time.Duration) string {
	d = d.Round(time.Second)
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.of && d%unit.of == 0 {
			return strconv.FormatInt(int64(d/unit.of), 10) + unit.name
		}
	}
	return d.String()
}

// formatClock writes seconds as the original product does: hh:mm:ss.
func formatClock(seconds int) string {
	return fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// PollAgain returns the document's RetryAfter: how long a poller is asked to wait. ok is false if it has
// none, or one that cannot be read.
func (d *Document) PollAgain() (after time.Duration, ok bool) {
	var hours, minutes, seconds int
	if _, err := fmt.Sscanf(d.RetryAfter, "%d:%d:%d", &hours, &minutes, &seconds); err != nil {
		return 0, false
	}
	after = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
	return after, after > 0
}

// SetPollAgain sets the document's RetryAfter, in whole seconds.
func (d *Document) SetPollAgain(after time.Duration) {
	d.RetryAfter = formatClock(int(after / time.Second))
}

// retryAfterMember begins the member of an encoded document. No text in one has it: a quotation mark has a
// backslash there.
var retryAfterMember = []byte(`"RetryAfter":"`)

// PolledAgain is an encoded document with another RetryAfter.
func PolledAgain(document []byte, after time.Duration) []byte {
	head, tail, ok := bytes.Cut(document, retryAfterMember)
	_, tail, closed := bytes.Cut(tail, []byte{'"'})
	if !ok || !closed {
		return document
	}
	return slices.Concat(head, retryAfterMember, []byte(formatClock(int(after/time.Second))), []byte{'"'}, tail)
}
