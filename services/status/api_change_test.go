package status_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
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
	if !changed || shown.ID == def.ID || shown.Name != "Refresh" || len(shown.FormerIDs) != 1 || shown.FormerIDs[0].ID != def.ID {
		t.Fatalf("%v %+v", changed, shown)
	}
	if days := time.Until(shown.FormerIDs[0].Until).Hours() / 24; days < 29.9 || days > 30.1 {
		t.Errorf("the former id lives for %v days", days)
	}
	s.awaitTask(shown.ID, func(bus.Task) bool { _, there := s.view.Get(def.ID); return !there })
	if tasks := decode[struct{ Tasks []shownTask }](t, s.get("/api/tasks").body).Tasks; len(tasks) != 1 || tasks[0].ID != shown.ID {
		t.Errorf("listed: %+v", tasks)
	}
	if got := decode[shownTask](t, s.get(taskPath(def.ID)).body); got.ID != shown.ID {
		t.Errorf("the former id shows %s", got.ID)
	}

	// The addresses of earlier runs go on as they were, with what the task says of them.
	got := s.get(ended.path(), "Origin", "https://pages.example.org").expect(t, http.StatusUnprocessableEntity)
	if doc := got.document(t); doc.ExecuteID != def.ID || got.Header.Get("Access-Control-Allow-Origin") != "https://pages.example.org" {
		t.Errorf("%v %s", got.Header, got.body)
	}
	s.get(waiting.path()).expect(t, http.StatusAccepted)
	for _, id := range []task.ID{def.ID, shown.ID} {
		if runs := decode[struct{ Runs []run.Document }](t, s.get("/api/runs?task="+string(id)).body).Runs; len(runs) != 2 {
			t.Errorf("%d runs are listed", len(runs))
		}
	}

	// The file from before says so when it is applied; so does a date that is none.
	refused := s.do(http.MethodPut, taskPath(def.ID), def.Text).problem(t, http.StatusConflict)
	if detail, _ := refused["detail"].(string); !strings.Contains(detail, string(shown.ID)) {
		t.Errorf("%v", refused)
	}
	s.do("POST", taskPath(shown.ID)+"/rotate?until=soon", nil).problem(t, http.StatusBadRequest)
	_, again := s.change("POST", taskPath(def.ID)+"/rotate?until=2031-01-31")
	if len(again.FormerIDs) != 2 || again.FormerIDs[0].ID != shown.ID || !again.FormerIDs[0].Until.Equal(time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("rotated by a former id: %+v", again)
	}
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
