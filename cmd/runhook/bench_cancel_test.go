//go:build bench

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/run"
)

// busyTasks are tasks whose runs are at work for as long as the measurement lasts: some write to one database, and so
// wait for each other, some compute, some wait for a page that does not come, and some are held back by their rate.
var busyTasks = map[string]string{
	"writing": `source: {csv: {connection: here, path: long.csv}}
mapping: {id: id, name: name + " of " + city}
destination: {sql: {connection: copy, table: people, key: [id], action: upsert, create: true}}
`,
	"computing": `source: {csv: {connection: here, path: long.csv}}
where: '!all(1..90000, # + int(id) > 0)'
mapping: {id: id}
destination: {csv: {connection: here, path: none.csv, action: append}}
`,
	"waiting": `source: {http: {connection: silent, path: /people}}
mapping: {id: id}
destination: {csv: {connection: here, path: silent.csv, action: append}}
`,
	"braked": `source: {csv: {connection: here, path: long.csv}, rate: 1/m}
mapping: {id: id}
destination: {sql: {connection: braked, table: people, key: [id], action: upsert, create: true}}
`,
}

const (
	cancelRuns = 16
	canceled   = 200
	longRows   = 2_000_000
)

// cancels: from sending the POST to a run's CancelUrl to its final document, with as many runs under way as a runner
// has slots by default. Each that is canceled is followed by another.
func (b *bench) cancels() {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	names := []string{"writing", "computing", "waiting", "braked"}
	s := b.serveOn("interval", "here: {files: .}\ncopy: {sqlite: ./copy.db}\nbraked: {sqlite: ./braked.db}\nsilent: {http: {private: true, url: '"+silent.URL+"'}}\n", names...)
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
	for i := range cancelRuns {
		start(names[i%len(names)])
	}
	var took []float64
	for i := range canceled {
		doc := open[0]
		open = open[1:]
		b.await("the run to be under way", func() bool { return b.status(doc, "").Status == run.InProgress })
		began := time.Now()
		b.ask(doc.CancelURL)
		final := b.status(doc, "wait=60")
		if final.Outcome() != run.Canceled {
			b.t.Fatalf("canceled run: %+v", final)
		}
		took = append(took, float64(time.Time(*final.CompletedOn).Sub(began).Milliseconds()))
		start(names[i%len(names)])
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
