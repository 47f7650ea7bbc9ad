package ingress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/task"
	"runhook/shared/web"
	"runhook/shared/zone"
)

// runAt is the member of a body that says when the run is to start.
const runAt = "RunAt"

const (
	// justPassed is how long ago a RunAt may be: clocks differ, and a POST takes its time. Such a run starts at once.
	justPassed = time.Minute
	// farthest is how far ahead a RunAt may be, if the store keeps runs for twice as long.
	farthest = 366 * 24 * time.Hour
)

// takeRunAt takes the time at which a run is to start out of what a body has beside QueryParameters; the zero time for
// none. Nothing else is left that was probably meant to be it: to ignore that would start the run at once.
func takeRunAt(def *task.Definition, body *content, query []datum) (at time.Time, err error) {
	wrong := func(detail string) error {
		p := refusal(fasthttp.StatusBadRequest, "wrong-run-at", "The time of the run cannot be used", detail)
		p.Errors = []web.Fault{{Name: runAt, Detail: detail}}
		return p
	}
	if _, isParameter := parameterNamed(def, runAt); isParameter { // which is in the wrong place
		return at, nil
	}
	for _, other := range query {
		if strings.EqualFold(lettersOf(other.name), runAt) {
			return at, wrong(fmt.Sprintf("The query string has %q, and nothing there is read; send it in the body, beside QueryParameters.", shorten(other.name)))
		}
	}
	for i, other := range body.others {
		switch {
		case !strings.EqualFold(lettersOf(other.name), runAt):
			continue
		case !strings.EqualFold(other.name, runAt):
			return at, wrong(fmt.Sprintf("The member %q looks like RunAt; call it so.", shorten(other.name)))
		case other.kind == 'n':
		case other.kind != '"':
			return at, wrong("RunAt must be a text, as \"2026-12-01T06:00:00+01:00\".")
		default:
			if at, err = zone.ParseMoment(strings.TrimSpace(other.text)); err != nil {
				return at, wrong("RunAt: " + strings.Replace(err.Error()+".", "?.", "?", 1))
			}
		}
		body.others = slices.Delete(body.others, i, i+1)
		return at, nil
	}
	return at, nil
}

// checkRunAt refuses a time that has passed, and one that is too far ahead; one that has just passed is the zero time.
func (in *Ingress) checkRunAt(at time.Time, dry bool) (time.Time, error) {
	wrong := func(detail string) (time.Time, error) {
		p := refusal(fasthttp.StatusBadRequest, "wrong-run-at", "The time of the run cannot be used", detail)
		p.Errors = []web.Fault{{Name: runAt, Detail: detail}}
		return time.Time{}, p
	}
	shown, now := at.Format(time.RFC3339), time.Now()
	latest := now.Add(min(farthest, in.options.Runs.Retention()/2))
	switch {
	case at.IsZero():
		return at, nil
	case dry:
		return wrong("A dry run starts at once; leave RunAt out.")
	case now.Sub(at) > justPassed:
		return wrong(fmt.Sprintf("RunAt is %s, which has passed (it is %s); write a moment to come, or leave RunAt out to start the run at once.", shown, now.UTC().Format(time.RFC3339)))
	case at.After(latest):
		return wrong(fmt.Sprintf("RunAt is %s, and a run can wait until %s at most: for a year, and half as long as runs are kept (--retention). Write an earlier moment, or give the task a schedule.",
			shown, latest.UTC().Format(time.RFC3339)))
	case !at.After(now):
		return time.Time{}, nil
	}
	return at.UTC(), nil
}
