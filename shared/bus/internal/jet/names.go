package jet

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The names of everything in JetStream; no other package knows them.
const (
	RunsStream     = "RUNS"
	EventsStream   = "EVENTS"
	ResultsStream  = "KV_runs"     // final.<task>.<run>, claim.<task>.<run>
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
	Schedules     = "run.schedule.*"
	Results       = "$KV.runs.>"
	Claims        = "$KV.runs.claim.*.*"
	Finals        = "$KV.runs.final.*.*"
	Events        = "run.completed.*"
	Progress      = "$KV.progress.>"
	LiveDocuments = "$KV.progress.*.*"
	Control       = "$KV.control.>"
	Tasks         = "$KV." + TasksBucket + ".>"
	RowChunks     = "$O." + RowsBucket + ".C.>"
	RowMeta       = "$O." + RowsBucket + ".M.>"
)

// FollowedAs is where the server republishes Finals and LiveDocuments.
const FollowedAs = "run.status.{{wildcard(1)}}.{{wildcard(2)}}"

// Single subjects.
const (
	StoreIDSubject = "$KV.control.store"
	// RepairSubject is there while a repair is under way.
	RepairSubject = "$KV.control.repair"
	// RestoredSubject is there in a store that was restored: the last sequence of RUNS that came with the backup.
	RestoredSubject = "$KV.control.restored"
	// SkippedRequests and SkippedResults take the messages that move a stream's sequence on.
	SkippedRequests = "run.schedule.skipped"
	SkippedResults  = "$KV.runs.skipped"
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

// EventsSources are what the events are copied from.
func EventsSources() []*jetstream.StreamSource {
	return []*jetstream.StreamSource{{
		Name: ResultsStream,
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source: Finals, Destination: "run.completed.{{wildcard(1)}}",
		}},
	}}
}

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

// FinalSubject has a run's final document.
func FinalSubject(id task.ID, n run.Number) string {
	return "$KV.runs.final." + string(id) + "." + n.String()
}

// ClaimSubject has a run's claim.
func ClaimSubject(id task.ID, n run.Number) string {
	return "$KV.runs.claim." + string(id) + "." + n.String()
}

// ClaimsOf are the claims of a task's runs.
func ClaimsOf(id task.ID) string { return "$KV.runs.claim." + string(id) + ".*" }

// ClaimedRun is the inverse of ClaimSubject; ok is false for any other subject.
func ClaimedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return runOf(subject, "$KV.runs.claim.")
}

// EndedRun is the inverse of FinalSubject; ok is false for any other subject.
func EndedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return runOf(subject, "$KV.runs.final.")
}

func runOf(subject, prefix string) (id task.ID, n run.Number, ok bool) {
	rest, ok := strings.CutPrefix(subject, prefix)
	if !ok {
		return "", 0, false
	}
	name, number, _ := strings.Cut(rest, ".")
	n, err := run.ParseNumber(number)
	return task.ID(name), n, err == nil && IsID(name) && n.String() == number
}

// FenceSubject covers a run's claim and its final document, so that one compare-and-set spans both.
func FenceSubject(id task.ID, n run.Number) string {
	return "$KV.runs.*." + string(id) + "." + n.String()
}

// ProgressSubject has a run's live document.
func ProgressSubject(id task.ID, n run.Number) string {
	return "$KV.progress." + string(id) + "." + n.String()
}

// FollowSubject is where the server republishes a run's progress and its final document.
func FollowSubject(id task.ID, n run.Number) string {
	return "run.status." + string(id) + "." + n.String()
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
