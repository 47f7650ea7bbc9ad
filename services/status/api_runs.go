package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

const (
	defaultRuns = 50
	maxRuns     = 500
)

// listRuns answers GET /api/runs?task=&limit= with the newest runs first, and with queued=true, where
// behind= may name a run, with those that no runner holds, the oldest first.
func (s *Service) listRuns(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) (err error) {
	var ids []task.ID
	if text, given := query["task"]; given {
		id, err := task.ParseID(text)
		if err != nil {
			return wrongValue("task", err.Error())
		}
		of, known := s.options.Tasks.Of(id)
		if !known {
			return wrongValue("task", "no task has the id "+string(id))
		}
		ids = s.options.Tasks.IDs(of.ID)
	}
	limit := defaultRuns
	if text, given := query["limit"]; given {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxRuns {
			return wrongValue("limit", fmt.Sprintf("%q is not a number from 1 to %d", text, maxRuns))
		}
	}
	found, err := s.list(ctx, query, limit, ids)
	if err != nil {
		return err
	}
	answer := struct{ Runs []json.RawMessage }{make([]json.RawMessage, 0, len(found))}
	for _, status := range found {
		seen, err := s.memory.note(key{status.Document.ExecuteID, status.Document.ImportID}, status)
		if err != nil {
			return err
		}
		answer.Runs = append(answer.Runs, seen.body)
	}
	return writeJSON(rc, answer)
}

// list is the part of listRuns that asks the store.
func (s *Service) list(ctx context.Context, query map[string]string, limit int, ids []task.ID) ([]bus.Status, error) {
	var behind run.Number
	text, given := query["behind"]
	if given {
		var err error
		if behind, err = run.ParseNumber(text); err != nil {
			return nil, wrongValue("behind", err.Error())
		}
	}
	switch queued, asked := query["queued"]; {
	case asked && queued != "true":
		return nil, wrongValue("queued", fmt.Sprintf("%q is not true", queued))
	case given && !asked:
		return nil, wrongValue("behind", "goes with queued=true only")
	case !asked:
		return s.options.Runs.List(ctx, limit, ids...)
	}
	if len(ids) == 0 {
		for _, queue := range s.options.Tasks.Queues() {
			ids = append(ids, queue.Task)
		}
	}
	return s.options.Runs.Queued(ctx, behind, limit, ids...)
}

// showRun answers GET /api/runs/{run} with the run's document.
func (s *Service) showRun(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	status, err := s.options.Runs.Lookup(ctx, id, number)
	if err != nil {
		return err
	}
	seen, err := s.memory.note(key{id, number}, status)
	if err != nil {
		return err
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, fasthttp.StatusOK, seen.body)
	return nil
}

// findRun reads the number in the path, and finds the task whose run it is.
func (s *Service) findRun(ctx context.Context, rc *fasthttp.RequestCtx) (id task.ID, number run.Number, err error) {
	if number, err = run.ParseNumber(web.PathValue(rc, "run")); err != nil {
		err = run.ErrNoRun
	} else {
		id, err = s.options.Runs.Find(ctx, number)
	}
	if errors.Is(err, run.ErrNoRun) {
		err = web.Refuse(fasthttp.StatusNotFound, fmt.Sprintf("Run %s does not exist, or its record has expired; `runhook runs list` shows the newest runs.", web.PathValue(rc, "run")))
	}
	return id, number, err
}
