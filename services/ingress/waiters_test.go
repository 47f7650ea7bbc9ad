package ingress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// until waits until so many POSTs wait.
func (h *house) until(t *testing.T, number string) {
	t.Helper()
	proctest.Until(t, func() error {
		if now := h.metric(t, "runhook_requests_waiting"); now != number {
			return fmt.Errorf("%s POSTs wait, not %s", now, number)
		}
		return nil
	})
}

// A POST waits only while its client is there, and only if there is room; its run goes on in either case.
func TestWaitsOfPosts(t *testing.T) {
	t.Parallel()
	h := open(t, func(o *Options) { o.Waits = web.NewWaits(1, o.Metrics) })
	queue, err := h.Work.Queue(t.Context(), membersID)
	if err != nil {
		t.Fatal(err)
	}
	next := func() run.Document {
		t.Helper()
		delivery, err := bustest.Next(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		delivery.Done()
		return run.QueuedDocument(delivery.Request, delivery.Number)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /task/executepolling/"+membersID+" HTTP/1.1\r\nHost: a\r\nPrefer: wait=100\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := next()
	h.until(t, "1")
	got := h.post(t, "/task/executepolling/"+membersID, "", "Prefer", "wait=100")
	if doc := got.document(t); got.Status != http.StatusAccepted || got.Get("Preference-Applied") != "" || got.Get("Retry-After") != "7" ||
		got.Get("Location") != h.URL+run.StatusPath(membersID, doc.ImportID) || doc.Status != run.Queued {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	if n := h.metric(t, "runhook_waits_refused_total"); n != "1" {
		t.Errorf("%s POSTs are counted", n)
	}
	next()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	h.until(t, "0")
	final := h.finish(t, first, run.Success)
	if status, err := h.Runs.Lookup(t.Context(), membersID, first.ImportID); err != nil || string(status.Bytes) != string(final) {
		t.Errorf("%s %v", status.Bytes, err)
	}
}
