package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// entry is what the index has of a run, or what one message tells of it.
type entry struct {
	number                                run.Number
	task                                  task.ID
	name, trigger, operator               string
	outcome                               Outcome
	created, started, completed           int64
	duration, processed, failed, attempts int64
	repeats, starter                      run.Number
	percent                               float64
	correlation, message                  string
	// requested: the request was read, and parameters are the hashes of its values.
	requested  bool
	parameters []int64
	// shown: the run's row has all but the parameters.
	shown bool
}

// Outcome is how a run has ended, as the index has it.
type Outcome int

// The outcomes.
const (
	Open Outcome = iota
	Success
	Failed
	Canceled
)

// outcomes are the outcomes by the words of documents.
var outcomes = map[run.Outcome]Outcome{run.Success: Success, run.Failed: Failed, run.Canceled: Canceled}

// millis is a moment as the index has it.
func millis(t time.Time) int64 { return t.UnixMilli() }

func millisOf(t *run.Time) int64 {
	if t == nil {
		return 0
	}
	return millis(time.Time(*t))
}

// ofRequest is what a request tells; an error is of what another program has stored in its place.
func ofRequest(kept bus.Kept) (*entry, error) {
	request, err := run.DecodeRequest(kept.Data, kept.Task)
	if err != nil {
		return nil, err
	}
	e := &entry{
		number: kept.Number, task: kept.Task, name: request.TaskName, trigger: string(request.Trigger), operator: request.Operator, repeats: request.RepeatOf, starter: request.StartedBy,
		created: millis(request.CreatedOn), correlation: request.CorrelationID, requested: true,
	}
	if request.DryRun {
		e.trigger = string(run.DryRun)
	}
	for name, value := range request.Parameters {
		for _, text := range value.Values {
			e.parameters = append(e.parameters, hash(name, text))
		}
	}
	return e, nil
}

// hash stands for a parameter and its value: the index holds no values.
func hash(name, value string) int64 {
	sum := sha256.Sum256([]byte(strings.ToLower(name) + "\x00" + value))
	return int64(binary.LittleEndian.Uint64(sum[:8]))
}

// finalFields are those of a final document that the index has.
type finalFields struct {
	ExecuteID         task.ID    `json:"ExecuteId"`
	ImportID          run.Number `json:"ImportId"`
	TaskName          string
	Status            run.Phase
	StatusDescription run.Outcome
	Message           string
	PercentComplete   float64
	RowsProcessed     int64
	RowsFailed        int64
	CreatedOn         run.Time
	StartedOn         *run.Time
	CompletedOn       *run.Time
	DurationMs        int64
	ExecutionCount    int64
	Trigger           run.Trigger
	RepeatOf          run.Number
	StartedBy         run.Number
	CorrelationID     string `json:"CorrelationId"`
}

// errOther is the error of a final document that is not of the run whose place it has.
var errOther = errors.New("it is not the final document of the run")

// ofFinal is what a final document tells. What has no time of its end has that when it was stored.
func ofFinal(kept bus.Kept) (*entry, error) {
	var doc finalFields
	if err := json.Unmarshal(kept.Data, &doc); err != nil {
		return nil, err
	}
	outcome, ended := outcomes[doc.StatusDescription]
	if doc.ExecuteID != kept.Task || doc.ImportID != kept.Number || doc.Status != run.Done || !ended {
		return nil, errOther
	}
	e := doc.entry(outcome)
	if e.completed == 0 {
		e.completed = millis(kept.StoredOn)
	}
	return e, nil
}

func (d *finalFields) entry(outcome Outcome) *entry {
	return &entry{
		number: d.ImportID, task: d.ExecuteID, name: d.TaskName, trigger: string(d.Trigger), outcome: outcome,
		created: millis(time.Time(d.CreatedOn)), started: millisOf(d.StartedOn), completed: millisOf(d.CompletedOn), duration: d.DurationMs,
		processed: d.RowsProcessed, failed: d.RowsFailed, attempts: d.ExecutionCount, percent: d.PercentComplete, repeats: d.RepeatOf, starter: d.StartedBy, correlation: d.CorrelationID, message: d.Message,
	}
}

// ofDocument is ofFinal of a document that the store has told.
func ofDocument(doc *run.Document) *entry {
	fields := finalFields{
		ExecuteID: doc.ExecuteID, ImportID: doc.ImportID, TaskName: doc.TaskName, Message: doc.Message, RowsProcessed: doc.RowsProcessed, RowsFailed: doc.RowsFailed,
		CreatedOn: doc.CreatedOn, StartedOn: doc.StartedOn, CompletedOn: doc.CompletedOn, DurationMs: doc.DurationMs, ExecutionCount: int64(doc.ExecutionCount), PercentComplete: doc.PercentComplete,
		Trigger: doc.Trigger, RepeatOf: doc.RepeatOf, StartedBy: doc.StartedBy, CorrelationID: doc.CorrelationID,
	}
	return fields.entry(outcomes[doc.Outcome()])
}

// add adds what another message tells of the same run. The request decides whose run it is.
func (e *entry) add(other *entry) {
	switch {
	case e.task != other.task && !other.requested:
	case e.task != other.task:
		*e = *other
	case other.requested:
		e.operator, e.repeats, e.starter, e.requested, e.parameters = other.operator, other.repeats, other.starter, true, other.parameters
	default:
		operator, repeats, starter, requested, parameters := e.operator, e.repeats, e.starter, e.requested, e.parameters
		*e = *other
		e.operator, e.requested, e.parameters = operator, requested, parameters
		if requested {
			e.repeats, e.starter = repeats, starter
		}
	}
}
