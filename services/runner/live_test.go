package runner_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// While rows move, the live document changes four times a second, by the runner's own clock, and not more
// often; the claim, which costs a write to disk, moves once a second.
func TestLiveDocumentChangesFourTimesASecond(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 0, time.Hour) // the claim is renewed because its checkpoint moved, and not for its age
	var text strings.Builder
	text.WriteString("id,name\n")
	for i := range 200_000 { // more than are moved in the time that the test has
		fmt.Fprintf(&text, "%d,x\n", i)
	}
	write(t, filepath.Join(w.dir, "in.csv"), text.String())
	w.retask(t, "path: in.csv}}", "path: in.csv}, rate: 2000/s}")
	w.retask(t, "sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}", toFile)

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
	stop := w.runHere(t, runner.Options{})
	w.submit(t)

	var started time.Time
	var moments []time.Time // when the document changed
	claims, rows := 0, int64(-1)
	for over := time.After(proctest.Limit); ; {
		select {
		case <-over:
			t.Fatalf("no four changes within a second: %v", moments)
		case msg := <-written:
			if strings.HasPrefix(msg.Subject, "$KV") {
				claims++
				continue
			}
			doc, err := run.DecodeDocument(msg.Data)
			if err != nil {
				t.Fatal(err)
			}
			if doc.Status == run.Done {
				t.Fatalf("the run has ended, without four changes within a second: %v", moments)
			}
			if doc.RowsRetrieved == rows {
				continue
			}
			started = time.Time(*doc.StartedOn)
			rows, moments = doc.RowsRetrieved, append(moments, time.Time(doc.UpdatedOn))
		}
		last := len(moments) - 1
		if last < 8 || moments[last].Sub(moments[last-3]) >= time.Second {
			continue
		}
		// A tick that came late is followed by one in time.
		if took := moments[last].Sub(moments[0]).Seconds(); float64(len(moments)) > 3+4*took {
			t.Errorf("%d changes in %.3f s", len(moments), took)
		}
		// The first makes it, and the second says that rows are written.
		if took := moments[last].Sub(started).Seconds(); float64(claims) > 3+took {
			t.Errorf("%d writes of the claim in %.3f s", claims, took)
		}
		stop()
		return
	}
}
