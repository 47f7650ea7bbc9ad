package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapGrowth is how much the heap may grow between two collections, in percent: what the store has just written
	// stays in memory for seconds, so under load there is much in use, and Go's own 100 would have twice that.
	heapGrowth = 85
	// usualMemory is how many bytes of memory Go keeps to where that costs little. For a poll of one old run the NATS
	// server reads 4 MiB, which stay until some collections later: polls would take the more memory the more runs
	// there are.
	usualMemory = 384 << 20
	// balanceEvery is how often it is looked at what that costs.
	balanceEvery = 2 * time.Second
	// Collections may take a share of the processors of less than costly, but for a moment in which much is read;
	// where they take less than cheap, a limit that was raised is lowered again. Go lets them take half.
	costly, cheap = 0.15, 0.05
)

// memory is the limit of a process's memory: the usual, or twice what is in use, where the collections that look for
// less would cost much.
type memory struct {
	usual int64
	every time.Duration
	// collecting and all are the time of processors until the last collection that was seen, in seconds.
	collecting, all float64
	// dear: they were costly at the last look.
	dear bool
}

// balance keeps the limit until ctx ends.
func (m *memory) balance(ctx context.Context) {
	debug.SetMemoryLimit(m.usual)
	ticks := time.NewTicker(m.every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			m.look()
		}
	}
}

// look raises or lowers the limit if there were collections since the last look.
func (m *memory) look() {
	read := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(read)
	all, collecting, live := read[0].Value.Float64(), read[1].Value.Float64(), int64(read[2].Value.Uint64())
	if all <= m.all {
		return
	}
	share := (collecting - m.collecting) / (all - m.all)
	m.collecting, m.all = collecting, all
	dear, limit := share > costly, debug.SetMemoryLimit(-1)
	switch next := max(m.usual, 2*live); {
	case dear && m.dear && next > limit, share < cheap && next < limit:
		debug.SetMemoryLimit(next)
	}
	m.dear = dear
}

// tuneMemory says when garbage is collected, unless the environment does.
func (p *process) tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		p.beside(ctx, (&memory{usual: usualMemory, every: balanceEvery}).balance)
	}
}
