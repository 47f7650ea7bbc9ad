package run

import "time"

// EndedFields are what expressions over a run that has ended see of its final document, by the document's names.
var EndedFields = []string{
	"ExecuteId", "ImportId", "TaskName", "StatusDescription", "Success", "PercentComplete", "Message",
	"RowCount", "RowsRetrieved", "RowsProcessed", "RowsInserted", "RowsUpdated", "RowsUnchanged", "RowsDeleted", "RowsSkipped", "RowsFailed",
	"CurrentErrorCount", "TotalErrorCount", "CreatedOn", "StartedOn", "CompletedOn", "DurationMs", "ExecutionCount",
	"Trigger", "StartedBy", "RepeatOf", "ScheduledFor", "CorrelationId", "PollingUrl", "RejectedUrl",
}

// Ended are the values of EndedFields, in their order: nil for what is not there.
func (d *Document) Ended() []any {
	moment := func(t *Time) any {
		if t == nil {
			return nil
		}
		return time.Time(*t)
	}
	number := func(n Number) any {
		if n == 0 {
			return nil
		}
		return int64(n)
	}
	var success any
	if d.Success != nil {
		success = *d.Success
	}
	return []any{
		string(d.ExecuteID), int64(d.ImportID), d.TaskName, d.StatusDescription, success, d.PercentComplete, d.Message,
		d.RowCount, d.RowsRetrieved, d.RowsProcessed, d.RowsInserted, d.RowsUpdated, d.RowsUnchanged, d.RowsDeleted, d.RowsSkipped, d.RowsFailed,
		d.CurrentErrorCount, d.TotalErrorCount, moment(&d.CreatedOn), moment(d.StartedOn), moment(d.CompletedOn), d.DurationMs, int64(d.ExecutionCount),
		string(d.Trigger), number(d.StartedBy), number(d.RepeatOf), moment(d.ScheduledFor), d.CorrelationID, d.PollingURL, d.RejectedURL,
	}
}
