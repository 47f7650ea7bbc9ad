//go:build bench

package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/services/ingress"
	"runhook/services/status"
	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/proctest"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

// The figures of `make bench`. Each stands beside its limit, measured in the same run and in turns,
// because machines differ and are noisy: read the ratios. The servers are processes of their own;
// the load comes from this one, on the same machine.

const (
	callers  = 64
	rounds   = 3
	interval = 2 * time.Second
	csvRows  = 1_000_000
)

func TestMain(m *testing.M) {
	var roles []proctest.Role
	for _, name := range []string{"constant", "imis", "nats", "accept-interval", "accept-always", "crowd"} {
		roles = append(roles, proctest.Role{Name: name, Play: func() error { return serveRole(name) }})
	}
	proctest.Main(m, roles...)
}

func TestBench(t *testing.T) {
	b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	fmt.Printf("\n%s/%s, %d cores, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	b.row("FIGURE", "RUNHOOK", "LIMIT", "RATIO", "THE LIMIT IS")
	b.accepted()
	b.known()
	b.crowd()
	b.polls()
	b.latency()
	b.noop("interval")
	b.noop("always")
	b.backlog()
	b.chains()
	b.cancels()
	b.copyRows()
	b.copySheet()
	b.copyIQA()
	b.databases()
	b.mapping()
	b.flat()
	_ = b.out.Flush()
}

type bench struct {
	t   *testing.T
	out *tabwriter.Writer
	// ports is how many were given out, and stores where stores of many runs are.
	ports  int
	stores string
}

func (b *bench) row(cells ...string) {
	fmt.Fprintln(b.out, strings.Join(cells, "\t"))
}

func (b *bench) compare(name string, ours, limit float64, unit, what string) {
	b.row(name, figure(ours)+unit, figure(limit)+unit, fmt.Sprintf("%.0f %%", 100*ours/limit), what)
	_ = b.out.Flush()
}

func figure(v float64) string {
	switch {
	case v >= 1000:
		text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// accepted: POSTs/s that are durable and answered, beside a handler that does nothing and beside
// publishing the same message with as many waiting callers.
func (b *bench) accepted() {
	constant := b.role("constant")
	defer constant.stop()
	samples := map[string][]float64{}
	for _, durability := range []string{"interval", "always"} {
		server := b.role("accept-" + durability)
		post := server.url + "/task/execute/" + string(benchTask)
		body := []byte(`{"QueryParameters":{"FirstName":"Ann"}}`)
		for range rounds {
			samples["constant"] = append(samples["constant"], b.load("POST", constant.url, body, 200))
			samples[durability] = append(samples[durability], b.load("POST", post, body, 200))
			samples["raw "+durability] = append(samples["raw "+durability], b.publish(server.nats))
		}
		server.stop()
	}
	for _, durability := range []string{"interval", "always"} {
		ours := median(samples[durability])
		b.compare("POSTs accepted, "+durability, ours, median(samples["constant"]), "/s", "a fasthttp handler that answers a constant")
		b.compare("", ours, median(samples["raw "+durability]), "/s", fmt.Sprintf("raw JetStream publish over TCP, %d waiting callers", callers))
	}
}

// polls: GETs/s of a run that has ended, and of one that waits.
func (b *bench) polls() {
	constant := b.role("constant")
	defer constant.stop()
	s := b.serve("interval", "ended")
	defer s.stop()
	ended := s.postAndWait(b, s.task("ended"))
	idle := b.role("accept-interval") // without a runner, so that its runs wait
	defer idle.stop()
	waiting := idle.post(b, string(benchTask))
	var none, final, queued []float64
	for range rounds {
		none = append(none, b.load("GET", constant.url, nil, 200))
		final = append(final, b.load("GET", ended, nil, 200))
		queued = append(queued, b.load("GET", waiting, nil, 202))
	}
	b.compare("polls, run ended", median(final), median(none), "/s", "a fasthttp handler that answers a constant")
	b.compare("polls, run queued", median(queued), median(none), "/s", "the same")
}

// latency: from sending the POST to the claim that starts the run, at a quiet 50 a second.
func (b *bench) latency() {
	for _, durability := range []string{"interval", "always"} {
		s := b.serve(durability, "noop")
		nc, err := nats.Connect(s.nats)
		b.check(err)
		claimed := make(chan time.Time, 1024)
		_, err = nc.Subscribe("$KV.runs_0.claim.>", func(*nats.Msg) {
			claimed <- time.Now()
		})
		b.check(err)
		b.check(nc.Flush())
		var waits, syncs []float64
		tick := time.NewTicker(20 * time.Millisecond)
		for range 250 {
			<-tick.C
			sent := time.Now()
			s.post(b, s.task("noop"))
			waits = append(waits, float64((<-claimed).Sub(sent).Microseconds())/1000)
			syncs = append(syncs, b.fsync(1))
		}
		tick.Stop()
		nc.Close()
		s.stop()
		limit := "an fsync of one small append"
		b.compare("POST to started, "+durability+", p50", percentile(waits, 50), percentile(syncs, 50), " ms", limit)
		b.compare("POST to started, "+durability+", p99", percentile(waits, 99), percentile(syncs, 99), " ms", limit)
	}
}

// noop: whole runs/s, from the first POST until the last run has its final document and is acknowledged,
// where the task itself has nothing to do, and how much each run writes to disk, by the streams' own
// sequences.
func (b *bench) noop(durability string) {
	n := 12000
	if durability == "always" {
		n = 6000
	}
	s := b.serve(durability, "noop")
	defer s.stop()
	nc, err := nats.Connect(s.nats)
	b.check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	b.check(err)
	written := func(stream string) float64 {
		info, err := js.Stream(context.Background(), stream)
		b.check(err)
		return float64(info.CachedInfo().State.LastSeq)
	}
	requests, results, events := written("RUNS"), written("KV_runs_0"), written("EVENTS")
	before := b.fsync(200)
	began := time.Now()
	var posting sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range callers {
		posting.Go(func() {
			for left.Add(-1) >= 0 {
				s.post(b, s.task("noop"))
			}
		})
	}
	posting.Wait()
	b.await("every run to be acknowledged", func() bool {
		queue, err := js.Consumer(context.Background(), "RUNS", s.task("noop"))
		b.check(err)
		info := queue.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
	ours := float64(n) / time.Since(began).Seconds()
	syncs := 1000 * 2 / (before + b.fsync(200))
	b.await("every event", func() bool { return written("EVENTS")-events == float64(n) })

	b.compare("no-op runs, "+durability, ours, syncs, "/s", "fsyncs of small appends, one after the other")
	if durability == "interval" {
		b.compare("", ours, b.publish(s.nats), "/s", fmt.Sprintf("raw JetStream publish over TCP, %d waiting callers", callers))
	}
	each := func(count float64) string { return figure(count / float64(n)) }
	finals := written("EVENTS") - events // one of each, or the wait had not ended
	claims := written("KV_runs_0") - results - finals
	b.row("its durable writes", each(written("RUNS")-requests+claims+finals)+" a run", "", "",
		"requests "+each(written("RUNS")-requests)+", claims "+each(claims)+", finals "+each(finals)+
			"; nobody waits for events "+each(finals)+"; claims are removed many at once")
}

// await waits for something that takes a minute at most.
func (b *bench) await(what string, happens func() bool) {
	b.t.Helper()
	for limit := time.Now().Add(time.Minute); !happens(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			b.t.Fatalf("waited a minute for %s", what)
		}
	}
}

// copyRows: rows/s of a large file into SQLite, beside a bare loop of the same reader and driver.
func (b *bench) copyRows() {
	s := b.serve("interval", "copy")
	defer s.stop()
	input := filepath.Join(s.dir, "big.csv")
	file, err := os.Create(input)
	b.check(err)
	for i := range csvRows + 1 {
		if i == 0 {
			_, err = io.WriteString(file, "id,first,last,email,city\n")
		} else {
			_, err = fmt.Fprintf(file, "%d,First%d,Last%d,person%d@example.org,Springfield\n", i, i, i, i)
		}
		b.check(err)
	}
	b.check(file.Close())

	idle := s.peakMemory(b)
	var ours, bare []float64
	for round := range rounds {
		_ = os.Remove(filepath.Join(s.dir, "copy.db"))
		doc := s.document(b, s.postAndWait(b, s.task("copy")))
		if doc.StatusDescription != "Success" || doc.RowsInserted != csvRows {
			b.t.Fatalf("copy: %+v", doc)
		}
		ours = append(ours, csvRows/(float64(doc.DurationMs)/1000))
		bare = append(bare, b.bareCopy(input, filepath.Join(s.dir, fmt.Sprintf("bare%d.db", round))))
	}
	b.compare("rows CSV to SQLite, insert", median(ours), median(bare), "/s", "a bare loop of encoding/csv and the same driver")
	b.row("peak memory, idle", fmt.Sprintf("%d MB", idle), "", "", "")
	b.row("peak memory, 1,000,000 rows", fmt.Sprintf("%d MB", s.peakMemory(b)), "", "", "")
}

func (b *bench) bareCopy(input, output string) float64 {
	db, err := sql.Open("sqlite", output+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	b.check(err)
	defer db.Close()
	_, err = db.Exec(`create table people (id text primary key, name text, email text, city text)`)
	b.check(err)
	file, err := os.Open(input)
	b.check(err)
	defer file.Close()
	began := time.Now()
	reader := csv.NewReader(file)
	reader.ReuseRecord = true
	_, err = reader.Read()
	b.check(err)
	for ended := false; !ended; {
		tx, err := db.Begin()
		b.check(err)
		insert, err := tx.Prepare(`insert into people values (?, ?, ?, ?)`)
		b.check(err)
		for range 1000 {
			record, err := reader.Read()
			if err == io.EOF {
				ended = true
				break
			}
			b.check(err)
			_, err = insert.Exec(record[0], record[1]+" "+record[2], record[3], record[4])
			b.check(err)
		}
		b.check(tx.Commit())
	}
	return csvRows / time.Since(began).Seconds()
}

// load is requests/s of one kind with all callers busy for one interval; prepare changes each before it is sent.
func (b *bench) load(method, url string, body []byte, want int, prepare ...func(*fasthttp.Request)) float64 {
	client := &fasthttp.Client{MaxConnsPerHost: callers}
	defer client.CloseIdleConnections()
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(request)
			defer fasthttp.ReleaseResponse(response)
			request.Header.SetMethod(method)
			request.SetRequestURI(url)
			request.SetBody(body)
			for time.Since(began) < interval {
				for _, change := range prepare {
					change(request)
				}
				if err := client.Do(request, response); err != nil || response.StatusCode() != want {
					b.t.Errorf("%s %s: %v %d", method, url, err, response.StatusCode())
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

// publish is acknowledged publishes/s of a request-sized message to a stream of its own.
func (b *bench) publish(url string) float64 {
	nc, err := nats.Connect(url)
	b.check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	b.check(err)
	_, err = js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw"}})
	b.check(err)
	body := bytes.Repeat([]byte("x"), 500)
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(began) < interval {
				if _, err := js.Publish(context.Background(), "raw", body); err != nil {
					b.t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

// fsync is the mean time in ms of appending a few bytes and syncing them, n times.
func (b *bench) fsync(n int) float64 {
	file, err := os.CreateTemp(b.t.TempDir(), "fsync")
	b.check(err)
	defer file.Close()
	block := bytes.Repeat([]byte("x"), 600)
	began := time.Now()
	for range n {
		_, err = file.Write(block)
		b.check(err)
		b.check(file.Sync())
	}
	return float64(time.Since(began).Microseconds()) / 1000 / float64(n)
}

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// server is a process under load.
type server struct {
	url, nats, dir string
	tasks          map[string]task.ID
	process        *proctest.Process
}

func (s *server) task(name string) string { return string(s.tasks[name]) }

func (s *server) stop() {
	s.process.Signal(syscall.SIGINT)
	s.process.Wait()
}

// serve starts the real program on a fresh data directory with the named tasks.
func (b *bench) serve(durability string, names ...string) *server {
	return b.serveOn(durability, "here: {files: .}\ncopy: {sqlite: ./copy.db}\n", names...)
}

// serveOn is serve with connections.
func (b *bench) serveOn(durability, connections string, names ...string) *server {
	dir := b.t.TempDir()
	s := &server{dir: dir, tasks: map[string]task.ID{}, url: "http://" + proctest.FreeAddress(b.t), nats: "nats://" + proctest.FreeAddress(b.t)}
	write := func(name, text string) {
		b.check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		b.check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("connections.yaml", connections)
	write("one.csv", "id\n1\n")
	for _, name := range names {
		s.tasks[name] = task.NewID()
		head := fmt.Sprintf("id: %s\nname: %s\n", s.tasks[name], name)
		switch name {
		default:
			write("tasks/"+strings.ReplaceAll(name, " ", "-")+".yaml", head+flatTasks[name])
		case "noop", "ended", "chaining":
			then := ""
			if name == "chaining" {
				then = "then: [{task: noop}]\n"
			}
			write("tasks/"+name+".yaml", head+`concurrency: 64
max_queued: 1000000000
source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: noop.csv, action: append}}
`+then)
		case "slow": // its run goes on for longer than anybody waits
			write("many.csv", "id\n"+strings.Repeat("1\n", 1000))
			write("tasks/"+name+".yaml", head+`source: {csv: {connection: here, path: many.csv}, rate: 1/m}
mapping: {id: id}
destination: {csv: {connection: here, path: slow.csv, action: append}}
`)
		case "writing", "computing", "waiting", "braked":
			write("tasks/"+name+".yaml", head+"concurrency: 4\n"+busyTasks[name])
		case "backlog", "wide backlog":
			write("tasks/"+strings.ReplaceAll(name, " ", "-")+".yaml", head+backlogTasks[name])
		case "iqa-fast", "iqa-slow":
			write("tasks/"+name+".yaml", head+iqaTask(strings.TrimPrefix(name, "iqa-")))
		case "copy":
			write("tasks/"+name+".yaml", head+`source: {csv: {connection: here, path: big.csv}}
mapping: {id: id, name: first + " " + last, email: email, city: city}
destination: {sql: {connection: copy, table: people, key: [id], action: insert, create: true}}
`)
		case "sheet":
			write("tasks/"+name+".yaml", head+`source: {csv: {connection: here, path: big.xlsx}}
mapping: {id: id, name: first + " " + last, email: email, city: city}
destination: {sql: {connection: copy, table: people, key: [id], action: insert, create: true}}
`)
		}
	}
	s.process = proctest.Start(b.t, exec.Command(proctest.Program(b.t), "serve", "--listen", strings.TrimPrefix(s.url, "http://"), "--nats-listen", strings.TrimPrefix(s.nats, "nats://"),
		"--data", filepath.Join(dir, "data"), "--tasks", filepath.Join(dir, "tasks"), "--connections", filepath.Join(dir, "connections.yaml"),
		"--durability", durability, "--slots", strconv.Itoa(callers), "--log-level", "error"))
	b.awaitOK(s.url + "/readyz")
	token, err := (&ServerFlags{Data: filepath.Join(dir, "data")}).token()
	b.check(err)
	s.nats = asOperator(b.t, filepath.Join(dir, "data"), strings.TrimPrefix(s.nats, "nats://"))
	for _, id := range s.tasks {
		b.awaitOK(s.url+"/api/tasks/"+string(id), "Authorization", "Bearer "+token)
	}
	return s
}

// awaitOK waits until an address answers 200 to a request with these headers.
func (b *bench) awaitOK(url string, headers ...string) {
	proctest.Eventually(b.t, url+" does not answer 200", func() bool {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(request)
		defer fasthttp.ReleaseResponse(response)
		request.SetRequestURI(url)
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		return fasthttp.Do(request, response) == nil && response.StatusCode() == 200
	})
}

var posts = &fasthttp.Client{MaxConnsPerHost: callers}

// post starts a run and returns its status URL.
func (s *server) post(b *bench, id string) string {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod("POST")
	request.SetRequestURI(s.url + "/task/executepolling/" + id)
	if err := posts.Do(request, response); err != nil || response.StatusCode() != 202 {
		b.t.Fatalf("POST: %v %d %s", err, response.StatusCode(), response.Body())
	}
	return string(response.Header.Peek("Location"))
}

func (s *server) postAndWait(b *bench, id string) string {
	location := s.post(b, id)
	for limit := time.Now().Add(5 * time.Minute); ; {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI(location)
		request.Header.Set("Prefer", "wait=60")
		err := fasthttp.Do(request, response)
		status := response.StatusCode()
		fasthttp.ReleaseRequest(request)
		fasthttp.ReleaseResponse(response)
		if err == nil && status == 200 {
			return location
		}
		if err != nil || time.Now().After(limit) {
			b.t.Fatalf("poll %s: %v %d", location, err, status)
		}
	}
}

type benchDocument struct {
	StatusDescription, Message                           string
	RowsInserted, RowsUpdated, RowsUnchanged, DurationMs int64
}

func (s *server) document(b *bench, location string) (doc benchDocument) {
	_, body, err := fasthttp.Get(nil, location)
	b.check(err)
	b.check(json.Unmarshal(body, &doc))
	return doc
}

// peakMemory is the process's largest resident size so far, in MB.
func (s *server) peakMemory(b *bench) int { return s.memory(b, "VmHWM:") }

// role starts this test binary as a server of one kind.
func (b *bench) role(role string) *server {
	s := &server{url: "http://" + proctest.FreeAddress(b.t), nats: "nats://" + proctest.FreeAddress(b.t), dir: b.t.TempDir()}
	s.process = proctest.Start(b.t, proctest.Self(role, "RUNHOOK_BENCH_DIR="+s.dir,
		"RUNHOOK_BENCH_HTTP="+strings.TrimPrefix(s.url, "http://"), "RUNHOOK_BENCH_NATS="+strings.TrimPrefix(s.nats, "nats://")))
	b.awaitOK(s.url + "/readyz")
	return s
}

var benchTask = task.ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd")

// serveRole is what the child process does.
func serveRole(role string) error {
	ctx, address := context.Background(), os.Getenv("RUNHOOK_BENCH_HTTP")
	if role == "constant" {
		answer := bytes.Repeat([]byte("x"), 900) // about a status document
		return fasthttp.ListenAndServe(address, func(rc *fasthttp.RequestCtx) { rc.SetBody(answer) })
	}
	if role == "crowd" {
		return playCrowd()
	}
	if role == "imis" {
		return serveIMIS(address)
	}
	if role == "nats" {
		return serveNATS()
	}
	nats, err := broker.Start(ctx, broker.Options{
		Dir: os.Getenv("RUNHOOK_BENCH_DIR"), Listen: os.Getenv("RUNHOOK_BENCH_NATS"), Durable: role == "accept-always", Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	store, err := bus.Connect(ctx, bus.Config{InProcess: nats, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	if err := store.Init(ctx, bus.Topology{Synced: role == "accept-always", Embedded: true}); err != nil {
		return err
	}
	accept := func(id task.ID, more string) error {
		def, err := taskfile.Parse([]byte(fmt.Sprintf(`id: %s
name: Accept
parameters: [{name: FirstName}]
source: {csv: {connection: a, path: a.csv}}
mapping: {id: id}
destination: {csv: {connection: a, path: b.csv, action: replace}}
max_queued: 1000000000
%s
`, id, more)), "bench")
		if err != nil {
			return err
		}
		_, err = store.Tasks.Apply(ctx, def, false)
		return err
	}
	if err := accept(benchTask, ""); err != nil {
		return err
	}
	for id, auth := range guardedTasks {
		if err := accept(id, "auth: "+auth); err != nil {
			return err
		}
	}
	callers, err := benchCallers(os.Getenv("RUNHOOK_BENCH_DIR"))
	if err != nil {
		return err
	}
	view, _, err := store.Tasks.Watch(ctx)
	if err != nil {
		return err
	}
	in := ingress.New(ingress.Options{Runs: store.Runs, Tasks: view, Callers: callers, Log: zerolog.Nop()})
	st := status.New(status.Options{Runs: store.Runs, Store: store.Tasks, Tasks: view, Log: zerolog.Nop()})
	server, err := web.New(web.Options{Listen: address, Log: zerolog.Nop()}, in.Routes(), st.Routes(), web.Health(store.Ready))
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func median(samples []float64) float64 { return percentile(samples, 50) }

func percentile(samples []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
