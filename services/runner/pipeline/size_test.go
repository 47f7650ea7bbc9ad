package pipeline

import (
	"context"
	"testing"

	"runhook/shared/run"
	"runhook/shared/task"
)

type sized struct {
	brokenDestination
	rows int64
}

func (s sized) Size(context.Context) (int64, error) { return s.rows, nil }

// A part of the destination's rows is of those before the run, whichever attempt counts them.
func TestBoundsAreOfTheRowsBeforeTheRun(t *testing.T) {
	def := &task.Definition{Destination: &task.SQLDestination{Action: task.Delete}, Expect: task.Expect{MaxDelete: &task.Bound{Percent: 10}}}
	for _, c := range []struct {
		there, deleted, inserted, size int64
	}{{30, 0, 0, 30}, {27, 3, 0, 30}, {40, 0, 10, 30}} {
		var m Meter
		m.Begin(run.Checkpoint{Row: c.deleted + c.inserted, Counts: run.Counts{Deleted: c.deleted, Inserted: c.inserted}})
		b := bounds{meter: &m, to: sized{rows: c.there}}
		b.job.Task = def
		if err := b.begin(t.Context(), false); err != nil || b.size != c.size {
			t.Errorf("%+v: %d rows, %v", c, b.size, err)
		}
	}
}
