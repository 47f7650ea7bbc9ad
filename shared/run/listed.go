package run

import "runhook/shared/task"

// Listed is a run in a list: what a list shows of its document, under the document's names, and what only an
// administrator sees.
type Listed struct {
	ExecuteID         task.ID `json:"ExecuteId"`
	ImportID          Number  `json:"ImportId"`
	TaskName          string
	Status            Phase
	StatusDescription string
	Success           *bool
	PercentComplete   float64
	Message           string
	// WaitingFor is what a run that has not ended waits for, as its document has it.
	WaitingFor     string `json:",omitempty"`
	RowsProcessed  int64
	RowsFailed     int64
	CreatedOn      Time
	StartedOn      *Time
	CompletedOn    *Time
	DurationMs     int64
	ExecutionCount int
	Trigger        Trigger
	// Operator is the name of the admin token with which the run was started; empty if there was none.
	Operator string `json:",omitempty"`
	// RepeatOf is the run whose values the run has; 0 if it is no repeat.
	RepeatOf Number `json:",omitempty"`
	// StartedBy is the run whose end has started this one; 0 if none has.
	StartedBy     Number `json:",omitempty"`
	CorrelationID string `json:"CorrelationId"`
}

// Listed is the document in a list.
func (d *Document) Listed() Listed {
	return Listed{
		ExecuteID: d.ExecuteID, ImportID: d.ImportID, TaskName: d.TaskName, Status: d.Status, StatusDescription: d.StatusDescription,
		Success: d.Success, PercentComplete: d.PercentComplete, Message: d.Message, WaitingFor: d.WaitingFor, RowsProcessed: d.RowsProcessed, RowsFailed: d.RowsFailed,
		CreatedOn: d.CreatedOn, StartedOn: d.StartedOn, CompletedOn: d.CompletedOn, DurationMs: d.DurationMs, ExecutionCount: d.ExecutionCount,
		Trigger: d.Trigger, RepeatOf: d.RepeatOf, StartedBy: d.StartedBy, CorrelationID: d.CorrelationID,
	}
}

// Outcome is how the run ended, empty while it has not.
func (l *Listed) Outcome() Outcome {
	if l.Status != Done {
		return ""
	}
	return Outcome(l.StatusDescription)
}
