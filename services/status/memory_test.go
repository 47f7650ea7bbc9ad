package status_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"runhook/shared/run"
)

// A run that was taken over begins again, and what is answered does not go back.
func TestTakeoverKeepsThePercentage(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	r := s.submit(def).begin(0)
	r.doc.SetCounts(run.Counts{Retrieved: 400, Inserted: 400})
	r.reach(60)
	s.get(r.path()).expect(t, http.StatusAccepted)

	seen, found, err := s.Work.FindClaim(t.Context(), def.ID, r.number)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	next := seen.State.Next("another")
	taken, err := s.Work.TakeOver(t.Context(), def.ID, r.number, seen, next)
	if err != nil {
		t.Fatal(err)
	}
	r.claim = taken
	// The new runner's clock is behind, and it knows nothing of the progress of the former.
	r.doc.Begin(next.StartedOn, time.Now().Add(-time.Hour), next.Executions)
	r.doc.SetCounts(run.Counts{Retrieved: 5, Inserted: 5})
	r.doc.PercentComplete = 2
	if err := r.progress.Write(t.Context(), r.doc); err != nil {
		t.Fatal(err)
	}
	doc := s.get(r.path()).expect(t, http.StatusAccepted).document(t)
	if doc.ExecutionCount != 2 || doc.RowsRetrieved != 5 {
		t.Errorf("the former runner's document: execution %d, %d rows", doc.ExecutionCount, doc.RowsRetrieved)
	}
	if doc.PercentComplete != 60 {
		t.Errorf("PercentComplete went back to %v", doc.PercentComplete)
	}
	// The list and the document of the admin routes agree with the polls.
	if listed := s.get("/api/runs/" + r.number.String()).document(t); listed.PercentComplete != 60 {
		t.Errorf("/api/runs: PercentComplete went back to %v", listed.PercentComplete)
	}
	// A failed run says how far it really got.
	r.end(run.Failed, "no")
	if doc := s.get(r.path()).expect(t, http.StatusOK).document(t); doc.PercentComplete != 2 {
		t.Errorf("the final document was changed: %v%%", doc.PercentComplete)
	}
}

// Many clients poll a run while it goes on; none ever sees it go back.
func TestPollsNeverGoBack(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh"))
	var pollers sync.WaitGroup
	for range 4 {
		pollers.Go(func() {
			rank := map[run.Phase]int{run.Queued: 0, run.InProgress: 1, run.Done: 2}
			for last := (run.Document{Status: run.Queued}); last.Status != run.Done; {
				got, err := s.send(http.MethodGet, r.path(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				doc, err := run.DecodeDocument(got.body)
				if err != nil {
					t.Error(err)
					return
				}
				if rank[doc.Status] < rank[last.Status] || doc.PercentComplete < last.PercentComplete {
					t.Errorf("went back from %s %v%% to %s %v%%", last.Status, last.PercentComplete, doc.Status, doc.PercentComplete)
					return
				}
				last = doc
			}
		})
	}
	r.begin(0)
	for percent := range 100 {
		r.reach(float64(percent))
	}
	r.end(run.Success, "done")
	pollers.Wait()
}
