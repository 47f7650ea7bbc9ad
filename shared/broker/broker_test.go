package broker_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// A stop does not take longer than it may, however many tasks there are; what it leaves open is there
// at the next start.
func TestStopIsBounded(t *testing.T) {
	const tasks, limit = 300, 100 * time.Millisecond
	restore := broker.SetStopLimit(limit)
	defer restore()
	o := broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()}
	first, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	js := connect(t, first)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tasks {
		subject := fmt.Sprintf("s.%d", i)
		consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: fmt.Sprintf("c%d", i), FilterSubject: subject})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
		msg, err := consumer.Next(jetstream.FetchMaxWait(proctest.Limit)) // its state has to be written
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	asked := time.Now()
	first.Stop()
	took := time.Since(asked)
	first.Server().WaitForShutdown()
	whole := time.Since(asked)
	if t.Logf("a stop with %d consumers took %s, and all that it began %s", tasks, took, whole); whole > 3*limit && took > whole*2/3 {
		t.Errorf("it may take %s", limit)
	}
	second, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	again, err := connect(t, second).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if state := again.CachedInfo().State; state.Msgs != tasks || state.Consumers != tasks {
		t.Errorf("after the restart: %+v", state)
	}
}

// A start after a clean stop has nothing to warn of, also where a stream has copies of another.
func TestCleanStartWarnsOfNothing(t *testing.T) {
	said := proctest.NewOutput()
	o := broker.Options{Dir: t.TempDir(), Log: zerolog.New(said)}
	first, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	js := connect(t, first)
	for _, config := range []jetstream.StreamConfig{{Name: "S", Subjects: []string{"s"}}, {Name: "COPY", Sources: []*jetstream.StreamSource{{Name: "S"}}}} {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the message is copied", func() bool {
		copied, err := js.Stream(t.Context(), "COPY")
		return err == nil && copied.CachedInfo().State.Msgs == 1
	})
	first.Stop()
	second, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	second.Stop()
	if said.String() != "" {
		t.Errorf("it says:\n%s", said)
	}
}

func connect(t *testing.T, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// A write that fails makes the server start again, with the room of the reserve, on the same port;
// connections come back.
func TestFailedWriteStartsTheServerAgain(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Start(t.Context(), broker.Options{Dir: dir, Listen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	reconnected := make(chan struct{}, 2)
	handler := nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} })
	for _, option := range []nats.Option{nats.InProcessServer(b), nil} {
		options := []nats.Option{handler, nats.ReconnectWait(20 * time.Millisecond), nats.MaxReconnects(-1)}
		if option != nil {
			options = append(options, option)
		}
		nc, err := nats.Connect(b.URL(), options...)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	before, address := b.Server(), b.Addr().(*net.TCPAddr).Port
	// What a stream says when its store has failed.
	reserve := awaitReserve(t, dir)
	before.Errorf("JetStream stream '%s > %s' critical write error: %v", "$G", "RUNS", "no space left on device")
	for range 2 {
		select {
		case <-reconnected:
		case <-time.After(proctest.Limit):
			t.Fatal("a connection has not come back")
		}
	}
	if after := b.Server(); after == before || after.Addr().(*net.TCPAddr).Port != address {
		t.Errorf("the server is the same, or listens on another port: %v", after.Addr())
	}
	proctest.Eventually(t, "it is not said to be full any more", func() bool { return !b.Full() })
	if !awaitReserve(t, dir).ModTime().After(reserve.ModTime()) {
		t.Error("the reserve was not given up")
	}
}

// awaitReserve waits until there is a whole reserve.
func awaitReserve(t *testing.T, dir string) (reserve os.FileInfo) {
	t.Helper()
	proctest.Eventually(t, "there is a reserve", func() (whole bool) {
		var err error
		reserve, err = os.Stat(filepath.Join(dir, ".reserve"))
		return err == nil && reserve.Size() == 4<<20
	})
	return reserve
}
