package jet

import (
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Slice is a stretch of run numbers whose claims and final documents are in one bucket.
type Slice struct{ bucket string }

// Before is the slice of a store that has one bucket for all runs.
var Before = Slice{bucket: "runs"}

// StreamName is the stream behind the slice's bucket.
func (s Slice) StreamName() string { return "KV_" + s.bucket }

// subject is a subject of the bucket: final.<task>.<run>, claim.<task>.<run>, or with wildcards.
func (s Slice) subject(key string) string { return "$KV." + s.bucket + "." + key }

// All is everything in the slice, and Claims and Finals all of one sort.
func (s Slice) All() string { return s.subject(">") }

// Claims are described at All.
func (s Slice) Claims() string { return s.subject("claim.*.*") }

// Finals are described at All.
func (s Slice) Finals() string { return s.subject("final.*.*") }

// Skipped takes the messages that move the stream's sequence on.
func (s Slice) Skipped() string { return s.subject("skipped") }

// FinalSubject has a run's final document.
func (s Slice) FinalSubject(id task.ID, n run.Number) string {
	return s.subject("final." + string(id) + "." + n.String())
}

// ClaimSubject has a run's claim.
func (s Slice) ClaimSubject(id task.ID, n run.Number) string {
	return s.subject("claim." + string(id) + "." + n.String())
}

// FenceSubject covers a run's claim and its final document, so that one compare-and-set spans both.
func (s Slice) FenceSubject(id task.ID, n run.Number) string {
	return s.subject("*." + string(id) + "." + n.String())
}

// ClaimsOf are the claims of a task's runs.
func (s Slice) ClaimsOf(id task.ID) string { return s.subject("claim." + string(id) + ".*") }

// ClaimedRun is the inverse of ClaimSubject; ok is false for any other subject.
func (s Slice) ClaimedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return s.runOf(subject, "claim.")
}

// EndedRun is the inverse of FinalSubject; ok is false for any other subject.
func (s Slice) EndedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return s.runOf(subject, "final.")
}

func (s Slice) runOf(subject, sort string) (id task.ID, n run.Number, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.subject(sort))
	if !ok {
		return "", 0, false
	}
	name, number, _ := strings.Cut(rest, ".")
	n, err := run.ParseNumber(number)
	return task.ID(name), n, err == nil && IsID(name) && n.String() == number
}

// Source has the events copy the slice's final documents.
func (s Slice) Source() *jetstream.StreamSource {
	return &jetstream.StreamSource{
		Name: s.StreamName(),
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source: s.Finals(), Destination: "run.completed.{{wildcard(1)}}",
		}},
	}
}
