package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/audit"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// Audit keeps who did what, and the receipts of erasures, as long as runs are kept. Its lines are a chain: each has a hash
// of the one before it, so that a line which was changed or removed is found. An ingress may only add lines, and does not
// know the one before: the next line of another process has a hash of them. So it is with the events of tasks that are
// held, which are lines too.
type Audit struct {
	store *jet.Store
	links bool

	mu sync.Mutex
	// last is the last message that is known to be stored, and hash its hash.
	last uint64
	hash string

	keeping sync.Mutex
	// waiting are the lines that are not stored yet, the oldest first. One goroutine stores them, while there are any.
	waiting []*waitingLine
}

// waitingLine is a line on its way to the store.
type waitingLine struct {
	audit.Line
	since time.Time
	// over is closed when the line is stored, or in the log.
	over chan struct{}
}

// Audit keeps lines for a process that may read them.
func (u *Unheld) Audit() *Audit { return &Audit{store: u.store, links: true} }

// Audit keeps lines for a process that may only add some.
func (r *Runs) Audit() *Audit { return &Audit{store: r.store} }

// keptFor is how long a line is tried while the stream has no leader, or NATS is out of reach. A cluster takes about
// ten seconds to find another leader, and longer if it is busy. The stream knows the ids of lines for longer: see
// knownIDs.
var keptFor = time.Minute // longer in tests

const (
	// keptWith is how long the caller of Keep waits for that.
	keptWith = 2 * time.Second
	// manyLines is how many lines may wait before each caller of Keep waits until its own is over.
	manyLines = 1000
)

// Keep keeps a line, in the order of the calls. While a cluster looks for a leader, or NATS is out of reach, it goes on
// without the caller, who waits for two seconds at most. It stores no line twice. A line that cannot be stored is in the log:
// what was done stays done.
func (a *Audit) Keep(_ context.Context, line audit.Line) {
	l := &waitingLine{line, time.Now(), make(chan struct{})}
	a.keeping.Lock()
	a.waiting = append(a.waiting, l)
	waiting := len(a.waiting)
	if waiting == 1 {
		a.store.Late.Go(a.keepAll)
	}
	a.keeping.Unlock()
	if waiting > manyLines {
		<-l.over
		return
	}
	select {
	case <-l.over:
	case <-time.After(keptWith):
	}
}

// keepAll stores the lines that wait until there are none.
func (a *Audit) keepAll() {
	var away error // why the line before was given up, after its time
	for {
		a.keeping.Lock()
		l := a.waiting[0]
		a.keeping.Unlock()
		err := a.keep(l, away)
		if err != nil {
			a.give(l, err)
		}
		if away = nil; jet.Passes(err) {
			away = err
		}
		close(l.over)
		a.keeping.Lock()
		a.waiting = a.waiting[1:]
		over := len(a.waiting) == 0
		a.keeping.Unlock()
		if over {
			return
		}
	}
}

// keep stores a line; it tries again for keptFor, and once more when the process ends. A line that is as old as the one
// before it, which was given up, is given up too: away is why, nil if that one is stored.
func (a *Audit) keep(l *waitingLine, away error) error {
	if err := l.Check(); err != nil {
		return err
	}
	data, err := json.Marshal(l.Line)
	if err != nil {
		return err
	}
	id, pause := rand.Text(), wait.Backoff{Least: 50 * time.Millisecond, Most: time.Second}
	for {
		last := time.Since(l.since) >= keptFor || a.store.Closing.Err() != nil
		if last && away != nil {
			return away
		}
		err := a.try(l, id, data)
		if err == nil || last || !jet.Passes(err) {
			return err
		}
		pause.Wait(a.store.Closing)
	}
}

// try tries once to store a line, under an id that the stream knows again.
func (a *Audit) try(l *waitingLine, id string, data []byte) error {
	open, end := wait.Linger(a.store.Closing, jet.ReadTimeout)
	defer end()
	ctx, cancel := context.WithTimeout(open, jet.WriteTimeout)
	defer cancel()
	return a.add(ctx, jet.AuditSubject(l.What), nats.Header{jetstream.MsgIDHeader: {id}}, data)
}

// give has the whole line in the log, and why.
func (a *Audit) give(l *waitingLine, why error) {
	entry := a.store.Log.Error().Err(why).Time("on", l.On).Str("by", l.By).Str("what", l.What).Str("task", l.Task)
	for _, text := range []struct{ name, text string }{
		{"via", l.Via}, {"address", l.Address}, {"before", l.Before}, {"after", l.After}, {"detail", l.Detail},
	} {
		if text.text != "" {
			entry.Str(text.name, text.text)
		}
	}
	if l.Run > 0 {
		entry.Stringer("run", l.Run)
	}
	if l.Last > 0 {
		entry.Stringer("last", l.Last)
	}
	entry.Msg("a line of the audit was not stored; it is in this log alone")
}

// chainTries is how often others may add a line while one is added.
const chainTries = 50

// add adds a message behind the last one, with its hash.
func (a *Audit) add(ctx context.Context, subject string, header nats.Header, data []byte) error {
	if err := a.store.Writable(); err != nil {
		return err
	}
	msg := &nats.Msg{Subject: subject, Header: header, Data: data}
	if !a.links {
		_, err := a.store.Audit.Publish(ctx, jet.Entry{Msg: msg})
		return jet.Explain(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for try := 1; ; try++ {
		header.Set(jet.HeaderPrevious, a.hash)
		header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(a.last, 10))
		stored, err := a.store.Audit.Publish(ctx, jet.Entry{Msg: msg})
		switch {
		case err == nil && stored.Duplicate: // others may have added lines since
			a.last, a.hash = 0, ""
			return nil
		case err == nil:
			a.last, a.hash = stored.Sequence, hashOf(a.hash, subject, data)
			return nil
		case !jet.Refused(err) || try == chainTries:
			a.last, a.hash = 0, "" // it may have been stored
			return jet.Explain(err)
		}
		if err := a.see(ctx); err != nil {
			return err
		}
	}
}

// see finds the last message.
func (a *Audit) see(ctx context.Context) error {
	info, err := a.store.Audit.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	a.last, a.hash = info.State.LastSeq, ""
	if a.last == 0 {
		return nil
	}
	last, err := a.store.Audit.LeaderAt(ctx, a.last)
	if errors.Is(err, jet.ErrMissing) { // its age
		return nil
	}
	a.hash = hashOf(last.Header.Get(jet.HeaderPrevious), last.Subject, last.Data)
	return err
}

// hashOf is the hash of a message whose own hash of the one before it is previous.
func hashOf(previous, subject string, data []byte) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s\n%s\n", previous, subject) // a hash takes everything
	sum.Write(data)
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// AuditLines are lines of the audit.
type AuditLines struct {
	// Lines are those that were wanted, the newest first.
	Lines []audit.Line
	// Next is the Before of the next page, 0 if there is none. There may be fewer lines than were asked for, or none, and a
	// next page: a call looks at so many only.
	Next uint64
	// Broken are the numbers of lines before which something was changed or removed, of those that were looked at.
	Broken []uint64
}

// auditPage is how many messages are read at a time.
const auditPage = 1000

// auditLooked is how many a call looks at: somebody waits for it, and few of a million may be wanted.
var auditLooked = 20 * auditPage // fewer in tests

// Lines returns the lines that a query wants, the newest first, at most limit.
func (a *Audit) Lines(ctx context.Context, q audit.Query, limit int) (found AuditLines, err error) {
	info, err := a.store.Audit.Info(ctx)
	if err != nil {
		return found, fmt.Errorf("%w: read the audit: %w", run.ErrUnavailable, err)
	}
	below, first := info.State.LastSeq+1, info.State.FirstSeq
	if q.Before > 0 {
		below = min(below, q.Before)
	}
	for looked := 0; below > first; looked += auditPage {
		if looked >= auditLooked {
			found.Next = below
			break
		}
		from := below - min(below, auditPage)
		from = max(from, first)
		page, broken, err := a.page(ctx, from, below, first)
		if err != nil {
			return found, err
		}
		found.Broken = append(found.Broken, broken...)
		for _, line := range slices.Backward(page) {
			if !q.Wants(line) {
				continue
			}
			if len(found.Lines) == limit {
				found.Next = found.Lines[limit-1].Number
				return found, nil
			}
			found.Lines = append(found.Lines, line)
		}
		// The clocks of processes differ.
		if len(page) > 0 && !q.Since.IsZero() && page[0].On.Before(q.Since.Add(-clocksOfServers)) {
			break
		}
		below = from
	}
	return found, nil
}

// page reads the lines with numbers from one on and below another, the oldest first, and where the chain is broken. first
// is the first message that there is: the one before it has passed its age.
func (a *Audit) page(ctx context.Context, from, below, first uint64) (page []audit.Line, broken []uint64, err error) {
	var last uint64
	var hash string
	told := map[string]bool{} // an event may be there twice
	note := func(message jet.Record) {
		sequence := message.Sequence
		previous := message.Header.Get(jet.HeaderPrevious)
		follows := sequence == last+1 && (previous == hash || previous == "" && isAdded(message.Subject))
		if sequence >= from && sequence > first && !follows {
			broken = append(broken, sequence)
		}
		last, hash = sequence, hashOf(previous, message.Subject, message.Data)
		if sequence < from {
			return
		}
		line, err := lineOf(message)
		if err != nil {
			a.store.Audit.PassOver(message, err)
			return
		}
		if isHeld(message.Subject) {
			event := message.Header.Get("ce-id")
			if told[event] {
				return
			}
			told[event] = true
		}
		line.Number = sequence
		page = append(page, line)
	}
	_, err = a.store.Audit.AfterWhile(ctx, ">", max(from, 2)-2, func(message jet.Record) bool {
		if message.Sequence < below {
			note(message)
		}
		return message.Sequence+1 < below
	})
	return page, broken, err
}

// isAdded reports whether a message is of those that are added by who does not know the one before.
func isAdded(subject string) bool {
	return subject == jet.AuditSubject(audit.RunsAgain) || isHeld(subject)
}

// isHeld reports whether a message is the event of a task that is held.
func isHeld(subject string) bool {
	id, ok := strings.CutPrefix(subject, strings.TrimSuffix(jet.HeldTasks, "*"))
	return ok && jet.IsID(id)
}

// lineOf reads a line, or the one of a receipt, or of a task that is held.
func lineOf(message jet.Record) (audit.Line, error) {
	if isHeld(message.Subject) {
		e, err := run.DecodeHeldEvent(message.Data)
		return audit.OfHeld(e), err
	}
	if strings.HasPrefix(message.Subject, strings.TrimSuffix(jet.Receipts, "*")) {
		e, err := run.DecodeErasure(message.Data)
		return audit.OfReceipt(e), err
	}
	line, err := audit.Decode(message.Data)
	if err == nil && jet.AuditSubject(line.What) != message.Subject {
		err = fmt.Errorf("the line is of %s", line.What)
	}
	return line, err
}
