package run_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// outcomes are the documents of runs that have ended, one for each letter: s succeeded, f failed, c was canceled, d was
// a dry run that failed.
func outcomes(letters string) (docs []run.Document) {
	for i, letter := range letters {
		doc := run.QueuedDocument(run.Request{Task: task.NewID(), TaskName: "x", DryRun: letter == 'd', CreatedOn: time.Now()}, run.Number(i+1))
		doc.End(map[rune]run.Outcome{'s': run.Success, 'f': run.Failed, 'd': run.Failed, 'c': run.Canceled}[letter], "the site refuses", time.Now())
		docs = append(docs, doc)
	}
	return docs
}

// Failures count as long as no success comes between them; what was canceled or only tried does not count.
func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	for letters, want := range map[string]struct {
		failed []run.Number
		held   run.Number
	}{
		"":          {nil, 0},
		"ff":        {[]run.Number{1, 2}, 0},
		"ffsf":      {[]run.Number{4}, 0},
		"fcfdc":     {[]run.Number{1, 3}, 0},
		"ffs":       {nil, 0},
		"ffcf":      {[]run.Number{1, 2, 4}, 4},
		"sfffsffff": {[]run.Number{2, 3, 4}, 4}, // once it is held nothing counts
	} {
		now := time.Now().UTC().Truncate(time.Second)
		health := run.Health{Counted: 7}
		for _, doc := range outcomes(letters) {
			var changed bool
			before := health
			health, changed = health.With(doc, 3, now)
			if again, twice := health.With(doc, 3, now); changed == slices.Equal(before.Failed, health.Failed) || twice && doc.Outcome() == run.Failed || !slices.Equal(again.Failed, health.Failed) {
				t.Errorf("%s: run %s makes %+v of %+v, and again %+v", letters, doc.ImportID, health, before, again)
			}
		}
		if !slices.Equal(health.Failed, want.failed) || (health.Held != nil) != (want.held > 0) || health.Counted != 7 {
			t.Errorf("%s: %+v", letters, health)
		}
		if held := health.Held; held != nil && (*held != run.Hold{On: now, TaskName: "x", Failures: 3, Run: want.held, Why: "the site refuses"} || held.String() != "its last 3 runs failed; run 4: the site refuses") {
			t.Errorf("%s: held is %+v: %s", letters, held, held)
		}
		data, err := health.Encode()
		if read, readErr := run.DecodeHealth(data); err != nil || readErr != nil || !slices.Equal(read.Failed, health.Failed) || (read.Held == nil) != (health.Held == nil) {
			t.Errorf("%s: read is %+v, %v, %v", letters, read, err, readErr)
		}
	}
	long := outcomes("f")[0]
	long.Message = strings.Repeat("ä", 400)
	if health, _ := (run.Health{}).With(long, 1, time.Now()); len(health.Held.Why) > 504 || !strings.HasSuffix(health.Held.Why, "ä…") {
		t.Errorf("a long message is %q", health.Held.Why)
	}
	for _, forged := range []string{"", "x", `{"Held":{}}`, `{"Held":{"On":"2026-01-31T06:00:00Z","Failures":-1}}`, `{"Held":{"On":"2026-01-31T06:00:00Z","Failures":1,"Why":"` + strings.Repeat("x", 600) + `"}}`} {
		if health, err := run.DecodeHealth([]byte(forged)); err == nil {
			t.Errorf("%s is %+v", forged, health)
		}
	}
}
