//go:build bench

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/run"
)

const (
	backlogRuns = 10_000
	// backlogPage is how long each of these runs waits for its page.
	backlogPage  = 40 * time.Millisecond
	backlogPosts = 250
)

// backlogTasks are the rest of tasks whose runs wait: one may have one under way, as is usual, and the other takes
// every slot that there is.
var backlogTasks = map[string]string{"backlog": backlogTask, "wide backlog": "concurrency: 64\n" + backlogTask}

const backlogTask = `source: {http: {connection: slowly, path: /people}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: backlog.csv, action: append}}
`

// backlog: from sending the POST of one task to the claim that starts its run, while 10,000 runs of another task wait.
func (b *bench) backlog() {
	for _, of := range []struct{ name, taken string }{{"backlog", "one at a time"}, {"wide backlog", "in all slots"}} {
		waits := b.behind(of.name)
		const limit, what = 50, "what is promised at p99"
		b.compare(fmt.Sprintf("POST to started, %d runs of another task queued, %s, p50", backlogRuns, of.taken), percentile(waits, 50), limit, " ms", what)
		b.compare("the same, p99", percentile(waits, 99), limit, " ms", what)
	}
}

// behind are the milliseconds that POSTs took to start while the runs of a backlog waited.
func (b *bench) behind(backlog string) (waits []float64) {
	slowly := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(backlogPage)
		_, _ = w.Write([]byte(`[{"id":1}]`)) // the run tells if it gets none
	}))
	defer slowly.Close()
	s := b.serveOn("interval", "here: {files: .}\nslowly: {http: {private: true, url: '"+slowly.URL+"'}}\n", "noop", backlog)
	defer s.stop()
	nc, err := nats.Connect(s.nats)
	b.check(err)
	defer nc.Close()
	claimed := make(chan time.Time, 1024)
	_, err = nc.Subscribe("$KV.runs_0.claim."+s.task("noop")+".*", func(*nats.Msg) { claimed <- time.Now() })
	b.check(err)
	b.check(nc.Flush())
	var posting sync.WaitGroup
	var left atomic.Int64
	left.Store(backlogRuns)
	for range callers {
		posting.Go(func() {
			for left.Add(-1) > 0 {
				s.post(b, s.task(backlog))
			}
		})
	}
	posting.Wait()
	last := b.ask(s.url + "/task/executepolling/" + s.task(backlog))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range backlogPosts {
		<-tick.C
		sent := time.Now()
		s.post(b, s.task("noop"))
		waits = append(waits, float64((<-claimed).Sub(sent).Microseconds())/1000)
	}
	if now := b.status(last, ""); now.Status != run.Queued {
		b.t.Fatalf("the backlog is gone: %+v", now)
	}
	return waits
}
