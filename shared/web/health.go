package web

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// readyTimeout bounds one readiness check.
const readyTimeout = 2 * time.Second

// Health returns the routes /livez, which answers 200 while the process serves, and /readyz, which
// answers 503 with the reason while ready returns an error. The reason, and notes, lines that /readyz adds to
// its 200, are shown to whoever asks under one of the server's names.
func Health(ready func(ctx context.Context) error, notes ...string) []Route {
	ok := func(_ context.Context, rc *fasthttp.RequestCtx) error {
		rc.SetContentType("text/plain; charset=utf-8")
		rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		rc.SetBodyString("ok\n")
		return nil
	}
	return []Route{
		{Method: fasthttp.MethodGet, Pattern: "/livez", Summary: "Whether the process serves", Always: true, Handler: ok},
		{
			Method: fasthttp.MethodGet, Pattern: "/readyz", Summary: "Whether the service can do its work", Always: true,
			Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
				limited, cancel := context.WithTimeout(ctx, readyTimeout)
				defer cancel()
				inside := ByItsHost(rc)
				if err := ready(limited); err != nil {
					reason := "The reason is shown under the server's own names only (--hosts)."
					if inside {
						reason = err.Error()
					}
					return &Problem{Status: fasthttp.StatusServiceUnavailable, Title: "Not ready", Detail: reason, RetryAfter: 5 * time.Second, Unlogged: true}
				}
				err := ok(ctx, rc)
				if !inside {
					return err
				}
				for _, note := range notes {
					rc.Response.AppendBodyString(note + "\n")
				}
				return err
			},
		},
	}
}

// Metrics returns the route /metrics, which shows what gatherer has in Prometheus's format. It needs no token, so
// nothing in it may let somebody in: tasks are labelled with their names, never with a GUID.
func Metrics(gatherer prometheus.Gatherer) []Route {
	answer := fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	return []Route{{
		Method: fasthttp.MethodGet, Pattern: "/metrics", Summary: "Measurements in Prometheus's format", Always: true, Inner: true,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			answer(rc)
			return nil
		},
	}}
}
