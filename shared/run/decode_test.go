package run_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"runhook/shared/run"
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
