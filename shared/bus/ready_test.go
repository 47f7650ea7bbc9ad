package bus_test

import (
	"errors"
	"strings"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// unready waits until a store says that it is not ready, with this reason.
func unready(t *testing.T, store *bus.Bus, reason string) {
	t.Helper()
	proctest.Until(t, func() error {
		err := store.Ready(t.Context())
		if !errors.Is(err, run.ErrUnavailable) || !strings.Contains(err.Error(), reason) {
			return errors.Join(errors.New("not "+reason), err)
		}
		return nil
	})
}

func ready(t *testing.T, store *bus.Bus) {
	t.Helper()
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
}

// A cluster without a majority stores nothing, though its streams and even their leader still answer.
func TestNotReadyWithoutAMajority(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{})
	const alone = 0
	cluster.Promote(t, alone)
	store := cluster.Open(t, "ingress", alone)
	ready(t, store)
	cluster.Silence(alone, true)
	unready(t, store, "has lost touch with the other servers")
	cluster.Silence(alone, false)
	ready(t, store)
	for _, other := range cluster.Servers[1:] {
		other.Shutdown()
		other.WaitForShutdown()
	}
	unready(t, store, "NATS is not available")
	cluster.Restart(t, 1)
	ready(t, store)
}
