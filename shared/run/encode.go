package run

import (
	"fmt"
	"maps"
	"slices"

	"runhook/shared/task"
)

// The encoders of what every run writes. They give the bytes that encoding/json gives, at a third of
// its cost, and leave to it whatever is not plain. A test holds each to every field of its type.

// Encode returns the document's bytes; for a final document they are stored once and served for ever.
func (d *Document) Encode() ([]byte, error) {
	if d.Errors == nil {
		d.Errors = []RowError{}
	}
	w := newWriter(1024)
	w.text("ExecuteId", string(d.ExecuteID))
	w.unsigned("ImportId", uint64(d.ImportID))
	w.text("TaskName", d.TaskName)
	w.text("Status", string(d.Status))
	w.text("StatusDescription", d.StatusDescription)
	if d.Success == nil {
		w.null("Success")
	} else {
		w.flag("Success", *d.Success)
	}
	w.float("PercentComplete", d.PercentComplete)
	w.text("Message", d.Message)
	w.textIfAny("WaitingFor", d.WaitingFor)
	if d.Waiting != nil {
		w.waiting("Waiting", d.Waiting)
	}
	w.integer("RowCount", d.RowCount)
	w.integer("RowsRetrieved", d.RowsRetrieved)
	w.integer("RowsProcessed", d.RowsProcessed)
	w.integer("RowsInserted", d.RowsInserted)
	w.integer("RowsUpdated", d.RowsUpdated)
	w.integer("RowsUnchanged", d.RowsUnchanged)
	w.integer("RowsDeleted", d.RowsDeleted)
	w.integer("RowsSkipped", d.RowsSkipped)
	w.integer("RowsFailed", d.RowsFailed)
	w.integer("CurrentErrorCount", d.CurrentErrorCount)
	w.integer("TotalErrorCount", d.TotalErrorCount)
	w.rowErrors("Errors", d.Errors)
	w.moment("CreatedOn", &d.CreatedOn)
	w.moment("StartedOn", d.StartedOn)
	w.moment("UpdatedOn", &d.UpdatedOn)
	w.moment("CompletedOn", d.CompletedOn)
	w.integer("DurationMs", d.DurationMs)
	w.integer("ExecutionCount", int64(d.ExecutionCount))
	w.text("Trigger", string(d.Trigger))
	w.unsignedIfAny("RepeatOf", uint64(d.RepeatOf))
	if d.ScheduledFor != nil {
		w.moment("ScheduledFor", d.ScheduledFor)
	}
	w.unsignedIfAny("StartedBy", uint64(d.StartedBy))
	if d.RunAt != nil {
		w.moment("RunAt", d.RunAt)
	}
	w.origins("Parameters", d.Parameters)
	w.text("CorrelationId", d.CorrelationID)
	w.text("PollingUrl", d.PollingURL)
	w.text("RetryAfter", d.RetryAfter)
	if d.CancelRequestedOn != nil {
		w.moment("CancelRequestedOn", d.CancelRequestedOn)
	}
	w.textIfAny("CancelUrl", d.CancelURL)
	w.textIfAny("RejectedUrl", d.RejectedURL)
	data, err := finish(&w, d)
	if err != nil {
		return nil, fmt.Errorf("encode the document of run %s: %w", d.ImportID, err)
	}
	return data, nil
}

// Encode returns the bytes to store.
func (r *Request) Encode() ([]byte, error) {
	w := newWriter(768)
	w.text("Task", string(r.Task))
	w.textIfAny("CalledAs", string(r.CalledAs))
	w.text("TaskName", r.TaskName)
	w.flagIfSet("DryRun", r.DryRun)
	w.flagIfSet("Full", r.Full)
	w.text("Definition", r.Definition)
	if len(r.Parameters) > 0 {
		w.values("Parameters", r.Parameters)
	}
	w.textIfAny("ParameterHash", r.ParameterHash)
	w.textIfAny("Base", r.Base)
	w.text("Trigger", string(r.Trigger))
	w.textIfAny("Operator", r.Operator)
	w.unsignedIfAny("RepeatOf", uint64(r.RepeatOf))
	if c := r.Correction; c != nil {
		w.open("Correction")
		w.unsigned("Of", uint64(c.Of))
		w.text("Key", c.Key)
		w.integer("Chunks", int64(c.Chunks))
		w.integer("Rows", c.Rows)
		w.close()
	}
	w.textIfAny("Overlap", string(r.Overlap))
	w.unsignedIfAny("SkippedFor", uint64(r.SkippedFor))
	w.unsignedIfAny("AloneUpTo", uint64(r.AloneUpTo))
	w.textIfAny("CorrelationID", r.CorrelationID)
	w.textIfAny("TraceParent", r.TraceParent)
	w.textIfAny("WorkflowRunID", r.WorkflowRunID)
	w.integer("RetryAfter", int64(r.RetryAfter))
	w.integerIfAny("StartWithin", int64(r.StartWithin))
	if !r.ScheduledFor.IsZero() {
		w.time("ScheduledFor", r.ScheduledFor)
	}
	w.unsignedIfAny("StartedBy", uint64(r.StartedBy))
	w.integerIfAny("Link", int64(r.Link))
	if !r.RunAt.IsZero() {
		w.time("RunAt", r.RunAt)
	}
	w.time("CreatedOn", r.CreatedOn)
	return finish(&w, r)
}

// Encode returns the bytes to store.
func (c *Claim) Encode() ([]byte, error) {
	w := newWriter(512)
	w.text("Owner", c.Owner)
	w.text("Hold", c.Hold)
	w.integer("Executions", int64(c.Executions))
	w.time("StartedOn", c.StartedOn)
	w.integerIfAny("Idle", int64(c.Idle))
	w.integerIfAny("Furthest", c.Furthest)
	w.flagIfSet("HandedBack", c.HandedBack)
	w.unsignedIfAny("Token", c.Token)
	w.checkpoint("Checkpoint", &c.Checkpoint)
	w.integerIfAny("EarlierErrors", c.EarlierErrors)
	w.integerIfAny("Stood", int64(c.Stood))
	w.integerIfAny("Tried", int64(c.Tried))
	if p := c.Pause; p != nil {
		w.open("Pause")
		w.time("Until", p.Until)
		w.integer("Length", int64(p.Length))
		w.text("Why", p.Why)
		w.integer("Attempts", int64(p.Attempts))
		w.close()
	}
	if s := c.Since; s != nil {
		w.open("Since")
		w.textIfAny("Value", s.Value)
		w.unsignedIfAny("Set", s.Set)
		w.close()
	}
	w.flagIfSet("Erased", c.Erased)
	return finish(&w, c)
}

func (w *writer) waiting(name string, on *Waiting) {
	w.open(name)
	w.text("Kind", string(on.Kind))
	if on.Since != nil {
		w.moment("Since", on.Since)
	}
	w.unsignedIfAny("Run", uint64(on.Run))
	w.integerIfAny("Open", int64(on.Open))
	w.integerIfAny("Ahead", int64(on.Ahead))
	w.textIfAny("Pool", on.Pool)
	w.flagIfSet("Held", on.Held)
	w.textIfAny("Connection", on.Connection)
	w.integerIfAny("Attempt", int64(on.Attempt))
	if on.Until != nil {
		w.moment("Until", on.Until)
	}
	w.textIfAny("By", on.By)
	w.textIfAny("Why", on.Why)
	w.close()
}

func (w *writer) checkpoint(name string, c *Checkpoint) {
	w.open(name)
	w.integerIfAny("Row", c.Row)
	w.open("Counts")
	w.integer("Total", c.Counts.Total)
	w.integer("Retrieved", c.Counts.Retrieved)
	w.integer("Inserted", c.Counts.Inserted)
	w.integer("Updated", c.Counts.Updated)
	w.integer("Unchanged", c.Counts.Unchanged)
	w.integer("Deleted", c.Counts.Deleted)
	w.integer("Skipped", c.Counts.Skipped)
	w.integer("Failed", c.Counts.Failed)
	w.close()
	w.float("Percent", c.Percent)
	if len(c.Errors) > 0 {
		w.rowErrors("Errors", c.Errors)
	}
	w.textIfAny("Source", c.Source)
	w.textIfAny("Mark", c.Mark)
	w.textIfAny("Place", c.Place)
	w.flagIfSet("Writing", c.Writing)
	w.integerIfAny("Length", c.Length)
	w.textIfAny("Highest", c.Highest)
	if len(c.Rejected) > 0 {
		w.openList("Rejected")
		for _, some := range c.Rejected {
			w.element()
			w.unsigned("Token", some.Token)
			w.integer("From", int64(some.From))
			w.integer("To", int64(some.To))
			w.integerIfAny("Rows", some.Rows)
			w.integerIfAny("Bytes", some.Bytes)
			w.close()
		}
		w.closeList()
	}
	w.close()
}

func (w *writer) rowErrors(name string, list []RowError) {
	w.openList(name)
	for i := range list {
		w.element()
		w.integer("Row", list[i].Row)
		w.integerIfAny("Line", list[i].Line)
		w.text("Column", list[i].Column)
		w.text("Message", list[i].Message)
		w.close()
	}
	w.closeList()
}

func (w *writer) origins(name string, origins map[string]ParameterOrigin) {
	if origins == nil {
		w.null(name)
		return
	}
	w.open(name)
	for _, key := range sorted(origins) {
		w.openKey(key)
		w.text("From", string(origins[key].From))
		w.close()
	}
	w.close()
}

func (w *writer) values(name string, values task.Values) {
	w.open(name)
	for _, key := range sorted(values) {
		value := values[key]
		w.openKey(key)
		if len(value.Values) > 0 {
			w.openList("Values")
			for _, text := range value.Values {
				w.comma()
				w.string(text)
			}
			w.closeList()
		}
		w.flagIfSet("Multiple", value.Multiple)
		w.text("From", string(value.From))
		w.close()
	}
	w.close()
}

// sorted returns the keys of a map in the order in which encoding/json writes them.
func sorted[V any](of map[string]V) []string {
	keys := slices.AppendSeq(make([]string, 0, len(of)), maps.Keys(of))
	slices.Sort(keys)
	return keys
}
