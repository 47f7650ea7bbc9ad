package status_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func (s *site) cancel(r *started, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, run.CancelPath(r.doc.ExecuteID, r.number), nil, headers...)
}

// handBack begins the run, writes some rows, and hands it back with these rejected.
func (r *started) handBack(row int64, rejected run.RejectedSet) *started {
	r.s.t.Helper()
	r.begin(0)
	err := r.claim.Renew(r.s.t.Context(), run.Claim{
		Owner: "test", Executions: 2, StartedOn: time.Time(*r.doc.StartedOn), HandedBack: true, EarlierErrors: 2, Token: r.claim.Token,
		Checkpoint: run.Checkpoint{
			Row: row, Percent: 40, Counts: run.Counts{Total: 100, Retrieved: row, Inserted: row - 1, Failed: 1},
			Errors: []run.RowError{{Row: 3, Column: "Email", Message: "is wrong"}}, Rejected: rejected,
		},
	})
	if err != nil {
		r.s.t.Fatal(err)
	}
	return r
}

// queued are the runs that the list has of those that wait.
func (s *site) queued(query string) (numbers []run.Number) {
	s.t.Helper()
	got := s.get("/api/runs?queued=true"+query).expect(s.t, http.StatusOK)
	conforms(s.t, "RunList", got.body)
	for _, doc := range decode[struct{ Runs []run.Document }](s.t, got.body).Runs {
		numbers = append(numbers, doc.ImportID)
	}
	return numbers
}

func TestACanceledRunEnds(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	waiting := s.submit(def)

	got := s.cancel(waiting).expect(t, http.StatusAccepted)
	doc := got.document(t)
	want := waiting.doc
	want.End(run.Canceled, "An administrator canceled the run before it was started", time.Time(doc.UpdatedOn))
	if now, err := want.Encode(); err != nil || string(got.body) != string(now) {
		t.Errorf("%v\n%s\nwant\n%s", err, got.body, now)
	}
	if doc.Status != run.Done || doc.StatusDescription != "Canceled" || doc.Success == nil || *doc.Success || doc.ExecutionCount != 0 || doc.StartedOn != nil {
		t.Errorf("the final document is %+v", doc)
	}
	if polled := s.get(waiting.path()).expect(t, http.StatusOK); string(polled.body) != string(got.body) {
		t.Errorf("polled: %s\nwant\n%s", polled.body, got.body)
	}
	if detail := s.cancel(waiting).problem(t, http.StatusConflict)["detail"]; detail != "Run "+waiting.number.String()+" has ended already: Canceled." {
		t.Errorf("asked again: %v", detail)
	}
	proctest.Until(t, func() error { return oneEvent(t, s, waiting.number, "runhook.run.canceled") })
}

// A run that a runner has handed back says how far it came, and its failed rows stay.
func TestAHandedBackRunIsCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0)
	chunk, err := run.RejectedChunk{Columns: []string{"Email"}, Delimiter: ",", Rows: []run.RejectedRow{{Row: 3, Cells: []string{"x"}, Column: "Email", Reason: "is wrong"}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.claim.StoreRejected(t.Context(), 1, chunk, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	state := run.Claim{
		Owner: "test", Executions: 2, StartedOn: time.Time(*r.doc.StartedOn), HandedBack: true, EarlierErrors: 2,
		Checkpoint: run.Checkpoint{
			Row: 40, Percent: 40, Counts: run.Counts{Total: 100, Retrieved: 40, Inserted: 39, Failed: 1},
			Errors: []run.RowError{{Row: 3, Column: "Email", Message: "is wrong"}}, Rejected: run.RejectedSet{{Token: r.claim.Token, From: 1, To: 1}},
		},
	}
	if err := r.claim.Renew(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if waits := s.queued(""); !slices.Equal(waits, []run.Number{r.number}) {
		t.Errorf("%v wait", waits)
	}
	doc := s.cancel(r).expect(t, http.StatusAccepted).document(t)
	if doc.Outcome() != run.Canceled || doc.Message != "An administrator canceled the run while no runner had it. The rows that it had written stay" ||
		doc.RowCount != 100 || doc.RowsRetrieved != 40 || doc.RowsInserted != 39 || doc.RowsFailed != 1 || doc.PercentComplete != 40 ||
		doc.ExecutionCount != 2 || doc.CurrentErrorCount != 1 || doc.TotalErrorCount != 3 || len(doc.Errors) != 1 || doc.CompletedOn == nil {
		t.Errorf("the final document is %+v", doc)
	}
	rows := s.get("/api/runs/"+r.number.String()+"/rejected").expect(t, http.StatusOK)
	if !strings.Contains(string(rows.body), "is wrong") {
		t.Errorf("the failed rows are %s", rows.body)
	}
	// Who had it can write nothing more.
	r.doc.End(run.Success, "done", time.Now())
	if err := r.claim.Finish(t.Context(), r.doc, nil); err == nil {
		t.Error("it ended twice")
	}
}

// Whoever published a message in the place of its claim does not hold a run.
func TestARunWithAForeignClaimIsCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh"))
	js := bustest.JetStream(t, s.Broker.URL())
	if _, err := js.Publish(t.Context(), "$KV.runs_0.claim."+string(r.doc.ExecuteID)+"."+r.number.String(), []byte("no claim")); err != nil {
		t.Fatal(err)
	}
	if waits := s.queued(""); !slices.Equal(waits, []run.Number{r.number}) {
		t.Errorf("%v wait", waits)
	}
	if doc := s.cancel(r).expect(t, http.StatusAccepted).document(t); doc.Message != "An administrator canceled the run before it was started" || doc.ExecutionCount != 0 {
		t.Errorf("the final document is %+v", doc)
	}
	if waits := s.queued(""); waits != nil {
		t.Errorf("%v wait still", waits)
	}
}

func TestWhatCannotBeCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	held, ended := s.submit(def).begin(10), s.submit(def).begin(0).end(run.Success, "done")

	if problem := s.cancel(held).problem(t, http.StatusConflict); problem["type"] != "urn:runhook:problem:run-held" ||
		!strings.Contains(problem["detail"].(string), "A runner has run "+held.number.String()) {
		t.Errorf("a run that a runner has: %v", problem)
	}
	if problem := s.cancel(ended).problem(t, http.StatusConflict); problem["type"] != "urn:runhook:problem:run-ended" {
		t.Errorf("a run that has ended: %v", problem)
	}
	if doc := s.get(ended.path()).expect(t, http.StatusOK).document(t); doc.Outcome() != run.Success {
		t.Errorf("it ended as %+v", doc)
	}
	held.end(run.Success, "done") // its claim is as it was
	for _, path := range []string{
		run.CancelPath(def.ID, 999), run.CancelPath(task.NewID(), held.number), "/task/executepolling/" + string(def.ID) + "/x/cancel",
		run.CancelPath(s.apply("Another").ID, s.submit(def).number),
	} {
		s.do(http.MethodPost, path, nil).problem(t, http.StatusNotFound)
	}
	s.get(run.CancelPath(def.ID, held.number)).problem(t, http.StatusMethodNotAllowed)
}

// A run that is canceled while a runner takes it is either.
func TestCancelAgainstARunner(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	for range 30 {
		r := s.submit(def)
		var both sync.WaitGroup
		var claimed error
		both.Go(func() {
			_, claimed = s.Work.Claim(t.Context(), def.ID, r.number, run.Claim{Owner: "test", Executions: 1, StartedOn: time.Now()})
		})
		got := s.cancel(r)
		both.Wait()
		if canceled := got.StatusCode == http.StatusAccepted; canceled == (claimed == nil) {
			t.Fatalf("run %s: canceled %d, claimed %v", r.number, got.StatusCode, claimed)
		}
	}
}

func TestCancelIsForAdministrators(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh"))
	s.cancel(r, "Authorization", "").problem(t, http.StatusUnauthorized)
	s.cancel(r, "Authorization", "Bearer "+readToken).problem(t, http.StatusForbidden)
	s.cancel(r, "Origin", "https://evil.example").problem(t, http.StatusForbidden)
	if got := s.cancel(r).expect(t, http.StatusAccepted); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("pages of other sites may read the answer")
	}
}

// Those that wait are listed in their order, by pages, whatever else there is.
func TestQueuedRunsAreListed(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	if waits := s.queued(""); waits != nil {
		t.Errorf("without runs: %v", waits)
	}
	refresh, other := s.apply("Refresh", "concurrency: 9"), s.apply("Other")
	s.submit(refresh).begin(0).end(run.Success, "done")
	s.submit(other).begin(0)
	first, second, third, fourth := s.submit(refresh), s.submit(other), s.submit(refresh).handBack(5, nil), s.submit(other)
	gone := s.submit(refresh)
	s.cancel(gone).expect(t, http.StatusAccepted)
	for query, want := range map[string][]run.Number{
		"":                          {first.number, second.number, third.number, fourth.number},
		"&task=" + string(other.ID): {second.number, fourth.number},
		"&limit=2":                  {first.number, second.number},
		"&limit=2&behind=" + second.number.String(): {third.number, fourth.number},
		"&behind=" + fourth.number.String():         nil,
	} {
		if got := s.queued(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	// A runner has acknowledged those before it.
	queue, err := s.Work.Queue(t.Context(), refresh.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	for range 2 {
		d, err := bustest.Next(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		if d.Number == first.number {
			first.begin(0).end(run.Success, "done")
		}
		d.Done()
	}
	if got, want := s.queued(""), []run.Number{second.number, third.number, fourth.number}; !slices.Equal(got, want) {
		t.Errorf("%v wait, want %v", got, want)
	}
}

// oneEvent wants a run to have one completion event, of a type.
func oneEvent(t *testing.T, s *site, n run.Number, kind string) error {
	t.Helper()
	counts, err := bustest.EventCounts(t.Context(), s.Bus)
	if err != nil || counts[n] != 1 {
		return fmt.Errorf("run %s has %d events, %v", n, counts[n], err)
	}
	event, err := s.Jet().Events.LeaderLast(t.Context(), "run.completed.*")
	if err == nil && event.Header.Get("ce-type") != kind {
		t.Errorf("its event is %s", event.Header.Get("ce-type"))
	}
	return err
}
