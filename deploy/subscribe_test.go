package deploy_test

import (
	"net"
	"net/http"
	"testing"

	"runhook/shared/proctest"
)

// Integrations in two languages, with nothing but a NATS client, receive the completion event.
func TestSubscribersReceiveTheCompletionEvent(t *testing.T) {
	node := need(t, "node")
	needPackages(t)
	s := start(t)
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	inGo := launch(t, example, s.nats)
	inNode := launch(t, node, "examples/subscribe.mjs", s.nats)
	answer, err := http.Post(s.url+"/task/execute/"+sampleTask, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	inGo.Await(`(?m)^runhook\.run\.success ` + sampleTask + `\.1: run 1 of "People": Success, 3 rows$`)
	inNode.Await(`"id":"` + sampleTask + `\.1".*"type":"runhook\.run\.success","task":"People","run":1,"outcome":"Success","rows":3`)
}

func eventuallyListens(t *testing.T, address string) {
	t.Helper()
	proctest.Eventually(t, address+" listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}
