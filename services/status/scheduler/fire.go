package scheduler

import (
	"cmp"
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

const (
	// behindFor is how long a definition that another process knows is waited for.
	behindFor = 10 * time.Second
	// triesFormer is how often a former definition is asked for before it is taken to be gone.
	triesFormer = 30
)

// look deals with all that a task has due, and returns when to look again.
func (s *Scheduler) look(ctx context.Context, of *state) time.Time {
	for ctx.Err() == nil {
		next, err := s.step(ctx, of)
		switch {
		case errors.Is(err, bus.ErrChanged): // another process was faster
			of.unsure = true
			continue
		case err != nil && ctx.Err() == nil:
			of.unsure = true
			if of.failed++; of.failed == 1 {
				s.options.Log.Warn().Err(err).Str("task", of.task.Name).Msg("what a task has due cannot be started now, trying again")
			}
			return s.now().Add(again)
		}
		of.failed = 0
		if !next.IsZero() {
			return next
		}
	}
	return never
}

// step does one thing, and returns the zero time; or, if there is nothing to do, when there will be.
func (s *Scheduler) step(ctx context.Context, of *state) (next time.Time, err error) {
	t, now := of.task, s.now()
	if seen := s.options.Timetables.Of(t.ID); seen.Revision > of.table.Revision {
		of.table = seen
	}
	if of.unsure || of.table.Revision == 0 {
		if of.table, err = s.options.Timetables.Read(ctx, t.ID); err != nil {
			return next, err
		}
		of.unsure = false
	}
	table := of.table.Timetable
	if table.Done.IsZero() {
		return s.begin(ctx, of, now)
	}
	def, upTo := t.Definition, now
	if table.Definition != t.Hash {
		if isBehind := table.AppliedOn.After(t.AppliedOn); isBehind && (of.behind.IsZero() || now.Sub(of.behind) < behindFor) {
			if of.behind.IsZero() {
				of.behind = now
			}
			return now.Add(again), nil
		}
		if def, err = s.former(ctx, of, table.Definition); err != nil {
			return next, err
		}
		if until := t.AppliedOn.Add(-1); until.Before(upTo) {
			upTo = until
		}
	}
	of.behind = time.Time{}
	if table.Firing != nil {
		if wait := s.waitFor(of, now); wait > 0 {
			of.unsure = true
			next = now.Add(wait)
			if following, ok := following(def, table.Past(table.Firing.Due, table.Firing.Entry+1)); ok && following.After(now) && following.Before(next) {
				next = following
			}
			return next, nil
		}
		return next, s.fire(ctx, of, def, false)
	}
	due := look(def, table, upTo, now)
	switch why := s.refusal(t, def); {
	case due.last.at.IsZero() && table.Definition != t.Hash:
		return s.supersede(ctx, of, now)
	case due.last.at.IsZero():
		next, ok := following(def, table)
		if !ok {
			next = never
		}
		return next, nil
	case why != "":
		return next, s.pass(ctx, of, due.last, run.Dealt{Due: due.last.at, Why: why})
	case !due.ok:
		return next, s.pass(ctx, of, due.last, due.missed...)
	}
	behind, err := s.options.Runs.End(ctx)
	if err != nil {
		return next, err
	}
	intent := table.With(due.missed...)
	intent.Firing = &run.Firing{Due: due.first.at.UTC(), Entry: due.first.entry, Behind: behind, By: s.name}
	if err := s.write(ctx, of, intent); err != nil {
		return next, err
	}
	s.tell(t.Name, due.missed...)
	if s.reached != nil {
		s.reached(ctx, "intended")
	}
	return next, s.fire(ctx, of, def, true)
}

// begin makes the timetable of a task: nothing was due before the task came to have its schedules.
func (s *Scheduler) begin(ctx context.Context, of *state, now time.Time) (next time.Time, err error) {
	t := of.task
	if len(t.Schedules) == 0 {
		return never, nil
	}
	done := t.AppliedOn
	if of.table.Revision > 0 || done.After(now) { // what was there cannot be read
		done = now
	}
	return next, s.write(ctx, of, run.Timetable{Definition: t.Hash, AppliedOn: t.AppliedOn, Done: done.UTC()})
}

// supersede has the schedules of the task's present definition count, once nothing is due by those before.
func (s *Scheduler) supersede(ctx context.Context, of *state, now time.Time) (next time.Time, err error) {
	table, t := of.table.Timetable, of.task
	if t.AppliedOn.After(now) {
		return t.AppliedOn, nil
	}
	if table.Done.Before(t.AppliedOn) {
		table.Done, table.Entries = t.AppliedOn.UTC(), 0
	}
	table.Definition, table.AppliedOn = t.Hash, t.AppliedOn
	return next, s.write(ctx, of, table)
}

// former is the definition of a timetable that is not the task's any more. One that is not stored has nothing due.
func (s *Scheduler) former(ctx context.Context, of *state, hash string) (*task.Definition, error) {
	if of.former != nil && of.former.Hash == hash {
		return of.former, nil
	}
	def, err := s.options.Runs.Definition(ctx, of.task.ID, hash)
	if err != nil && of.failed < triesFormer {
		return nil, err
	}
	if err != nil {
		def = &task.Definition{ID: of.task.ID, Name: of.task.Name, Hash: hash}
	}
	of.former = def
	return def, nil
}

// waitFor is how long another process may still take for what it is about to do.
func (s *Scheduler) waitFor(of *state, now time.Time) time.Duration {
	if of.table.Firing.By == s.name {
		return 0
	}
	if of.firing != of.table.Revision || now.Before(of.since) {
		of.firing, of.since = of.table.Revision, now
	}
	return takeOver - now.Sub(of.since)
}

// refusal is why a task starts no runs, "" if it does.
func (s *Scheduler) refusal(t bus.Task, def *task.Definition) string {
	enabled := t.Enabled
	if def != t.Definition { // what was due before is as it was
		enabled = def.Enabled
	}
	if !enabled {
		return "the task was disabled"
	}
	if held, ok := s.options.Holds.Of(t.ID); ok {
		return "the task was held, because " + held.String()
	}
	return ""
}

// pass goes past all times up to one, with what came of them.
func (s *Scheduler) pass(ctx context.Context, of *state, upTo due, came ...run.Dealt) error {
	err := s.write(ctx, of, of.table.Past(upTo.at.UTC(), upTo.entry+1, came...))
	if err == nil {
		s.tell(of.task.Name, came...)
	}
	return err
}

// write stores a timetable in the place of the one that is known.
func (s *Scheduler) write(ctx context.Context, of *state, table run.Timetable) error {
	written, err := s.options.Timetables.Write(ctx, of.task.ID, table, of.table.Revision)
	if err == nil {
		of.table = written
	}
	return err
}

// fire starts the run that the timetable says is about to be started, unless it was. isNew says that no other process
// can have done so.
func (s *Scheduler) fire(ctx context.Context, of *state, def *task.Definition, isNew bool) error {
	firing := *of.table.Firing
	came := run.Dealt{Due: firing.Due}
	accepted, err := s.submit(ctx, of, def, firing, isNew)
	if why := refused(err); why != "" {
		came.Why = why
	} else if err != nil {
		return err
	}
	came.Run = accepted.Number
	if s.reached != nil {
		s.reached(ctx, "stored")
	}
	if err := s.write(ctx, of, of.table.Past(firing.Due, firing.Entry+1, came)); err != nil {
		return err
	}
	if came.Run > 0 {
		s.delay.Observe(max(0, s.now().Sub(firing.Due).Seconds()))
	}
	s.tell(of.task.Name, came)
	return nil
}

// notStarted is why a run was not started, for good.
type notStarted string

func (n notStarted) Error() string { return string(n) }

// refused is why an error says that a run is not started, for good; "" for another error, or none.
func refused(err error) string {
	if open, ok := errors.AsType[*bus.OpenRuns](err); ok {
		return open.Error() + " (overlap: reject)"
	}
	if why, ok := errors.AsType[notStarted](err); ok {
		return string(why)
	}
	return ""
}

// submit makes the run durable that is about to be started.
func (s *Scheduler) submit(ctx context.Context, of *state, def *task.Definition, firing run.Firing, isNew bool) (bus.Accepted, error) {
	if firing.Entry >= len(def.Schedules) {
		return bus.Accepted{}, notStarted("the definition that had it due is not stored any more")
	}
	values, err := def.Resolve(def.Schedules[firing.Entry].Parameters)
	if err != nil {
		return bus.Accepted{}, notStarted(err.Error())
	}
	now := time.Now()
	request := run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Parameters: values, ParameterHash: values.Hash(), Base: s.options.Base,
		Trigger: run.Schedule, Overlap: def.Overlap,
		RetryAfter:  int(cmp.Or(s.options.Paces.PollAgain(def, run.Stage{Phase: run.Queued, Since: now}, now), time.Second) / time.Second),
		StartWithin: int(def.StartWithin / time.Second), ScheduledFor: firing.Due, CreatedOn: now.UTC(),
	}
	if isNew && def.Overlap == "" && def.MaxQueued > 0 && s.options.Runs.IsFullNow(ctx, def.ID, def.MaxQueued) {
		return bus.Accepted{}, notStarted("as many runs of the task waited as may (max_queued)")
	}
	return s.options.Runs.SubmitScheduled(ctx, request, firing.Entry, firing.Behind, isNew)
}

// tell tells what came of times.
func (s *Scheduler) tell(name string, came ...run.Dealt) {
	for _, one := range came {
		if one.Run > 0 {
			s.times.WithLabelValues(name, "run").Inc()
			s.options.Log.Debug().Str("task", name).Stringer("run", one.Run).Time("due", one.Due).Msg("started a run that was due")
			continue
		}
		s.times.WithLabelValues(name, "none").Inc()
		s.options.Log.Info().Str("task", name).Time("due", one.Due).Str("detail", one.Why).Msg("a time that a task was due made no run")
	}
}
