//go:build chaos

package chaos

import (
	"fmt"
	"sync"
	"time"

	"runhook/shared/run"
)

// entry is what the clients know of one run.
type entry struct {
	work   *work
	number run.Number
	path   string
	batch  string
	key    string

	// cancel is the address that cancels it, and canceled: somebody has asked there.
	cancel   string
	canceled bool

	// erasing: somebody has asked to erase it, and erased: a service has said that it is gone.
	erasing, erased bool

	posted, answered time.Time
	// final are the bytes of the first 200.
	final []byte
	// overwritten: another program has published in the place of its claim, which said how often it was started.
	overwritten bool
	// said are the last things that happened to it as seen from outside.
	said []string
}

// ledger is the clients' account of everything: what was accepted, what they were told, and what was
// wrong. It is safe for concurrent use.
type ledger struct {
	mu   sync.Mutex
	runs map[run.Number]*entry
	// lost are the batches of POSTs whose answer did not come and that were not repeated: a run of
	// each may be stored or not.
	lost map[string]*work
	// keys are the runs under each idempotency key.
	keys map[string]map[run.Number]bool
	// open counts the accepted runs of each task whose event has not come; over are those whose event has.
	open map[*work]int
	over map[run.Number]bool
	// held are the tasks that nobody POSTs to for now; disabled are those that may refuse it.
	held, disabled map[*work]bool
	// posting counts the POSTs under way, with their repeats.
	posting int
	// wrongs are what must not happen, each with the run that it happened to (0 for none).
	wrongs []wrong
	// counts are by what happened.
	counts map[string]int
	// outages are the longest by who met them.
	outages map[string]time.Duration
}

type wrong struct {
	run  run.Number
	what string
}

func newLedger() *ledger {
	return &ledger{
		runs: map[run.Number]*entry{}, lost: map[string]*work{}, keys: map[string]map[run.Number]bool{},
		open: map[*work]int{}, over: map[run.Number]bool{}, held: map[*work]bool{}, disabled: map[*work]bool{}, counts: map[string]int{}, outages: map[string]time.Duration{},
	}
}

func (l *ledger) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

func (l *ledger) wrong(n run.Number, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	l.wrongs = append(l.wrongs, wrong{n, text})
	if len(l.wrongs) <= 20 {
		fmt.Printf("  WRONG: run %d: %s\n", n, text)
	}
}

// accepted notes the answer to a POST.
func (l *ledger) accepted(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.answered = time.Now()
	if e.key != "" {
		if l.keys[e.key] == nil {
			l.keys[e.key] = map[run.Number]bool{}
		}
		l.keys[e.key][e.number] = true
	}
	if before := l.runs[e.number]; before != nil {
		if before.batch != e.batch {
			l.wrongs = append(l.wrongs, wrong{e.number, "the number was given to two POSTs, " + before.batch + " and " + e.batch})
		}
		return
	}
	l.runs[e.number] = e
	l.counts["accepted"]++
	if !l.over[e.number] { // its event may overtake the answer
		l.open[e.work]++
	}
}

// polled notes the first 200 that a poll of a run got.
func (l *ledger) polled(e *entry, final []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.final == nil {
		e.final = final
	}
}

// happened notes that the event of a run has come.
func (l *ledger) happened(n run.Number) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.runs[n]; e != nil && !l.over[n] {
		l.open[e.work]--
	}
	l.over[n] = true
}

// takes reports whether another run of a task may be started.
func (l *ledger) takes(w *work) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.held[w] && l.open[w] < w.open
}

// hold keeps the clients from starting runs of some tasks, or lets them again.
func (l *ledger) hold(works []*work, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range works {
		l.held[w] = held
	}
}

// disable notes that a task may refuse a POST, or may no more. It returns nil.
func (l *ledger) disable(w *work, disabled bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disabled[w] = disabled
	return nil
}

func (l *ledger) isDisabled(w *work) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disabled[w]
}

// posts notes that a POST begins, or is over.
func (l *ledger) posts(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posting += n
}

// anyOpen is the number of an accepted run of a task that has not ended.
func (l *ledger) anyOpen(w *work) (n run.Number, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, e := range l.runs {
		if e.work == w && !l.over[n] {
			return n, true
		}
	}
	return 0, false
}

// overwrite notes that another program is about to publish in the place of a run's claim.
func (l *ledger) overwrite(n run.Number) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.runs[n]; e != nil {
		e.overwritten = true
	}
}

// cancels notes that a run is about to be canceled.
func (l *ledger) cancels(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.canceled = true
}

// mayBeCanceled reports whether somebody has asked to cancel a run.
func (l *ledger) mayBeCanceled(n run.Number) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.runs[n]
	return e != nil && e.canceled
}

// isOverwritten reports whether another program has published in the place of a run's claim.
func (l *ledger) isOverwritten(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return e.overwritten
}

// quiet reports whether no POST is under way and no accepted run is open.
func (l *ledger) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.posting
	for _, n := range l.open {
		open += n
	}
	return open == 0
}

func (l *ledger) counted(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[what]
}

func (l *ledger) say(e *entry, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.said = append(e.said, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(e.said) > 40 {
		e.said = append(e.said[:5], e.said[len(e.said)-30:]...)
	}
}

// outage measures how long one client goes without an answer that helps it.
type outage struct {
	ledger *ledger
	who    string
	since  time.Time
}

func (o *outage) failed(began time.Time) {
	if o.since.IsZero() {
		o.since = began
	}
}

func (o *outage) over() {
	if o.since.IsZero() {
		return
	}
	took := time.Since(o.since)
	o.since = time.Time{}
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	o.ledger.outages[o.who] = max(o.ledger.outages[o.who], took)
}
