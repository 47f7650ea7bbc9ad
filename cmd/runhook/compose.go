package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"runhook/services/ingress"
	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/services/status"
	"runhook/services/status/chains"
	"runhook/services/status/console"
	"runhook/services/status/history"
	"runhook/services/status/scheduler"
	"runhook/services/status/sweep"
	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/caller"
	"runhook/shared/folder"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/web"
	"runhook/shared/zone"
)

// process is what the services of this process share.
type process struct {
	log     zerolog.Logger
	metrics *prometheus.Registry
	server  *web.Server
	// starting is what keeps it from being ready, until answer.
	starting starting
	store    *bus.Bus
	tasks    *bus.TaskView
	cancels  *bus.Cancels  // see toCancel
	paces    *bus.Paces    // see toPace
	pauses   *bus.Pauses   // see paused
	holds    *bus.Holds    // see watchHolds
	erasures *bus.Erasures // see toErase
	// timetables say how far the schedules of tasks are dealt with, see watchTimetables.
	timetables *bus.Timetables
	// chains say how far the ends of runs are dealt with that start others, see watchChains.
	chains *bus.Chains
	// logged are the tasks that the log names.
	logged *atomic.Pointer[bus.TaskView]
	// notes are what /readyz says besides.
	notes []string
	undos []func()
	// hangup has what reads the files that are read again when somebody asks for it.
	hangup struct {
		mu    sync.Mutex
		reads []func()
	}

	// ended is closed when the server has; served is its error then.
	ended  chan struct{}
	served error
	// stop ends the steps that open the process, and what they run beside it.
	stop context.CancelFunc
}

// step adds one thing to a process. Whatever it starts or holds it gives to undo at once.
type step func(ctx context.Context, p *process) error

// open makes a process by its steps, in their order. If one fails, everything before it is undone. A process
// that is stopped while it answers and is not ready has ended as it should.
func open(ctx context.Context, p *program, steps ...step) (*process, error) {
	opened := &process{log: p.log, logged: p.tasks, metrics: prometheus.NewRegistry(), starting: starting{log: p.log}}
	opened.notes = append(opened.notes, p.built.String())
	p.log.Info().Str("version", p.built.Version).Str("commit", p.built.Commit).Str("go", p.built.Go).Str("tzdata", zone.Newest().Version).Strs("settings", p.settings).Msg("starting")
	opened.metrics.MustRegister(p.built.metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	opening, stop := context.WithCancel(ctx)
	opened.stop = stop
	opened.undo(stop)
	hangups := p.hangups()
	opened.beside(ctx, func(ctx context.Context) { opened.hearHangups(ctx, hangups) })
	for _, do := range steps {
		err := do(opening, opened)
		if err == nil {
			continue
		}
		opened.close()
		if opened.server != nil && opened.served != nil {
			return nil, failedServing(opened.served)
		}
		if opened.server != nil && ctx.Err() != nil {
			return nil, &exit{exitSuccess, nil}
		}
		return nil, err
	}
	return opened, nil
}

// undo has close do this before everything that it was given earlier.
func (p *process) undo(this func()) { p.undos = append(p.undos, this) }

// close undoes everything, the last first.
func (p *process) close() {
	for _, undo := range slices.Backward(p.undos) {
		undo()
	}
}

// beside runs work until ctx ends, or until close comes to it, which waits for its end.
func (p *process) beside(ctx context.Context, work func(context.Context)) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work(ctx)
	}()
	p.undo(func() { stop(); <-ended })
}

// onHangup has the process read something again from now on, whenever it is asked to (SIGHUP).
func (p *process) onHangup(read func()) {
	p.hangup.mu.Lock()
	defer p.hangup.mu.Unlock()
	p.hangup.reads = append(p.hangup.reads, read)
}

// hearHangups reads everything again at each of the hangups, until ctx ends.
func (p *process) hearHangups(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		p.hangup.mu.Lock()
		reads := slices.Clone(p.hangup.reads)
		p.hangup.mu.Unlock()
		for _, read := range reads {
			read()
		}
	}
}

// errInUse: somebody holds the lock of a data directory.
var errInUse = errors.New("another `runhook serve` uses the data directory")

// lock makes the data directory and keeps a second instance out of it.
func (p *process) lock(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w: choose another with --data", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("cannot write in the data directory: %w: choose another with --data, or change its owner", err)
	}
	if !locked {
		return fmt.Errorf("%w %s: stop it, or choose another with --data", errInUse, dir)
	}
	p.undo(func() { _ = lock.Unlock() }) // the end of the process unlocks it too
	return nil
}

// connect connects to a store without looking at what it holds.
func (p *process) connect(ctx context.Context, c bus.Config) (err error) {
	c.Log, c.Metrics = p.log, p.metrics
	if p.store, err = bus.Connect(ctx, c); err != nil {
		return err
	}
	p.undo(p.store.Close)
	return nil
}

// embed starts a NATS server on a directory, for this process alone, and connects to it. Once that is
// undone, nothing is written to the directory any more.
func (p *process) embed(ctx context.Context, dir, name string) error {
	server, err := broker.Start(ctx, broker.Options{Dir: dir, Recovering: p.starting.recovers, Log: p.log})
	if err != nil {
		return err
	}
	p.undo(func() { server.Stop(); server.Server().WaitForShutdown() })
	return p.connect(ctx, bus.Config{Name: name, InProcess: server, Full: server.Full, Cramped: server.Cramped})
}

// checkStore opens a store that `runhook init` has made.
func checkStore(ctx context.Context, p *process) error { return p.store.Check(ctx) }

// watchTasks starts the process's view of the tasks. It goes on when ctx ends, for what is still
// under way, until it is undone.
func watchTasks(ctx context.Context, p *process) error {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	loaded := context.AfterFunc(ctx, cancel)
	tasks, ended, err := p.store.Tasks.Watch(watching)
	stopped := !loaded()
	if err != nil {
		cancel()
		return err
	}
	p.tasks = tasks
	p.logged.Store(tasks)
	p.undo(func() { cancel(); <-ended })
	if stopped {
		return ctx.Err()
	}
	return nil
}

// ready tells whether a service can do its work: NATS is reachable, its streams are there, and the
// tasks are loaded.
func (p *process) ready(ctx context.Context) error {
	if why := p.starting.why(); why != nil {
		return why
	}
	if err := p.store.Ready(ctx); err != nil {
		return err
	}
	if !p.tasks.Loaded() {
		return errors.New("the tasks are not loaded yet")
	}
	return nil
}

// runner makes the runner. home is as in [runner.Options].
func (p *process) runner(f SlotFlags, connections *connection.Set, home string) (*runner.Runner, error) {
	return runner.New(runner.Options{
		Work: p.store.Work, Tasks: p.tasks, Kinds: builtin.Kinds(), Connections: connections, Pool: f.Pool, Slots: f.Slots, Grace: f.Grace,
		Home: home, Hold: f.Hold, Log: p.log, Metrics: p.metrics,
	})
}

// heldNote says that runs are held, in /readyz, in the log and at the start.
const heldNote = "Runs are held (--hold): POSTs are accepted and queue, and this runner takes no run."

// sweeper makes what ends or moves the runs that no runner holds.
func (p *process) sweeper() *sweep.Sweeper {
	return sweep.New(sweep.Options{Unheld: p.store.Unheld, Tasks: p.tasks, Cancels: p.toCancel(), Erasures: p.toErase(), Log: p.log, Metrics: p.metrics})
}

// toCancel is the view of the runs that are to be canceled, which its status service and its sweeper share. Somebody
// has it followed.
func (p *process) toCancel() *bus.Cancels {
	if p.cancels == nil {
		p.cancels = p.store.Unheld.Cancels()
	}
	return p.cancels
}

// toPace is the view of the paces of tasks, which the services that answer pollers share. Somebody has it followed.
func (p *process) toPace() *bus.Paces {
	if p.paces == nil {
		p.paces = p.store.Runs.Paces()
	}
	return p.paces
}

// paused is the view of the connections that are paused, for its status service. Somebody has it followed.
func (p *process) paused() *bus.Pauses {
	if p.pauses == nil {
		p.pauses = p.store.Unheld.Pauses()
	}
	return p.pauses
}

// watchHolds starts the process's view of the tasks that are held, as watchTasks does. What takes POSTs knows them
// before the first.
func watchHolds(ctx context.Context, p *process) error {
	holds := p.store.Tasks.Holds()
	if err := holds.Load(ctx); err != nil {
		return fmt.Errorf("read which tasks are held: %w", err)
	}
	p.holds = holds
	p.beside(context.WithoutCancel(ctx), holds.Follow)
	return nil
}

// watchTimetables starts the process's view of how far the schedules of tasks are dealt with, as watchTasks does.
func watchTimetables(ctx context.Context, p *process) error {
	timetables := p.store.Unheld.Timetables()
	if err := timetables.Load(ctx); err != nil {
		return fmt.Errorf("read how far the schedules of tasks are dealt with: %w", err)
	}
	p.timetables = timetables
	p.beside(context.WithoutCancel(ctx), timetables.Follow)
	return nil
}

// watchChains starts the process's view of how far the ends of runs are dealt with that start others, as watchTasks does.
func watchChains(ctx context.Context, p *process) error {
	chains := p.store.Unheld.Chains()
	if err := chains.Load(ctx); err != nil {
		return fmt.Errorf("read how far the chains of tasks are dealt with: %w", err)
	}
	p.chains = chains
	p.beside(context.WithoutCancel(ctx), chains.Follow)
	return nil
}

// follower makes what starts the runs that follow the ends of others.
func (p *process) follower() *chains.Follower {
	return chains.New(chains.Options{
		Runs: p.store.Runs, Tasks: p.tasks, Chains: p.chains, Holds: p.holds, Paces: p.toPace(), Log: p.log, Metrics: p.metrics,
	})
}

// scheduler makes what starts the runs that tasks have due.
func (p *process) scheduler(e *edge) *scheduler.Scheduler {
	return scheduler.New(scheduler.Options{
		Runs: p.store.Runs, Tasks: p.tasks, Timetables: p.timetables, Holds: p.holds, Paces: p.toPace(), Base: e.locator.PublicURL(), Log: p.log, Metrics: p.metrics,
	})
}

// toErase is the view of the erasures, which its status service and its sweeper share. Somebody has it followed once
// both are made.
func (p *process) toErase() *bus.Erasures {
	if p.erasures == nil {
		p.erasures = p.store.Unheld.Erasures()
	}
	return p.erasures
}

// answerIntegrations has integrations get their consumers of events from this process, until it is undone.
func answerIntegrations(ctx context.Context, p *process) error {
	answering, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopped, err := p.store.AnswerIntegrations(answering)
	if err != nil {
		cancel()
		return err
	}
	p.undo(func() { cancel(); <-stopped })
	return nil
}

// keep has the streams and consumers stay as they were made.
func (p *process) keep(ctx context.Context) { p.store.Tasks.Keep(ctx, p.tasks) }

// edge makes the services that answer HTTP.
type edge struct {
	// http are the options of the server.
	http    web.Options
	locator *web.Locator
	keys    *web.Keys
	// links are keys too, or nil where links are plain.
	links *web.Keys
	// maxWaiting is how many requests may wait at once, and waits those that do, once a service has asked.
	maxWaiting int
	waits      *web.Waits
	// callers lets in who may call a task, with the secrets of --secrets, nil without it.
	callers *web.Callers
	secrets *caller.Secrets
	// admin is nil where there are no admin routes.
	admin *web.Admin
	// start starts runs for operators; nil where the process has no ingress.
	start func(context.Context, run.Wanted) (run.Number, error)
	// maker makes tasks of uploaded files for the page; nil where the process does not have what that needs.
	maker console.Maker
}

func newEdge(f EdgeFlags, address string, keys *web.Keys, log zerolog.Logger) (*edge, error) {
	locator, err := web.NewLocator(f.PublicURL, f.TrustedProxies, f.Location)
	if err != nil {
		return nil, err
	}
	hosts, err := web.NewHosts(f.Hosts, address, f.PublicURL)
	if err != nil {
		return nil, err
	}
	locator.Under(hosts)
	e := &edge{locator: locator, keys: keys, maxWaiting: f.MaxWaiting}
	e.http = web.Options{Listen: address, MaxBody: f.MaxBody, Hosts: hosts, Proxies: locator.Trusts}
	if e.http.TLS, err = f.certificate(log); err != nil {
		return nil, err
	}
	if f.Secrets != "" {
		if e.secrets, err = caller.LoadSecrets(f.Secrets, log); err != nil {
			return nil, err
		}
	}
	e.callers = web.NewCallers(e.secrets, locator, log)
	if f.RunLinks == "signed" {
		e.links = keys
	}
	return e, nil
}

// waiting is what bounds the requests of the process that wait: its services share it.
func (e *edge) waiting(p *process) *web.Waits {
	if e.waits == nil {
		e.waits = web.NewWaits(e.maxWaiting, p.metrics)
	}
	return e.waits
}

// ingress makes the ingress service, of which there are only its routes, and what starts runs for the page.
func (e *edge) ingress(p *process) []web.Route {
	service := ingress.New(ingress.Options{
		Audit: p.store.Runs.Audit(), Runs: p.store.Runs, Tasks: p.tasks, Paces: p.toPace(), Holds: p.holds, Locator: e.locator, Callers: e.callers, Admin: e.admin, Keys: e.keys, Links: e.links, Waits: e.waiting(p), Log: p.log, Metrics: p.metrics,
	})
	e.start = service.StartWanted
	return service.Routes()
}

// guard reads the admin tokens of a file.
func (e *edge) guard(p *process, file string) (err error) {
	if e.admin, err = web.NewAdmin(file, e.locator, p.log); err == nil {
		p.onHangup(e.admin.Reload)
	}
	return err
}

// noCache is the --cache of a status service that keeps no history.
const noCache = "off"

// status makes the routes of the status service, and has the page's sessions begin, and its history kept in the folder
// cache until ctx ends; empty is a temporary one. followed is the folder of task files, nil for none.
func (e *edge) status(ctx context.Context, p *process, followed *folder.Folder, cache string) []web.Route {
	o := status.Options{
		Runs: p.store.Runs, Store: p.store.Tasks, Unheld: p.store.Unheld, Cancels: p.toCancel(), Erasures: p.toErase(), Audit: p.store.Unheld.Audit(), Pauses: p.paused(), Lines: p.store.Runs.Lines(p.tasks, p.paused()),
		Tasks: p.tasks, Paces: p.toPace(), Holds: p.holds, Timetables: p.timetables, Chains: p.chains, Locator: e.locator, Callers: e.callers, Admin: e.admin, Keys: e.keys, Links: e.links,
		Waits: e.waiting(p), Log: p.log, Metrics: p.metrics,
	}
	if cache != noCache {
		o.History = history.New(history.Options{Runs: p.store.Runs, Dir: cache, Log: p.log, Metrics: p.metrics})
		p.beside(ctx, o.History.Run)
	}
	if followed != nil {
		o.EditFile, o.FileFault = followed.Edit, followed.Fault
	}
	e.admin.Audit(o.Audit.Keep)
	e.admin.Admit(session.New(e.keys.Derive("sessions"), p.store.StoreID(), p.store.Sessions))
	service := status.New(o)
	return append(service.Routes(), console.New(console.Options{Admin: e.admin, Service: service, Tasks: p.tasks, Start: e.start, Maker: e.maker}).Routes()...)
}

// announcePage says where the page is. Only on a terminal, where somebody reads it now, it is a link that signs in:
// elsewhere the output is kept, in a journal or a container's log, and whoever reads that in time could sign in.
func (e *edge) announcePage(ctx context.Context, p *program, server *web.Server) {
	page := e.http.Hosts.InnerURL(server.URL(), e.locator.PublicURL()) + console.Path
	if !isTerminal(p.stdout) {
		p.printf("The page is on %s: `runhook console` prints a link that signs in.\n", page)
		return
	}
	link, err := e.admin.OwnLink(ctx)
	if err != nil {
		p.log.Warn().Err(err).Msg("no link was made that signs in to the page; `runhook console` makes one")
		return
	}
	p.printf("The page: %s#%s signs in as %s, once, within 10 minutes. `runhook console` prints another link.\n", page, link.Code, link.Name)
}

// execute executes runs until ctx ends or the server does. Then both stop at the same time: nothing more is
// accepted or begun, what was accepted is answered, and runs under way get their grace.
func (p *process) execute(ctx context.Context, executing *runner.Runner) error {
	running, stopRunning := context.WithCancel(ctx)
	defer stopRunning()
	defer context.AfterFunc(ctx, func() { p.log.Info().Msg("no more requests are taken; runs under way get their grace") })()
	ended := make(chan error, 1)
	go func() { ended <- executing.Run(running) }()
	<-p.ended
	stopRunning() // also where the server failed
	return failedServing(errors.Join(p.served, <-ended))
}

// failedServing gives the error of a service that had started its exit code.
func failedServing(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}
