//go:build chaos

package chaos

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// testSchedules breaks three status services, and the NATS servers, in the moments in which a task is due that runs each
// second, for so long. Each second makes exactly one run, and so does each run that a caller has asked for at a time.
func testSchedules(t *testing.T, length time.Duration, seed uint64) {
	dir, err := os.MkdirTemp("", "runhook-chaos-*")
	check(t, err)
	h := &house{t: t, dir: dir, program: proctest.Program(t)}
	defer time.AfterFunc(length+hungLimit, h.hung).Stop()
	t.Cleanup(func() {
		for _, p := range append(h.services, h.servers...) {
			p.kill()
		}
		if t.Failed() {
			fmt.Printf("The seed was %d; logs and data are in %s\n", seed, dir)
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	c := &clockwork{house: h, rand: rand.New(rand.NewPCG(seed, 2)), each: task.NewID(), once: task.NewID(), done: map[string]int{}}
	c.start()
	c.run(length)
	c.account()
}

// clockwork is a house whose tasks run by themselves.
type clockwork struct {
	*house
	rand *rand.Rand
	// each runs each second, and once when a caller has asked for it.
	each, once task.ID
	// first is a second that is behind the begin of the schedule.
	first time.Time
	// asked are the runs of once, with their times.
	asked map[run.Number]time.Time
	done  map[string]int
}

const clockworkTask = `id: %s
name: %s
concurrency: 8
max_queued: 1000000
source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: none.csv, action: append}}
`

// start starts three NATS servers, three status services, an ingress and two runners.
func (c *clockwork) start() {
	write := func(name, text string) {
		check(c.t, os.MkdirAll(filepath.Dir(filepath.Join(c.dir, name)), 0o755))
		check(c.t, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600))
	}
	write("connections.yaml", "here: {files: "+c.dir+"}\n")
	write("one.csv", "id\n1\n")
	write("tasks/each.yaml", fmt.Sprintf(clockworkTask, c.each, "Each second")+"schedule: [{cron: \"* * * * * *\", missed: all}]\n")
	write("tasks/once.yaml", fmt.Sprintf(clockworkTask, c.once, "Once"))
	write("run.key", base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
	write("admin.token", "0123456789abcdef0123456789abcdef\n")
	c.token = filepath.Join(c.dir, "admin.token")
	key := filepath.Join(c.dir, "run.key")
	c.startServers()
	var urls []string
	for _, wire := range c.wires {
		urls = append(urls, "nats://"+wire.Address())
	}
	c.nats = strings.Join(urls, ",")
	c.makeClusterStore()
	c.command("init", "--nats", c.nats, "--replicas", "3", "--lease", lease.String())
	_, url := c.service("ingress-0", "ingress", "--nats", c.nats, "--run-key-file", key)
	c.posts = []string{url}
	for i := range 3 {
		_, url := c.service(fmt.Sprint("status-", i), "status", "--nats", c.nats, "--run-key-file", key, "--admin-token-file", c.token)
		c.polls = append(c.polls, url)
	}
	for i := range 2 {
		c.service(fmt.Sprint("runner-", i), "runner", "--nats", c.nats, "--connections", filepath.Join(c.dir, "connections.yaml"), "--grace", "1s")
	}
	c.startAll()
	c.command("task", "apply", filepath.Join(c.dir, "tasks"), "--server", c.polls[0], "--token-file", c.token)
	c.first = time.Now().Truncate(time.Second).Add(time.Second)
}

// run asks for runs, and breaks something about each second, until the time is over.
func (c *clockwork) run(length time.Duration) {
	ctx, cancel := context.WithTimeout(c.t.Context(), length)
	defer cancel()
	asking := make(chan struct{})
	c.asked = map[run.Number]time.Time{}
	go func() { defer close(asking); c.ask(ctx) }()
	nc, err := nats.Connect(c.nats, nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.RetryOnFailedConnect(true))
	check(c.t, err)
	defer nc.Close()
	watching := &witness{nc: nc}
	for ctx.Err() == nil {
		p := c.services[1+c.rand.IntN(3)]
		// Into the moment: from 30 ms before the second to 50 ms after it.
		at := time.Now().Truncate(time.Second).Add(time.Second + time.Duration(c.rand.Int64N(int64(80*time.Millisecond))) - 30*time.Millisecond)
		time.Sleep(time.Until(at))
		switch n := c.rand.IntN(100); {
		case n < 45:
			c.done["kill -9 of a status service"]++
			_, _, _ = p.end(syscall.SIGKILL, 0)
			time.Sleep(time.Duration(c.rand.Int64N(int64(2 * time.Second))))
			check(c.t, p.start())
		case n < 85:
			c.done["SIGSTOP of a status service"]++
			p.pause()
			time.Sleep(time.Duration(c.rand.Int64N(int64(8 * time.Second))))
			p.resume()
		case n < 90:
			c.done["kill -9 of all status services"]++
			for _, p := range c.services[1:4] {
				_, _, _ = p.end(syscall.SIGKILL, 0)
			}
			for _, p := range c.services[1:4] {
				check(c.t, p.start())
			}
		case n < 96:
			place, ok := c.leader(watching, "RUNS")
			if !ok {
				continue
			}
			c.done["the NATS leader cut off"]++
			silent := c.rand.IntN(2) == 0
			c.cutOff(place, true, silent)
			time.Sleep(time.Duration(c.rand.Int64N(int64(10 * time.Second))))
			c.cutOff(place, false, silent)
		default:
			place, ok := c.leader(watching, "KV_control")
			if !ok {
				continue
			}
			c.done["kill -9 of the NATS leader"]++
			c.servers[place].kill()
			time.Sleep(time.Duration(c.rand.Int64N(int64(3 * time.Second))))
			check(c.t, c.servers[place].start())
		}
		if c.rand.IntN(4) == 0 {
			check(c.t, c.awaitReady())
		}
	}
	check(c.t, c.awaitReady())
	<-asking
}

// ask asks for a run some seconds later, about each second; one whose answer is lost is asked for again.
func (c *clockwork) ask(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		at := time.Now().Add(time.Duration(2+rand.IntN(20)) * time.Second).UTC().Truncate(time.Millisecond)
		body := fmt.Sprintf(`{"RunAt": %q}`, at.Format(time.RFC3339Nano))
		for key := fmt.Sprint("once-", i); ; time.Sleep(500 * time.Millisecond) {
			request, err := http.NewRequest(http.MethodPost, c.posts[0]+"/task/executepolling/"+string(c.once), strings.NewReader(body))
			check(c.t, err)
			request.Header.Set("Idempotency-Key", key)
			answer, err := shortly.Do(request)
			if err == nil {
				var doc run.Document
				text, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusAccepted && json.Unmarshal(text, &doc) == nil {
					c.asked[doc.ImportID] = at
					break
				}
				if answer.StatusCode == http.StatusBadRequest && time.Since(at) > time.Minute { // it was not stored, and is too late
					break
				}
			}
		}
		time.Sleep(time.Second)
	}
}

// account wants one run for each second, and each run that was asked for to have started once, not before its time.
func (c *clockwork) account() {
	store, err := bus.Connect(c.t.Context(), bus.Config{URLs: c.nats, Log: zerolog.Nop(), ConnectTimeout: startLimit})
	check(c.t, err)
	defer store.Close()
	for limit := time.Now().Add(startLimit); ; time.Sleep(200 * time.Millisecond) { // its streams may look for leaders
		if err = store.Check(c.t.Context()); err == nil || time.Now().After(limit) {
			break
		}
	}
	check(c.t, err)
	last := time.Now().Truncate(time.Second)
	var by map[time.Time]int
	var slowest time.Duration
	for limit := time.Now().Add(drainLimit); ; time.Sleep(time.Second) {
		by, slowest = map[time.Time]int{}, 0
		all, err := store.Runs.List(c.t.Context(), 1_000_000, c.each)
		for _, status := range all {
			due := time.Time(*status.Document.ScheduledFor).UTC()
			by[due]++
			slowest = max(slowest, time.Time(status.Document.CreatedOn).Sub(due))
		}
		if err == nil && by[last.UTC()] > 0 || time.Now().After(limit) {
			break
		}
	}
	none, several := 0, 0
	for at := c.first.UTC(); !at.After(last); at = at.Add(time.Second) {
		switch by[at] {
		case 0:
			none++
			c.t.Errorf("there is no run of %s", at)
		case 1:
		default:
			several++
			c.t.Errorf("%d runs are of %s", by[at], at)
		}
	}
	late, early, worst := 0, 0, time.Duration(0)
	for n, at := range c.asked {
		var status bus.Status
		for limit := time.Now().Add(drainLimit); ; time.Sleep(200 * time.Millisecond) {
			if status, err = store.Runs.Lookup(c.t.Context(), c.once, n); err == nil && status.Final || time.Now().After(limit) {
				break
			}
		}
		doc := status.Document
		if doc.Outcome() != run.Success {
			late++
			c.t.Errorf("run %s, which was to start at %s: %+v, %v", n, at, doc, err)
			continue
		}
		began := time.Time(*doc.StartedOn)
		if worst = max(worst, began.Sub(at)); began.Before(at) {
			early++
			c.t.Errorf("run %s started at %s, and was to start at %s", n, began, at)
		}
	}
	fmt.Printf("faults: %v\n%.0f seconds, %d without a run, %d with several; the latest request came %s after its time\n%d runs at a time: %d not ended, %d too early; the latest started %s after its time\n",
		c.done, last.Sub(c.first).Seconds()+1, none, several, slowest.Round(time.Millisecond), len(c.asked), late, early, worst.Round(time.Millisecond))
}
