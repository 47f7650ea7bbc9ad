//go:build chaos

package chaos

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"runhook/shared/broker"
	"runhook/shared/bus"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

// lease is how long a runner may be silent: short, so that takeovers happen within a run of minutes.
const lease = 5 * time.Second

// house is all that runs: the program's processes, the NATS servers where they are apart, and the
// stand-in for an iMIS site.
type house struct {
	t       *testing.T
	dir     string
	program string
	site    *imissite.Site
	feed    *feed
	works   []*work
	// databases are the servers of databases.
	databases []*database

	// data is the data directory of `serve`; mounts: it can stand on a disk of its own.
	data   string
	mounts bool
	// token is the file of the admin token.
	token string

	// past are the last sequences of streams that had a past before anything began.
	past map[string]uint64

	posts, polls []string
	// nats is where the witness connects.
	nats     string
	services []*process
	servers  []*process
	// wires connect clients with the servers, one each; routes connect server i with server j.
	wires  []*bustest.Wire
	routes map[[2]int]*bustest.Wire

	// phases says how long each part took.
	phases []string
}

// phase notes how long a part took that ends now.
func (h *house) phase(name string, began time.Time) {
	h.phases = append(h.phases, fmt.Sprintf("%s %s", name, time.Since(began).Round(100*time.Millisecond)))
}

// newHouse builds the program and lays out what its tasks need.
func newHouse(t *testing.T, dir, program string) *house {
	h := &house{t: t, dir: dir, program: program, works: works(), site: imissite.New("chaos", "chaos", members())}
	h.site.SetEntities(panel())
	h.site.SetLatency(30 * time.Millisecond)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The parameters of a task that reads an IQA are its prompts, and no column has the Batch.
		query := r.URL.Query()
		query.Del("Batch") // nothing else of the site has such a name
		r.URL.RawQuery = query.Encode()
		h.site.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	var feedURL string
	h.feed, feedURL = newFeed(t)
	h.databases = databases(t)
	lay(t, dir, "http://"+listener.Addr().String(), feedURL, h.works, h.databases)
	t.Cleanup(func() {
		for _, p := range append(h.services, h.servers...) {
			p.kill()
		}
	})
	return h
}

// process adds a process of the house.
func (h *house) process(name, path string, args ...string) *process {
	return &process{name: name, path: path, args: args, log: filepath.Join(h.dir, name+".log")}
}

// service adds a process of the program that listens for HTTP.
func (h *house) service(name string, args ...string) (p *process, url string) {
	listen := proctest.FreeAddress(h.t)
	p = h.process(name, h.program, append(args, "--listen", listen, "--log-level", "info")...)
	p.ready = "http://" + listen + "/readyz"
	h.services = append(h.services, p)
	return p, "http://" + listen
}

// embedded starts everything in one process.
func (h *house) embedded() {
	h.data = filepath.Join(h.dir, "data")
	h.token = filepath.Join(h.data, "admin.token")
	h.chooseDisk()
	h.makeStore()
	h.liveBefore(pastRuns(h.t))
	nats := proctest.FreeAddress(h.t)
	_, url := h.service("serve", "serve", "--data", h.data, "--tasks", filepath.Join(h.dir, "tasks"),
		"--connections", filepath.Join(h.dir, "connections.yaml"), "--nats-listen", nats, "--nats-auth-file", h.natsUsers(), "--lease", lease.String(), "--grace", "1s", "--slots", "32")
	h.posts, h.polls, h.nats = []string{url}, []string{url}, "nats://"+operator+"@"+nats
	h.startAll()
}

// operator is the user of NATS that the chaos comes in as: it outlives the data directory.
const operator = "chaos:anything-goes-here"

// natsUsers writes the file of the users of NATS.
func (h *house) natsUsers() string {
	path := filepath.Join(h.dir, "nats.users")
	check(h.t, os.WriteFile(path, []byte(strings.Replace(operator, ":", "(operator): ", 1)+"\n"), 0o600))
	return path
}

// slice is how many runs have their results in one stream: few, so that many are made, sealed and broken.
const slice = 500

// makeStore makes the store of `serve`, with small slices, where there is none.
func (h *house) makeStore() {
	dir := broker.Dir(h.data)
	if _, err := os.Stat(dir); err == nil {
		return
	}
	server, err := broker.Start(h.t.Context(), broker.Options{Dir: dir, Durable: true, Log: zerolog.Nop()})
	check(h.t, err)
	store, err := bus.Connect(h.t.Context(), bus.Config{InProcess: server, Log: zerolog.Nop()})
	check(h.t, err)
	check(h.t, store.Init(h.t.Context(), bus.Topology{Slice: slice, Synced: true, Embedded: true, Lease: lease}))
	store.Close()
	server.Stop()
}

// makeClusterStore is makeStore for the servers of a cluster, which elect their leaders first.
func (h *house) makeClusterStore() {
	store, err := bus.Connect(h.t.Context(), bus.Config{URLs: h.nats, Log: zerolog.Nop(), ConnectTimeout: startLimit})
	check(h.t, err)
	defer store.Close()
	for limit := time.Now().Add(startLimit); ; time.Sleep(500 * time.Millisecond) {
		if err = store.Init(h.t.Context(), bus.Topology{Slice: slice, Replicas: 3, Lease: lease}); err == nil || time.Now().After(limit) {
			break
		}
	}
	check(h.t, err)
}

// clustered starts three NATS servers and several of each service.
func (h *house) clustered() {
	h.startServers()
	urls := []string{}
	for _, wire := range h.wires {
		urls = append(urls, "nats://"+wire.Address())
	}
	h.nats = strings.Join(urls, ",")
	key := filepath.Join(h.dir, "run.key")
	check(h.t, os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600))
	h.token = filepath.Join(h.dir, "admin.token")
	check(h.t, os.WriteFile(h.token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600))
	h.makeClusterStore()
	h.command("init", "--nats", h.nats, "--replicas", "3", "--lease", lease.String())

	for i := range 2 {
		_, url := h.service(fmt.Sprint("ingress-", i), "ingress", "--nats", h.nats, "--run-key-file", key)
		h.posts = append(h.posts, url)
		_, url = h.service(fmt.Sprint("status-", i), "status", "--nats", h.nats, "--run-key-file", key, "--admin-token-file", h.token)
		h.polls = append(h.polls, url)
	}
	for i := range 3 {
		h.service(fmt.Sprint("runner-", i), "runner", "--nats", h.nats, "--connections", filepath.Join(h.dir, "connections.yaml"), "--grace", "1s")
	}
	h.startAll()
	h.command("task", "apply", filepath.Join(h.dir, "tasks"), "--server", h.polls[0], "--token-file", h.token)
}

// command runs a command of the program, which must succeed.
func (h *house) command(args ...string) {
	h.t.Helper()
	check(h.t, h.tell(args...))
}

// tell runs a command of the program, again and again until it succeeds: a new cluster elects its
// leaders first, and what was just broken comes back.
func (h *house) tell(args ...string) error {
	for limit := time.Now().Add(startLimit); ; time.Sleep(500 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		said, err := exec.CommandContext(ctx, h.program, args...).CombinedOutput()
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("runhook %s: %w\n%s", strings.Join(args, " "), err, said)
		}
	}
}

func (h *house) startAll() {
	h.t.Helper()
	for _, p := range h.services {
		check(h.t, p.start())
	}
	check(h.t, h.awaitReady())
}

// awaitReady waits until everything works.
func (h *house) awaitReady() error {
	for _, p := range append(h.servers, h.services...) {
		if err := p.awaitReady(); err != nil {
			return err
		}
	}
	return nil
}

// awaitTasks waits until every ingress takes POSTs of every task.
func (h *house) awaitTasks() {
	h.t.Helper()
	for _, w := range h.works {
		check(h.t, h.enabled(w))
	}
}

// written counts the rows of each batch in a table, and how many of them are not there for the first time.
func (h *house) written(table string) (rows, doubled map[string]int64) {
	for _, d := range h.databases {
		if name, found := strings.CutPrefix(table, d.name+"."); found {
			return d.counted(h.t, name)
		}
	}
	return written(h.t, h.dir, table)
}

// work is that of a task, nil for none.
func (h *house) work(id task.ID) *work {
	for _, w := range h.works {
		if w.id == id {
			return w
		}
	}
	return nil
}

// enabled waits until every ingress takes POSTs of a task.
func (h *house) enabled(w *work) error {
	for _, base := range h.posts {
		for limit := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
			// A body that cannot be parsed starts nothing, and is refused only once the task is known and enabled.
			answer, err := shortly.Post(base+"/task/execute/"+string(w.id), "application/json", strings.NewReader("{"))
			if err == nil {
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusBadRequest {
					break
				}
			}
			if time.Now().After(limit) {
				return fmt.Errorf("%s does not take POSTs of the task %s", base, w.name)
			}
		}
	}
	return nil
}
