package broker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"

	"runhook/shared/seldom"
)

// logger passes the server's warnings and errors on, and keeps a fatal one instead of ending the
// process: Start reports it. From what is logged it also learns that the store has stopped taking
// writes: the server tells it nowhere else.
type logger struct {
	log zerolog.Logger
	// clients has what is said of connections: whoever reaches the port can cause as much of it as they like.
	clients *seldom.Log
	mu      sync.Mutex
	last    string
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

func newLogger(log zerolog.Logger) *logger {
	log = log.With().Str("part", "nats-server").Logger()
	return &logger{log: log, clients: seldom.New(log), failed: make(chan string, 1)}
}

// Warnf passes a warning on, except for the one that each start causes (see forgetCopied).
func (l *logger) Warnf(format string, v ...any) {
	if !strings.Contains(format, "Sourcing state is outdated") {
		l.pass(zerolog.WarnLevel, format, v)
	}
}

func (l *logger) Errorf(format string, v ...any) { l.pass(zerolog.ErrorLevel, format, v) }

// ofClient begins what the server says of a connection. What follows has names and bytes that the client has sent.
var ofClient = regexp.MustCompile(`^(\S+) - [a-z]id(?:_ws)?:\d+ - (?:"(?:[^"\\]|\\.)*" - )*([A-Za-z ]*)`)

// pass passes a line on, of clients seldom. From one of a client nothing is learned.
func (l *logger) pass(level zerolog.Level, format string, v []any) {
	text := fmt.Sprintf(format, v...)
	if of := ofClient.FindStringSubmatch(text); of != nil {
		cause := "a NATS client: " + strings.ToLower(strings.TrimSpace(cmp.Or(of[2], "an error")))
		l.clients.Line(zerolog.WarnLevel, cause).Str("client", of[1]).Msg("a client of the NATS port was refused or cut off: " + limited(text))
		return
	}
	l.log.WithLevel(level).Msg(text)
	l.watch(text, v)
}

// limited is as much of a text as a line of the log may have of what a client has sent.
func limited(text string) string {
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
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
func (l *logger) watch(text string, v []any) {
	latched := strings.Contains(text, "ritical write error") || strings.Contains(text, "will be DISABLED") ||
		strings.Contains(text, "disabling JetStream")
	if !latched && !noRoom(v) {
		return
	}
	select {
	case l.failed <- text:
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
