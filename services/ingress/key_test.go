package ingress

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// apply stores a task and waits until the ingress sees it.
func (h *house) apply(t *testing.T, file string) {
	t.Helper()
	def := parse(t, file)
	if _, err := h.Bus.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	h.await(t, func() bool { now, ok := h.Tasks.Get(def.ID); return ok && now.Hash == def.Hash })
}

// remove deletes a task and waits until the ingress sees it.
func (h *house) remove(t *testing.T, id task.ID) {
	t.Helper()
	found, _ := h.Tasks.Get(id)
	if _, err := h.Bus.Tasks.Delete(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	h.await(t, func() bool { _, there := h.Tasks.Get(id); return !there })
}

// same fails the test unless two answers have the same status, headers and body.
func same(t *testing.T, got, want answer) {
	t.Helper()
	got.Header, want.Header = got.Clone(), want.Clone()
	got.Del("Date")
	want.Del("Date")
	var gotHead, wantHead bytes.Buffer
	_, _ = got.Write(&gotHead), want.Write(&wantHead) // a buffer takes everything
	if got.Status != want.Status || gotHead.String() != wantHead.String() || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("answered %d\n%s%s\nnot %d\n%s%s", got.Status, &gotHead, got.Body, want.Status, &wantHead, want.Body)
	}
}

// What was accepted is replayed to whoever repeats the POST, whatever has become of the task since.
func TestKeyIsKnownWhateverBecomesOfTheTask(t *testing.T) {
	t.Parallel()
	const body, other = `{"QueryParameters":{"FirstName":"Ann"}}`, `{"QueryParameters":{"FirstName":"Bob"}}`
	past := func() time.Time { return time.Now().Add(-time.Second) }
	for _, c := range []struct {
		name   string
		change func(*testing.T, *house)
		// status and kind are of the answer to a POST that nothing is known of; no kind: it starts a run.
		status int
		kind   string
	}{
		{
			name: "disabled", status: 409, kind: "task-disabled",
			change: func(t *testing.T, h *house) { h.apply(t, members+"enabled: false\n") },
		},
		{
			name: "removed", status: 409, kind: "task-disabled",
			change: func(t *testing.T, h *house) {
				if _, err := h.Bus.Tasks.Remove(t.Context(), membersID); err != nil {
					t.Fatal(err)
				}
				h.await(t, func() bool { found, _ := h.Tasks.Get(membersID); return !found.Enabled })
			},
		},
		{
			name: "deleted", status: 404, kind: "unknown-task",
			change: func(t *testing.T, h *house) { h.remove(t, membersID) },
		},
		{
			name: "rotated", status: 410, kind: "former-id",
			change: func(t *testing.T, h *house) { h.rotate(t, members, past()) },
		},
		{
			name: "rotated and deleted", status: 404, kind: "unknown-task",
			change: func(t *testing.T, h *house) { h.remove(t, h.rotate(t, members, past()).ID) },
		},
		{
			name: "with another required parameter", status: 400, kind: "wrong-parameters",
			change: func(t *testing.T, h *house) {
				h.apply(t, strings.Replace(members, "parameters:\n", "parameters:\n  - {name: Region, prompt: required}\n", 1))
			},
		},
		{
			name: "without the parameter", status: 400, kind: "wrong-parameters",
			change: func(t *testing.T, h *house) { h.apply(t, strings.Replace(members, "  - name: FirstName\n", "", 1)) },
		},
		{
			name: "with the parameter in another letter case", status: 200,
			change: func(t *testing.T, h *house) {
				h.apply(t, strings.Replace(members, "  - name: FirstName\n", "  - name: FIRSTNAME\n", 1))
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, nil)
			paths := []string{"/task/execute/", "/task/executepolling/", "/task/dryrun/"}
			repeat := func(h *house, path, body string) answer {
				t.Helper()
				return h.post(t, path+membersID, body, "Idempotency-Key", "k"+path, "Host", "hooks.example.org")
			}
			replays := map[string]answer{}
			for _, path := range paths {
				first := repeat(h, path, body)
				if first.Status >= 300 {
					t.Fatalf("%d %s", first.Status, first.Body)
				}
				h.finish(t, first.document(t), run.Success) // else the task cannot be deleted
				replays[path] = repeat(h, path, body)
			}
			c.change(t, h)
			h.Restart()
			for who, h := range map[string]*house{"this ingress": h, "another": openOn(t, h.Store, nil)} {
				h.settle(t)
				for _, path := range paths {
					same(t, repeat(h, path, body), replays[path])
					if got := repeat(h, path, other); got.Status != 422 || got.problem(t).Type != "urn:runhook:problem:idempotency-key-reused" {
						t.Errorf("%s: other parameters: %d %s", who, got.Status, got.Body)
					}
				}
				if got := repeat(h, "/task/execute/", `{"QueryParameters":`); got.Status != 400 || got.problem(t).Type != "urn:runhook:problem:malformed-body" {
					t.Errorf("%s: a broken body: %d %s", who, got.Status, got.Body)
				}
				if n := h.metric(t, `runhook_runs_replayed_total{task="Refresh lapsed members"}`); n == "" {
					t.Errorf("%s counts no replays", who)
				}
				if c.kind == "" {
					continue
				}
				for _, key := range [][]string{nil, {"Idempotency-Key", "unknown"}} {
					got := h.post(t, "/task/execute/"+membersID, body, key...)
					if got.Status != c.status || got.problem(t).Type != "urn:runhook:problem:"+c.kind {
						t.Errorf("%s: with %q: %d %s", who, key, got.Status, got.Body)
					}
				}
			}
			proctest.Until(t, func() error { return h.Ready(t.Context()) }) // the connection of the test, too
			runs, err := h.Runs.List(t.Context(), 10, membersID)
			if err != nil || len(runs) != len(paths) {
				t.Errorf("%d runs were started, not %d (%v)", len(runs), len(paths), err)
			}
		})
	}
}

// Who sends a key first does not decide where those poll who send it later: each gets links of its own request.
func TestReplayHasItsOwnLinks(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	locator, err := web.NewLocator("", []string{"127.0.0.1"}, "absolute")
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(o *Options) { o.Keys, o.Links, o.Locator = keys, keys, locator })
	for name, squat := range map[string][]string{
		"by Host": {"Host", "other.example"}, "through a proxy": {"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Host", "other.example", "X-Forwarded-Proto", "https"},
	} {
		send := func(path string, headers ...string) answer {
			return h.post(t, "/task/"+path+"/"+listedID, `{"QueryParameters":{"Region":"North"}}`, append(headers, "Idempotency-Key", strings.ReplaceAll(name, " ", "-"))...)
		}
		first := send("executepolling", squat...)
		if !strings.Contains(first.Get("Location"), "//other.example/") {
			t.Fatalf("%s: %s", name, first.Get("Location"))
		}
		for _, path := range []string{"executepolling", "execute"} {
			again := send(path, "Host", "hooks.example.org")
			doc := again.document(t)
			if again.Get("Idempotency-Replayed") != "true" || doc.ImportID != first.document(t).ImportID {
				t.Fatalf("%s: %v %s", name, again.Header, again.Body)
			}
			text := fmt.Sprint(again.Header) + string(again.Body)
			if strings.Contains(text, "other.example") || !strings.HasPrefix(doc.PollingURL, "http://hooks.example.org/") || !strings.HasPrefix(doc.RejectedURL, "http://hooks.example.org/") {
				t.Errorf("%s: %s", name, text)
			}
		}
		h.finish(t, first.document(t), run.Success)
		if ended := send("executepolling", "Host", "hooks.example.org", "Prefer", "wait=10"); ended.Status != 200 || strings.Contains(string(ended.Body), "other.example") {
			t.Errorf("%s: %d %s", name, ended.Status, ended.Body)
		}
	}
}

// settle waits until the ingress has found the server that was started again.
func (h *house) settle(t *testing.T) {
	t.Helper()
	proctest.Until(t, func() error {
		if got := h.post(t, "/task/execute/"+listedID, `{"QueryParameters":{"Region":"North"}}`); got.Status != http.StatusOK {
			return fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return nil
	})
}
