package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// restored are the streams that the server has recovered.
	restored map[string]bool
	// failed gets the reason when a write has failed.
	failed chan string
}

// Noticef drops a notice; of a stream that is recovered it learns its name.
func (l *logger) Noticef(format string, v ...any) {
	if strings.HasPrefix(strings.TrimSpace(format), "Restored ") && len(v) == 4 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.restored[fmt.Sprint(v[2])] = true
	}
}

func (l *logger) Debugf(string, ...any) {}
func (l *logger) Tracef(string, ...any) {}

// Warnf passes a warning on, except for the one that each start causes (see forgetCopied).
func (l *logger) Warnf(format string, v ...any) {
	if strings.Contains(format, "Sourcing state is outdated") {
		return
	}
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

// recovered are the streams that the server has recovered so far.
func (l *logger) recovered() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.restored))
}

// forget drops what a server before had to say.
func (l *logger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.restored = "", map[string]bool{}
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
