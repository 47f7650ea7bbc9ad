package run

import (
	"fmt"
	"strings"
	"time"

	"runhook/shared/task"
)

// Phase is a run's Status in its document.
type Phase string

// The phases.
const (
	Queued     Phase = "Q"
	InProgress Phase = "P"
	Done       Phase = "D"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes; each is also the StatusDescription of the final document.
const (
	Success  Outcome = "Success"
	Failed   Outcome = "Failed"
	Canceled Outcome = "Canceled"
)

// MaxListedErrors is how many row errors a document lists.
const MaxListedErrors = 20

// RowError says which row failed, where and why, without the cell's value.
type RowError struct {
	// Row counts the source's data rows from 1; a header does not count.
	Row int64
	// Line is where the row begins in a source that has lines, 0 elsewhere.
	Line int64 `json:",omitempty"`
	// Column is the destination's column, or the source's where the row could not be read; may be empty.
	Column  string
	Message string
}

// PlaceOf names a row in messages, by its number and, unless that is 0, its line.
func PlaceOf(row, line int64) string {
	if line == 0 {
		return fmt.Sprintf("row %d", row)
	}
	return fmt.Sprintf("row %d (line %d)", row, line)
}

// Counts are a run's row counts. At the end of a successful run
// Retrieved = Processed + Skipped + Failed, where Processed = Inserted + Updated + Unchanged + Deleted.
type Counts struct {
	// Total is the source's number of rows, 0 until known.
	Total     int64
	Retrieved int64
	Inserted  int64
	Updated   int64
	Unchanged int64
	Deleted   int64
	Skipped   int64
	Failed    int64
}

// Processed is the number of rows that reached the destination's present state.
func (c Counts) Processed() int64 { return c.Inserted + c.Updated + c.Unchanged + c.Deleted }

// Document is the status document: what a poller gets, byte for byte. The names are those of
// the original product where it publishes one, and ours elsewhere.
type Document struct {
	ExecuteID         task.ID `json:"ExecuteId"`
	ImportID          Number  `json:"ImportId"`
	TaskName          string
	Status            Phase
	StatusDescription string
	Success           *bool
	PercentComplete   float64
	Message           string
	// WaitingFor is what the run waits for, in words, and Waiting the same in parts; empty and nil if it waits for nothing.
	WaitingFor        string   `json:",omitempty"`
	Waiting           *Waiting `json:",omitempty"`
	RowCount          int64
	RowsRetrieved     int64
	RowsProcessed     int64
	RowsInserted      int64
	RowsUpdated       int64
	RowsUnchanged     int64
	RowsDeleted       int64
	RowsSkipped       int64
	RowsFailed        int64
	CurrentErrorCount int64
	TotalErrorCount   int64
	Errors            []RowError
	CreatedOn         Time
	StartedOn         *Time
	UpdatedOn         Time
	CompletedOn       *Time
	DurationMs        int64
	ExecutionCount    int
	Trigger           Trigger
	// RepeatOf is the run whose values the run has; 0 if it is no repeat.
	RepeatOf Number `json:",omitempty"`
	// ScheduledFor is when a schedule had the run due; nil if no schedule started it.
	ScheduledFor *Time `json:",omitempty"`
	// StartedBy is the run whose end has started this one; 0 if none has.
	StartedBy Number `json:",omitempty"`
	// RunAt is when the run was to start; nil for at once.
	RunAt         *Time `json:",omitempty"`
	Parameters    map[string]ParameterOrigin
	CorrelationID string `json:"CorrelationId"`
	PollingURL    string `json:"PollingUrl"`
	RetryAfter    string
	// CancelRequestedOn is when somebody asked to cancel the run; nil if nobody has.
	CancelRequestedOn *Time `json:",omitempty"`
	// CancelURL stands only in the POST's answer. RejectedURL stands in the final document of a run that kept
	// rejected rows, without a signature, and in the POST's answer to those who may read them, with one.
	CancelURL   string `json:"CancelUrl,omitempty"`
	RejectedURL string `json:"RejectedUrl,omitempty"`
}

// ParameterOrigin is what a document says of a parameter: where its value came from, never the value.
type ParameterOrigin struct {
	From task.Origin
}

// Time is a moment in a document: UTC, RFC 3339 with milliseconds.
type Time time.Time

// MarshalJSON writes the moment as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) {
	return append(t.appendTo([]byte{'"'}), '"'), nil
}

func (t Time) appendTo(data []byte) []byte {
	utc := time.Time(t).UTC()
	data = utc.AppendFormat(data, time.RFC3339) // several times as fast as a layout with milliseconds
	ms := utc.Nanosecond() / 1_000_000
	return append(data[:len(data)-1], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
}

// UnmarshalJSON reads any RFC 3339 string.
func (t *Time) UnmarshalJSON(data []byte) error {
	return (*time.Time)(t).UnmarshalJSON(data) // which encoding/json has found to be a value
}

// QueuedDocument is the document of a run that no runner has taken yet, made from its request alone,
// so that every process makes the same one.
func QueuedDocument(r Request, n Number) Document {
	doc := Document{
		ExecuteID: r.Task, ImportID: n, TaskName: r.TaskName,
		Status: Queued, StatusDescription: "Queued", Message: "Waiting for a runner",
		Errors: []RowError{}, CreatedOn: Time(r.CreatedOn), UpdatedOn: Time(r.CreatedOn),
		Trigger: r.Trigger, RepeatOf: r.RepeatOf, StartedBy: r.StartedBy, Parameters: map[string]ParameterOrigin{},
		CorrelationID: r.CorrelationID, PollingURL: r.PollingURL(n),
		RetryAfter: formatClock(r.RetryAfter),
	}
	if r.DryRun {
		doc.Trigger = DryRun
	}
	if !r.ScheduledFor.IsZero() {
		doc.ScheduledFor = new(Time(r.ScheduledFor))
	}
	if !r.RunAt.IsZero() {
		doc.RunAt = new(Time(r.RunAt))
		doc.WaitFor(Waiting{Kind: ForTime, Since: new(doc.CreatedOn), Until: new(*doc.RunAt)})
	}
	if r.SkippedFor > 0 {
		doc.Message = "Ends Canceled at once, because run " + r.SkippedFor.String() + " of the task has not ended (overlap: skip)"
	}
	for name, value := range r.Parameters {
		doc.Parameters[name] = ParameterOrigin{From: value.From}
	}
	return doc
}

// Begin turns a document into that of a run under way.
func (d *Document) Begin(startedOn, now time.Time, executions int) {
	d.Status, d.StatusDescription, d.Message = InProgress, "In progress", "Starting"
	d.Waiting, d.WaitingFor = nil, ""
	d.StartedOn, d.UpdatedOn = new(Time(startedOn)), Time(now)
	d.DurationMs = max(0, now.Sub(startedOn).Milliseconds())
	d.ExecutionCount = executions
}

// Resume turns a queued document into what a claim tells of the run, for the moments when nobody
// can see its live progress. writtenOn is when the claim was written.
func (d *Document) Resume(c Claim, writtenOn time.Time) {
	d.Begin(c.StartedOn, writtenOn, c.Executions)
	d.Message = "Running"
	switch {
	case c.Pause != nil:
		d.Message = c.Pause.Message(c.Tried)
		d.WaitFor(c.Pause.Waiting(c.Tried))
	case c.HandedBack:
		d.WaitFor(Waiting{Kind: ForSlot})
	}
	d.SetCounts(c.Checkpoint.Counts)
	d.PercentComplete = c.Checkpoint.Percent
	d.Errors = append(d.Errors, c.Checkpoint.Errors...)
	d.CurrentErrorCount = c.Checkpoint.Counts.Failed
	d.TotalErrorCount = c.EarlierErrors + d.CurrentErrorCount
}

// End turns a document into the final one. message says why a run failed; it must hold no cell value.
func (d *Document) End(outcome Outcome, message string, now time.Time) {
	d.Status, d.StatusDescription, d.Message = Done, string(outcome), message
	d.Waiting, d.WaitingFor = nil, ""
	d.Success = new(outcome == Success)
	d.UpdatedOn, d.CompletedOn = Time(now), new(Time(now))
	if d.StartedOn != nil {
		d.DurationMs = max(0, now.Sub(time.Time(*d.StartedOn)).Milliseconds())
	}
	if outcome == Success {
		d.PercentComplete = 100
	}
	d.RetryAfter = formatClock(0)
}

// ShowAs makes the document one for a caller of another id of its task: nobody learns an id that they did not
// call.
func (d *Document) ShowAs(called task.ID) {
	from, to := "/"+string(d.ExecuteID)+"/", "/"+string(called)+"/"
	d.PollingURL = strings.Replace(d.PollingURL, from, to, 1)
	d.RejectedURL = strings.Replace(d.RejectedURL, from, to, 1)
	d.ExecuteID = called
}

// NameRejected puts the address of the run's rejected rows into its final document, if any are kept.
func (d *Document) NameRejected(kept RejectedSet) {
	if len(kept) > 0 {
		d.RejectedURL = strings.TrimSuffix(d.PollingURL, "/status") + "/rejected"
	}
}

// WaitsForTime reports whether the run waits for the time at which it is to start.
func (d *Document) WaitsForTime(now time.Time) bool {
	return d.Status == Queued && d.RunAt != nil && time.Time(*d.RunAt).After(now)
}

// SetCounts copies counts into the document's fields.
func (d *Document) SetCounts(c Counts) {
	d.RowCount, d.RowsRetrieved, d.RowsProcessed = c.Total, c.Retrieved, c.Processed()
	d.RowsInserted, d.RowsUpdated, d.RowsUnchanged, d.RowsDeleted = c.Inserted, c.Updated, c.Unchanged, c.Deleted
	d.RowsSkipped, d.RowsFailed = c.Skipped, c.Failed
}

// Outcome is how the run ended, empty while it has not.
func (d *Document) Outcome() Outcome {
	if d.Status != Done {
		return ""
	}
	return Outcome(d.StatusDescription)
}
