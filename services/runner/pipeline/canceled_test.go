package pipeline_test

import (
	"context"
	"errors"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// canceling runs a job of which rows 2, 3 and 4 fail, and cancels it when the first of them is rejected. It returns how
// many are kept, and what the meter shows then.
func canceling(t *testing.T, b *pipelinetest.Bench) (kept int64, s pipeline.Snapshot) {
	t.Helper()
	b.Write("members.csv", "ID,Name\n1,Ann\nx,Ben\ny,Cy\nz,Di\n5,Ed\n")
	b.Mapping("id", "int(ID)", "name", "Name")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	given := int64(0)
	b.Job.Reject = func(ctx context.Context, _ []string, _ run.RejectedRow) error {
		cancel(&run.Cancel{By: "ann"})
		given++
		return ctx.Err()
	}
	b.Job.Stored = func(ctx context.Context, _ bool) (run.RejectedSet, bool, error) {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		kept = given
		return run.RejectedSet{{Token: 1, From: 1, To: 1, Rows: kept}}, true, nil
	}
	var m pipeline.Meter
	if err := pipeline.Run(ctx, b.Job, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	return kept, m.Snapshot()
}

// The failed rows of a batch that was written are all kept, although the run is canceled meanwhile.
func TestCanceledRunKeepsTheFailedRowsOfItsLastBatch(t *testing.T) {
	b := pipelinetest.New(t)
	b.ToFile(task.Append)
	kept, s := canceling(t, b)
	if s.Counts.Failed != 3 || kept != 3 || len(s.Confirmed.Rejected) != 1 || s.Confirmed.Rejected[0].Rows != 3 || s.Counts.Inserted != 2 {
		t.Errorf("%d kept, named %+v, counts %+v", kept, s.Confirmed.Rejected, s.Counts)
	}
}

// The failed rows of a batch that is taken back are not named: a database keeps nothing of it.
func TestCanceledRunNamesNoFailedRowsOfABatchTakenBack(t *testing.T) {
	b := pipelinetest.New(t)
	b.Job.Fence = &connector.Fence{Store: "store", Task: task.NewID(), Number: 1, Token: 1}
	_, s := canceling(t, b)
	if s.Counts != (run.Counts{Total: s.Counts.Total}) || len(s.Confirmed.Rejected) != 0 {
		t.Errorf("named %+v, counts %+v", s.Confirmed.Rejected, s.Counts)
	}
	if got := b.Query("select count(*) from members"); got != "0" {
		t.Errorf("%s rows", got)
	}
}
