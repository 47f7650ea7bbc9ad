package status

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

const (
	defaultRuns = 50
	maxRuns     = 500
)

// runList is the answer to a list of runs.
type runList struct {
	Runs []run.Listed
	// Next is what before= has to be for the next page; 0 if there is none.
	Next run.Number `json:",omitempty"`
	// History says how far the history is, where the list lacks what it has not read yet.
	History *historyState `json:",omitempty"`
}

// listRuns answers GET /api/runs with the newest runs first, of those that the filters of the query string leave, and
// with queued=true, where behind= may name a run, with those that no runner holds, the oldest first; with open=true with
// all that have not ended.
func (s *Service) listRuns(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	limit := defaultRuns
	if text, given := query["limit"]; given {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxRuns {
			return wrongValue("limit", fmt.Sprintf("%q is not a number from 1 to %d", text, maxRuns))
		}
	}
	wanted, err := s.wanted(query)
	if err != nil {
		return err
	}
	if len(wanted.Parameters) > 0 && web.ReadsOnly(rc) {
		return errValuesHidden
	}
	answer := runList{Runs: []run.Listed{}}
	if which := unended(query); which != "" {
		answer.Runs, err = s.listUnended(ctx, which, query, wanted, limit)
	} else if _, given := query["behind"]; given {
		err = wrongValue("behind", "goes with queued=true or open=true only")
	} else {
		answer, err = s.search(ctx, wanted, limit)
	}
	if err != nil {
		return err
	}
	return writeJSON(rc, answer)
}

// unended is which of the runs that have not ended are asked for, "" if others are.
func unended(query map[string]string) (which string) {
	for _, which := range []string{"queued", "open"} {
		if _, asked := query[which]; asked {
			return which
		}
	}
	return ""
}

// unendedWithin bounds a list of runs that have not ended, each of which is read: a client gets what there is of it
// before it gives the request up, or hears that the store does not answer.
const unendedWithin = 20 * time.Second

// listUnended is the part of listRuns for queued=true and open=true.
func (s *Service) listUnended(ctx context.Context, which string, query map[string]string, wanted history.Query, limit int) ([]run.Listed, error) {
	if query[which] != "true" {
		return nil, wrongValue(which, fmt.Sprintf("%q is not true", query[which]))
	}
	if !wanted.IsPlain() || wanted.Before > 0 {
		return nil, wrongValue(which, "goes with task, behind and limit only")
	}
	var behind run.Number
	if text, given := query["behind"]; given {
		var err error
		if behind, err = run.ParseNumber(text); err != nil {
			return nil, wrongValue("behind", err.Error())
		}
	}
	ids := wanted.Tasks
	if len(ids) == 0 {
		for _, queue := range s.options.Tasks.Queues() {
			ids = append(ids, queue.Task)
		}
	}
	list := s.options.Runs.Queued
	if which == "open" {
		list = s.options.Runs.Open
	}
	limited, cancel := context.WithTimeout(ctx, unendedWithin)
	defer cancel()
	found, err := list(limited, behind, limit, ids...)
	if err != nil {
		return nil, err
	}
	return s.listed(ctx, found)
}

// listed is what a list shows of what the store says of runs.
func (s *Service) listed(ctx context.Context, found []bus.Status) ([]run.Listed, error) {
	all := make([]run.Listed, 0, len(found))
	for _, status := range found {
		doc := status.Document
		if !status.Final {
			status, err := s.told(ctx, doc.ExecuteID, doc.ImportID, status, false)
			if err != nil {
				return nil, err
			}
			seen, err := s.memory.note(key{doc.ExecuteID, doc.ImportID}, status)
			if err == nil {
				doc, err = run.DecodeDocument(seen.body)
			}
			if err != nil {
				return nil, err
			}
		}
		all = append(all, doc.Listed())
	}
	return all, nil
}

// showRun answers GET /api/runs/{run} with the run's document.
func (s *Service) showRun(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	seen, err := s.document(ctx, id, number)
	if err != nil {
		return err
	}
	body := seen.body
	if of, known := s.options.Tasks.Of(id); known && !seen.final() {
		_, body = s.pollAgain(of, seen)
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, fasthttp.StatusOK, body)
	return nil
}

// document is a run's document as the store has it, or what was seen since.
func (s *Service) document(ctx context.Context, id task.ID, number run.Number) (*sighting, error) {
	status, err := s.options.Runs.Lookup(ctx, id, number)
	if err == nil {
		status, err = s.told(ctx, id, number, status, true)
	}
	if err != nil {
		return nil, err
	}
	return s.memory.note(key{id, number}, status)
}

// findRun reads the number in the path, and finds the task whose run it is.
func (s *Service) findRun(ctx context.Context, rc *fasthttp.RequestCtx) (id task.ID, number run.Number, err error) {
	if number, err = run.ParseNumber(web.PathValue(rc, "run")); err != nil {
		err = run.ErrNoRun
	} else {
		id, err = s.options.Runs.Find(ctx, number)
	}
	if errors.Is(err, run.ErrNoRun) {
		if deleted := s.deleted(ctx, number); deleted != nil {
			return id, number, deleted
		}
		err = web.Refuse(fasthttp.StatusNotFound, fmt.Sprintf("Run %s does not exist, or its record has expired or was deleted; `runhook runs list` shows the newest runs.", web.PathValue(rc, "run")))
	}
	return id, number, err
}

// requestDocument is what an administrator sees of a run's request.
type requestDocument struct {
	ExecuteID task.ID    `json:"ExecuteId"`
	ImportID  run.Number `json:"ImportId"`
	TaskName  string
	// Definition is the hash of the definition that the run executes.
	Definition string
	Trigger    run.Trigger
	Operator   string     `json:",omitempty"`
	RepeatOf   run.Number `json:",omitempty"`
	DryRun     bool       `json:",omitempty"`
	Parameters map[string]givenDocument
	// Hidden: the Parameters are without their values, which whoever asks does not see.
	Hidden bool `json:",omitempty"`
}

// errValuesHidden refuses to look for a value on behalf of whoever does not see values.
var errValuesHidden = web.Refuse(fasthttp.StatusForbidden, "A token that only reads does not see the values of parameters, so it cannot look for one; use one without (read).")

// givenDocument is a parameter with its values; without any the source's own default counts.
type givenDocument struct {
	Values   []string
	Multiple bool `json:",omitempty"`
	From     task.Origin
}

// showRequest answers GET /api/runs/{run}/request with the values that a run was started with, and by whom. A token that
// only reads does not show the values.
func (s *Service) showRequest(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	request, err := s.options.Runs.Request(ctx, id, number)
	if err != nil {
		return err
	}
	answer := requestDocument{
		ExecuteID: id, ImportID: number, TaskName: request.TaskName, Definition: request.Definition, Trigger: request.Trigger,
		Operator: request.Operator, RepeatOf: request.RepeatOf, DryRun: request.DryRun, Parameters: map[string]givenDocument{}, Hidden: web.ReadsOnly(rc),
	}
	for name, value := range request.Parameters {
		if answer.Hidden {
			value.Values = nil
		}
		answer.Parameters[name] = givenDocument{append([]string{}, value.Values...), value.Multiple, value.From}
	}
	return writeJSON(rc, answer)
}
