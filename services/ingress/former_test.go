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
	"runhook/shared/web"
)

// rotate gives a task's webhook a new id, with the present one as a former id until then, and waits until the
// ingress sees it.
func (h *house) rotate(t *testing.T, file string, until time.Time) *task.Definition {
	t.Helper()
	text, err := taskfile.Rotate([]byte(file), task.NewID(), until)
	if err != nil {
		t.Fatal(err)
	}
	return h.applied(t, text)
}

// rename does the same with the id of the task itself, as earlier versions did.
func (h *house) rename(t *testing.T, file string, until time.Time) *task.Definition {
	t.Helper()
	return h.applied(t, bustest.Renamed([]byte(file), parse(t, file).ID, task.NewID(), until))
}

func (h *house) applied(t *testing.T, text []byte) *task.Definition {
	t.Helper()
	def := parse(t, string(text))
	if _, err := h.Bus.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	h.await(t, func() bool { return h.Tasks.Shows(def.ID, def.Hash) })
	return def
}

// await waits until the ingress's view of the tasks is as it should be.
func (h *house) await(t *testing.T, right func() bool) {
	t.Helper()
	bustest.AwaitView(t, h.Tasks, "the change", right)
}

// A rotated GUID starts runs until its date, of the task under its own id, and gives nothing away of the one that has
// taken its place; neither do files of earlier versions, where the task's own id was another.
func TestFormerIDsStartRuns(t *testing.T) {
	t.Parallel()
	for name, rotate := range map[string]func(*house, *testing.T, string, time.Time) *task.Definition{"webhook": (*house).rotate, "former_ids": (*house).rename} {
		keys := runKeys(t)
		h := open(t, func(o *Options) { o.Keys, o.Links = keys, keys })
		before := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k").document(t)
		def := rotate(h, t, members+"rejected_rows: {link: true}\n", time.Now().Add(time.Hour))
		if def.WebhookID() == membersID || (def.ID == membersID) != (name == "webhook") {
			t.Fatalf("%s: rotated to %+v", name, def)
		}
		for path, called := range map[string]task.ID{membersID: membersID, strings.ToUpper("{" + membersID + "}"): membersID, string(def.WebhookID()): def.WebhookID()} {
			for _, route := range []string{"executepolling", "execute", "dryrun"} {
				got := h.post(t, "/task/"+route+"/"+path, `{"QueryParameters":{"FirstName":"Ann"}}`)
				doc := got.document(t)
				if got.Status >= 300 || doc.ExecuteID != called || !strings.Contains(doc.PollingURL, run.StatusPath(called, doc.ImportID)+"?sig=") {
					t.Errorf("%s, %s: %d %s", name, path, got.Status, got.Body)
				}
				for address, scope := range map[string]web.Scope{doc.PollingURL: web.ReadRun, doc.RejectedURL: web.ReadRows} {
					_, sig, _ := strings.Cut(address, "?sig=")
					if _, err := keys.Verify(sig, scope, h.StoreID(), called, doc.ImportID); err != nil {
						t.Errorf("%s, %s: the signature of %s is not one for the id that was called: %v", name, path, address, err)
					}
				}
				if location := got.Get("Location"); location != "" && location != doc.PollingURL {
					t.Errorf("%s, %s: Location %s", name, path, location)
				}
				if _, err := h.Runs.Lookup(t.Context(), def.ID, doc.ImportID); err != nil {
					t.Errorf("%s, %s: %v", name, path, err)
				}
				other := def.WebhookID()
				if called == other {
					other = membersID
				}
				if strings.Contains(fmt.Sprint(got.Header, string(got.Body)), string(other)) {
					t.Errorf("%s, %s: the answer has the other id: %v %s", name, path, got.Header, got.Body)
				}
			}
		}
		refused := h.post(t, "/task/execute/"+membersID, `{"QueryParameters":{"FirstNam":"Ann"}}`)
		if refused.Status != 400 || strings.Contains(string(refused.Body), string(def.WebhookID())) {
			t.Errorf("%s: %d %s", name, refused.Status, refused.Body)
		}

		// A POST repeated across the rotation is answered as the first was.
		again := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k")
		if doc := again.document(t); again.Get("Idempotency-Replayed") != "true" || doc.ImportID != before.ImportID || doc.ExecuteID != membersID {
			t.Errorf("%s: %v %s", name, again.Header, again.Body)
		}
		h.finish(t, before, run.Failed)
		waited := h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k", "Prefer", "wait=5")
		if waited.Status != http.StatusUnprocessableEntity || waited.document(t).ImportID != before.ImportID || waited.document(t).ExecuteID != membersID {
			t.Errorf("%s: %d %s", name, waited.Status, waited.Body)
		}
	}
}

// The id of a task that its webhook never had starts nothing.
func TestTheTasksOwnIDStartsNothing(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	def := h.applied(t, []byte(members+"webhook: {id: "+string(task.NewID())+"}\n"))
	if got := h.post(t, "/task/execute/"+membersID, ""); got.Status != http.StatusNotFound || got.problem(t).Type != "urn:runhook:problem:unknown-task" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := h.post(t, "/task/execute/"+string(def.WebhookID()), ""); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestFormerIDPastItsDateIsGone(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	def := h.rotate(t, listed, time.Now().Add(-time.Second))
	got := h.post(t, "/task/execute/"+listedID, `{"QueryParameters":{"Region":"North"}}`, "Origin", "https://pages.example.org")
	if p := got.problem(t); got.Status != http.StatusGone || p.Type != "urn:runhook:problem:former-id" || strings.Contains(string(got.Body), string(def.WebhookID())) {
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
	for _, id := range []string{membersID, string(def.WebhookID())} {
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
