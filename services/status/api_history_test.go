package status_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// runList is what a client of the admin routes reads of a list of runs.
type runList struct {
	Runs    []run.Listed
	Next    run.Number
	History *struct{ Percent float64 }
}

func (s *site) runs(query string) runList {
	s.t.Helper()
	got := s.get("/api/runs"+query).expect(s.t, http.StatusOK)
	conforms(s.t, "RunList", got.body)
	return decode[runList](s.t, got.body)
}

func (l runList) numbers() (numbers []run.Number) {
	for _, listed := range l.Runs {
		numbers = append(numbers, listed.ImportID)
	}
	return numbers
}

// Each filter leaves the runs that fit, whatever has just been accepted or ended, and pages follow each other.
func TestRunsAreFiltered(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	refresh, other := s.apply("Refresh", withParameters), s.apply("Other")
	began := time.Now().Add(-time.Second)
	first := s.submitAs(refresh, func(r *run.Request) {
		r.Parameters = task.Values{"FirstName": {Values: []string{"Ann & Ben"}, From: task.FromRequest}}
		r.CreatedOn = time.Now().Add(-48 * time.Hour)
	}).begin(0).end(run.Success, "7 rows processed")
	second := s.submitAs(other, func(r *run.Request) { r.Trigger, r.Operator, r.CorrelationID = run.CLI, "ann", "order 7" }).begin(0)
	second.doc.SetCounts(run.Counts{Retrieved: 5, Inserted: 2, Failed: 3})
	second.end(run.Failed, "There is no file.")
	third := s.submitAs(refresh, func(r *run.Request) { r.RepeatOf = first.number }).begin(12)
	fourth := s.submit(refresh)
	s.cancel(fourth).expect(t, http.StatusAccepted)
	since := func(at time.Time) string { return url.QueryEscape(at.UTC().Format(time.RFC3339)) }
	for query, want := range map[string][]run.Number{
		"":                                   {fourth.number, third.number, second.number, first.number},
		"?outcome=failed":                    {second.number},
		"?outcome=success":                   {first.number},
		"?outcome=canceled":                  {fourth.number},
		"?outcome=open":                      {third.number},
		"?trigger=cli":                       {second.number},
		"?correlation=order+7":               {second.number},
		"?text=PROCESSED":                    {first.number},
		"?rejected=true":                     {second.number},
		"?parameter=firstname%3DAnn+%26+Ben": {first.number},
		"?parameter=FirstName%3DAnn":         nil,
		"?since=" + since(began):             {fourth.number, third.number, second.number},
		"?until=" + since(began):             {first.number},
		"?before=" + third.number.String():   {second.number, first.number},
		"?task=" + string(refresh.ID) + "&outcome=success&since=" + since(began.Add(-72*time.Hour)): {first.number},
	} {
		if got := s.runs(query).numbers(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	page := s.runs("?trigger=webhook&limit=1")
	var paged []run.Number
	for ; ; page = s.runs("?trigger=webhook&limit=1&before=" + page.Next.String()) {
		if paged = append(paged, page.numbers()...); page.Next == 0 {
			break
		}
	}
	if want := []run.Number{fourth.number, third.number, first.number}; !slices.Equal(paged, want) {
		t.Errorf("by pages: %v, want %v", paged, want)
	}
	// A run under way is as the store says, now and not when the index looked.
	listed := s.runs("?outcome=open").Runs[0]
	if listed.Status != run.InProgress || listed.PercentComplete != 12 || listed.RepeatOf != first.number {
		t.Errorf("%+v", listed)
	}
	for query, name := range map[string]string{"?outcome=open&text=x": "text", "?outcome=open&rejected=true": "rejected"} {
		if detail := s.get("/api/runs"+query).problem(t, http.StatusBadRequest)["detail"]; !strings.HasPrefix(fmt.Sprint(detail), `"`+name+`": is `) {
			t.Errorf("%s: %v", query, detail)
		}
	}
	third.reach(40)
	if got := s.runs("?outcome=open").Runs[0].PercentComplete; got != 40 {
		t.Errorf("%v %%", got)
	}
	if got := s.runs("?trigger=cli").Runs[0]; got.Operator != "ann" || got.RowsFailed != 3 || got.Message != "There is no file." {
		t.Errorf("%+v", got)
	}
	third.end(run.Failed, "no")
	if got := s.runs("?outcome=failed").numbers(); !slices.Equal(got, []run.Number{third.number, second.number}) {
		t.Errorf("failed: %v", got)
	}
	if got := s.runs("?outcome=open").numbers(); len(got) > 0 {
		t.Errorf("open: %v", got)
	}
}

// While the history is not there, runs are listed by task and number, from the store, and everything else is refused.
func TestWithoutAHistory(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	for name, index := range map[string]*history.Index{
		"none is kept": nil,
		"one is made":  history.New(history.Options{Runs: store.Runs, Dir: t.TempDir(), Log: zerolog.Nop()}), // nobody keeps it
	} {
		s := openOn(t, store, func(o *status.Options) { o.History = index })
		s.unkept = true
		def := s.apply(name)
		first, second := s.submit(def).begin(0).end(run.Success, "done"), s.submit(def)
		if got := s.runs("?task=" + string(def.ID)).numbers(); !slices.Equal(got, []run.Number{second.number, first.number}) {
			t.Errorf("%s: %v", name, got)
		}
		page := s.runs("?limit=1&task=" + string(def.ID))
		if got := page.numbers(); !slices.Equal(got, []run.Number{second.number}) || page.Next != second.number || page.History != nil {
			t.Errorf("%s: %+v", name, page)
		}
		page = s.runs("?limit=1&task=" + string(def.ID) + "&before=" + page.Next.String())
		if got := page.numbers(); !slices.Equal(got, []run.Number{first.number}) || page.Next != 0 {
			t.Errorf("%s: %+v", name, page)
		}
		if index != nil { // how far it is
			if list := s.runs("?outcome=success"); list.History == nil || list.History.Percent != 0 || len(list.Runs) != 0 {
				t.Errorf("%s: %+v", name, list)
			}
			continue
		}
		for _, path := range []string{"/api/runs?outcome=success", "/api/counts"} {
			problem := s.get(path)
			if problem.problem(t, http.StatusServiceUnavailable)["type"] != "urn:runhook:problem:no-history" || problem.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s", path, problem.body)
			}
		}
	}
}

// The history is never the truth about one run: what it has otherwise is put right when somebody sees it.
func TestTheStoreHasTheLastWord(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	gone, waiting := s.submit(def), s.submit(def)
	if got := s.runs("?outcome=open").numbers(); len(got) != 2 {
		t.Fatalf("%v", got)
	}
	if err := s.Jet().Runs.DeleteMsg(t.Context(), s.Jet().Numbers.Sequence(gone.number)); err != nil {
		t.Fatal(err)
	}
	if got := s.runs("?outcome=open").numbers(); !slices.Equal(got, []run.Number{waiting.number}) {
		t.Errorf("%v", got)
	}
}

// Runs are counted by day and task.
func TestRunCounts(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	at := func(r *run.Request) { r.CreatedOn = time.Date(2026, 10, 1, 23, 30, 0, 0, time.UTC) }
	s.submitAs(def, at).begin(0).end(run.Success, "done")
	s.submitAs(def, at).begin(0).end(run.Failed, "no")
	s.submit(def)
	for query, want := range map[string]string{
		"?until=2026-11-01T00:00:00Z":                        "2026-10-01 Refresh 2 1 1 0 0",
		"?until=2026-11-01T00:00:00Z&zone=Europe/Berlin":     "2026-10-02 Refresh 2 1 1 0 0",
		"?since=2026-11-01T00:00:00Z&task=" + string(def.ID): time.Now().UTC().Format(time.DateOnly) + " Refresh 1 0 0 0 1",
		"?until=2020-01-01T00:00:00Z":                        "",
	} {
		got := s.get("/api/counts"+query).expect(t, http.StatusOK)
		conforms(t, "RunCounts", got.body)
		var said []string
		for _, c := range decode[struct{ Days []history.Count }](t, got.body).Days {
			said = append(said, fmt.Sprintln(c.Day, c.TaskName, c.Runs, c.Success, c.Failed, c.Canceled, c.Open))
		}
		if strings.TrimSpace(strings.Join(said, "")) != want {
			t.Errorf("%s: %q, want %q", query, said, want)
		}
	}
}

// An administrator sees what a run was started with, and the document does not say it.
func TestTheRequestOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", withParameters)
	r := s.submitAs(def, func(r *run.Request) {
		r.Trigger, r.Operator, r.RepeatOf = run.Again, "ann", 7
		r.Parameters = task.Values{"FirstName": {Values: []string{"Zoë"}, From: task.FromRequest}, "Chapter": {Values: []string{"North", "South"}, Multiple: true, From: task.FromTask}, "Left": {From: task.FromSource}}
	})
	got := s.get("/api/runs/"+r.number.String()+"/request").expect(t, http.StatusOK)
	conforms(t, "RunRequest", got.body)
	want := fmt.Sprintf(`{"ExecuteId":"%s","ImportId":%s,"TaskName":"Refresh","Definition":"%s","Trigger":"again","Operator":"ann","RepeatOf":7,`+
		`"Parameters":{"Chapter":{"Values":["North","South"],"Multiple":true,"From":"task"},"FirstName":{"Values":["Zoë"],"From":"request"},"Left":{"Values":[],"From":"source"}}}`, def.ID, r.number, def.Hash)
	if string(got.body) != want || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, want\n%s", got.body, want)
	}
	for _, path := range []string{r.path(), "/api/runs/" + r.number.String(), "/api/runs"} {
		if shown := s.get(path); strings.Contains(string(shown.body), "Zoë") || strings.Contains(string(shown.body), "North") {
			t.Errorf("%s shows a value: %s", path, shown.body)
		}
	}
	s.get("/api/runs/999/request").problem(t, http.StatusNotFound)
	reads := []string{"Authorization", "Bearer " + readToken}
	hidden := s.get("/api/runs/"+r.number.String()+"/request", reads...).expect(t, http.StatusOK)
	conforms(t, "RunRequest", hidden.body)
	if body := string(hidden.body); strings.Contains(body, "Zoë") || strings.Contains(body, "North") || !strings.Contains(body, `"FirstName":{"Values":[],"From":"request"}`) || !strings.Contains(body, `"Hidden":true`) {
		t.Errorf("who only reads sees %s", body)
	}
	s.get("/api/runs?parameter=FirstName%3DZo%C3%AB", reads...).problem(t, http.StatusForbidden)
	if got := s.runs("?parameter=FirstName%3DZo%C3%AB").numbers(); len(got) != 1 {
		t.Errorf("an administrator finds %v", got)
	}
}
