package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/services/ingress"
	"runhook/services/status"
	"runhook/services/status/sweep"
	"runhook/shared/bus"
	"runhook/shared/folder"
	"runhook/shared/openapi"
	"runhook/shared/web"
)

// EdgeFlags are the settings of everything that answers HTTP for callers.
type EdgeFlags struct {
	PublicURL      string   `name:"public-url" placeholder:"URL" help:"Address under which callers reach this server, for Location and PollingUrl. Default: each request's own scheme and Host."`
	Location       string   `enum:"absolute,relative" default:"absolute" help:"Whether addresses in answers are absolute (the default) or relative."`
	TrustedProxies []string `placeholder:"ADDRESS" help:"Addresses or ranges of proxies whose forwarded headers are believed, such as 10.0.0.0/8."`
	RunKeyFile     string   `placeholder:"FILE" help:"Keys that sign addresses of runs: 32 random bytes in base64 a line; the first signs. serve makes one in its data directory."`
	RunLinks       string   `enum:"plain,signed" default:"plain" help:"signed: a status is shown only under its signed address. Default: plain."`
	MaxBody        int      `default:"262144" placeholder:"BYTES" help:"Largest request body (${default})."`
}

func (f *EdgeFlags) check() error {
	if f.MaxBody < 1 {
		return fmt.Errorf("--max-body %d: at least 1 byte", f.MaxBody)
	}
	return nil
}

// sharedKeys loads the keys of a service that runs apart from the others: all must have the same.
func (f *EdgeFlags) sharedKeys() (*web.Keys, error) {
	if f.RunKeyFile == "" {
		return nil, errors.New("--run-key-file is missing: the ingress and status services sign and check addresses with one key; " +
			"make it with `head -c 32 /dev/urandom | base64 > run.key` and give every one of them --run-key-file run.key")
	}
	return web.LoadKeys(f.RunKeyFile)
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

type ingressCommand struct {
	Listen string `default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Where webhooks are accepted (${default})."`
	NATSFlags
	EdgeFlags
}

// Help shows an example.
func (*ingressCommand) Help() string {
	return `Accepts webhooks: POST /task/execute/TASK and POST /task/executepolling/TASK. Put a reverse proxy in front of it and ` +
		"`runhook status`" + `; deploy/nginx has one.

Example:

    runhook ingress --nats nats://127.0.0.1:4222 --run-key-file run.key --trusted-proxies 127.0.0.1`
}

// Run accepts webhooks until ctx ends.
func (c *ingressCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	keys, err := c.sharedKeys()
	if err != nil {
		return err
	}
	metrics := newMetrics()
	edge, err := newEdge(c.EdgeFlags, keys, p, metrics)
	if err != nil {
		return err
	}
	store, err := c.open(ctx, "runhook ingress", p)
	if err != nil {
		return err
	}
	defer store.Close()
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()
	webhooks, err := edge.ingress(store, tasks)
	if err != nil {
		return err
	}
	server, err := edge.listen(c.Listen, store, tasks, webhooks, openapi.Routes())
	if err != nil {
		return err
	}
	p.printf("Runhook's ingress listens on %s. Ctrl-C stops it.\n", server.URL())
	return failedServing(server.Run(ctx))
}

// failedServing gives the error of a service that had started its exit code.
func failedServing(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}
