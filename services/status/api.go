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

// adminRoute is a route for administrators only, which no page of another site may call.
func (s *Service) adminRoute(method, pattern, summary string, handle web.Handler) web.Route {
	return web.Route{
		Method: method, Pattern: pattern, Summary: summary,
		Handler: s.options.Admin.Guard(func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			if err := s.loaded(); err != nil {
				return err
			}
			return handle(ctx, rc)
		}),
	}
}

// queryValues reads the query string, which may have each of names once and nothing else: what is
// ignored would seem to have worked.
func queryValues(rc *fasthttp.RequestCtx, names ...string) (map[string]string, error) {
	values := make(map[string]string)
	p := &web.Problem{Kind: "wrong-query", Title: "The query string cannot be used", Status: fasthttp.StatusBadRequest}
	for rawName, rawValue := range rc.QueryArgs().All() {
		name := string(rawName)
		_, twice := values[name]
		switch {
		case !slices.Contains(names, name):
			detail := "this address takes no query parameters"
			if len(names) > 0 {
				detail = "there is no such query parameter; this address takes " + strings.Join(names, " and ")
			}
			p.Errors = append(p.Errors, web.Fault{Name: name, Detail: detail})
		case twice:
			p.Errors = append(p.Errors, web.Fault{Name: name, Detail: "is there more than once"})
		default:
			values[name] = string(rawValue)
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = fmt.Sprintf("%q: %s.", p.Errors[0].Name, p.Errors[0].Detail)
		return nil, p
	}
	return values, nil
}

// wrongValue refuses the value of a query parameter.
func wrongValue(name, detail string) error {
	return &web.Problem{
		Kind: "wrong-query", Title: "The query string cannot be used", Status: fasthttp.StatusBadRequest,
		Detail: fmt.Sprintf("%q: %s.", name, detail), Errors: []web.Fault{{Name: name, Detail: detail}},
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
