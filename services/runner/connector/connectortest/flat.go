package connectortest

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"runhook/shared/proctest"
)

const (
	// settled is after how many runs a process has all that it makes once.
	settled = 10
	// mostGrowth bounds what noise may add to the memory: 8 KiB for each of a thousand runs.
	mostGrowth = 8 << 20
)

// flat makes so many runs, a thousand if that is 0, of which run is the n-th, and fails where they leave more
// than the first ten: descriptors, goroutines or memory.
func flat(t *testing.T, runs int, run func(n int)) {
	t.Helper()
	runs, mostResident := cmp.Or(runs, 1000), uint64(mostGrowth)
	if proctest.Raced { // the race detector needs several times the memory
		runs, mostResident = min(runs, 100), 4*mostGrowth
	}
	for n := range settled {
		run(n)
	}
	before := heldNow()
	for n := settled; n < runs; n++ {
		run(n)
	}
	// What has been closed may be on its way out.
	proctest.Until(t, func() error {
		if now := heldNow(); now.descriptors > before.descriptors || now.goroutines > before.goroutines ||
			now.heap > before.heap+mostGrowth || now.resident > before.resident+mostResident {
			return fmt.Errorf("after %d runs the process holds %+v, after %d it held %+v", runs, now, settled, before)
		}
		return nil
	})
}

// held is what a process has.
type held struct {
	descriptors, goroutines int
	// heap is Go's, and resident is all memory, with what a library takes of the system itself.
	heap, resident uint64
}

// heldNow is what this process has after a collection. What the system does not tell is 0.
func heldNow() held {
	runtime.GC() // finalizers
	debug.FreeOSMemory()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	now := held{goroutines: runtime.NumGoroutine(), heap: memory.HeapAlloc}
	if links, err := os.ReadDir("/proc/self/fd"); err == nil {
		now.descriptors = len(links)
	}
	if pages, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(pages); len(fields) > 1 {
			resident, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			now.resident = resident * uint64(os.Getpagesize())
		}
	}
	return now
}
