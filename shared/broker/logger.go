package broker

import (
	"fmt"
	"sync"

	"github.com/rs/zerolog"
)

// logger passes the server's warnings and errors on, and keeps a fatal one instead of ending the
// process: Start reports it.
type logger struct {
	log  zerolog.Logger
	mu   sync.Mutex
	last string
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, v ...any) {
	l.log.Warn().Str("part", "nats-server").Msgf(format, v...)
}

func (l *logger) Errorf(format string, v ...any) {
	l.log.Error().Str("part", "nats-server").Msgf(format, v...)
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
