package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// damage is what tells of lost messages.
type damage struct {
	// cutOff is the bytes that the server could not read, by stream.
	cutOff map[string]int64
	// unsynced: anything of the last moments may be lost without a trace.
	unsynced bool
	// numbers tells run numbers by sequences.
	numbers jet.Numbers
	// runsLast is the last sequence that is left in RUNS.
	runsLast uint64
	// slices are the open ones.
	slices []sliceDamage
	// delivered is the highest run number that a queue has handed out, and number the highest that
	// anything but RUNS knows of.
	delivered, number run.Number
	// noEvents: there is not one event, and there are final documents that are young enough to have one.
	// Somebody has purged the stream, or its files are lost.
	noEvents bool
	// unfinished: an earlier repair did not come to its end.
	unfinished bool
}

// sliceDamage is what tells of lost claims and final documents.
type sliceDamage struct {
	*jet.Results
	// last is the last sequence that is left, and copied the highest that the events have a copy of.
	last, copied uint64
}

func (d damage) any() bool {
	return len(d.cutOff) > 0 || d.unsynced || d.requests() || d.results()
}

// requests reports whether the end of RUNS is lost.
func (d damage) requests() bool {
	return d.cutOff[jet.RunsStream] > 0 || d.numbers.Upto(d.number) > d.runsLast || d.unfinished
}

// onlyEvents reports whether nothing is missing but all events.
func (d damage) onlyEvents() bool {
	d.noEvents = false
	return !d.results()
}

// results reports whether claims and final documents, or the events, are lost.
func (d damage) results() bool {
	empty, known := true, false
	for _, slice := range d.slices {
		empty, known = empty && slice.last == 0, known || d.number > 0 && slice.Has(d.number)
	}
	return empty && known || slices.ContainsFunc(d.slices, d.shows) || d.cutOff[jet.EventsStream] > 0 || d.noEvents || d.unfinished
}

// shows reports whether a slice shows that claims or final documents of it are lost.
func (d damage) shows(slice sliceDamage) bool {
	return d.cutOff[slice.StreamName()] > 0 || slice.copied > slice.last
}

// mayLack reports whether somebody may have seen a higher sequence of a slice than is left.
func (d damage) mayLack(slice sliceDamage) bool {
	return d.shows(slice) || slice.last == 0 && d.number > 0 && slice.First <= d.number || d.unsynced || d.unfinished
}

// certain is the highest run number that RUNS has given out for certain.
func (d damage) certain() run.Number { return max(d.delivered, d.numbers.Of(d.runsLast)) }

func (s *store) damage(ctx context.Context, cutOff map[string]int64, unsynced bool) (damage, error) {
	found := damage{cutOff: cutOff, unsynced: unsynced, numbers: s.Numbers}
	runs, err := s.Runs.Info(ctx)
	if err != nil {
		return found, jet.Explain(err)
	}
	found.runsLast = runs.State.LastSeq
	copied, err := s.Copied(ctx)
	if err != nil {
		return found, err
	}
	for _, slice := range s.open {
		info, err := slice.Info(ctx)
		if err != nil {
			return found, jet.Explain(err)
		}
		found.slices = append(found.slices, sliceDamage{slice, info.State.LastSeq, copied.Until(slice.StreamName())})
	}
	consumers := s.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		found.delivered = max(found.delivered, s.Numbers.Of(info.Delivered.Stream))
	}
	if err := consumers.Err(); err != nil {
		return found, fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	found.number = found.delivered
	for _, slice := range found.slices {
		number, err := s.highestNumber(ctx, slice.Results, slice.last-min(slice.last, skipped), found.certain())
		if err != nil {
			return found, err
		}
		found.number = max(found.number, number)
	}
	if err := s.eventsDamage(ctx, &found); err != nil {
		return found, err
	}
	_, err = s.Control.LeaderLast(ctx, jet.RepairSubject)
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		return found, err
	}
	found.unfinished = err == nil
	return found, nil
}

// eventsDamage is what the events tell. Some of the last may only be late: the server begins to copy some
// seconds after its start.
func (s *store) eventsDamage(ctx context.Context, found *damage) error {
	event, err := s.Events.LeaderLast(ctx, jet.Events)
	if err == nil {
		number, _ := origin(event.Header)
		if plausible(number, found.certain()) && isFinal(event, jet.TaskOfEvent(event.Subject), number) == nil {
			found.number = max(found.number, number)
		}
		return nil
	}
	if !errors.Is(err, jet.ErrMissing) {
		return err
	}
	for _, slice := range s.open {
		final, err := slice.LeaderLast(ctx, slice.Finals())
		if err != nil && !errors.Is(err, jet.ErrMissing) {
			return err
		}
		found.noEvents = found.noEvents || err == nil && s.published(slice, final.Sequence)
	}
	return nil
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
	number, _ = run.ParseNumber(header.Get("ce-subject")) // 0 for none
	return number, sequence
}

// farthest is by how much what is known of a sequence can be beyond its stream's end after damage.
const farthest = 1000 * skipped

// plausible reports whether RUNS can have given out a run number that a claim or a final document names,
// where certain is the highest that it has given out for certain. Whoever may publish to the store can
// name any number, and one far beyond proves nothing.
func plausible(n, certain run.Number) bool { return n <= certain+farthest }

// isFinal returns an error unless a message is a final document that Runhook has written, or the copy of one
// in the events. Others may have published it, and RUNS need not have given out its number then.
func isFinal(message jet.Record, id task.ID, n run.Number) error {
	if message.Header.Get(jet.HeaderHold) == "" {
		return errors.New("it is no final document of a run: it has no header " + jet.HeaderHold)
	}
	_, err := run.DecodeFinal(message.Data, id, n)
	return err
}

// highestNumber is the highest plausible run number that a claim or a final document has, of those that
// a slice has from a sequence on.
func (s *store) highestNumber(ctx context.Context, slice *jet.Results, from uint64, certain run.Number) (highest run.Number, err error) {
	err = slice.Scan(ctx, jet.Range{Subjects: []string{slice.Claims(), slice.Finals()}, HeadersOnly: true, From: from}, func(stored jet.Record) error {
		id, n, claimed := slice.ClaimedRun(stored.Subject)
		ok := claimed
		if !claimed {
			id, n, ok = slice.EndedRun(stored.Subject)
		}
		if !ok || !plausible(n, certain) {
			slice.PassOver(stored, errors.New("it names a run that was never accepted"))
			return nil
		}
		if n > certain {
			whole, err := slice.LeaderAt(ctx, stored.Sequence)
			if err != nil {
				return err
			}
			if claimed {
				_, err = run.DecodeClaim(whole.Data)
			} else {
				err = isFinal(whole, id, n)
			}
			if err != nil {
				slice.PassOver(stored, err)
				return nil
			}
		}
		highest = max(highest, n)
		return nil
	})
	return highest, err
}
