// Package ingress accepts webhooks: it finds the task, reads the body, resolves the parameters,
// makes the run durable with one message, and answers.
package ingress

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/seldom"
	"runhook/shared/task"
	"runhook/shared/web"
)

// Options says how an ingress works.
type Options struct {
	// Runs is of a store that was checked; it may go away and come back later.
	Runs *bus.Runs
	// Tasks is what the POSTs are checked against; while it is not loaded they get 503.
	Tasks *bus.TaskView
	// Paces say when callers poll first, and when again; nil knows of no run that has ended.
	Paces *bus.Paces
	// Holds are the tasks that are held; nil holds none.
	Holds *bus.Holds
	// Audit keeps which runs operators repeat; nil keeps nothing.
	Audit *bus.Audit
	// Locator makes the addresses in answers; nil takes the request's own scheme and Host.
	Locator *web.Locator
	// Callers lets in who may call a task; nil knows no secrets.
	Callers *web.Callers
	// Admin knows who may call every task, as `runhook run` does; nil knows nobody.
	Admin *web.Admin
	// Keys sign CancelUrl and RejectedUrl, which are left out without them.
	Keys *web.Keys
	// Links sign the status URL of a run; nil leaves it plain (--run-links).
	Links *web.Keys
	// Waits bounds how many requests wait for runs to end, of all services of the process; nil lets
	// [web.DefaultMaxWaiting] wait.
	Waits *web.Waits
	Log   zerolog.Logger
	// Metrics is where the ingress's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Ingress is one process's entrance for webhooks. It has no goroutines of its own.
type Ingress struct {
	options Options
	metrics metrics
	// seldom logs what many POSTs can cause at once.
	seldom *seldom.Log
}

// New makes an ingress.
func New(o Options) *Ingress {
	if o.Waits == nil {
		o.Waits = web.NewWaits(web.DefaultMaxWaiting, nil)
	}
	if o.Callers == nil {
		o.Callers = web.NewCallers(nil, o.Locator, o.Log)
	}
	return &Ingress{options: o, metrics: newMetrics(o.Metrics), seldom: seldom.New(o.Log)}
}

// Routes are the webhooks.
func (in *Ingress) Routes() []web.Route {
	cors := web.TaskOrigins(func(rc *fasthttp.RequestCtx) *task.Definition { return in.find(web.PathValue(rc, "task")).Definition })
	return []web.Route{
		{
			Method: fasthttp.MethodPost, Pattern: "/task/execute/{task}", CORS: cors,
			Summary: "Start a run and answer at once", Refuses: in.refuses, Handler: in.post(in.answerExecute, false),
		},
		{
			Method: fasthttp.MethodPost, Pattern: "/task/executepolling/{task}", CORS: cors,
			Summary: "Start a run that is then polled", Refuses: in.refuses, Handler: in.post(in.answerPolling, false),
		},
		{
			// A path and not a header: if it is misspelled, or the server does not know it, nothing runs.
			Method: fasthttp.MethodPost, Pattern: "/task/dryrun/{task}", CORS: cors,
			Summary: "Start a run that writes nothing, and is then polled", Refuses: in.refuses, Handler: in.post(in.answerPolling, true),
		},
	}
}

// metrics label tasks by name, never by GUID: a GUID is what lets somebody call the webhook.
type metrics struct {
	accepted *prometheus.CounterVec
	replayed *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		accepted: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_accepted_total", Help: "Runs made durable, by task.",
		}, []string{"task"}),
		replayed: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_replayed_total", Help: "POSTs answered with the run that their Idempotency-Key had started, by task.",
		}, []string{"task"}),
		refused: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_posts_refused_total", Help: "POSTs that started nothing, by task (empty for none) and reason.",
		}, []string{"task", "reason"}),
	}
}

// called is the task that a request's path names, perhaps a deleted one, or without a Definition if there
// never was one.
type called struct {
	bus.Task
	// as is the id in the path: a former one of the task's, or its own.
	as task.ID
}

// find returns the task that a path names, by its id or a former one.
func (in *Ingress) find(name string) called {
	id, found := in.options.Tasks.Named(name)
	return called{found, id}
}

// refuses reports whether a POST starts nothing whatever its body is. With an Idempotency-Key, or that of a signed
// message, it may be about a run that there is.
func (in *Ingress) refuses(head web.Head) bool {
	target := in.find(head.PathValue("task"))
	switch {
	case target.Definition == nil:
		return true
	case len(target.Auth) > 0:
		operator := in.options.Admin != nil && !in.options.Admin.Refuses(head.RequestHeader)
		return !operator && in.options.Callers.Refuses(head, target.Definition)
	}
	return len(head.Peek("Idempotency-Key")) == 0 && in.usable(target) != nil
}

// refusal makes the Problem of a POST that starts nothing.
func refusal(status int, kind, title, detail string) *web.Problem {
	return &web.Problem{Status: status, Kind: kind, Title: title, Detail: detail}
}

var errUnknownTask = refusal(fasthttp.StatusNotFound, "unknown-task", "There is no such task",
	"No task has this id. Copy the webhook's address again from the task.")

// usable returns why no run of a task can be started, nil if one can.
func (in *Ingress) usable(target called) error {
	switch {
	case target.Definition == nil && !in.options.Tasks.Loaded():
		return web.ErrTasksNotLoaded
	case target.Definition == nil || target.Deleted:
		return errUnknownTask
	case target.as == target.ID && !slices.Contains(target.WebhookIDs(), target.as): // it only names the task
		return errUnknownTask
	case !target.Starts(target.as, time.Now()):
		return refusal(fasthttp.StatusGone, "former-id", "The address has expired",
			"The task has a new id, and this former one starts no more runs. Copy the webhook's new address from the task.")
	case !target.Enabled:
		return refusal(fasthttp.StatusConflict, "task-disabled", "The task is disabled",
			"The task is disabled, so nothing was started. Enable it (runhook task enable), or remove the call.")
	}
	if held, ok := in.options.Holds.Of(target.ID); ok {
		return taskHeld(held)
	}
	return nil
}

// post is the way of every POST: check, store, count, answer. dry makes the run one that writes nothing.
func (in *Ingress) post(answer answerFunc, dry bool) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		target := in.find(web.PathValue(rc, "task"))
		accepted, err := in.accept(ctx, rc, target, dry)
		in.count(target, accepted, err)
		if err != nil {
			return err
		}
		if accepted.Replayed {
			rc.Response.Header.Set("Idempotency-Replayed", "true")
		}
		line := audit.Line{By: web.Operator(rc)}
		if line.By != "" {
			line.Address = in.options.Locator.Client(rc).String()
		}
		in.log(ctx, line, target, accepted)
		return answer(ctx, rc, target, accepted)
	}
}

// count counts what has become of a request.
func (in *Ingress) count(target called, accepted bus.Accepted, err error) {
	if err != nil {
		name := ""
		if target.Definition != nil && !target.Deleted {
			name = target.Name
		}
		in.metrics.refused.WithLabelValues(name, cmp.Or(web.ProblemOf(err).Kind, "error")).Inc()
		return
	}
	counter := in.metrics.accepted
	if accepted.Replayed {
		counter = in.metrics.replayed
	}
	counter.WithLabelValues(target.Name).Inc()
}

// log logs an accepted run, those of operators as each of their changes. line says who has started it, from where.
func (in *Ingress) log(ctx context.Context, line audit.Line, target called, accepted bus.Accepted) {
	level := zerolog.DebugLevel
	if line.By != "" {
		level = zerolog.InfoLevel
	}
	in.options.Log.WithLevel(level).Str("by", line.By).Str("task", target.Name).Stringer("run", accepted.Number).
		Bool("replayed", accepted.Replayed).Str("correlation", accepted.Request.CorrelationID).Msg("run accepted")
	if of := accepted.Request.RepeatOf; of > 0 && line.By != "" && !accepted.Replayed && in.options.Audit != nil {
		line.On, line.What, line.TaskID, line.Task = time.Now().UTC(), audit.RunsAgain, target.ID, target.Name
		line.Run, line.Detail = accepted.Number, "a repeat of run "+of.String()
		in.options.Audit.Keep(ctx, line)
	}
}
