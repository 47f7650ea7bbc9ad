//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/run"
	"runhook/shared/task"
)

// foreign marks a message that is none of ours, so that the account can leave it out.
const foreign = "Chaos-Foreign"

// intrude publishes what belongs nowhere on every subject of the store: what cannot be decoded, under
// names that exist and under names that do not.
func (m *mischief) intrude() error {
	w := m.house.works[m.rand.IntN(len(m.house.works))]
	stranger, never := task.NewID(), 1<<40+m.rand.Uint64N(1<<20)
	open, _ := m.ledger.anyOpen(w)
	m.ledger.overwrite(open)
	bucket := strings.TrimPrefix(sliceOf(run.Number(open)), "KV_")
	bodies := []string{"", "{", "[]", "null", "\x00\xff", `{"Owner":7}`, `{"ImportID":"x"}`}
	var failed error
	for _, subject := range []string{
		"run.request." + string(w.id),
		"run.request." + string(stranger),
		"run.request.nobody",
		fmt.Sprintf("$KV.%s.claim.%s.%d", bucket, w.id, never),
		fmt.Sprintf("$KV.%s.claim.%s.%d", bucket, w.id, open),
		"$KV." + bucket + ".claim.nobody.x",
		fmt.Sprintf("$KV.%s.final.%s.%d", bucket, w.id, never),
		fmt.Sprintf("$KV.%s.final.%s.%d", bucket, stranger, never),
		fmt.Sprintf("$KV.progress.%s.%d", w.id, open),
		"$KV.progress.nobody.x",
		"$KV.tasks." + string(stranger),
		"$KV.tasks." + string(stranger) + ".0000",
		"$KV.keys." + string(w.id) + ".AAAAAAAAAAAAAAAAAAAAAA",
		"$KV.keys.nobody",
		"$KV.control.nobody",
		"$O.rows.M.bm9ib2R5",
	} {
		msg := nats.NewMsg(subject)
		msg.Header.Set(foreign, "yes")
		msg.Data = []byte(bodies[m.rand.IntN(len(bodies))])
		// Where a server is down, what does not arrive is no loss.
		if err := m.witness.nc.PublishMsg(msg); err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// restore moves the house into a store that is made from a backup of its own, once all that was accepted
// has ended: run numbers go on, and nothing is executed again.
func restore(m *mischief) error {
	p := m.one("serve")
	m.ledger.hold(m.house.works, true)
	defer m.ledger.hold(m.house.works, false)
	if err := m.house.awaitReady(); err != nil {
		return err
	}
	for limit := time.Now().Add(drainLimit); ; time.Sleep(100 * time.Millisecond) {
		if m.ledger.quiet() {
			if open, err := m.witness.open(m.house.t.Context(), m.house.works); err == nil && open == 0 {
				break
			}
		}
		if time.Now().After(limit) {
			return fmt.Errorf("runs have not ended after %s", drainLimit)
		}
	}
	failed := m.end(p)
	data, file := m.house.data, filepath.Join(m.house.dir, fmt.Sprintf("%d.backup", m.done["restore"]))
	next := data + ".restored"
	steps := []func() error{
		func() error { return m.house.tell("backup", file, "--data", data) },
		func() error { return m.house.tell("restore", file, "--data", next) },
		func() error { return os.Rename(filepath.Join(data, "run.key"), filepath.Join(next, "run.key")) },
		func() error { return os.RemoveAll(data) },
		func() error { return os.Rename(next, data) },
		func() error { return m.startLater(p) },
		p.awaitReady,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}
