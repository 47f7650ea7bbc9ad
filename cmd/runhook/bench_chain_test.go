//go:build bench

package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// chainEnds is how many ends are measured one after the other, and chainsAtOnce how many come as fast as they can.
	chainEnds    = 250
	chainsAtOnce = 3000
	// chainLimit is the milliseconds that are promised.
	chainLimit = 5
)

// TestBenchChains measures chains alone.
func TestBenchChains(t *testing.T) {
	b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	b.row("FIGURE", "RUNHOOK", "LIMIT", "RATIO", "THE LIMIT IS")
	b.chains()
	_ = b.out.Flush()
}

// chains: from the final document of a run to the claim that starts the run which follows it, at a quiet 50 a second;
// and how many such pairs there are in a second if runs that have nothing to do end as fast as they can.
func (b *bench) chains() {
	for _, durability := range []string{"interval", "always"} {
		s := b.serve(durability, "noop", "chaining")
		nc, err := nats.Connect(s.nats)
		b.check(err)
		ended, claimed := make(chan time.Time, 1024), make(chan time.Time, 2*chainsAtOnce)
		_, err = nc.Subscribe("$KV.runs_0.final."+s.task("chaining")+".*", func(*nats.Msg) {
			select {
			case ended <- time.Now():
			default: // nobody asks any more
			}
		})
		b.check(err)
		_, err = nc.Subscribe("$KV.runs_0.claim."+s.task("noop")+".*", func(*nats.Msg) { claimed <- time.Now() })
		b.check(err)
		b.check(nc.Flush())
		var waits []float64
		tick := time.NewTicker(20 * time.Millisecond)
		for range chainEnds {
			<-tick.C
			s.post(b, s.task("chaining"))
			end := <-ended
			waits = append(waits, float64((<-claimed).Sub(end).Microseconds())/1000)
		}
		tick.Stop()
		const what = "the 5 ms that are promised with interval"
		b.compare("end of a run to start of the next, "+durability+", p50", percentile(waits, 50), chainLimit, " ms", what)
		b.compare("the same, p99", percentile(waits, 99), chainLimit, " ms", "the same")

		began := time.Now()
		var posting sync.WaitGroup
		var left atomic.Int64
		left.Store(chainsAtOnce)
		for range callers {
			posting.Go(func() {
				for left.Add(-1) >= 0 {
					s.post(b, s.task("chaining"))
				}
			})
		}
		posting.Wait()
		for range chainsAtOnce {
			select {
			case <-claimed:
			case <-time.After(time.Minute):
				b.t.Fatal("waited a minute for a run that follows")
			}
		}
		b.row(fmt.Sprintf("%d ends at once, %s", chainsAtOnce, durability), figure(chainsAtOnce/time.Since(began).Seconds())+"/s", "", "", "of one task, whose ends are dealt with one after the other")
		_ = b.out.Flush()
		nc.Close()
		s.stop()
	}
}
