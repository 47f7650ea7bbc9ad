package status

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/task"
	"runhook/shared/web"
)

const (
	defaultLines = 50
	maxLines     = 500
)

// auditList is the answer to a list of the audit.
type auditList struct {
	Lines []audit.Line
	// Next is what before= has to be for the next page; 0 if there is none.
	Next uint64 `json:",omitempty"`
	// Broken are the numbers of lines before which something was changed or removed.
	Broken []uint64 `json:",omitempty"`
}

// listAudit answers GET /api/audit with who did what, the newest first.
func (s *Service) listAudit(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	q, limit, err := wantedLines(query)
	if err != nil {
		return err
	}
	if s.options.Audit == nil {
		return web.Refuse(fasthttp.StatusNotImplemented, "This service keeps no audit.")
	}
	found, err := s.options.Audit.Lines(ctx, q, limit)
	if err != nil {
		return err
	}
	if found.Lines == nil {
		found.Lines = []audit.Line{}
	}
	return writeJSON(rc, auditList(found))
}

// wantedLines reads which lines a query string wants, and how many.
func wantedLines(query map[string]string) (q audit.Query, limit int, err error) {
	q.Who, limit = query["who"], defaultLines
	if what, given := query["what"]; given {
		if err := audit.CheckWhat(what); err != nil {
			return q, 0, wrongValue("what", err.Error())
		}
		q.What = what
	}
	if text, given := query["task"]; given {
		if q.Task, err = task.ParseID(text); err != nil { // it is a part of the name
			q.Task, q.Named = "", text
		}
		if text == "" {
			return q, 0, wrongValue("task", "is empty; leave it out for all tasks")
		}
	}
	if text, given := query["limit"]; given {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLines {
			return q, 0, wrongValue("limit", fmt.Sprintf("%q is not a number from 1 to %d", text, maxLines))
		}
	}
	if text, given := query["before"]; given {
		if q.Before, err = strconv.ParseUint(text, 10, 64); err != nil || q.Before == 0 {
			return q, 0, wrongValue("before", fmt.Sprintf("%q is not the number of a line", text))
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text, given := query[name]; given {
			if *to, err = time.Parse(time.RFC3339, text); err != nil {
				return q, 0, wrongValue(name, "give a moment like 2031-01-31T12:00:00Z")
			}
		}
	}
	switch {
	case q.Since.After(time.Now()):
		return q, 0, wrongValue("since", "is in the future")
	case !q.Until.IsZero() && !q.Since.Before(q.Until):
		return q, 0, wrongValue("until", "is not later than since")
	}
	return q, limit, nil
}
