package status_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

func (s *site) change(method, path string) (changed bool, shown shownTask) {
	s.t.Helper()
	got := s.do(method, path, nil).expect(s.t, http.StatusOK)
	conforms(s.t, "Applied", got.body)
	answer := decode[struct {
		Changed bool
		Task    shownTask
	}](s.t, got.body)
	return answer.Changed, answer.Task
}

func taskPath(id task.ID) string { return "/api/tasks/" + string(id) }

func TestEnableAndDisable(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "# the end")
	if changed, shown := s.change("POST", taskPath(def.ID)+"/disable"); !changed || shown.Enabled {
		t.Errorf("disabled: %v %+v", changed, shown)
	}
	got := decode[shownTask](t, s.get(taskPath(def.ID)).body)
	if want := strings.Replace(string(def.Text), "name: Refresh\n", "name: Refresh\nenabled: false\n", 1); *got.Text != want {
		t.Errorf("the text is:\n%s\nwant:\n%s", *got.Text, want)
	}
	if changed, _ := s.change("POST", taskPath(def.ID)+"/disable"); changed {
		t.Error("disabled twice")
	}
	if changed, shown := s.change("POST", taskPath(def.ID)+"/enable"); !changed || !shown.Enabled {
		t.Errorf("enabled: %v %+v", changed, shown)
	}
	s.do("POST", taskPath(def.ID)+"/enable?force=1", nil).problem(t, http.StatusBadRequest)
	s.do("POST", taskPath(task.NewID())+"/enable", nil).problem(t, http.StatusNotFound)
	s.do("POST", taskPath(task.NewID())+"/rotate", nil).problem(t, http.StatusNotFound)
	s.do("DELETE", taskPath(task.NewID()), nil).problem(t, http.StatusNotFound)
}

func TestRotateATask(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "failed_status: 422", "allow_origins: [https://pages.example.org]")
	ended, waiting := s.submit(def).begin(0).end(run.Failed, "no"), s.submit(def)

	changed, shown := s.change("POST", taskPath(def.ID)+"/rotate")
	if !changed || shown.ID != def.ID || shown.WebhookID == def.ID || shown.Name != "Refresh" || len(shown.FormerIDs) != 1 || shown.FormerIDs[0].ID != def.ID {
		t.Fatalf("%v %+v", changed, shown)
	}
	if days := time.Until(shown.FormerIDs[0].Until).Hours() / 24; days < 29.9 || days > 30.1 {
		t.Errorf("the former id lives for %v days", days)
	}
	if tasks := decode[struct{ Tasks []shownTask }](t, s.get("/api/tasks").body).Tasks; len(tasks) != 1 || tasks[0].ID != def.ID || tasks[0].WebhookID != shown.WebhookID {
		t.Errorf("listed: %+v", tasks)
	}
	if got := decode[shownTask](t, s.get(taskPath(shown.WebhookID)).body); got.ID != def.ID || !strings.HasSuffix(got.ExecuteURL, "/task/execute/"+string(shown.WebhookID)) {
		t.Errorf("the webhook's id shows %+v", got)
	}

	// The addresses of earlier runs go on as they were, with what the task says of them.
	got := s.get(ended.path(), "Origin", "https://pages.example.org").expect(t, http.StatusUnprocessableEntity)
	if doc := got.document(t); doc.ExecuteID != def.ID || got.Header.Get("Access-Control-Allow-Origin") != "https://pages.example.org" {
		t.Errorf("%v %s", got.Header, got.body)
	}
	s.get(waiting.path()).expect(t, http.StatusAccepted)
	for _, id := range []task.ID{def.ID, shown.WebhookID} {
		if runs := decode[struct{ Runs []run.Document }](t, s.get("/api/runs?task="+string(id)).body).Runs; len(runs) != 2 {
			t.Errorf("%d runs are listed", len(runs))
		}
	}

	// The file from before says so when it is applied; so does a date that is none, and the id of another task.
	refused := s.do(http.MethodPut, taskPath(def.ID), def.Text).problem(t, http.StatusConflict)
	if detail, _ := refused["detail"].(string); !strings.Contains(detail, string(shown.WebhookID)) || refused["type"] != "urn:runhook:problem:former-id" {
		t.Errorf("%v", refused)
	}
	stranger := task.NewID()
	taken := s.do(http.MethodPut, taskPath(stranger), append(taskFile(stranger, "Stranger"), "webhook: {id: "+string(shown.WebhookID)+"}\n"...)).problem(t, http.StatusConflict)
	if detail, _ := taken["detail"].(string); !strings.Contains(detail, string(shown.WebhookID)) || taken["type"] != "urn:runhook:problem:id-taken" {
		t.Errorf("%v", taken)
	}
	s.do("POST", taskPath(def.ID)+"/rotate?until=soon", nil).problem(t, http.StatusBadRequest)
	_, again := s.change("POST", taskPath(shown.WebhookID)+"/rotate?until=2031-01-31")
	if again.ID != def.ID || len(again.FormerIDs) != 2 || again.FormerIDs[0].ID != shown.WebhookID || !again.FormerIDs[0].Until.Equal(time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("rotated by the webhook's id: %+v", again)
	}
}

// Each sees the id that they call, where they poll too: not that of the task, and not another of its webhook.
func TestCallersSeeTheIDTheyCalled(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	_, shown := s.change("POST", taskPath(def.ID)+"/rotate")
	_, latest := s.change("POST", taskPath(def.ID)+"/rotate")
	r := s.submitAs(def, func(r *run.Request) { r.CalledAs = shown.WebhookID })
	sees := func(path string, status int, id task.ID) {
		t.Helper()
		got := s.get(path).expect(t, status)
		text := fmt.Sprint(got.Header, string(got.body))
		if doc := got.document(t); doc.ExecuteID != id || !strings.Contains(doc.PollingURL, run.StatusPath(id, r.number)) {
			t.Errorf("%s: %s", path, got.body)
		}
		for _, other := range []task.ID{def.ID, shown.WebhookID, latest.WebhookID} {
			if other != id && strings.Contains(text, string(other)) {
				t.Errorf("%s shows %s: %s", path, other, text)
			}
		}
	}
	for range 2 { // the second time from memory
		for _, id := range []task.ID{def.ID, shown.WebhookID, latest.WebhookID} {
			sees(run.StatusPath(id, r.number), http.StatusAccepted, id)
		}
	}
	r.begin(0)
	r.doc.NameRejected(run.RejectedSet{{Token: 1, From: 1, To: 1}})
	r.end(run.Success, "done")
	for range 2 {
		for _, id := range []task.ID{def.ID, shown.WebhookID, latest.WebhookID} {
			sees(run.StatusPath(id, r.number), http.StatusOK, id)
		}
	}
	s.get(run.StatusPath(task.NewID(), r.number)).problem(t, http.StatusNotFound)
	s.get(run.StatusPath(s.apply("Other").ID, r.number)).problem(t, http.StatusNotFound)
	// A task of which an earlier version has changed the id itself: its runs are under either.
	old := s.apply("Old")
	before := s.submit(old)
	renamed, err := taskfile.Parse(bustest.Renamed(old.Text, old.ID, task.NewID(), time.Now().Add(time.Hour)), "renamed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.reapply(renamed)
	s.awaitTask(renamed.ID, func(bus.Task) bool { of, _ := s.view.Of(old.ID); return of.ID == renamed.ID })
	r = s.submitAs(renamed, func(r *run.Request) { r.CalledAs = old.ID })
	for _, n := range []run.Number{before.number, r.number} {
		if doc := s.get(run.StatusPath(old.ID, n)).expect(t, http.StatusAccepted).document(t); doc.ExecuteID != old.ID || doc.ImportID != n {
			t.Errorf("%+v", doc)
		}
	}
}

// A link works as long as the id that it was made for starts runs; a task that is disabled ends none, and one that is
// deleted those to the failed rows.
func TestLinksEndWithTheirID(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	s := open(t, func(o *status.Options) { o.Keys, o.Links = keys, keys })
	def := s.apply("Refresh")
	r := s.submit(def).begin(0)
	r.reject(1, run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"1"}}}})
	link := func(path func(task.ID, run.Number) string, scope web.Scope, id task.ID) string {
		return path(id, r.number) + keys.Query(scope, s.StoreID(), id, r.number, time.Now().Add(time.Hour))
	}
	want := func(when string, id task.ID, status, rows int) {
		t.Helper()
		for path, code := range map[string]int{link(run.StatusPath, web.ReadRun, id): status, link(run.RejectedPath, web.ReadRows, id): rows} {
			if got := s.get(path); got.StatusCode != code || code == 403 && !strings.Contains(string(got.body), "problem:link-expired") {
				t.Errorf("%s, %s: %d %s", when, path, got.StatusCode, got.body)
			}
		}
	}
	want("at first", def.ID, 200, 200)
	s.change("POST", taskPath(def.ID)+"/disable")
	want("disabled", def.ID, 200, 200)
	s.change("POST", taskPath(def.ID)+"/enable")
	_, once := s.change("POST", taskPath(def.ID)+"/rotate")
	want("rotated, before the date", def.ID, 200, 200)
	want("the new id", once.WebhookID, 200, 200)
	_, twice := s.change("POST", taskPath(def.ID)+"/rotate?until="+url.QueryEscape(time.Now().Add(-time.Second).Format(time.RFC3339)))
	want("rotated at once", once.WebhookID, 403, 403)
	want("the id of before", def.ID, 200, 200)
	s.do("DELETE", taskPath(def.ID), nil).expect(t, http.StatusNoContent)
	want("deleted", twice.WebhookID, 200, 403)
}

func TestDeleteATask(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "failed_status: 422")
	ended, waiting := s.submit(def).begin(0).end(run.Failed, "no"), s.submit(def)
	refused := s.do("DELETE", taskPath(def.ID), nil).problem(t, http.StatusConflict)
	if detail, _ := refused["detail"].(string); !strings.Contains(detail, "run "+waiting.number.String()+" has not ended") || refused["type"] != "urn:runhook:problem:open-runs" {
		t.Errorf("%v", refused)
	}
	waiting.begin(0).end(run.Success, "done")
	s.do("DELETE", taskPath(def.ID), nil).expect(t, http.StatusNoContent)
	s.get(taskPath(def.ID)).problem(t, http.StatusNotFound)
	s.do("DELETE", taskPath(def.ID), nil).problem(t, http.StatusNotFound)
	if got := s.get("/api/tasks"); string(got.body) != `{"Tasks":[]}` {
		t.Errorf("listed: %s", got.body)
	}
	s.get(ended.path()).expect(t, http.StatusUnprocessableEntity)
	s.get(waiting.path()).expect(t, http.StatusOK)
	if runs := decode[struct{ Runs []run.Document }](t, s.get("/api/runs?task="+string(def.ID)).body).Runs; len(runs) != 2 {
		t.Errorf("%d runs are listed", len(runs))
	}
	// It can come back.
	s.do(http.MethodPut, taskPath(def.ID), def.Text).expect(t, http.StatusOK)
}

// The file of a task that came with --tasks is somebody else's to write.
func TestChangeATaskOfAFolder(t *testing.T) {
	t.Parallel()
	fromFolder := func(s *site) *task.Definition {
		t.Helper()
		def, err := taskfile.Parse(taskFile(task.NewID(), "Refresh"), "test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tasks.Apply(t.Context(), def, true); err != nil {
			t.Fatal(err)
		}
		s.awaitTask(def.ID, func(t bus.Task) bool { return t.FromFolder })
		return def
	}
	s := open(t, nil)
	def := fromFolder(s)
	for _, verb := range []string{"/enable", "/disable", "/rotate"} {
		if refused := s.do("POST", taskPath(def.ID)+verb, nil).problem(t, http.StatusConflict); refused["type"] != "urn:runhook:problem:in-a-folder" {
			t.Errorf("%s: %v", verb, refused)
		}
	}
	s.do("DELETE", taskPath(def.ID), nil).expect(t, http.StatusNoContent)

	gone := openOn(t, s.Store, func(o *status.Options) {
		o.EditFile = func(_ context.Context, _ task.ID, change func([]byte) ([]byte, error)) error {
			_, err := change(nil)
			return err
		}
	})
	def = fromFolder(gone)
	if refused := gone.do("POST", taskPath(def.ID)+"/disable", nil).problem(t, http.StatusConflict); refused["type"] != "urn:runhook:problem:no-file" {
		t.Errorf("%v", refused)
	}
	gone.do("DELETE", taskPath(def.ID), nil).expect(t, http.StatusNoContent)
}

func TestChangesNeedTheToken(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	s.do("POST", taskPath(def.ID)+"/rotate", nil, "Authorization", "").problem(t, http.StatusUnauthorized)
	s.do("DELETE", taskPath(def.ID), nil, "Authorization", "").problem(t, http.StatusUnauthorized)
	s.do("DELETE", taskPath(def.ID), nil, "Authorization", "Bearer "+readToken).problem(t, http.StatusForbidden)
	if now, ok := s.view.Get(def.ID); !ok || !now.Enabled {
		t.Errorf("%+v", now)
	}
}

// Each change is one line of the log, which says who made it, from where, and what was before; what changes
// nothing, or only reads, is none.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	log := proctest.NewOutput()
	s := open(t, func(o *status.Options) { o.Log = zerolog.New(log) })
	id := task.NewID()
	file := taskFile(id, "Audited")
	r := s.submit(s.apply("Queued"))
	for _, request := range []struct{ method, path string }{
		{"PUT", taskPath(id)},
		{"PUT", taskPath(id)},
		{"POST", taskPath(id) + "/enable"},
		{"POST", taskPath(id) + "/disable"},
		{"POST", taskPath(id) + "/rotate"},
		{"GET", taskPath(id)},
		{"GET", "/api/tasks"},
		{"DELETE", taskPath(id)},
		{"POST", strings.TrimSuffix(r.path(), "status") + "cancel"},
	} {
		body := file
		if request.method != "PUT" {
			body = nil
		}
		if got := s.do(request.method, request.path, body); got.StatusCode >= 300 {
			t.Fatalf("%v: %d %s", request, got.StatusCode, got.body)
		}
	}
	var said []string
	for line := range strings.Lines(log.String()) {
		var entry struct {
			By, Address, Task, Message, Before, Definition string
			EnabledBefore                                  *bool `json:"enabled_before"`
			Enabled                                        *bool
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if entry.By == "" {
			continue
		}
		if entry.By != "ann" || entry.Address != "127.0.0.1" || strings.Contains(line, string(id)) {
			t.Errorf("a line is %s", line)
		}
		flag := func(set *bool) string {
			if set == nil {
				return "-"
			}
			return strconv.FormatBool(*set)
		}
		said = append(said, fmt.Sprintf("%s %s %s>%s %v>%v", entry.Task, entry.Message, flag(entry.EnabledBefore), flag(entry.Enabled), entry.Before != "", entry.Definition != ""))
	}
	want := []string{
		"Audited task applied ->true false>true", "Audited task disabled true>false true>true", "Audited task rotated: its webhook has a new id false>false true>true",
		"Audited task deleted false>- true>false", "Queued somebody canceled a run ->- false>false",
	}
	if !slices.Equal(said, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}
