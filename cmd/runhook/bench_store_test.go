//go:build bench

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a store of many ended runs costs, beside the build before runs were kept in slices, on a store of the same
// runs: BENCH_RUNS of them (1000000, several numbers with commas between them). BENCH_STORES is a folder that keeps
// the stores for the next time; what is measured is a copy. The files of a store are in the page cache.

const (
	// rate is how many POSTs a second there are under load, each at its own time, whether those before it were
	// answered or not.
	rate    = 5000
	loadFor = 20 * time.Second
	// giveUp is how long a start may take after a kill.
	giveUp   = 2 * time.Minute
	oldPolls = 1000
	// mostBefore is how many runs the build before is measured with: with more it does not come up.
	mostBefore = 2_000_000
)

// TestBenchStore is a table for each number of runs and of servers, and one of an empty store.
func TestBenchStore(t *testing.T) {
	builds := (&bench{t: t}).builds()
	stores := t.TempDir()
	table := func(name, title string, rows func(b *bench)) {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), stores: stores}
			fmt.Printf("\n%s, %d cores\n\n", title, runtime.NumCPU())
			b.row("FIGURE", "RUNHOOK", "BEFORE SLICES", "AT LEAST", "AIM")
			rows(b)
			_ = b.out.Flush()
		})
	}
	for _, runs := range benchRuns(t) {
		for _, servers := range serversOf(runs) {
			table(fmt.Sprintf("%d/%d", runs, servers), fmt.Sprintf("%s ended no-op runs, NATS servers: %d", figure(float64(runs)), servers), func(b *bench) {
				b.flatRows(builds, runs, servers)
			})
		}
	}
	table("empty", "An empty store", func(b *bench) { b.empty(builds) })
}

func benchRuns(t *testing.T) (all []int) {
	for _, text := range strings.Split(cmp.Or(os.Getenv("BENCH_RUNS"), "1000000"), ",") {
		runs, err := strconv.Atoi(text)
		if err != nil || runs < 1000 {
			t.Fatalf("BENCH_RUNS=%q must be numbers of at least 1000, such as 1000000,5000000", text)
		}
		all = append(all, runs)
	}
	return all
}

// serversOf are the numbers of servers that are measured with so many runs.
func serversOf(runs int) []int {
	if runs > mostBefore {
		return []int{1}
	}
	return []int{1, 3}
}

// costs is what was measured of a build.
type costs struct {
	perRun                   float64 // bytes
	restarted, killed        time.Duration
	idle, behindKill, loaded int // MB
	poll, p50, p99           float64
	accepted, ended          float64
}

// flatRows prints what a store costs.
func (b *bench) flatRows(builds []build, runs, servers int) {
	var all []*costs
	for _, build := range builds {
		if build.measured(runs) {
			all = append(all, b.cost(build, runs, servers))
		}
	}
	row := func(name, atLeast, aim string, of func(*costs) string) {
		cells := []string{name}
		for _, c := range all {
			cells = append(cells, of(c))
		}
		if len(all) == 1 {
			cells = append(cells, "-")
		}
		b.row(append(cells, atLeast, aim)...)
	}
	seconds := func(d time.Duration) string {
		if d == 0 {
			return fmt.Sprintf("not in %.0f s", giveUp.Seconds())
		}
		return figure(d.Seconds()) + " s"
	}
	mb := func(n int) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprintf("%d MB", n)
	}
	killed := []string{"5 s", "1.5 s"}
	if runs > 1_000_000 {
		killed = []string{"6 s", "2 s"}
	}
	if servers == 1 {
		row("bytes a run on disk", "450", "300", func(c *costs) string { return figure(c.perRun) })
	}
	row(fmt.Sprintf("kill -9 under %s POSTs/s to ready", figure(rate)), killed[0], killed[1], func(c *costs) string { return seconds(c.killed) })
	if servers == 1 {
		row("clean stop and start", "1 s", "0.3 s", func(c *costs) string { return seconds(c.restarted) })
		row("memory after that start", "450 MB", "150 MB", func(c *costs) string { return mb(c.idle) })
		row("memory after the start behind the kill", "450 MB", "150 MB", func(c *costs) string { return mb(c.behindKill) })
		row("most memory under load, runs ending", "450 MB", "150 MB", func(c *costs) string { return mb(c.loaded) })
	}
	if servers > 1 {
		b.row("the same of bare NATS, one stream", seconds(b.bareStart(builds[0], servers)), "", "", "")
	}
	row("POST under load, p50 / p99", "2 / 100 ms", "0.7 / 40 ms", func(c *costs) string { return figure(c.p50) + " / " + figure(c.p99) + " ms" })
	row("POSTs accepted, runs ended under load", "", "", func(c *costs) string { return figure(c.accepted) + ", " + figure(c.ended) + " /s" })
	if servers == 1 {
		row("poll of a random old run, p50", "6 ms", "3 ms", func(c *costs) string { return figure(c.poll) + " ms" })
	}
}

// cost measures a build on a copy of a store.
func (b *bench) cost(build build, runs, servers int) *costs {
	from := b.stored(build, runs, servers)
	h := b.house(build, b.t.TempDir(), servers)
	b.command("cp", "-r", filepath.Join(from, "data"), h.dir)
	c := &costs{perRun: float64(size(b, h.path("data"))) / float64(runs)}

	h.start()
	h.awaitReady()
	c.restarted = h.stop()
	h.start()
	c.restarted += h.awaitReady()
	c.idle = h.memory()

	var polls []float64
	for range oldPolls {
		polls = append(polls, milliseconds(h.poll(rand.IntN(runs)+1)))
	}
	c.poll = percentile(polls, 50)

	h.load(c)
	h.start()
	var ok bool
	if c.killed, ok = h.becomesReady(giveUp); !ok {
		c.killed = 0
		h.kill()
		return c
	}
	c.behindKill = h.memory()
	for range 20 {
		h.poll(rand.IntN(runs) + 1)
	}
	h.kill()
	return c
}

// bareStart is how long NATS servers with one stream of one message take from a kill of them all until a publish is
// acknowledged: they wait for a leader, first of the cluster and then of the stream, before Runhook can do anything.
func (b *bench) bareStart(build build, servers int) time.Duration {
	h := b.house(build, b.t.TempDir(), servers)
	h.members = h.members[:servers]
	publish := func() (took time.Duration) {
		h.start()
		began := time.Now()
		nc, err := nats.Connect(h.nats, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		b.check(err)
		defer nc.Close()
		js, err := jetstream.New(nc)
		b.check(err)
		b.eventually("a publish is acknowledged", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare"}, Replicas: servers})
			if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				return false
			}
			_, err = js.Publish(ctx, "bare", nil)
			return err == nil
		})
		return time.Since(began)
	}
	publish()
	h.kill()
	took := publish()
	h.kill()
	return took
}

// load POSTs for some time and then kills everything in the middle of it.
func (h *house) load(c *costs) {
	js, closeIt := h.jetStream()
	defer closeIt()
	var mu sync.Mutex
	var took []float64
	var next, accepted atomic.Int64
	var over atomic.Bool
	var posting sync.WaitGroup
	began := time.Now()
	due := func(i int64) time.Time { return began.Add(time.Duration(i) * time.Second / rate) }
	for range 2 * callers {
		posting.Go(func() {
			for !over.Load() {
				i := next.Add(1) - 1
				time.Sleep(time.Until(due(i)))
				err := h.post(houseTask(int(i) + 1))
				if over.Load() {
					return
				}
				mu.Lock()
				took = append(took, milliseconds(time.Since(due(i))))
				mu.Unlock()
				if err == nil {
					accepted.Add(1)
				}
			}
		})
	}
	for time.Since(began) < loadFor {
		time.Sleep(100 * time.Millisecond)
		c.loaded = max(c.loaded, h.memory())
	}
	elapsed := time.Since(began).Seconds()
	c.accepted = float64(accepted.Load()) / elapsed
	c.ended = c.accepted - float64(openRuns(h.b, js))/elapsed
	over.Store(true)
	h.kill()
	posting.Wait()
	for i := next.Load(); due(i).Before(began.Add(loadFor)); i++ { // whose turn has not come
		took = append(took, milliseconds(began.Add(loadFor).Sub(due(i))))
	}
	c.p50, c.p99 = percentile(took, 50), percentile(took, 99)
}

// memory is the resident size of `serve`, in MB; 0 where there are several processes.
func (h *house) memory() int {
	if h.servers > 1 {
		return 0
	}
	return (&server{process: h.members[0].Process}).memory(h.b, "VmRSS:")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// size is the size of all files of a folder.
func size(b *bench, dir string) (bytes int64) {
	b.check(filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	}))
	return bytes
}

// take has a number of POSTs accepted and waits for the end of their runs, and returns how many a second that were.
func (h *house) take(posts int, js jetstream.JetStream) (accepted, ended float64) {
	var posting sync.WaitGroup
	var next atomic.Int64
	began := time.Now()
	perSecond := func() float64 { return float64(posts) / time.Since(began).Seconds() }
	for range callers {
		posting.Go(func() {
			for n := int(next.Add(1)); n <= posts; n = int(next.Add(1)) {
				if err := h.post(houseTask(n)); err != nil {
					h.b.t.Error(err)
					return
				}
			}
		})
	}
	posting.Wait()
	accepted = perSecond()
	h.b.eventually("the runs have ended", func() bool { return openRuns(h.b, js) == 0 })
	return accepted, perSecond()
}

// empty is how many POSTs a new store accepts while their runs are executed, and how many of these end.
func (b *bench) empty(builds []build) {
	const posts = 48_000
	accepted, ended := map[string][]float64{}, map[string][]float64{}
	for range rounds {
		for _, build := range builds {
			h := b.house(build, b.t.TempDir(), 1)
			h.start()
			h.awaitReady()
			js, closeIt := h.jetStream()
			took, all := h.take(posts, js)
			accepted[build.name] = append(accepted[build.name], took)
			ended[build.name] = append(ended[build.name], all)
			closeIt()
			h.stop()
		}
	}
	for _, of := range []struct {
		name    string
		samples map[string][]float64
	}{{"POSTs accepted", accepted}, {"runs ended", ended}} {
		ours, before := median(of.samples[builds[0].name]), "-"
		text := figure(ours) + " /s"
		if len(builds) > 1 {
			was := median(of.samples[builds[1].name])
			text, before = fmt.Sprintf("%s (%.2f)", text, ours/was), figure(was)+" /s"
		}
		b.row(of.name, text, before, "(1)", "(1.2)")
	}
}
