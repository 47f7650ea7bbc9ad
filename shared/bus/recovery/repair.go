package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// Repair looks for damage in the files of a store that only this process uses, such as a last block
// that a power cut or a broken disk has cut short, says what is missing, and makes it safe to go on:
//
//   - No run number, fencing token or position in the events is given out twice: where the end of a
//     stream is lost, its sequence is moved past everything that anybody may have seen of it.
//   - Final documents that are lost and have their copy in the events are taken back from there, and
//     events that are lost are copied again from the final documents.
//   - A run that was acknowledged and has no final document left is ended as Failed: it had ended, and
//     to execute it again could do everything twice. What was not acknowledged is executed again.
//
// cutOff is, by stream, what the server found unreadable. unsynced says that the last moments may be lost
// without a trace, since files can end where a message does: then the sequences are moved on and runs
// without an end are looked for in any case. Else a store without damage costs a few reads.
func Repair(ctx context.Context, b *bus.Bus, cutOff map[string]int64, unsynced bool) error {
	s := storeOf(b)
	if err := s.look(ctx); err != nil {
		return fmt.Errorf("look for the slices of runs: %w", err)
	}
	found, err := s.damage(ctx, cutOff, unsynced)
	if err != nil {
		return fmt.Errorf("look for damage in the store: %w", err)
	}
	if found.noEvents {
		if err := s.tellNoEvents(ctx); err != nil {
			return fmt.Errorf("count the completions: %w", err)
		}
	}
	if !found.any() {
		return nil
	}
	// Whoever stops in the middle of it starts over: the traces are gone by then.
	if _, err := s.JS.Publish(ctx, jet.RepairSubject, nil); err != nil {
		return fmt.Errorf("note that the store is being repaired: %w", jet.Explain(err))
	}
	if err := s.mend(ctx, found); err != nil {
		return fmt.Errorf("repair the store: %w", err)
	}
	if err := s.Control.Purge(ctx, jetstream.WithPurgeSubject(jet.RepairSubject)); err != nil {
		return fmt.Errorf("note that the store is repaired: %w", jet.Explain(err))
	}
	return nil
}

// tellNoEvents says how many completions are going to be published again where there is not one event.
func (s *store) tellNoEvents(ctx context.Context) error {
	finals, err := s.finals(ctx)
	if err != nil {
		return err
	}
	ended := 0
	for of, sequence := range finals {
		if s.published(s.openOf(of.number), sequence) {
			ended++
		}
	}
	s.Log.Warn().Int("completions", ended).
		Msg("the stream EVENTS is empty, as after a purge: the completion of every run that ended within --events-retention, and may not have been seen to be published, is published again now")
	return nil
}

func (s *store) mend(ctx context.Context, found damage) error {
	if found.results() || found.unsynced {
		if err := s.mendResults(ctx, found); err != nil {
			return err
		}
	}
	if found.requests() || found.unsynced {
		if err := s.mendRequests(ctx, found); err != nil {
			return err
		}
	}
	for stream, bytes := range found.cutOff {
		if slice, ok := s.Layout.Named(stream); ok && s.openOf(slice.First) == nil {
			s.Log.Error().Int64("unreadable_bytes", bytes).Str("stream", stream).Stringer("first_run", slice.First).Stringer("last_run", slice.End-1).
				Msg("the data directory is damaged: final documents of these runs, which have ended, may be lost. The status of one that has lost its own is 410")
		}
		if said := lostWhat[stream]; said != "" {
			s.Log.Error().Int64("unreadable_bytes", bytes).Msg("the data directory is damaged: " + said)
		}
	}
	return nil
}

// lostWhat is what the end of a stream held, in terms of what people know.
var lostWhat = map[string]string{
	jet.TasksStream:   "the last changes of tasks may be lost. Look at `runhook task list`, and apply their files again",
	jet.ControlStream: "the store's id may be lost. If it was, signed addresses that were given out no longer fit",
	jet.KeysStream:    "the last Idempotency-Keys may be forgotten. A POST that is repeated with one of them may start another run",
	jet.RowsStream:    "the rejected rows of the last runs may be incomplete",
}

func (s *store) mendResults(ctx context.Context, found damage) error {
	unreadable := int64(0)
	for _, slice := range found.slices {
		unreadable += found.cutOff[slice.StreamName()]
		if !found.mayLack(slice) {
			continue
		}
		if _, err := s.advance(ctx, slice.Stream, slice.Skipped(), slice.copied); err != nil {
			return err
		}
	}
	var returned, copied int
	var err error
	if found.results() {
		if returned, copied, err = s.reconcile(ctx); err != nil {
			return err
		}
	}
	all, err := s.forgotten(ctx)
	if err != nil {
		return err
	}
	// Where nothing told of it, there may be events of these all the same.
	if len(all) > 0 && !found.results() {
		if returned, copied, err = s.reconcile(ctx); err != nil {
			return err
		}
	}
	ended, err := s.endForgotten(ctx, all)
	if err != nil {
		return err
	}
	if !found.onlyEvents() || returned+ended > 0 {
		s.Log.Error().Int64("unreadable_bytes", unreadable).Int64("unreadable_bytes_of_events", found.cutOff[jet.EventsStream]).
			Int("finals_taken_back_from_events", returned).Int("events_copied_again", copied).Int("ended_failed", ended).
			Msg("the data directory is damaged: the last claims, final documents or events are lost. What one of them tells of the others " +
				"is put back, runs whose end is forgotten are ended as Failed, and runs that were under way are executed again")
	}
	return nil
}

func (s *store) mendRequests(ctx context.Context, found damage) error {
	number := found.number
	for _, slice := range s.open {
		highest, err := s.highestNumber(ctx, slice, 1, found.certain())
		if err != nil {
			return err
		}
		number = max(number, highest)
	}
	next, err := s.advance(ctx, s.Runs, jet.SkippedRequests, s.Numbers.Upto(number))
	if err != nil {
		return err
	}
	if !found.requests() {
		s.Log.Warn().Uint64("last_run_left", uint64(s.Numbers.Of(found.runsLast))).Uint64("next_run", uint64(s.Numbers.Of(next))).
			Msg("the program was last ended without a stop, and with --durability interval a power cut loses the last moments: " +
				"new runs get numbers that nobody was given")
		return nil
	}
	s.Log.Error().Int64("unreadable_bytes", found.cutOff[jet.RunsStream]).
		Uint64("last_run_left", uint64(s.Numbers.Of(found.runsLast))).Uint64("highest_run_seen", uint64(number)).Uint64("next_run", uint64(s.Numbers.Of(next))).
		Msg("the data directory is damaged: the last accepted requests are lost. Runs behind the last that is left, if there were any " +
			"and they have not ended, are not executed; their status is 410, and new runs get numbers that nobody was given")
	return nil
}

// skipped is by how much a sequence is moved past what is known of it: what was lost without a trace
// was less, as far as one can tell.
const skipped = 1000

// unacknowledged is how many messages are sent at once to move a sequence: fewer than a stream's queue takes.
const unacknowledged = 500

// advance moves a stream's sequence past what was ever given out of it, to a round number, and returns
// the next one. subject takes the messages that do it, and keeps the last of them.
func (s *store) advance(ctx context.Context, stream *jet.Stream, subject string, seen uint64) (next uint64, err error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	last := info.State.LastSeq
	goal := (max(seen, last)/skipped + 2) * skipped
	if goal-last > farthest+2*skipped {
		return 0, fmt.Errorf("stream %s ends at %d, and something knows of %d: that is too much to be the damage of its end; restore a backup",
			info.Config.Name, last, seen)
	}
	for last < goal {
		// The last of some is acknowledged: it comes behind the others, and what the server dropped is sent again.
		for range min(goal-last, unacknowledged) - 1 {
			_ = s.NC.Publish(subject, nil) // where it fails, so does the next that is acknowledged
		}
		ack, err := s.JS.Publish(ctx, subject, nil)
		if err != nil {
			return 0, fmt.Errorf("move the sequence of stream %s on: %w", info.Config.Name, jet.Explain(err))
		}
		last = ack.Sequence
	}
	err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeKeep(1))
	if err != nil {
		return 0, fmt.Errorf("move the sequence of stream %s on: %w", info.Config.Name, jet.Explain(err))
	}
	return last + 1, nil
}

// copyTime bounds the wait for the events.
const copyTime = time.Minute

// awaitCopies waits until the events have copied everything that they are going to.
func (s *store) awaitCopies(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	for {
		copied, err := s.Copied(ctx)
		if err != nil {
			return fmt.Errorf("stream %s: %w", jet.EventsStream, err)
		}
		whole := true
		for _, slice := range s.open {
			final, err := slice.LeaderLast(ctx, slice.Finals())
			if err != nil && !errors.Is(err, jet.ErrMissing) {
				return err
			}
			whole = whole && (copied.Has(slice.StreamName(), final.Sequence) || !s.published(slice, final.Sequence))
		}
		if whole {
			return nil
		}
		if !wait.For(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%w: the server does not copy the final documents into %s", run.ErrUnavailable, jet.EventsStream)
		}
	}
}

// reconcile makes the final documents and the events fit each other again: one final and one event
// for each run that either knows of, but for runs whose events are too old to be there. A final that is
// written, again or anew, is copied into the events by the server; so an event that is not of the present
// final goes. Who had received that one gets another with the same ce-id.
func (s *store) reconcile(ctx context.Context) (returned, copied int, err error) {
	if err := s.bus.KeepSources(ctx); err != nil {
		return 0, 0, err
	}
	if err := s.awaitCopies(ctx); err != nil {
		return 0, 0, err
	}
	finals, err := s.finals(ctx)
	if err != nil {
		return 0, 0, err
	}
	seen := make(map[ofTask]bool, len(finals))
	err = s.Events.Scan(ctx, jet.Range{HeadersOnly: true}, func(event jet.Record) error {
		number, sequence := origin(event.Header)
		of := ofTask{jet.TaskOfEvent(event.Subject), number}
		slice := s.openOf(number)
		if final := finals[of]; final > 0 && final == sequence || slice == nil {
			seen[of] = true
			return nil
		}
		back, err := s.reconcileEvent(ctx, slice, event.Sequence, of)
		if errors.Is(err, errForeign) {
			return nil
		}
		seen[of] = true
		if back > 0 {
			finals[of] = back
			returned++
		}
		return err
	})
	if err != nil {
		return returned, 0, err
	}
	copied, err = s.copyUnseen(ctx, finals, seen)
	return returned, copied, err
}

// errForeign: what is stored is another program's.
var errForeign = errors.New("another program has published it")

// reconcileEvent takes away an event that is not of its run's present final document, and writes that
// document of it where there is none. back is the sequence of that one, 0 where there was one.
func (s *store) reconcileEvent(ctx context.Context, slice *jet.Results, sequence uint64, of ofTask) (back uint64, err error) {
	event, err := s.Events.LeaderAt(ctx, sequence)
	if errors.Is(err, jet.ErrMissing) { // its age has come meanwhile
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if _, err := run.DecodeFinal(event.Data, of.task, of.number); err != nil {
		s.Events.PassOver(event, err)
		return 0, errForeign
	}
	subject := slice.FinalSubject(of.task, of.number)
	final, err := slice.LeaderLast(ctx, subject)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return 0, err
	}
	if _, err := run.DecodeFinal(final.Data, of.task, of.number); err != nil { // none, or something else in its place
		if back, err = s.writeFinal(ctx, subject, final.Sequence, event.Header, event.Data); err != nil {
			return 0, err
		}
	}
	err = s.Events.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = nil
	}
	return back, err
}

// copyUnseen writes the final documents again that have no event and should have one.
func (s *store) copyUnseen(ctx context.Context, finals map[ofTask]uint64, seen map[ofTask]bool) (copied int, err error) {
	first := map[*jet.Results]uint64{}
	for of, sequence := range finals {
		slice := s.openOf(of.number)
		if !seen[of] && s.published(slice, sequence) && (first[slice] == 0 || sequence < first[slice]) {
			first[slice] = sequence
		}
	}
	for slice, from := range first {
		err = slice.Scan(ctx, jet.Range{Subjects: []string{slice.Finals()}, From: from}, func(final jet.Record) error {
			id, number, _ := slice.EndedRun(final.Subject)
			of := ofTask{id, number}
			if seen[of] || finals[of] == 0 || !s.published(slice, final.Sequence) {
				return nil
			}
			if _, err := run.DecodeFinal(final.Data, id, number); err != nil {
				slice.PassOver(final, err)
				return nil
			}
			copied++
			seen[of] = true
			_, err := s.writeFinal(ctx, final.Subject, final.Sequence, final.Header, final.Data)
			return err
		})
		if err != nil {
			return copied, err
		}
	}
	return copied, nil
}

// writeFinal writes a final document again, byte for byte, in the place of the one at a sequence, and returns
// its own.
func (s *store) writeFinal(ctx context.Context, subject string, inPlaceOf uint64, was nats.Header, data []byte) (sequence uint64, err error) {
	header := nats.Header{}
	for name, values := range was {
		if !strings.HasPrefix(name, "Nats-") { // those belong to the message that was
			header[name] = values
		}
	}
	ack, err := s.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: header},
		jetstream.WithExpectLastSequencePerSubject(inPlaceOf))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}
