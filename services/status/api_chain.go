package status

import (
	"cmp"
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"runhook/services/status/chains"
	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// mostChained is how many runs of a chain are shown.
const mostChained = 200

// chainDocument is a run's chain, as the admin routes show it.
type chainDocument struct {
	// Runs are those of the chain, each behind the one whose end has started it. More says that there are more.
	Runs []run.Listed
	More bool `json:",omitempty"`
	// None are what was not started at the ends of the runs.
	None []noneDocument
	// History says how far the history is, where runs may lack that it has not read yet.
	History *historyState `json:",omitempty"`
}

// noneDocument is why an entry of then has started nothing, as the admin routes show it.
type noneDocument struct {
	Run  run.Number
	Task string
	Why  string
}

// showChain answers GET /api/runs/{run}/chain with the runs before and behind a run, and with what they have not started.
func (s *Service) showChain(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	answer, err := s.chain(ctx, id, number)
	if err != nil {
		return err
	}
	return writeJSON(rc, answer)
}

// chain is the chain that a run is part of: nothing but the run if it has none.
func (s *Service) chain(ctx context.Context, id task.ID, number run.Number) (answer chainDocument, err error) {
	asked, ok, err := s.chained(ctx, id, number)
	if err != nil || !ok {
		return answer, cmp.Or(err, run.ErrRunGone)
	}
	answer.None = []noneDocument{}
	if asked.StartedBy == 0 && s.options.Chains.Of(id).Revision == 0 {
		answer.Runs = []run.Listed{asked}
		return answer, nil
	}
	first := asked
	for range task.MaxChain + 1 {
		if first.StartedBy == 0 {
			break
		}
		before, ok, err := s.numbered(ctx, first.StartedBy)
		if err != nil {
			return answer, err
		}
		if !ok { // it was erased, or is past the retention
			break
		}
		first = before
	}
	hasHistory := false
	if s.options.History != nil {
		state := s.options.History.Fresh(ctx, freshWithin)
		if hasHistory = state.Missing == nil; hasHistory && !state.Complete {
			answer.History = &historyState{state.Percent}
		}
	}
	if err := s.follow(ctx, &answer, first, hasHistory, map[run.Number]bool{}); err != nil {
		return answer, err
	}
	none, err := s.none(ctx, asked)
	answer.None = append(answer.None, none...)
	return answer, err
}

// chained is a run as a list shows it; ok is false if it is gone.
func (s *Service) chained(ctx context.Context, id task.ID, n run.Number) (listed run.Listed, ok bool, err error) {
	status, err := s.options.Runs.Lookup(ctx, id, n)
	if errors.Is(err, run.ErrRunGone) || errors.Is(err, run.ErrNoRun) {
		return listed, false, nil
	}
	if err != nil {
		return listed, false, err
	}
	all, err := s.listed(ctx, []bus.Status{status})
	if err != nil {
		return listed, false, err
	}
	return all[0], true, nil
}

// numbered is chained for a run of which only the number is known.
func (s *Service) numbered(ctx context.Context, n run.Number) (listed run.Listed, ok bool, err error) {
	id, err := s.options.Runs.Find(ctx, n)
	if errors.Is(err, run.ErrNoRun) || errors.Is(err, run.ErrRunGone) {
		return listed, false, nil
	}
	if err != nil {
		return listed, false, err
	}
	return s.chained(ctx, id, n)
}

// follow adds a run, and those that its end has started, and so on.
func (s *Service) follow(ctx context.Context, answer *chainDocument, first run.Listed, hasHistory bool, seen map[run.Number]bool) error {
	if seen[first.ImportID] {
		return nil
	}
	seen[first.ImportID] = true
	if len(answer.Runs) == mostChained {
		answer.More = true
		return nil
	}
	answer.Runs = append(answer.Runs, first)
	var next []run.Number
	for _, came := range s.options.Chains.Of(first.ExecuteID).Recent {
		switch {
		case came.Run != first.ImportID:
		case came.Child > 0:
			next = append(next, came.Child)
		default:
			answer.None = append(answer.None, noneDocument{came.Run, came.Task, came.Why})
		}
	}
	if hasHistory {
		page, err := s.options.History.List(ctx, history.Query{StartedBy: first.ImportID}, mostChained)
		if err != nil && !errors.Is(err, history.ErrAnew) {
			return noHistory(err)
		}
		for i := len(page) - 1; i >= 0; i-- {
			next = append(next, page[i].ImportID)
		}
	}
	for _, n := range next {
		child, ok, err := s.numbered(ctx, n)
		if err != nil {
			return err
		}
		if !ok || child.StartedBy != first.ImportID {
			continue
		}
		if err := s.follow(ctx, answer, child, hasHistory, seen); err != nil {
			return err
		}
	}
	return nil
}

// none is why the end of a run has started nothing, as far as that is so for ever: by a condition that gives false, and
// by what cannot be computed. What has come of it lately is known, and not looked at.
func (s *Service) none(ctx context.Context, listed run.Listed) (none []noneDocument, err error) {
	if listed.Status != run.Done || listed.Trigger == run.DryRun || s.options.Chains.Of(listed.ExecuteID).Revision == 0 {
		return nil, nil
	}
	for _, came := range s.options.Chains.Of(listed.ExecuteID).Recent {
		if came.Run == listed.ImportID && came.Why != "" {
			return nil, nil
		}
	}
	status, err := s.options.Runs.Lookup(ctx, listed.ExecuteID, listed.ImportID)
	if err != nil || !status.Final {
		return nil, err
	}
	request, err := s.options.Runs.Request(ctx, listed.ExecuteID, listed.ImportID)
	if err != nil {
		return nil, err
	}
	def, err := s.options.Runs.Definition(ctx, listed.ExecuteID, request.Definition)
	if err != nil { // it is not stored any more
		return nil, nil
	}
	for _, then := range def.Then {
		if !then.Fits(status.Document.StatusDescription) {
			continue
		}
		why, err := chains.WhyNot(ctx, def, then, &status.Document, request.Parameters)
		if err != nil {
			return nil, err
		}
		if why != "" {
			none = append(none, noneDocument{listed.ImportID, then.Task, why})
		}
	}
	return none, nil
}
