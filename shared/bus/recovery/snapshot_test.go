package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

type part struct {
	stream string
	data   []byte
}

// made is a backup in memory.
type made struct {
	parts []part
	// dropped is which streams were read once more.
	dropped []string
	// begun, if not nil, is called when the first part of a stream has come.
	begun func(stream string)
}

func (m *made) Add(stream string, data []byte) error {
	begins := len(m.parts) == 0 || m.parts[len(m.parts)-1].stream != stream
	m.parts = append(m.parts, part{stream, bytes.Clone(data)})
	if begins && m.begun != nil {
		m.begun(stream)
	}
	return nil
}

func (m *made) Drop(stream string) error {
	m.dropped = append(m.dropped, stream)
	if place := slices.IndexFunc(m.parts, func(p part) bool { return p.stream == stream }); place >= 0 {
		m.parts = m.parts[:place]
	}
	return nil
}

// backUp backs the store up, and executes two other runs before each stream is read.
func (r *ran) backUp(t *testing.T) (parts []part, during []run.Number) {
	t.Helper()
	m := &made{begun: func(string) {
		during = append(during, r.execute(t), r.execute(t))
		r.events(t, len(r.finals))
	}}
	if err := recovery.Backup(t.Context(), r.Bus, m); err != nil {
		t.Fatal(err)
	}
	return m.parts, during
}

// restored is a new store made of the parts.
func (r *ran) restored(t *testing.T, parts []part) *ran {
	t.Helper()
	other := &ran{Store: bustest.Empty(t, false), request: r.request, finals: map[run.Number]string{}}
	if err := restore(t.Context(), other.Bus, 0, parts, time.Now()); err != nil {
		t.Fatal(err)
	}
	return other
}

// restore makes a store of the parts of a backup that was made then.
func restore(ctx context.Context, store *bus.Bus, replicas int, parts []part, madeOn time.Time) error {
	return recovery.Restore(ctx, store, replicas, madeOn, func() (string, []byte, error) {
		if len(parts) == 0 {
			return "", nil, io.EOF
		}
		next := parts[0]
		parts = parts[1:]
		return next.stream, next.data, nil
	})
}

// Whatever is executed while the streams are read one after the other, what is restored fits
// together: no run is acknowledged that has no final document, and each final has one event.
func TestBackupOfAStoreInUse(t *testing.T) {
	t.Parallel()
	r := newRan(t, 4)
	r.events(t, 4)
	parts, during := r.backUp(t)
	other := r.restored(t, parts)
	if other.StoreID() == r.StoreID() || other.StoreID() == "" {
		t.Errorf("the store's id is %q, and was %q", other.StoreID(), r.StoreID())
	}
	next := other.execute(t) // and with it all that is still in the queue
	if next <= during[len(during)-1] {
		t.Errorf("run %s comes after run %s of the store before", next, during[len(during)-1])
	}
	there := map[run.Number]bool{next: true}
	for n, final := range r.finals {
		status, err := other.Runs.Lookup(t.Context(), r.request.Task, n)
		switch anew := other.finals[n]; {
		case errors.Is(err, run.ErrRunGone) && n > 4:
			continue
		case err != nil || !status.Final:
			t.Errorf("run %s: %v, %+v", n, err, status.Document)
		case anew == "" && string(status.Bytes) != final:
			t.Errorf("run %s:\n%s\nwas\n%s", n, status.Bytes, final)
		}
		there[n] = true
	}
	t.Logf("of the %d runs that ended while it was made the backup has %d", len(during), len(there)-5)
	other.Restart()
	other.awaitReady(t)
	there[other.execute(t)] = true
	found := other.events(t, len(there))
	for n := range there {
		if found[n] != 1 {
			t.Errorf("run %s has %d events", n, found[n])
		}
	}
	if len(found) != len(there) {
		t.Errorf("%d runs have events, and there are %d", len(found), len(there))
	}
}

// A run that was under way at the time of the backup can be taken at once.
func TestRestoredClaimsAreHandedBack(t *testing.T) {
	t.Parallel()
	r := newRan(t, 1)
	open := bustest.Submit(t, r.Bus, r.request)
	claim, err := r.Work.Claim(t.Context(), r.request.Task, open, run.Claim{Owner: "somebody", Executions: 1, Checkpoint: run.Checkpoint{Row: 7}})
	if err != nil {
		t.Fatal(err)
	}
	other := r.restored(t, r.parts(t))
	seen, found, err := other.Work.FindClaim(t.Context(), r.request.Task, open)
	if err != nil || !found || !seen.State.HandedBack || seen.State.Checkpoint.Row != 7 {
		t.Errorf("the claim is %+v, %v %v", seen.State, found, err)
	}
	taken, err := other.Work.TakeOver(t.Context(), r.request.Task, open, seen, seen.State.Next("another"))
	if err != nil || taken.Token <= claim.Token {
		t.Errorf("taken with token %d after %d, %v", taken.Token, claim.Token, err)
	}
}
