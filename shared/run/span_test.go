package run

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                        "0s",
		400 * time.Millisecond:                   "0s",
		45 * time.Second:                         "45s",
		90 * time.Second:                         "1m30s",
		30 * time.Minute:                         "30m",
		90 * time.Minute:                         "90m",
		2 * time.Hour:                            "2h",
		48*time.Hour + 300*time.Millisecond:      "48h",
		time.Hour + 30*time.Minute + time.Second: "1h30m1s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestPollAgain(t *testing.T) {
	for _, seconds := range []int{1, 30, 3599, 100 * 3600} {
		d := Document{RetryAfter: formatClock(seconds)}
		if after, ok := d.PollAgain(); !ok || after != time.Duration(seconds)*time.Second {
			t.Errorf("%s is %v, %v", d.RetryAfter, after, ok)
		}
	}
	for _, text := range []string{"soon", "", "00:00:00"} {
		if after, ok := (&Document{RetryAfter: text}).PollAgain(); ok {
			t.Errorf("%q is %v", text, after)
		}
	}
}

// Another RetryAfter changes nothing else of an encoded document, whatever its texts say.
func TestPolledAgain(t *testing.T) {
	_, doc, _ := plainRun()
	doc.Message = `"RetryAfter":"00:00:10", "RetryAfter":"`
	doc.Parameters = map[string]ParameterOrigin{"RetryAfter": {From: "request"}, `x"RetryAfter`: {From: "request"}}
	for _, after := range []time.Duration{0, time.Second, 61 * time.Second} {
		before, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		doc.SetPollAgain(after)
		want, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := PolledAgain(before, after); string(got) != string(want) {
			t.Errorf("%s: got\n%s, want\n%s", after, got, want)
		}
	}
	for _, odd := range []string{"", "{}", `{"RetryAfter":"`, `{"RetryAfter":7}`} {
		if got := PolledAgain([]byte(odd), time.Second); string(got) != odd {
			t.Errorf("%s became %s", odd, got)
		}
	}
}
