package jet

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The names of everything in JetStream; no other package knows them.
const (
	RunsStream     = "RUNS"
	EventsStream   = "EVENTS"
	ProgressStream = "KV_progress" // <task>.<run>, in memory
	ControlStream  = "KV_control"  // the store id, single entries besides, cancel.<task>.<run>, pace.<task>, health.<task>, schedule.<task>, since.<task>, chain.<task>, alarm.<task>.<run>, pause.<connection>, and site.<hash>
	KeysStream     = "KV_keys"     // <task>.<hash of an idempotency key>
	TasksBucket    = "tasks"       // <task>, <task>.<sha256>
	TasksStream    = "KV_" + TasksBucket
	RowsBucket     = "rows" // <task>.<run>.<token>.<n>, an object store
	RowsStream     = "OBJ_" + RowsBucket
	AuditStream    = "AUDIT" // run.audit.<what>, run.deleted.<task> and run.held.<task>
)

// Subjects with wildcards: all that a stream takes, or all of one sort.
const (
	Requests      = "run.request.*"
	Events        = "run.completed.*"
	Progress      = "$KV.progress.>"
	LiveDocuments = "$KV.progress.*.*"
	Control       = "$KV.control.>"
	Cancels       = "$KV.control.cancel.*.*"
	Paces         = "$KV.control.pace.*"
	Paused        = "$KV.control.pause.*"
	Healths       = "$KV.control.health.*"
	Timetables    = "$KV.control.schedule.*"
	Chains        = "$KV.control.chain.*"
	Watermarks    = "$KV.control.since.*"
	Erasures      = "$KV.control.erase.*.*"
	Alarms        = "$KV.control.alarm.*.*"
	Audits        = "run.audit.*"
	Receipts      = "run.deleted.*"
	HeldTasks     = "run.held.*"
	Keys          = "$KV.keys.>"
	Tasks         = "$KV." + TasksBucket + ".>"
	TaskRecords   = "$KV." + TasksBucket + ".*"
	Accepted      = "$KV." + TasksBucket + ".*.*" // definitions
	RowChunks     = "$O." + RowsBucket + ".C.>"
	RowMeta       = "$O." + RowsBucket + ".M.>"
)

// FollowedAs is where the server republishes final documents and LiveDocuments.
const FollowedAs = "run.status.{{wildcard(1)}}.{{wildcard(2)}}"

// Followed takes all that is republished.
const Followed = "run.status.*.*"

// AskedConsumers takes what integrations ask for to have consumers of events, AskedConsumer and the consumer's name,
// perhaps followed by a filter.
const (
	AskedConsumers = AskedConsumer + ">"
	AskedConsumer  = "run.consumer."
)

// Sites has whose turn it is at sites, and ToldSites takes word that this has changed.
const (
	Sites     = "$KV.control.site.*"
	ToldSites = "run.site.*"
)

// SiteSubject has whose turn it is at the site of a key.
func SiteSubject(key string) string { return strings.TrimSuffix(Sites, "*") + key }

// ToldSubject takes word that this has changed.
func ToldSubject(key string) string { return strings.TrimSuffix(ToldSites, "*") + key }

// ToldSite is the inverse of ToldSubject.
func ToldSite(subject string) (key string) {
	return strings.TrimPrefix(subject, strings.TrimSuffix(ToldSites, "*"))
}

// Pools takes what is asked of the runners of a pool, whichever.
const Pools = "run.pool.>"

// PoolSubject takes what is asked of the runners of a pool that take runs: who is there answers.
func PoolSubject(pool string) string { return "run.pool." + pool }

// HeldPoolSubject takes what is asked of those that are held.
func HeldPoolSubject(pool string) string { return PoolSubject(pool) + ".held" }

// Single subjects.
const (
	StoreIDSubject = "$KV.control.store"
	// RepairSubject is there while a repair is under way.
	RepairSubject = "$KV.control.repair"
	// LayoutSubject has what RUNS is to say of the layout, where it had one bucket for all runs at first.
	LayoutSubject = "$KV.control.layout"
	// TurnSubject says whether a process is in its turn.
	TurnSubject = "$KV.control.turn"
	// SessionsSubject has who was signed out of the page, and the links that sign in.
	SessionsSubject = "$KV.control.sessions"
	// SkippedRequests takes the messages that move the sequence of RUNS on, and SkippedKeys those that only see
	// whether the bucket of keys takes any.
	SkippedRequests = "run.skipped"
	SkippedKeys     = "$KV.keys.skipped"
)

// What RUNS says of the store in its metadata.
const (
	LeaseKey     = "runhook-lease"
	SyncedKey    = "runhook-synced"
	RetentionKey = "runhook-retention"
	WindowKey    = "runhook-idempotency-window"
	EventsKey    = "runhook-events-retention"
	MaxBytesKey  = "runhook-max-bytes"
	// ConsumersKey has how many consumers RUNS may have.
	ConsumersKey = "runhook-max-consumers"
	// SliceKey and SlicedFromKey have the store's Layout.
	SliceKey      = "runhook-slice"
	SlicedFromKey = "runhook-sliced-from"
	// NumbersKey has the store's Numbers; it is not there in a store that was never restored.
	NumbersKey = "runhook-numbers"
)

const (
	// MadeKey is what EVENTS says in its metadata: the first run number behind all slices that were ever made.
	MadeKey = "runhook-slices-made"
	// SealedKey is what a sealed slice says in its metadata: when its youngest run ended.
	SealedKey = "runhook-sealed"
	// BundledKey is what a sealed slice says in its metadata that has nothing but bundles any more.
	BundledKey = "runhook-bundled"
)

// Headers of our own messages.
const (
	HeaderRejected = "Runhook-Rejected" // the chunks of the rejected rows, on finals
	HeaderPrevious = "Runhook-Previous" // the hash of the message before it, in the audit
	HeaderHold     = "Runhook-Hold"     // the beginning of the random id of whoever wrote it, on finals
	HeaderRunAt    = "Runhook-Run-At"   // when the run is to start, on requests of runs that wait for a time
	HeaderCall     = "Runhook-Call"     // the number of the run whose time has come, on calls
)

// IsAlarm reports whether the message of a request is that of a run that waits for a time.
func (r Record) IsAlarm() bool { return r.Header.Get(HeaderRunAt) != "" }

// IsCall reports whether a message among the requests of a task is a call, which is no request: it puts a run that has
// waited for its time into the task's queue.
func (r Record) IsCall() bool { return r.Header.Get(HeaderCall) != "" }

// Called is the run that a call puts into its task's queue; ok is false for what is none.
func Called(header nats.Header) (n run.Number, ok bool) {
	text := header.Get(HeaderCall)
	if text == "" {
		return 0, false
	}
	n, err := run.ParseNumber(text)
	return n, err == nil
}

// AlarmSubject has a run that waits for a time.
func AlarmSubject(id task.ID, n run.Number) string {
	return strings.TrimSuffix(Alarms, "*.*") + string(id) + "." + n.String()
}

// AlarmsOf takes all of a task.
func AlarmsOf(id task.ID) string { return strings.TrimSuffix(Alarms, "*.*") + string(id) + ".*" }

// AlarmRun is the inverse of AlarmSubject; ok is false for any other subject.
func AlarmRun(subject string) (id task.ID, n run.Number, ok bool) {
	rest, ok := strings.CutPrefix(subject, strings.TrimSuffix(Alarms, "*.*"))
	name, number, _ := strings.Cut(rest, ".")
	n, err := run.ParseNumber(number)
	return task.ID(name), n, ok && err == nil && IsID(name) && n.String() == number
}

// CallMessage is the id of a call. No idempotency key makes the same.
func CallMessage(id task.ID, n run.Number) string { return string(id) + "/call/" + n.String() }

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

// KeySubject has what is known of an idempotency key of the callers of an id. Its hash is short of no bit that
// would matter: nobody finds another key with the same.
func KeySubject(id task.ID, key string) string {
	hash := sha256.Sum256([]byte(key))
	return "$KV.keys." + string(id) + "." + base64.RawURLEncoding.EncodeToString(hash[:16])
}

// ProgressSubject has a run's live document.
func ProgressSubject(id task.ID, n run.Number) string {
	return "$KV.progress." + string(id) + "." + n.String()
}

// FollowSubject is where the server republishes a run's progress and its final document.
func FollowSubject(id task.ID, n run.Number) string {
	return "run.status." + string(id) + "." + n.String()
}

// FollowedOf takes all that is republished of a task's runs.
func FollowedOf(id task.ID) string { return "run.status." + string(id) + ".*" }

// CancelSubject has who wants a run to be canceled.
func CancelSubject(id task.ID, n run.Number) string {
	return "$KV.control.cancel." + string(id) + "." + n.String()
}

// PaceSubject has how long the last runs of a task took.
func PaceSubject(id task.ID) string { return "$KV.control.pace." + string(id) }

// TaskOfPace is the inverse of PaceSubject; ok is false for any other subject.
func TaskOfPace(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$KV.control.pace.")
	return task.ID(rest), ok && IsID(rest)
}

// HealthSubject has how many runs of a task have failed in a row, and why it is held.
func HealthSubject(id task.ID) string { return "$KV.control.health." + string(id) }

// TaskOfHealth is the inverse of HealthSubject; ok is false for any other subject.
func TaskOfHealth(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$KV.control.health.")
	return task.ID(rest), ok && IsID(rest)
}

// TimetableSubject has how far the schedules of a task are dealt with.
func TimetableSubject(id task.ID) string { return strings.TrimSuffix(Timetables, "*") + string(id) }

// TaskOfTimetable is the inverse of TimetableSubject; ok is false for any other subject.
func TaskOfTimetable(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, strings.TrimSuffix(Timetables, "*"))
	return task.ID(rest), ok && IsID(rest)
}

// WatermarkSubject has how far the runs of a task have read its source.
func WatermarkSubject(id task.ID) string { return strings.TrimSuffix(Watermarks, "*") + string(id) }

// TaskOfWatermark is the inverse of WatermarkSubject; ok is false for any other subject.
func TaskOfWatermark(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, strings.TrimSuffix(Watermarks, "*"))
	return task.ID(rest), ok && IsID(rest)
}

// ScheduledMessage is the id of the request that is due at a time by an entry of a task's schedule, counted from 0. No
// idempotency key makes the same.
func ScheduledMessage(id task.ID, due time.Time, entry int) string {
	name := string(id) + "/schedule/" + due.UTC().Format(time.RFC3339)
	if entry > 0 {
		name += "/" + strconv.Itoa(entry+1)
	}
	return name
}

// ChainSubject has how far the ends of a task's runs are dealt with that start runs of other tasks.
func ChainSubject(id task.ID) string { return strings.TrimSuffix(Chains, "*") + string(id) }

// TaskOfChain is the inverse of ChainSubject; ok is false for any other subject.
func TaskOfChain(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, strings.TrimSuffix(Chains, "*"))
	return task.ID(rest), ok && IsID(rest)
}

// ChainedMessage is the id of the request that an entry of then, counted from 0, makes at the end of a run: that of the
// run's event, and the entry.
func ChainedMessage(id task.ID, n run.Number, entry int) string {
	return string(id) + "." + n.String() + "/then/" + strconv.Itoa(entry+1)
}

// EventSubject has the events of a task's runs.
func EventSubject(id task.ID) string { return "run.completed." + string(id) }

// CanceledRun is the inverse of CancelSubject; ok is false for any other subject.
func CanceledRun(subject string) (id task.ID, n run.Number, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$KV.control.cancel.")
	if !ok {
		return "", 0, false
	}
	name, number, _ := strings.Cut(rest, ".")
	n, err := run.ParseNumber(number)
	return task.ID(name), n, err == nil && IsID(name) && n.String() == number
}

// PausedSubject has whether a connection is paused. A name may have any letters.
func PausedSubject(name string) string {
	return strings.TrimSuffix(Paused, "*") + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// PausedConnection is the inverse of PausedSubject; ok is false for any other subject.
func PausedConnection(subject string) (name string, ok bool) {
	key, ok := strings.CutPrefix(subject, strings.TrimSuffix(Paused, "*"))
	decoded, err := base64.RawURLEncoding.DecodeString(key)
	return string(decoded), ok && err == nil && PausedSubject(string(decoded)) == subject
}

// ErasureSubject has an erasure that is under way.
func ErasureSubject(id task.ID, first, last run.Number) string {
	return "$KV.control.erase." + string(id) + "." + first.String() + "-" + last.String()
}

// IsErasure reports whether a subject is one of ErasureSubject.
func IsErasure(subject string) bool {
	rest, ok := strings.CutPrefix(subject, strings.TrimSuffix(Erasures, "*.*"))
	id, span, _ := strings.Cut(rest, ".")
	first, last, _ := strings.Cut(span, "-")
	from, err := run.ParseNumber(first)
	to, lastErr := run.ParseNumber(last)
	return ok && IsID(id) && err == nil && lastErr == nil && ErasureSubject(task.ID(id), from, to) == subject
}

// HeldSubject takes the events of a task that is held.
func HeldSubject(id task.ID) string { return strings.TrimSuffix(HeldTasks, "*") + string(id) }

// AuditSubject takes the lines of an audit about one sort of change.
func AuditSubject(what string) string { return strings.TrimSuffix(Audits, "*") + what }

// ReceiptSubject takes the receipts of erasures of a task.
func ReceiptSubject(id task.ID) string { return strings.TrimSuffix(Receipts, "*") + string(id) }

// rowsSubject is the subject of the message that describes an object of the rejected rows.
func rowsSubject(name string) string {
	return strings.TrimSuffix(RowMeta, ">") + base64.URLEncoding.EncodeToString([]byte(name))
}

// rowsPiece is the subject of the messages with what is in an object of the rejected rows.
func rowsPiece(nuid string) string { return strings.TrimSuffix(RowChunks, ">") + nuid }

// RejectedName is the object that holds a chunk of rejected rows.
func RejectedName(id task.ID, n run.Number, token uint64, chunk int) string {
	return fmt.Sprintf("%s.%s.%d.%d", id, n, token, chunk)
}

// CorrectionName is the object that holds a chunk of corrected rows of a run, which an erasure of the run finds.
func CorrectionName(id task.ID, c run.Correction, chunk int) string {
	return fmt.Sprintf("%s.%s.c%s.%d", id, c.Of, c.Key, chunk)
}

// TaskSubject has what is under a key of the bucket of tasks.
func TaskSubject(key string) string { return strings.TrimSuffix(Tasks, ">") + key }

// TaskKey is the inverse of TaskSubject.
func TaskKey(subject string) string {
	return strings.TrimPrefix(subject, strings.TrimSuffix(Tasks, ">"))
}

// DefinitionKey is the key of a definition in the bucket of tasks.
func DefinitionKey(id task.ID, hash string) string { return string(id) + "." + hash }

// TaskOfEvent is the task whose run an event tells of.
func TaskOfEvent(subject string) task.ID {
	return task.ID(strings.TrimPrefix(subject, "run.completed."))
}
