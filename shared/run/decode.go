package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"runhook/shared/task"
)

// The decoders of what is stored. Whoever may publish to the store can put anything in any place, so each
// refuses what does not decode and what is not of the run whose place it has.

// DecodeRequest reads the request of a task's run.
func DecodeRequest(data []byte, id task.ID) (Request, error) {
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("decode a run request: %w", err)
	}
	switch {
	case r.Task != id:
		return r, fmt.Errorf("the run request is of task %q, not %s", r.Task, id)
	case r.TaskName == "", r.Definition == "", r.CreatedOn.IsZero():
		return r, errors.New("the run request lacks TaskName, Definition or CreatedOn")
	case r.Correction != nil && r.Correction.check() != nil:
		return r, fmt.Errorf("decode a run request: %w", r.Correction.check())
	}
	return r, nil
}

// DecodeClaim reads a claim.
func DecodeClaim(data []byte) (Claim, error) {
	var c Claim
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode a claim: %w", err)
	}
	switch {
	case c.Owner == "":
		return c, errors.New("the claim has no Owner")
	case c.Hold == "" && c.StartedOn.IsZero(): // those of former versions have no Hold
		return c, errors.New("the claim has neither a Hold nor a StartedOn")
	case c.Pause != nil && (c.Pause.Length < 0 || c.Pause.Length > longestPause):
		return c, fmt.Errorf("the claim waits for %s", c.Pause.Length)
	}
	if c.Stood < 0 {
		return c, fmt.Errorf("the claim says that the run stood still for %s", c.Stood)
	}
	for _, count := range []int64{int64(c.Executions), int64(c.Idle), int64(c.Tried), c.Furthest, c.Checkpoint.Row, c.Checkpoint.Length} {
		if count < 0 || count > mostCounted {
			return c, fmt.Errorf("the claim counts to %d", count)
		}
	}
	return c, c.Checkpoint.Rejected.Check()
}

const (
	// longestPause is the longest wait between two attempts that a claim may tell.
	longestPause = 30 * 24 * time.Hour
	// mostCounted is the greatest number that is counted to.
	mostCounted = 1 << 53
)

// DecodeDocument reads a status document.
func DecodeDocument(data []byte) (Document, error) {
	var doc Document
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, fmt.Errorf("decode a status document: %w", err)
	}
	return doc, nil
}

// DecodeFinal reads the final document of a run.
func DecodeFinal(data []byte, id task.ID, n Number) (Document, error) {
	doc, err := decodeOf(data, id, n)
	if err != nil {
		return doc, err
	}
	switch doc.Outcome() {
	case Success, Failed, Canceled:
		return doc, nil
	}
	return doc, fmt.Errorf("the document of run %s is not a final one", n)
}

// DecodeLive reads the live document of a run under way.
func DecodeLive(data []byte, id task.ID, n Number) (Document, error) {
	doc, err := decodeOf(data, id, n)
	if err == nil && doc.Status != InProgress {
		err = fmt.Errorf("the document of run %s is not of a run in progress", n)
	}
	return doc, err
}

func decodeOf(data []byte, id task.ID, n Number) (Document, error) {
	doc, err := DecodeDocument(data)
	if err == nil && (doc.ExecuteID != id || doc.ImportID != n) {
		err = fmt.Errorf("the document is of run %s of task %q, not of run %s of task %s", doc.ImportID, doc.ExecuteID, n, id)
	}
	return doc, err
}

// ForeignDocument is the final document of a message among a task's requests that is no run request.
func ForeignDocument(id task.ID, taskName string, n Number, storedOn time.Time) Document {
	doc := QueuedDocument(Request{Task: id, TaskName: taskName, Trigger: Webhook, CreatedOn: storedOn}, n)
	doc.End(Failed, "This is no run that a webhook has accepted: another program published a message to the task's queue, "+
		"and it is not a run request. Nothing was executed", storedOn)
	return doc
}

// UnreadableDocument is the final document of a run that has something else in its place, since then.
func UnreadableDocument(r Request, n Number, since time.Time) Document {
	doc := QueuedDocument(r, n)
	doc.End(Failed, "How this run ended is unknown: another program has overwritten the record of it. "+
		"Look at its destination, and POST again if its rows are not there", since)
	return doc
}
