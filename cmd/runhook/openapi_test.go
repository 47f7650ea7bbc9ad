package main_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/services/ingress"
	"runhook/services/status"
	"runhook/shared/openapi"
	"runhook/shared/web"
)

// TestEveryRouteIsDescribed holds /openapi.json against the routes of all services: each route has
// its operation, with the same summary, and each operation its route.
func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	in := ingress.New(ingress.Options{})
	answers := status.New(status.Options{})
	ready := func(context.Context) error { return nil }
	registered := make(map[string]string) // "GET /path" to the summary
	for _, table := range [][]web.Route{
		in.Routes(), answers.Routes(), openapi.Routes(), web.Health(ready), web.Metrics(prometheus.NewRegistry()),
	} {
		for _, route := range table {
			registered[route.Method+" "+route.Pattern] = route.Summary
		}
	}

	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi.Document(), &document); err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for path, item := range document.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			name := strings.ToUpper(method) + " " + path
			described[name] = true
			if method == "head" { // every GET route answers HEAD
				if _, ok := registered["GET "+path]; !ok {
					t.Errorf("%s is described, and there is no GET of it", name)
				}
				continue
			}
			summary, ok := registered[name]
			if !ok {
				t.Errorf("%s is described, and there is no such route", name)
				continue
			}
			var operation struct{ Summary string }
			if err := json.Unmarshal(raw, &operation); err != nil {
				t.Fatal(err)
			}
			if operation.Summary != summary {
				t.Errorf("%s: summary %q, the route has %q", name, operation.Summary, summary)
			}
		}
	}
	for name := range registered {
		if !described[name] {
			t.Errorf("%s is not described", name)
		}
	}
}
