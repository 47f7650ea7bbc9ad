package status

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// key names a run.
type key struct {
	id     task.ID
	number run.Number
}

// sighting is what this process has seen of a run. It is never changed, only replaced.
type sighting struct {
	// body is the document as it is answered.
	body       []byte
	phase      run.Phase
	executions int
	percent    float64
	rows       int64
	// retryAfter is the document's, 0 if it has none, and stage is what a better one is made of.
	retryAfter time.Duration
	stage      run.Stage
	// source is the store's document from which one who follows the run has made it; nil for none.
	source []byte

	// The rest is set for a finished run only.
	outcome run.Outcome
	etag    string
	// seenOn is when the store last had the final document.
	seenOn time.Time
}

func (s *sighting) final() bool { return s.phase == run.Done }

// memory is what this process has seen of the runs polled last, so that its answers about a run
// never go backwards, finished runs cost no read, and a poll has an answer while the store is away.
// It is safe for concurrent use.
type memory struct {
	mu   sync.Mutex
	runs *simplelru.LRU[key, *sighting]
}

func newMemory(size int) *memory {
	runs, err := simplelru.NewLRU[key, *sighting](size, nil)
	if err != nil {
		panic(err) // only a size that is not positive is refused
	}
	return &memory{runs: runs}
}

// recall returns what was last seen of a run, nil for nothing.
func (m *memory) recall(k key) *sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen, _ := m.runs.Get(k)
	return seen
}

// forget drops a run whose record is gone.
func (m *memory) forget(k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs.Remove(k)
}

// forgetRuns drops runs by their numbers, which no two runs share.
func (m *memory) forgetRuns(gone func(run.Number) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.runs.Keys() {
		if gone(k.number) {
			m.runs.Remove(k)
		}
	}
}

// note takes what the store says of a run and returns what is to be answered: that, unless
// something newer was seen already. k must not alias a request.
func (m *memory) note(k key, status bus.Status) (*sighting, error) {
	now := newSighting(status)
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.runs.Peek(k); ok {
		if before.newerThan(now) {
			return before, nil
		}
		// A run that was taken over may begin below what its former runner had shown.
		if now.percent < before.percent && !now.final() {
			status.Document.PercentComplete = before.percent
			body, err := status.Document.Encode()
			if err != nil {
				return nil, fmt.Errorf("keep the percentage of run %s: %w", k.number, err)
			}
			now.body, now.percent, now.stage.Percent = body, before.percent, before.percent
		}
	}
	m.runs.Add(k, now)
	return now, nil
}

// keep says from which of the store's documents the answer about a run was made, unless there is a newer answer.
func (m *memory) keep(k key, seen *sighting, source []byte) *sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now, _ := m.runs.Peek(k); now == seen {
		made := *seen
		made.source = source
		seen = &made
		m.runs.Add(k, seen)
	}
	return seen
}

// madeFrom reports whether it was made from that document of the store, the very same.
func (s *sighting) madeFrom(source []byte) bool {
	return len(s.source) > 0 && len(source) > 0 && &s.source[0] == &source[0]
}

// newerThan reports whether s tells of a later moment of the run than other. The clocks of runners
// and of NATS may differ, so no times are compared: within one execution percentage and rows only
// grow, and a later execution is newer though it counts its rows from the start.
func (s *sighting) newerThan(other *sighting) bool {
	switch {
	case s.final() != other.final():
		return s.final()
	case s.executions != other.executions:
		return s.executions > other.executions
	}
	return s.percent > other.percent || s.rows > other.rows
}

// remembered is what is answered of the run while the store cannot be asked: a final document as it
// is, any other with a message that says so.
func (s *sighting) remembered() (*sighting, error) {
	if s.final() {
		return s, nil
	}
	doc, err := run.DecodeDocument(s.body)
	if err != nil {
		return nil, err
	}
	doc.Waiting, doc.WaitingFor = nil, ""
	doc.Message = outOfReach + "; this is what was seen last. Poll again."
	answer := *s
	answer.body, err = doc.Encode()
	return &answer, err
}

// revision names the document: it is another one where that is.
func (s *sighting) revision() string {
	if s.etag != "" {
		return s.etag[1 : len(s.etag)-1]
	}
	hash := sha256.Sum256(s.body)
	return hex.EncodeToString(hash[:16])
}

func newSighting(status bus.Status) *sighting {
	doc := &status.Document
	retryAfter, _ := doc.PollAgain()
	seen := &sighting{
		body: status.Bytes, phase: doc.Status, executions: doc.ExecutionCount,
		percent: doc.PercentComplete, rows: doc.RowsRetrieved, retryAfter: retryAfter, stage: doc.Stage(),
	}
	if seen.final() {
		seen.etag = `"` + seen.revision() + `"`
		seen.outcome, seen.seenOn = doc.Outcome(), time.Now()
	}
	return seen
}
