package jet

import (
	"encoding/base64"
	"fmt"
	"strings"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The names of everything in JetStream; no other package knows them.
const (
	RunsStream     = "RUNS"
	EventsStream   = "EVENTS"
	ProgressStream = "KV_progress" // <task>.<run>, in memory
	ControlStream  = "KV_control"  // the store id; later: cancel requests
	TasksBucket    = "tasks"       // <task>, <task>.<sha256>
	TasksStream    = "KV_" + TasksBucket
	RowsBucket     = "rows" // <task>.<run>.<token>.<n>, an object store
	RowsStream     = "OBJ_" + RowsBucket
)

// Subjects with wildcards: all that a stream takes, or all of one sort.
const (
	Requests      = "run.request.*"
	Events        = "run.completed.*"
	Progress      = "$KV.progress.>"
	LiveDocuments = "$KV.progress.*.*"
	Control       = "$KV.control.>"
	Tasks         = "$KV." + TasksBucket + ".>"
	RowChunks     = "$O." + RowsBucket + ".C.>"
	RowMeta       = "$O." + RowsBucket + ".M.>"
)

// FollowedAs is where the server republishes final documents and LiveDocuments.
const FollowedAs = "run.status.{{wildcard(1)}}.{{wildcard(2)}}"

// Single subjects.
const (
	StoreIDSubject = "$KV.control.store"
	// RepairSubject is there while a repair is under way.
	RepairSubject = "$KV.control.repair"
	// RestoredSubject is there in a store that was restored: the last sequence of RUNS that came with the backup.
	RestoredSubject = "$KV.control.restored"
	// SkippedRequests takes the messages that move the sequence of RUNS on.
	SkippedRequests = "run.skipped"
)

// What RUNS says of the store in its metadata.
const (
	LeaseKey     = "runhook-lease"
	SyncedKey    = "runhook-synced"
	RetentionKey = "runhook-retention"
	WindowKey    = "runhook-idempotency-window"
	MaxBytesKey  = "runhook-max-bytes"
	// ConsumersKey has how many consumers RUNS may have.
	ConsumersKey = "runhook-max-consumers"
	// NumbersKey has the store's Numbers; it is not there in a store that was never restored.
	NumbersKey = "runhook-numbers"
)

// Headers of our own messages.
const (
	HeaderRejected = "Runhook-Rejected" // the chunks of the rejected rows, on finals
	HeaderHold     = "Runhook-Hold"     // the random id of whoever wrote it, on finals
)

// RequestSubject takes the requests of a task.
func RequestSubject(id task.ID) string { return "run.request." + string(id) }

// TaskOfRequest is the inverse of RequestSubject; ok is false for any other subject.
func TaskOfRequest(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, "run.request.")
	return task.ID(rest), ok && IsID(rest)
}

// IsID reports whether a token of a subject, or a key, is the id of a task.
func IsID(token string) bool {
	id, err := task.ParseID(token)
	return err == nil && string(id) == token
}

// ProgressSubject has a run's live document.
func ProgressSubject(id task.ID, n run.Number) string {
	return "$KV.progress." + string(id) + "." + n.String()
}

// FollowSubject is where the server republishes a run's progress and its final document.
func FollowSubject(id task.ID, n run.Number) string {
	return "run.status." + string(id) + "." + n.String()
}

// rowsSubject is the subject of the message that describes an object of the rejected rows.
func rowsSubject(name string) string {
	return strings.TrimSuffix(RowMeta, ">") + base64.URLEncoding.EncodeToString([]byte(name))
}

// RejectedName is the object that holds a chunk of rejected rows.
func RejectedName(id task.ID, n run.Number, token uint64, chunk int) string {
	return fmt.Sprintf("%s.%s.%d.%d", id, n, token, chunk)
}

// DefinitionKey is the key of a definition in the bucket of tasks.
func DefinitionKey(id task.ID, hash string) string { return string(id) + "." + hash }

// TaskOfEvent is the task whose run an event tells of.
func TaskOfEvent(subject string) task.ID {
	return task.ID(strings.TrimPrefix(subject, "run.completed."))
}
