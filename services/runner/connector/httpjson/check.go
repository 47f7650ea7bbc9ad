package httpjson

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

// checkPatience is that of somebody who waits for the answer.
var checkPatience = patience{attempts: 2, first: 500 * time.Millisecond, most: 5 * time.Second, silence: 30 * time.Second}

// CheckSource asks for the first page of a source, and reports what is wrong with it. The columns are
// not known where there is none. The error is ctx's.
func CheckSource(ctx context.Context, connections *connection.Set, from *task.HTTPSource, params map[string]any, found *check.Report) (connector.Looked, error) {
	if _, err := connections.HTTP(from.Connection); err != nil {
		found.Fail(check.At("source", "http", "connection"), err)
		return connector.Unseen(), nil
	}
	s, err := open(ctx, connections, from, params, checkPatience)
	if err != nil {
		found.Fail(check.At("source", "http", "path"), err)
		return connector.Unseen(), ctx.Err()
	}
	defer s.Close()
	if s.empty {
		found.Warnf(check.At("source", "http", "path"), "the first page has no rows, so that the columns that the task names could not be looked up")
	}
	return connector.Looked{Columns: s.Columns(), First: check.First(ctx, len(s.columns), s.Next)}, ctx.Err()
}

// Check asks the service of a destination with HEAD, which changes nothing, whether it is there, and
// reports what it says. No rows are sent. The error is ctx's.
func Check(ctx context.Context, connections *connection.Set, to *task.HTTPDestination, found *check.Report) error {
	service, err := connections.HTTP(to.Connection)
	if err != nil {
		found.Fail(check.At("destination", "http", "connection"), err)
		return nil
	}
	at := check.At("destination", "http", "path")
	c := newClient(service, checkPatience)
	defer c.close()
	target, err := c.locate("destination.http.path", to.Path)
	if err != nil {
		found.Fail(at, err)
		return nil
	}
	place := to.Path + " of connection " + to.Connection
	answer, err := c.ask(ctx, http.MethodHead, target, nil, nil)
	if err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			found.Errorf(at, "%s %s", place, refused.why)
		}
		return ctx.Err()
	}
	_ = answer.Body.Close() // HEAD has no body
	switch says := strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode); answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		found.Warnf(at, "%s answers %s to HEAD; if it does to %s too, correct the credentials in the headers of the connection", place, says, to.Method)
	case http.StatusNotFound, http.StatusGone:
		found.Warnf(at, "%s answers %s to HEAD; if it does to %s too, correct path, or the url of the connection", place, says, to.Method)
	}
	found.Notef(at, "%s answers; whether it takes the rows shows in a run, for none are sent here", place)
	return nil
}
