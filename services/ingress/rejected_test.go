package ingress

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestRejectedURL: where the task says so, every answer to a POST has the signed address, for as long as the rows
// are kept, a replay the same one, and nothing that is stored has it.
func TestRejectedURL(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := open(t, func(o *Options) { o.Keys = keys })
	const body = `{"QueryParameters":{"Region":"North"}}`
	key := []string{"Host", "a.example.org", "Idempotency-Key", "once"}
	first := h.post(t, "/task/executepolling/"+listedID, body, key...)
	n := first.document(t).ImportID
	address, sig, found := strings.Cut(first.document(t).RejectedURL, "?sig=")
	if want := "http://a.example.org" + run.RejectedPath(listedID, n); address != want || !found {
		t.Errorf("RejectedUrl %q, want %q", first.document(t).RejectedURL, want)
	}
	until, err := keys.Verify(sig, web.ReadRows, h.StoreID(), listedID, n)
	if left := time.Until(until); err != nil || left > 2*time.Hour || left < time.Hour {
		t.Errorf("the signature %q is good for %s, %v", sig, left, err)
	}
	if replay := h.post(t, "/task/executepolling/"+listedID, body, key...); !bytes.Equal(replay.Body, first.Body) {
		t.Errorf("a replay answers\n%s, not\n%s", replay.Body, first.Body)
	}
	if got := h.post(t, "/task/execute/"+listedID, body); !strings.Contains(got.document(t).RejectedURL, "?sig=") {
		t.Error("no RejectedUrl for a caller who does not poll")
	}

	kept := first.document(t)
	kept.RejectedURL = ""
	kept.NameRejected(run.RejectedSet{{Token: 1, From: 1, To: 1}})
	stored := h.finish(t, kept, run.Success)
	waited := h.post(t, "/task/executepolling/"+listedID, body, append(key, "Prefer", "wait=5")...)
	if doc := waited.document(t); doc.Status != run.Done || doc.RejectedURL != first.document(t).RejectedURL {
		t.Errorf("the answer that waited: %s", waited.Body)
	}
	status, err := h.Runs.Lookup(t.Context(), listedID, n)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(status.Bytes, []byte("sig=")) || !bytes.Equal(stored, status.Bytes) {
		t.Errorf("stored: %s", status.Bytes)
	}
	none := h.post(t, "/task/executepolling/"+listedID, body, "Idempotency-Key", "none").document(t)
	none.RejectedURL = ""
	h.finish(t, none, run.Success)
	waited = h.post(t, "/task/executepolling/"+listedID, body, "Idempotency-Key", "none", "Prefer", "wait=5")
	if doc := waited.document(t); doc.Status != run.Done || doc.RejectedURL != "" {
		t.Errorf("the answer that waited, where no rows are kept: %s", waited.Body)
	}
}

// TestRowsAreNotForCallers: who knows a task's id could make its rows fail, and read them.
func TestRowsAreNotForCallers(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := open(t, func(o *Options) { o.Keys, o.Links = keys, keys })
	for _, route := range []string{"execute", "executepolling", "dryrun"} {
		got := h.post(t, "/task/"+route+"/"+membersID, "")
		if bytes.Contains(got.Body, []byte("RejectedUrl")) {
			t.Errorf("%s: %s", route, got.Body)
		}
		doc := got.document(t)
		plain, sig, _ := strings.Cut(doc.PollingURL, "?sig=")
		until, err := keys.Verify(sig, web.ReadRun, h.StoreID(), membersID, doc.ImportID)
		if left := time.Until(until).Hours() / 24; err != nil || left < 364 || left > 365 {
			t.Errorf("%s: the signature of %s is good for %g days, %v", route, doc.PollingURL, left, err)
		}
		if _, err := keys.Verify(sig, web.ReadRows, h.StoreID(), membersID, doc.ImportID); err == nil {
			t.Errorf("%s: the status URL opens the rows", route)
		}
		if location := got.Get("Location"); location != "" && location != doc.PollingURL {
			t.Errorf("%s: Location %s, PollingUrl %s", route, location, doc.PollingURL)
		}
		if stored, err := h.Runs.Request(t.Context(), membersID, doc.ImportID); err != nil || stored.PollingURL(doc.ImportID) != plain {
			t.Errorf("%s: stored %+v, %v", route, stored, err)
		}
	}
}

// Who has shown a credential of the task gets signed links, for the rows too; a replay gets the same ones.
func TestLinksOfKnownCallers(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := openGuarded(t, func(o *Options) { o.Keys = keys })
	for _, route := range []string{"execute", "executepolling", "dryrun"} {
		post := func() answer {
			return h.post(t, "/task/"+route+"/"+guardedID, "", "X-Api-Key", partnerKey, "Idempotency-Key", route)
		}
		first := post()
		doc := first.document(t)
		for _, link := range []struct {
			url   string
			scope web.Scope
			days  float64
		}{{doc.PollingURL, web.ReadRun, 365}, {doc.RejectedURL, web.ReadRows, map[bool]float64{false: 90, true: 1}[route == "dryrun"]}} {
			_, sig, _ := strings.Cut(link.url, "?sig=")
			until, err := keys.Verify(sig, link.scope, h.StoreID(), guardedID, doc.ImportID)
			if left := time.Until(until).Hours() / 24; err != nil || left > link.days || left < link.days-0.1 {
				t.Errorf("%s: %s is good for %g days, %v", route, link.url, left, err)
			}
		}
		if location := first.Get("Location"); location != "" && location != doc.PollingURL {
			t.Errorf("%s: Location %s, PollingUrl %s", route, location, doc.PollingURL)
		}
		if again := post(); again.Get("Idempotency-Replayed") != "true" || !bytes.Equal(again.Body, first.Body) {
			t.Errorf("%s: a replay answers\n%s, not\n%s", route, again.Body, first.Body)
		}
	}
}

// Nobody reads the rows of a task that is deleted, whatever it had said before.
func TestRowsOfADeletedTask(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := open(t, func(o *Options) { o.Keys = keys })
	h.apply(t, members+"rejected_rows: {link: true}\n")
	post := func() answer { return h.post(t, "/task/executepolling/"+membersID, "", "Idempotency-Key", "k") }
	first := post()
	doc := first.document(t)
	if !strings.Contains(doc.RejectedURL, "?sig=") {
		t.Errorf("%d %s", first.Status, first.Body)
	}
	h.finish(t, doc, run.Failed)
	h.remove(t, membersID)
	again := post()
	if again.Get("Idempotency-Replayed") != "true" || again.document(t).ImportID != doc.ImportID || strings.Contains(again.document(t).RejectedURL, "sig=") {
		t.Errorf("%d %v %s", again.Status, again.Header, again.Body)
	}
}

// TestNoRejectedURLWithoutKeys: an address that nobody could use is left out.
func TestNoRejectedURLWithoutKeys(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if got := h.post(t, "/task/execute/"+listedID, `{"QueryParameters":{"Region":"North"}}`); bytes.Contains(got.Body, []byte("RejectedUrl")) {
		t.Errorf("%s", got.Body)
	}
}

// Every answer to a POST has the address that cancels its run, and no other, until the run has ended.
func TestTheAnswerHasCancelURL(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	h := open(t, func(o *Options) { o.Keys = keys })
	for _, route := range []string{"execute", "executepolling", "dryrun"} {
		doc := h.post(t, "/task/"+route+"/"+membersID, "").document(t)
		plain, sig, _ := strings.Cut(doc.CancelURL, "?sig=")
		if want := strings.TrimSuffix(doc.PollingURL, "/status") + "/cancel"; plain != want {
			t.Errorf("%s: %s, want %s", route, plain, want)
		}
		until, err := keys.Verify(sig, web.ControlRun, h.StoreID(), membersID, doc.ImportID)
		if left := time.Until(until).Hours() / 24; err != nil || left < 364 || left > 365 {
			t.Errorf("%s: it is good for %g days, %v", route, left, err)
		}
		for _, number := range []run.Number{doc.ImportID + 1, doc.ImportID - 1} {
			if _, err := keys.Verify(sig, web.ControlRun, h.StoreID(), membersID, number); err == nil {
				t.Errorf("%s: it cancels another run", route)
			}
		}
		if _, err := keys.Verify(sig, web.ReadRows, h.StoreID(), membersID, doc.ImportID); err == nil {
			t.Errorf("%s: it opens the failed rows", route)
		}
		if stored, err := h.Runs.Lookup(t.Context(), membersID, doc.ImportID); err != nil || bytes.Contains(stored.Bytes, []byte("CancelUrl")) {
			t.Errorf("%s: stored %s, %v", route, stored.Bytes, err)
		}
	}
	body := `{"QueryParameters":{"Region":"North"}}`
	first := h.post(t, "/task/executepolling/"+listedID, body, "Idempotency-Key", "once").document(t)
	h.finish(t, first, run.Success)
	if doc := h.post(t, "/task/executepolling/"+listedID, body, "Idempotency-Key", "once", "Prefer", "wait=5").document(t); doc.Status != run.Done || doc.CancelURL != "" {
		t.Errorf("a run that has ended has %s", doc.CancelURL)
	}
	none := open(t, nil)
	if got := none.post(t, "/task/execute/"+membersID, ""); bytes.Contains(got.Body, []byte("CancelUrl")) {
		t.Errorf("without keys: %s", got.Body)
	}
}
