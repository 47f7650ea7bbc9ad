// Package openapi holds the description of the HTTP API, an OpenAPI 3.1 document, and serves it.
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

// Routes returns the route /openapi.json, which any page may read.
func Routes() []web.Route {
	return []web.Route{{
		Method: fasthttp.MethodGet, Pattern: "/openapi.json", Summary: "This description of the API", CORS: web.AnyOrigin,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
			web.SetJSON(rc, fasthttp.StatusOK, document)
			return nil
		},
	}}
}
