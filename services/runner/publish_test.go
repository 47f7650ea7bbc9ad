package runner_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/services/runner"
	"runhook/shared/run"
)

// publishing makes the workshop's task publish count rows to members.changed, and a stream listen there.
func publishing(t *testing.T, count int) (*workshop, jetstream.Stream) {
	t.Helper()
	w := newWorkshop(t, "upsert", 0)
	var text strings.Builder
	text.WriteString("id,name\n")
	for i := range count {
		fmt.Fprintf(&text, "%d,name %d\n", i+1, i+1)
	}
	write(t, filepath.Join(w.dir, "in.csv"), text.String())
	def := parse(t, fmt.Sprintf(`id: %s
name: Publishing
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: int(id), name: name}
destination: {nats: {subject: members.changed}}
`, w.request.Task))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	stream, err := jetStream(t, w.store).CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEMBERS", Subjects: []string{"members.>"}})
	if err != nil {
		t.Fatal(err)
	}
	return w, stream
}

func TestRowsArePublished(t *testing.T) {
	t.Parallel()
	w, stream := publishing(t, 5000)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != 5000 {
		t.Fatalf("%s, %d inserted: %s", doc.Outcome(), doc.RowsInserted, doc.Message)
	}
	last, err := stream.GetMsg(t.Context(), 5000)
	if err != nil || string(last.Data) != `{"id":5000,"name":"name 5000"}` {
		t.Fatalf("the last is %s, %v", last.Data, err)
	}
	if id, want := last.Header.Get("Nats-Msg-Id"), fmt.Sprintf("%s.%s.5000", w.request.Task, n); id != want {
		t.Errorf("its id is %s, want %s", id, want)
	}
}

// A runner that is killed in the middle leaves rows that the next one publishes again; the stream
// keeps each once.
func TestKillWhileRowsArePublished(t *testing.T) {
	t.Parallel()
	w, stream := publishing(t, 5000)
	n := w.submit(t)
	w.runUntilKilled(t, "members.changed", 2500, true)
	successor := w.start(t, w.store.Broker.URL())
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != 5000 || doc.ExecutionCount < 2 {
		t.Fatalf("%s, %d inserted in execution %d: %s", doc.Outcome(), doc.RowsInserted, doc.ExecutionCount, doc.Message)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 5000 {
		t.Errorf("%d messages, %v", info.State.Msgs, err)
	}
	w.waitUntilQuiet(t)
	successor.Kill()
}

// A row that no message can hold is a row error; the server's words are with the rejected rows.
func TestRowsThatAreTooLargeForAMessage(t *testing.T) {
	t.Parallel()
	w, _ := publishing(t, 0)
	stream, err := jetStream(t, w.store).UpdateStream(t.Context(), jetstream.StreamConfig{Name: "MEMBERS", Subjects: []string{"members.>"}, MaxMsgSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.dir, "in.csv"), "id,name\n1,Ann\n2,"+strings.Repeat("x", 2000)+"\n3,Bob\n")
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.RowsInserted != 2 || doc.RowsFailed != 1 || doc.Errors[0].Message != "is too large for a message" {
		t.Fatalf("%+v", doc)
	}
	if rows := w.rejected(t, n); len(rows) != 1 || rows[0].Row != 2 || len(rows[0].Reason) <= len("is too large for a message") {
		t.Errorf("rejected %+v", rows)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 2 {
		t.Errorf("%d messages, %v", info.State.Msgs, err)
	}
}
