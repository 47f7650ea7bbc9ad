package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/run"
)

// eventually waits until a condition holds.
func eventually(t testing.TB, i *instance, what string, holds func() bool) {
	t.Helper()
	within(t, limit, i, what, holds)
}

func within(t testing.TB, most time.Duration, i *instance, what string, holds func() bool) {
	t.Helper()
	pause := 20 * time.Millisecond // more and more, since a look costs more than the wait where the machine is busy
	for over := time.Now().Add(most); !holds(); time.Sleep(pause) {
		pause = min(pause*3/2, 250*time.Millisecond)
		if time.Now().After(over) {
			t.Fatalf("not in %s: %s\n%s", most, what, i.log)
		}
		select {
		case <-i.ended:
			t.Fatalf("%s ended with %d while waiting: %s\n%s", i.description, i.await(), what, i.log)
		default:
		}
	}
}

// events reads every stored completion event, by run number.
func events(t testing.TB, url string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for number, of := range eventsByRun(t, url) {
		found[number] = len(of)
	}
	return found
}

// eventsByRun are, by run, where each event is and what it was copied from.
func eventsByRun(t testing.TB, url string) map[string][]string {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	if stream.CachedInfo().State.Msgs == 0 {
		return found
	}
	// Message by message: a consumer each time would be too many of them.
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq; sequence++ {
		msg, err := stream.GetMsg(t.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		number := msg.Header.Get("ce-subject")
		found[number] = append(found[number], fmt.Sprintf("%d of %s at %s", msg.Sequence, msg.Header.Get("Nats-Stream-Source"), msg.Time.Format(time.TimeOnly+".000")))
	}
	return found
}

// wantOneEventEach waits until every accepted run has its event, and wants no second one.
func wantOneEventEach(t testing.TB, i *instance, accepted map[string]string) {
	t.Helper()
	var found map[string]int
	// The server that copies finals waits 20 s, then 30 s and so on, when it has failed to.
	within(t, 3*limit, i, "every run has its event", func() bool {
		found = events(t, i.nats)
		for number := range accepted {
			if found[number] == 0 {
				return false
			}
		}
		return true
	})
	for number, of := range eventsByRun(t, i.nats) {
		if len(of) != 1 {
			t.Errorf("run %s has the events %q, and the log is:\n%s", number, of, i.log)
		}
	}
}

// A data directory whose last block was cut short is served on: the log says in one line what is
// missing, what is whole answers, and new runs get numbers that nobody was given.
func TestServeOnCutFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	release := s.hold()
	first := i.start(s.copy, nil)
	i.awaitRunning(first)
	waiting := i.start(s.copy, nil)
	release()
	done := i.awaitEnd(first)
	i.awaitEnd(waiting)
	i.end()

	block := s.path("data/nats/jetstream/$G/streams/RUNS/msgs/1.blk")
	info, err := os.Stat(block)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(block, info.Size()-7); err != nil {
		t.Fatal(err)
	}
	i = begin(t, s.args()...).listening()
	i.log.Await(t, `"last_run_left":\d+,"highest_run_seen":2,"next_run":2001,.*the data directory is damaged: the last accepted requests are lost`, i.ended)
	if lines := strings.Count(i.log.String(), "the data directory is damaged"); lines != 1 {
		t.Errorf("%d lines say so", lines)
	}
	if doc := i.awaitEnd(first); doc.Message != done.Message || doc.UpdatedOn != done.UpdatedOn {
		t.Errorf("the run before: %+v, was %+v", doc, done)
	}
	next := i.start(s.copy, nil)
	if doc := i.awaitEnd(next); doc.ImportID != 2001 {
		t.Errorf("the next run is %s", doc.ImportID)
	}
	if status := get(t, strings.Replace(next.Document.PollingURL, "/2001/", "/1500/", 1)); status != http.StatusGone {
		t.Errorf("a number between: %d", status)
	}
}

// A consumer that somebody removes from the store of a `runhook serve` is made again.
func TestServeMakesAConsumerAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	if err := bustest.JetStream(t, i.nats).DeleteConsumer(t.Context(), "RUNS", string(s.copy)); err != nil {
		t.Fatal(err)
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Errorf("%+v", doc)
	}
	i.end()
}
