//go:build bench

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// house is a folder with a store, and the processes on it: `serve`, or three NATS servers with a service of each
// kind. A process that ends before all are ready is started again, as a service manager does.
type house struct {
	b       *bench
	build   build
	dir     string
	servers int

	posts, polls, nats string
	client             *fasthttp.Client
	members            []*member
}

// member is one of the processes.
type member struct {
	command func() *exec.Cmd
	more    []string // arguments
	ready   string   // the address that answers 200 then; empty for a NATS server
	*proctest.Process
}

// houseTasks is how many no-op tasks there are.
const houseTasks = 20

// houseTask is the task of a run that has ended: the first runs are one of each, the others are mixed.
func houseTask(run int) string {
	place := (run - 1) % houseTasks
	if run > 2*houseTasks {
		place = int(uint64(run)*0x9e3779b97f4a7c15>>40) % houseTasks
	}
	return fmt.Sprintf("555e1a89-5d7d-4daf-ae0e-%012d", place)
}

// house lays out what the processes of a build need in a folder. They are not started.
func (b *bench) house(build build, dir string, servers int) *house {
	h := &house{b: b, build: build, dir: dir, servers: servers, client: &fasthttp.Client{MaxConnsPerHost: 2 * callers}}
	b.check(os.MkdirAll(h.path("tasks"), 0o755))
	write := func(name, text string) { b.check(os.WriteFile(h.path(name), []byte(text), 0o600)) }
	write("connections.yaml", "here: {files: .}\n")
	write("one.csv", "id\n1\n")
	write("run.key", base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
	write("admin.token", "0123456789abcdef0123456789abcdef\n")
	for n := 1; n <= houseTasks; n++ {
		write(fmt.Sprintf("tasks/noop-%02d.yaml", n), fmt.Sprintf(`id: %s
name: No-op %d
concurrency: 64
source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: noop.csv, action: append}}
`, houseTask(n), n))
	}
	service := func(args ...string) string {
		listen := b.port()
		m := &member{ready: "http://" + listen + "/readyz"}
		m.command = func() *exec.Cmd {
			return exec.Command(build.program, slices.Concat(args, []string{"--listen", listen, "--log-level", "error"}, m.more)...)
		}
		h.members = append(h.members, m)
		return "http://" + listen
	}
	if servers == 1 {
		nats := b.port()
		h.nats = "nats://" + nats
		h.posts = service("serve", "--data", h.path("data"), "--tasks", h.path("tasks"), "--connections", h.path("connections.yaml"),
			"--run-key-file", h.path("run.key"), "--nats-listen", nats, "--durability", "interval", "--slots", strconv.Itoa(callers))
		h.polls = h.posts
		return h
	}
	var routes, urls []string
	for i := range servers {
		client, cluster := b.port(), b.port()
		environment := []string{
			"RUNHOOK_BENCH_NAME=s" + strconv.Itoa(i), "RUNHOOK_BENCH_NATS=" + client, "RUNHOOK_BENCH_CLUSTER=" + cluster,
			"RUNHOOK_BENCH_ROUTES=" + strings.Join(routes, ","), "RUNHOOK_BENCH_DIR=" + h.path("data", strconv.Itoa(i)),
		}
		h.members = append(h.members, &member{command: func() *exec.Cmd { return proctest.Self("nats", environment...) }})
		routes, urls = append(routes, "nats://"+cluster), append(urls, "nats://"+client)
	}
	h.nats = strings.Join(urls, ",")
	h.posts = service("ingress", "--nats", h.nats, "--run-key-file", h.path("run.key"))
	h.polls = service("status", "--nats", h.nats, "--run-key-file", h.path("run.key"), "--admin-token-file", h.path("admin.token"))
	service("runner", "--nats", h.nats, "--connections", h.path("connections.yaml"), "--slots", strconv.Itoa(callers))
	return h
}

func (h *house) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// start starts all processes.
func (h *house) start() {
	for _, m := range h.members {
		h.launch(m)
	}
}

// startServers starts the NATS servers alone.
func (h *house) startServers() {
	for _, m := range h.members[:h.servers] {
		h.launch(m)
	}
}

func (h *house) launch(m *member) {
	m.Process = proctest.Start(h.b.t, m.command())
}

// becomesReady waits until every process says that it is ready and a POST is accepted; ok is false if that takes
// longer than a limit.
func (h *house) becomesReady(limit time.Duration) (took time.Duration, ok bool) {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(5 * time.Millisecond) {
		if h.isReady() {
			return time.Since(began), true
		}
	}
	return limit, false
}

func (h *house) isReady() bool {
	for _, m := range h.members {
		select {
		case <-m.Ended():
			time.Sleep(100 * time.Millisecond)
			h.launch(m)
			return false
		default:
		}
		if m.ready == "" {
			continue
		}
		if status, _, err := fasthttp.GetTimeout(nil, m.ready, time.Second); err != nil || status != 200 {
			return false
		}
	}
	return h.post(houseTask(1)) == nil
}

// post starts a run.
func (h *house) post(id string) error {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod("POST")
	request.SetRequestURI(h.posts + "/task/executepolling/" + id)
	err := h.client.DoTimeout(request, response, 20*time.Second)
	if err == nil && response.StatusCode() != 202 {
		err = fmt.Errorf("%d %s", response.StatusCode(), response.Body())
	}
	return err
}

// awaitReady is becomesReady where there is no doubt.
func (h *house) awaitReady() time.Duration {
	h.b.t.Helper()
	took, ok := h.becomesReady(10 * time.Minute)
	if !ok {
		h.b.t.Fatalf("%s is not ready", h.dir)
	}
	return took
}

// stop ends the services, then the NATS servers, and returns how long that took.
func (h *house) stop() time.Duration {
	began := time.Now()
	for i := len(h.members); i > 0; {
		from := i - 1 // servers end one after the other: the last of them keeps what the others had
		if h.servers > 1 && i > h.servers {
			from = h.servers
		}
		for _, m := range h.members[from:i] {
			m.Signal(syscall.SIGTERM)
		}
		for _, m := range h.members[from:i] {
			m.Wait()
		}
		i = from
	}
	return time.Since(began)
}

// kill ends all processes at once with SIGKILL.
func (h *house) kill() {
	for _, m := range h.members {
		m.Signal(syscall.SIGKILL)
	}
	for _, m := range h.members {
		m.Wait()
	}
}

// natsURL is where a running house has its NATS, with a password where the build asks for one.
func (h *house) natsURL() string {
	if _, err := os.Stat(h.path("data", "nats.operator")); err != nil {
		return strings.Split(h.nats, ",")[0]
	}
	return asOperator(h.b.t, h.path("data"), strings.TrimPrefix(h.nats, "nats://"))
}

// jetStream is a client of the store.
func (h *house) jetStream() (js jetstream.JetStream, closeIt func()) {
	nc, err := nats.Connect(h.natsURL())
	h.b.check(err)
	js, err = jetstream.New(nc)
	h.b.check(err)
	return js, nc.Close
}

// serveNATS is what the child process does that is a NATS server of three.
func serveNATS() error {
	host, client, err := splitAddress(os.Getenv("RUNHOOK_BENCH_NATS"))
	if err != nil {
		return err
	}
	_, cluster, err := splitAddress(os.Getenv("RUNHOOK_BENCH_CLUSTER"))
	if err != nil {
		return err
	}
	s, err := natsserver.NewServer(&natsserver.Options{
		ServerName: os.Getenv("RUNHOOK_BENCH_NAME"), Host: host, Port: client, NoSigs: true, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: os.Getenv("RUNHOOK_BENCH_DIR"),
		Cluster: natsserver.ClusterOpts{Name: "runhook", Host: host, Port: cluster}, Routes: natsserver.RoutesFromStr(os.Getenv("RUNHOOK_BENCH_ROUTES")),
	})
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go s.Start()
	if !s.ReadyForConnections(10 * time.Minute) {
		return errors.New("the server is not ready")
	}
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	return host, port, err
}

// port is an address for a process that is started more than once. It lies below those that the system gives to
// outgoing connections, so that nobody else comes by it meanwhile.
func (b *bench) port() string {
	for range 1000 {
		b.ports++
		address := "127.0.0.1:" + strconv.Itoa(16000+(os.Getpid()*37+b.ports)%14000)
		if listener, err := net.Listen("tcp", address); err == nil {
			b.check(listener.Close())
			return address
		}
	}
	b.t.Fatal("no free port")
	return ""
}
