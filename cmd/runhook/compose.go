package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"runhook/services/ingress"
	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/status"
	"runhook/services/status/sweep"
	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/folder"
	"runhook/shared/web"
)

// watchTasks starts the process's view of the tasks. It goes on when ctx ends, for what is still
// under way, until stop is called.
func watchTasks(ctx context.Context, store *bus.Bus) (tasks *bus.TaskView, stop func(), err error) {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	loaded := context.AfterFunc(ctx, cancel)
	tasks, ended, err := store.WatchTasks(watching)
	if !loaded() && err == nil {
		<-ended
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return tasks, func() { cancel(); <-ended }, nil
}

// edge makes the services that answer HTTP in this process, from what they share.
type edge struct {
	EdgeFlags
	locator *web.Locator
	keys    *web.Keys
	program *program
	metrics *prometheus.Registry
}

func newEdge(f EdgeFlags, keys *web.Keys, p *program, metrics *prometheus.Registry) (*edge, error) {
	locator, err := web.NewLocator(f.PublicURL, f.TrustedProxies, f.Location)
	if err != nil {
		return nil, err
	}
	return &edge{EdgeFlags: f, locator: locator, keys: keys, program: p, metrics: metrics}, nil
}

func (e *edge) ingress(store *bus.Bus, tasks *bus.TaskView) ([]web.Route, error) {
	service, err := ingress.New(ingress.Options{
		Bus: store, Tasks: tasks, Locator: e.locator, Keys: e.keys, SignedLinks: e.RunLinks == "signed",
		Log: e.program.log, Metrics: e.metrics,
	})
	if err != nil {
		return nil, err
	}
	return service.Routes(), nil
}

// status makes the status service. followed is the folder of task files, nil for none.
func (e *edge) status(store *bus.Bus, tasks *bus.TaskView, adminTokenFile string, followed *folder.Folder) (*status.Service, error) {
	admin, err := web.NewAdmin(adminTokenFile, e.locator)
	if err != nil {
		return nil, err
	}
	o := status.Options{
		Bus: store, Tasks: tasks, Locator: e.locator, Admin: admin, Keys: e.keys, SignedLinks: e.RunLinks == "signed",
		Log: e.program.log, Metrics: e.metrics,
	}
	if followed != nil {
		o.EditFile = followed.Edit
	}
	return status.New(o)
}

func (e *edge) sweeper(store *bus.Bus, tasks *bus.TaskView) *sweep.Sweeper {
	return sweep.New(sweep.Options{Bus: store, Tasks: tasks, Log: e.program.log, Metrics: e.metrics})
}

// listen binds the address for the services' routes, health and metrics.
func (e *edge) listen(address string, store *bus.Bus, tasks *bus.TaskView, routes ...[]web.Route) (*web.Server, error) {
	routes = append(routes, web.Health(ready(store, tasks)), web.Metrics(e.metrics))
	return web.New(web.Options{Listen: address, MaxBody: e.MaxBody, Log: e.program.log}, routes...)
}

// ready tells whether a service can do its work: NATS is reachable, its streams are there, and the
// tasks are loaded.
func ready(store *bus.Bus, tasks *bus.TaskView) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := store.Ready(ctx); err != nil {
			return err
		}
		if !tasks.Loaded() {
			return errors.New("the tasks are not loaded yet")
		}
		return nil
	}
}

// runner makes the runner. home is as in [runner.Options].
func (f *SlotFlags) runner(store *bus.Bus, tasks *bus.TaskView, connections *connection.Set, home string, p *program, metrics *prometheus.Registry) (*runner.Runner, error) {
	return runner.New(runner.Options{
		Bus: store, Tasks: tasks, Connections: connections, Slots: f.Slots,
		Grace: cmp.Or(f.Grace, -1), // there 0 is the default, and less is none
		Home:  home, Log: p.log, Metrics: metrics,
	})
}

// newMetrics makes a service's registry, with the process's own figures in it.
func newMetrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// errInUse: somebody holds the lock of a data directory.
var errInUse = errors.New("another `runhook serve` uses the data directory")

// lockData makes the data directory and keeps a second instance out of it.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the data directory: %w: choose another with --data", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot write in the data directory: %w: choose another with --data, or change its owner", err)
	}
	if !locked {
		return nil, fmt.Errorf("%w %s: stop it, or choose another with --data", errInUse, dir)
	}
	return func() { _ = lock.Unlock() }, nil // the end of the process unlocks it too
}

// embedded starts a NATS server on a directory, for this process alone, and connects to it. stop ends
// both, and returns when nothing is written to the directory any more.
func embedded(ctx context.Context, dir, name string, p *program) (store *bus.Bus, stop func(), err error) {
	server, err := broker.Start(broker.Options{Dir: dir, Log: p.log})
	if err != nil {
		return nil, nil, err
	}
	end := func() { server.Stop(); server.Server().WaitForShutdown() }
	store, err = bus.Connect(ctx, bus.Config{Name: name, InProcess: server, Full: server.Full, Log: p.log})
	if err != nil {
		end()
		return nil, nil, err
	}
	return store, func() { store.Close(); end() }, nil
}

// serveAndExecute answers HTTP and executes runs until ctx ends. Then both stop at the same time: nothing
// more is accepted or begun, what was accepted is answered, and runs under way get their grace.
func serveAndExecute(ctx context.Context, p *program, server *web.Server, executing *runner.Runner) error {
	running, stopRunning := context.WithCancel(ctx)
	defer stopRunning()
	defer context.AfterFunc(ctx, func() { p.log.Info().Msg("no more requests are taken; runs under way get their grace") })()
	ended := make(chan error, 1)
	go func() { ended <- executing.Run(running) }()
	served := server.Run(ctx)
	stopRunning() // also where the server failed
	if err := errors.Join(served, <-ended); err != nil {
		return &exit{exitFailed, err}
	}
	return nil
}

// failedServing gives the error of a service that had started its exit code.
func failedServing(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}
