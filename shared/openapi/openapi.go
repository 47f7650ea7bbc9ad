// Package openapi holds the description of the HTTP API, an OpenAPI 3.1 document, and serves it, also as Swagger 2.0.
package openapi

import (
	"context"
	_ "embed"

	"github.com/valyala/fasthttp"

	"runhook/shared/web"
)

//go:embed openapi.json
var document []byte

// Document returns a copy of the document's JSON.
func Document() []byte { return append([]byte(nil), document...) }

// Routes returns the descriptions of the API, which any page may read.
func Routes() []web.Route {
	return []web.Route{
		describe("/openapi.json", "This description of the API", func() []byte { return document }),
		describe("/openapi-2.json", "The routes of callers, for custom connectors", swagger),
		describe("/status-document.schema.json", "The JSON Schema of the status document", statusSchema),
	}
}

func describe(path, summary string, text func() []byte) web.Route {
	return web.Route{
		Method: fasthttp.MethodGet, Pattern: path, Summary: summary, CORS: web.AnyOrigin,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
			web.SetJSON(rc, fasthttp.StatusOK, text())
			return nil
		},
	}
}
