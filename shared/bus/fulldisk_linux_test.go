package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// smallDisk mounts a file system of some MiB, where that is allowed.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "runhook-disk-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		_ = os.Remove(dir)
		t.Fatalf("a tmpfs is the disk of one server in this process, and cannot be mounted; run the tests as root: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// The disk of one of three servers fills up while runs are accepted and end: the two others go on, or
// refuse for a moment, and nothing that was accepted is lost.
func TestFullDiskOfOneServer(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 256) // the load must not fill it by itself
	cluster := bustest.EmptyCluster(t, filepath.Join(disk, "nats"))
	ctx := t.Context()
	if err := cluster.Init(ctx, bus.Topology{Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	def := bustest.Definition(t, "Replicated", 1)
	if _, err := cluster.Tasks.Apply(ctx, def, false); err != nil {
		t.Fatal(err)
	}
	request := run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, RetryAfter: 30,
		CreatedOn: time.Now().UTC(), ParameterHash: "h",
	}
	const full = 0
	cluster.Promote(t, full) // the worst place
	var mu sync.Mutex
	accepted, ended := map[run.Number]bool{}, map[run.Number]bool{}
	var count [3]int // of those that ended, by the server that the process is connected to
	load, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range 3 {
		process := cluster.Open(t, "process", i)
		all.Go(func() {
			for wait.For(load, 5*time.Millisecond) { // so that the machine does other things, too
				stored, err := process.Runs.Submit(ctx, request, "")
				if err != nil {
					if !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrMaybeStored) {
						t.Errorf("a POST: %v", err)
					}
					continue
				}
				mu.Lock()
				accepted[stored.Number] = true
				mu.Unlock()
				claim, err := process.Work.Claim(ctx, request.Task, stored.Number, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
				if err != nil {
					continue
				}
				doc := run.QueuedDocument(request, stored.Number)
				doc.End(run.Success, "", time.Now())
				if claim.Finish(ctx, doc, nil) == nil {
					mu.Lock()
					ended[stored.Number] = true
					count[i]++
					mu.Unlock()
				}
			}
		})
	}
	more := func() { // runs end again, whichever server they came in through
		t.Helper()
		mu.Lock()
		before := count
		mu.Unlock()
		proctest.Until(t, func() error {
			mu.Lock()
			defer mu.Unlock()
			for i := range count {
				if count[i] < before[i]+20 {
					return fmt.Errorf("runs that came in through server %d do not end", i)
				}
			}
			return nil
		})
	}
	more()
	// It notices when a file of a stream has to grow, and may not come to it: what its replicas cannot note, it
	// does not store either.
	noticed := false
	for look := 0; look < 10 && !noticed; look++ {
		bustest.FillDisk(t, filepath.Join(disk, "filler")) // again and again: files that go make room
		more()
		noticed = !cluster.Servers[full].JetStreamEnabled()
	}
	t.Log("the server has noticed:", noticed)
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	more()
	if noticed && cluster.Servers[full].JetStreamEnabled() {
		t.Error("the server came back without a restart, and deploy/docs/data.md says that it does not")
	}
	cluster.Restart(t, full)
	more()
	stop()
	all.Wait()
	js := bustest.JetStream(t, cluster.URLs)
	proctest.Until(t, func() error {
		if behind := bustest.Lagging(ctx, js); behind != "" {
			return errors.New(behind)
		}
		return nil
	})
	for n := range accepted {
		if _, err := cluster.Runs.Request(ctx, request.Task, n); err != nil {
			t.Errorf("the accepted run %s: %v", n, err)
		}
	}
	for n := range ended {
		if done, err := cluster.Work.Ended(ctx, request.Task, n); err != nil || !done {
			t.Errorf("run %s, which had ended: %v %v", n, done, err)
		}
	}
	var counts map[run.Number]int
	proctest.Until(t, func() error {
		var err error
		counts, err = bustest.EventCounts(ctx, cluster.Bus)
		if err == nil && len(counts) < len(ended) {
			err = fmt.Errorf("%d events of %d runs", len(counts), len(ended))
		}
		return err
	})
	for n := range ended {
		if counts[n] != 1 {
			t.Errorf("run %s has %d events", n, counts[n])
		}
	}
	t.Logf("%d runs accepted, %d ended", len(accepted), len(ended))
}

// On a disk that has hardly any room no slice is made or sealed, and both come when there is room again.
func TestNothingIsPurgedFromAFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 64)
	ctx := t.Context()
	server, err := broker.Start(ctx, broker.Options{Dir: filepath.Join(disk, "nats"), Listen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	store, err := bus.Connect(ctx, bus.Config{InProcess: server, Cramped: server.Cramped, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Init(ctx, bus.Topology{Embedded: true, Slice: 2}); err != nil {
		t.Fatal(err)
	}
	store.Jet().Settled = 0
	request := bustest.Applied(t, store)
	claim, err := store.Work.Claim(ctx, request.Task, bustest.Submit(t, store, request), run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, 1)
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(ctx, doc, nil); err != nil {
		t.Fatal(err)
	}

	filler := filepath.Join(disk, "filler")
	bustest.FillDisk(t, filler)
	if !server.Cramped() || server.Full() {
		t.Errorf("cramped %t, a failed write was seen %t", server.Cramped(), server.Full())
	}
	keeper := store.Unheld.Slices()
	if err := keeper.Look(ctx); !errors.Is(err, run.ErrFull) {
		t.Errorf("on a full disk: %v", err)
	}
	if made, sealed := streams(t, store, "KV_runs_2"), isSealed(t, store, "KV_runs_0"); made || sealed {
		t.Errorf("on a full disk a slice was made: %t, sealed: %t", made, sealed)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	look(t, keeper, "the slice is sealed", func() bool { return isSealed(t, store, "KV_runs_0") })
	if made, sealed := streams(t, store, "KV_runs_2"), isSealed(t, store, "KV_runs_0"); !made || !sealed || server.Cramped() {
		t.Errorf("with room a slice was made: %t, sealed: %t", made, sealed)
	}
}
