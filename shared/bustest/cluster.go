package bustest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"runhook/shared/bus"
	"runhook/shared/proctest"
)

// Cluster is a JetStream cluster of three servers on this machine, with the streams made on all of
// them.
type Cluster struct {
	*bus.Bus
	// URLs of all servers, comma-separated.
	URLs    string
	Servers []*server.Server
	// Dirs are where they keep their streams and Raft logs.
	Dirs []string

	// routes are the wires between every two servers.
	routes  map[[2]int]*Wire
	options []*server.Options
}

// begin starts a server, and stops it at the end of the test.
func begin(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(proctest.Limit) {
		t.Fatal("a server of the cluster did not start")
	}
	return s
}

// Restart stops a server and starts it again on its data and its address.
func (c *Cluster) Restart(t testing.TB, place int) {
	t.Helper()
	c.Servers[place].Shutdown()
	c.Servers[place].WaitForShutdown()
	c.Servers[place] = begin(t, c.options[place].Clone())
}

// StepDown has a stream's leader give its place to another server.
func (c *Cluster) StepDown(t testing.TB, stream string) {
	t.Helper()
	leader := c.Leader(t, stream)
	_ = c.Servers[leader].JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream) // it may have lost its place already
}

// Silence keeps a server from hearing the others and them from hearing it, or lets them again. Its
// clients still reach it.
func (c *Cluster) Silence(server int, silent bool) {
	for pair, wire := range c.routes {
		if pair[0] == server || pair[1] == server {
			wire.Silence(silent)
		}
	}
}

// Leader is the server that leads a stream.
func (c *Cluster) Leader(t testing.TB, stream string) int {
	t.Helper()
	leader := -1
	proctest.Eventually(t, "stream "+stream+" has a leader", func() bool {
		leader = slices.IndexFunc(c.Servers, func(s *server.Server) bool {
			return s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream)
		})
		return leader >= 0
	})
	return leader
}

// NewCluster starts three servers on free loopback ports and makes the streams with three replicas.
// Everything is stopped at the end of the test.
func NewCluster(t testing.TB, topology bus.Topology) *Cluster {
	t.Helper()
	c := EmptyCluster(t)
	topology.Replicas = len(c.Servers)
	if err := c.Init(t.Context(), topology); err != nil {
		t.Fatal(err)
	}
	return c
}

// EmptyCluster is NewCluster without the streams. dirs are where the first servers keep theirs; the
// others get a place of their own.
func EmptyCluster(t testing.TB, dirs ...string) *Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "runhook-cluster-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const size = 3
	c := &Cluster{routes: map[[2]int]*Wire{}}
	var urls []string
	nowhere := proctest.FreeAddress(t)
	for i := range size {
		var routes []string
		for j := range i {
			wire := NewWire(t, "127.0.0.1:0", c.Servers[j].ClusterAddr().String())
			c.routes[[2]int{j, i}] = wire
			routes = append(routes, "nats://"+wire.Address())
		}
		if len(dirs) == i {
			dirs = append(dirs, filepath.Join(dir, strconv.Itoa(i)))
		}
		options := &server.Options{
			ServerName: fmt.Sprintf("s%d", i), Host: "127.0.0.1", Port: freePort(t), NoSigs: true,
			JetStream: true, StoreDir: dirs[i],
			// The servers and their clients know each other by the wires only, which a test can cut.
			Cluster: server.ClusterOpts{Name: "runhook", Host: "127.0.0.1", Port: freePort(t), NoAdvertise: true, Advertise: nowhere},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}
		c.options, c.Dirs = append(c.options, options), append(c.Dirs, options.StoreDir)
		c.Servers = append(c.Servers, begin(t, options.Clone()))
		urls = append(urls, c.Servers[i].ClientURL())
	}
	c.URLs = strings.Join(urls, ",")
	c.Bus = connect(t, c.URLs, "test")
	c.awaitLeader(t)
	return c
}

// freePort is a port that a server takes again when it is restarted.
func freePort(t testing.TB) int {
	t.Helper()
	_, port, _ := net.SplitHostPort(proctest.FreeAddress(t))
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// awaitLeader waits until a new cluster has elected its leader, which knows all servers: before, it
// refuses to make streams.
func (c *Cluster) awaitLeader(t testing.TB) {
	t.Helper()
	proctest.Eventually(t, "the cluster has a leader", func() bool {
		return slices.ContainsFunc(c.Servers, func(s *server.Server) bool {
			return s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(c.Servers)
		})
	})
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

// Relieve makes other servers the leaders of all streams.
func (c *Cluster) Relieve(t testing.TB, place int) {
	t.Helper()
	c.lead(t, func(leader int) bool { return leader != place })
}

// Promote makes one server the leader of all streams.
func (c *Cluster) Promote(t testing.TB, place int) {
	t.Helper()
	c.lead(t, func(leader int) bool { return leader == place })
}

// lead has leaders step down until all are right: who follows them cannot be chosen.
func (c *Cluster) lead(t testing.TB, right func(leader int) bool) {
	t.Helper()
	proctest.Eventually(t, "the streams have the leaders they should", func() bool {
		wrong := 0
		for _, stream := range []string{"RUNS", "EVENTS", "KV_runs_0", "KV_progress"} {
			if leader := c.Leader(t, stream); !right(leader) {
				wrong++
				_ = c.Servers[leader].JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream) // asked again until it has
			}
		}
		return wrong == 0
	})
}
