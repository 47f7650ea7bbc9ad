package ingress

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/run"
	"runhook/shared/web"
)

// A run says what has started it, and by whose token; without a token that is a webhook, whatever the request says.
func TestWhoStartsARun(t *testing.T) {
	t.Parallel()
	const token, reader = "a-token-that-nobody-guesses", "a-token-that-only-reads"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("ann: "+token+"\nviewer(read): "+reader+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, err := web.NewAdmin(file, new(web.Locator), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(o *Options) { o.Admin = admin })
	ann := []string{"Authorization", "Bearer " + token}
	for _, c := range []struct {
		headers  []string
		status   int
		trigger  run.Trigger
		operator string
		repeats  run.Number
	}{
		{nil, 202, run.Webhook, "", 0},
		{ann, 202, run.Webhook, "ann", 0},
		{append(ann, "Runhook-Trigger", "cli"), 202, run.CLI, "ann", 0},
		{append(ann, "Runhook-Trigger", "page"), 202, run.Page, "ann", 0},
		{append(ann, "Runhook-Trigger", "schedule"), 202, run.Webhook, "ann", 0},
		{append(ann, "Runhook-Trigger", "cli", "Runhook-Repeat-Of", "41"), 202, run.Again, "ann", 41},
		{append(ann, "Runhook-Repeat-Of", "x"), 400, "", "", 0},
		{append(ann, "Runhook-Repeat-Of", "0"), 400, "", "", 0},
		{[]string{"Runhook-Trigger", "cli"}, 202, run.Webhook, "", 0},
		{[]string{"Authorization", "Bearer " + reader, "Runhook-Trigger", "cli"}, 202, run.Webhook, "", 0},
		{[]string{"Runhook-Repeat-Of", "41"}, 403, "", "", 0},
		{[]string{"Authorization", "Bearer " + reader, "Runhook-Repeat-Of", "41"}, 403, "", "", 0},
	} {
		got := h.post(t, "/task/executepolling/"+membersID, "", c.headers...)
		if got.Status != c.status {
			t.Errorf("%q: %d %s", c.headers, got.Status, got.Body)
		}
		if got.Status != 202 {
			continue
		}
		doc, err := run.DecodeDocument(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		request, err := h.Runs.Request(t.Context(), membersID, doc.ImportID)
		if err != nil || doc.Trigger != c.trigger || request.Trigger != c.trigger || request.Operator != c.operator || request.RepeatOf != c.repeats || doc.RepeatOf != c.repeats {
			t.Errorf("%q: %+v %s, %v", c.headers, request, got.Body, err)
		}
	}
	// A service that knows no tokens repeats nothing, so that no run is a repeat without saying so.
	other := open(t, nil)
	if got := other.post(t, "/task/executepolling/"+membersID, "", append(ann, "Runhook-Repeat-Of", "41")...); got.Status != 403 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
