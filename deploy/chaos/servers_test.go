//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// serverRole makes the test binary a NATS server instead of running tests: its value is the server's
// place in the cluster.
const serverRole = "RUNHOOK_CHAOS_SERVER"

func TestMain(m *testing.M) {
	if place := os.Getenv(serverRole); place != "" {
		if err := serve(place, os.Getenv); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	proctest.Main(m)
}

// serve is one NATS server of the cluster, set up as its own program would be by a configuration
// file: the clients' port, the routes' port, JetStream in a folder, every write synced to disk.
func serve(place string, setting func(string) string) error {
	host, client, err := split(setting("RUNHOOK_CHAOS_CLIENT"))
	if err != nil {
		return err
	}
	_, cluster, err := split(setting("RUNHOOK_CHAOS_CLUSTER"))
	if err != nil {
		return err
	}
	nowhere, _, _ := strings.Cut(setting("RUNHOOK_CHAOS_NOWHERE"), ",")
	s, err := server.NewServer(&server.Options{
		ServerName: "s" + place, Host: host, Port: client, NoSigs: true,
		JetStream: true, StoreDir: setting("RUNHOOK_CHAOS_STORE"), SyncAlways: true, MaxPayload: 8 << 20,
		// Clients and servers know each other only by the wires between them, which can be cut.
		Cluster: server.ClusterOpts{Name: "runhook", Host: host, Port: cluster, NoAdvertise: true, Advertise: nowhere},
		Routes:  server.RoutesFromStr(setting("RUNHOOK_CHAOS_ROUTES")),
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go s.Start()
	if !s.ReadyForConnections(startLimit) {
		return errors.New("the server is not ready")
	}
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// startServers starts three NATS servers with a wire to each for clients and one between every two.
func (h *house) startServers() {
	const size = 3
	var clients, clusters [size]string
	for i := range size {
		clients[i], clusters[i] = proctest.FreeAddress(h.t), proctest.FreeAddress(h.t)
		h.wires = append(h.wires, bustest.NewWire(h.t, proctest.FreeAddress(h.t), clients[i]))
	}
	nowhere := proctest.FreeAddress(h.t)
	h.routes = map[[2]int]*bustest.Wire{}
	for i := range size {
		var routes []string
		for j := range i {
			wire := bustest.NewWire(h.t, proctest.FreeAddress(h.t), clusters[j])
			h.routes[[2]int{j, i}] = wire
			routes = append(routes, "nats://"+wire.Address())
		}
		p := h.process(fmt.Sprint("nats-", i), os.Args[0])
		p.env = []string{
			serverRole + "=" + strconv.Itoa(i), "RUNHOOK_CHAOS_CLIENT=" + clients[i], "RUNHOOK_CHAOS_CLUSTER=" + clusters[i],
			"RUNHOOK_CHAOS_NOWHERE=" + nowhere, "RUNHOOK_CHAOS_STORE=" + filepath.Join(h.dir, fmt.Sprint("nats-", i)),
			"RUNHOOK_CHAOS_ROUTES=" + strings.Join(routes, ","),
		}
		h.servers = append(h.servers, p)
	}
	for _, p := range h.servers {
		check(h.t, p.start())
	}
}

// cutOff cuts a server off from the others, or joins it again: its connections to them end, or, where
// silent, stay and let nothing through.
func (h *house) cutOff(place int, cut, silent bool) {
	for pair, wire := range h.routes {
		switch {
		case pair[0] != place && pair[1] != place:
		case silent:
			wire.Silence(cut)
		default:
			wire.Cut(cut)
		}
	}
}

// leader is the place of the server that leads a stream, as far as anybody knows.
func (h *house) leader(w *witness, stream string) (place int, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	reply, err := w.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream, nil)
	if err != nil {
		return 0, false
	}
	var info struct {
		Cluster struct{ Leader string }
	}
	if json.Unmarshal(reply.Data, &info) != nil {
		return 0, false
	}
	for i := range h.servers {
		if info.Cluster.Leader == fmt.Sprint("s", i) {
			return i, true
		}
	}
	return 0, false
}
