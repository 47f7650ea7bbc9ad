package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"runhook/cmd/runhook/demo"
	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/draft"
	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/client"
	"runhook/shared/folder"
	"runhook/shared/making"
	"runhook/shared/openapi"
	"runhook/shared/task"
	"runhook/shared/web"
)

type serveCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where HTTP is served (${default}). Beyond loopback it needs --admin-token-file."`
	Data   string `default:"data" placeholder:"DIR" help:"Where runs, results and tasks are kept (./${default})."`
	Cache  string `placeholder:"DIR" help:"Where the history is kept: an index of all runs, for runs list. It is made from the store. off: keep none. Default: cache in the data directory."`
	Tasks  string `placeholder:"DIR" help:"Folder of task files to apply and follow. Default: ./tasks, if it exists."`
	Demo   bool   `help:"Use a public data set with tasks on it, run one task, and show what to try."`

	ConnectionsFlag
	SlotFlags
	EdgeFlags
	AdminFlag
	RetentionFlags

	NATSListen   string `name:"nats-listen" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Where other programs reach the embedded NATS (${default}). Empty: nowhere. Beyond loopback it needs --nats-auth-file."`
	NATSAuthFile string `name:"nats-auth-file" placeholder:"FILE" help:"Users of --nats-listen, a line each: NAME: PASSWORD may follow runs and read events, NAME(operator): PASSWORD may do everything. Without it, programs of this machine may follow runs and read events without a login."`
	Durability   string `enum:"always,interval" default:"always" help:"always: a run is on disk before its POST is answered (the default). interval: faster, and a power cut may lose the last moments."`
}

// Help shows examples.
func (*serveCommand) Help() string {
	return `Examples:

    runhook serve --demo
    runhook serve --data /var/lib/runhook --tasks ./tasks --connections ./connections.yaml
    runhook serve --listen 0.0.0.0:8080 --admin-token-file admin.token --public-url https://hooks.example.org

Ctrl-C stops it: runs in progress get --grace to end. Others are handed back and continue after the next start. A second Ctrl-C ends it at once. Nothing accepted is lost in either case.`
}

// check refuses flags that do not fit together, before anything is touched.
func (c *serveCommand) check() error {
	if c.Demo && (c.Tasks != "" || c.Connections != "") {
		return errors.New("--demo brings tasks and connections of its own: leave out --tasks and --connections, or --demo")
	}
	if c.Demo && c.TLSCert != "" {
		return errors.New("--demo speaks to its own server without TLS: leave out --tls-cert, or --demo")
	}
	if c.Demo && c.Hold {
		return errors.New("--demo runs a task at once: leave out --hold, or --demo")
	}
	if isOpen(c.NATSListen) && c.NATSAuthFile == "" {
		return fmt.Errorf("--nats-listen %s can be reached from other machines, where nobody comes in without a login; "+
			"pass --nats-auth-file FILE with a line NAME: PASSWORD for each user, or listen on %s", c.NATSListen, defaultNATS)
	}
	return errors.Join(c.checkListen(c.Listen), c.EdgeFlags.check(), c.SlotFlags.check(), c.checkRetention())
}

// Run runs all three services around an embedded NATS server until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	s := serving{flags: c}
	process, err := open(ctx, p, s.lock, s.bringDemo, s.load, c.hold, s.listen,
		s.startBroker, patiently(s.connect), patiently(s.openStore), patiently(watchTasks), patiently(watchHolds), patiently(watchTimetables), patiently(watchChains), patiently(answerIntegrations), s.followTasks, patiently(redeliver))
	if err != nil {
		return err
	}
	defer process.close()
	process.onHangup(s.edge.secrets.Reload)
	// The lock makes this process the only one that executes runs from this directory.
	executing, err := process.runner(c.SlotFlags, s.connections, "serve/"+process.store.StoreID())
	if err != nil {
		return err
	}
	s.makeTasks(ctx, process)
	if err := process.answer(s.edge.ingress(process), s.edge.status(ctx, process, s.folder, c.cache())); err != nil {
		return err
	}
	s.announce(p, process.server, process.tasks)
	s.edge.announcePage(ctx, p, process.server)
	c.announce(p)
	process.beside(ctx, process.toCancel().Follow)
	process.beside(ctx, process.toPace().Follow)
	process.beside(ctx, process.paused().Follow)
	process.beside(ctx, process.toErase().Follow)
	process.beside(ctx, process.sweeper().Run)
	process.beside(ctx, process.scheduler(s.edge).Run)
	process.beside(ctx, process.follower().Run)
	process.beside(ctx, process.keep)
	process.beside(ctx, s.connections.Look)
	if c.Demo {
		process.beside(ctx, s.demo.Run)
		process.beside(ctx, func(ctx context.Context) { tour(ctx, p, process.server.URL(), c.Data, s.example) })
	}
	return process.execute(ctx, executing)
}

// serving is what a `runhook serve` has besides what every service has.
type serving struct {
	flags       *serveCommand
	demo        *demo.Service // nil without --demo
	example     demo.Files
	connections *connection.Set
	edge        *edge
	broker      *broker.Broker
	access      *natsAccess    // nil where NATS listens nowhere
	folder      *folder.Folder // nil for none
}

func (s *serving) lock(_ context.Context, p *process) error { return p.lock(s.flags.Data) }

// bringDemo brings what the demo reads and writes.
func (s *serving) bringDemo(ctx context.Context, p *process) (err error) {
	if !s.flags.Demo {
		return nil
	}
	if s.demo, err = demo.Listen(ctx); err != nil {
		return err
	}
	p.undo(s.demo.Close)
	s.example, err = demo.Unpack(filepath.Join(s.flags.Data, "demo"), s.demo.URL())
	s.flags.Tasks, s.flags.Connections = s.example.Tasks, s.example.Connections
	return err
}

// load reads the files that flags name.
func (s *serving) load(_ context.Context, p *process) (err error) {
	if s.connections, err = s.flags.follow(p.log); err != nil {
		return err
	}
	if err := s.connections.Bring(making.Uploads, s.flags.uploads()); err != nil {
		return err
	}
	tokens, err := s.flags.AdminFlag.file(s.flags.Data)
	if err != nil {
		return err
	}
	for _, path := range []string{broker.Dir(s.flags.Data), s.flags.cache(), filepath.Join(s.flags.Data, "lock"), s.flags.keyFile(), tokens, s.flags.TLSKey, s.flags.Secrets, s.flags.NATSAuthFile, filepath.Join(s.flags.Data, ownCredentials)} {
		if path != "" {
			s.connections.Guard(path, "a file of the runner's own")
		}
	}
	keys, err := s.flags.ownKeys()
	if err != nil {
		return err
	}
	if s.edge, err = newEdge(s.flags.EdgeFlags, s.flags.Listen, keys, p.log); err != nil {
		return err
	}
	return s.edge.guard(p, tokens)
}

// listen answers HTTP from now on.
func (s *serving) listen(ctx context.Context, p *process) error {
	return listen(s.edge.http, openapi.Routes())(ctx, p)
}

// keyFile is --run-key-file, or the key of the data directory.
func (c *serveCommand) keyFile() string {
	return cmp.Or(c.RunKeyFile, filepath.Join(c.Data, "run.key"))
}

// cache is --cache, or a folder of the data directory.
func (c *serveCommand) cache() string { return cmp.Or(c.Cache, filepath.Join(c.Data, "cache")) }

// ownKeys loads --run-key-file, or the key of the data directory, which it makes at the first start.
func (c *serveCommand) ownKeys() (*web.Keys, error) {
	if c.RunKeyFile != "" {
		return web.LoadKeys(c.RunKeyFile)
	}
	path := c.keyFile()
	if err := web.CreateKeyFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return web.LoadKeys(path)
}

// startBroker starts the embedded NATS server. A demo makes do with any port.
func (s *serving) startBroker(ctx context.Context, p *process) (err error) {
	_, conns := maxConns(descriptorLimit())
	o := broker.Options{
		Dir: broker.Dir(s.flags.Data), Listen: s.flags.NATSListen, MaxConns: conns, Durable: s.flags.Durability == "always", Recovering: p.starting.recovers, Log: p.log,
	}
	if o.Listen != "" {
		if s.access, err = s.flags.access(); err != nil {
			return err
		}
		o.Access = &s.access.Access
	}
	if s.flags.Demo && s.flags.NATSListen == defaultNATS {
		probe, err := net.Listen("tcp", defaultNATS)
		if err != nil {
			o.Listen = "127.0.0.1:0"
		} else {
			_ = probe.Close()
		}
	}
	p.tuneMemory(ctx)
	if s.broker, err = broker.Start(ctx, o); err != nil {
		return err
	}
	p.undo(s.broker.Stop)
	if s.access != nil {
		p.onHangup(func() { s.flags.readmit(s.broker, p.log) })
	}
	return nil
}

// connect connects to the embedded server.
func (s *serving) connect(ctx context.Context, p *process) error {
	return p.connect(ctx, bus.Config{
		Name: "runhook serve", InProcess: s.broker, User: s.broker.Own.Name, Password: s.broker.Own.Password, Full: s.broker.Full, Cramped: s.broker.Cramped,
	})
}

// openStore makes or changes the store, and repairs what a crash has left of it.
func (s *serving) openStore(ctx context.Context, p *process) error {
	topology := s.flags.topology()
	topology.Synced, topology.Embedded = s.flags.Durability == "always", true
	if err := s.flags.apply(ctx, p.store, topology); err != nil {
		return err
	}
	if err := recovery.Repair(ctx, p.store, s.broker.CutOff, s.broker.Unsynced); err != nil {
		return err
	}
	s.broker.Repaired()
	return nil
}

// followTasks applies the folder of task files, if there is one, and follows it.
func (s *serving) followTasks(ctx context.Context, p *process) (err error) {
	dir := s.flags.tasksFolder()
	if dir == "" {
		return nil
	}
	if s.folder, err = folder.Open(dir, p.store.Tasks, p.tasks, p.log); err != nil {
		return err
	}
	s.folder.Audit(p.store.Unheld.Audit().Keep)
	p.undo(func() { _ = s.folder.Close() }) // nothing is written through it
	if err := s.folder.Apply(ctx); err != nil {
		return err
	}
	p.beside(ctx, s.folder.Follow)
	return nil
}

// makeTasks has the page make tasks of uploaded files.
func (s *serving) makeTasks(ctx context.Context, p *process) {
	o := draft.MakerOptions{
		Kinds: builtin.Kinds(), Connections: s.connections, Uploads: s.flags.uploads(), Taken: folder.ErrThere, Log: p.log,
		Writable: func() bool { return s.folder != nil && check.Writable(s.flags.tasksFolder()) },
		Known: func(id task.ID) bool {
			_, found := p.tasks.Named(string(id))
			return found.Definition != nil
		},
	}
	if s.folder != nil {
		o.Create = s.folder.Create
	}
	maker := draft.NewMaker(o)
	p.beside(ctx, maker.Follow)
	s.edge.maker = maker
}

// uploads is the folder of the files that are uploaded on the page.
func (c *serveCommand) uploads() string { return filepath.Join(c.Data, making.Uploads) }

// redeliver has the runs go on now that were leased from this directory, not when their leases end:
// whoever had them is gone.
func redeliver(ctx context.Context, p *process) error { return p.store.Work.Redeliver(ctx) }

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
func (s *serving) announce(p *program, server *web.Server, tasks *bus.TaskView) {
	nats := "NATS for this process only"
	if url := s.broker.URL(); url != "" {
		nats = "NATS on " + url
	}
	hint := ""
	if len(tasks.All()) == 0 && s.flags.tasksFolder() == "" {
		hint = "There are no tasks yet: `runhook task new > mine.yaml` makes a file to start from, `runhook task apply mine.yaml` applies it.\n"
	}
	p.printf("Runhook listens on %s (%s, data in %s). Ctrl-C stops it.\n", server.URL(), nats, s.flags.Data)
	if s.access != nil {
		p.printf("%s\n", s.access)
	}
	p.printf("%s", hint)
}

// tour runs the demo's first run through the server's own address.
func tour(ctx context.Context, p *program, url, data string, example demo.Files) {
	server, err := client.New(url, "", "")
	if err == nil {
		defer server.Close()
		err = demo.Tour(ctx, server, example, ownName(), clientFlags(url, data), onScreen(p.stdout))
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error().Err(err).Msg("the demo's first run did not come to its end")
	}
}

// clientFlags are what a command needs to find the server and its token if they are not where they usually are.
func clientFlags(url, data string) (flags string) {
	if url != client.DefaultServer {
		flags = " --server " + url
	}
	if data != defaultData {
		flags += " --data " + quoted(data)
	}
	return flags
}

// ownName is how the reader of this process's output would start it again.
func ownName() string {
	if strings.Contains(os.Args[0], string(filepath.Separator)+"go-build") {
		return "go run ./cmd/runhook"
	}
	return os.Args[0]
}
