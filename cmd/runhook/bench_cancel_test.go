//go:build bench

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/run"
)

// busyTasks are tasks whose runs are at work for as long as the measurement lasts: half of them write to one database,
// and so wait for each other, and half of them compute.
var busyTasks = map[string]string{
	"writing": `concurrency: 8
source: {csv: {connection: here, path: long.csv}}
mapping: {id: id, name: name + " of " + city}
destination: {sql: {connection: copy, table: people, key: [id], action: upsert, create: true}}
`,
	"computing": `concurrency: 8
source: {csv: {connection: here, path: long.csv}}
where: all(1..90000, # > 0) && false
mapping: {id: id}
destination: {csv: {connection: here, path: none.csv, action: append}}
`,
}

const (
	cancelRuns = 16
	canceled   = 160
	longRows   = 2_000_000
)

// cancels: from sending the POST to a run's CancelUrl to its final document, with as many runs under way as a runner
// has slots by default. Each that is canceled is followed by another.
func (b *bench) cancels() {
	s := b.serve("interval", "writing", "computing")
	defer s.stop()
	file, err := os.Create(filepath.Join(s.dir, "long.csv"))
	b.check(err)
	long := bufio.NewWriter(file)
	_, _ = long.WriteString("id,name,city\n") // the flush has its error
	for i := range longRows {
		_, _ = fmt.Fprintf(long, "%d,Person %d,Springfield\n", i, i)
	}
	b.check(long.Flush())
	b.check(file.Close())

	var open []run.Document
	start := func(name string) { open = append(open, b.ask(s.url+"/task/executepolling/"+s.task(name))) }
	for range cancelRuns / 2 {
		start("writing")
		start("computing")
	}
	var took []float64
	for i := range canceled {
		doc := open[0]
		open = open[1:]
		b.await("the run to be under way", func() bool {
			return b.status(doc, "").RowsRetrieved > 0 || doc.TaskName == "computing" && b.status(doc, "").Status == run.InProgress
		})
		began := time.Now()
		b.ask(doc.CancelURL)
		if final := b.status(doc, "wait=60"); final.Outcome() != run.Canceled {
			b.t.Fatalf("canceled run: %+v", final)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		start([]string{"writing", "computing"}[i%2])
	}
	const limit, what = 1000, "the second that is promised"
	b.compare(fmt.Sprintf("cancel to final, %d runs under way, p50", cancelRuns), percentile(took, 50), limit, " ms", what)
	b.compare("the same, p99", percentile(took, 99), limit, " ms", what)
}

// ask POSTs and returns the run's document.
func (b *bench) ask(url string) (doc run.Document) {
	b.t.Helper()
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod("POST")
	request.SetRequestURI(url)
	b.check(posts.Do(request, response))
	if response.StatusCode() != 202 {
		b.t.Fatalf("POST %s: %d %s", url, response.StatusCode(), response.Body())
	}
	b.check(json.Unmarshal(response.Body(), &doc))
	return doc
}

// status polls a run.
func (b *bench) status(of run.Document, prefer string) (doc run.Document) {
	b.t.Helper()
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(of.PollingURL)
	request.Header.Set("Prefer", prefer)
	b.check(posts.Do(request, response))
	b.check(json.Unmarshal(response.Body(), &doc))
	return doc
}
