package bus_test

import (
	"strconv"
	"sync"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// Requests that are stored one after the other.
func BenchmarkSubmit(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	for b.Loop() {
		bustest.Submit(b, store.Bus, request)
	}
}

// Requests that many callers store.
func BenchmarkSubmitTogether(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	b.ResetTimer()
	var submitting sync.WaitGroup
	for c := range 64 {
		submitting.Go(func() {
			for i := c; i < b.N; i += 64 {
				bustest.Submit(b, store.Bus, request)
			}
		})
	}
	submitting.Wait()
}

// Requests that are pulled and acknowledged, as many at a time as free slots would allow.
func BenchmarkPull(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			store := bustest.New(b, bus.Topology{})
			def := bustest.Definition(b, "Busy", 1000)
			if _, err := store.Tasks.Apply(b.Context(), def, false); err != nil {
				b.Fatal(err)
			}
			request := bustest.Applied(b, store.Bus)
			request.Task = def.ID
			for range b.N {
				bustest.Submit(b, store.Bus, request)
			}
			queue, err := store.Work.Queue(b.Context(), def.ID)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				if err := queue.Pull(b.Context(), min(n, left), func(d *bus.Delivery) { left--; d.Done() }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
