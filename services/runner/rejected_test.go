package runner_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// newRejectingWorkshop has a source of 20,000 rows of which each 25th has no key, 800 in all.
func newRejectingWorkshop(t *testing.T) *workshop { return newRejectingWorkshopOf(t, 20_000) }

// newRejectingWorkshopOf is newRejectingWorkshop with so many rows.
func newRejectingWorkshopOf(t *testing.T, rows int) *workshop {
	t.Helper()
	w := newWorkshop(t, "upsert", 0)
	var text strings.Builder
	text.WriteString("id,name\n")
	for i := 1; i <= rows; i++ {
		id := fmt.Sprint(i)
		if i%25 == 0 {
			id = ""
		}
		fmt.Fprintf(&text, "%s,name %d\n", id, i)
	}
	write(t, filepath.Join(w.dir, "in.csv"), text.String())
	return w
}

// rejected reads all rejected rows of an ended run.
func (w *workshop) rejected(t *testing.T, n run.Number) (rows []run.RejectedRow) {
	t.Helper()
	found, err := w.store.Runs.RejectedRows(t.Context(), w.request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found.Chunks() {
		chunk, err := found.Chunk(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(chunk.Columns, []string{"id", "name"}) || chunk.Delimiter != "," || len(chunk.Rows) > 256 {
			t.Fatalf("chunk %d: columns %v, delimiter %q, %d rows", i+1, chunk.Columns, chunk.Delimiter, len(chunk.Rows))
		}
		rows = append(rows, chunk.Rows...)
	}
	return rows
}

// A runner is killed around the writes of rejected rows. What the run ends with is each of them once,
// whichever attempt had stored it.
func TestKillWhileRowsAreRejected(t *testing.T) {
	t.Parallel()
	for _, step := range []struct {
		name    string
		subject string
		nth     int
	}{
		{"the cells of the first chunk", "$O.rows.C.", 1},
		{"the name of the first chunk", "$O.rows.M.", 1},
		{"the name of the last chunk", "$O.rows.M.", 4},
		{"the final document", "$KV.runs_0.final.", 1},
		{"acknowledging", "$JS.ACK.", 1},
	} {
		for _, after := range []bool{false, true} {
			moment := "before"
			if after {
				moment = "after"
			}
			t.Run(moment+" "+step.name, func(t *testing.T) {
				t.Parallel()
				w := newRejectingWorkshopOf(t, 8000)
				n := w.submit(t)
				w.runUntilKilled(t, step.subject, step.nth, after)
				successor := w.start(t, w.store.Broker.URL())
				doc := w.await(t, n)
				if doc.Outcome() != run.Success || doc.RowsFailed != 320 || doc.RowsProcessed != 7680 {
					t.Fatalf("ended %s with %d failed and %d processed: %s", doc.Outcome(), doc.RowsFailed, doc.RowsProcessed, doc.Message)
				}
				rows := w.rejected(t, n)
				if len(rows) != 320 {
					t.Fatalf("%d rejected rows, want 320", len(rows))
				}
				for i, r := range rows {
					number := int64(25 * (i + 1))
					if r.Row != number || r.Column != "id" || !slices.Equal(r.Cells, []string{"", fmt.Sprintf("name %d", number)}) || r.Reason == "" {
						t.Fatalf("rejected row %d is %+v", i, r)
					}
				}
				w.waitUntilQuiet(t)
				successor.Kill()
			})
		}
	}
}

// A run that starts over removes what the attempt before it had stored and named.
func TestTakeoverDropsTheEarlierAttemptsRows(t *testing.T) {
	t.Parallel()
	w := newRejectingWorkshop(t)
	n := w.submit(t)
	claim := w.abandon(t, n, run.Claim{})
	for chunk := range 3 { // the third is stored and not yet named
		if err := claim.StoreRejected(t.Context(), chunk+1, []byte("{}"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	state := run.Claim{Owner: "silent", Executions: 1, HandedBack: true, StartedOn: time.Now(), Checkpoint: run.Checkpoint{
		Rejected: run.RejectedSet{{Token: claim.Token, From: 1, To: 2}},
	}}
	if err := claim.Renew(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.RowsFailed != 800 {
		t.Fatalf("%+v", doc)
	}
	objects, err := jetStream(t, w.store).ObjectStore(t.Context(), "rows")
	if err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the chunks of the attempt that was dropped are gone", func() bool {
		kept, err := objects.List(t.Context())
		return err == nil && !slices.ContainsFunc(kept, func(object *jetstream.ObjectInfo) bool {
			return strings.HasPrefix(object.Name, fmt.Sprintf("%s.%s.%d.", w.request.Task, n, claim.Token))
		})
	})
	// A batch that was a moment under way may have been written in two parts, each with its chunk.
	kept, err := objects.List(t.Context())
	if err != nil || len(kept) < 10 {
		t.Errorf("%d chunks are kept, %v, want those of the attempt that ended, one for each of 10 batches", len(kept), err)
	}
	for _, object := range kept {
		if attempt := kept[0].Name[:strings.LastIndex(kept[0].Name, ".")]; !strings.HasPrefix(object.Name, attempt+".") {
			t.Errorf("%s is kept, and %s", kept[0].Name, object.Name)
		}
	}
	if rows := w.rejected(t, n); len(rows) != 800 {
		t.Errorf("%d rejected rows, want 800", len(rows))
	}
}

// A run whose rows all pass stores nothing, and names nothing.
func TestNoRejectedRowsAreStoredWhereNoneFailed(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.await(t, n)
	if rows := w.rejected(t, n); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	stream, err := jetStream(t, w.store).Stream(t.Context(), "OBJ_rows")
	if err != nil || stream.CachedInfo().State.Msgs != 0 {
		t.Errorf("%d messages in the object store, %v", stream.CachedInfo().State.Msgs, err)
	}
}

// A run that ends because too many rows failed shows those too, the last one included.
func TestRejectedRowsOfAFailedRun(t *testing.T) {
	t.Parallel()
	w := newRejectingWorkshop(t)
	def := parse(t, fmt.Sprintf(`id: %s
name: Strict
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
max_row_errors: 2
`, w.request.Task))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	doc := w.await(t, n)
	rows := w.rejected(t, n)
	if doc.Outcome() != run.Failed || doc.RowsFailed != 3 || len(rows) != 3 || rows[2].Row != 75 {
		t.Errorf("%s, %d failed, rejected %+v", doc.Outcome(), doc.RowsFailed, rows)
	}
}

// A run keeps no more of its failed rows than the task says, and no longer; those of attempts before count. What
// is not kept is counted, and said.
func TestRejectedRowsAreBounded(t *testing.T) {
	t.Parallel()
	w := newRejectingWorkshop(t)
	def := parse(t, fmt.Sprintf(`id: %s
name: Bounded
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
rejected_rows: {max: 10KiB, keep: 48h}
`, w.request.Task))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	over := w.submit(t) // it starts over, because the database knows nothing of it
	w.abandon(t, over, run.Claim{Checkpoint: run.Checkpoint{Row: 1, Counts: run.Counts{Retrieved: 1, Failed: 1}, Rejected: run.RejectedSet{
		{Token: 1, From: 1, To: 1, Rows: 1, Bytes: 10<<10 - 1},
	}}})
	w.runHere(t, runner.Options{})
	plain := w.submit(t)
	w.request.DryRun = true
	dry := w.submit(t)

	js := jetStream(t, w.store)
	objects, err := js.ObjectStore(t.Context(), "rows")
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]run.Number{"plain": plain, "dry": dry, "starts over": over} {
		doc, rows, size := w.await(t, n), w.rejected(t, n), 0
		for _, row := range rows {
			size += len(strings.Join(row.Cells, "") + row.Column + row.Reason)
		}
		said := fmt.Sprintf("%d of the failed rows are counted and not kept, because the run keeps no more of them than rejected_rows.max", 800-len(rows))
		if doc.Outcome() != run.Success || doc.RowsFailed != 800 || size > 10<<10 || size < 9<<10 || !strings.HasSuffix(doc.Message, said) ||
			!strings.HasSuffix(doc.RejectedURL, run.RejectedPath(w.request.Task, n)) {
			t.Errorf("%s: %d rows of %d bytes are kept of %d, %s, %s", name, len(rows), size, doc.RowsFailed, doc.Message, doc.RejectedURL)
		}
	}
	stored, err := objects.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "OBJ_rows")
	if err != nil {
		t.Fatal(err)
	}
	var bytes uint64
	for _, object := range stored {
		bytes += object.Size
		keep := 48 * time.Hour
		if strings.HasPrefix(object.Name, fmt.Sprintf("%s.%s.", w.request.Task, dry)) {
			keep = 24 * time.Hour
		}
		for _, subject := range []string{"$O.rows.C." + object.NUID, "$O.rows.M." + base64.URLEncoding.EncodeToString([]byte(object.Name))} {
			message, err := stream.GetLastMsgForSubject(t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			if ttl, err := time.ParseDuration(message.Header.Get("Nats-TTL")); err != nil || ttl > keep || ttl < keep-time.Hour {
				t.Errorf("%s is kept for %q, %v", object.Name, message.Header.Get("Nats-TTL"), err)
			}
		}
	}
	if len(stored) == 0 || bytes > 10<<10 {
		t.Errorf("%d objects of %d bytes are stored for 30 KiB: they are not compressed", len(stored), bytes)
	}
	earlier := run.RejectedSet{{Token: 1, From: 1, To: 2, Rows: 2, Bytes: 60}, {Token: 3, From: 1, To: 1, Rows: 1, Bytes: 30}}
	for size, want := range map[int]bool{10: true, 11: false} {
		if kept := runner.KeepsRow(t, earlier, 100, strings.Repeat("x", size)); kept != want {
			t.Errorf("a row of %d bytes behind %+v is kept: %v", size, earlier, kept)
		}
	}
}

// While the store cannot take rejected rows the run waits for it and loses none.
func TestRejectedRowsWaitForTheStore(t *testing.T) {
	t.Parallel()
	w := newRejectingWorkshop(t)
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.awaitClaim(t, n)
	listen := w.store.Broker.Addr().String()
	w.store.Broker.Stop()
	release()
	w.store.Start(listen)
	proctest.Eventually(t, "the connection is back", func() bool { return w.store.Ready(t.Context()) == nil })
	if doc := w.await(t, n); doc.RowsFailed != 800 {
		t.Fatalf("%s: %d failed: %s", doc.Outcome(), doc.RowsFailed, doc.Message)
	}
	if rows := w.rejected(t, n); len(rows) != 800 {
		t.Errorf("%d rejected rows", len(rows))
	}
}

// Cells and a driver's own words are in the rejected rows and nowhere else that is stored or logged.
func TestValuesStandInRejectedRowsOnly(t *testing.T) {
	t.Parallel()
	const canary = "canary7f3a"
	w := newWorkshop(t, "upsert", 0)
	write(t, filepath.Join(w.dir, "in.csv"), "id,name\n"+
		"1,"+canary+" by trigger\n"+ // refused by the database, in words with the value
		","+canary+" without a key\n"+
		"3,"+canary+",ragged\n"+
		"4,"+canary+"\xff\n"+
		"5,\""+canary+"\"x\n"+
		"6,fine\n")
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`create table people (id text primary key, name text);
		create trigger picky before insert on people when new.name like 'canary%' begin select raise(abort, 'canary7f3a in the words of the driver'); end`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	w.log = proctest.NewOutput()
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	doc := w.await(t, n)
	rows := w.rejected(t, n)
	if doc.RowsFailed != 5 || doc.RowsProcessed != 1 || len(rows) != 5 {
		t.Fatalf("%d failed, %d processed, rejected %+v", doc.RowsFailed, doc.RowsProcessed, rows)
	}
	if !strings.Contains(rows[0].Reason, canary+" in the words of the driver") {
		t.Errorf("the driver's words are not in %q", rows[0].Reason)
	}
	for i, want := range [][]string{
		{"1", canary + " by trigger"},
		{"", canary + " without a key"},
		{"3", canary + ",ragged"},
		{"4", canary + "\uFFFD"},
		{"5", "\"" + canary + "\"x"},
	} {
		if !slices.Equal(rows[i].Cells, want) {
			t.Errorf("cells %q, want %q", rows[i].Cells, want)
		}
	}

	proctest.Eventually(t, "the completion event is stored", func() bool { return w.events(t) > 0 })
	js := jetStream(t, w.store)
	searched := 0
	for _, name := range []string{"RUNS", "KV_runs_0", "EVENTS", "KV_progress", "KV_control", "KV_tasks"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		for sequence := state.FirstSeq; sequence <= state.LastSeq && state.Msgs > 0; sequence++ {
			msg, err := stream.GetMsg(t.Context(), sequence)
			if err != nil {
				continue // removed since
			}
			searched++
			if bytes.Contains(msg.Data, []byte(canary)) || strings.Contains(fmt.Sprint(msg.Header), canary) {
				t.Errorf("%s holds a value: %s", name, msg.Data)
			}
		}
	}
	if searched < 3 {
		t.Errorf("only %d messages were searched", searched)
	}
	if text := w.log.String(); !strings.Contains(text, "run ended") || strings.Contains(text, canary) {
		t.Errorf("the log: %s", text)
	}
}
