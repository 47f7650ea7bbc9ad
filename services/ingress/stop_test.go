package ingress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/web"
)

// gate is a way to NATS that can hold back what NATS answers.
type gate struct {
	net.Listener
	mu sync.Mutex // held while nothing is passed on
	// published gets a value when a request is on its way to NATS.
	published chan struct{}
	passing   sync.WaitGroup
}

func newGate(t *testing.T, nats string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: listener, published: make(chan struct{}, 1)}
	g.passing.Go(func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", nats)
		if err != nil {
			t.Error(err)
			return
		}
		g.passing.Go(func() {
			defer server.Close()
			for buffer := make([]byte, 64<<10); ; {
				n, err := client.Read(buffer)
				if err != nil {
					return
				}
				if _, err := server.Write(buffer[:n]); err != nil {
					return
				}
				if bytes.Contains(buffer[:n], []byte("PUB run.request.")) {
					g.published <- struct{}{}
				}
			}
		})
		for buffer := make([]byte, 64<<10); ; {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			g.mu.Lock()
			_, err = client.Write(buffer[:n])
			g.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(g.passing.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return g
}

// A POST whose run is on its way to NATS when the server stops is answered when it is stored.
func TestAStopLetsAPublishEnd(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	g := newGate(t, strings.TrimPrefix(h.Broker.URL(), "nats://"))
	far, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + g.Addr().String(), Name: "far", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := far.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := New(Options{Runs: far.Runs, Tasks: h.Tasks, Log: zerolog.Nop()})
	server, err := web.New(web.Options{Listen: "127.0.0.1:0", Log: zerolog.Nop()}, in.Routes())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx) }()

	g.mu.Lock()
	answered := make(chan string, 1)
	go func() {
		caller := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := caller.Post(server.URL()+"/task/execute/"+membersID, "application/json", nil)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- response.Status + " " + string(body)
	}()
	<-g.published
	stop()
	for end := time.Now().Add(proctest.Limit); ; { // until the server has begun to stop
		conn, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
		if time.Now().After(end) {
			t.Fatal("the server still takes connections")
		}
	}
	select {
	case got := <-answered:
		t.Errorf("answered before it was known whether the run is stored: %s", got)
		g.mu.Unlock()
	default:
		g.mu.Unlock()
		if got := <-answered; !strings.HasPrefix(got, "200 ") {
			t.Errorf("answered %s", got)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// While nobody knows whether a run is stored, no answer says that it is; and whether a key had started a run
// is not known either.
func TestNoAnswerBeforeTheRunIsStored(t *testing.T) {
	t.Parallel()
	near := open(t, nil)
	wire := bustest.NewWire(t, "127.0.0.1:0", near.Broker.Addr().String())
	far, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + wire.Address(), Name: "far", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Close)
	if err := far.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := openOn(t, near.Store, func(o *Options) { o.Runs = far.Runs })
	h.apply(t, strings.Replace(members, membersID, absentID, 1)+"enabled: false\n")
	key := []string{"Idempotency-Key", "k"}
	if got := h.post(t, "/task/execute/"+absentID, "", key...); got.Status != http.StatusConflict {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	wire.Silence(true)
	var all sync.WaitGroup
	for _, c := range []struct {
		path, kind string
		headers    []string
	}{
		{"/task/execute/" + membersID, "maybe-stored", nil},
		{"/task/executepolling/" + membersID, "maybe-stored", nil},
		{"/task/executepolling/" + membersID, "maybe-stored", []string{"Prefer", "wait=1"}},
		{"/task/dryrun/" + membersID, "maybe-stored", nil},
		{"/task/execute/" + membersID, "store-unavailable", key}, // nothing is published before the key is noted
		{"/task/execute/" + absentID, "store-unavailable", key},
	} {
		all.Go(func() {
			got := h.post(t, c.path, "", c.headers...)
			if got.Status != http.StatusServiceUnavailable || got.Get("Retry-After") == "" || got.problem(t).Type != "urn:runhook:problem:"+c.kind {
				t.Errorf("%s with %q: %d %v %s", c.path, c.headers, got.Status, got.Header, got.Body)
			}
		})
	}
	all.Wait()
	wire.Silence(false)
}
