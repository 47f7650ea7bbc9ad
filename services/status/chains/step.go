package chains

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wording"
)

const (
	// countedLate is how many ends that start nothing may be looked at again after a restart.
	countedLate = 256
	// lateEvent is how long after the end of a run its event may be stored to be taken for the first one. It is shorter
	// than the server knows the ids of messages.
	lateEvent = 30 * time.Second
	// mostFormer is how many definitions of one task are kept.
	mostFormer = 8
)

// look deals with all ends of a task, and returns when to look again.
func (f *Follower) look(ctx context.Context, of *state) time.Time {
	for ctx.Err() == nil {
		next, err := f.step(ctx, of)
		switch {
		case errors.Is(err, bus.ErrChanged): // another process was faster
			of.unsure = true
			continue
		case err != nil && ctx.Err() == nil:
			of.unsure = true
			if of.failed++; of.failed == 1 {
				f.options.Log.Warn().Err(err).Str("task", f.nameOf(of.id)).Msg("what follows the end of a run cannot be started now, trying again")
			}
			return time.Now().Add(again)
		}
		of.failed = 0
		if next.Equal(never) {
			if pause := of.pause(); pause > 0 { // the event of an end that was heard of comes a moment later
				next = time.Now().Add(pause)
			}
		}
		if !next.IsZero() {
			return next
		}
	}
	return never
}

// nameOf is how a log line calls a task.
func (f *Follower) nameOf(id task.ID) string {
	t, _ := f.options.Tasks.Of(id)
	if t.Definition == nil {
		return ""
	}
	return t.Name
}

// step does one thing, and returns the zero time; or, if there is nothing to do, when there will be.
func (f *Follower) step(ctx context.Context, of *state) (next time.Time, err error) {
	if known := f.options.Chains.Of(of.id); known.Revision > of.table.Revision {
		of.table = known
	}
	if of.unsure || of.table.Revision == 0 {
		if of.table, err = f.options.Chains.Read(ctx, of.id); err != nil {
			return next, err
		}
		of.unsure = false
	}
	table := of.table.Ends
	if table.Store == "" { // there is none, or it cannot be read
		of.table, err = f.options.Chains.Begin(ctx, of.id, of.table.Revision)
		return next, err
	}
	if table.Starting != nil {
		if wait := f.waitFor(of); wait > 0 {
			of.unsure = true
			return time.Now().Add(wait), nil
		}
		return next, f.finish(ctx, of)
	}
	if of.unsettled.Load() {
		of.unsettled.Store(false)
		settled, err := f.options.Chains.Settled(ctx, of.id, table)
		if err == nil && (settled.Event != table.Event || settled.Doubtful != table.Doubtful) {
			err = f.write(ctx, of, settled)
			of.seen = 0
		}
		if err != nil {
			of.unsettled.Store(true)
		}
		return next, err
	}
	end, ok, err := f.options.Chains.Next(ctx, of.id, max(of.seen, table.Event))
	if err != nil || !ok {
		return never, err
	}
	of.came(end.Document.ImportID)
	return next, f.follow(ctx, of, end)
}

// waitFor is how long another process may still take for what it is about to do.
func (f *Follower) waitFor(of *state) time.Duration {
	if of.table.Starting.By == f.name {
		return 0
	}
	if of.starting != of.table.Revision {
		of.starting, of.since = of.table.Revision, time.Now()
	}
	return f.takeOver - time.Since(of.since)
}

// parent is a run that has ended, with what it was started with.
type parent struct {
	doc     run.Document
	request run.Request
	def     *task.Definition
}

// errGone is why an end starts nothing: the run or its definition is not there any more.
var errGone = errors.New("it is not stored any more")

// parentOf is what there is of a run that has ended. errGone means that there is not enough.
func (f *Follower) parentOf(ctx context.Context, of *state, doc run.Document) (*parent, error) {
	request, err := f.options.Runs.Request(ctx, of.id, doc.ImportID)
	switch {
	case errors.Is(err, run.ErrRunGone), errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrErased):
		return nil, errGone
	case err != nil:
		return nil, err
	}
	def := of.former[request.Definition]
	if def == nil {
		if def, err = f.options.Runs.Definition(ctx, of.id, request.Definition); errors.Is(err, run.ErrUnavailable) {
			return nil, err
		} else if err != nil {
			f.options.Log.Error().Err(err).Str("task", request.TaskName).Stringer("run", doc.ImportID).Msg("nothing follows the end of the run")
			return nil, errGone
		}
		if len(of.former) >= mostFormer {
			clear(of.former)
		}
		of.former[def.Hash] = def
	}
	return &parent{doc, request, def}, nil
}

// follow deals with the end of a run that nobody has dealt with, as far as the chain says.
func (f *Follower) follow(ctx context.Context, of *state, end bus.End) error {
	p, err := f.parentOf(ctx, of, end.Document)
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	table := of.table.Ends
	var came []run.Followed
	var children []run.Child
	if p != nil && !p.request.DryRun {
		for i, then := range p.def.Then {
			why, failed, err := isWanted(ctx, p.def, then, &p.doc, p.request.Parameters)
			switch {
			case err != nil:
				return err
			case failed:
				came = append(came, p.none(i, why))
			case why != "":
				f.options.Log.Debug().Str("task", p.def.Name).Stringer("run", p.doc.ImportID).Str("then", then.Task).Str("detail", why).Msg("the end of a run starts nothing")
			default:
				child, why := f.child(p, then)
				if why != "" {
					came = append(came, p.none(i, why))
				} else {
					children = append(children, run.Child{Entry: i, Task: child.ID})
				}
			}
		}
	}
	switch {
	case len(children) > 0:
		// An event that comes late may come for the second time.
		isLate := end.StoredOn.Sub(time.Time(*cmp.Or(end.Document.CompletedOn, &end.Document.UpdatedOn))) > lateEvent
		isNew, behind := end.Event > table.Doubtful && !isLate, end.Document.ImportID
		if isNew {
			if behind, err = f.options.Runs.End(ctx); err != nil {
				return err
			}
			behind = max(behind, end.Document.ImportID, run.Number(f.accepted.Load())) // what came before is not looked at then
		}
		table.Starting = &run.Starting{Event: end.Event, Run: end.Document.ImportID, Children: children, Behind: behind, By: f.name}
		if err := f.write(ctx, of, table.With(came...)); err != nil {
			return err
		}
		f.tell(p, came...)
		if f.reached != nil {
			f.reached(ctx, "intended")
		}
		return f.start(ctx, of, p, isNew)
	case len(came) > 0, end.Event >= table.Event+countedLate:
		err := f.write(ctx, of, table.Past(end.Event, end.Document.ImportID, came...))
		if err == nil {
			f.tell(p, came...)
		}
		return err
	}
	of.seen = end.Event
	return nil
}

// none is what came of an entry of then that starts nothing.
func (p *parent) none(entry int, why string) run.Followed {
	return run.Followed{On: time.Now().UTC(), Run: p.doc.ImportID, Entry: entry, Task: p.def.Then[entry].Task, Why: why}
}

// child is the task that an entry of then starts, or why it does not.
func (f *Follower) child(p *parent, then task.Then) (child bus.Task, why string) {
	if p.request.Link+1 >= task.MaxChain {
		return child, fmt.Sprintf("the chain has %d runs, as many as it may", task.MaxChain)
	}
	meant := task.Referred(then.Task, f.options.Tasks.Definitions())
	switch {
	case len(meant) == 0:
		return child, "there is no task " + wording.Quote(then.Task)
	case len(meant) > 1:
		return child, fmt.Sprintf("%d tasks are called %s", len(meant), wording.Quote(then.Task))
	}
	child, _ = f.options.Tasks.Get(meant[0].ID)
	if why := f.refusal(child); why != "" {
		return child, why
	}
	return child, ""
}

// refusal is why a task starts no runs, "" if it does.
func (f *Follower) refusal(t bus.Task) string {
	if t.Definition == nil || !t.Enabled {
		return "the task is disabled"
	}
	if held, ok := f.options.Holds.Of(t.ID); ok {
		return "the task is held, because " + held.String()
	}
	return ""
}

// finish starts what a process was about to start that has died, or stands still.
func (f *Follower) finish(ctx context.Context, of *state) error {
	starting := of.table.Starting
	status, err := f.options.Runs.Lookup(ctx, of.id, starting.Run)
	switch {
	case errors.Is(err, run.ErrRunGone), errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrErased), err == nil && !status.Final:
		return f.write(ctx, of, of.table.Past(starting.Event, starting.Run))
	case err != nil:
		return err
	}
	p, err := f.parentOf(ctx, of, status.Document)
	if errors.Is(err, errGone) {
		return f.write(ctx, of, of.table.Past(starting.Event, starting.Run))
	}
	if err != nil {
		return err
	}
	return f.start(ctx, of, p, false)
}

// start starts the runs that the chain says are about to be started, unless they were. isNew says that no other process
// can have done so.
func (f *Follower) start(ctx context.Context, of *state, p *parent, isNew bool) error {
	starting := of.table.Starting
	var came []run.Followed
	for _, child := range starting.Children {
		if child.Entry >= len(p.def.Then) {
			continue // another program has written it
		}
		one := p.none(child.Entry, "")
		n, why, err := f.startOne(ctx, of, p, child, isNew)
		if err != nil {
			return err
		}
		if one.Child, one.Why = n, why; n > 0 {
			f.delay.Observe(max(0, time.Since(time.Time(*cmp.Or(p.doc.CompletedOn, &p.doc.UpdatedOn))).Seconds()))
		}
		came = append(came, one)
	}
	if f.reached != nil {
		f.reached(ctx, "stored")
	}
	if err := f.write(ctx, of, of.table.Past(starting.Event, starting.Run, came...)); err != nil {
		return err
	}
	f.tell(p, came...)
	return nil
}

// startOne makes one run durable that is about to be started, or says why not.
func (f *Follower) startOne(ctx context.Context, of *state, p *parent, child run.Child, isNew bool) (n run.Number, why string, err error) {
	behind := of.table.Starting.Behind
	if !isNew { // whatever has become of its task since
		n, ok, err := f.options.Runs.ChainedRun(ctx, of.id, p.doc.ImportID, child.Entry, child.Task, behind)
		if err != nil || ok {
			return n, "", err
		}
	}
	then := p.def.Then[child.Entry]
	t, ok := f.options.Tasks.Get(child.Task)
	if !ok {
		return 0, "there is no task " + wording.Quote(then.Task), nil
	}
	if why := f.refusal(t); why != "" {
		return 0, why, nil
	}
	passed, why, err := given(ctx, p.def, then, &p.doc, p.request.Parameters)
	if why != "" || err != nil {
		return 0, why, err
	}
	values, err := t.Resolve(passed)
	if err != nil {
		return 0, "parameters: " + err.Error(), nil
	}
	now := time.Now()
	request := run.Request{
		Task: t.ID, TaskName: t.Name, Definition: t.Hash, Parameters: values, ParameterHash: values.Hash(), Base: p.request.Base,
		Trigger: run.Chain, Overlap: t.Overlap,
		CorrelationID: p.request.CorrelationID, TraceParent: p.request.TraceParent, WorkflowRunID: p.request.WorkflowRunID,
		RetryAfter:  int(cmp.Or(f.options.Paces.PollAgain(t.Definition, run.Stage{Phase: run.Queued, Since: now}, now), time.Second) / time.Second),
		StartWithin: int(t.StartWithin / time.Second), StartedBy: p.doc.ImportID, Link: p.request.Link + 1, CreatedOn: now.UTC(),
	}
	if t.Overlap == "" && t.MaxQueued > 0 && f.options.Runs.IsFullNow(ctx, t.ID, t.MaxQueued) {
		return 0, "as many runs of the task wait as may (max_queued)", nil
	}
	accepted, err := f.options.Runs.SubmitChained(ctx, of.id, request, child.Entry, behind, isNew)
	if open, ok := errors.AsType[*bus.OpenRuns](err); ok {
		return 0, open.Error() + " (overlap: reject)", nil
	}
	if err == nil && accepted.Number > run.Number(f.accepted.Load()) {
		f.accepted.Store(uint64(accepted.Number))
	}
	return accepted.Number, "", err
}

// write stores a chain in the place of the one that is known.
func (f *Follower) write(ctx context.Context, of *state, chain run.Ends) error {
	written, err := f.options.Chains.Write(ctx, of.id, chain, of.table.Revision)
	if err == nil {
		of.table = written
	}
	return err
}

// tell tells what came of the end of a run.
func (f *Follower) tell(p *parent, came ...run.Followed) {
	for _, one := range came {
		if one.Child > 0 {
			f.ends.WithLabelValues(p.def.Name, "run").Inc()
			f.options.Log.Debug().Str("task", p.def.Name).Stringer("run", one.Run).Str("then", one.Task).Stringer("child", one.Child).Msg("the end of a run has started another one")
			continue
		}
		f.ends.WithLabelValues(p.def.Name, "none").Inc()
		f.options.Log.Info().Str("task", p.def.Name).Stringer("run", one.Run).Str("then", one.Task).Str("correlation_id", p.request.CorrelationID).
			Str("detail", strings.ReplaceAll(one.Why, "\n", " ")).Msg("the end of a run has started nothing")
	}
}
