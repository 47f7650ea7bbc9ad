package recovery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
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
// cutOff is, by stream, what the server found unreadable. A store without damage costs a few reads.
func Repair(ctx context.Context, b *bus.Bus, cutOff map[string]int64) error {
	s := storeOf(b)
	found, err := s.damage(ctx, cutOff)
	if err != nil {
		return fmt.Errorf("look for damage in the store: %w", err)
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

// damage is what tells of lost messages.
type damage struct {
	// cutOff is the bytes that the server could not read, by stream.
	cutOff map[string]int64
	// runsLast and finalsLast are the last sequences that are left in RUNS and in the bucket.
	runsLast, finalsLast uint64
	// number is the highest run number that is known of from anything but RUNS, and numbers has its place there.
	number  run.Number
	numbers jet.Numbers
	// copied is the highest sequence of the bucket that the events have a copy of.
	copied uint64
	// noEvents: there is not one event, and there are final documents.
	noEvents bool
	// unfinished: an earlier repair did not come to its end.
	unfinished bool
}

func (d damage) any() bool { return len(d.cutOff) > 0 || d.requests() || d.results() }

// requests reports whether the end of RUNS is lost.
func (d damage) requests() bool {
	return d.cutOff[jet.RunsStream] > 0 || d.numbers.Upto(d.number) > d.runsLast || d.unfinished
}

// results reports whether claims and final documents, or the events, are lost.
func (d damage) results() bool {
	return d.cutOff[jet.ResultsStream] > 0 || d.copied > d.finalsLast || d.finalsLast == 0 && d.number > 0 ||
		d.cutOff[jet.EventsStream] > 0 || d.noEvents || d.unfinished
}

func (s store) damage(ctx context.Context, cutOff map[string]int64) (damage, error) {
	found := damage{cutOff: cutOff, numbers: s.Numbers}
	for stream, last := range map[*jet.Stream]*uint64{s.Runs: &found.runsLast, s.Results: &found.finalsLast} {
		info, err := stream.Info(ctx)
		if err != nil {
			return found, jet.Explain(err)
		}
		*last = info.State.LastSeq
	}
	consumers := s.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		found.number = max(found.number, s.Numbers.Of(info.Delivered.Stream))
	}
	if err := consumers.Err(); err != nil {
		return found, fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	var newest jet.Record
	for _, subject := range []string{jet.Claims, jet.Finals} {
		var err error
		if newest, err = s.Results.LeaderLast(ctx, subject); err != nil && !errors.Is(err, jet.ErrMissing) {
			return found, err
		}
		found.number = max(found.number, jet.NumberOf(newest.Subject))
	}
	event, err := s.Events.LeaderLast(ctx, jet.Events)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return found, err
	}
	// Some of the last events may only be late: the server begins to copy some seconds after its start.
	found.noEvents = errors.Is(err, jet.ErrMissing) && newest.Sequence > 0
	var number run.Number
	number, found.copied = origin(event.Header)
	found.number = max(found.number, number)
	_, err = s.Control.LeaderLast(ctx, jet.RepairSubject)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return found, err
	}
	found.unfinished = err == nil
	return found, nil
}

// copyTime bounds the wait for the events.
const copyTime = time.Minute

// awaitCopies waits until the events have copied everything that they are going to.
func (s store) awaitCopies(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	for {
		info, err := s.Events.Info(ctx)
		if err != nil {
			return fmt.Errorf("stream %s: %w", jet.EventsStream, jet.Explain(err))
		}
		sources := info.Sources
		if len(sources) == 1 && sources[0].Lag == 0 && sources[0].Active >= 0 {
			return nil
		}
		if !wait.For(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%w: the server does not copy the final documents into %s", run.ErrUnavailable, jet.EventsStream)
		}
	}
}

// origin is what a copy in the events says of the final document that it was made of: its run number,
// and its sequence in the bucket (Nats-Stream-Source: stream, sequence and more, divided by blanks).
func origin(header nats.Header) (number run.Number, sequence uint64) {
	fields := strings.Fields(header.Get("Nats-Stream-Source"))
	if len(fields) < 2 {
		return 0, 0
	}
	sequence, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0, 0
	}
	return jet.NumberOf("." + header.Get("ce-subject")), sequence
}

func (s store) mend(ctx context.Context, found damage) error {
	if found.results() {
		if _, err := s.advance(ctx, s.Results, jet.SkippedResults, found.copied); err != nil {
			return err
		}
		returned, copied, err := s.reconcile(ctx)
		if err != nil {
			return err
		}
		ended, err := s.endForgotten(ctx)
		if err != nil {
			return err
		}
		s.Log.Error().Int64("unreadable_bytes", found.cutOff[jet.ResultsStream]).Int64("unreadable_bytes_of_events", found.cutOff[jet.EventsStream]).
			Int("finals_taken_back_from_events", returned).Int("events_copied_again", copied).Int("ended_failed", ended).
			Msg("the data directory is damaged: the last claims, final documents or events are lost. What one of them tells of the others " +
				"is put back, runs whose end is forgotten are ended as Failed, and runs that were under way are executed again")
	}
	if found.requests() {
		number, err := s.highestNumber(ctx)
		if err != nil {
			return err
		}
		number = max(number, found.number)
		next, err := s.advance(ctx, s.Runs, jet.SkippedRequests, s.Numbers.Upto(number))
		if err != nil {
			return err
		}
		s.Log.Error().Int64("unreadable_bytes", found.cutOff[jet.RunsStream]).
			Uint64("last_run_left", uint64(s.Numbers.Of(found.runsLast))).Uint64("highest_run_seen", uint64(number)).Uint64("next_run", uint64(s.Numbers.Of(next))).
			Msg("the data directory is damaged: the last accepted requests are lost. Runs behind the last that is left, if there were any " +
				"and they have not ended, are not executed; their status is 410, and new runs get numbers that nobody was given")
	}
	for stream, bytes := range found.cutOff {
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
	jet.RowsStream:    "the rejected rows of the last runs may be incomplete",
}

// reconcile makes the final documents and the events fit each other again: one final and one event
// for each run that either knows of. A final that is written, again or anew, is copied into the events
// by the server; so an event that is not of the present final goes. Who had received that one gets
// another with the same ce-id.
func (s store) reconcile(ctx context.Context) (returned, copied int, err error) {
	if err := s.awaitCopies(ctx); err != nil {
		return 0, 0, err
	}
	seen := map[run.Number]bool{}
	err = s.Events.Scan(ctx, jetstream.OrderedConsumerConfig{}, func(event jet.Record) error {
		doc, err := run.DecodeDocument(event.Data)
		if err != nil {
			return err
		}
		seen[doc.ImportID] = true
		_, sequence := origin(event.Header)
		subject := jet.FinalSubject(doc.ExecuteID, doc.ImportID)
		final, err := s.Results.LeaderLast(ctx, subject)
		switch {
		case err == nil && final.Sequence == sequence:
			return nil
		case errors.Is(err, jet.ErrMissing):
			returned++
			err = s.writeFinal(ctx, subject, 0, event.Header, event.Data)
		}
		if err == nil {
			err = s.Events.DeleteMsg(ctx, event.Sequence)
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return returned, 0, err
	}
	err = s.Results.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.Finals},
	}, func(final jet.Record) error {
		number := jet.NumberOf(final.Subject)
		if seen[number] {
			return nil
		}
		copied++
		seen[number] = true
		return s.writeFinal(ctx, final.Subject, final.Sequence, final.Header, final.Data)
	})
	return returned, copied, err
}

// writeFinal writes a final document again, byte for byte, in the place of the one at a sequence.
func (s store) writeFinal(ctx context.Context, subject string, inPlaceOf uint64, was nats.Header, data []byte) error {
	header := nats.Header{}
	for name, values := range was {
		if !strings.HasPrefix(name, "Nats-") { // those belong to the message that was
			header[name] = values
		}
	}
	_, err := s.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: header},
		jetstream.WithExpectLastSequencePerSubject(inPlaceOf))
	return err
}

// skipped is by how much a sequence is moved past what is known of it: what was lost without a trace
// was less, as far as one can tell.
const skipped = 1000

// advance moves a stream's sequence past what was ever given out of it, to a round number, and returns
// the next one. subject takes the messages that do it, and keeps the last of them.
func (s store) advance(ctx context.Context, stream *jet.Stream, subject string, seen uint64) (next uint64, err error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	last := info.State.LastSeq
	goal := (max(seen, last)/skipped + 2) * skipped
	if goal-last > 1000*skipped {
		return 0, fmt.Errorf("stream %s ends at %d, and something knows of %d: that is too much to be the damage of its end; restore a backup",
			info.Config.Name, last, seen)
	}
	for last < goal {
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

// highestNumber is the highest run number that a claim or a final document has.
func (s store) highestNumber(ctx context.Context) (highest run.Number, err error) {
	err = s.Results.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.Claims, jet.Finals}, HeadersOnly: true,
	}, func(stored jet.Record) error {
		highest = max(highest, jet.NumberOf(stored.Subject))
		return nil
	})
	return highest, err
}

// endForgotten ends the runs that will not be delivered any more and have no final document, and has
// all others delivered again.
func (s store) endForgotten(ctx context.Context) (ended int, err error) {
	acknowledged := map[task.ID]uint64{} // everything up to here
	consumers := s.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		acknowledged[task.ID(info.Name)] = info.AckFloor.Stream
	}
	if err := consumers.Err(); err != nil {
		return 0, fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	for id := range acknowledged {
		if _, err := s.Runs.ResetConsumer(ctx, string(id)); err != nil {
			return 0, fmt.Errorf("have the runs of task %s delivered again: %w", id, jet.Explain(err))
		}
	}
	err = s.Runs.Scan(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.Requests}, HeadersOnly: true,
	}, func(request jet.Record) error {
		id, _ := jet.TaskOfRequest(request.Subject)
		n := s.Numbers.Of(request.Sequence)
		if request.Sequence > acknowledged[id] {
			return nil
		}
		done, err := s.Ended(ctx, id, n)
		if err != nil || done {
			return err
		}
		if err := s.endAsLost(ctx, id, n); err != nil {
			return err
		}
		ended++
		return nil
	})
	return ended, err
}

// endAsLost writes the final document of a run whose own one is lost.
func (s store) endAsLost(ctx context.Context, id task.ID, n run.Number) error {
	request, err := s.bus.Runs.Request(ctx, id, n)
	if err != nil {
		return err
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Failed, "This run had ended, and the record of how is lost: the server's data was damaged. "+
		"Look at its destination, and POST again if its rows are not there.", time.Now().UTC())
	claim, claimed, err := s.bus.Unheld.FindClaim(ctx, id, n)
	switch {
	case err != nil:
		return err
	case claimed:
		return s.bus.Unheld.EndAbandoned(ctx, id, n, claim, doc)
	}
	return s.bus.Unheld.EndUnclaimed(ctx, id, n, doc)
}
