package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// connectionDocument is a connection as the admin routes show it: what this service knows of it without the
// connections files of the runners.
type connectionDocument struct {
	Name string
	// Tasks are the names of the tasks that use it.
	Tasks  []string
	Paused bool
	// By is who has paused it, Since when, and Why.
	By    string    `json:",omitempty"`
	Since *run.Time `json:",omitempty"`
	Why   string    `json:",omitempty"`
}

// connections are those that tasks name, and those that are paused, by name.
func (s *Service) connections() []connectionDocument {
	known := map[string]*connectionDocument{}
	of := func(name string) *connectionDocument {
		if known[name] == nil {
			known[name] = &connectionDocument{Name: name, Tasks: []string{}}
		}
		return known[name]
	}
	for _, t := range s.options.Tasks.All() {
		for _, name := range t.Connections() {
			of(name).Tasks = append(of(name).Tasks, t.Name)
		}
	}
	for _, p := range s.options.Pauses.All() {
		c := of(p.Name)
		c.Paused, c.By, c.Since, c.Why = true, p.By, new(run.Time(p.On)), p.Why
	}
	all := make([]connectionDocument, 0, len(known))
	for _, c := range known {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b connectionDocument) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// listConnections answers GET /api/connections with the connections that tasks name.
func (s *Service) listConnections(_ context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	return writeJSON(rc, struct{ Connections []connectionDocument }{s.connections()})
}

// connection returns the connection that a request's path names.
func (s *Service) connection(rc *fasthttp.RequestCtx) (connectionDocument, error) {
	name, all := strings.Clone(web.PathValue(rc, "connection")), s.connections()
	if i := slices.IndexFunc(all, func(c connectionDocument) bool { return c.Name == name }); i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	hint := nearest.Hint(name, names)
	if hint == "" {
		hint = "; `runhook connections list` shows those that tasks use."
	}
	return connectionDocument{}, web.Refuse(fasthttp.StatusNotFound, fmt.Sprintf("No task uses a connection %s%s", name, hint))
}

// pauseConnection answers POST /api/connections/{connection}/pause?why= with the connection, once this process has
// runs wait for it. Those of other processes do within a second.
func (s *Service) pauseConnection(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	was, err := s.connection(rc)
	if err != nil {
		return err
	}
	if fault := run.CheckWhy(query["why"]); fault != nil {
		return wrongValue("why", fault.Error())
	}
	paused := run.PausedConnection{Name: was.Name, By: web.Operator(rc), On: time.Now().UTC(), Why: query["why"]}
	if was.Paused { // it is since then
		paused.On = time.Time(*was.Since)
		if _, given := query["why"]; !given {
			paused.Why = was.Why
		}
	}
	// A stop must not cut the write short, because nobody could tell whether it is stored.
	if err := s.options.Unheld.PauseConnection(context.WithoutCancel(ctx), paused); err != nil {
		return err
	}
	return s.answerConnection(ctx, rc, was, audit.ConnectionPause, "connection paused: the runs that use it wait", paused.Why, func(now connectionDocument) bool {
		return now.Paused && now.By == paused.By && now.Why == paused.Why
	})
}

// resumeConnection answers POST /api/connections/{connection}/resume.
func (s *Service) resumeConnection(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	was, err := s.connection(rc)
	if err != nil {
		return err
	}
	if was.Paused {
		if err := s.options.Unheld.ResumeConnection(context.WithoutCancel(ctx), was.Name); err != nil {
			return err
		}
	}
	return s.answerConnection(ctx, rc, was, audit.ConnectionResume, "connection resumed", was.Why, func(now connectionDocument) bool { return !now.Paused })
}

// answerConnection logs what was done, if anything was, and answers with the connection once this process sees it.
func (s *Service) answerConnection(ctx context.Context, rc *fasthttp.RequestCtx, was connectionDocument, what, done, why string, seen func(connectionDocument) bool) error {
	changed := !seen(was)
	if changed {
		line := s.options.Log.Info().Str("by", web.Operator(rc))
		if web.ViaPage(rc) {
			line.Str("via", "page")
		}
		line.Stringer("address", s.options.Locator.Client(rc)).Str("connection", was.Name).Bool("paused_before", was.Paused).Str("why", why).Msg(done)
		kept := audit.Line{What: what, Detail: "connection " + was.Name}
		if what == audit.ConnectionPause {
			kept.Why = why
		}
		s.keep(ctx, rc, kept)
	}
	ctx, cancel := context.WithTimeout(ctx, seeTimeout)
	defer cancel()
	for {
		next := s.options.Pauses.Changed()
		now, err := s.connection(rc)
		if err != nil {
			now = connectionDocument{Name: was.Name, Tasks: []string{}} // no task uses it
		}
		if seen(now) {
			return writeJSON(rc, struct {
				Changed    bool
				Connection connectionDocument
			}{changed, now})
		}
		select {
		case <-next:
		case <-ctx.Done():
			return &web.Problem{
				Kind: "not-seen", Title: "The connection is changed, and that is not seen yet", Status: fasthttp.StatusServiceUnavailable,
				Detail:     "It is stored whether the connection is paused. This service has not seen it yet, or somebody else has changed it at the same time; list the connections to see.",
				RetryAfter: time.Second, Cause: ctx.Err(),
			}
		}
	}
}
