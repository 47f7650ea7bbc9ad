package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/proctest"
)

// guarded starts a server with two guests, of whom one needs no login.
func guarded(t *testing.T) (*broker.Broker, *proctest.Output) {
	t.Helper()
	said := proctest.NewOutput()
	b, err := broker.Start(t.Context(), broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Log: zerolog.New(said),
		Access: &broker.Access{
			Guest:  &broker.Guest{Asks: []string{"ask"}, Pulls: []string{"pull"}, Follows: []string{"news.*"}},
			Logins: []broker.Login{{Name: "all", Password: "secret"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b, said
}

// Whatever a client of the port sends, and whatever it calls itself, it fills no log, and the store is not taken
// for a failed one.
func TestClientsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	b, said := guarded(t)
	before := b.Server()
	send := func(bytes string) {
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1<<10)
		for err == nil {
			_, err = conn.Read(answer)
		}
	}
	for range 30 {
		send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		send("\x16\x03\x01\x02\x00\x01\x00")
		send(`CONNECT {"user":"all","pass":"wrong","name":"JetStream stream critical write error: no space left on device"}` + "\r\n")
		for _, name := range []string{"will be DISABLED", `critical write error" - "`, "disabling JetStream %v%s\\n"} {
			send(fmt.Sprintf(`CONNECT {"verbose":false,"name":%q,"lang":%[1]q}`+"\r\nNONSENSE\r\n", name))
		}
	}
	if n := strings.Count(said.String(), "\n"); n == 0 || n > 3 {
		t.Errorf("the log has %d lines:\n%s", n, said)
	}
	if b.Full() || b.Server() != before {
		t.Error("the store was taken for a failed one")
	}
}

// A guest asks and follows what it may, and takes up what it may at most.
func TestGuest(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t)
	own, err := nats.Connect("", nats.InProcessServer(b), nats.UserInfo(b.Own.Name, b.Own.Password))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	answer := func(msg *nats.Msg) {
		for range 2 {
			_ = msg.Respond([]byte("answer to " + msg.Subject))
		}
	}
	if _, err := own.Subscribe("*", answer); err != nil {
		t.Fatal(err)
	}
	private, err := own.SubscribeSync("private.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Flush(); err != nil {
		t.Fatal(err)
	}
	guest, err := nats.Connect(b.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	for _, subject := range []string{"ask", "pull"} {
		if answer, err := guest.Request(subject, nil, proctest.Limit); err != nil || string(answer.Data) != "answer to "+subject {
			t.Errorf("%s: %v, %v", subject, answer, err)
		}
	}
	pulled, err := guest.SubscribeSync(guest.NewInbox())
	if err == nil {
		err = guest.PublishRequest("pull", pulled.Subject, nil)
	}
	for range 2 {
		if err == nil {
			_, err = pulled.NextMsg(proctest.Limit)
		}
	}
	if err != nil {
		t.Errorf("two answers to a pull: %v", err)
	}
	if _, err := guest.Request("other", nil, proctest.Limit); err == nil {
		t.Error("it may ask what it must not")
	}
	news, err := guest.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"secret.x", "news.today"} {
		if err := own.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for subject := ""; subject != "news.today"; {
		msg, err := news.NextMsg(proctest.Limit)
		if err != nil || msg.Subject == "secret.x" {
			t.Fatalf("%v, %v", msg, err)
		}
		subject = msg.Subject
	}
	if n, _, err := private.Pending(); n != 0 || err != nil {
		t.Errorf("%d answers to another subject, %v", n, err)
	}
	if limit := guest.MaxPayload(); limit != 64<<10 {
		t.Errorf("it may send %d bytes", limit)
	}
	for n := 0; guest.LastError() == nil; n++ {
		if _, err := guest.SubscribeSync(fmt.Sprint("more.", n)); err != nil || n > 2000 {
			t.Fatalf("it has %d subscriptions, %v", n, err)
		}
		if err := guest.Flush(); err != nil {
			break
		}
	}
	if err := guest.LastError(); !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		t.Errorf("its last subscription: %v", err)
	}
	for range 99 {
		more, err := nats.Connect(b.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer more.Close()
	}
	if more, err := nats.Connect(b.URL()); err == nil {
		more.Close()
		t.Error("it may have more connections")
	}
	other, err := nats.Connect(b.URL(), nats.UserInfo("all", "secret"))
	if err != nil {
		t.Fatalf("another user may not come in: %v", err)
	}
	other.Close()
}

// Who says anything of himself is no guest, and where there are none nobody comes in who says nothing.
func TestGuestsSayNothing(t *testing.T) {
	t.Parallel()
	open, _ := guarded(t)
	closed, err := broker.Start(t.Context(), broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Log: zerolog.Nop(), Access: &broker.Access{Logins: []broker.Login{{Name: "all", Password: "secret"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closed.Stop)
	enters := func(b *broker.Broker, says string) bool {
		t.Helper()
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false%s}\r\nPING\r\n", says); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch {
			case strings.HasPrefix(lines.Text(), "PONG"):
				return true
			case strings.HasPrefix(lines.Text(), "-ERR"):
				return false
			}
		}
		t.Fatalf("%q is not answered", says)
		return false
	}
	for _, says := range []string{`,"user":"x"`, `,"pass":"x"`, `,"auth_token":"x"`, `,"nkey":"x"`, `,"user":"all"`, `,"pass":"secret"`, `,"user":"all","pass":"x"`} {
		if enters(open, says) || enters(closed, says) {
			t.Errorf("who says %s comes in", says)
		}
	}
	if !enters(open, "") || enters(closed, "") {
		t.Error("who says nothing must come in where there are guests, and nowhere else")
	}
	if says := `,"user":"all","pass":"secret"`; !enters(open, says) || !enters(closed, says) {
		t.Errorf("who says %s does not come in", says)
	}
}
