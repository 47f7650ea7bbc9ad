package broker_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/proctest"
)

// Who is let in can be changed while the server runs: who has gone, or has another password or other rights, is cut
// off, who is as before stays, and a newcomer comes in. So it is after a restart of the server.
func TestAdmit(t *testing.T) {
	t.Parallel()
	guest := &broker.Guest{Asks: []string{"ask"}}
	b, err := broker.Start(t.Context(), broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Log: zerolog.Nop(),
		Access: &broker.Access{Logins: []broker.Login{
			{Name: "stays", Password: "1", Guest: guest}, {Name: "goes", Password: "2", Guest: guest}, {Name: "changes", Password: "3"}, {Name: "falls", Password: "4"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	enter := func(name, password string) (*nats.Conn, error) {
		return nats.Connect(b.URL(), nats.UserInfo(name, password), nats.NoReconnect(), nats.Timeout(proctest.Limit))
	}
	own, err := nats.Connect("", nats.InProcessServer(b), nats.UserInfo(b.Own.Name, b.Own.Password), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	connections := map[string]*nats.Conn{"own": own}
	for name, password := range map[string]string{"stays": "1", "goes": "2", "changes": "3", "falls": "4"} {
		if connections[name], err = enter(name, password); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(connections[name].Close)
	}
	if err := b.Admit([]broker.Login{
		{Name: "stays", Password: "1", Guest: &broker.Guest{Asks: []string{"ask"}}}, {Name: "changes", Password: "other"}, {Name: "comes", Password: "5", Guest: guest}, {Name: "falls", Password: "4", Guest: guest},
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Admit([]broker.Login{{Name: b.Own.Name, Password: "6", Guest: guest}}); err == nil {
		t.Error("somebody is let in under the name of the process")
	}
	for name, stays := range map[string]bool{"own": true, "stays": true, "goes": false, "changes": false, "falls": false} {
		if stays {
			if err := connections[name].FlushTimeout(proctest.Limit); err != nil {
				t.Errorf("%s is cut off: %v", name, err)
			}
			continue
		}
		proctest.Eventually(t, name+" is cut off", connections[name].IsClosed)
	}
	look := func() {
		t.Helper()
		for login, comes := range map[[2]string]bool{
			{"stays", "1"}: true, {"goes", "2"}: false, {"changes", "3"}: false, {"changes", "other"}: true, {"comes", "5"}: true, {"falls", "4"}: true,
		} {
			nc, err := enter(login[0], login[1])
			if err == nil {
				nc.Close()
			}
			if (err == nil) != comes {
				t.Errorf("%s comes in: %v", login[0], err)
			}
		}
	}
	look()
	// A former one comes in again, and who has fallen has the rights of a guest.
	if err := b.Admit([]broker.Login{
		{Name: "stays", Password: "1", Guest: guest}, {Name: "goes", Password: "2", Guest: guest}, {Name: "changes", Password: "other"}, {Name: "comes", Password: "5", Guest: guest}, {Name: "falls", Password: "4", Guest: guest},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := own.Subscribe("*", func(msg *nats.Msg) { _ = msg.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := own.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{"goes": "2", "falls": "4", "comes": "5"} {
		nc, err := enter(name, password)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Request("ask", nil, proctest.Limit); err != nil {
			t.Errorf("%s may not ask: %v", name, err)
		}
		if _, err := nc.Request("other", nil, proctest.Limit); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s may ask what it must not: %v", name, err)
		}
		nc.Close()
	}
	if err := b.Admit([]broker.Login{{Name: "stays", Password: "1", Guest: guest}, {Name: "changes", Password: "other"}, {Name: "comes", Password: "5", Guest: guest}, {Name: "falls", Password: "4", Guest: guest}}); err != nil {
		t.Fatal(err)
	}
	b.Again(t)
	look()
	if err := b.Admit([]broker.Login{{Name: "stays", Password: "1", Guest: guest}}); err != nil {
		t.Fatal(err)
	}
	if nc, err := enter("comes", "5"); err == nil {
		nc.Close()
		t.Error("who has gone from the server that started again comes in")
	}
}
