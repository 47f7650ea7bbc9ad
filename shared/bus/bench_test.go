package bus_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// Requests that are stored one after the other.
func BenchmarkSubmit(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	for b.Loop() {
		bustest.Submit(b, store.Bus, request)
	}
}

// Requests that many callers store.
func BenchmarkSubmitTogether(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	b.ResetTimer()
	var submitting sync.WaitGroup
	for c := range 64 {
		submitting.Go(func() {
			for i := c; i < b.N; i += 64 {
				bustest.Submit(b, store.Bus, request)
			}
		})
	}
	submitting.Wait()
}

// Requests that callers store with a key of their own, and without one, alone and many at once; on disk at
// once and not.
func BenchmarkSubmitKeyed(b *testing.B) {
	for _, c := range []struct {
		name    string
		callers int
		synced  bool
		key     func(i int) string
	}{
		{"without a key", 1, false, func(int) string { return "" }},
		{"with a key", 1, false, strconv.Itoa},
		{"together without keys", 64, false, func(int) string { return "" }},
		{"together with keys", 64, false, strconv.Itoa},
		{"synced without a key", 1, true, func(int) string { return "" }},
		{"synced with a key", 1, true, strconv.Itoa},
		{"synced together without keys", 64, true, func(int) string { return "" }},
		{"synced together with keys", 64, true, strconv.Itoa},
	} {
		b.Run(c.name, func(b *testing.B) {
			store := bustest.New(b, bus.Topology{Synced: c.synced})
			request := bustest.Applied(b, store.Bus)
			b.ResetTimer()
			var submitting sync.WaitGroup
			for caller := range c.callers {
				submitting.Go(func() {
					for i := caller; i < b.N; i += c.callers {
						if _, err := store.Runs.Submit(b.Context(), request, c.key(i)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			submitting.Wait()
		})
	}
}

// Requests that are pulled and acknowledged, as many at a time as free slots would allow.
func BenchmarkPull(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			store := bustest.New(b, bus.Topology{})
			def := bustest.Definition(b, "Busy", 1000)
			if _, err := store.Tasks.Apply(b.Context(), def, false); err != nil {
				b.Fatal(err)
			}
			request := bustest.Applied(b, store.Bus)
			request.Task = def.ID
			for range b.N {
				bustest.Submit(b, store.Bus, request)
			}
			queue, err := store.Work.Queue(b.Context(), def.ID)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				if err := queue.Pull(b.Context(), min(n, left), func(d *bus.Delivery) { left--; d.Done() }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is stored of runs that do nothing, of a hundred tasks, once they are bundled; then how long a poll of any of
// them takes, and the start of a server that finds the files of one that was killed.
func BenchmarkBundled(b *testing.B) {
	const slice = 10_000
	if b.N < slice { // go test -benchtime 300000x tries one at first
		return
	}
	store := bustest.New(b, bus.Topology{Slice: slice})
	store.Jet().Settled = 0
	var requests []run.Request
	for range 100 {
		requests = append(requests, bustest.Applied(b, store.Bus))
	}
	of := make([]run.Request, b.N+1)
	js, err := jetstream.New(store.Jet().NC, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	patient := jetstream.WithStallWait(time.Minute)
	for n := run.Number(1); n <= run.Number(b.N); n++ {
		if n%slice == 1 {
			proctest.Until(b, func() error { return store.Jet().Ahead(b.Context()) })
		}
		request, now := requests[n*7919%run.Number(len(requests))], time.Now()
		request.CreatedOn = now.UTC()
		doc := run.QueuedDocument(request, n)
		doc.Begin(now, now, 1)
		doc.End(run.Success, "0 rows processed", now.Add(time.Duration(n%30)*time.Millisecond))
		asked, err := request.Encode()
		final, finalErr := doc.Encode()
		_, askedErr := js.PublishAsync("run.request."+string(request.Task), asked, patient)
		_, endedErr := js.PublishAsync(store.Jet().Layout.SliceOf(n).FinalSubject(request.Task, n), final, patient)
		if err := errors.Join(err, finalErr, askedErr, endedErr); err != nil {
			b.Fatal(err)
		}
		of[n] = request
	}
	<-js.PublishAsyncComplete()
	began := time.Now()
	keeper, bundled := store.Unheld.Slices(), b.N/slice*slice
	for stream(b, store.Bus, "RUNS").CachedInfo().State.FirstSeq < uint64(bundled) {
		if err := keeper.Look(b.Context()); err != nil {
			b.Log(err)
		}
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/float64(b.N), "µs-to-bundle/run")
	var slices int64
	for k := range b.N / slice {
		slices += onDisk(b, store.Dir, fmt.Sprintf("KV_runs_%d", k))
	}
	b.ReportMetric(float64(slices)/float64(bundled), "B/bundled-run")
	b.ReportMetric(float64(onDisk(b, store.Dir, "RUNS")), "B-of-RUNS")
	b.ReportMetric(float64(onDisk(b, store.Dir, "EVENTS"))/float64(b.N), "B/event")
	began = time.Now()
	for i := range 1000 {
		n := run.Number(i*7919%(bundled-1) + 1)
		polled(b, store.Bus, of[n], n)
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "µs/poll")
	for range 100 { // a server that is killed then reads whole what they were written to
		end(b, store.Bus, requests[0], bustest.Submit(b, store.Bus, requests[0]))
	}
	dir := b.TempDir()
	if err := os.CopyFS(dir, os.DirFS(store.Dir)); err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	killed, err := broker.Start(b.Context(), broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-to-ready")
	killed.Stop()
}

// onDisk is the size of the files of a stream.
func onDisk(b *testing.B, dir, stream string) (size int64) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs", "*"))
	if err != nil || len(files) == 0 {
		b.Fatalf("the files of %s: %v, %v", stream, files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil { // else it has just gone
			size += info.Size()
		}
	}
	return size
}
