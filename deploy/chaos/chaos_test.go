//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"runhook/shared/proctest"
)

// apart are the tests of one feature that have a world of their own, by their CHAOS_MODE.
var apart = map[string]func(t *testing.T, length time.Duration, seed uint64){"schedules": testSchedules, "since": testSince}

// TestChaos runs one half of CHAOS_TIME in one process and the other on a cluster, unless CHAOS_MODE
// names one of them, or a test of apart.
func TestChaos(t *testing.T) {
	length, seed, mode := settings(t)
	fmt.Printf("CHAOS_SEED=%d CHAOS_TIME=%s CHAOS_MODE=%s\n", seed, length, mode)
	if test := apart[mode]; test != nil {
		t.Run(mode, func(t *testing.T) { test(t, length, seed) })
		return
	}
	program := proctest.Program(t)
	modes := []struct {
		name   string
		start  func(*house)
		faults []fault
	}{
		{"embedded", (*house).embedded, embeddedFaults()},
		{"cluster", (*house).clustered, clusterFaults()},
	}
	if mode == "both" {
		length /= time.Duration(len(modes))
	}
	for _, each := range modes {
		if mode != "both" && mode != each.name {
			continue
		}
		t.Run(each.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "runhook-chaos-*")
			check(t, err)
			h := newHouse(t, dir, program)
			defer time.AfterFunc(length+hungLimit, h.hung).Stop()
			t.Cleanup(func() {
				if t.Failed() {
					fmt.Printf("The seed was %d; logs and data are in %s\n", seed, dir)
				} else {
					_ = os.RemoveAll(dir)
				}
			})
			began := time.Now()
			each.start(h)
			h.awaitTasks()
			h.phase("start", began)
			live(t, h, each.name, length, seed, chosen(t, each.faults))
		})
	}
}

// chosen are the faults that CHAOS_FAULTS names a part of, all without it.
func chosen(t *testing.T, all []fault) (some []fault) {
	part := os.Getenv("CHAOS_FAULTS")
	for _, f := range all {
		if strings.Contains(f.name, part) {
			some = append(some, f)
		}
	}
	if len(some) == 0 {
		t.Fatalf("CHAOS_FAULTS=%s: no fault has that in its name", part)
	}
	return some
}

// settings reads what `make chaos` passes.
func settings(t *testing.T) (length time.Duration, seed uint64, mode string) {
	length, seed, mode = 2*time.Minute, rand.Uint64N(1_000_000), "both"
	var err error
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		length, err = time.ParseDuration(text)
		check(t, err)
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		check(t, err)
	}
	if text := os.Getenv("CHAOS_MODE"); text != "" {
		mode = text
	}
	switch mode {
	case "embedded", "cluster", "both":
	default:
		if apart[mode] == nil {
			t.Fatalf("CHAOS_MODE=%s: embedded, cluster, both, schedules or since", mode)
		}
	}
	return length, seed, mode
}

// hungLimit bounds everything beside the time in which things break: the start, the recovery from the
// last fault, the end of the last runs, the account. Each wait has a shorter bound of its own.
const hungLimit = 20 * time.Minute

// hung ends the tests when something waits without a bound, and says what everything does.
func (h *house) hung() {
	stacks := make([]byte, 4<<20)
	fmt.Printf("not at an end %s after the last fault; every goroutine:\n%s\n", hungLimit, stacks[:runtime.Stack(stacks, true)])
	for _, p := range append(h.servers, h.services...) {
		p.kill()
		fmt.Printf("the end of the log of %s:\n%s\n", p.name, tail(p.log, 4000))
	}
	os.Exit(1)
}

const (
	// drainLimit bounds how long runs may take to end after the last fault.
	drainLimit = 4 * time.Minute
	// backLimit bounds how long something of an erased run may be back: it is looked at again three minutes later, and
	// where its slice was sealed meanwhile once that is bundled, one slice after the other.
	backLimit = 12 * time.Minute
)

// live lets the clients work and things break for a while, and then looks at what has become of it.
func live(t *testing.T, h *house, mode string, length time.Duration, seed uint64, faults []fault) {
	ledger := newLedger()
	watching, err := witnesses(t.Context(), h.nats, h.past, ledger)
	check(t, err)
	defer watching.close()
	stopped, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	gone, leave := context.WithCancel(t.Context())
	defer leave()
	clients := newCallers(ledger, h.posts, h.polls, stopped, gone)
	clients.token = func() string { return h.token }
	for _, w := range h.works {
		clients.begin(w)
	}
	breaking := newMischief(h, ledger, watching, seed, faults)
	began := time.Now()
	breaking.run(stopped)
	h.phase("faults", began)

	last := time.Now()
	if err := h.awaitReady(); err != nil {
		ledger.wrong(0, "%v", err)
	}
	h.phase("ready again", last)
	last = time.Now()
	// The polls go on to the end of every run that they follow.
	polled := make(chan struct{})
	go func() { defer close(polled); clients.all.Wait() }()
	select {
	case <-polled:
	case <-time.After(drainLimit):
		ledger.wrong(0, "some polled runs have not ended %s after the last fault", drainLimit)
	}
	leave()
	<-polled
	h.phase("polled runs end", last)
	a := &account{t: t, house: h, ledger: ledger, witness: watching, mischief: breaking, mode: mode, seed: seed, took: time.Since(began)}
	a.settle()
}
