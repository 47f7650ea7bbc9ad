package run_test

import (
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The document of a canceled run says by whom, how far it came and why.
func TestCanceledDocuments(t *testing.T) {
	t.Parallel()
	on := time.Date(2026, 1, 31, 6, 0, 0, 0, time.UTC)
	for want, c := range map[string]struct {
		counts run.Counts
		by     run.Cancel
		dry    bool
	}{
		"Canceled by ann before its first row": {run.Counts{}, run.Cancel{By: "ann"}, false},
		"Canceled by ann after 1 row":          {run.Counts{Retrieved: 1, Skipped: 1}, run.Cancel{By: "ann"}, false},
		"Canceled by its CancelUrl after 4 of 9 rows: too late. The rows that it had written stay": {run.Counts{Total: 9, Retrieved: 4, Updated: 4}, run.Cancel{By: run.ByLink, Why: "too late"}, false},
		"Canceled by a later run of the task after 4 rows. The rows that it had written stay":      {run.Counts{Total: 4, Retrieved: 4, Inserted: 3, Failed: 1}, run.Cancel{By: run.ByOverlap}, false},
		"Canceled by ann after 4 rows": {run.Counts{Retrieved: 4, Inserted: 4}, run.Cancel{By: "ann"}, true},
	} {
		c.by.On = on
		doc := run.QueuedDocument(run.Request{Task: task.NewID(), TaskName: "x", DryRun: c.dry, CreatedOn: on}, 7)
		doc.Begin(on, on, 1)
		doc.SetCounts(c.counts)
		doc.EndCanceled(c.by, on.Add(time.Second))
		if doc.Message != want || doc.Outcome() != run.Canceled || time.Time(*doc.CancelRequestedOn) != on || *doc.Success || doc.DurationMs != 1000 {
			t.Errorf("%+v, want %q", doc, want)
		}
	}
}

// What is stored is read again, and what is none is refused.
func TestRequestsToCancelAreDecoded(t *testing.T) {
	t.Parallel()
	asked := run.Cancel{By: "ann", On: time.Date(2026, 1, 31, 6, 0, 0, 0, time.UTC), Why: strings.Repeat("ä", run.MaxWhy)}
	data, err := asked.Encode()
	if read, readErr := run.DecodeCancel(data); err != nil || readErr != nil || read != asked {
		t.Errorf("%+v, %v, %v", read, err, readErr)
	}
	for _, text := range []string{
		"", "forged", "{}", `{"By":"ann"}`, `{"On":"2026-01-31T06:00:00Z"}`, `{"By":"` + strings.Repeat("x", 201) + `","On":"2026-01-31T06:00:00Z"}`,
		`{"By":"ann","On":"2026-01-31T06:00:00Z","Why":"` + strings.Repeat("x", 201) + `"}`, `{"By":"ann","On":"2026-01-31T06:00:00Z","Why":"a\nb"}`,
	} {
		if read, err := run.DecodeCancel([]byte(text)); err == nil {
			t.Errorf("%s is %+v", text, read)
		}
	}
}
