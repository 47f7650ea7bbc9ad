//go:build chaos

package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"runhook/shared/run"
)

// account holds everything that was seen against everything that is there.
type account struct {
	t        *testing.T
	house    *house
	ledger   *ledger
	witness  *witness
	mischief *mischief
	mode     string
	seed     uint64
	took     time.Duration

	stored stored
	// lost are accepted runs without a final document or without an event; doubled are runs with two
	// events, and keys with two runs.
	lost, doubled int
	// unknown counts the rows whose outcome the site never said, which failed with these words.
	unknown  int64
	tables   []tableAccount
	attempts map[int]int
	outcomes map[string]int
	// givenUp counts the runs that chaos interrupted too often; see wasGivenUp.
	givenUp int
}

// tableAccount is what a destination has against what it should.
type tableAccount struct {
	name             string
	runs             int
	written, want    int64
	missing, doubled int64
}

// settle waits until everything stored has ended, stops the program, compares, and prints.
func (a *account) settle() {
	began := time.Now()
	a.await()
	a.house.phase("all runs end", began)
	began = time.Now()
	a.compareRuns()
	a.compareOverlaps()
	a.house.phase("runs compared", began)
	began = time.Now()
	var stopping sync.WaitGroup
	for _, p := range a.house.services {
		stopping.Go(func() {
			code, took, err := p.end(syscall.SIGTERM, 0)
			if err == nil && code != 0 {
				err = fmt.Errorf("%s ended with the exit code %d, %s after SIGTERM", p.name, code, took)
			}
			if err != nil {
				a.ledger.wrong(0, "%v", err)
			}
		})
	}
	stopping.Wait()
	a.house.phase("services stop", began)
	began = time.Now()
	a.compareRows()
	a.house.phase("rows compared", began)
	a.print()
	if len(a.ledger.wrongs) > 0 {
		a.tell()
		a.t.Fail()
	}
}

// await waits until each stored request has its final document, and each of those its event, and nothing of an erased run
// is back.
func (a *account) await() {
	var err error
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		a.stored, err = a.witness.read(a.t.Context())
		back := a.back()
		ended := 0
		for n := range a.stored.finals {
			if !slices.Contains(back, n) {
				ended++
			}
		}
		all := err == nil && a.witness.eventCount() >= ended
		for n := range a.stored.requests {
			_, has := a.stored.finals[n]
			all = all && (has || slices.Contains(back, n))
		}
		if all && (len(back) == 0 || time.Since(began) > backLimit) { // what is back then is told with the runs
			return
		}
		if !all && time.Since(began) > drainLimit {
			a.ledger.wrong(0, "%s after the last fault there are %d requests, %d final documents, %d events delivered (%v)",
				drainLimit, len(a.stored.requests), len(a.stored.finals), a.witness.eventCount(), err)
			return
		}
	}
}

// compareRuns holds what the clients were told against what the store has.
func (a *account) compareRuns() {
	l := a.ledger
	a.attempts, a.outcomes = map[int]int{}, map[string]int{}
	for _, n := range a.back() {
		l.wrong(n, "it was erased, and the store has something of it")
	}
	for n, e := range l.runs {
		if e.erasing {
			continue
		}
		if request, ok := a.stored.requests[n]; !ok || request.Task != e.work.id || batchOf(request) != e.batch {
			l.wrong(n, "the run was accepted for %s, and what is stored is %+v", e.batch, request)
		}
		final, ok := a.stored.bytes[n]
		switch {
		case !ok:
			a.lost++
			l.wrong(n, "the run was accepted and has no final document")
		case e.final != nil && !bytes.Equal(final, e.final):
			l.wrong(n, "a poll was answered\n%s\nand the final document is\n%s", e.final, final)
		}
	}
	for n, doc := range a.stored.finals {
		a.attempts[doc.ExecutionCount]++
		a.outcomes[doc.StatusDescription]++
		if a.wasGivenUp(&doc) {
			a.givenUp++
		} else if w := a.house.work(doc.ExecuteID); w == nil || !w.ends(&doc, l.mayBeCanceled(n)) {
			l.wrong(n, "%s ended %s: %s", doc.TaskName, doc.StatusDescription, doc.Message)
		}
		switch count := a.stored.events[n]; {
		case l.mayBeErased(n):
		case count == 0:
			a.lost++
			l.wrong(n, "the final document has no event")
		case count > 1:
			a.doubled++
			l.wrong(n, "the final document has %d events", count)
		}
		id := string(doc.ExecuteID) + "." + n.String()
		a.witness.mu.Lock()
		delivered := len(a.witness.events[id])
		a.witness.mu.Unlock()
		// An event that was delivered before it was on the disk gets another place after damage.
		most := 1 + a.mischief.done["torn write"] + a.mischief.done["restore"]
		if delivered < 1 || delivered > most {
			l.wrong(n, "%d events of it were delivered to the integration", delivered)
		}
	}
	for n := range a.stored.events {
		if _, ok := a.stored.finals[n]; !ok && !l.mayBeErased(n) {
			l.wrong(n, "there is an event and no final document")
		}
	}
	for id, count := range a.stored.ids {
		if count > 1 {
			a.doubled++
			l.wrong(0, "the key %s has %d runs", id, count)
		}
	}
	if foreign := l.counted(cancelForeign); foreign > 0 && a.mischief.done["restore"] == 0 {
		l.wrong(0, "%d links to cancel were refused", foreign)
	}
	for key, numbers := range l.keys {
		if len(numbers) > 1 {
			a.doubled++
			l.wrong(0, "the key %s was answered with the runs %v", key, slices.Sorted(maps.Keys(numbers)))
		}
	}
}

// compareOverlaps wants no two runs of a task to have been under way at once, where it says what becomes of a run beside
// another one, and each skipped one to name one that was let in.
func (a *account) compareOverlaps() {
	for _, w := range a.house.works {
		if w.overlap == "" {
			continue
		}
		started, before := 0, run.Document{}
		for _, n := range slices.Sorted(maps.Keys(a.stored.finals)) {
			doc, request := a.stored.finals[n], a.stored.requests[n]
			if doc.ExecuteID != w.id {
				continue
			}
			if request.SkippedFor > 0 && (doc.StartedOn != nil || a.stored.requests[request.SkippedFor].SkippedFor > 0) {
				a.ledger.wrong(n, "it was to be skipped for run %s, and ended %+v", request.SkippedFor, doc)
			}
			if doc.StartedOn == nil {
				continue
			}
			started++
			if before.StartedOn != nil && time.Time(*doc.StartedOn).Before(time.Time(*before.CompletedOn)) {
				a.ledger.wrong(n, "it began at %s, and run %s ended at %s", time.Time(*doc.StartedOn), before.ImportID, time.Time(*before.CompletedOn))
			}
			before = doc
		}
		if started == 0 {
			a.ledger.wrong(0, "no run of %s was started", w.name)
		}
	}
}

func batchOf(r run.Request) string {
	if v, ok := r.Parameters["Batch"]; ok && len(v.Values) == 1 {
		return v.Values[0]
	}
	return ""
}

// compareRows holds what stands in the destinations against what the runs were to write, and the
// counts in their documents against both.
func (a *account) compareRows() {
	l := a.ledger
	erased := l.erasedBatches()
	for _, w := range a.house.works {
		runs := map[string]run.Number{}
		for n, request := range a.stored.requests {
			if request.Task == w.id && !erased[batchOf(request)] {
				runs[batchOf(request)] = n
			}
		}
		if w.name == "feed" {
			a.tables = append(a.tables, a.compareFeed(w, runs))
		}
		if w.table == "" {
			continue
		}
		var rows, again map[string]int64
		if w.table == "site."+panelName {
			rows, again = inPanel(a.house.site)
		} else {
			rows, again = a.house.written(w.table)
		}
		account := tableAccount{name: w.name, runs: len(runs)}
		for batch, n := range runs {
			doc, ended := a.stored.finals[n]
			open := outcomesUnknown(&doc)
			a.unknown += open
			least, most := w.rows-open, w.rows
			if doc.Outcome() == run.Canceled || a.wasGivenUp(&doc) {
				least, most = canceledRows(&doc, w)
			}
			account.want += least
			if rows[batch] < least || rows[batch] > most || again[batch] != 0 {
				l.wrong(n, "%s has %d rows of it, %d of them doubled, and should have %d to %d", w.table, rows[batch], again[batch], least, most)
			}
			account.missing += max(0, least-(rows[batch]-again[batch]))
			if ended && doc.Outcome() == run.Success && (doc.RowsInserted != least && !w.again || doc.RowsRetrieved != w.rows || doc.RowsProcessed != least || doc.RowsFailed != open) {
				l.wrong(n, "its document counts %d rows read, %d processed, %d inserted, %d updated, %d unchanged, %d failed; %d were inserted",
					doc.RowsRetrieved, doc.RowsProcessed, doc.RowsInserted, doc.RowsUpdated, doc.RowsUnchanged, doc.RowsFailed, rows[batch])
			}
		}
		for batch, n := range rows {
			if erased[batch] {
				continue
			}
			account.written += n
			account.doubled += again[batch]
			if _, ok := runs[batch]; !ok {
				l.wrong(0, "%s has %d rows of %s, which is no run", w.table, n, batch)
			}
		}
		a.tables = append(a.tables, account)
	}
	if what := exported(a.house.dir); what != "" {
		l.wrong(0, "%s", what)
	}
}

// wasGivenUp reports whether a run ended because its attempts were interrupted again and again before any got further,
// which chaos did: so many processes were started while it was open, but for one attempt that a pause may have ended.
func (a *account) wasGivenUp(doc *run.Document) bool {
	if doc.Outcome() != run.Failed || !strings.HasPrefix(doc.Message, "Given up after ") || doc.CompletedOn == nil {
		return false
	}
	starts := 0
	for _, p := range a.house.services {
		p.mu.Lock()
		for _, begun := range p.begun {
			if begun.After(time.Time(doc.CreatedOn)) && begun.Before(time.Time(*doc.CompletedOn)) {
				starts++
			}
		}
		p.mu.Unlock()
	}
	return starts >= run.MaxIdle-1
}

// canceledRows are how many rows of a canceled run, or of one that was given up, its destination has: those that its document counts, and where that
// keeps no checkpoint of its own perhaps others.
func canceledRows(doc *run.Document, w *work) (least, most int64) {
	if w.sql {
		return doc.RowsProcessed, doc.RowsProcessed
	}
	return doc.RowsProcessed, w.rows
}

// outcomesUnknown is how many rows of a run failed because the site never said what became of them. Each may be
// there or not.
func outcomesUnknown(doc *run.Document) (rows int64) {
	for _, fault := range doc.Errors {
		if strings.HasPrefix(fault.Message, "outcome unknown") {
			rows++
		}
	}
	return rows
}

// print prints the figures.
func (a *account) print() {
	l := a.ledger
	faults := 0
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(a.mischief.done)) {
		if n := a.mischief.done[name]; n > 0 {
			faults += n
			kinds = append(kinds, fmt.Sprintf("%d %s", n, name))
		}
	}
	var attempts []string
	for _, n := range slices.Sorted(maps.Keys(a.attempts)) {
		attempts = append(attempts, fmt.Sprintf("%d runs in %d", a.attempts[n], n))
	}
	delivered, again := 0, 0
	for _, sequences := range a.witness.events {
		delivered++
		again += len(sequences) - 1
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Printf("\n%s, %s, seed %d\n", a.mode, a.took.Round(time.Second), a.seed)
	row("runs accepted", "%d, and %d stored whose answer was lost", len(l.runs), len(a.stored.requests)+l.counts["erased"]-len(l.runs))
	row("final documents", "%d (%s)", len(a.stored.finals), counted(a.outcomes))
	row("events", "%d stored, %d delivered, %d of them twice", sum(a.stored.events), delivered, again)
	row("lost", "%d", a.lost)
	row("doubled", "%d", a.doubled)
	row("outcome unknown", "%d rows, each of them failed", a.unknown)
	for _, table := range a.tables {
		row("rows of "+table.name, "%d written, %d expected, %d missing, %d doubled", table.written, table.want, table.missing, table.doubled)
	}
	row("attempts", "%s; %d given up", strings.Join(attempts, ", "), a.givenUp)
	row("faults", "%d: %s", faults, strings.Join(kinds, ", "))
	row("POSTs refused", "%d with 503 (%d because the disk was full), %d without an answer; %d accepted after a repeat with their key", l.counts["POST 503"], l.counts[storeFull], l.counts["POST without an answer"], l.counts["accepted after a repeat"])
	row("overlaps", "%d POSTs refused beside an open run, %d because their task was held", l.counts["POST 409: a run is open"], l.counts["POST 409: the task is held"])
	row("cancels", "%d answered with 202, %d after the run had ended, %d with 503, %d without an answer",
		l.counts["cancel 202"], l.counts["cancel 409: the run has ended"], l.counts["cancel 503"], l.counts["cancel without an answer"])
	row("erased", "%d, of which %d are back; %d polls of them were answered otherwise than with 410 for a while", l.counts["erased"], len(a.back()), l.counts[erasedPoll])
	row("polls refused", "%d with 503, %d without an answer, %d answered from memory, %d with fewer rows after an interruption, %d with fewer attempts behind a foreign claim", l.counts["poll 503"], l.counts["poll without an answer"],
		l.counts["poll answered from memory"], l.counts["poll back at the checkpoint"]+l.counts["poll back at the beginning"], l.counts["poll back behind a foreign claim"])
	row("time", "%s", strings.Join(a.house.phases, ", "))
	row("longest outage", "%s for a POST, %s for a poll", l.outages["POST"].Round(100*time.Millisecond), l.outages["poll"].Round(100*time.Millisecond))
	if a.mode == "cluster" {
		row("leader elections", "%d", a.witness.elections)
	}
	row("wrong", "%d", len(l.wrongs))
	_ = out.Flush()
}

func counted(by map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, fmt.Sprintf("%d %s", by[name], name))
	}
	return strings.Join(all, ", ")
}

func sum[K comparable](by map[K]int) (n int) {
	for _, each := range by {
		n += each
	}
	return n
}

// toldRuns is of how many runs that went wrong the whole story is told.
const toldRuns = 3

// tell says what was wrong, and of the first runs that it happened to everything that is known.
func (a *account) tell() {
	kinds := map[string]int{}
	var told []run.Number
	fmt.Printf("\n%d things were wrong:\n", len(a.ledger.wrongs))
	for i, w := range a.ledger.wrongs {
		if i < 100 {
			fmt.Printf("- run %d: %s\n", w.run, w.what)
		}
		kinds[w.what]++
		if w.run != 0 && len(told) < toldRuns && !slices.Contains(told, w.run) {
			told = append(told, w.run)
		}
	}
	fmt.Printf("\nThe faults, seed %d:\n  %s\n", a.seed, strings.Join(a.mischief.story, "\n  "))
	for _, n := range told {
		a.tellRun(n)
	}
}

func (a *account) tellRun(n run.Number) {
	fmt.Printf("\nThe story of run %d\n", n)
	if request, ok := a.stored.requests[n]; ok {
		fmt.Printf("request: %+v\n", request)
	} else {
		fmt.Println("request: none is stored")
	}
	if e := a.ledger.runs[n]; e != nil {
		fmt.Printf("POSTed %s, accepted %s, key %q, batch %s\nseen by its client:\n  %s\n",
			e.posted.Format("15:04:05.000"), e.answered.Format("15:04:05.000"), e.key, e.batch, strings.Join(e.said, "\n  "))
	}
	fmt.Printf("seen on NATS:\n  %s\n", strings.Join(a.witness.notes[n], "\n  "))
	fmt.Printf("final: %s\nevents: %d stored\n", a.stored.bytes[n], a.stored.events[n])
	for _, p := range a.house.services {
		if lines := grep(p.log, fmt.Sprintf(`"run":"%d"`, n)); len(lines) > 0 {
			fmt.Printf("log of %s:\n  %s\n", p.name, strings.Join(lines, "\n  "))
		}
	}
}
