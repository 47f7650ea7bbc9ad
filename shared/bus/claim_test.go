package bus_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A renewal that the store did not take leaves the claim unmoved, and somebody may be watching it: the
// holder must not take it for written because the claim says the same already. Nor is the run lost.
func TestRenewalThatIsNotStored(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	claim, err := store.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	js := bustest.JetStream(t, store.Broker.URL())
	limit := func(bytes int32) {
		t.Helper()
		stream, err := js.Stream(t.Context(), "KV_runs_0")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgSize = bytes
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	if err := claim.Renew(t.Context(), state); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("a renewal that is refused for its size: %v", err)
	}
	limit(-1)
	if err := claim.Renew(t.Context(), state); err != nil {
		t.Errorf("the next renewal: %v", err)
	}
}

// A refusal alone does not say that the run is another's: the write that moved the claim may be this
// holder's, whose acknowledgement was lost. Where it cannot be read whose it is, the run may still be ours.
func TestRefusedRenewalThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, &server.User{Username: "deaf", Password: "deaf", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.GET.KV_runs_0"}},
		Subscribe: &server.SubjectPermission{Allow: []string{">"}},
	}})
	admin, deaf := connectAs(t, broker, "admin"), connectAs(t, broker, "deaf")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := deaf.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	n := bustest.Submit(t, admin, request)
	state := run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()}
	claim, err := deaf.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	seen, found, err := admin.Work.FindClaim(t.Context(), request.Task, n)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if _, err := admin.Work.TakeOver(t.Context(), request.Task, n, seen, state.Next("other")); err != nil {
		t.Fatal(err)
	}
	if err := claim.Renew(t.Context(), state); !errors.Is(err, run.ErrUnavailable) || errors.Is(err, bus.ErrLost) {
		t.Errorf("refused, and whose the claim is cannot be read: %v", err)
	}
}

// withUsers starts a server that asks for a user: admin, who may do everything, and those.
func withUsers(t *testing.T, users ...*server.User) *server.Server {
	t.Helper()
	options := usersOptions(t.TempDir(), users)
	for _, user := range users {
		if user.Account != nil {
			options.Accounts = append(options.Accounts, user.Account)
		}
	}
	broker, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	if !broker.ReadyForConnections(proctest.Limit) {
		t.Fatal("the server is not ready")
	}
	return broker
}

func usersOptions(dir string, users []*server.User) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		Users: append(users, &server.User{Username: "admin", Password: "admin"}),
	}
}

// connectAs connects a user whose password is their name.
func connectAs(t *testing.T, broker *server.Server, user string) *bus.Bus {
	t.Helper()
	credentials := filepath.Join(t.TempDir(), user)
	if err := os.WriteFile(credentials, []byte(user+":"+user), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := bus.Connect(t.Context(), bus.Config{URLs: broker.ClientURL(), Credentials: credentials, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}
