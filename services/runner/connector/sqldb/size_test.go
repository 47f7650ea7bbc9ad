package sqldb_test

import (
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/task"
)

// Bounds count rows of the source, which are rows of the table only if the key is unique there.
func TestBoundsWantAUniqueKey(t *testing.T) {
	const refused = "one row may change several"
	for _, action := range []task.Action{task.Update, task.Delete} {
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (id TEXT, name TEXT); INSERT INTO members VALUES ('1', 'Ann'), ('1', 'Bob'), ('2', 'Cy')")
		b.Write("members.csv", "ID,Name\n1,Zed\n")
		b.Table().Action = action
		b.Job.DryRun = true
		for _, bounds := range []task.Expect{{MaxDelete: &task.Bound{Rows: 1}}, {MaxChange: &task.Bound{Percent: 50}}} {
			b.Job.Task.Expect = bounds
			b.Fail(refused)
			found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
			if err != nil || len(found) != 1 || found[0].Field.String() != "destination.sql.key" {
				t.Errorf("%s: the check says %v, %v", action, found, err)
			}
		}
		b.Exec("DELETE FROM members WHERE name = 'Bob'; CREATE UNIQUE INDEX u ON members (id)")
		if _, err := b.Run(t.Context()); err != nil {
			t.Errorf("%s, of a unique key: %v", action, err)
		}
	}
}
