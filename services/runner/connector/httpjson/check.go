package httpjson

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
)

// checkPatience is that of somebody who waits for the answer.
var checkPatience = patience{attempts: 2, first: 500 * time.Millisecond, most: 5 * time.Second, silence: 30 * time.Second}

// Check asks for the first page, unless a parameter that it requires has no value.
func (SourceKind) Check(ctx context.Context, job connector.Job, found *check.Report) (connector.Looked, error) {
	for i, parameter := range job.Task.Parameters {
		if key := job.Task.Key(i); parameter.Required && len(job.Parameters[key].Values) == 0 {
			found.Warnf(check.At("source", "http", "path"), "the first page was not asked for, and its columns are not known: the parameter %s is required and has no value here; give one with -p %[1]s=VALUE", key)
			return connector.Unseen(), nil
		}
	}
	from := source(job)
	if _, err := job.Connections.HTTP(from.Connection); err != nil {
		found.Fail(check.At("source", "http", "connection"), err)
		return connector.Unseen(), nil
	}
	s, err := open(ctx, job.Connections, from, job.Task.ExpressionParams(job.Parameters), checkPatience, true)
	if err != nil {
		found.Fail(check.At("source", "http", "path"), err)
		return connector.Unseen(), ctx.Err()
	}
	defer s.Close()
	if s.empty {
		found.Warnf(check.At("source", "http", "path"), "the first page has no rows, so that the columns that the task names could not be looked up")
	}
	if s.ended {
		found.Fail(check.At("source", "http", "next"), s.lost())
	}
	looked := connector.Looked{Columns: s.Columns(), Types: s.Types(), First: check.First(ctx, len(s.columns), s.Next), Warnings: s.warnings()}
	return looked, ctx.Err()
}

// Check asks the service with HEAD, which changes nothing, whether it is there. What it takes shows in a
// run.
func (DestinationKind) Check(ctx context.Context, job connector.Job, _ []check.Column, found *check.Report) (check.Takes, error) {
	to := destination(job)
	service, err := job.Connections.HTTP(to.Connection)
	if err != nil {
		found.Fail(check.At("destination", "http", "connection"), err)
		return nil, nil
	}
	at := check.At("destination", "http", "path")
	c := newClient(service, checkPatience)
	defer c.close()
	target, err := c.locate("destination.http.path", to.Path)
	if err != nil {
		found.Fail(at, err)
		return nil, nil
	}
	place := to.Path + " of connection " + to.Connection
	answer, err := c.ask(ctx, http.MethodHead, target, nil, nil)
	if err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			found.Errorf(at, "%s %s", place, refused.why)
		}
		return nil, ctx.Err()
	}
	_ = answer.Body.Close() // HEAD has no body
	switch says := strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode); answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		found.Warnf(at, "%s answers %s to HEAD; if it does to %s too, correct the credentials in the headers of the connection", place, says, to.Method)
	case http.StatusNotFound, http.StatusGone:
		found.Warnf(at, "%s answers %s to HEAD; if it does to %s too, correct path, or the url of the connection", place, says, to.Method)
	}
	found.Notef(at, "%s answers; no rows are sent here, and a run shows whether it takes them", place)
	return nil, nil
}
