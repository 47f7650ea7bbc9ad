package ingress

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// A POST with RunAt is accepted at once, and its answer says what the run waits for. A key belongs to the time as well.
func TestRunAt(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	body := fmt.Sprintf(`{"QueryParameters": {"FirstName": "Ann"}, "runat": %q}`, at.Format(time.RFC3339))
	for _, path := range []string{"/task/executepolling/", "/task/execute/"} {
		got := h.post(t, path+membersID, body)
		doc := got.document(t)
		if got.Status/100 != 2 || doc.Status != run.Queued || doc.WaitingFor != at.Format(time.RFC3339) || doc.Waiting == nil || doc.Waiting.Kind != run.ForTime ||
			!time.Time(*doc.Waiting.Until).Equal(at) || !time.Time(*doc.RunAt).Equal(at) || doc.Message != "Waiting for "+doc.WaitingFor {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
		request, err := h.Runs.Request(t.Context(), membersID, doc.ImportID)
		if err != nil || !request.RunAt.Equal(at) || request.Parameters["FirstName"].From != task.FromRequest {
			t.Errorf("%+v, %v", request, err)
		}
	}
	first := h.post(t, "/task/executepolling/"+membersID, body, "Idempotency-Key", "k1")
	again := h.post(t, "/task/executepolling/"+membersID, body, "Idempotency-Key", "k1")
	if again.Get("Idempotency-Replayed") != "true" || again.document(t).ImportID != first.document(t).ImportID || again.document(t).WaitingFor != at.Format(time.RFC3339) {
		t.Errorf("%d %s", again.Status, again.Body)
	}
	other := h.post(t, "/task/executepolling/"+membersID, strings.Replace(body, at.Format(time.RFC3339), at.Add(time.Minute).Format(time.RFC3339), 1), "Idempotency-Key", "k1")
	if other.Status != http.StatusUnprocessableEntity {
		t.Errorf("another time under the same key: %d %s", other.Status, other.Body)
	}
	berlin := time.Now().Add(72 * time.Hour).UTC().Format("2006-01-02")
	if got := h.post(t, "/task/executepolling/"+membersID, `{"RunAt": "`+berlin+` 12:00 Europe/Berlin"}`); got.Status != http.StatusAccepted || !strings.Contains(got.document(t).WaitingFor, berlin+"T1") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := h.post(t, "/task/executepolling/"+membersID, `{"RunAt": null}`); got.Status != http.StatusAccepted || got.document(t).RunAt != nil {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	just := time.Now().Add(-10 * time.Second).Format(time.RFC3339)
	if got := h.post(t, "/task/executepolling/"+membersID, `{"RunAt": "`+just+`"}`); got.Status != http.StatusAccepted || got.document(t).WaitingFor != "" {
		t.Errorf("just passed: %d %s", got.Status, got.Body)
	}
}

// A RunAt that cannot be used is refused, with what to write; so is what was probably meant to be one.
func TestWrongRunAt(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	far := time.Now().Add(200 * 24 * time.Hour).UTC().Format(time.RFC3339)
	over := time.Now().Add(-61 * time.Second).UTC().Format(time.RFC3339)
	before := h.accepted(t)
	for _, one := range []struct{ path, body, says string }{
		{"executepolling/" + membersID, `{"RunAt": "2020-01-01T00:00:00Z"}`, "RunAt is 2020-01-01T00:00:00Z, which has passed"},
		{"executepolling/" + membersID, `{"RunAt": "` + over + `"}`, "RunAt is " + over + ", which has passed"},
		{"executepolling/" + membersID, `{"RunAt": "` + far + `"}`, "and a run can wait until "},
		{"executepolling/" + membersID, `{"RunAt": "2026-12-01T06:00:00"}`, "RunAt: 2026-12-01T06:00:00 is no moment: write"},
		{"executepolling/" + membersID, `{"RunAt": "2031-01-01 06:00 Europe/Berln"}`, "did you mean Europe/Berlin?"},
		{"executepolling/" + membersID, `{"RunAt": "0001-01-01T00:00:00Z"}`, "RunAt: 0001-01-01T00:00:00Z is before 1970"}, // as C# sends a date that is not set
		{"executepolling/" + membersID, `{"RunAt": ""}`, "RunAt: there is no moment: write"},
		{"executepolling/" + membersID, `{"RunAt": 1790000000}`, "RunAt must be a text"},
		{"executepolling/" + membersID, `{"run_at": "` + soon + `"}`, `The member "run_at" looks like RunAt; call it so.`},
		{"executepolling/" + membersID + "?RunAt=" + soon, `{}`, `The query string has "RunAt", and nothing there is read`},
		{"dryrun/" + membersID, `{"RunAt": "` + soon + `"}`, "A dry run starts at once; leave RunAt out."},
	} {
		got := h.post(t, "/task/"+one.path, one.body)
		if p := got.problem(t); got.Status != http.StatusBadRequest || p.Type != "urn:runhook:problem:wrong-run-at" || !strings.Contains(p.Detail, one.says) || len(p.Errors) != 1 || p.Errors[0].Name != "RunAt" {
			t.Errorf("%s %s: %d %s", one.path, one.body, got.Status, got.Body)
		}
	}
	if after := h.accepted(t); after != before {
		t.Errorf("%d runs are accepted", after-before)
	}
}

// accepted is how many runs there are.
func (h *house) accepted(t *testing.T) int {
	t.Helper()
	all, err := h.Runs.List(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
