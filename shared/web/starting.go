package web

import (
	"time"

	"github.com/valyala/fasthttp"
)

// refuseStarting answers a request while the routes are not there yet. Any page may read the answer, and ask
// before: which pages a task allows is not known.
func (s *Server) refuseStarting(rc *fasthttp.RequestCtx) {
	_ = AnyOrigin.apply(rc) // which refuses none
	if rc.IsOptions() {
		AnyOrigin.preflight(rc, []string{fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodOptions, fasthttp.MethodPost})
		rc.SetStatusCode(fasthttp.StatusNoContent)
	} else {
		startingProblem(s.why()).write(rc)
	}
	s.logAccess(rc, time.Time{})
}

func startingProblem(why error) *Problem {
	return &Problem{
		Kind: "starting", Title: "The server is starting", Status: fasthttp.StatusServiceUnavailable,
		Detail:     "The server is starting, so nothing was done: " + why.Error() + ". Send the request again.",
		RetryAfter: 5 * time.Second,
	}
}
