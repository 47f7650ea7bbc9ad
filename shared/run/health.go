package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"runhook/shared/task"
)

// Health is how many runs of a task have failed in a row, and whether the task is held for that. It is stored as JSON.
type Health struct {
	// Counted is the sequence of the last event that is counted: each run's end is an event.
	Counted uint64
	// Failed are the runs that failed in a row, at most MaxFailed, in the order in which they ended.
	Failed []Number `json:",omitempty"`
	// Held is nil while the task is not held.
	Held *Hold `json:",omitempty"`
}

// Hold is why a task starts no more runs.
type Hold struct {
	On time.Time
	// TaskName is the task's, as the last run had it.
	TaskName string
	// Failures is how many runs have failed in a row, Run is the last of them, and Why its message.
	Failures int
	Run      Number
	Why      string
	// Told: the event of it is stored.
	Told bool `json:",omitempty"`
}

// HeldEvent is what subscribers are told of a task that is held.
type HeldEvent struct {
	ExecuteID task.ID `json:"ExecuteId"`
	TaskName  string
	HeldSince Time
	// Failures is how many runs have failed in a row, ImportID is the last of them, and Message its message.
	Failures int
	ImportID Number `json:"ImportId"`
	Message  string
}

// Event is the event of a hold.
func (h Hold) Event(id task.ID) HeldEvent {
	return HeldEvent{id, h.TaskName, Time(h.On), h.Failures, h.Run, h.Why}
}

// DecodeHeldEvent reads the event of a hold, as it is stored.
func DecodeHeldEvent(data []byte) (e HeldEvent, err error) {
	if err := json.Unmarshal(data, &e); err != nil {
		return HeldEvent{}, fmt.Errorf("decode the event of a held task: %w", err)
	}
	if e.Failures < 1 || time.Time(e.HeldSince).IsZero() {
		return HeldEvent{}, errors.New("the event of a held task does not say since when it is held, or after how many failures")
	}
	return e, nil
}

// MaxFailed is how many failed runs in a row are counted to.
const MaxFailed = 1000

// maxHoldWhy is how many bytes of a message a hold has.
const maxHoldWhy = 500

// With is the health after a run has ended, and whether it is another one. The task is held when most runs in a row
// have failed. Canceled runs and dry runs say nothing of the task.
func (h Health) With(doc Document, most int, now time.Time) (next Health, changed bool) {
	switch {
	case h.Held != nil, doc.Trigger == DryRun, slices.Contains(h.Failed, doc.ImportID):
		return h, false
	case doc.Outcome() == Success:
		return Health{Counted: h.Counted}, len(h.Failed) > 0
	case doc.Outcome() != Failed:
		return h, false
	}
	h.Failed = append(slices.Clone(h.Failed), doc.ImportID)
	h.Failed = h.Failed[max(0, len(h.Failed)-MaxFailed):]
	if len(h.Failed) >= most {
		h.Held = &Hold{On: now, TaskName: doc.TaskName, Failures: len(h.Failed), Run: doc.ImportID, Why: cutText(doc.Message, maxHoldWhy)}
	}
	return h, true
}

// cutText is a text of at most so many bytes, without half a letter at its end.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// String says why the task is held.
func (h Hold) String() string {
	runs := fmt.Sprintf("its last %d runs failed", h.Failures)
	if h.Failures == 1 {
		runs = "its last run failed"
	}
	text := fmt.Sprintf("%s; run %s: %s", runs, h.Run, h.Why)
	return text
}

// Encode returns the bytes to store.
func (h Health) Encode() ([]byte, error) { return json.Marshal(h) }

// DecodeHealth reads the health of a task.
func DecodeHealth(data []byte) (h Health, err error) {
	if err := json.Unmarshal(data, &h); err != nil {
		return Health{}, fmt.Errorf("decode the health of a task: %w", err)
	}
	if len(h.Failed) > MaxFailed || h.Held != nil && (h.Held.Failures < 1 || h.Held.On.IsZero() || len(h.Held.Why) > maxHoldWhy+len("…") || !utf8.ValidString(h.Held.Why)) {
		return Health{}, errors.New("the health of a task counts to what cannot be, or does not say why the task is held")
	}
	return h, nil
}
