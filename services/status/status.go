// Package status tells how runs stand: it answers polls, long polls and event streams, and the admin routes that
// list and apply tasks and list runs.
package status

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/task"
	"runhook/shared/web"
)

// Options says how a status service works.
type Options struct {
	// Runs and Store are of a store that was checked; it may go away and come back later. Store takes the
	// changes of tasks.
	Runs  *bus.Runs
	Store *bus.Tasks
	// Unheld cancels runs.
	Unheld *bus.Unheld
	// Cancels are the runs that are to be canceled, whose documents say so; nil knows none.
	Cancels *bus.Cancels
	// Lines tells what queued runs wait for; nil tells nothing.
	Lines *bus.Lines
	// Pauses are the connections that are paused, as this process knows them; nil knows none.
	Pauses *bus.Pauses
	// Holds are the tasks that are held; nil knows none.
	Holds *bus.Holds
	// Timetables say how far the schedules of tasks are dealt with; nil knows nothing.
	Timetables *bus.Timetables
	// Chains say what came of the ends of runs that start others; nil knows nothing.
	Chains *bus.Chains
	// Erasures are those that are under way: their runs are gone. Whoever makes the view has it followed, after New, and a
	// sweeper does them; nil refuses to erase.
	Erasures *bus.Erasures
	// Audit keeps who did what; nil keeps nothing.
	Audit *bus.Audit
	// Tasks is the view of the tasks; while it is not loaded every request gets 503.
	Tasks *bus.TaskView
	// Paces say when pollers poll again; nil knows of no run that has ended.
	Paces *bus.Paces
	// History lists runs by more than their task; nil refuses to. Whoever makes it has it kept.
	History *history.Index
	// Locator makes the addresses in answers; nil takes the request's own scheme and Host.
	Locator *web.Locator
	// Callers knows who may call a task, and so read its runs without a signature; nil knows no secrets.
	Callers *web.Callers
	// Admin guards the routes below /api; nil lets nobody in.
	Admin *web.Admin
	// Keys verify what opens a run. Without them rejected rows need the admin token.
	Keys *web.Keys
	// Links sign the status address of a run, which then needs its signature; nil leaves it plain
	// (--run-links).
	Links *web.Keys
	// Waits bounds how many requests wait for runs to end, of all services of the process; nil lets
	// [web.DefaultMaxWaiting] wait.
	Waits *web.Waits
	// EditFile changes the file of a task that came with `serve --tasks`, and applies it. change gets
	// the file's text, nil where there is no such file, and returns the new one; nil removes the file.
	// EditFile itself is nil where no folder is followed: such a task is changed elsewhere then.
	EditFile func(ctx context.Context, id task.ID, change func(text []byte) ([]byte, error)) error
	// FileFault is why the file of a task that came with `serve --tasks` is not used, "" if it is; nil where
	// no folder is followed.
	FileFault func(id task.ID) string
	// Remember is how many runs this process remembers, those polled last: finished ones are
	// answered without asking the store, others while the store cannot be reached. Default 10,000,
	// about 20 MB.
	Remember int
	// TrustFinal is how long a finished run is answered from memory before the store is asked again
	// whether it is still kept. Default 1 minute.
	TrustFinal time.Duration
	Log        zerolog.Logger
	// pace is that of event streams.
	pace pace
	// Metrics is where the service's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Service is one process's answers about runs and tasks. It has no goroutines of its own.
type Service struct {
	options  Options
	memory   *memory
	polls    *prometheus.CounterVec
	canceled *prometheus.CounterVec
	cancels  *prometheus.CounterVec
}

// New makes a service.
func New(o Options) *Service {
	if o.Admin == nil {
		o.Admin = new(web.Admin)
	}
	if o.Callers == nil {
		o.Callers = web.NewCallers(nil, o.Locator, o.Log)
	}
	if o.Waits == nil {
		o.Waits = web.NewWaits(web.DefaultMaxWaiting, nil)
	}
	if o.Remember <= 0 {
		o.Remember = 10_000
	}
	if o.TrustFinal <= 0 {
		o.TrustFinal = time.Minute
	}
	o.pace.setDefaults()
	s := &Service{
		options: o, memory: newMemory(o.Remember),
		polls: promauto.With(o.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_polls_total",
			Help: "Polls answered, by task (empty for none) and by how the run stood or why that was not told.",
		}, []string{"task", "outcome"}),
		canceled: promauto.With(o.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_canceled_total",
			Help: "Runs canceled while no runner held them, by task.",
		}, []string{"task"}),
		cancels: promauto.With(o.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_cancel_requests_total",
			Help: "Requests to cancel a run, by task (empty for none) and result: ended (no runner held it), requested (a runner is asked), late (it had ended), forbidden, error.",
		}, []string{"task", "result"}),
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.heldTasks())
	}
	if o.Erasures != nil {
		o.Erasures.OnErased(s.dropErased)
	}
	return s
}

// Routes are the status address of a run, and the admin routes.
func (s *Service) Routes() []web.Route {
	cors := web.TaskOrigins(func(rc *fasthttp.RequestCtx) *task.Definition {
		_, found := s.task(rc)
		return found.Definition
	})
	return append([]web.Route{{
		Method: fasthttp.MethodGet, Pattern: "/task/executepolling/{task}/{run}/status", CORS: cors,
		Summary: "A run's status", Handler: s.poll,
	}, {
		Method: fasthttp.MethodDelete, Pattern: "/task/executepolling/{task}/{run}/status", CORS: cors,
		Summary: "Cancel a run", Refuses: s.refusesCancel, Handler: s.cancelRun,
	}, {
		Method: fasthttp.MethodPost, Pattern: "/task/executepolling/{task}/{run}/cancel", CORS: cors,
		Summary: "Cancel a run", Refuses: s.refusesCancel, Handler: s.cancelRun,
	}, {
		Method: fasthttp.MethodGet, Pattern: "/task/executepolling/{task}/{run}/rejected", CORS: cors,
		Summary: "The rows that a run rejected", Handler: s.rejected,
	}},
		s.adminRoute(fasthttp.MethodGet, "/api/tasks", "List the tasks", s.listTasks),
		s.adminRoute(fasthttp.MethodGet, "/api/tasks/{task}", "Show a task", s.showTask),
		s.adminRoute(fasthttp.MethodPut, "/api/tasks/{task}", "Apply a task file", s.applyTask),
		s.adminRoute(fasthttp.MethodDelete, "/api/tasks/{task}", "Delete a task", s.deleteTask),
		s.adminRoute(fasthttp.MethodPost, "/api/tasks/{task}/enable", "Enable a task", s.enableTask),
		s.adminRoute(fasthttp.MethodPost, "/api/tasks/{task}/disable", "Disable a task", s.disableTask),
		s.adminRoute(fasthttp.MethodPost, "/api/tasks/{task}/rotate", "Give a task's webhook a new id", s.rotateTask, "until"),
		s.adminRoute(fasthttp.MethodPost, "/api/tasks/{task}/since", "Set the watermark of a task", s.setSince, "value"),
		s.adminRoute(fasthttp.MethodGet, "/api/runs", "List the newest runs", s.listRuns, "task", "limit", "queued", "open", "behind",
			"outcome", "trigger", "correlation", "started_by", "since", "until", "text", "parameter", "rejected", "before"),
		s.adminRoute(fasthttp.MethodGet, "/api/counts", "Count runs by day and task", s.countRuns, "task", "since", "until", "zone"),
		s.adminRoute(fasthttp.MethodGet, "/api/runs/{run}", "Show a run", s.showRun),
		s.adminRoute(fasthttp.MethodDelete, "/api/runs", "Erase the runs of a task", s.erases(s.deleteRuns), "task", "before"),
		s.adminRoute(fasthttp.MethodDelete, "/api/runs/{run}", "Erase a run", s.erases(s.deleteRun)),
		s.adminRoute(fasthttp.MethodGet, "/api/audit", "List who did what", s.listAudit, "since", "until", "who", "what", "task", "limit", "before"),
		s.adminRoute(fasthttp.MethodGet, "/api/receipts/{receipt}", "Show the receipt of an erasure", s.erases(s.showReceipt)),
		s.adminRoute(fasthttp.MethodGet, "/api/runs/{run}/request", "Show the values that a run was started with", s.showRequest),
		s.adminRoute(fasthttp.MethodGet, "/api/runs/{run}/chain", "Show the runs before and behind a run in its chain", s.showChain),
		s.adminRoute(fasthttp.MethodGet, "/api/runs/{run}/rejected", "Download the rows that a run rejected", s.rejectedByNumber),
		s.adminRoute(fasthttp.MethodGet, "/api/connections", "List the connections that tasks use", s.listConnections),
		s.adminRoute(fasthttp.MethodPost, "/api/connections/{connection}/pause", "Let the runs that use a connection wait", s.pauseConnection, "why"),
		s.adminRoute(fasthttp.MethodPost, "/api/connections/{connection}/resume", "Let runs use a connection again", s.resumeConnection),
		s.linkRoute(),
	)
}

// task returns the id that a request's path names, and the task that its runs belong to, as
// [bus.TaskView.Named] does.
func (s *Service) task(rc *fasthttp.RequestCtx) (id task.ID, found bus.Task) {
	return s.options.Tasks.Named(web.PathValue(rc, "task"))
}

// loaded reports why nothing can be said yet: a store that was never seen.
func (s *Service) loaded() error {
	if s.options.Tasks.Loaded() {
		return nil
	}
	return web.ErrTasksNotLoaded
}
