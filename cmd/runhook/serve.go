package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"runhook/cmd/runhook/demo"
	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/client"
	"runhook/shared/folder"
	"runhook/shared/openapi"
	"runhook/shared/web"
)

type serveCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where HTTP is answered (${default}). Beyond loopback it needs --admin-token-file."`
	Data   string `default:"data" placeholder:"DIR" help:"Where runs, results and tasks are kept (./${default})."`
	Tasks  string `placeholder:"DIR" help:"Folder of task files to apply and follow. Default: ./tasks where there is one."`
	Demo   bool   `help:"Bring a public data set and tasks on it, run one, and show what to try."`

	ConnectionsFlag
	SlotFlags
	EdgeFlags
	AdminFlag
	RetentionFlags

	NATSListen   string `name:"nats-listen" default:"${nats}" placeholder:"HOST:PORT" help:"Where other programs reach the embedded NATS (${default}). Empty: nowhere. Beyond loopback it needs --nats-auth-file."`
	NATSAuthFile string `name:"nats-auth-file" placeholder:"FILE" help:"One line user:password, asked of every program that connects to --nats-listen."`
	Durability   string `enum:"always,interval" default:"always" help:"always: on disk before a POST is answered (the default). interval: faster, and a power cut may cost the last moments."`
}

// Help shows examples.
func (*serveCommand) Help() string {
	return `Examples:

    runhook serve --demo
    runhook serve --data /var/lib/runhook --tasks ./tasks --connections ./connections.yaml
    runhook serve --listen 0.0.0.0:8080 --admin-token-file admin.token --public-url https://hooks.example.org

Ctrl-C stops it: what is running gets --grace to end, then it is handed back and goes on after the next start. A second Ctrl-C ends it at once; nothing accepted is lost then either.`
}

// check refuses flags that do not fit together, before anything is touched.
func (c *serveCommand) check() error {
	if c.Demo && (c.Tasks != "" || c.Connections != "") {
		return errors.New("--demo brings tasks and connections of its own: leave out --tasks and --connections, or --demo")
	}
	if isOpen(c.NATSListen) && c.NATSAuthFile == "" {
		return fmt.Errorf("--nats-listen %s can be reached from other machines, and who reaches NATS can read and start everything: "+
			"give --nats-auth-file FILE with one line user:password, or listen on %s", c.NATSListen, defaultNATS)
	}
	return errors.Join(c.checkListen(c.Listen), c.EdgeFlags.check(), c.SlotFlags.check(), c.checkLease())
}

// Run runs all three services around an embedded NATS server until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	unlock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	var example demo.Files
	var service *demo.Service
	if c.Demo {
		if service, err = demo.Listen(ctx); err != nil {
			return err
		}
		defer service.Close()
		if example, err = demo.Unpack(filepath.Join(c.Data, "demo"), service.URL()); err != nil {
			return err
		}
		c.Tasks, c.Connections = example.Tasks, example.Connections
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	keys, err := c.ownKeys()
	if err != nil {
		return err
	}
	embedded, err := c.startBroker(p)
	if err != nil {
		return err
	}
	defer embedded.Stop()

	store, err := bus.Connect(ctx, bus.Config{
		Name: "runhook serve", InProcess: embedded,
		User: embedded.InternalUser, Password: embedded.InternalPassword, Full: embedded.Full, Log: p.log,
	})
	if err != nil {
		return err
	}
	defer store.Close()
	topology := c.topology(1)
	topology.Synced, topology.Embedded = c.Durability == "always", true
	if err := store.Init(ctx, topology); err != nil {
		return err
	}
	if err := store.Repair(ctx, embedded.CutOff); err != nil {
		return err
	}
	tasks, stopTasks, err := watchTasks(ctx, store)
	if err != nil {
		return err
	}
	defer stopTasks()

	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup // what runs beside the server, until ctx ends
	defer beside.Wait()
	defer stop()
	var followed *folder.Folder
	if dir := c.tasksFolder(); dir != "" {
		followed, err = folder.Open(dir, store, tasks, p.log)
		if err != nil {
			return err
		}
		defer func() { _ = followed.Close() }() // nothing is written through it
		if err := followed.Apply(ctx); err != nil {
			return err
		}
		beside.Go(func() { followed.Follow(ctx) })
	}

	// Whoever had runs leased from this directory is gone: they go on now, not when the leases end.
	if err := store.Redeliver(ctx); err != nil {
		return err
	}
	metrics := newMetrics()
	// The lock makes this process the only one that executes runs from this directory.
	executing, err := c.runner(store, tasks, connections, "serve/"+store.StoreID(), p, metrics)
	if err != nil {
		return err
	}
	edge, err := newEdge(c.EdgeFlags, keys, p, metrics)
	if err != nil {
		return err
	}
	webhooks, err := edge.ingress(store, tasks)
	if err != nil {
		return err
	}
	answers, err := edge.status(store, tasks, c.AdminTokenFile, followed)
	if err != nil {
		return err
	}
	server, err := edge.listen(c.Listen, store, tasks, webhooks, answers.Routes(), openapi.Routes())
	if err != nil {
		return err
	}
	c.announce(p, server, embedded, tasks)
	sweeper := edge.sweeper(store, tasks)
	beside.Go(func() { sweeper.Run(ctx) })
	beside.Go(func() { store.KeepEvents(ctx, embedded.Recovered()) })
	if c.Demo {
		beside.Go(func() { service.Run(ctx) })
		beside.Go(func() { tour(ctx, p, server.URL(), example) })
	}
	return serveAndExecute(ctx, p, server, executing)
}

// ownKeys loads --run-key-file, or the key of the data directory, which it makes at the first start.
func (c *serveCommand) ownKeys() (*web.Keys, error) {
	if c.RunKeyFile != "" {
		return web.LoadKeys(c.RunKeyFile)
	}
	path := filepath.Join(c.Data, "run.key")
	if err := web.CreateKeyFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return web.LoadKeys(path)
}

// startBroker starts the embedded NATS server. A demo makes do with any port.
func (c *serveCommand) startBroker(p *program) (*broker.Broker, error) {
	o := broker.Options{Dir: broker.Dir(c.Data), Listen: c.NATSListen, Durable: c.Durability == "always", Log: p.log}
	if c.NATSAuthFile != "" {
		data, err := os.ReadFile(c.NATSAuthFile)
		if err != nil {
			return nil, fmt.Errorf("--nats-auth-file: %w", err)
		}
		user, password, ok := strings.Cut(strings.TrimSpace(string(data)), ":")
		if !ok || user == "" || password == "" || strings.ContainsAny(password, "\r\n") {
			return nil, fmt.Errorf("--nats-auth-file %s must hold one line user:password and nothing else", c.NATSAuthFile)
		}
		o.User, o.Password = user, password
	}
	if c.Demo && c.NATSListen == defaultNATS {
		probe, err := net.Listen("tcp", defaultNATS)
		if err != nil {
			o.Listen = "127.0.0.1:0"
		} else {
			_ = probe.Close()
		}
	}
	return broker.Start(o)
}

// tasksFolder is the folder to follow: --tasks, or ./tasks where there is one; empty for none.
func (c *serveCommand) tasksFolder() string {
	if c.Tasks != "" {
		return c.Tasks
	}
	const usual = "tasks"
	if info, err := os.Stat(usual); err == nil && info.IsDir() {
		return usual
	}
	return ""
}

// announce says where the program listens, whatever the log's level.
func (c *serveCommand) announce(p *program, server *web.Server, embedded *broker.Broker, tasks *bus.TaskView) {
	nats := "NATS for this process only"
	if url := embedded.URL(); url != "" {
		nats = "NATS on " + url
	}
	hint := ""
	if len(tasks.All()) == 0 && c.tasksFolder() == "" {
		hint = "There are no tasks yet: `runhook task new > mine.yaml` makes a file to start from, `runhook task apply mine.yaml` applies it.\n"
	}
	p.printf("Runhook listens on %s (%s, data in %s). Ctrl-C stops it.\n%s", server.URL(), nats, c.Data, hint)
}

// tour runs the demo's first run through the server's own address.
func tour(ctx context.Context, p *program, url string, example demo.Files) {
	server, err := client.New(url, "")
	if err == nil {
		defer server.Close()
		err = demo.Tour(ctx, server, example, ownName(), p.stdout)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error().Err(err).Msg("the demo's first run did not come to its end")
	}
}

// ownName is how the reader of this process's output would start it again.
func ownName() string {
	if strings.Contains(os.Args[0], string(filepath.Separator)+"go-build") {
		return "go run ./cmd/runhook"
	}
	return os.Args[0]
}
