package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/shared/bus"
	"runhook/shared/web"
)

// ConnectionsFlag says where a runner's connections are.
type ConnectionsFlag struct {
	Connections string `placeholder:"FILE" help:"File of the databases and folders that tasks name. Default: ./connections.yaml where there is one."`
}

// connections loads the connections file; without one there are no connections.
func (f *ConnectionsFlag) connections() (*connection.Set, error) {
	if f.Connections != "" {
		set, err := connection.Load(f.Connections)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--connections: there is no file %s; it names the databases and folders of the tasks, as in warehouse: {sqlite: ./data/warehouse.db}", f.Connections)
		}
		return set, err
	}
	set, err := connection.Load("connections.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return set, err
}

// SlotFlags say how much a runner does at once and how it stops.
type SlotFlags struct {
	Slots int           `default:"16" help:"How many runs are under way at once (${default})."`
	Grace time.Duration `default:"5s" help:"How long running work may go on at a stop before it is handed back (${default})."`
}

func (f *SlotFlags) check() error {
	switch {
	case f.Slots < 1:
		return fmt.Errorf("--slots %d: at least 1", f.Slots)
	case f.Grace < 0:
		return fmt.Errorf("--grace %s: at least 0s", f.Grace)
	}
	return nil
}

// runner makes the runner. home is as in [runner.Options].
func (f *SlotFlags) runner(store *bus.Bus, tasks *bus.TaskView, connections *connection.Set, home string, p *program, metrics *prometheus.Registry) (*runner.Runner, error) {
	return runner.New(runner.Options{
		Bus: store, Tasks: tasks, Connections: connections, Slots: f.Slots,
		Grace: cmp.Or(f.Grace, -1), // there 0 is the default, and less is none
		Home:  home, Log: p.log, Metrics: metrics,
	})
}

type runnerCommand struct {
	Listen string `default:"127.0.0.1:8083" placeholder:"HOST:PORT" help:"Where health and metrics are answered (${default})."`
	NATSFlags
	ConnectionsFlag
	SlotFlags
}

// Help shows an example.
func (*runnerCommand) Help() string {
	return `Executes runs. Start as many as there is work for, each with the connections that the tasks name.

Example:

    runhook runner --nats nats://127.0.0.1:4222 --connections ./connections.yaml`
}

// Run executes runs until ctx ends.
func (c *runnerCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	store, err := c.open(ctx, "runhook runner", p)
	if err != nil {
		return err
	}
	defer store.Close()
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()
	metrics := newMetrics()
	executing, err := c.runner(store, tasks, connections, "", p, metrics)
	if err != nil {
		return err
	}
	server, err := web.New(web.Options{Listen: c.Listen, Log: p.log}, web.Health(ready(store, tasks)), web.Metrics(metrics))
	if err != nil {
		return err
	}
	p.printf("Runhook's runner executes runs; health and metrics are on %s. Ctrl-C stops it.\n", server.URL())
	return serveAndExecute(ctx, p, server, executing)
}
