package ingress

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"runhook/shared/run"
	"runhook/shared/web"
)

// runKeys makes a key file as serve does, and loads it.
func runKeys(t *testing.T) *web.Keys {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.key")
	if err := web.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	keys, err := web.LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestRejectedURL: every answer to a POST has the signed address, a replay the same one, and nothing
// that is stored has it.
func TestRejectedURL(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := open(t, func(o *Options) { o.Keys = keys })
	key := []string{"Host", "a.example.org", "Idempotency-Key", "once"}
	first := h.post(t, "/task/executepolling/"+membersID, "", key...)
	n := first.document(t).ImportID
	address, sig, found := strings.Cut(first.document(t).RejectedURL, "?sig=")
	if want := "http://a.example.org" + run.RejectedPath(membersID, n); address != want || !found {
		t.Errorf("RejectedUrl %q, want %q", first.document(t).RejectedURL, want)
	}
	if !keys.Verify(sig, web.ControlRun, h.StoreID(), membersID, n) {
		t.Errorf("the signature %q does not verify", sig)
	}
	if replay := h.post(t, "/task/executepolling/"+membersID, "", key...); !bytes.Equal(replay.Body, first.Body) {
		t.Errorf("a replay answers\n%s, not\n%s", replay.Body, first.Body)
	}

	stored := h.finish(t, run.QueuedDocument(run.Request{Task: membersID}, n), run.Success)
	waited := h.post(t, "/task/executepolling/"+membersID, "", append(key, "Prefer", "wait=5")...)
	if doc := waited.document(t); doc.Status != run.Done || doc.RejectedURL != first.document(t).RejectedURL {
		t.Errorf("the answer that waited: %s", waited.Body)
	}
	status, err := h.Runs.Lookup(t.Context(), membersID, n)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(status.Bytes, []byte("RejectedUrl")) || !bytes.Equal(stored, status.Bytes) {
		t.Errorf("stored: %s", status.Bytes)
	}

	if got := h.post(t, "/task/execute/"+membersID, ""); got.document(t).RejectedURL == "" {
		t.Error("no RejectedUrl for a caller who does not poll")
	}
}

// TestNoRejectedURLWithoutKeys: an address that nobody could use is left out.
func TestNoRejectedURLWithoutKeys(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if got := h.post(t, "/task/execute/"+membersID, ""); bytes.Contains(got.Body, []byte("RejectedUrl")) {
		t.Errorf("%s", got.Body)
	}
}
