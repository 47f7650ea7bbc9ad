package status

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"runhook/shared/web"
)

// adminHandler answers a request of an administrator, with the values of its query string.
type adminHandler func(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error

// adminRoute is a route for administrators only, which no page of another site may call. names are those
// that its query string may have.
func (s *Service) adminRoute(method, pattern, summary string, handle adminHandler, names ...string) web.Route {
	return web.Route{
		Method: method, Pattern: pattern, Summary: summary, Inner: true,
		Refuses: func(head web.Head) bool { return s.options.Admin.Refuses(head.RequestHeader) },
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			if err := s.options.Admin.Check(ctx, rc); err != nil {
				return err
			}
			if err := s.loaded(); err != nil {
				return err
			}
			query, err := queryValues(rc, names)
			if err != nil {
				return err
			}
			return handle(ctx, rc, query)
		},
	}
}

// repeated is the one name that a query string may have several times. Its values are joined by repeatedBy.
const (
	repeated   = "parameter"
	repeatedBy = "\x00"
)

// queryValues reads the query string, which may have each of names once and nothing else: what is
// ignored would seem to have worked.
func queryValues(rc *fasthttp.RequestCtx, names []string) (map[string]string, error) {
	values := make(map[string]string)
	var wrong []web.Fault
	for rawName, rawValue := range rc.QueryArgs().All() {
		name := string(rawName)
		before, twice := values[name]
		switch {
		case !slices.Contains(names, name):
			detail := "this address takes no query parameters"
			if len(names) > 0 {
				detail = "there is no such query parameter; this address takes " + strings.Join(names, " and ")
			}
			wrong = append(wrong, web.Fault{Name: name, Detail: detail})
		case twice && name == repeated:
			values[name] = before + repeatedBy + string(rawValue)
		case twice:
			wrong = append(wrong, web.Fault{Name: name, Detail: "is there more than once"})
		default:
			values[name] = string(rawValue)
		}
	}
	if len(wrong) > 0 {
		return nil, wrongQuery(wrong...)
	}
	return values, nil
}

// wrongValue refuses the value of a query parameter.
func wrongValue(name, detail string) error { return wrongQuery(web.Fault{Name: name, Detail: detail}) }

func wrongQuery(faults ...web.Fault) error {
	return &web.Problem{
		Kind: "wrong-query", Title: "The query string cannot be used", Status: fasthttp.StatusBadRequest,
		Detail: fmt.Sprintf("%q: %s.", faults[0].Name, faults[0].Detail), Errors: faults,
	}
}

// writeJSON answers with a value's JSON, which nobody may keep: it changes.
func writeJSON(rc *fasthttp.RequestCtx, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, fasthttp.StatusOK, body)
	return nil
}
