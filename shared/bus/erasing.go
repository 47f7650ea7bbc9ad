package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// An erasure is written down before its first step, and each step finds what is left of it, so whoever does it may end
// between any two. The request goes last, because it tells that there is something to do. Once everything is gone it
// is looked at again, when all of it is on the disks of all servers: a power cut can bring a message back. Then the
// receipt alone stays.
//
// Of a run whose slice takes runs, a claim stays that nobody can take, in the place of the final document: a request
// that is delivered again would be executed again else. It goes when the slice is sealed, which takes no claim then.
// Of a slice that is sealed and not bundled yet, the bundles are waited for.

// errNotYet: what is left of an erasure has to wait for something that comes by itself.
var errNotYet = errors.New("the erasure has to wait")

const (
	// erasedTogether is how many runs are erased before the erasure says how far it is.
	erasedTogether = 64
	// erasedAtOnce is how many of them are erased at the same time.
	erasedAtOnce = 4
	// clocksOfServers is how far the clocks of the servers may be apart that store a final document and its event.
	clocksOfServers = time.Minute
	// copiedLate is how late an event may be stored that is looked for where its final document is gone.
	copiedLate = 10 * time.Minute
	// mostOverwritten is how many runs are overwritten together at most: for each message the server writes a file anew,
	// and others wait for that.
	mostOverwritten = 200
)

// leftTo is how long whoever does an erasure may be silent before another process goes on.
var leftTo = 10 * time.Second // shorter in tests

// askedFor is how long it is looked for whether an erasure was written down whose acknowledgement did not come.
const askedFor = 10 * time.Second

// AskErase writes down that runs are to be erased, which [Unheld.Erase] does, and returns the erasure that stands:
// another one of the same runs, if there is one. With an error it may stand only if nobody could be asked for long
// whether it does.
func (u *Unheld) AskErase(ctx context.Context, e run.Erasure) (stands run.Erasure, err error) {
	e.Holder, e.Replicated = u.store.Process, u.store.Replicated
	stands, err = u.askErase(ctx, e)
	pause := wait.Backoff{Least: 100 * time.Millisecond, Most: time.Second}
	for began := time.Now(); errors.Is(err, errUnacknowledged) && time.Since(began) < askedFor && pause.Wait(ctx); {
		var again error
		if stands, again = u.askErase(ctx, e); !jet.Passes(again) { // it stands, if it was written down
			err = again
		}
	}
	return stands, err
}

// askErase is AskErase once.
func (u *Unheld) askErase(ctx context.Context, e run.Erasure) (stands run.Erasure, err error) {
	subject := jet.ErasureSubject(e.Task, e.First, e.Last)
	_, err = u.writeErasure(ctx, e, 0)
	if err == nil || !jet.Refused(err) {
		return e, err
	}
	stored, err := u.store.Control.LeaderLast(ctx, subject)
	if err != nil {
		return e, err
	}
	if stands, err = run.DecodeErasure(stored.Data); err != nil {
		u.store.Control.PassOver(stored, err)
		_, err = u.writeErasure(ctx, e, stored.Sequence)
		return e, err
	}
	return stands, nil
}

// errUnacknowledged: an erasure may have been written down.
var errUnacknowledged = errors.New("no acknowledgement came")

// writeErasure writes an erasure in the place of the one with a sequence, 0 for none.
func (u *Unheld) writeErasure(ctx context.Context, e run.Erasure, inPlaceOf uint64) (sequence uint64, err error) {
	if err := u.store.Writable(); err != nil {
		return 0, err
	}
	data, err := e.Encode()
	if err != nil {
		return 0, fmt.Errorf("encode an erasure: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	ack, err := u.store.JS.Publish(ctx, jet.ErasureSubject(e.Task, e.First, e.Last), data, jetstream.WithExpectLastSequencePerSubject(inPlaceOf))
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, jet.As(errUnacknowledged, jet.Explain(err))
	}
	if err != nil {
		return 0, jet.Explain(err)
	}
	u.store.Erasing.Ring()
	return ack.Sequence, nil
}

// IsErasureDue reports whether Erase has something to do about an erasure now: it does nothing about one that another
// process is at, and looks again at one that is done once all of it is on the disks of all servers.
func (u *Unheld) IsErasureDue(of Erasing) bool {
	if of.DoneOn != nil {
		return time.Since(of.seen) >= u.store.Settled
	}
	return of.Holder == u.store.Process || time.Since(of.seen) >= leftTo
}

// Erase goes on with an erasure of the view if it is this process's to do: it removes what is left, writes the receipt,
// and looks again after a while. done reports that this call has removed everything, as e says, for the first time. run.ErrUnavailable
// means that it goes on later.
func (u *Unheld) Erase(ctx context.Context, view *Erasures, of Erasing) (e run.Erasure, done bool, err error) {
	w := erasing{Unheld: u, Erasing: of}
	switch {
	case !u.IsErasureDue(of):
		return w.Erasure, false, nil
	case of.DoneOn != nil:
		return w.Erasure, false, w.settle(ctx, view)
	}
	w.Holder = u.store.Process
	if err = w.note(ctx); err == nil {
		err = w.all(ctx)
	}
	if err == nil {
		done, err = w.end(ctx)
	}
	if jet.Refused(err) || errors.Is(err, errNotYet) { // another process goes on with it, or it does later
		return w.Erasure, false, nil
	}
	return w.Erasure, done && err == nil, err
}

// erasing does an erasure.
type erasing struct {
	*Unheld
	Erasing

	// found counts what this process has found and removed.
	found atomic.Int64
	// rows are the objects of rejected rows, and events the sequences of events, by run: as far as read is.
	rows   map[string][]string
	live   map[string]uint64
	events map[run.Number][]uint64
	read   uint64
	copied jet.Copies
	noted  time.Time
}

// step is where tests end the process.
func (w *erasing) step(name string) error {
	if w.store.Interrupt == nil {
		return nil
	}
	return w.store.Interrupt(name)
}

// note says how far the erasure is, and that it goes on.
func (w *erasing) note(ctx context.Context) (err error) {
	w.sequence, err = w.writeErasure(ctx, w.Erasure, w.sequence)
	w.noted = time.Now()
	return err
}

// all removes all that is left.
func (w *erasing) all(ctx context.Context) error {
	numbers, err := w.numbers(ctx)
	if err != nil || len(numbers) == 0 {
		return err
	}
	if w.rows, err = w.store.RowObjects(ctx); err != nil {
		return err
	}
	info, err := w.store.Progress.Info(ctx, jetstream.WithSubjectFilter(jet.LiveDocuments))
	if err != nil && !absent(err) { // it is in memory: a server that was restarted has none until it is made again
		return jet.Explain(err)
	}
	if err == nil {
		w.live = info.State.Subjects
	}
	var later error
	for slice, of := range w.bySlice(numbers) {
		err := w.slice(ctx, slice, of)
		if errors.Is(err, errNotYet) {
			later = err
			continue
		}
		if err != nil {
			return err
		}
	}
	return later
}

// numbers are the runs that may have something left: those that have a request or, of one run, that one.
func (w *erasing) numbers(ctx context.Context) (numbers []run.Number, err error) {
	if w.IsOne() {
		return []run.Number{w.First}, nil
	}
	all, err := requestsOf(ctx, w.store, w.Task, w.First, w.Last)
	for _, request := range all {
		if w.Has(request.number) {
			numbers = append(numbers, request.number)
		}
	}
	return numbers, err
}

// aged is a run with the time at which it was accepted.
type aged struct {
	number run.Number
	at     time.Time
}

// requestsOf are the runs of an id between two numbers whose requests are stored, by their numbers.
func requestsOf(ctx context.Context, s *jet.Store, id task.ID, first, last run.Number) (all []aged, err error) {
	from, below := s.Numbers.Upto(first-min(first, 1))+1, s.Numbers.Upto(last)+1
	info, err := s.Runs.Info(ctx)
	if err != nil {
		return nil, jet.Explain(err)
	}
	note := func(request jet.Record) error {
		if request.Sequence >= below {
			return jet.ErrEnough
		}
		if request.IsCall() { // it says nothing of its run but the number
			return nil
		}
		all = append(all, aged{s.Numbers.Of(request.Sequence), request.Time})
		return nil
	}
	if below > info.State.FirstSeq {
		err = s.Runs.Scan(ctx, jet.Range{
			Subjects: []string{jet.RequestSubject(id)}, HeadersOnly: true,
			From: from,
		}, note)
		if err != nil {
			return nil, jet.Explain(err)
		}
	}
	if err = s.Requests(ctx, from, below, []task.ID{id}, note); err != nil { // some may be in both for a while
		return nil, err
	}
	slices.SortFunc(all, func(a, b aged) int { return int(int64(a.number) - int64(b.number)) })
	return slices.CompactFunc(all, func(a, b aged) bool { return a.number == b.number }), nil
}

// bySlice are runs by the slices that they are in.
func (w *erasing) bySlice(numbers []run.Number) map[jet.Slice][]run.Number {
	of := map[jet.Slice][]run.Number{}
	for _, n := range numbers {
		slice := w.store.Layout.SliceOf(n)
		of[slice] = append(of[slice], n)
	}
	return of
}

// slice erases runs of a slice.
func (w *erasing) slice(ctx context.Context, slice jet.Slice, numbers []run.Number) error {
	results, err := w.store.Open(ctx, slice)
	if errors.Is(err, run.ErrRunGone) {
		return nil // with all that it had
	}
	if err != nil {
		return err
	}
	info, err := results.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	_, sealed := results.See(info.Config)
	bundled := jet.IsBundled(info.Config)
	if sealed && !bundled && !slice.IsBefore() {
		return errNotYet
	}
	var later error
	for some := range slices.Chunk(numbers, erasedTogether) {
		begun := time.Now()
		if bundled {
			// The runs of one bundle at a time, which is written once.
			some = slices.Clone(some)
			for len(some) > 0 {
				end := slices.IndexFunc(some, func(n run.Number) bool { return results.BundleSubject(n) != results.BundleSubject(some[0]) })
				if end < 0 {
					end = len(some)
				}
				if err := w.ofBundle(ctx, results, some[:end]); err != nil {
					return err
				}
				some = some[end:]
			}
		} else if err := w.ofOpen(ctx, results, some); errors.Is(err, errNotYet) {
			later = err
		} else if err != nil {
			return err
		}
		if w.DoneOn == nil && time.Since(w.noted) > leftTo/4 { // if they were counted before
			if err := w.note(ctx); err != nil {
				return err
			}
		}
		if len(numbers) > erasedTogether { // others use the store too
			wait.For(ctx, min(time.Since(begun), time.Second))
		}
	}
	return later
}

// ofOpen erases some runs of a slice that has no bundles.
func (w *erasing) ofOpen(ctx context.Context, results *jet.Results, numbers []run.Number) (err error) {
	if w.copied, err = w.store.Copied(ctx); err != nil {
		return err
	}
	finals := make([]jet.Record, len(numbers))
	err = w.each(numbers, func(i int, n run.Number) (err error) {
		finals[i], err = results.LeaderLast(ctx, results.FinalSubject(w.Task, n))
		if errors.Is(err, jet.ErrMissing) {
			err = nil
		}
		return err
	})
	if err == nil {
		err = w.findEvents(ctx, finals[0].Time)
	}
	if err != nil {
		return err
	}
	if w.IsOne() && w.isUncopied(results, finals[0]) {
		return errNotYet
	}
	err = w.countFirst(ctx, numbers, func(i int, n run.Number) (had run.Removed, err error) {
		request := true // it has told of the run
		if w.IsOne() {
			record, err := w.requestInRuns(ctx, n)
			if err != nil {
				return had, err
			}
			request = record.Sequence > 0
		}
		return w.had(n, request, finals[i].Sequence > 0, w.isUncopied(results, finals[i])), nil
	})
	if err != nil {
		return err
	}
	err = w.each(numbers, func(i int, n run.Number) error { return w.run(ctx, results, n, finals[i]) })
	if err != nil {
		return err
	}
	// One that was sealed in between may have bundled what has just gone.
	info, err := results.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	if _, sealed := results.See(info.Config); sealed && !results.IsBefore() {
		return errNotYet
	}
	return nil
}

// isUncopied reports whether the event of a final document is about to come.
func (w *erasing) isUncopied(results *jet.Results, final jet.Record) bool {
	return final.Sequence > 0 && !results.IsSealed() && !w.copied.Has(results.StreamName(), final.Sequence)
}

// countFirst counts what there is of some runs, and writes that down before the first of it goes: the receipt says the same
// whoever comes to the end of it. Runs that were counted before are not counted again.
func (w *erasing) countFirst(ctx context.Context, numbers []run.Number, of func(i int, n run.Number) (run.Removed, error)) error {
	slice := w.store.Layout.SliceOf(numbers[0])
	place := slices.IndexFunc(w.Counted, func(n run.Number) bool { return w.store.Layout.SliceOf(n) == slice })
	last := numbers[len(numbers)-1]
	if w.DoneOn != nil || place >= 0 && w.Counted[place] >= last {
		return nil
	}
	had := make([]run.Removed, len(numbers))
	err := w.each(numbers, func(i int, n run.Number) (err error) {
		if place < 0 || w.Counted[place] < n {
			had[i], err = of(i, n)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, one := range had {
		w.Removed.Add(one)
	}
	if place < 0 {
		w.Counted = append(slices.Clone(w.Counted), last)
	} else {
		w.Counted = slices.Clone(w.Counted)
		w.Counted[place] = last
	}
	return w.note(ctx)
}

// had is what there is of a run; with coming, its event is about to come.
func (w *erasing) had(n run.Number, request, final, coming bool) run.Removed {
	had := run.Removed{Events: len(w.events[n]), RejectedChunks: len(w.rows[string(w.Task)+"."+n.String()])}
	if request {
		had.Runs, had.Requests = 1, 1
	}
	if final {
		had.FinalDocuments = 1
	}
	if coming {
		had.Events = max(had.Events, 1)
	}
	return had
}

// each does something with some runs, several at the same time, and returns what went wrong first.
func (w *erasing) each(numbers []run.Number, do func(i int, n run.Number) error) error {
	places, failed := make(chan int), make([]error, len(numbers))
	var working sync.WaitGroup
	for range min(erasedAtOnce, len(numbers)) {
		working.Go(func() {
			for i := range places {
				failed[i] = do(i, numbers[i])
			}
		})
	}
	for i := range numbers {
		places <- i
	}
	close(places)
	working.Wait()
	later := error(nil)
	for _, err := range failed {
		if errors.Is(err, errNotYet) {
			later = err
		} else if err != nil {
			return err
		}
	}
	return later
}

// run erases a run whose slice has no bundles.
func (w *erasing) run(ctx context.Context, results *jet.Results, n run.Number, final jet.Record) error {
	if w.isUncopied(results, final) {
		return errNotYet // its event is about to come
	}
	if err := w.around(ctx, n); err != nil {
		return err
	}
	if err := w.fence(ctx, results, n); err != nil {
		return err
	}
	if err := w.step("final"); err != nil {
		return err
	}
	if final.Sequence > 0 {
		erased, err := results.Erase(ctx, final.Sequence, w.Overwritten)
		if err != nil {
			return err
		}
		w.count(erased)
	}
	erased, err := w.request(ctx, n)
	w.count(erased)
	return err
}

// requestInRuns is the request of a run that RUNS has; the zero Record for none.
func (w *erasing) requestInRuns(ctx context.Context, n run.Number) (jet.Record, error) {
	sequence := w.store.Numbers.Sequence(n)
	if sequence == 0 {
		return jet.Record{}, nil
	}
	request, err := w.store.Runs.LeaderAt(ctx, sequence)
	if errors.Is(err, jet.ErrMissing) {
		return jet.Record{}, nil
	}
	if id, ok := jet.TaskOfRequest(request.Subject); err == nil && (!ok || id != w.Task || request.IsCall()) {
		return jet.Record{}, nil
	}
	return request, err
}

// request erases the request of a run from RUNS, and reports whether it was there.
func (w *erasing) request(ctx context.Context, n run.Number) (erased bool, err error) {
	request, err := w.requestInRuns(ctx, n)
	if err != nil || request.Sequence == 0 {
		return false, err
	}
	if err := w.corrected(ctx, request); err != nil {
		return false, err
	}
	if err := w.step("key"); err != nil {
		return false, err
	}
	if err := w.key(ctx, n, request.Header.Get(jetstream.MsgIDHeader), request.Time); err != nil {
		return false, err
	}
	if err := w.step("request"); err != nil {
		return false, err
	}
	return w.store.Runs.Erase(ctx, request.Sequence, w.Overwritten)
}

// corrected erases the corrected rows that a request names. They lie beside the failed rows of another run.
func (w *erasing) corrected(ctx context.Context, request jet.Record) error {
	decoded, err := run.DecodeRequest(request.Data, w.Task)
	if err != nil || decoded.Correction == nil { // a request that cannot be read names none
		return nil
	}
	c := *decoded.Correction
	for chunk := 1; chunk <= c.Chunks; chunk++ {
		name := jet.CorrectionName(w.Task, c, chunk)
		if !slices.Contains(w.rows[string(w.Task)+"."+c.Of.String()], name) {
			continue
		}
		erased, err := w.store.EraseRows(ctx, name, w.Overwritten)
		if err != nil {
			return err
		}
		w.count(erased)
	}
	return nil
}

// around erases what is beside a run's request and final document: failed rows, progress, a request to cancel, events.
func (w *erasing) around(ctx context.Context, n run.Number) error {
	if err := w.step("rows"); err != nil {
		return err
	}
	for _, name := range w.rows[string(w.Task)+"."+n.String()] {
		erased, err := w.store.EraseRows(ctx, name, w.Overwritten)
		if err != nil {
			return err
		}
		w.count(erased)
	}
	if err := w.step("progress"); err != nil {
		return err
	}
	if subject := jet.ProgressSubject(w.Task, n); w.live[subject] > 0 {
		if err := w.store.Progress.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return jet.Explain(err)
		}
	}
	if w.IsOne() { // of others it is settled within seconds
		if _, err := w.store.Control.EraseSubject(ctx, jet.CancelSubject(w.Task, n), w.Overwritten); err != nil {
			return err
		}
	}
	if err := w.step("event"); err != nil {
		return err
	}
	for _, sequence := range w.events[n] {
		erased, err := w.store.Events.Erase(ctx, sequence, w.Overwritten)
		if err != nil {
			return err
		}
		w.count(erased)
	}
	return nil
}

// findEvents finds the events of the runs, and later those that came since. ended is when the run ended, if it is one and
// has its final document yet. Of one run there is one event, soon after its end: of a task with many runs all others
// would have to be read.
func (w *erasing) findEvents(ctx context.Context, ended time.Time) error {
	if w.IsOne() && w.events != nil {
		return nil
	}
	since := time.Unix(0, 0)
	if w.IsOne() && w.EndedOn == nil && !ended.IsZero() { // which whoever goes on with it is not told again
		w.EndedOn = &ended
		if err := w.note(ctx); err != nil {
			return err
		}
	}
	if w.EndedOn != nil {
		since = w.EndedOn.Add(-clocksOfServers)
	}
	note := func(event jet.Record) {
		n, err := run.ParseNumber(event.Header.Get("ce-subject"))
		if err != nil { // another program has written it, maybe in the place of ours
			var doc run.Document
			doc, err = run.DecodeDocument(event.Data)
			n = doc.ImportID
		}
		if err == nil && w.Has(n) {
			w.events[n] = append(w.events[n], event.Sequence)
		}
	}
	more := func(event jet.Record) bool {
		note(event)
		late := ended.IsZero() && w.EndedOn != nil && event.Time.After(w.EndedOn.Add(copiedLate))
		return !w.IsOne() || len(w.events) == 0 && !late
	}
	subject := jet.EventSubject(w.Task)
	var err error
	if w.events == nil {
		w.events = map[run.Number][]uint64{}
		var first jet.Record
		if first, err = w.store.Events.LeaderSince(ctx, subject, since); err == nil {
			w.read, err = w.store.Events.AfterWhile(ctx, subject, first.Sequence-1, more)
		}
	}
	for err == nil && (!w.IsOne() || len(w.events) == 0) { // what a replica lacks, or has come since
		var next jet.Record
		if next, err = w.store.Events.LeaderFollowing(ctx, subject, w.read+1); err == nil {
			w.read = next.Sequence
			if !more(next) {
				break
			}
		}
	}
	if errors.Is(err, jet.ErrMissing) {
		return nil
	}
	return err
}

// fence erases the claim of a run, and writes the one that stays in its place.
func (w *erasing) fence(ctx context.Context, results *jet.Results, n run.Number) error {
	if err := w.step("claim"); err != nil {
		return err
	}
	subject := results.ClaimSubject(w.Task, n)
	claim, err := results.LeaderLast(ctx, subject)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return err
	}
	if state, err := run.DecodeClaim(claim.Data); err == nil && state.Erased {
		return nil
	}
	if claim.Sequence > 0 && w.Overwritten {
		if _, err := results.Erase(ctx, claim.Sequence, true); err != nil {
			return err
		}
	}
	if err := w.step("fence"); err != nil {
		return err
	}
	state := run.ErasedClaim()
	data, err := state.Encode()
	if err != nil {
		return err
	}
	fence := results.FenceSubject(w.Task, n)
	last, err := results.LeaderLast(ctx, fence)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return err
	}
	header := nats.Header{}
	header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(last.Sequence))
	header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, fence)
	_, err = results.Publish(ctx, jet.Entry{Msg: &nats.Msg{Subject: subject, Data: data, Header: header}, Fence: fence})
	if jet.Refused(err) || errors.Is(err, jet.ErrSealed) { // it is looked at again
		return errNotYet
	}
	return jet.Explain(err)
}

// ofBundle erases runs of one bundle.
func (w *erasing) ofBundle(ctx context.Context, results *jet.Results, numbers []run.Number) error {
	kept, ok, err := results.Bundled(ctx, numbers[0])
	if err != nil {
		return err
	}
	var ended time.Time
	if ok && kept.Final.Task != "" {
		ended = time.Unix(0, kept.Final.Time)
	}
	if err := w.findEvents(ctx, ended); err != nil {
		return err
	}
	isOurs := func(kept jet.Bundled) bool {
		return kept.Request.Task == string(w.Task) || kept.Request.Task == "" && kept.Final.Task == string(w.Task)
	}
	err = w.countFirst(ctx, numbers, func(_ int, n run.Number) (run.Removed, error) {
		kept, ok, err := results.Bundled(ctx, n)
		if err != nil {
			return run.Removed{}, err
		}
		had := w.had(n, ok && kept.Request.Task != "" && isOurs(kept), ok && kept.Final.Task != "" && isOurs(kept), false)
		if ok && isOurs(kept) {
			had.Runs = 1
		}
		return had, nil
	})
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := w.around(ctx, n); err != nil {
			return err
		}
		kept, ok, err := results.Bundled(ctx, n)
		if err != nil {
			return err
		}
		if ok && kept.Request.Task == string(w.Task) {
			if err := w.key(ctx, n, kept.Request.Note, time.Unix(0, kept.Request.Time)); err != nil {
				return err
			}
		}
		if _, err := w.request(ctx, n); err != nil { // those of a slice leave RUNS some time after they are bundled
			return err
		}
	}
	if err := w.roomFor(ctx, results); err != nil {
		return err
	}
	if err := w.step("bundle"); err != nil {
		return err
	}
	had, err := results.Rewrite(ctx, numbers[0], func(kept jet.Bundled) bool {
		return slices.Contains(numbers, kept.Number) && isOurs(kept)
	}, w.Overwritten)
	w.count(len(had) > 0)
	return err
}

// roomFor sees to it that a slice that is bundled takes another bundle: its bound is what it has.
func (w *erasing) roomFor(ctx context.Context, results *jet.Results) error {
	info, err := results.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	next := info.Config
	if next.MaxBytes <= 0 || int64(info.State.Bytes)+bundlesLeast <= next.MaxBytes {
		return nil
	}
	next.MaxBytes = int64(info.State.Bytes) + bundlesLeast
	_, err = w.store.JS.UpdateStream(ctx, next)
	return jet.Explain(err)
}

// key has the idempotency key of a request say that its run was erased, so that it starts no second one.
func (w *erasing) key(ctx context.Context, n run.Number, message string, storedOn time.Time) error {
	k, ok := keyOfMessage(message)
	if !ok {
		return nil
	}
	r := &Runs{store: w.store}
	held, err := r.heldKey(ctx, k)
	if err != nil || held.revision == 0 || held.passed || held.Run != 0 && held.Run != n || held.Erased {
		return err
	}
	if held.Since.IsZero() {
		held.Since = storedOn
	}
	held.Run, held.Erased = n, true
	if _, err = r.writeKey(ctx, k, held.keyEntry, held.revision); jet.Refused(err) {
		return errNotYet // another process has noted something of it
	}
	return err
}

// count counts what was found and is removed.
func (w *erasing) count(one bool) {
	if one {
		w.found.Add(1)
	}
}

// end writes the receipt, and that the erasure is done. An erasure that is done again, as one that a killed server has
// back, has its receipt: first is false then.
func (w *erasing) end(ctx context.Context) (first bool, err error) {
	if err := w.step("receipt"); err != nil {
		return false, err
	}
	before, found, err := w.receiptBefore(ctx)
	if err != nil {
		return false, err
	}
	w.Holder, w.Counted = "", nil
	if found {
		w.Removed, w.DoneOn = before.Removed, before.DoneOn
	} else {
		now := time.Now().UTC()
		w.DoneOn = &now
		if err := w.receipt(ctx); err != nil {
			return false, err
		}
	}
	if err := w.step("done"); err != nil {
		return false, err
	}
	return !found, w.note(ctx)
}

// receiptBefore is the receipt of the erasure that is stored, as the leader has it.
func (w *erasing) receiptBefore(ctx context.Context) (before run.Erasure, found bool, err error) {
	subject := jet.ReceiptSubject(w.Task)
	more := func(record jet.Record) bool {
		e, err := run.DecodeErasure(record.Data)
		if err == nil && e.First == w.First && e.Last == w.Last && e.On.Equal(w.On) && e.DoneOn != nil {
			before, found = e, true
		}
		return !found
	}
	next, err := w.store.Audit.LeaderSince(ctx, subject, w.On.Add(-clocksOfServers))
	if err == nil {
		var last uint64
		last, err = w.store.Audit.AfterWhile(ctx, subject, next.Sequence-1, more)
		for err == nil && !found { // what a replica lacks
			if next, err = w.store.Audit.LeaderFollowing(ctx, subject, last+1); err == nil {
				last = next.Sequence
				more(next)
			}
		}
	}
	if errors.Is(err, jet.ErrMissing) {
		err = nil
	}
	return before, found, err
}

// receipt stores the receipt, once where it is stored again at once.
func (w *erasing) receipt(ctx context.Context) error {
	data, err := w.Encode()
	if err != nil {
		return fmt.Errorf("encode a receipt: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	header := nats.Header{}
	header.Set("ce-specversion", "1.0")
	header.Set("ce-id", fmt.Sprintf("%s.%s-%s.deleted.%d", w.Task, w.First, w.Last, w.On.UnixNano()))
	header.Set("ce-source", "/"+w.store.ID+"/task/"+string(w.Task))
	header.Set("ce-type", "runhook.run.deleted")
	header.Set("ce-time", w.DoneOn.Format(time.RFC3339Nano))
	header.Set("content-type", "application/json")
	return w.Audit().add(limited, jet.ReceiptSubject(w.Task), header, data)
}

// settle looks again at an erasure that is done and due, and forgets it if nothing has come back.
func (w *erasing) settle(ctx context.Context, view *Erasures) error {
	err := w.all(ctx)
	if errors.Is(err, errNotYet) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.found.Load() > 0 {
		w.store.Log.Warn().Stringer("first_run", w.First).Stringer("last_run", w.Last).Str("task", w.TaskName).
			Msg("something of runs that were erased had come back, as after a power cut; it was erased again")
		if err := w.note(ctx); !jet.Refused(err) {
			return err
		}
		return nil // another process has seen it too
	}
	if _, err := w.store.Control.Erase(ctx, w.sequence, false); err != nil {
		return err
	}
	view.forget(w.Erasing)
	return nil
}

// AwaitErased waits until an erasure of the view is done, or until ctx ends, and returns how far it is then.
func (v *Erasures) AwaitErased(ctx context.Context, e run.Erasure) run.Erasure {
	for {
		changed := v.Changed()
		if now, ok := v.Of(e.Task, e.First, e.Last); ok {
			e = now
		}
		if e.DoneOn != nil {
			return e
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return e
		}
	}
}

// TooMany is the error of an erasure that would leave out more runs than one can.
type TooMany struct{ Open int }

func (t *TooMany) Error() string {
	return fmt.Sprintf("%d runs of the task have not ended, and an erasure leaves out %d at most", t.Open, run.MostLeft)
}

// Erasable is the erasure of those runs of an id that were accepted before a moment, have a number from one on, and have
// ended: with keep, before that moment too. It has no First if there are none. Without keep it
// names all others too that were accepted before that moment. rest is the lowest number of the id that it
// leaves.
func (u *Unheld) Erasable(ctx context.Context, id task.ID, from run.Number, before time.Time, keep bool) (e run.Erasure, rest run.Number, err error) {
	if rest, err = u.store.Next(ctx); err != nil {
		return e, 0, jet.Explain(err)
	}
	all, err := requestsOf(ctx, u.store, id, max(from, 1), rest)
	if err != nil {
		return e, 0, err
	}
	info, err := queueOf(ctx, u.store, id)
	if err != nil {
		return e, 0, err
	}
	count := 0
	var left []run.Number
	for _, request := range all {
		if !request.at.Before(before) {
			rest = min(rest, request.number)
			continue
		}
		goes, err := u.mayGo(ctx, id, request.number, info, before, keep)
		if err != nil {
			return e, 0, err
		}
		if !goes {
			rest = min(rest, request.number)
			left = append(left, request.number)
			continue
		}
		if e.First == 0 {
			e.First = request.number
		}
		e.Last = request.number
		count++
	}
	e.Task, e.Before, e.Overwritten = id, &before, !keep && count <= mostOverwritten
	if e.First == 0 {
		return e, rest, nil
	}
	if !keep {
		e.Name(left)
		if open := len(e.Between()); open > run.MostLeft {
			return e, 0, &TooMany{open}
		}
		return e, rest, nil
	}
	e.Left = left
	if e.Left = e.Between(); len(e.Left) > run.MostLeft {
		e.Last = e.Left[run.MostLeft] - 1
		e.Left = e.Left[:run.MostLeft]
	}
	return e, rest, nil
}

// mayGo reports whether a run has ended and, with keep, has before a moment. queue is its queue, nil if that is gone.
func (u *Unheld) mayGo(ctx context.Context, id task.ID, n run.Number, queue *jetstream.ConsumerInfo, before time.Time, keep bool) (bool, error) {
	if !keep && queue != nil && u.store.Numbers.Sequence(n) <= queue.AckFloor.Stream {
		return true, nil
	}
	if !keep {
		return u.Ended(ctx, id, n)
	}
	results, err := u.store.ResultsOf(ctx, n)
	var final jet.Record
	if err == nil {
		final, err = results.Final(ctx, id, n)
		if errors.Is(err, jet.ErrMissing) {
			final, err = results.LeaderFinal(ctx, id, n)
		}
	}
	switch {
	case err == nil:
		return final.Time.Before(before), nil
	case errors.Is(err, run.ErrRunGone):
		return true, nil
	case errors.Is(err, jet.ErrMissing):
		return u.Ended(ctx, id, n) // it is sealed and has lost its final document, or was begun to be erased
	}
	return false, err
}

// Receipts passes the receipts of erasures that were done since a moment to each, the oldest first.
func (u *Unheld) Receipts(ctx context.Context, since time.Time, each func(run.Erasure)) error {
	first, err := u.store.Audit.LeaderSince(ctx, jet.Receipts, since)
	if errors.Is(err, jet.ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = u.store.Audit.After(ctx, jet.Receipts, first.Sequence-1, func(record jet.Record) {
		if e, err := run.DecodeErasure(record.Data); err == nil {
			each(e)
		}
	})
	return err
}

// ErasureOf is the erasure that has erased a run or is about to, the newest one, for callers who only have the number of
// a run that has no request any more. ok is false where that is not known: of many runs it is if all numbers between the
// first and the last were their task's, and else as long as the run's slice takes runs.
func (u *Unheld) ErasureOf(ctx context.Context, view *Erasures, n run.Number) (e run.Erasure, ok bool, err error) {
	var all []run.Erasure
	note := func(e run.Erasure) {
		if e.Has(n) {
			all = append(all, e)
		}
	}
	if err := u.Receipts(ctx, time.Unix(0, 0), note); err != nil {
		return e, false, err
	}
	done := len(all)
	for _, of := range view.All() { // which may not know of the end of one that has its receipt
		same := func(e run.Erasure) bool { return e.First == of.First && e.Last == of.Last && e.On.Equal(of.On) }
		if !slices.ContainsFunc(all[:done], same) {
			note(of.Erasure)
		}
	}
	for _, e := range slices.Backward(all) {
		if ok, err = u.hasErased(ctx, e, n); ok || err != nil {
			return e, ok, err
		}
	}
	return e, false, nil
}

// hasErased reports whether a run is known to be of an erasure that has its number.
func (u *Unheld) hasErased(ctx context.Context, e run.Erasure, n run.Number) (bool, error) {
	if e.IsOne() || e.Removed.Runs == int(e.Last-e.First)+1-len(e.Between()) {
		return true, nil
	}
	results, err := u.store.ResultsOf(ctx, n)
	var claim jet.Record
	if err == nil {
		claim, err = results.LeaderLast(ctx, results.ClaimSubject(e.Task, n))
	}
	if errors.Is(err, jet.ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	state, err := run.DecodeClaim(claim.Data)
	return err == nil && state.Erased, nil
}
