package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
)

// logger passes the server's warnings and errors on, and keeps a fatal one instead of ending the
// process: Start reports it. From what is logged it also learns that the store has stopped taking
// writes: the server tells it nowhere else.
type logger struct {
	log  zerolog.Logger
	mu   sync.Mutex
	last string
	// failed gets the reason when a write has failed.
	failed chan string
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, v ...any) {
	l.log.Warn().Str("part", "nats-server").Msgf(format, v...)
	l.watch(format, v)
}

func (l *logger) Errorf(format string, v ...any) {
	l.log.Error().Str("part", "nats-server").Msgf(format, v...)
	l.watch(format, v)
}

func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = fmt.Sprintf(format, v...)
}

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// forget drops what a server before had to say.
func (l *logger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = ""
	select {
	case <-l.failed:
	default:
	}
}

// watch looks for a write that failed. A stream that had one refuses all further writes until the
// server is started again.
func (l *logger) watch(format string, v []any) {
	latched := strings.Contains(format, "ritical write error") || strings.Contains(format, "will be DISABLED") ||
		strings.Contains(format, "disabling JetStream")
	if !latched && !noRoom(v) {
		return
	}
	select {
	case l.failed <- fmt.Sprintf(format, v...):
	default: // known already
	}
}

// noRoom reports whether one of the values is an error of a disk, a quota or a file that is full.
func noRoom(values []any) bool {
	for _, value := range values {
		if err, ok := value.(error); ok &&
			(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)) {
			return true
		}
	}
	return false
}
