//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// pastRuns is how many ended runs the store has before anything begins.
func pastRuns(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("CHAOS_RUNS"))
	if os.Getenv("CHAOS_RUNS") != "" && (err != nil || n < 0) {
		t.Fatalf("CHAOS_RUNS=%s: how many ended runs the store has at first", os.Getenv("CHAOS_RUNS"))
	}
	return n
}

// liveBefore lets the store of `serve` have a past: so many runs of a task that was deleted since.
func (h *house) liveBefore(runs int) {
	if runs == 0 {
		return
	}
	began, nats, listen := time.Now(), proctest.FreeAddress(h.t), proctest.FreeAddress(h.t)
	p := h.process("before", h.program, "serve", "--data", h.data, "--tasks", filepath.Join(h.dir, "tasks"),
		"--connections", filepath.Join(h.dir, "connections.yaml"), "--nats-listen", nats, "--nats-auth-file", h.natsUsers(), "--listen", listen, "--durability", "interval")
	p.ready = "http://" + listen + "/readyz"
	check(h.t, p.start())
	check(h.t, p.awaitReady())
	past, err := writePast(h.t.Context(), "nats://"+operator+"@"+nats, runs)
	check(h.t, err)
	h.past = past
	code, _, err := p.end(syscall.SIGTERM, 0)
	check(h.t, err)
	if code != 0 {
		h.t.Fatalf("the exit code is %d:\n%s", code, tail(p.log, 4000))
	}
	fmt.Printf("%d ended runs were stored in %s\n", runs, time.Since(began).Round(time.Second))
}

// writePast writes the requests and final documents of runs, and returns the last sequence of each
// stream once the server has made their events.
func writePast(ctx context.Context, url string, runs int) (past map[string]uint64, err error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		return nil, err
	}
	request := run.Request{Task: task.NewID(), TaskName: "before", Definition: "gone", Trigger: run.Webhook, RetryAfter: 30, CreatedOn: time.Now().UTC()}
	body, err := request.Encode()
	if err != nil {
		return nil, err
	}
	patient := jetstream.WithStallWait(startLimit)
	for range runs {
		if _, err := js.PublishAsync("run.request."+string(request.Task), body, patient); err != nil {
			return nil, err
		}
	}
	<-js.PublishAsyncComplete()
	requests, err := js.Stream(ctx, "RUNS")
	if err != nil {
		return nil, err
	}
	last := requests.CachedInfo().State.LastSeq
	for {
		_, err := js.Stream(ctx, sliceOf(run.Number(last+1)))
		if err == nil {
			break
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	for n := last - uint64(runs) + 1; n <= last; n++ {
		doc := run.QueuedDocument(request, run.Number(n))
		doc.End(run.Success, "", time.Now())
		msg := nats.NewMsg(fmt.Sprintf("$KV.%s.final.%s.%d", strings.TrimPrefix(sliceOf(run.Number(n)), "KV_"), request.Task, n))
		msg.Header.Set("ce-id", fmt.Sprintf("%s.%d", request.Task, n))
		msg.Header.Set("ce-subject", strconv.FormatUint(n, 10))
		if msg.Data, err = doc.Encode(); err != nil {
			return nil, err
		}
		if _, err := js.PublishMsgAsync(msg, patient); err != nil {
			return nil, err
		}
	}
	<-js.PublishAsyncComplete()
	for limit := time.Now().Add(drainLimit); ; time.Sleep(100 * time.Millisecond) {
		past = map[string]uint64{}
		slices, err := slicesOf(ctx, js)
		if err != nil {
			return nil, err
		}
		for _, name := range append(slices, "RUNS", "EVENTS") {
			stream, err := js.Stream(ctx, name)
			if err != nil {
				return nil, err
			}
			past[name] = stream.CachedInfo().State.LastSeq
		}
		if past["EVENTS"] >= uint64(runs) {
			return past, nil
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("%d runs have %d events after %s", runs, past["EVENTS"], drainLimit)
		}
	}
}
