package status_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
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
	want.CancelRequestedOn = doc.CancelRequestedOn
	want.End(run.Canceled, "Canceled by ann before it was started", time.Time(doc.UpdatedOn))
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
	if doc.Outcome() != run.Canceled || doc.Message != "Canceled by ann after 40 of 100 rows, while no runner had it. The rows that it had written stay" ||
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

// Whoever published a message in the place of its claim does not hold a run. That nobody else does either is not known
// before a runner would have written its claim again.
func TestARunWithAForeignClaimIsCanceled(t *testing.T) {
	t.Parallel()
	s := openOn(t, bustest.New(t, bus.Topology{Lease: 2 * time.Second}), nil)
	r := s.submit(s.apply("Refresh"))
	r.foreignClaim()
	proctest.Eventually(t, "it waits", func() bool { return slices.Equal(s.queued(""), []run.Number{r.number}) })
	began := time.Now()
	if doc := s.cancel(r).expect(t, http.StatusAccepted).document(t); (doc.Outcome() != "") || doc.CancelRequestedOn == nil {
		t.Errorf("at first it is %+v", doc)
	}
	proctest.Until(t, func() error {
		doc := s.cancel(r).expect(t, http.StatusAccepted).document(t)
		if (doc.Outcome() != "") && time.Since(began) < time.Second {
			t.Errorf("it ended after %s", time.Since(began))
		}
		if doc.Message != "Canceled by ann before it was started" || doc.ExecutionCount != 0 {
			return fmt.Errorf("the document is %+v", doc)
		}
		return nil
	})
	if waits := s.queued(""); waits != nil {
		t.Errorf("%v wait still", waits)
	}
}

// A runner whose claim was replaced by somebody's message holds its run still: it ends the run, with its own counts.
func TestARunWhoseClaimWasReplacedIsItsRunners(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(10)
	r.foreignClaim()
	if doc := s.cancel(r).expect(t, http.StatusAccepted).document(t); (doc.Outcome() != "") || doc.CancelRequestedOn == nil {
		t.Errorf("the answer is %+v", doc)
	}
	doc := run.QueuedDocument(run.Request{Task: r.doc.ExecuteID}, r.number)
	doc.End(run.Failed, "never started", time.Now())
	if err := s.Unheld.EndUnclaimed(t.Context(), r.doc.ExecuteID, r.number, doc); !errors.Is(err, bus.ErrUnsure) || !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("a sweeper ends it: %v", err)
	}
	r.end(run.Success, "done")
	if got := s.get(r.path()).expect(t, http.StatusOK).document(t); got.Outcome() != run.Success || got.Message != "done" {
		t.Errorf("it ended as %+v", got)
	}
}

// foreignClaim puts what is no claim into the place of the run's.
func (r *started) foreignClaim() {
	r.s.t.Helper()
	js := bustest.JetStream(r.s.t, r.s.Broker.URL())
	if _, err := js.Publish(r.s.t.Context(), "$KV.runs_0.claim."+string(r.doc.ExecuteID)+"."+r.number.String(), []byte("no claim")); err != nil {
		r.s.t.Fatal(err)
	}
}

// A run that a runner holds is left to that one, which is told; its document says so, also at other services.
func TestAHeldRunIsAskedToEnd(t *testing.T) {
	t.Parallel()
	s := open(t, followed)
	another := openOn(t, s.Store, followed)
	r := s.submit(s.apply("Refresh")).begin(10)
	first := s.do(http.MethodPost, run.CancelPath(r.doc.ExecuteID, r.number)+"?why=wrong%20file", nil).expect(t, http.StatusAccepted).document(t)
	if first.Status != run.InProgress || first.CancelRequestedOn == nil || first.RowsRetrieved != r.doc.RowsRetrieved {
		t.Errorf("the answer is %+v", first)
	}
	for _, service := range []*site{s, another} {
		again := service.cancel(r).expect(t, http.StatusAccepted).document(t)
		if again.CancelRequestedOn == nil || time.Time(*again.CancelRequestedOn) != time.Time(*first.CancelRequestedOn) {
			t.Errorf("asked again: %+v, and at first %+v", again, first)
		}
		for _, path := range []string{r.path(), "/api/runs/" + r.number.String()} {
			proctest.Until(t, func() error {
				if got := service.get(path); !strings.Contains(string(got.body), `"CancelRequestedOn":"`) {
					return fmt.Errorf("%s says %s", path, got.body)
				}
				return nil
			})
		}
	}
	asked, found, err := s.Work.FindCancel(t.Context(), r.doc.ExecuteID, r.number)
	if err != nil || !found || asked.By != "ann" || asked.Why != "wrong file" {
		t.Errorf("stored is %+v, %v, %v", asked, found, err)
	}
	// A Success that was faster wins, and then it is too late.
	r.end(run.Success, "done")
	if problem := s.cancel(r).problem(t, http.StatusConflict); problem["type"] != "urn:runhook:problem:run-ended" {
		t.Errorf("a run that has ended: %v", problem)
	}
}

// followed has a service know the requests to cancel, as the program has it.
func followed(o *status.Options) { o.Cancels = o.Unheld.Cancels() }

func TestWhatCannotBeCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	held, ended := s.submit(def).begin(10), s.submit(def).begin(0).end(run.Success, "done")

	if problem := s.cancel(ended).problem(t, http.StatusConflict); problem["type"] != "urn:runhook:problem:run-ended" ||
		problem["detail"] != "Run "+ended.number.String()+" has ended already: Success." {
		t.Errorf("a run that has ended: %v", problem)
	}
	if doc := s.get(ended.path()).expect(t, http.StatusOK).document(t); doc.Outcome() != run.Success {
		t.Errorf("it ended as %+v", doc)
	}
	for _, path := range []string{
		run.CancelPath(def.ID, 999), run.CancelPath(task.NewID(), held.number), "/task/executepolling/" + string(def.ID) + "/x/cancel",
		run.CancelPath(s.apply("Another").ID, s.submit(def).number),
	} {
		s.do(http.MethodPost, path, nil).problem(t, http.StatusNotFound)
	}
	s.get(run.CancelPath(def.ID, held.number)).problem(t, http.StatusMethodNotAllowed)
	for query, about := range map[string]string{
		"?reason=x": "reason", "?why=" + strings.Repeat("x", 201): "why", "?why=a%0ab": "why", "?why=%ff": "why", "?why=a&why=b": "why",
	} {
		problem := s.do(http.MethodPost, run.CancelPath(def.ID, held.number)+query, nil).problem(t, http.StatusBadRequest)
		if !strings.HasPrefix(fmt.Sprint(problem["detail"]), `"`+about+`"`) {
			t.Errorf("%s: %v", query, problem)
		}
	}
	if _, found, err := s.Work.FindCancel(t.Context(), def.ID, held.number); found || err != nil {
		t.Errorf("it was asked for all the same, %v", err)
	}
	held.end(run.Success, "done") // its claim is as it was
}

// Many who ask at once for the end of a run that nobody holds get the same final document, and it ends once. Who asks
// for that of one that ends in this moment gets what became of it.
func TestManyCancelAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "concurrency: 9")
	for round := range 20 {
		r := s.submit(def)
		if round%2 == 1 {
			r.begin(0)
		}
		answers := make([]answer, 6)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = s.cancel(r) })
		}
		if round%2 == 1 {
			r.end(run.Success, "done")
		}
		all.Wait()
		final := s.get(r.path()).expect(t, http.StatusOK)
		for _, got := range answers {
			doc := run.Document{}
			if got.StatusCode == http.StatusAccepted {
				doc = got.document(t)
			}
			switch {
			case got.StatusCode == http.StatusConflict:
			case doc.Status == run.Done && string(got.body) == string(final.body):
			case doc.Status == run.InProgress && round%2 == 1 && doc.CancelRequestedOn != nil:
			default:
				t.Errorf("round %d: %d %s, and it ended as %s", round, got.StatusCode, got.body, final.body)
			}
		}
		proctest.Until(t, func() error {
			counts, err := bustest.EventCounts(t.Context(), s.Bus)
			if err == nil && counts[r.number] != 1 {
				err = fmt.Errorf("run %s has %d events", r.number, counts[r.number])
			}
			return err
		})
	}
}

// A run that is canceled while a runner takes it is either ended, or the runner is asked.
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
		doc := s.cancel(r).expect(t, http.StatusAccepted).document(t)
		both.Wait()
		_, asked, err := s.Work.FindCancel(t.Context(), def.ID, r.number)
		if canceled := doc.Outcome() == run.Canceled; err != nil || canceled == (claimed == nil) || asked == canceled {
			t.Fatalf("run %s: %+v, claimed %v, asked %v, %v", r.number, doc, claimed, asked, err)
		}
	}
}

// Who has the run's CancelUrl cancels it, by POST or by DELETE of the status, and nobody else but administrators who
// may change things.
func TestWhoMayCancel(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	log := proctest.NewOutput()
	s := open(t, func(o *status.Options) { o.Keys, o.Log = keys, zerolog.New(log) })
	def, another := s.apply("Refresh"), s.apply("Another")
	r, other := s.submit(def), s.submit(def)
	until := time.Now().Add(time.Hour)
	sign := func(scope web.Scope, id task.ID, n run.Number) string {
		return keys.Query(scope, s.StoreID(), id, n, until)
	}
	right := sign(web.ControlRun, def.ID, r.number)
	none := []string{"Authorization", ""}
	for name, c := range map[string]struct {
		query   string
		headers []string
		want    int
		kind    string
	}{
		"nothing":                   {"", none, 403, "urn:runhook:problem:signature-needed"},
		"an empty signature":        {"?sig=", none, 403, "urn:runhook:problem:signature-needed"},
		"a status link":             {sign(web.ReadRun, def.ID, r.number), none, 403, "urn:runhook:problem:wrong-signature"},
		"a link to its failed rows": {sign(web.ReadRows, def.ID, r.number), none, 403, "urn:runhook:problem:wrong-signature"},
		"another run's":             {sign(web.ControlRun, def.ID, other.number), none, 403, "urn:runhook:problem:wrong-signature"},
		"another task's":            {sign(web.ControlRun, another.ID, r.number), none, 403, "urn:runhook:problem:wrong-signature"},
		"another store's":           {keys.Query(web.ControlRun, "other", def.ID, r.number, until), none, 403, "urn:runhook:problem:wrong-signature"},
		"an expired one":            {keys.Query(web.ControlRun, s.StoreID(), def.ID, r.number, time.Now()), none, 403, "urn:runhook:problem:link-expired"},
		"cut short":                 {right[:len(right)-1], none, 403, "urn:runhook:problem:wrong-signature"},
		"a token that only reads":   {"", []string{"Authorization", "Bearer " + readToken}, 403, "about:blank"},
		"a wrong token":             {"", []string{"Authorization", "Bearer a-token-that-is-wrong"}, 401, "about:blank"},
		"from a page, with a token": {"", []string{"Origin", "https://evil.example"}, 403, "about:blank"},
	} {
		for method, path := range map[string]string{http.MethodPost: run.CancelPath(def.ID, r.number), http.MethodDelete: r.path()} {
			headers := c.headers
			if method == http.MethodDelete && name == "from a page, with a token" {
				headers = append(slices.Clone(headers), bearer...)
			}
			if problem := s.do(method, path+c.query, nil, headers...).problem(t, c.want); problem["type"] != c.kind {
				t.Errorf("%s, %s: %v", name, method, problem)
			}
		}
	}
	if got := s.get(r.path()).expect(t, http.StatusAccepted).document(t); got.Status != run.Queued {
		t.Errorf("one of them has canceled it: %+v", got)
	}

	got := s.do(http.MethodPost, run.CancelPath(def.ID, r.number)+right+"&why=typo", nil, append(none, "Origin", "https://shop.example")...).expect(t, http.StatusAccepted)
	if doc := got.document(t); doc.Message != "Canceled by its CancelUrl before it was started: typo" {
		t.Errorf("by its link: %+v", doc)
	}
	if got.Header.Get("Access-Control-Allow-Origin") != "*" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.Header)
	}
	if doc := s.do(http.MethodDelete, other.path()+sign(web.ControlRun, def.ID, other.number), nil).expect(t, http.StatusAccepted).document(t); doc.Outcome() != run.Canceled {
		t.Errorf("by DELETE: %+v", doc)
	}
	third, fourth := s.submit(def), s.submit(def)
	s.do(http.MethodDelete, third.path(), nil, bearer...).expect(t, http.StatusAccepted)
	s.do(http.MethodPost, run.CancelPath(def.ID, fourth.number)+sign(web.ControlRun, def.ID, r.number), nil).expect(t, http.StatusAccepted) // the token counts
	for _, line := range []string{
		`"by":"link","address":"127.0.0.1","task":"Refresh","run":"` + r.number.String() + `","why":"typo","result":"ended","message":"somebody canceled a run"`,
		`"by":"ann","address":"127.0.0.1","task":"Refresh","run":"` + third.number.String() + `"`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log)
		}
	}
	if strings.Contains(log.String(), right) {
		t.Error("the log has a signature")
	}
	// It opens nothing but the status.
	s.get(run.RejectedPath(def.ID, r.number)+right).problem(t, http.StatusForbidden)
}

// A link ends with the id that it was made for. The document is that of the id in the address.
func TestCancelLinksOfARotatedTask(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	s := open(t, func(o *status.Options) { o.Keys = keys })
	s.apply("Refresh")
	former, current := task.NewID(), task.NewID()
	def := s.apply("Refresh again", fmt.Sprintf("webhook: {id: %s, former: [{id: %s, until: 2099-01-01}]}", current, former))
	r := s.submitAs(def, func(request *run.Request) { request.CalledAs = former })
	link := run.CancelPath(former, r.number) + keys.Query(web.ControlRun, s.StoreID(), former, r.number, time.Now().Add(time.Hour))
	doc := s.do(http.MethodPost, link, nil, "Authorization", "").expect(t, http.StatusAccepted).document(t)
	if doc.Outcome() != run.Canceled || doc.ExecuteID != former {
		t.Errorf("the answer is %+v", doc)
	}
}

// Pages that a task does not list may not cancel its runs, with a link neither; a preflight says so.
func TestCancelFromPages(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	s := open(t, func(o *status.Options) { o.Keys = keys })
	def := s.apply("Refresh", `allow_origins: ["https://shop.example"]`)
	r := s.submit(def)
	sig := keys.Query(web.ControlRun, s.StoreID(), def.ID, r.number, time.Now().Add(time.Hour))
	for method, path := range map[string]string{http.MethodPost: run.CancelPath(def.ID, r.number) + sig, http.MethodDelete: r.path() + sig} {
		problem := s.do(method, path, nil, "Authorization", "", "Origin", "https://evil.example").problem(t, http.StatusForbidden)
		if problem["type"] != "urn:runhook:problem:other-origin" {
			t.Errorf("%s: %v", method, problem)
		}
		preflight := s.do(http.MethodOptions, path, nil, "Authorization", "", "Origin", "https://shop.example", "Access-Control-Request-Method", method).expect(t, http.StatusNoContent)
		if allowed := preflight.Header.Get("Access-Control-Allow-Methods"); !strings.Contains(allowed, method) || preflight.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
			t.Errorf("the preflight for %s allows %s to %s", method, allowed, preflight.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	s.do(http.MethodDelete, r.path()+sig, nil, "Authorization", "", "Origin", "https://shop.example").expect(t, http.StatusAccepted)
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

// With open=true those that runners hold are listed, too, and with queued=true a cancel leaves them alone.
func TestOpenRunsAreListed(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	refresh, other := s.apply("Refresh", "concurrency: 9"), s.apply("Other")
	s.submit(refresh).begin(0).end(run.Success, "done")
	held, waiting, elsewhere := s.submit(refresh).begin(0), s.submit(refresh), s.submit(other).begin(0)
	for query, want := range map[string][]run.Number{
		"":                            {held.number, waiting.number, elsewhere.number},
		"&task=" + string(refresh.ID): {held.number, waiting.number},
		"&limit=1&behind=" + held.number.String(): {waiting.number},
	} {
		proctest.Until(t, func() error { // the server counts what waits in a queue a moment after it was stored
			got := s.get("/api/runs?open=true"+query).expect(t, http.StatusOK)
			conforms(t, "RunList", got.body)
			var numbers []run.Number
			for _, listed := range decode[struct{ Runs []run.Listed }](t, got.body).Runs {
				numbers = append(numbers, listed.ImportID)
			}
			if !slices.Equal(numbers, want) {
				return fmt.Errorf("%s: %v, want %v", query, numbers, want)
			}
			return nil
		})
	}
	for query, about := range map[string]string{"?open=1": "open", "?open=true&trigger=webhook": "open", "?behind=1": "behind"} {
		if problem := s.get("/api/runs"+query).problem(t, http.StatusBadRequest); !strings.HasPrefix(fmt.Sprint(problem["detail"]), `"`+about+`"`) {
			t.Errorf("%s: %v", query, problem)
		}
	}
	cancel := func(r *started) answer {
		return s.do(http.MethodPost, run.CancelPath(refresh.ID, r.number)+"?queued=true", nil)
	}
	if problem := cancel(held).problem(t, http.StatusConflict); problem["type"] != "urn:runhook:problem:run-held" {
		t.Errorf("a run that a runner has: %v", problem)
	}
	if _, asked, err := s.Work.FindCancel(t.Context(), refresh.ID, held.number); asked || err != nil {
		t.Errorf("it was asked for all the same, %v", err)
	}
	if doc := cancel(waiting).expect(t, http.StatusAccepted).document(t); doc.Outcome() != run.Canceled {
		t.Errorf("a run that waits: %+v", doc)
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
