// Package seldom logs what a flood can cause: a line of each cause at once, and then one a minute that
// counts what was passed over.
package seldom

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Pause is how long nothing more is logged of a cause.
const Pause = time.Minute

// maxCauses is how many causes are told apart; the others are one.
const maxCauses = 100

// Log is a log that has each cause once a minute at most. It is safe for concurrent use.
type Log struct {
	log zerolog.Logger

	mu sync.Mutex
	// passed counts what was passed over since a cause's last line. A cause is in it until a minute has had none.
	passed map[string]int
}

// New makes a Log of log.
func New(log zerolog.Logger) *Log { return &Log{log: log, passed: map[string]int{}} }

// Line begins a line about a cause. It is nil, which logs nothing, if the cause had one within the last minute:
// then it is counted.
func (l *Log) Line(level zerolog.Level, cause string) *zerolog.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.passed[cause]; !known && len(l.passed) >= maxCauses {
		cause = "others"
	}
	if passed, known := l.passed[cause]; known {
		l.passed[cause] = passed + 1
		return nil
	}
	l.passed[cause] = 0
	time.AfterFunc(Pause, func() { l.count(level, cause) })
	return l.log.WithLevel(level)
}

// count logs how often a cause was passed over in the last minute, and forgets a cause that was not.
func (l *Log) count(level zerolog.Level, cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := l.passed[cause]
	if passed == 0 {
		delete(l.passed, cause)
		return
	}
	l.passed[cause] = 0
	time.AfterFunc(Pause, func() { l.count(level, cause) })
	l.log.WithLevel(level).Str("cause", cause).Int("passed_over", passed).Msg("the same has happened again")
}
