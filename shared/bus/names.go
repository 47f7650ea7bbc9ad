package bus

import (
	"fmt"
	"strings"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The names of everything in JetStream; no other package knows them.
const (
	runsStream     = "RUNS"
	eventsStream   = "EVENTS"
	runsBucket     = "KV_runs"     // final.<task>.<run>, claim.<task>.<run>
	progressBucket = "KV_progress" // <task>.<run>, in memory
	controlBucket  = "KV_control"  // the store id; later: cancel requests
	tasksBucket    = "tasks"       // <task>, <task>.<sha256>
	tasksStream    = "KV_" + tasksBucket
	rowsBucket     = "rows" // <task>.<run>.<token>.<n>, an object store
	rowsStream     = "OBJ_" + rowsBucket

	storeIDSubject = "$KV.control.store"
	// repairSubject is there while a repair is under way.
	repairSubject = "$KV.control.repair"
	// restoredSubject is there in a store that was restored: the last sequence of RUNS that came with the backup.
	restoredSubject = "$KV.control.restored"
)

func requestSubject(id task.ID) string { return "run.request." + string(id) }

// taskOfRequest is the inverse of requestSubject; ok is false for any other subject.
func taskOfRequest(subject string) (id task.ID, ok bool) {
	rest, ok := strings.CutPrefix(subject, "run.request.")
	return task.ID(rest), ok
}

func finalSubject(id task.ID, n run.Number) string {
	return "$KV.runs.final." + string(id) + "." + n.String()
}

func claimSubject(id task.ID, n run.Number) string {
	return "$KV.runs.claim." + string(id) + "." + n.String()
}

// fenceSubject covers a run's claim and its final document, so that one compare-and-set spans both.
func fenceSubject(id task.ID, n run.Number) string {
	return "$KV.runs.*." + string(id) + "." + n.String()
}

func progressSubject(id task.ID, n run.Number) string {
	return "$KV.progress." + string(id) + "." + n.String()
}

// followSubject is where the server republishes a run's progress and its final document.
func followSubject(id task.ID, n run.Number) string {
	return "run.status." + string(id) + "." + n.String()
}

// rejectedName is the object that holds a chunk of rejected rows.
func rejectedName(id task.ID, n run.Number, token uint64, chunk int) string {
	return fmt.Sprintf("%s.%s.%d.%d", id, n, token, chunk)
}

// Headers of our own messages.
const (
	headerParameters = "Runhook-Parameters" // hash of the resolved parameters, on requests
	headerRejected   = "Runhook-Rejected"   // the chunks of the rejected rows, on finals
	headerSubject    = "Nats-Subject"       // set by the server on republished messages
)
