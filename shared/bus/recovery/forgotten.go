package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// ofTask is a run of a task.
type ofTask struct {
	task   task.ID
	number run.Number
}

// finals are the sequences of the final documents in the open slices.
func (s *store) finals(ctx context.Context) (map[ofTask]uint64, error) {
	all, ids := map[ofTask]uint64{}, map[task.ID]task.ID{}
	for _, slice := range s.open {
		err := slice.Scan(ctx, jet.Range{Subjects: []string{slice.Finals()}, HeadersOnly: true}, func(final jet.Record) error {
			id, n, ok := slice.EndedRun(final.Subject)
			if !ok || final.Header.Get("ce-subject") != n.String() {
				slice.PassOver(final, errors.New("it is no final document"))
				return nil
			}
			if ids[id] == "" {
				ids[id] = id
			}
			all[ofTask{ids[id], n}] = final.Sequence // one copy of each id
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// forgotten are the runs of open slices that will not be delivered any more and have no final document. All others that have
// not ended are delivered again.
func (s *store) forgotten(ctx context.Context) (all []ofTask, err error) {
	acknowledged := map[task.ID]uint64{} // everything up to here
	consumers := s.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		if jet.IsID(info.Name) {
			acknowledged[task.ID(info.Name)] = info.AckFloor.Stream
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	for id := range acknowledged {
		if _, err := s.Runs.ResetConsumer(ctx, string(id)); err != nil {
			return nil, fmt.Errorf("have the runs of task %s delivered again: %w", id, jet.Explain(err))
		}
	}
	finals, err := s.finals(ctx)
	if err != nil {
		return nil, err
	}
	if len(s.open) == 0 {
		return nil, nil
	}
	from, _ := s.RequestsOf(s.open[0].Slice)
	err = s.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.Requests}, HeadersOnly: true, From: from}, func(request jet.Record) error {
		id, ok := jet.TaskOfRequest(request.Subject)
		n := s.Numbers.Of(request.Sequence)
		if !ok || request.IsCall() || request.Sequence > acknowledged[id] || s.openOf(n) == nil || finals[ofTask{id, n}] > 0 {
			return nil
		}
		if request.IsAlarm() {
			waits, err := s.bus.Runs.KeepAlarm(ctx, request, false)
			if waits || err != nil {
				return err
			}
		}
		all = append(all, ofTask{id, n})
		return nil
	})
	return all, err
}

// keepAlarms sees to it that each run of the open slices that waits for its time, and has not ended, will start.
func (s *store) keepAlarms(ctx context.Context, finals map[ofTask]uint64) error {
	if len(s.open) == 0 {
		return nil
	}
	from, _ := s.RequestsOf(s.open[0].Slice)
	return jet.Explain(s.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.Requests}, HeadersOnly: true, From: from}, func(request jet.Record) error {
		id, ok := jet.TaskOfRequest(request.Subject)
		n := s.Numbers.Of(request.Sequence)
		if !ok || !request.IsAlarm() || s.openOf(n) == nil || finals[ofTask{id, n}] > 0 {
			return nil
		}
		_, err := s.bus.Runs.KeepAlarm(ctx, request, true)
		return err
	}))
}

// endForgotten ends the forgotten runs as Failed, and returns how many it ended.
func (s *store) endForgotten(ctx context.Context, all []ofTask) (ended int, err error) {
	for _, forgotten := range all {
		err := s.endAsLost(ctx, forgotten.task, forgotten.number)
		switch {
		case err == nil:
			ended++
		// What is no run, and what has ended meanwhile, needs no end.
		case !errors.Is(err, run.ErrNoRun) && !errors.Is(err, bus.ErrClaimed):
			return ended, err
		}
	}
	return ended, nil
}

// endAsLost writes the final document of a run whose own one is lost.
func (s *store) endAsLost(ctx context.Context, id task.ID, n run.Number) error {
	request, err := s.bus.Runs.Request(ctx, id, n)
	if err != nil {
		return err
	}
	if err := s.bus.Unheld.Settle(ctx, request, n); err != nil {
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
