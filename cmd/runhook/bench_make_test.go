//go:build bench

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/wait"
)

// Stores of many ended runs. Each is begun by its own build, which executes one run of each task; the others are
// copies of what it published then, message by message, with numbers and times of their own: several times as fast
// as to have it execute them, and in its own layout, whatever that is. Then the store is what the build makes of it:
// slices are sealed and bundled by the keeper of HEAD, which takes six minutes for the last ones, and the other
// build's claims are purged. HEAD keeps the events of the last eventsKept runs, as if the others were past
// --events-retention; the build before keeps events as long as runs.

const (
	eventsKept = 100_000
	sliceRuns  = 100_000
)

// before is the last commit without slices.
const before = "ad864be91254614289d5fa547120dc10dad65123"

// build is a program whose stores are measured.
type build struct {
	name, program string
	// sliced: it keeps runs in slices.
	sliced bool
}

// measured reports whether the build is measured with so many runs.
func (b build) measured(runs int) bool { return b.sliced || runs <= mostBefore }

// builds are HEAD and the build before slices, where this clone has its commit.
func (b *bench) builds() []build {
	all := []build{{"head", proctest.Program(b.t), true}}
	if exec.Command("git", "cat-file", "-e", before+"^{commit}").Run() != nil {
		fmt.Printf("This clone has no commit %.7s: the column of the build before slices is empty.\n\n", before)
		return all
	}
	dir := b.t.TempDir()
	b.command("sh", "-c", `git -C "$(git rev-parse --show-toplevel)" archive `+before+` | tar -x -C "$0" && cd "$0" && go build -trimpath -ldflags='-s -w' -o before .`, dir)
	return append(all, build{"before", filepath.Join(dir, "before"), false})
}

// command runs a command, which must succeed.
func (b *bench) command(name string, args ...string) {
	b.t.Helper()
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, said)
	}
}

// TestMakeStores makes the stores that TestBenchStore measures, in the folder BENCH_STORES, and no more.
func TestMakeStores(t *testing.T) {
	if os.Getenv("BENCH_STORES") == "" {
		t.Fatal("BENCH_STORES must be the folder of the stores")
	}
	for _, build := range (&bench{t: t}).builds() {
		for _, runs := range benchRuns(t) {
			for _, servers := range serversOf(runs) {
				if build.measured(runs) {
					t.Run(fmt.Sprintf("%s/%d/%d", build.name, runs, servers), func(t *testing.T) { (&bench{t: t}).stored(build, runs, servers) })
				}
			}
		}
	}
}

// stored is the folder of a store, which is made unless BENCH_STORES has it. It was stopped cleanly.
func (b *bench) stored(build build, runs, servers int) string {
	stores := os.Getenv("BENCH_STORES")
	if stores == "" {
		stores = b.stores
	}
	dir := filepath.Join(stores, fmt.Sprintf("%s-%d-%d", build.name, runs, servers))
	made := filepath.Join(dir, "made")
	if _, err := os.Stat(made); err == nil {
		return dir
	}
	b.check(os.RemoveAll(dir))
	began := time.Now()
	h := b.house(build, dir, servers)
	if servers == 1 {
		h.fill(runs)
	} else {
		h.restore(b.stored(build, runs, 1))
	}
	h.start()
	h.awaitReady()
	for range 200 {
		h.poll(mrand.IntN(runs) + 1)
	}
	h.drain()
	h.stop()
	b.check(os.WriteFile(made, nil, 0o600))
	fmt.Fprintf(os.Stderr, "made %s in %s\n", dir, time.Since(began).Round(time.Second))
	return dir
}

// poll asks for a run that has ended, which must be answered as it should be.
func (h *house) poll(n int) (took time.Duration) {
	h.b.t.Helper()
	began := time.Now()
	status, body, err := h.client.Get(nil, fmt.Sprintf("%s/task/executepolling/%s/%d/status", h.polls, houseTask(n), n))
	took = time.Since(began)
	want := fmt.Sprintf(`{"ExecuteId":"%s","ImportId":%d,`, houseTask(n), n)
	if err != nil || status != fasthttp.StatusOK || !bytes.HasPrefix(body, []byte(want)) || !bytes.Contains(body, []byte(`"StatusDescription":"Success"`)) {
		h.b.t.Fatalf("run %d: %v %d %s", n, err, status, body)
	}
	return took
}

// drain waits until all runs have ended.
func (h *house) drain() {
	js, closeIt := h.jetStream()
	defer closeIt()
	h.b.eventually("all runs have ended", func() bool { return openRuns(h.b, js) == 0 })
}

// openRuns is how many requests nobody has acknowledged.
func openRuns(b *bench, js jetstream.JetStream) (runs int) {
	for n := 1; n <= houseTasks; n++ {
		queue, err := js.Consumer(context.Background(), "RUNS", houseTask(n))
		b.check(err)
		runs += int(queue.CachedInfo().NumPending) + queue.CachedInfo().NumAckPending
	}
	return runs
}

// eventually waits half an hour at most.
func (b *bench) eventually(what string, holds func() bool) {
	b.t.Helper()
	for limit := time.Now().Add(30 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			b.t.Fatalf("not within half an hour: %s", what)
		}
	}
}

// restore makes the store of three servers out of that of one.
func (h *house) restore(from string) {
	file := h.path("backup")
	h.b.command(h.build.program, "backup", file, "--data", filepath.Join(from, "data"))
	h.startServers()
	h.b.eventually("the backup is restored", func() bool { // once the servers have elected their leaders
		said, err := exec.Command(h.build.program, "restore", file, "--nats", h.nats, "--replicas", "3").CombinedOutput()
		if err != nil {
			h.b.t.Logf("restore: %v %s", err, said)
		}
		return err == nil
	})
	js, closeIt := h.jetStream()
	defer closeIt()
	h.b.eventually("every server has everything", func() bool { return bustest.Lagging(context.Background(), js) == "" })
	h.b.check(os.Remove(file))
	for _, m := range h.members[:h.servers] {
		m.Signal(syscall.SIGTERM)
		m.Wait()
	}
}

// fill makes the store of one server.
func (h *house) fill(runs int) {
	h.start()
	h.awaitReady()
	samples := h.sample()
	h.stop()
	server, err := broker.Start(context.Background(), broker.Options{Dir: broker.Dir(h.path("data")), Log: zerolog.Nop()})
	h.b.check(err)
	defer func() { server.Stop(); server.Server().WaitForShutdown() }()
	nc, err := nats.Connect("", nats.InProcessServer(server))
	h.b.check(err)
	defer nc.Close()
	f := filling{house: h, nc: nc, samples: samples, written: map[string]uint64{}}
	f.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	h.b.check(err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if h.build.sliced {
		kept := make(chan struct{})
		defer func() { stop(); <-kept }()
		store, err := bus.Connect(ctx, bus.Config{InProcess: server, Log: zerolog.New(os.Stderr).With().Timestamp().Logger()})
		h.b.check(err)
		defer store.Close()
		h.b.check(store.Check(ctx))
		go func() {
			defer close(kept)
			for keeper := store.Unheld.Slices(); wait.For(ctx, 100*time.Millisecond); {
				if err := keeper.Look(ctx); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "the keeper of slices:", err)
				}
			}
		}()
	}
	for n := int(f.state("RUNS").LastSeq) + 1; n <= runs; n++ {
		f.add(n, n%1000 == 0 || n == runs)
		if n%(sliceRuns/10) == 0 || n == runs {
			f.settle(n)
		}
	}
	for n := 1; n <= houseTasks; n++ { // as if a runner had acknowledged each of them
		_, err := f.stream("RUNS").ResetConsumerToSequence(ctx, houseTask(n), uint64(runs)+1)
		h.b.check(err)
	}
	h.b.eventually("all is bundled", func() bool {
		return !h.build.sliced || f.state("RUNS").FirstSeq >= uint64(runs/sliceRuns*sliceRuns)
	})
}

// filling adds runs to a store.
type filling struct {
	*house
	nc      *nats.Conn
	js      jetstream.JetStream
	samples map[string]*sample
	// written is the last sequence of each bucket of results.
	written map[string]uint64
}

func (f *filling) stream(name string) jetstream.Stream {
	stream, err := f.js.Stream(context.Background(), name)
	f.b.check(err)
	return stream
}

func (f *filling) state(name string) jetstream.StreamState { return f.stream(name).CachedInfo().State }

// add publishes what there is of a run. Only what is said to be the last of many is waited for: the server stores in
// order, and drops what is more than ten thousand messages ahead.
func (f *filling) add(n int, last bool) {
	bucket := "runs"
	if f.build.sliced {
		bucket = fmt.Sprintf("runs_%d", n/sliceRuns)
	}
	if _, known := f.written[bucket]; !known {
		f.b.eventually("there is a bucket "+bucket, func() bool {
			_, err := f.js.Stream(context.Background(), "KV_"+bucket)
			return err == nil
		})
		f.written[bucket] = f.state("KV_" + bucket).LastSeq
	}
	s, v := f.samples[houseTask(n)], values{
		number: strconv.Itoa(n), bucket: bucket, claim: strconv.FormatUint(f.written[bucket]+1, 10), hold: rand.Text()[:16],
		at: time.Now().UTC(), took: time.Duration(mrand.IntN(30_000_000)),
	}
	f.written[bucket] += 2
	for i, p := range []pattern{s.request, s.claim, s.final} {
		if m := p.message(v); i == 1 || !last {
			f.b.check(f.nc.PublishMsg(m))
			continue
		} else if ack, err := f.js.PublishMsg(context.Background(), m); err != nil || ack.Sequence != []uint64{uint64(n), 0, f.written[bucket]}[i] {
			f.b.t.Fatalf("run %d: %+v %v", n, ack, err)
		}
	}
}

// settle waits until all that was published is copied to the events, and removes what the build does not keep.
func (f *filling) settle(runs int) {
	f.b.eventually("every event is copied", func() bool { return f.state("EVENTS").LastSeq >= uint64(runs) })
	if f.build.sliced {
		f.b.check(f.stream("EVENTS").Purge(context.Background(), jetstream.WithPurgeKeep(eventsKept)))
	} else {
		f.b.check(f.stream("KV_runs").Purge(context.Background(), jetstream.WithPurgeSubject("$KV.runs.claim.>")))
	}
}

// sample is what a build publishes of a run.
type sample struct{ request, claim, final pattern }

// sample has the build execute a run of each task, and hears what it publishes.
func (h *house) sample() map[string]*sample {
	nc, err := nats.Connect(h.natsURL())
	h.b.check(err)
	defer nc.Close()
	heard := make(chan *nats.Msg, 10*houseTasks)
	for _, subject := range []string{"run.request.*", "$KV.*.claim.*.*", "$KV.*.final.*.*"} {
		_, err := nc.ChanSubscribe(subject, heard)
		h.b.check(err)
	}
	h.b.check(nc.Flush())
	samples := map[string]*sample{}
	for n := 2; n <= houseTasks+1; n++ { // the first run was to see whether it is ready
		h.b.check(h.post(houseTask(n)))
		s := &sample{}
		number, hold := strconv.Itoa(n), ""
		for s.final == nil {
			select {
			case m := <-heard:
				switch {
				case strings.HasPrefix(m.Subject, "run.request."):
					s.request = newPattern(m, number, hold)
				case !strings.HasSuffix(m.Subject, "."+number): // the first run ends late
				case strings.Contains(m.Subject, ".claim."):
					if found := holds.FindSubmatch(m.Data); found != nil {
						hold = string(found[1])
					}
					s.claim = newPattern(m, number, hold)
				default:
					s.final = newPattern(m, number, hold)
				}
			case <-time.After(proctest.Limit):
				h.b.t.Fatalf("nothing is heard of run %d", n)
			}
		}
		if s.request == nil || s.claim == nil {
			h.b.t.Fatalf("not all is heard of run %d", n)
		}
		samples[houseTask(n)] = s
	}
	return samples
}

// pattern makes messages of one: its subject, its body and its headers in turns of a name and a value. A mark, behind
// a zero byte, stands for what another run has in its place.
type pattern []string

// values are what another run has.
type values struct {
	number, bucket, hold string
	claim                string // its sequence
	at                   time.Time
	took                 time.Duration
}

var (
	moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	lasted  = regexp.MustCompile(`"DurationMs":\d+`)
	holds   = regexp.MustCompile(`"Hold":"([A-Z2-7]{16})"`)
	buckets = regexp.MustCompile(`^\$KV\.[^.]+\.`)
)

const millis = "2006-01-02T15:04:05.000Z07:00"

// moment is one of a document's, in their order: when the run was accepted, when it began, and when it ended.
func (v values) moment(place int) time.Time {
	switch place {
	case 0:
		return v.at
	case 1:
		return v.at.Add(time.Millisecond)
	}
	return v.at.Add(time.Millisecond + v.took)
}

func newPattern(m *nats.Msg, number, hold string) pattern {
	marked := func(text string) string {
		text = moments.ReplaceAllStringFunc(text, func(is string) string {
			if len(is) <= len("2006-01-02T15:04:05.000Z") {
				return "\x00m"
			}
			return "\x00n"
		})
		text = lasted.ReplaceAllString(text, "\"DurationMs\":\x00d")
		text = strings.ReplaceAll(text, `"ImportId":`+number+`,`, "\"ImportId\":\x00#,")
		text = strings.ReplaceAll(text, "/"+number+"/", "/\x00#/")
		if before, ok := strings.CutSuffix(text, "."+number); ok { // of subjects and of an event's id
			text = before + ".\x00#"
		}
		if hold != "" {
			text = strings.ReplaceAll(strings.ReplaceAll(text, hold, "\x00H"), hold[:6], "\x00h")
		}
		return buckets.ReplaceAllString(text, "$$KV.\x00b.")
	}
	p := pattern{marked(m.Subject), marked(string(m.Data))}
	for name := range m.Header {
		value := m.Header.Get(name)
		switch {
		case name == jetstream.ExpectedLastSubjSeqHeader && value != "0":
			value = "\x00c"
		case name == "ce-subject":
			value = "\x00#"
		default:
			value = marked(value)
		}
		p = append(p, name, value)
	}
	return p
}

// message is the pattern with a run's values.
func (p pattern) message(v values) *nats.Msg {
	fill := func(text string) string {
		var filled strings.Builder
		seen := 0
		for i, part := range strings.Split(text, "\x00") {
			if i == 0 {
				filled.WriteString(part)
				continue
			}
			switch part[0] {
			case 'm':
				filled.WriteString(v.moment(seen).Format(millis))
				seen++
			case 'n':
				filled.WriteString(v.moment(seen).Format(time.RFC3339Nano))
				seen++
			case 'd':
				filled.WriteString(strconv.FormatInt(v.took.Milliseconds(), 10))
			case '#':
				filled.WriteString(v.number)
			case 'b':
				filled.WriteString(v.bucket)
			case 'c':
				filled.WriteString(v.claim)
			case 'H':
				filled.WriteString(v.hold)
			case 'h':
				filled.WriteString(v.hold[:6])
			}
			filled.WriteString(part[1:])
		}
		return filled.String()
	}
	m := &nats.Msg{Subject: fill(p[0]), Data: []byte(fill(p[1])), Header: nats.Header{}}
	for i := 2; i < len(p); i += 2 {
		m.Header[p[i]] = []string{fill(p[i+1])}
	}
	return m
}
