package bustest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"runhook/shared/bus"
)

// Cluster is a JetStream cluster of three servers on this machine, with the streams made on all of
// them.
type Cluster struct {
	*bus.Bus
	// URLs of all servers, comma-separated.
	URLs    string
	Servers []*server.Server
}

// NewCluster starts three servers on free loopback ports and makes the streams with three replicas.
// Everything is stopped at the end of the test.
func NewCluster(t testing.TB, topology bus.Topology) *Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "runhook-cluster-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const size = 3
	var routes []string
	ports := make([]int, size)
	for i := range ports {
		ports[i] = freePort(t)
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(ports[i]))
	}
	c := &Cluster{}
	var urls []string
	for i := range size {
		options := &server.Options{
			ServerName: fmt.Sprintf("s%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
			JetStream: true, StoreDir: filepath.Join(dir, strconv.Itoa(i)),
			Cluster: server.ClusterOpts{Name: "runhook", Host: "127.0.0.1", Port: ports[i]},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}
		s, err := server.NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		go s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		c.Servers = append(c.Servers, s)
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("a server of the cluster did not start")
		}
		urls = append(urls, s.ClientURL())
	}
	c.URLs = strings.Join(urls, ",")
	c.Bus = connect(t, c.URLs, "test")
	topology.Replicas = size
	// A new cluster elects its leader first; until then it refuses to make streams.
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := c.Init(t.Context(), topology)
		if err == nil {
			return c
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// Open opens another connection, as a service does, to one of the servers: a read is answered by the
// replica that is nearest, which may be one that lags.
func (c *Cluster) Open(t testing.TB, name string, server int) *bus.Bus {
	t.Helper()
	opened := connect(t, c.Servers[server].ClientURL(), name)
	if err := opened.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return opened
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
