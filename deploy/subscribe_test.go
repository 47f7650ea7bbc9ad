package deploy_test

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Integrations in two languages, with nothing but a NATS client, receive the completion event.
func TestSubscribersReceiveTheCompletionEvent(t *testing.T) {
	node := need(t, "node")
	s := start(t)
	example := filepath.Join(t.TempDir(), "subscribe")
	if out, err := exec.Command("go", "build", "-o", example, "./examples/subscribe").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inGo := launch(t, example, s.nats)
	inNode := launch(t, node, "examples/subscribe.mjs", s.nats)
	answer, err := http.Post(s.url+"/task/execute/"+sampleTask, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	inGo.await(t, `^runhook\.run\.success `+sampleTask+`\.1: run 1 of "People": Success, 3 rows$`)
	inNode.await(t, `"id":"`+sampleTask+`\.1".*"type":"runhook\.run\.success","task":"People","run":1,"outcome":"Success","rows":3`)
}

func eventuallyListens(t *testing.T, address string) {
	t.Helper()
	eventually(t, address+" listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// eventually asks again until it holds; for what no event tells.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
