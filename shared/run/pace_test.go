package run

import (
	"math"
	"slices"
	"testing"
	"time"
)

func paceOf(last ...time.Duration) (p Pace) {
	for _, d := range last {
		p = p.With(d.Milliseconds())
	}
	return p
}

// flow is a client that waits exactly as it is told: how often it polls a run that waits in the queue and then takes so
// long, and how long after its end it hears of that.
func flow(p Pace, queued, takes time.Duration, percents bool) (polls int, late time.Duration) {
	posted := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	started := posted.Add(queued)
	ends := started.Add(takes)
	for now := posted; ; polls++ {
		at := Stage{Phase: Queued, Since: posted}
		if !now.Before(started) && polls > 0 { // the POST's own answer says queued
			at = Stage{Phase: InProgress, Since: started}
			if percents {
				at.Percent = 100 * float64(now.Sub(started)) / float64(takes)
			}
		}
		if now = now.Add(p.PollAgain(at, now)); !now.Before(ends) {
			return polls + 1, now.Sub(ends)
		}
	}
}

// A client that honors Retry-After hears soon of the end of a run, and does not poll a long one all the time.
func TestFlowsHearSoonAndAskSeldom(t *testing.T) {
	const ms = time.Millisecond
	many := func(d time.Duration) Pace { return paceOf(slices.Repeat([]time.Duration{d}, MaxPace)...) }
	sometimes := paceOf(6*ms, 6*ms, 6*ms, 2*time.Hour, 6*ms, 6*ms, 2*time.Hour, 6*ms)
	for name, c := range map[string]struct {
		pace          Pace
		queued, takes time.Duration
		percents      bool
		polls         int // at most
		late          time.Duration
	}{
		"6 ms, the first of its task":             {Pace{}, 0, 6 * ms, false, 1, 30 * time.Second},
		"6 ms":                                    {paceOf(6 * ms), 0, 6 * ms, false, 1, time.Second},
		"6 ms behind 10 s of others":              {many(6 * ms), 10 * time.Second, 6 * ms, false, 10, 4 * time.Second},
		"6 ms that are 2 h sometimes":             {sometimes, 0, 6 * ms, false, 1, time.Second},
		"2 h that are 6 ms mostly":                {sometimes, 0, 2 * time.Hour, false, 125, time.Minute},
		"2 h that were never more than 6 ms":      {many(6 * ms), 0, 2 * time.Hour, false, 160, time.Minute},
		"2 h that were never more, by percentage": {many(6 * ms), 0, 2 * time.Hour, true, 130, time.Minute},
		"2 h":                                       {many(2 * time.Hour), 0, 2 * time.Hour, false, 125, time.Minute},
		"2 h with a percentage":                     {many(2 * time.Hour), 0, 2 * time.Hour, true, 125, time.Minute},
		"2 h of one that takes 3 h":                 {many(3 * time.Hour), 0, 2 * time.Hour, false, 125, time.Minute},
		"2 h, the first of its task":                {Pace{}, 0, 2 * time.Hour, true, 240, 30 * time.Second},
		"6 ms behind 2 h of another":                {many(6 * ms), 2 * time.Hour, 6 * ms, false, 150, time.Minute},
		"40 s":                                      {many(40 * time.Second), 0, 40 * time.Second, false, 1, 0},
		"40 s that take 45":                         {many(40 * time.Second), 0, 45 * time.Second, false, 2, time.Second},
		"40 s that take 45, with a percentage":      {many(40 * time.Second), 0, 45 * time.Second, true, 2, time.Second},
		"40 s of one that takes 10 or 60":           {paceOf(10*time.Second, 60*time.Second), 0, 40 * time.Second, false, 2, 20 * time.Second},
		"the same with a percentage":                {paceOf(10*time.Second, 60*time.Second), 0, 40 * time.Second, true, 2, time.Second},
		"a minute and a half of one that takes 2 m": {many(2 * time.Minute), 0, 90 * time.Second, true, 3, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			polls, late := flow(c.pace, c.queued, c.takes, c.percents)
			if polls > c.polls || late > c.late {
				t.Errorf("%d polls, and the end is heard of %s late; want at most %d and %s", polls, late, c.polls, c.late)
			}
		})
	}
}

// Whatever is known of a run, its pollers wait whole seconds, from 1 to 60.
func TestPollAgainIsBounded(t *testing.T) {
	now := time.Now()
	for _, pace := range []Pace{{}, paceOf(0), paceOf(1500 * time.Millisecond), paceOf(100 * time.Hour), {LastMs: []int64{longestMs}}} {
		for _, phase := range []Phase{Queued, InProgress, "?"} {
			for _, since := range []time.Time{{}, now, now.Add(time.Hour), now.Add(-time.Second), now.Add(-1e6 * time.Hour)} {
				for _, percent := range []float64{0, 1e-300, 50, 100, 1e300, -1, math.NaN(), math.Inf(1)} {
					after := pace.PollAgain(Stage{phase, since, percent}, now)
					if after < time.Second || after > time.Minute || after%time.Second != 0 {
						t.Errorf("%v, %s since %s, %g %%: %s", pace, phase, since, percent, after)
					}
				}
			}
		}
	}
}

// A long run is not polled every second before its end: a fiftieth of the time that it has taken is the least.
func TestPollersOfALongRunWaitAFiftieth(t *testing.T) {
	now := time.Now()
	pace := paceOf(1000 * time.Second)
	if after := pace.PollAgain(Stage{Phase: InProgress, Since: now.Add(-999 * time.Second)}, now); after != 20*time.Second {
		t.Errorf("a second before the end of one that takes 1,000 s pollers wait %s", after)
	}
}

func TestPaceKeepsTheLastRuns(t *testing.T) {
	var p Pace
	for i := range int64(40) {
		before := p
		kept := slices.Clone(before.LastMs)
		p = p.With(i)
		if !slices.Equal(before.LastMs, kept) {
			t.Fatal("a pace was changed")
		}
	}
	if len(p.LastMs) != MaxPace || p.LastMs[0] != 40-MaxPace || p.LastMs[MaxPace-1] != 39 {
		t.Errorf("got %v", p.LastMs)
	}
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodePace(data); err != nil || !slices.Equal(got.LastMs, p.LastMs) {
		t.Errorf("%s became %v: %v", data, got, err)
	}
	for _, odd := range []string{"", "{}", "[]", `{"LastMs":[]}`, `{"LastMs":[-1]}`, `{"LastMs":[1e30]}`, `{"LastMs":[400000000000]}`, `{"LastMs":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}`} {
		if got, err := DecodePace([]byte(odd)); err == nil {
			t.Errorf("%s is read as %v", odd, got)
		}
	}
}

// A pace is worth storing again where pollers would be told something else.
func TestPaceDiffers(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		a, b    Pace
		differs bool
	}{
		"nothing and nothing":        {Pace{}, Pace{}, false},
		"nothing and something":      {Pace{}, paceOf(0), true},
		"within a second":            {paceOf(6 * ms), paceOf(900 * ms), false},
		"a little more of much":      {paceOf(time.Hour), paceOf(65 * time.Minute), false},
		"more":                       {paceOf(10 * time.Second), paceOf(20 * time.Second), true},
		"more of the same":           {paceOf(6 * ms), paceOf(6*ms, 7*ms, 5*ms), false},
		"one that took longer":       {paceOf(6*ms, 6*ms, 6*ms, 6*ms), paceOf(6*ms, 6*ms, 6*ms, time.Minute), true},
		"one that took less":         {paceOf(time.Minute, time.Minute, time.Minute, time.Minute), paceOf(time.Minute, time.Minute, time.Minute, 6*ms), true},
		"another order":              {paceOf(time.Second, time.Minute), paceOf(time.Minute, time.Second), false},
		"one that was long ago gone": {paceOf(time.Minute, 6*ms, 6*ms), paceOf(6*ms, 6*ms), true},
	} {
		if c.a.Differs(c.b) != c.differs || c.b.Differs(c.a) != c.differs {
			t.Errorf("%s: %v and %v differ: %t", name, c.a, c.b, c.a.Differs(c.b))
		}
	}
}

func TestWhatCountsForThePace(t *testing.T) {
	for outcome, counts := range map[Outcome]bool{Success: true, Failed: true, Canceled: false} {
		_, doc, _ := plainRun()
		doc.End(outcome, "", time.Now())
		if doc.CountsForPace() != counts {
			t.Errorf("%s counts: %t", outcome, !counts)
		}
		doc.Trigger = DryRun
		if doc.CountsForPace() {
			t.Errorf("a dry run that ends %s counts", outcome)
		}
		doc.Trigger, doc.ExecutionCount = Webhook, 0
		if doc.CountsForPace() {
			t.Errorf("a run that was never started and ends %s counts", outcome)
		}
	}
}
