package ingress

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// rotate gives a task a new id, with the present one as a former id until then, and waits until the
// ingress sees it.
func (h *house) rotate(t *testing.T, file string, until time.Time) *task.Definition {
	t.Helper()
	text, err := taskfile.Rotate([]byte(file), task.NewID(), until)
	if err != nil {
		t.Fatal(err)
	}
	def := parse(t, string(text))
	if _, err := h.Bus.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	former := def.FormerIDs[0].ID
	h.await(t, func() bool { of, ok := h.Tasks.Of(former); return ok && of.ID == def.ID })
	return def
}

// await waits until the ingress's view of the tasks is as it should be.
func (h *house) await(t *testing.T, right func() bool) {
	t.Helper()
	bustest.AwaitView(t, h.Tasks, "the change", right)
}

func TestFormerIDStartsRunsOfTheNewOne(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	before := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k").document(t)
	def := h.rotate(t, members, time.Now().Add(time.Hour))

	for path, called := range map[string]task.ID{membersID: membersID, strings.ToUpper("{" + membersID + "}"): membersID, string(def.ID): def.ID} {
		got := h.post(t, "/task/executepolling/"+path, `{"QueryParameters":{"FirstName":"Ann"}}`)
		doc := got.document(t)
		if got.Status != http.StatusAccepted || doc.ExecuteID != called || !strings.HasSuffix(got.Get("Location"), run.StatusPath(called, doc.ImportID)) {
			t.Errorf("%s: %d %v %s", path, got.Status, got.Header, got.Body)
		}
		if called != def.ID && strings.Contains(fmt.Sprint(got.Header, string(got.Body)), string(def.ID)) {
			t.Errorf("%s: the answer has the new id: %v %s", path, got.Header, got.Body)
		}
		if _, err := h.Runs.Lookup(t.Context(), def.ID, doc.ImportID); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}

	// A POST repeated across the rotation is answered as the first was.
	again := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k")
	if doc := again.document(t); again.Get("Idempotency-Replayed") != "true" || doc.ImportID != before.ImportID || doc.ExecuteID != membersID {
		t.Errorf("%v %s", again.Header, again.Body)
	}
	h.finish(t, before, run.Failed)
	waited := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k", "Prefer", "wait=5")
	if waited.Status != http.StatusUnprocessableEntity || waited.document(t).ImportID != before.ImportID {
		t.Errorf("%d %s", waited.Status, waited.Body)
	}
}

func TestFormerIDPastItsDateIsGone(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.rotate(t, listed, time.Now().Add(-time.Second))
	got := h.post(t, "/task/execute/"+listedID, `{"QueryParameters":{"Region":"North"}}`, "Origin", "https://pages.example.org")
	if p := got.problem(t); got.Status != http.StatusGone || p.Type != "urn:runhook:problem:former-id" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got.Get("Access-Control-Allow-Origin") != "https://pages.example.org" {
		t.Errorf("a page that the task lists cannot read it: %v", got.Header)
	}
	if n := h.metric(t, `runhook_posts_refused_total{reason="former-id",task="Listed"}`); n != "1" {
		t.Errorf("counted %q", n)
	}
}

func TestDeletedTaskIsUnknown(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	def := h.rotate(t, members, time.Now().Add(time.Hour))
	found, _ := h.Tasks.Get(def.ID)
	if _, err := h.Bus.Tasks.Delete(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	h.await(t, func() bool { _, there := h.Tasks.Get(def.ID); return !there })
	for _, id := range []string{membersID, string(def.ID)} {
		if got := h.post(t, "/task/execute/"+id, ""); got.Status != http.StatusNotFound || got.problem(t).Type != "urn:runhook:problem:unknown-task" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}

// The file of a task that is gone disables it.
func TestRemovedTaskIsDisabled(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if _, err := h.Bus.Tasks.Remove(t.Context(), membersID); err != nil {
		t.Fatal(err)
	}
	h.await(t, func() bool { found, _ := h.Tasks.Get(membersID); return !found.Enabled })
	if got := h.post(t, "/task/execute/"+membersID, ""); got.Status != http.StatusConflict || got.problem(t).Type != "urn:runhook:problem:task-disabled" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
