package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/shared/bus"
	"runhook/shared/bus/rights"
	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/tokenfile"
	"runhook/shared/web"
)

// defaultData is the data directory where nothing else is said.
const defaultData = "data"

// defaultNATS is where other programs find the NATS server of `runhook serve`.
const defaultNATS = "127.0.0.1:4222"

// NATSFlags say how to reach an existing NATS.
type NATSFlags struct {
	NATS        string `name:"nats" required:"" placeholder:"URL,…" help:"NATS servers, such as nats://a:4222,nats://b:4222."`
	Credentials string `placeholder:"FILE" help:"A NATS .creds file, or a file with one line user:password."`
}

// connect is the step to a store on this NATS, whatever it holds.
func (f *NATSFlags) connect(name string) step {
	return func(ctx context.Context, p *process) error {
		return p.connect(ctx, bus.Config{URLs: f.NATS, Credentials: f.Credentials, Name: name})
	}
}

// store are the steps of a service, by its name, to the store on this NATS, however long that takes to be there.
func (f *NATSFlags) store(service string) []step {
	once := bus.Config{URLs: f.NATS, Credentials: f.Credentials, Name: "runhook " + service, ConnectTimeout: -1, Inbox: rights.Inbox(service)}
	return []step{
		patiently(func(ctx context.Context, p *process) error { return p.connect(ctx, once) }),
		patiently(checkStore), patiently(watchTasks),
	}
}

// RetentionFlags say how long a store keeps what, and how long it waits for a runner. Those that are left
// out are as the store has them.
type RetentionFlags struct {
	Retention         *time.Duration `placeholder:"TIME" help:"How long runs and results are kept, at least 1d. Default: as the store has it, 365d in a new one."`
	EventsRetention   *time.Duration `placeholder:"TIME" help:"How long events are kept, at least 1h, and at most a day longer than runs. Default: as the store has it, 30d in a new one."`
	IdempotencyWindow *time.Duration `placeholder:"TIME" help:"How long an Idempotency-Key is remembered. Default: as the store has it, 24h in a new one."`

	Lease *time.Duration `placeholder:"TIME" help:"How long a runner may be silent before another may take over its runs. Default: as the store has it, 30s in a new one. Runners take a change at their next start."`

	Yes bool `help:"Change the store even if that takes something away. Without it, runhook says what would go, and changes nothing."`
}

func (f *RetentionFlags) checkRetention() error {
	const leastLease, leastRetention, leastEvents, leastWindow = 2 * time.Second, 24 * time.Hour, time.Hour, 100 * time.Millisecond
	switch {
	case f.Lease != nil && *f.Lease < leastLease:
		return fmt.Errorf("--lease must be at least %s, not %s, because runners that are only slow would lose their runs", leastLease, *f.Lease)
	case f.Retention != nil && *f.Retention < leastRetention:
		return fmt.Errorf("--retention must be at least 1d, not %s, because older runs are deleted with their results; m is a minute, and a month is 30d", run.Span(*f.Retention))
	case f.EventsRetention != nil && *f.EventsRetention < leastEvents:
		return fmt.Errorf("--events-retention must be at least 1h, not %s, because subscribers that are away for longer miss events; m is a minute, and a month is 30d", run.Span(*f.EventsRetention))
	case f.IdempotencyWindow != nil && *f.IdempotencyWindow < leastWindow:
		return fmt.Errorf("--idempotency-window must be at least %s, not %s", leastWindow, *f.IdempotencyWindow)
	}
	return nil
}

func (f *RetentionFlags) topology() bus.Topology {
	return bus.Topology{
		Retention: given(f.Retention), EventsRetention: given(f.EventsRetention),
		IdempotencyWindow: given(f.IdempotencyWindow), Lease: given(f.Lease),
	}
}

// apply makes the store of a topology, or changes the one that is there, unless that takes something away
// that nobody has agreed to.
func (f *RetentionFlags) apply(ctx context.Context, store *bus.Bus, topology bus.Topology) error {
	if !f.Yes {
		takes, err := store.Takes(ctx, topology)
		if err != nil {
			return err
		}
		if len(takes) > 0 {
			return fmt.Errorf("nothing was changed, because these flags take away from the store: %s; pass --yes to agree, or leave the flags out to keep it as it is", strings.Join(takes, "; "))
		}
	}
	return store.Init(ctx, topology)
}

// checkReplicas refuses a number of copies that no cluster has. nil is as the store has it.
func checkReplicas(replicas *int) error {
	if replicas != nil && (*replicas < 1 || *replicas > 5) {
		return fmt.Errorf("--replicas must be 1 to 5, not %d, and no more than the cluster has servers", *replicas)
	}
	return nil
}

// HTTPFlags are the settings of everything that answers HTTP.
type HTTPFlags struct {
	TLSCert string   `name:"tls-cert" placeholder:"FILE" help:"Certificate with which HTTPS is served, in PEM, with those that lead to its authority. It is read again when the file changes, and at SIGHUP."`
	TLSKey  string   `name:"tls-key" placeholder:"FILE" help:"The key of --tls-cert, in PEM."`
	Hosts   []string `placeholder:"NAME" help:"Host names of this server; requests under others are refused. Default: loopback names and those of --listen and --public-url, for the admin routes and metrics, and any for webhooks and polls."`
}

// certificate is that of --tls-cert, nil for plain HTTP.
func (f *HTTPFlags) certificate(log zerolog.Logger) (*web.Certificate, error) {
	switch {
	case f.TLSCert == "" && f.TLSKey == "":
		return nil, nil
	case f.TLSKey == "":
		return nil, errors.New("--tls-key is missing: it is the key of --tls-cert")
	case f.TLSCert == "":
		return nil, errors.New("--tls-cert is missing: it is the certificate of --tls-key")
	}
	return web.LoadCertificate(f.TLSCert, f.TLSKey, log)
}

// EdgeFlags are the settings of everything that answers HTTP for callers.
type EdgeFlags struct {
	HTTPFlags
	PublicURL      string   `name:"public-url" placeholder:"URL" help:"URL under which callers reach this server, for Location and PollingUrl. Default: each request's own scheme and Host."`
	Location       string   `enum:"absolute,relative" default:"absolute" help:"Whether URLs in answers are absolute (the default) or relative."`
	TrustedProxies []string `placeholder:"ADDRESS" help:"Addresses or ranges of proxies whose forwarded headers count, such as 10.0.0.0/8."`
	RunKeyFile     string   `placeholder:"FILE" help:"Keys that sign the URLs of runs: 32 random bytes in base64 a line; the first signs. serve makes one in its data directory."`
	RunLinks       string   `enum:"plain,signed" default:"plain" help:"signed: a status URL needs its signature. Default: plain."`
	Secrets        string   `placeholder:"FILE" help:"File of the secrets that the tasks' auth names: a name and a secret a line. SIGHUP reads it again."`
	MaxBody        int      `default:"262144" placeholder:"BYTES" help:"Largest request body (${default})."`
	MaxWaiting     int      `default:"1000" placeholder:"N" help:"How many requests may wait for their runs at once (${default}), because of Prefer: wait or as event streams. Others are answered at once."`
}

func (f *EdgeFlags) check() error {
	if f.MaxBody < 1 {
		return fmt.Errorf("--max-body must be at least 1 byte, not %d", f.MaxBody)
	}
	if f.MaxWaiting < 0 {
		return fmt.Errorf("--max-waiting must be at least 0, not %d", f.MaxWaiting)
	}
	return nil
}

// sharedEdge is the edge of a service that runs apart from the others: all must have the same keys.
func (f *EdgeFlags) sharedEdge(address string, log zerolog.Logger) (*edge, error) {
	if f.RunKeyFile == "" {
		return nil, errors.New("--run-key-file is missing: the ingress and status services sign and check addresses with one key; " +
			"make it with `(umask 077; openssl rand -base64 32 > run.key)` and give every one of them --run-key-file run.key")
	}
	keys, err := web.LoadKeys(f.RunKeyFile)
	if err != nil {
		return nil, err
	}
	return newEdge(*f, address, keys, log)
}

// AdminFlag guards the routes that only an administrator may use.
type AdminFlag struct {
	AdminTokenFile string `placeholder:"FILE" help:"The tokens that open the admin routes, one NAME: TOKEN a line, two of a name while you change it. NAME(read): TOKEN only reads. serve makes admin.token in its data directory."`
}

// madeToken is the file of the token that serve makes in its data directory.
const madeToken = "admin.token"

// given refuses a status service without tokens.
func (f *AdminFlag) given() error {
	if f.AdminTokenFile != "" {
		return nil
	}
	return errors.New("--admin-token-file is missing: it has the tokens that open the admin routes (/api); " +
		"make one with `(umask 077; openssl rand -hex 32 > admin.token)` and pass --admin-token-file admin.token")
}

// checkListen refuses to show the admin routes to other machines with a token that nobody has chosen.
func (f *AdminFlag) checkListen(address string) error {
	if !isOpen(address) || f.AdminTokenFile != "" {
		return nil
	}
	return fmt.Errorf("--listen %s can be reached from other machines, and so can the admin routes; "+
		"pass --admin-token-file FILE (make one with `(umask 077; openssl rand -hex 32 > FILE)`), or listen on 127.0.0.1", address)
}

// file is --admin-token-file, or the file of the data directory, which has a token from the first start on.
func (f *AdminFlag) file(dir string) (string, error) {
	if f.AdminTokenFile != "" {
		return f.AdminTokenFile, nil
	}
	path := filepath.Join(dir, madeToken)
	if err := tokenfile.Create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return path, nil
}

// isOpen reports whether other machines can reach a listen address; one that cannot be read is left
// to whoever listens.
func isOpen(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.Unmap().IsLoopback()
}

// ConnectionsFlag says where a runner's connections are.
type ConnectionsFlag struct {
	Connections string `placeholder:"FILE" help:"File of the sites, databases and folders that tasks name. Default: ./connections.yaml, if it exists."`
}

// defaultConnections is the file without --connections.
const defaultConnections = "connections.yaml"

// connections loads the connections file; without one there are no connections.
func (f *ConnectionsFlag) connections() (*connection.Set, error) {
	if f.Connections != "" {
		set, err := connection.Load(f.Connections)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, f.missing()
		}
		return set, err
	}
	set, err := connection.Load(defaultConnections)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return set, err
}

// follow is connections that stay as their file is.
func (f *ConnectionsFlag) follow(log zerolog.Logger) (*connection.Set, error) {
	set, err := connection.Follow(cmp.Or(f.Connections, defaultConnections), f.Connections == "", log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.missing()
	}
	return set, err
}

func (f *ConnectionsFlag) missing() error {
	return fmt.Errorf("--connections: there is no file %s; it names the databases and folders of the tasks, as in warehouse: {sqlite: ./data/warehouse.db}", f.Connections)
}

// SlotFlags say how much a runner does at once and how it stops.
type SlotFlags struct {
	Slots int           `default:"16" help:"How many runs may be in progress at once (${default})."`
	Pool  string        `default:"default" placeholder:"NAME" help:"The pool of the runner: it takes the runs of the tasks that name it in pool (${default})."`
	Grace time.Duration `default:"5s" help:"How long runs may go on at a stop before they are handed back (${default})."`
	Hold  bool          `help:"Take no run: POSTs are accepted and queue. To look at a restored store before its runs start."`
}

// hold is the step of a runner that takes no run: /readyz and the log say so.
func (f *SlotFlags) hold(_ context.Context, p *process) error {
	if f.Hold {
		p.notes = append(p.notes, heldNote)
		p.log.Warn().Msg(heldNote)
	}
	return nil
}

// announce says it if runs are held.
func (f *SlotFlags) announce(p *program) {
	if f.Hold {
		p.printf("%s `runhook runs list --queued` shows those that wait. A start without --hold runs them.\n", heldNote)
	}
}

func (f *SlotFlags) check() error {
	switch {
	case f.Slots < 1:
		return fmt.Errorf("--slots must be at least 1, not %d", f.Slots)
	case f.Grace < 0:
		return fmt.Errorf("--grace must be at least 0s, not %s", f.Grace)
	}
	if err := task.CheckPool(f.Pool); err != nil {
		return fmt.Errorf("--pool: %w", err)
	}
	return nil
}

// ServerFlags say which server a client command speaks to, and with which token.
type ServerFlags struct {
	Server    string `default:"http://127.0.0.1:8080" placeholder:"URL" help:"The Runhook server (${default})."`
	TokenFile string `placeholder:"FILE" help:"File with an admin token of the server; its first one is sent. Default: the token in RUNHOOK_TOKEN, else that of --data."`
	CAFile    string `name:"ca-file" placeholder:"FILE" help:"Certificates of authorities to trust beside those of the system, for a --server with https."`
	Data      string `placeholder:"DIR" help:"Data directory of runhook serve, which keeps an admin token there. Default: ./data, for a server on this machine."`
}

func (f *ServerFlags) client() (*client.Client, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	server, err := client.New(f.Server, token, f.CAFile)
	if err == nil {
		server.Patience = awayFor
	}
	return server, err
}

// token is the admin token to send, empty for none.
func (f *ServerFlags) token() (string, error) {
	path, from, named := f.TokenFile, "--token-file", f.TokenFile != ""
	if !named {
		if token := os.Getenv("RUNHOOK_TOKEN"); token != "" {
			return token, nil
		}
		if f.Data == "" && !isLocal(f.Server) {
			return "", nil // another machine does not get to see the token of this one
		}
		path, from, named = filepath.Join(cmp.Or(f.Data, defaultData), madeToken), "--data", f.Data != ""
	}
	tokens, err := tokenfile.Read(path)
	switch {
	case err == nil:
		return tokens[0].Secret, nil
	case errors.Is(err, fs.ErrNotExist) && !named:
		return "", nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: there is no file %s; `runhook serve` makes %s in its data directory, unless it is given --admin-token-file", from, path, madeToken)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s: %w; run this as the user of `runhook serve`, or pass --token-file", from, err)
	}
	return "", fmt.Errorf("%s: %w", from, err)
}

// isLocal reports whether a server's address is one of this machine alone.
func isLocal(server string) bool {
	parsed, err := url.Parse(server)
	return err == nil && !isOpen(net.JoinHostPort(parsed.Hostname(), "0"))
}

// JSONFlag asks for output that programs read.
type JSONFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// RunArg is the run that a command shows.
type RunArg struct {
	ServerFlags
	Number string `arg:"" name:"run" help:"The run's number."`
}

func (a *RunArg) number() (run.Number, error) { return parseRun(a.Number) }

// parseRun reads a run number of the command line.
func parseRun(text string) (run.Number, error) {
	number, err := run.ParseNumber(text)
	if err != nil {
		return 0, fmt.Errorf("%w; `runhook runs list` shows the newest", err)
	}
	return number, nil
}

// TaskArg is the task that a command works on.
type TaskArg struct {
	ServerFlags
	Task string `arg:"" help:"The task's id, or a unique part of its name."`
}

// on finds the task and works on it.
func (c *TaskArg) on(ctx context.Context, work func(server *client.Client, found client.Task) error) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	id, err := find(ctx, server, c.Task)
	if err != nil {
		return err
	}
	found, err := taskOf(ctx, server, id)
	if err != nil {
		return err
	}
	return work(server, found)
}

func (c *TaskArg) enable(ctx context.Context, p *program, enabled bool, word string) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		var changed bool
		err := whileAway(ctx, func() (err error) {
			changed, err = server.Enable(ctx, found.ID, enabled)
			return err
		})
		if err != nil {
			return err
		}
		if !changed {
			word += " already"
		}
		p.printf("%s is %s.\n", found.Name, word)
		return nil
	})
}

// whereHelp says where the commands that change a task change it.
const whereHelp = `One line of the task's file is changed, and everything else stays as it was written. If the server follows a folder (--tasks), that is the file itself; otherwise it is the applied text, which ` + "`runhook task show`" + ` prints.`

// StoreFlags say where a store is, or is to be: in a data directory that no `runhook serve` uses, or on a
// NATS that is up. A command says which ones, in the variables dir and servers.
type StoreFlags struct {
	Data        string `default:"data" placeholder:"DIR" help:"${dir} (./${default})."`
	NATS        string `name:"nats" placeholder:"URL,…" help:"NATS servers instead of a directory: ${servers}."`
	Credentials string `placeholder:"FILE" help:"A NATS .creds file, or a file with one line user:password."`
}

// connect is the step to the store on --nats.
func (f *StoreFlags) connect(name string) step {
	return (&NATSFlags{NATS: f.NATS, Credentials: f.Credentials}).connect(name)
}

// parseParameters reads NAME=VALUE pairs.
func parseParameters(pairs []string) (map[string][]string, error) {
	values := map[string][]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--param %q is not NAME=VALUE", pair)
		}
		values[name] = append(values[name], value)
	}
	return values, nil
}

// givenValues are the command line's parameters as a request would pass them.
func givenValues(given map[string][]string) []task.Given {
	var values []task.Given
	for name, texts := range given {
		value := task.Given{Key: name, GivenValue: task.GivenValue{Kind: task.GivenArray}}
		for _, text := range texts {
			value.Items = append(value.Items, task.GivenValue{Kind: task.GivenString, Text: text})
		}
		if len(texts) == 1 {
			value.GivenValue = value.Items[0]
		}
		values = append(values, value)
	}
	return values
}
