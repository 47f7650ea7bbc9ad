package deploy_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/proctest"
)

// Integrations in two languages, with nothing but a NATS client, receive the completion event.
func TestSubscribersReceiveTheCompletionEvent(t *testing.T) {
	t.Parallel()
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

// away is how long the server is away: longer than the 20 s after which a subscriber in JavaScript once ended.
const away = 25 * time.Second

// Subscribers handle each event once, although each takes them 2 s and the server is killed and stays away for a while.
func TestSubscribersOutliveTheServer(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	needPackages(t)
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	dir, listen, natsListen := taskFiles(t), proctest.FreeAddress(t), proctest.FreeAddress(t)
	serve := func() *proctest.Process {
		t.Helper()
		served := launch(t, proctest.Program(t), "serve", "--listen", listen, "--nats-listen", natsListen,
			"--data", filepath.Join(dir, "data"), "--tasks", filepath.Join(dir, "tasks"), "--connections", filepath.Join(dir, "connections.yaml"))
		served.Await("listens on")
		return served
	}
	served := serve()
	subscribers := map[string]*proctest.Process{
		"go-example":   launch(t, example, "--work", "2s", "--ack-wait", "3s", "nats://"+natsListen),
		"node-example": launch(t, node, "examples/subscribe.mjs", "--work", "2", "--ack-wait", "3", "nats://"+natsListen),
	}
	posted := 0
	post := func(n int) {
		t.Helper()
		for range n {
			var answer *http.Response
			proctest.Until(t, func() (err error) {
				answer, err = http.Post("http://"+listen+"/task/execute/"+sampleTask, "", nil)
				return err
			})
			_ = answer.Body.Close()
			if answer.StatusCode != 200 {
				t.Fatal(answer.Status)
			}
			posted++
		}
	}
	ids := regexp.MustCompile(sampleTask + `\.\d+`)
	count := func(of *proctest.Process) map[string]int {
		counts := make(map[string]int)
		for _, line := range strings.Split(of.Out.String(), "\n") {
			if id := ids.FindString(line); id != "" {
				counts[id]++
			}
		}
		return counts
	}
	post(3)
	for _, subscriber := range subscribers {
		proctest.Eventually(t, "an event is handled", func() bool { return len(count(subscriber)) > 0 })
	}
	served.Kill()
	time.Sleep(away)
	serve()
	post(2)
	nc, err := nats.Connect("nats://"+natsListen, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, subscriber := range subscribers {
		proctest.Until(t, func() error {
			select {
			case <-subscriber.Ended():
				t.Fatalf("%s has ended", subscriber)
			default:
			}
			if handled := count(subscriber); len(handled) < posted {
				return fmt.Errorf("%s has handled %v", name, handled)
			}
			consumer, err := js.Consumer(t.Context(), "EVENTS", name)
			if err != nil {
				return err
			}
			info, err := consumer.Info(t.Context())
			if err == nil && (info.NumPending > 0 || info.NumAckPending > 0) {
				err = fmt.Errorf("%s: %d events to come, %d in hand", name, info.NumPending, info.NumAckPending)
			}
			return err
		})
		for id, times := range count(subscriber) {
			if times != 1 {
				t.Errorf("%s handled %s %d times", name, id, times)
			}
		}
	}
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
