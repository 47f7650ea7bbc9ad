package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// spawnLimited is spawn with what `ulimit` is told first.
func spawnLimited(t testing.TB, ulimit string, args ...string) *instance {
	t.Helper()
	shell := []string{"-c", "ulimit " + ulimit + ` && exec "$@"`, "sh", proctest.Program(t)}
	p := proctest.Start(t, exec.Command("sh", append(shell, args...)...))
	return &instance{
		t: t, out: p.Out, log: p.Log, ended: p.Ended(), process: p, description: p.String(),
		stop: func() { p.Signal(syscall.SIGTERM) }, kill: func() { p.Signal(syscall.SIGKILL) },
	}
}

// Callers that are silent, or wait, keep a server with few descriptors neither from others nor from its work.
func TestServeWithFewDescriptors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := spawnLimited(t, "-n 256", s.args()...).listening()
	address := strings.TrimPrefix(i.url, "http://")
	connect := func(address string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	for range 255 {
		connect(address)
		connect(i.natsAddress())
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Errorf("beside idle connections: %+v", doc)
	}

	release := s.hold()
	defer release()
	started := i.start(s.copy, nil)
	i.awaitRunning(started)
	counts := waitForEnd(t, started, 300, func() bool {
		return strings.Contains(i.log.String(), "as many HTTP connections are open as may be")
	}, func() {
		if status := get(t, i.url+"/livez"); status != http.StatusOK {
			t.Errorf("beside long polls /livez is %d", status)
		}
		release()
	})
	if counts[http.StatusOK] == 0 || counts[http.StatusServiceUnavailable] == 0 || counts[http.StatusOK]+counts[http.StatusServiceUnavailable] != 300 {
		t.Errorf("the long polls got %v", counts)
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Errorf("after the long polls: %+v", doc)
	}
	if said := strings.Count(i.log.String(), "as many HTTP connections are open as may be"); said != 1 {
		t.Errorf("it is said %d times", said)
	}
	if !strings.Contains(i.log.String(), `"max_connections":128,"descriptors":256`) {
		t.Errorf("the limit is not shown:\n%s", i.log)
	}
	i.end()
}

// waitForEnd makes long polls of a run, each on a connection of its own, until the run has ended, and counts
// the answers by status. Once enough, it calls then.
func waitForEnd(t *testing.T, started client.Started, polls int, enough func() bool, then func()) map[int]int {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	counts := map[int]int{}
	caller := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range polls {
		all.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, started.Document.PollingURL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Prefer", "wait="+strconv.Itoa(int(limit.Seconds())))
			response, err := caller.Do(request)
			for errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // so late that it was silent, and made room for another
				response, err = caller.Do(request)
			}
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			counts[response.StatusCode]++
		})
	}
	proctest.Eventually(t, "the polls are there", enough)
	then()
	all.Wait()
	return counts
}

// The limit is the hard one, whatever the soft one is.
func TestDescriptorsAreRaised(t *testing.T) {
	t.Parallel()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	hard := min(limit.Max, 4096)
	s := newSite(t)
	i := spawnLimited(t, fmt.Sprintf("-S -n 256 && ulimit -H -n %d", hard), s.args()...).listening()
	shown := i.log.Await(t, `"descriptors":(\d+)`, i.ended)
	if shown == nil || shown[1] != fmt.Sprint(hard) && shown[1] != fmt.Sprint(hard-1) { // Go may leave one
		t.Errorf("the limit is not %d:\n%s", hard, i.log)
	}
	i.end()
}
