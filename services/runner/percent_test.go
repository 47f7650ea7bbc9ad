package runner_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

// What is lost with the server that dies, as live progress is, must not have shown a higher percentage
// than what is left, the claim: it would go back.
func TestNoPercentageIsShownThatTheClaimDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newLastingWorkshop(t, toTable)
	js := jetStream(t, w.store)
	written := make(chan *nats.Msg, 4096)
	for _, subject := range []string{"$KV.runs_0.claim.>", "run.status.>"} {
		if _, err := js.Conn().ChanSubscribe(subject, written); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	w.start(t, w.store.Broker.URL())
	w.submit(t)
	claimed, shown := 0.0, 0
	for over := time.After(proctest.Limit); ; {
		select {
		case <-over:
			t.Fatal("the run has not ended")
		case msg := <-written:
			if strings.HasPrefix(msg.Subject, "$KV") {
				var claim run.Claim
				if err := json.Unmarshal(msg.Data, &claim); err != nil {
					t.Fatal(err)
				}
				claimed = max(claimed, claim.Checkpoint.Percent)
				continue
			}
			doc, err := run.DecodeDocument(msg.Data)
			if err != nil {
				t.Fatal(err)
			}
			if doc.Status == run.Done {
				if shown == 0 {
					t.Error("no percentage was shown")
				}
				return
			}
			if doc.PercentComplete > claimed {
				t.Fatalf("%v%% is shown, and the claim has %v%%", doc.PercentComplete, claimed)
			}
			if doc.PercentComplete > 0 {
				shown++
			}
		}
	}
}
