package run_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// A claim that no runner writes is none: whoever continued from it would count to its end, or wait for it.
func TestClaimThatNoRunnerWrites(t *testing.T) {
	const ours = `{"Owner":"me","Hold":"x","Executions":1,"StartedOn":"2026-01-01T00:00:00Z"`
	for _, more := range []string{"", `,"Checkpoint":{"Row":7,"Rejected":[{"Token":3,"From":1,"To":2}]}`, `,"Pause":{"Length":60000000000}`} {
		if _, err := run.DecodeClaim([]byte(ours + more + "}")); err != nil {
			t.Errorf("%s: %v", more, err)
		}
	}
	for _, more := range []string{
		`,"Checkpoint":{"Rejected":[{"Token":3,"From":1,"To":9223372036854775807}]}`, `,"Checkpoint":{"Rejected":[{"Token":3,"From":-9223372036854775808,"To":1}]}`,
		`,"Checkpoint":{"Rejected":[{"From":2,"To":1}]}`, `,"Checkpoint":{"Rejected":[` + strings.Repeat(`{"From":1,"To":1000000},`, 9) + `{"From":1,"To":1}]}`,
		`,"Checkpoint":{"Rejected":[{"From":1,"To":1,"Rows":-1}]}`, `,"Checkpoint":{"Row":-1}`, `,"Checkpoint":{"Length":-1}`, `,"Furthest":9223372036854775807`,
		`,"Executions":9223372036854775807`, `,"Tried":-1`, `,"Idle":-5`, `,"Pause":{"Length":9223372036854775807}`, `,"Pause":{"Length":-1}`,
	} {
		if claim, err := run.DecodeClaim([]byte(ours + more + "}")); err == nil {
			t.Errorf("%s is taken for %+v", more, claim)
		}
	}
}

// A chunk of rejected rows unpacks to so much at most.
func TestChunkThatUnpacksToTooMuch(t *testing.T) {
	defer run.SetUnpackedMost(1 << 20)()
	for blanks, fits := range map[int]bool{1 << 10: true, 1 << 20: false} {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		if _, err := zip.Write(append(bytes.Repeat([]byte(" "), blanks), `{"Rows":[{"Row":1}]}`...)); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := run.DecodeRejectedChunk(packed.Bytes()); (err == nil) != fits {
			t.Errorf("behind %d bytes: %v", blanks, err)
		}
	}
}

// Whatever stands in the store is decoded or refused, and what is decoded counts to something that a run has.
func FuzzDecode(f *testing.F) {
	const id, n = task.ID("0f0f0f0f-0000-4000-8000-000000000001"), run.Number(7)
	request := run.Request{Task: id, TaskName: "x", Definition: "x", Trigger: run.Webhook, CreatedOn: time.Unix(1e9, 0)}
	final := run.QueuedDocument(request, n)
	final.End(run.Failed, "x", time.Unix(1e9, 0))
	claim := run.Claim{
		Owner: "me", Hold: "x", Executions: 1, StartedOn: time.Unix(1e9, 0), Pause: &run.Pause{Length: time.Hour, Why: "x"},
		Checkpoint: run.Checkpoint{Row: 7, Rejected: run.RejectedSet{{Token: 3, From: 1, To: 2, Rows: 2}}},
	}
	for _, value := range []any{request, final, claim, run.RejectedChunk{Columns: []string{"a"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"x"}}}}} {
		data, err := json.Marshal(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = run.DecodeRequest(data, id)
		_, _ = run.DecodeRejectedChunk(data)
		for _, decode := range []func([]byte, task.ID, run.Number) (run.Document, error){run.DecodeFinal, run.DecodeLive} {
			if doc, err := decode(data, id, n); err == nil {
				if _, err := doc.Encode(); err != nil {
					t.Error(err)
				}
			}
		}
		claim, err := run.DecodeClaim(data)
		if err != nil {
			return
		}
		doc := run.QueuedDocument(request, n)
		doc.Resume(claim, time.Unix(1e9, 0))
		if _, err := doc.Encode(); err != nil {
			t.Error(err)
		}
		if next := claim.Next("other"); next.Executions < 0 || next.Idle < 0 || next.Checkpoint.Rejected.Chunks() < 0 || next.Checkpoint.Rejected.Chunks() > 1<<20 {
			t.Errorf("it goes on as %+v", next)
		}
	})
}
